package embedded

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/zap"

	"aka/router/journal/engine"
	"aka/router/journal/engine/enginetest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// faulty is a file system whose operations can be made to fail or to wait.
type faulty struct {
	vfs.FS
	mu    sync.Mutex
	fault func(errorfs.Op) error
}

func newFaulty(files vfs.FS) *faulty {
	f := &faulty{}
	f.FS = errorfs.Wrap(files, errorfs.InjectorFunc(func(op errorfs.Op) error {
		f.mu.Lock()
		fault := f.fault
		f.mu.Unlock()
		if fault == nil {
			return nil
		}
		return fault(op)
	}))
	return f
}

// set asks fault about each operation until repair is called.
func (f *faulty) set(fault func(errorfs.Op) error) (repair func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.fault = nil
	}
}

func inLog(op errorfs.Op) bool     { return strings.Contains(op.Path, "/"+logFolder+"/") }
func inRecords(op errorfs.Op) bool { return strings.Contains(op.Path, "/"+recordFolder+"/") }

// withoutRoom fails what takes room.
func withoutRoom(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpRemove, errorfs.OpRemoveAll, errorfs.OpFileClose, errorfs.OpLock:
		return nil
	}
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		return syscall.ENOSPC
	}
	return nil
}

// kindsOf are the operations of a file system that one of the suite's is.
var kindsOf = map[enginetest.Operation][]errorfs.OpKind{
	enginetest.WriteOperation:  {errorfs.OpFileWrite},
	enginetest.SyncOperation:   {errorfs.OpFileSync, errorfs.OpFileSyncData},
	enginetest.CreateOperation: {errorfs.OpCreate},
	enginetest.RenameOperation: {errorfs.OpRename},
}

// place is where an engine stores for one test.
type place struct {
	dir  string
	mem  *vfs.MemFS // has the files but for identity and lock; nil is the disk
	disk *faulty
	size string // of the folder's own file system, if it has one

	crashes int
}

const testSegment = 512 << 10

func (p *place) options() Options {
	return Options{Dir: p.dir, FS: p.disk, Log: zap.NewNop(), segmentBytes: testSegment}
}

func (p *place) open(t *testing.T) engine.Engine { return openWith(t, p.options()) }

