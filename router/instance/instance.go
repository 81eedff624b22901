// Package instance keeps the name of this aka, which a call takes along when it is forwarded: a UUID in the journal's folder.
package instance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"aka/destinations/adapter"
	"aka/router/journal/records"
)

const (
	// File is the name of the file in the journal's folder.
	File = records.InstanceFile
	// maxFile bounds what is read of it.
	maxFile = 256
)

// Load returns the name that the folder dir keeps. At the first time it makes one. The folder is the caller's alone.
func Load(dir string) (string, error) {
	name, err := Read(dir)
	if !errors.Is(err, os.ErrNotExist) {
		return name, err
	}
	name = uuid.NewString()
	if err := write(filepath.Join(dir, File), name+"\n"); err != nil {
		return "", fmt.Errorf("make the name of the instance: %w", err)
	}
	return name, nil
}

// Read returns the name that the folder dir keeps. The error is os.ErrNotExist where there is none yet.
func Read(dir string) (string, error) {
	f, err := os.Open(filepath.Join(dir, File))
	if err != nil {
		return "", fmt.Errorf("name of the instance: %w", err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return "", fmt.Errorf("name of the instance: %w", err)
	}
	name := strings.TrimSpace(string(content))
	if err := adapter.CheckInstance(f.Name(), name); err != nil {
		return "", fmt.Errorf("name of the instance: %w", err)
	}
	return name, nil
}

// write makes a file that is there whole or not at all, also after a crash.
func write(path, content string) error {
	unfinished := path + ".tmp"
	f, err := os.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(unfinished, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
