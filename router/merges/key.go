package merges

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"aka/router/journal/records"
)

const (
	// KeyFile is the name of the key's file in the data folder.
	KeyFile = records.FactsKeyFile
	// maxKeyFile bounds what is read of a file with a key.
	maxKeyFile = 4096
)

// LoadKey returns the key of the digests: what file holds, without white space around it, or where file is "" the key of the
// data folder dir, which is made at the first time. An error never has a part of it.
func LoadKey(dir, file string) ([]byte, error) {
	if file != "" {
		return readKey(file)
	}
	path := filepath.Join(dir, KeyFile)
	key, err := readKey(path)
	if errors.Is(err, os.ErrNotExist) {
		if err := makeKey(dir, path); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("make the key of merges: %w", err)
		}
		key, err = readKey(path)
	}
	return key, err
}

func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("key of merges: %w", err)
	}
	defer func() { _ = f.Close() }()
	key, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("key of merges: %w", err)
	}
	if len(key) > maxKeyFile {
		return nil, fmt.Errorf("key of merges: %s: more than %d bytes", path, maxKeyFile)
	}
	if key = bytes.TrimSpace(key); len(key) < MinKey {
		return nil, fmt.Errorf("key of merges: %s: %d bytes, expected %d or more", path, len(key), MinKey)
	}
	return key, nil
}

// makeKey writes a new key. It is there whole or not at all: a crash in between leaves another file, which the next start replaces.
func makeKey(dir, path string) (err error) {
	secret := make([]byte, MinKey)
	_, _ = rand.Read(secret) // never fails
	unfinished := path + ".tmp"
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(hex.EncodeToString(secret) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(unfinished, path); err != nil { // unlike a rename it replaces nothing
		return errors.Join(err, os.Remove(unfinished))
	}
	return errors.Join(os.Remove(unfinished), syncFolder(dir))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
