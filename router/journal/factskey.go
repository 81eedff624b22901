package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"aka/router/journal/records"
)

// copyFactsKey copies the key of what is remembered from one folder to another, where there is one.
func copyFactsKey(from, to string) error {
	key, err := os.ReadFile(filepath.Join(from, records.FactsKeyFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = writeSynced(filepath.Join(to, records.FactsKeyFile), key)
	}
	if err != nil {
		return fmt.Errorf("copy the key of merges: %w", err)
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
