package embedded

import (
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// private is the system's files, which only their owner may read.
var private vfs.FS = privateFS{vfs.Default}

type privateFS struct{ vfs.FS }

const ownerOnly = 0o600

// Create implements vfs.FS.
func (p privateFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.FS.Create(name, category)
	return owned(f, name, err)
}

// ReuseForWrite implements vfs.FS.
func (p privateFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.FS.ReuseForWrite(from, to, category)
	return owned(f, to, err)
}

// Lock implements vfs.FS.
func (p privateFS) Lock(name string) (io.Closer, error) {
	lock, err := p.FS.Lock(name)
	if err == nil {
		if err = os.Chmod(name, ownerOnly); err != nil {
			_ = lock.Close()
			return nil, err
		}
	}
	return lock, err
}

// Unwrap implements vfs.FS.
func (p privateFS) Unwrap() vfs.FS { return p.FS }

func owned(f vfs.File, name string, err error) (vfs.File, error) {
	if err == nil {
		if err = os.Chmod(name, ownerOnly); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	return f, err
}
