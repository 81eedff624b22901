// Package docs keeps the pages of documentation true: what they show was run, what they link and name is there.
package docs

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aka/router/cli"
)

// root is the module's folder, in which the tests' links and files are looked up.
const root = ".."

var update = flag.Bool("update", false, "write what is generated into the pages anew")

// page is one file of Markdown. Its name begins at the module's folder.
type page struct{ name, text string }

// pages returns every page of the module.
func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"):
			return fs.SkipDir
		case strings.HasSuffix(path, ".md"):
			name, _ := filepath.Rel(root, path)
			all = append(all, page{filepath.ToSlash(name), read(t, name)})
		}
		return nil
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("%d pages (%v)", len(all), err)
	}
	return all
}

// read returns a file below the module's folder.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// expect compares a page with what it should be, or makes it so.
func expect(t *testing.T, p page, want string) {
	t.Helper()
	if p.text == want {
		return
	}
	if *update {
		if err := os.WriteFile(filepath.Join(root, p.name), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	is, should := strings.Split(p.text, "\n"), strings.Split(want, "\n")
	for i := range should {
		if i >= len(is) || is[i] != should[i] {
			t.Fatalf("%s, line %d is stale: go test ./docs -update\n got %q\nwant %q", p.name, i+1, is[min(i, len(is)-1)], should[i])
		}
	}
}

// aka runs a command in this process, and returns what it printed and its exit code.
func aka(input string, args ...string) (out string, code int) {
	var text, failure bytes.Buffer
	code = cli.Main(args, strings.NewReader(input), &text, &failure)
	return text.String() + failure.String(), code
}
