// Package configtest is what tests that read a config share.
package configtest

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// Minimal is a config with one source and one destination of each vendor.
const Minimal = `
sources: { website: { write_key: dev } }
destinations:
  kissmetrics: { settings: { api_key: key-1 } }
  mixpanel: { settings: { token: token-1, id_merge: simplified } }
  vero: { settings: { auth_token: token-2 } }
`

// environment is what the configs of tests may ask for.
var environment = map[string]string{
	"WRITE_KEY": "s3cret-write-key",
	"EMPTY":     "",
	"ENDPOINT":  "not a url",
	"NEWLINE":   "s3cret-newline\n",
	"SPACES":    " s3cret-spaces ",
}

// Lookup reads a variable of an environment that is the same for all tests.
func Lookup(name string) (string, bool) {
	value, ok := environment[name]
	return value, ok
}

// Write makes a config file of the text, and returns its path.
func Write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var update = flag.Bool("update", false, "write the golden files anew; read what changed before committing it")

// CompareGolden fails the test where the file does not hold the text. With -update it writes the file first.
func CompareGolden(t testing.TB, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n got %s\nwant %s", path, got, want)
	}
}
