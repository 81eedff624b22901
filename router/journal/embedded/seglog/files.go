package seglog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// createFile makes a file with a content, safe on disk, and returns it open for more. It replaces one of that name in one
// step: a crash leaves the old one or the new one.
func createFile(files vfs.FS, dir, name string, content []byte) (vfs.File, error) {
	path := files.PathJoin(dir, name)
	temp := path + tempSuffix
	f, err := files.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = files.Rename(temp, path)
	}
	if err != nil {
		_ = f.Close()
		_ = files.Remove(temp)
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	if err := syncDir(files, dir); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// syncDir makes the names in a folder safe.
func syncDir(files vfs.FS, dir string) error {
	d, err := files.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// syncFile makes safe what was written to a file before.
func syncFile(files vfs.FS, path string) error {
	f, err := files.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// makeDir makes a folder, and those above it, where they are missing.
func makeDir(files vfs.FS, dir string) error {
	_, err := files.Stat(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := files.PathDir(dir)
	if parent != dir {
		if err := makeDir(files, parent); err != nil {
			return err
		}
	}
	if err := files.MkdirAll(dir, os.FileMode(0o700)); err != nil {
		return err
	}
	return syncDir(files, parent)
}

// makeEmptyDir makes a folder, or fails where there is one with something in it.
func makeEmptyDir(files vfs.FS, dir string) error {
	if err := makeDir(files, dir); err != nil {
		return err
	}
	names, err := files.List(dir)
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("%s: not an empty folder", dir)
	}
	return err
}

// cutFile makes a file end at size, where it is a file of the system. Others keep what is behind.
func cutFile(f vfs.File, size int64) {
	if fd := f.Fd(); fd != vfs.InvalidFd {
		_ = syscall.Ftruncate(int(fd), size)
	}
}

// readStart returns the first bytes of a file, at most n, and the file's size.
func readStart(files vfs.FS, path string, n int) (start []byte, size int64, err error) {
	f, err := files.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	start = make([]byte, n)
	got, err := f.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, info.Size(), fmt.Errorf("read %s: %w", path, err)
	}
	return start[:got], info.Size(), nil
}

// copyStart copies the first n bytes of a file to a new one, safe on disk but for its name.
func copyStart(files vfs.FS, from, to string, n int64) error {
	src, err := files.Open(from, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	dst, err := files.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	copied, err := io.Copy(dst, io.NewSectionReader(src, 0, n))
	if err == nil && copied < n {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = dst.Sync()
	}
	if closeErr := dst.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("copy %s to %s: %w", from, to, err)
	}
	return nil
}