// openWith opens an engine. Its Close has minutes: the machine may be busy.
func openWith(t testing.TB, o Options) *Engine {
	t.Helper()
	o.closeWait = 5 * time.Minute
	e, err := Open(context.Background(), o)
	must(t, err)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// openAt opens the engine in a folder of the disk.
func openAt(t testing.TB, dir string) *Engine {
	t.Helper()
	return openWith(t, Options{Dir: dir, Log: zap.NewNop(), segmentBytes: testSegment})
}

// inMemory is a place in memory. A crash is a power cut: what was not synced is gone.
func inMemory(t *testing.T) *place {
	p := &place{dir: t.TempDir(), mem: vfs.NewCrashableMem()}
	p.disk = newFaulty(p.mem)
	return p
}

// onDisk is a place in a file system of its own, where that can be mounted. A crash is the end of the process: the files are as
// they are.
func onDisk(t *testing.T) *place {
	dir, size := ownDisk(t)
	return &place{dir: filepath.Join(dir, "journal"), disk: newFaulty(vfs.Default), size: size}
}

const roomy = "size=256m"

// ownDisk returns a folder that is a disk of its own in memory, and its size; or a folder of the disk, where nothing can be mounted.
func ownDisk(t testing.TB) (dir, size string) {
	dir = t.TempDir()
	if err := syscall.Mount("aka", dir, "tmpfs", 0, roomy); err != nil {
		t.Logf("cannot mount a disk: %v", err)
		return dir, ""
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir, roomy
}

// newFolder returns the path of a folder that is to be made, on a quick disk where one can be mounted.
func newFolder(t testing.TB) string {
	dir, _ := ownDisk(t)
	return filepath.Join(dir, "journal")
}

func (p *place) crash(t *testing.T, e engine.Engine) {
	t.Helper()
	if p.mem != nil {
		p.mem = p.mem.CrashClone(vfs.CrashCloneCfg{})
		p.disk = newFaulty(p.mem)
		_ = e.Close()
		return
	}
	old := p.dir
	p.crashes++
	p.dir = filepath.Join(filepath.Dir(old), fmt.Sprint("journal", p.crashes))
	copyAsItIs(t, old, p.dir)
	p.disk = newFaulty(vfs.Default)
	_ = e.Close()
	must(t, os.RemoveAll(old))
}

// store returns the place as the conformance suite needs it.
func (p *place) store() enginetest.Store {
	s := enginetest.Store{
		Open:    p.open,
		Crash:   p.crash,
		Damage:  p.damage,
		CutTail: p.cutTail,
		Fill:    p.fill,
		FailLog: func(_ *testing.T, op enginetest.Operation, skip int) func() {
			return p.disk.set(func(o errorfs.Op) error {
				if !inLog(o) || !slices.Contains(kindsOf[op], o.Kind) {
					return nil
				}
				if skip--; skip >= 0 {
					return nil
				}
				return syscall.EIO
			})
		},
		Hold: func(*testing.T) (<-chan struct{}, func()) { return p.disk.hold(inLog) },
		BreakRecords: func(*testing.T) func() {
			return p.disk.set(func(o errorfs.Op) error {
				if inRecords(o) && slices.Contains(kindsOf[enginetest.WriteOperation], o.Kind) {
					return syscall.EIO
				}
				return nil
			})
		},
	}
	if p.mem != nil {
		s.Backlog = 100_000
	}
	return s
}

// hold makes syncs wait until release is called. The channel is closed when one waits.
func (f *faulty) hold(which func(errorfs.Op) bool) (waits <-chan struct{}, release func()) {
	held, released := make(chan struct{}), make(chan struct{})
	var once sync.Once
	repair := f.set(func(op errorfs.Op) error {
		if which(op) && slices.Contains(kindsOf[enginetest.SyncOperation], op.Kind) {
			once.Do(func() { close(held) })
			<-released
		}
		return nil
	})
	return held, func() {
		repair()
		close(released)
	}
}

// fill leaves the place no room. A file system of its own is made smaller; for others the error is injected.
func (p *place) fill(t *testing.T) (free func()) {
	t.Helper()
	if p.size == "" {
		return p.disk.set(withoutRoom)
	}
	disk := filepath.Dir(p.dir)
	var usage syscall.Statfs_t
	must(t, syscall.Statfs(disk, &usage))
	taken := (usage.Blocks - usage.Bfree) * uint64(usage.Bsize)
	must(t, syscall.Mount("", disk, "", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", taken)))
	return func() {
		if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, p.size); err != nil {
			t.Error(err)
		}
	}
}

// damage flips a bit in the middle of a stored frame.
func (p *place) damage(t *testing.T, seq uint64, data []byte) {
	t.Helper()
	for _, path := range p.segments(t) {
		content := p.read(t, path)
		if at := bytes.Index(content, data); at >= 0 {
			content[at+len(data)/2] ^= 0x10
			p.write(t, path, content)
			return
		}
	}
	t.Fatalf("frame %d is in no segment", seq)
}

// cutTail shortens the newest segment that has a frame. Zeros that were written ahead are behind its end.
func (p *place) cutTail(t *testing.T, n int) {
	t.Helper()
	paths := p.segments(t)
	path := paths[len(paths)-1]
	content := bytes.TrimRight(p.read(t, path), "\x00")
	p.write(t, path, content[:len(content)-n])
}

func (p *place) segments(t *testing.T) (paths []string) {
	t.Helper()
	dir := filepath.Join(p.dir, logFolder)
	names, err := p.disk.List(dir)
	must(t, err)
	slices.Sort(names)
	for _, name := range names {
		if strings.HasSuffix(name, ".seg") {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	return paths
}

func (p *place) read(t *testing.T, path string) []byte {
	t.Helper()
	f, err := p.disk.Open(path)
	must(t, err)
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(f)
	must(t, err)
	return content
}

func (p *place) write(t *testing.T, path string, content []byte) {
	t.Helper()
	f, err := p.disk.Create(path, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(content)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	dir, err := p.disk.OpenDir(filepath.Dir(path))
	must(t, err)
	must(t, dir.Sync())
	must(t, dir.Close())
}

// files is what a folder holds, by path within it. Folders end with a slash.
type files map[string]string

// filesOf reads a folder, without its lock, which may change.
func filesOf(t testing.TB, dir string) files {
	t.Helper()
	found := files{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		switch {
		case err != nil || name == lockFile:
			return err
		case d.IsDir():
			found[name+"/"] = ""
			return nil
		}
		content, err := os.ReadFile(path)
		found[name] = string(content)
		return err
	}))
	return found
}

// differs describes how a folder is not as it was; it is empty where it is.
func (f files) differs(now files) string {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		was, ok := f[name]
		switch {
		case !ok:
			return name + " is new"
		case was != now[name]:
			return name + " was changed"
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if _, ok := now[name]; !ok {
			return name + " is gone"
		}
	}
	return ""
}

// put writes the files into a new folder.
func (f files) put(t testing.TB, dir string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(f)) {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o700))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(f[name]), 0o600))
	}
}

// copyAsItIs copies the folder of an engine that is open. It begins again when files changed meanwhile: Pebble works in the
// background.
func copyAsItIs(t testing.TB, from, to string) {
	t.Helper()
	for range 100 {
		if f, ok := stableFiles(t, from); ok {
			f.put(t, to)
			return
		}
	}
	t.Fatalf("%s does not come to rest", from)
}

func stableFiles(t testing.TB, dir string) (f files, ok bool) {
	t.Helper()
	before := stamps(t, dir)
	f = files{}
	for name := range before {
		if strings.HasSuffix(name, "/") {
			f[name] = ""
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, false
		}
		f[name] = string(content)
	}
	return f, maps.Equal(before, stamps(t, dir))
}

// stamps returns the size and time of each file.
func stamps(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile: the second look differs from the first
		}
		name, _ := filepath.Rel(dir, path)
		if d.IsDir() {
			found[name+"/"] = ""
			return nil
		}
		if info, err := d.Info(); err == nil {
			found[name] = fmt.Sprint(info.Size(), info.ModTime())
		}
		return nil
	})
	return found
}
