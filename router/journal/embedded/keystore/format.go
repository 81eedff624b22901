package keystore

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

// formatFile is a file of ours in the folder. It is written last when a store is made, so a folder with it is a whole store.
const formatFile = "KEYSTORE"

// formatVersion is the version of what this package writes into Pebble. It reads formatOldest and later.
const (
	formatVersion = 1
	formatOldest  = 1
)

func formatText(version int) string {
	line := fmt.Sprintf("aka keystore %d", version)
	return fmt.Sprintf("%s %08x\n", line, crc32.ChecksumIEEE([]byte(line)))
}

// writeFormat writes the format file so that it is there whole or not at all.
func writeFormat(fs vfs.FS, dir string) error {
	path := fs.PathJoin(dir, formatFile)
	f, err := fs.Create(path+".tmp", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(formatText(formatVersion)))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readFormat reports whether the folder has a format file, and returns an error where it is not one that this program reads.
func readFormat(fs vfs.FS, dir string) (there bool, err error) {
	path := fs.PathJoin(dir, formatFile)
	b, err := readFile(fs, path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var version int
	if _, err := fmt.Sscanf(string(b), "aka keystore %d", &version); err != nil || string(b) != formatText(version) {
		return true, fmt.Errorf("%w: %s: not a line that this package writes", engine.ErrDamaged, path)
	}
	if version < formatOldest || version > formatVersion {
		return true, fmt.Errorf("%s: records of format %d, expected %d to %d", path, version, formatOldest, formatVersion)
	}
	return true, nil
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(f)
}
