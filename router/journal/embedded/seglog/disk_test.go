package seglog

import (
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk is a file system that fails on request, and has a limited size.
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
	return &roomFile{File: f, disk: r.disk}, nil
}

type roomFile struct {
	vfs.File
	disk *disk
	at   int64 // where the next Write begins
}

func (f *roomFile) Write(b []byte) (n int, err error) {
	fits, full, err := f.fits(len(b), f.at)
	if err == nil {
		n, err = f.File.Write(b[:fits])
	}
	f.at += int64(n)
	if err == nil {
		err = full
	}
	return n, err
}

func (f *roomFile) WriteAt(b []byte, at int64) (n int, err error) {
	fits, full, err := f.fits(len(b), at)
	if err == nil {
		n, err = f.File.WriteAt(b[:fits], at)
	}
	if err == nil {
		err = full
	}
	return n, err
}

// fits returns how many of n bytes can be written at a place. Only those behind the end of the file need room.
func (f *roomFile) fits(n int, at int64) (fits int, full, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, nil, err
	}
	more := int(min(int64(n), max(0, at+int64(n)-info.Size())))
	if fits = n - more + f.disk.take(more); fits < n {
		full = syscall.ENOSPC
	}
	return fits, full, nil
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
