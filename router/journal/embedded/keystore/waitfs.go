package keystore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// poll is how often a write that waits for room tries again.
const poll = 100 * time.Millisecond

// phase is what a waitFS does about errors. Phases only go forward.
type phase int

const (
	opening phase = iota // errors are returned or fail the store: an open that cannot succeed must not hang
	running              // a full disk is waited for, and errors of critical files fail the store
	closing              // a full disk is not waited for, and is an error like others
	sealed               // nothing is written any more: a write does not return
)

// waitFS is the file system that Pebble writes through. While the store runs, a write in its folder that finds the disk full
// waits until there is room and goes on where it stopped. Any other failed write or sync of a WAL, a manifest or the folder
// itself fails the store, and does not return: Pebble would end the process, or go on without what it could not write.
//
// Files outside of the folder, which is where a checkpoint goes, are passed through.
type waitFS struct {
	vfs.FS
	dir  string
	fail *failure
	log  *zap.Logger
	poll time.Duration

	mu      sync.Mutex
	phase   phase
	changed chan struct{} // closed and replaced when the phase changes
	waits   int           // writes that are waiting for room now
	warned  bool          // of the writes that wait
	often   rate.Sometimes
	lock    io.Closer // of the folder
	buffers sync.Pool // of *[]byte, for what is not synced
}

func newWaitFS(dir string, fail *failure, o Options) *waitFS {
	return &waitFS{FS: o.FS, dir: dir, fail: fail, log: o.Log, poll: o.poll,
		changed: make(chan struct{}), often: rate.Sometimes{Interval: logEvery}}
}

func (w *waitFS) Unwrap() vfs.FS { return w.FS }

// enter moves on to a later phase and wakes what waits.
func (w *waitFS) enter(p phase) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p <= w.phase {
		return
	}
	w.phase = p
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *waitFS) current() phase {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.phase
}

func (w *waitFS) waiting() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waits > 0
}

// try runs one write-side operation on a file until it succeeds or its error is one to return.
func (w *waitFS) try(path string, op func() error) error {
	err := w.tryAgain(path, op)
	if err != nil && w.inside(path) && w.current() == opening {
		return w.cannotOpen(path, err)
	}
	return err
}

// cannotOpen does not return where an opening would fail with the error. Pebble reads and compacts tables beside its opening, and
// panics there once that has failed; so it is left behind as it is. For tables Pebble has a second try.
func (w *waitFS) cannotOpen(path string, err error) error {
	if !isTable(path) {
		w.stop(path, err)
	}
	return err
}

// tryAgain is try for what Pebble gets over.
func (w *waitFS) tryAgain(path string, op func() error) error {
	err := w.once(path, op)
	if !isFull(err) || !w.inside(path) || w.current() == opening {
		return err
	}
	w.beginWait(path, err)
	defer w.endWait()
	for isFull(err) && w.pause() == running {
		err = w.once(path, op)
	}
	if isFull(err) && critical(path) {
		w.stop(path, err)
	}
	return err
}

// once runs an operation, and returns its error unless that fails the store.
func (w *waitFS) once(path string, op func() error) error {
	if !w.inside(path) {
		return op()
	}
	w.mayWrite()
	err := op()
	if err == nil || isFull(err) {
		return err
	}
	w.mayWrite()
	if w.current() != opening {
		if critical(path) {
			w.stop(path, err)
		}
		w.pause() // Pebble tries again at once, and for as long as it takes
	}
	return err
}

// mayWrite returns unless writing has ended.
func (w *waitFS) mayWrite() {
	if w.current() == sealed {
		neverReturn()
	}
}

// stop fails the store, and does not return.
func (w *waitFS) stop(path string, err error) {
	w.fail.fail(&os.PathError{Op: "write", Path: path, Err: err})
	neverReturn()
}

// pause waits a moment, or until the phase changes, and returns the phase. It does not return once writing has ended.
func (w *waitFS) pause() phase {
	w.mu.Lock()
	changed := w.changed
	w.mu.Unlock()
	timer := time.NewTimer(w.poll)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	}
	w.mayWrite()
	return w.current()
}

func (w *waitFS) beginWait(path string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits++
	if w.warned {
		return
	}
	w.often.Do(func() {
		w.warned = true
		w.log.Warn("disk is full, records wait for room", zap.String("path", path), zap.Error(err),
			zap.String("hint", "make room on the disk of the journal"))
	})
}

func (w *waitFS) endWait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits--
	if w.warned && w.waits == 0 && w.phase == running {
		w.warned = false
		w.log.Info("disk has room again for records")
	}
}

