package embedded

import (
	"io/fs"
	"path/filepath"
	"testing"
)

func TestFilesAreTheirOwnersOnly(t *testing.T) {
	dir := newFolder(t)
	e := openAt(t, dir)
	_, err := e.Append(t.Context(), [][]byte{frameOf(1)}, 0)
	must(t, err)
	must(t, e.Apply(t.Context(), "vero", changesOf("vero", 1)))
	backup := filepath.Join(t.TempDir(), "backup")
	must(t, e.Backup(t.Context(), backup))
	must(t, e.Close())
	target, err := CreateTarget(filepath.Join(t.TempDir(), "target"), 1)
	must(t, err)
	must(t, target.Frame(1, frameOf(1)))
	must(t, target.Finish(2))
	files := 0
	for _, root := range []string{dir, backup, target.dir} {
		must(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			info, err := entry.Info()
			files++
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %s", path, info.Mode())
			}
			return err
		}))
	}
	if files < 20 {
		t.Errorf("only %d files were looked at", files)
	}
}
