package docs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// typedStep is a block of commands below a step, indented as the list is.
	typedStep = regexp.MustCompile("(?s) *<!-- step -->\n *```sh\n(.*?) *```\n")
	// tableLine is the line that the reader adds to the table of vendors.
	tableLine = regexp.MustCompile("(?s)<!-- line -->\n *```go\n *(\"(\\w+)\": [^\n]*)\n")
)

// generated are the files outside its folder that a new vendor changes, beside the table.
var generated = []string{"config.example.yaml", "docs/config.schema.json", "docs/configuration.md", "router/reference/comments.json"}

const table = "destinations/destinations.go"

// The steps are typed in a copy of the source. Whatever else a vendor needed would show among the files that changed.
func TestTheStepsOfAddingAVendorAreAFolderAndALine(t *testing.T) {
	page := read(t, "docs/adding-a-vendor.md")
	steps, line := typedStep.FindAllStringSubmatchIndex(page, -1), tableLine.FindStringSubmatchIndex(page)
	if len(steps) != strings.Count(page, "<!-- step -->") || len(steps) < 4 || line == nil {
		t.Fatalf("%d steps, and the line at %v", len(steps), line)
	}
	source := copyOfSource(t)
	vendor := page[line[4]:line[5]]
	shell := newGoShell(t, source)
	if removeVendor(t, source, vendor) {
		if out := shell.run("go generate ./router/reference\n"); out != "" {
			t.Fatal(out)
		}
	}
	before := hashes(t, source)
	added := false
	for _, step := range steps {
		if !added && step[0] > line[0] {
			addLine(t, filepath.Join(source, table), vendor, page[line[2]:line[3]])
			added = true
		}
		commands := page[step[2]:step[3]]
		if out := shell.run("(set -e; " + commands + ") && echo done\n"); !strings.HasSuffix(out, "done\n") {
			t.Fatalf("%s\n%s", commands, out)
		}
	}
	var changed []string
	for name, hash := range hashes(t, source) {
		if before[name] != hash && !strings.HasPrefix(name, "destinations/"+vendor+"/") {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	if want := slices.Sorted(slices.Values(append(slices.Clone(generated), table))); !slices.Equal(changed, want) {
		t.Errorf("outside its folder the vendor changes\n%q, want\n%q", changed, want)
	}
}

// newGoShell is a shell in the folder that has Go and its caches. Without paths in them, builds are found there again.
func newGoShell(t *testing.T, folder string) *shell {
	t.Helper()
	s := newShell(t, folder)
	home := t.TempDir()
	out := s.run(fmt.Sprintf("export HOME=%q TMPDIR=%q PATH=%q GOCACHE=%q GOMODCACHE=%q GOFLAGS=-trimpath\n",
		home, home, os.Getenv("PATH"), goEnv(t, "GOCACHE"), goEnv(t, "GOMODCACHE")))
	if out != "" {
		t.Fatal(out)
	}
	return s
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// addLine adds a vendor to the table, with its import.
func addLine(t *testing.T, file, vendor, line string) {
	t.Helper()
	const imports, entries = "import (\n", "var Vendors = map[string]adapter.Vendor{\n"
	change(t, file, func(text string) string {
		if strings.Count(text, imports) != 1 || strings.Count(text, entries) != 1 {
			t.Fatalf("%s has no imports, or no table", file)
		}
		return strings.NewReplacer(imports, imports+fmt.Sprintf("\t\"aka/destinations/%s\"\n", vendor), entries, entries+"\t"+line+"\n").Replace(text)
	})
}

// removeVendor takes a vendor of that name out of the copy, and reports whether aka had one: the reader of the page has added it,
// and runs the tests.
func removeVendor(t *testing.T, source, vendor string) (found bool) {
	t.Helper()
	folder := filepath.Join(source, "destinations", vendor)
	if _, err := os.Stat(folder); err != nil {
		return false
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^\t"(aka/destinations/)?` + vendor + `"(:.*)?\n`)
	change(t, filepath.Join(source, table), func(text string) string { return lines.ReplaceAllString(text, "") })
	return true
}

// change writes a file anew.
func change(t *testing.T, file string, by func(text string) string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(by(string(text))), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// copyOfSource is a folder with the module's files.
func copyOfSource(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	eachFile(t, root, func(name string, text []byte) {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	})
	return folder
}

func hashes(t *testing.T, folder string) map[string][32]byte {
	t.Helper()
	all := map[string][32]byte{}
	eachFile(t, folder, func(name string, text []byte) { all[name] = sha256.Sum256(text) })
	return all
}

// eachFile reads the files below a folder, but for hidden ones and what npm has installed.
func eachFile(t *testing.T, folder string, do func(name string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != folder && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules") {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			do(filepath.ToSlash(name), text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