// seal ends all writing, and gives the folder's lock back where unlock is set.
func (w *waitFS) seal(unlock bool) {
	w.enter(sealed)
	if !unlock {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lock != nil {
		_ = w.lock.Close() // what it is for is over
		w.lock = nil
	}
}

func (w *waitFS) inside(path string) bool {
	return path == w.dir || w.FS.PathDir(path) == w.dir
}

// critical reports whether Pebble cannot go on after a failed write of the file.
func critical(path string) bool {
	name := path[strings.LastIndexAny(path, "/\\")+1:]
	return strings.HasSuffix(name, ".log") || strings.HasPrefix(name, "MANIFEST-") || strings.HasPrefix(name, "marker.")
}

func isTable(path string) bool { return strings.HasSuffix(path, ".sst") }

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func (w *waitFS) Create(name string, category vfs.DiskWriteCategory) (f vfs.File, err error) {
	if err := w.beforeMarker(name); err != nil {
		return nil, err
	}
	err = w.try(name, func() error {
		f, err = w.FS.Create(name, category)
		return err
	})
	return w.file(name, f, err)
}

func (w *waitFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (f vfs.File, err error) {
	err = w.try(name, func() error {
		f, err = w.FS.OpenReadWrite(name, category, opts...)
		return err
	})
	return w.file(name, f, err)
}

// ReuseForWrite makes a new file instead, which its contract allows. Then a file holds only what was written to it under its
// name, and what is not a whole chunk at the end of a WAL is either torn or damaged.
func (w *waitFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := w.Remove(oldname); err != nil {
		return nil, err
	}
	return w.Create(newname, category)
}

func (w *waitFS) OpenDir(name string) (vfs.File, error) {
	f, err := w.FS.OpenDir(name)
	return w.file(name, f, err)
}

func (w *waitFS) file(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	if !w.inside(name) {
		return f, nil
	}
	return &waitFile{File: f, fs: w, path: name}, nil
}

// beforeMarker syncs the folder before a marker comes or goes. The current manifest is the one that the newest marker names. So
// the manifest's name must be safe before the marker is there, and the new marker before the old one is gone. Pebble leaves the
// order to the file system.
func (w *waitFS) beforeMarker(name string) error {
	if !w.inside(name) || !strings.HasPrefix(w.FS.PathBase(name), "marker.") {
		return nil
	}
	return syncDir(w, w.dir)
}

func (w *waitFS) Link(oldname, newname string) error {
	return w.try(newname, func() error { return w.FS.Link(oldname, newname) })
}

func (w *waitFS) Rename(oldname, newname string) error {
	if archived(w.FS, newname) {
		return w.Remove(oldname)
	}
	return w.try(newname, func() error { return w.FS.Rename(oldname, newname) })
}

func (w *waitFS) MkdirAll(dir string, perm os.FileMode) error {
	if w.inside(dir) && w.FS.PathBase(dir) == archive {
		return nil
	}
	return w.try(dir, func() error { return w.FS.MkdirAll(dir, perm) })
}

func (w *waitFS) Remove(name string) error {
	if err := w.beforeMarker(name); err != nil {
		return err
	}
	return w.tryAgain(name, func() error { return w.FS.Remove(name) })
}

func (w *waitFS) RemoveAll(name string) error {
	return w.tryAgain(name, func() error { return w.FS.RemoveAll(name) })
}

// lockFolder takes the lock of a folder that has a lock file.
func (w *waitFS) lockFolder() error {
	path := w.FS.PathJoin(w.dir, lockFile)
	if _, err := w.FS.Stat(path); err != nil {
		return nil // there is nothing to exclude others from, or the look says what is wrong
	}
	_, err := w.Lock(path)
	return err
}

const lockFile = "LOCK" // as Pebble calls it

// Lock takes the folder's lock, unless it is taken already. The store can give it back even if Pebble cannot be closed.
func (w *waitFS) Lock(name string) (io.Closer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lock == nil {
		lock, err := w.FS.Lock(name)
		if err != nil {
			return nil, fmt.Errorf("lock %s, which one process at a time can have: %w", name, err)
		}
		w.lock = lock
	}
	return unlocker{w}, nil
}

type unlocker struct{ fs *waitFS }

func (u unlocker) Close() error {
	u.fs.mu.Lock()
	defer u.fs.mu.Unlock()
	if u.fs.lock == nil {
		return nil
	}
	err := u.fs.lock.Close()
	u.fs.lock = nil
	return err
}

// archive is the folder to which Pebble's ArchiveCleaner moves files that it no longer needs. With another cleaner, Pebble keeps
// old WALs and writes new ones over them. Here the files are removed instead of moved.
const archive = "archive"

func archived(fs vfs.FS, name string) bool { return fs.PathBase(fs.PathDir(name)) == archive }
