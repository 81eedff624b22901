//go:build unix

package router

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// A pipe without a writer kept the reload, every later one and the end of the process waiting.
func TestAPipeWithoutAWriterKeepsNoReloadWaiting(t *testing.T) {
	w := newReloadWorld(t, "vero")
	w.write("", "vero")
	w.start()
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(w.path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.router.Reload(); err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Errorf("got %v", err)
	}
}
