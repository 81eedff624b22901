package keystore

import (
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// readOnlyFS is a file system that can only be read, and remembers which files were. Its lock excludes no other process.
type readOnlyFS struct {
	vfs.FS
	hidden func(name string) bool // which files a listing leaves out; nil is none

	mu     sync.Mutex
	opened []string
}

func (l *readOnlyFS) Unwrap() vfs.FS { return l.FS }

func (l *readOnlyFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	l.mu.Lock()
	l.opened = append(l.opened, name)
	l.mu.Unlock()
	return l.FS.Open(name, opts...)
}

// walsRead returns the paths of the WALs that were opened. Pebble opens the oldest first.
func (l *readOnlyFS) walsRead() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wals []string
	for _, name := range l.opened {
		if isWAL(name) && !slices.Contains(wals, name) {
			wals = append(wals, name)
		}
	}
	return wals
}

// lastOpened returns the file that was opened last.
func (l *readOnlyFS) lastOpened() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.opened) == 0 {
		return ""
	}
	return l.opened[len(l.opened)-1]
}

func (l *readOnlyFS) List(dir string) ([]string, error) {
	names, err := l.FS.List(dir)
	if l.hidden != nil {
		names = slices.DeleteFunc(names, l.hidden)
	}
	return names, err
}

func isWAL(name string) bool { return strings.HasSuffix(name, ".log") }

type noLock struct{}

func (noLock) Close() error { return nil }

func (l *readOnlyFS) Lock(string) (io.Closer, error) { return noLock{}, nil }

func (l *readOnlyFS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, readOnly("create", name)
}

func (l *readOnlyFS) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return nil, readOnly("open", name)
}

func (l *readOnlyFS) ReuseForWrite(_, name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, readOnly("reuse", name)
}

func (l *readOnlyFS) Link(_, name string) error                { return readOnly("link", name) }
func (l *readOnlyFS) Rename(_, name string) error              { return readOnly("rename", name) }
func (l *readOnlyFS) Remove(name string) error                 { return readOnly("remove", name) }
func (l *readOnlyFS) RemoveAll(name string) error              { return readOnly("remove", name) }
func (l *readOnlyFS) MkdirAll(dir string, _ os.FileMode) error { return readOnly("mkdir", dir) }

func readOnly(op, path string) error { return &os.PathError{Op: op, Path: path, Err: errReadOnly} }
