package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"aka/router/journal/records"
)

// copyOwnFiles copies the files that belong to the folder, and that the journal does not read, to another one.
func copyOwnFiles(from, to string) error {
	for _, name := range []string{records.FactsKeyFile, records.InstanceFile} {
		content, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = writeSynced(filepath.Join(to, name), content)
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	return nil
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
