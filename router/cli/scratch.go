package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"aka/router/journal"
)

// scratchFolder makes a folder for what this run leaves nothing of. An image without /tmp, or one whose root is read-only, has
// room only in the data folder; the journal there takes no notice of a name that begins with a dot.
func scratchFolder(name string) (string, error) {
	folder, err := os.MkdirTemp("", name+"-")
	if err == nil {
		return folder, nil
	}
	for _, place := range []string{journal.DefaultOptions.Dir, "."} {
		if folder, err := os.MkdirTemp(place, "."+name+"-"); err == nil {
			return filepath.Abs(folder)
		}
	}
	return "", fmt.Errorf("temporary folder: set TMPDIR to a folder that aka can write to: %w", err)
}
