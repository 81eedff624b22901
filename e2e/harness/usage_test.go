package harness

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhatAProcessHasWrittenIsReadFromProc(t *testing.T) {
	const text = "rchar: 8403392\nwchar: 8388702\nsyscr: 29\nsyscw: 11\nread_bytes: 1\nwrite_bytes: 8388608\ncancelled_write_bytes: 2\n"
	if got, err := writtenIn(text); err != nil || got != 8388608 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, text := range []string{"", "rchar: 1\n", "cancelled_write_bytes: 2\n", "write_bytes: many\n"} {
		if got, err := writtenIn(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestTheBytesOfAFolderAreThoseOfAllItsFiles(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"a": 3, "below/b": 4} {
		if err := os.WriteFile(filepath.Join(folder, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := FolderBytes(folder); err != nil || got != 7 {
		t.Errorf("got %d, %v", got, err)
	}
	if got, err := FolderBytes(filepath.Join(folder, "none")); err != nil || got != 0 {
		t.Errorf("of a folder that is gone: %d, %v", got, err)
	}
}
