package instance

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestTheNameIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("before: %v", err)
	}
	first, err := Load(dir)
	if err != nil || uuid.Validate(first) != nil {
		t.Fatalf("got %q, %v", first, err)
	}
	if again, err := Load(dir); again != first || err != nil {
		t.Errorf("again: got %q, %v", again, err)
	}
	if read, err := Read(dir); read != first || err != nil {
		t.Errorf("read: got %q, %v", read, err)
	}
	if other, err := Load(t.TempDir()); other == first || err != nil {
		t.Errorf("in another folder: got %q, %v", other, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); left != nil {
		t.Errorf("left: %q", left)
	}
}

// A crash while the name was written leaves another file.
func TestAnUnfinishedFileIsReplaced(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, File+".tmp"), []byte(strings.Repeat("half ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if name, err := Load(dir); err != nil || uuid.Validate(name) != nil {
		t.Errorf("got %q, %v", name, err)
	}
}

func TestADamagedNameIsAnError(t *testing.T) {
	for _, content := range []string{"", "two words", strings.Repeat("a", 1000)} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, File), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if name, err := Load(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, File)) {
			t.Errorf("%.20q: got %q, %v", content, name, err)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a folder that is not there")
	}
}
