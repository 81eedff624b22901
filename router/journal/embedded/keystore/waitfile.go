package keystore

import (
	"github.com/cockroachdb/pebble/v2/vfs"
)

// waitFile is a file of the store that is open for writing.
type waitFile struct {
	vfs.File
	fs   *waitFS
	path string

	// unsynced is what was written since the last sync that went well, and begins at offset. It is kept for the files whose
	// writes must not be lost.
	unsynced []byte
	offset   int64
}

// maxBuffer bounds a buffer of what is not synced that is kept for another file.
const maxBuffer = 2 * memTableBytes

// Write writes all of p. Where the disk becomes full midway it waits, and goes on with the rest.
func (f *waitFile) Write(p []byte) (n int, err error) {
	kept := len(f.unsynced)
	if critical(f.path) {
		if f.unsynced == nil {
			if buffer, ok := f.fs.buffers.Get().(*[]byte); ok {
				f.unsynced = *buffer
			}
		}
		f.unsynced = append(f.unsynced, p...) // before the write, which may change p
	}
	err = f.fs.try(f.path, func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	})
	if err != nil && critical(f.path) {
		f.unsynced = f.unsynced[:kept+n]
	}
	return n, err
}

func (f *waitFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.fs.try(f.path, func() error {
		m, err := f.File.WriteAt(p[n:], off+int64(n))
		n += m
		return err
	})
	return n, err
}

// Preallocate asks for space in advance. A full disk is no error here: there may be room for what is written.
func (f *waitFile) Preallocate(offset, length int64) error {
	if err := f.File.Preallocate(offset, length); err != nil && !isFull(err) {
		return err
	}
	return nil
}

func (f *waitFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *waitFile) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo hastens the writing of a part. The sync at the end is what counts.
func (f *waitFile) SyncTo(length int64) (full bool, err error) {
	err = f.fs.once(f.path, func() error {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

// sync syncs the file. A sync that found the disk full may have dropped what it could not write, and the next one would
// succeed without it. So a WAL or manifest is written again from the last good sync on, and a table is left to Pebble, which
// writes a new one.
func (f *waitFile) sync(op func() error) error {
	switch {
	case f.path == f.fs.dir:
		return f.syncDir(op)
	case !critical(f.path):
		return f.syncTable(op)
	}
	again := false
	err := f.fs.try(f.path, func() error {
		if again {
			if _, err := f.File.WriteAt(f.unsynced, f.offset); err != nil {
				return err
			}
		}
		again = true
		return op()
	})
	if err == nil {
		f.offset += int64(len(f.unsynced))
		f.unsynced = f.unsynced[:0]
	}
	return err
}

// syncDir syncs the folder. Pebble panics where that fails, so it does not get to see it.
func (f *waitFile) syncDir(op func() error) error {
	err := f.fs.try(f.path, op)
	if err != nil {
		f.fs.stop(f.path, err)
	}
	return nil
}

func (f *waitFile) syncTable(op func() error) error {
	err := f.fs.once(f.path, op)
	if isFull(err) && f.fs.current() == running {
		f.fs.pause() // Pebble tries again at once
	}
	return err
}

// Close closes the file. There is no second try.
func (f *waitFile) Close() error {
	if cap(f.unsynced) > 0 && cap(f.unsynced) <= maxBuffer {
		empty := f.unsynced[:0]
		f.fs.buffers.Put(&empty) // for the next WAL
	}
	f.unsynced = nil
	err := f.fs.once(f.path, f.File.Close)
	if err != nil && critical(f.path) && f.fs.current() != opening {
		f.fs.stop(f.path, err)
	}
	return err
}
