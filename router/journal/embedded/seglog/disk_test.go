package seglog

import (
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk is a file system that fails when it is told to, and has as much room as it is told.
type disk struct {
	vfs.FS
	mu   sync.Mutex
	fail func(errorfs.Op) error // nil: nothing fails
	room int64                  // -1: any
}

func newDisk(files vfs.FS) *disk {
	d := &disk{room: -1}
	d.FS = errorfs.Wrap(&roomFS{files, d}, errorfs.InjectorFunc(func(op errorfs.Op) error {
		d.mu.Lock()
		fail := d.fail
		d.mu.Unlock()
		if fail == nil {
			return nil
		}
		return fail(op)
	}))
	return d
}

// failing makes operations fail from now on; nil ends that.
func (d *disk) failing(fail func(errorfs.Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = fail
}

func (d *disk) setRoom(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = n
}

// take returns how many of n bytes there is room for.
func (d *disk) take(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.room < 0 {
		return n
	}
	taken := min(int64(n), d.room)
	d.room -= taken
	return int(taken)
}

// roomFS writes as much as there is room for, as file systems do.
type roomFS struct {
	vfs.FS
	disk *disk
}

func (r *roomFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := r.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return roomFile{f, r.disk}, nil
}

type roomFile struct {
	vfs.File
	disk *disk
}

func (f roomFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b[:f.disk.take(len(b))])
	if err == nil && n < len(b) {
		err = syscall.ENOSPC
	}
	return n, err
}

// only fails operations of one kind.
func only(kind errorfs.OpKind, err error) func(errorfs.Op) error {
	return func(op errorfs.Op) error {
		if op.Kind == kind {
			return err
		}
		return nil
	}
}
