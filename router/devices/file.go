package devices

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// A file is a header and then digests of 8 bytes, in any order. The header is a magic, when its generation was started, and a
// digest of nothing, which differs for another key.
const (
	magic      = "akadev01"
	headerSize = len(magic) + 8 + digestSize
	digestSize = 8
	maxSize    = int64(headerSize + Capacity*digestSize)
)

// errNoDevices is the error of a file that holds something else, or what another key has made.
var errNoDevices = errors.New("expected a file of seen devices, made with this key")

// headerCheck is what a key's digest makes of this text.
const headerCheck = "aka devices file"

func header(key sipKey, started time.Time) []byte {
	all := binary.LittleEndian.AppendUint64([]byte(magic), uint64(started.Unix()))
	return binary.LittleEndian.AppendUint64(all, key.digest(headerCheck))
}

// parseHeader returns when the generation was started. It is the zero time for a file that is empty.
func parseHeader(from io.Reader, key sipKey) (time.Time, error) {
	var all [headerSize]byte
	n, err := io.ReadFull(from, all[:])
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return time.Time{}, nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return time.Time{}, errNoDevices
	case err != nil:
		return time.Time{}, err
	}
	seconds := binary.LittleEndian.Uint64(all[len(magic):])
	if string(all[:len(magic)]) != magic || seconds > 1<<40 || binary.LittleEndian.Uint64(all[headerSize-digestSize:]) != key.digest(headerCheck) {
		return time.Time{}, errNoDevices
	}
	return time.Unix(int64(seconds), 0), nil
}

// openToRead opens an ordinary file: another one could keep the reader waiting. It is nil where there is none.
func openToRead(path string) (*os.File, error) {
	about, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !about.Mode().IsRegular() {
		err = errNoDevices
	}
	if err != nil {
		return nil, wrap("read", err)
	}
	f, err := os.Open(path)
	return f, wrap("read", err)
}

// startOf returns when the file's generation was started, or the zero time where there is none.
func startOf(path string, key sipKey) (time.Time, error) {
	f, err := openToRead(path)
	if f == nil {
		return time.Time{}, err
	}
	defer f.Close()
	started, err := parseHeader(f, key)
	return started, wrap("read", err)
}

// eachDigest visits the digests of a file, up to Capacity of them. What is left over at the end is a write that was interrupted.
func eachDigest(path string, key sipKey, visit func(uint64)) error {
	f, err := openToRead(path)
	if f == nil {
		return err
	}
	defer f.Close()
	return wrap("read", readDigests(f, key, visit))
}

func readDigests(from io.Reader, key sipKey, visit func(uint64)) error {
	reader := bufio.NewReaderSize(from, 64<<10)
	if started, err := parseHeader(reader, key); err != nil || started.IsZero() {
		return err
	}
	var one [digestSize]byte
	for range Capacity {
		_, err := io.ReadFull(reader, one[:])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		visit(binary.LittleEndian.Uint64(one[:]))
	}
	return nil
}

// file is the one of the current generation, open to append.
type file struct {
	*os.File
	size     int64
	unsynced bool // something was written that may not outlive a power cut
}

// openFile opens the file, or makes it. It cuts off a write that was interrupted, and replaces what is no file of this generation.
func openFile(path string, key sipKey, started time.Time) (*file, error) {
	known, err := startOf(path, key)
	if err != nil || known.Unix() != started.Unix() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, wrap("replace", err)
		}
	}
	opened, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, wrap("open", err)
	}
	f := &file{File: opened}
	if err := f.prepare(header(key, started)); err != nil {
		return nil, errors.Join(wrap("open", err), f.close())
	}
	return f, nil
}

// prepare goes to the end of the last whole digest, behind the header.
func (f *file) prepare(header []byte) error {
	about, err := f.Stat()
	if err != nil {
		return err
	}
	if f.size = about.Size(); f.size < int64(headerSize) {
		if _, err := f.WriteAt(header, 0); err != nil {
			return err
		}
		f.size = int64(headerSize)
	}
	f.size -= (f.size - int64(headerSize)) % digestSize
	if err := f.Truncate(f.size); err != nil {
		return err
	}
	_, err = f.Seek(f.size, io.SeekStart)
	return err
}

// append writes digests, up to the bound of the file: beyond it the filter is full anyway.
func (f *file) append(digests []byte) error {
	if room := maxSize - f.size; int64(len(digests)) > room {
		digests = digests[:max(room, 0)]
	}
	n, err := f.Write(digests)
	f.size, f.unsynced = f.size+int64(n), true
	return wrap("write", err)
}

func (f *file) sync() error {
	f.unsynced = false
	return wrap("sync", f.Sync())
}

func (f *file) close() error {
	return wrap("close", errors.Join(f.Sync(), f.Close()))
}

// rename is no error where there is no file to rename.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return wrap("rename", err)
	}
	return nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s the file of seen devices: %w", what, err)
}
