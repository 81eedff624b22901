package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aka/destinations"
)

func TestInitWritesAConfigThatChecksOnceItsVariablesAreSet(t *testing.T) {
	for _, vendors := range append([][]string{{}, {"--full"}, {"vero", "kissmetrics"}, {"vero", "mixpanel", "--full"}}, each(destinations.Types())...) {
		path := filepath.Join(t.TempDir(), "config.yaml")
		got := runAka(t, append([]string{"init", "-o", path}, vendors...)...)
		if got.code != exitDone || got.out != "" {
			t.Fatalf("%v: exit code %d, out %q: %s", vendors, got.code, got.out, got.errOut)
		}
		names, ok := strings.CutPrefix(strings.TrimSuffix(got.errOut, ", then run aka check\n"), "set ")
		if !ok || !strings.Contains(names, "AKA_WRITE_KEY") {
			t.Errorf("%v: what is to be set is told as %q", vendors, got.errOut)
		}
		if without := runAka(t, "check", "-c", path); without.code != exitFailed || !strings.Contains(without.errOut, " is not set") {
			t.Errorf("%v: without its variables: exit code %d: %s", vendors, without.code, without.errOut)
		}
		for name := range strings.SplitSeq(names, ", ") {
			value := "value-of-" + name
			if name == "WEBHOOK_SECRET" { // its form is checked
				value = simulatedKey
			}
			t.Setenv(name, value)
		}
		if checked := runAka(t, "check", "-c", path); checked.code != exitDone {
			t.Errorf("%v: exit code %d: %s", vendors, checked.code, checked.errOut)
		}
		for name := range strings.SplitSeq(names, ", ") {
			_ = os.Unsetenv(name)
		}
	}
}

// The short config and the full one have the same effect: the full one only writes down the defaults too.
func TestInitWritesAShortConfigUnlessItIsToBeFull(t *testing.T) {
	t.Setenv("VERO_AUTH_TOKEN", "token-of-vero")
	t.Setenv("MIXPANEL_TOKEN", "token-of-mixpanel")
	for _, c := range []struct {
		vendors []string
		most    int
	}{{[]string{"vero"}, 15}, {[]string{"vero", "mixpanel"}, 20}} {
		short, full := runAka(t, append([]string{"init"}, c.vendors...)...), runAka(t, append([]string{"init", "--full"}, c.vendors...)...)
		if lines := strings.Count(short.out, "\n"); lines > c.most || short.code != exitDone {
			t.Errorf("%v: exit code %d, %d lines:\n%s", c.vendors, short.code, lines, short.out)
		}
		if !strings.Contains(full.out, "max_backlog_age: 7d") || short.errOut != full.errOut {
			t.Errorf("%v: exit code %d, errors %q and %q, the full config is\n%s", c.vendors, full.code, short.errOut, full.errOut, full.out)
		}
		ofShort, ofFull := runAka(t, "check", "-c", writeConfig(t, short.out)), runAka(t, "check", "-c", writeConfig(t, full.out))
		if ofShort.code != exitDone || ofShort.out != ofFull.out {
			t.Errorf("%v: exit code %d, errors %q; in effect it is\n%s\nand the full one\n%s", c.vendors, ofShort.code, ofShort.errOut, ofShort.out, ofFull.out)
		}
	}
}

func each(words []string) [][]string {
	var all [][]string
	for _, word := range words {
		all = append(all, []string{word})
	}
	return all
}

func TestInitWritesOverNothingUnlessForced(t *testing.T) {
	path := writeConfig(t, "mine\n")
	got := runAka(t, "init", "vero", "-o", path)
	if text, _ := os.ReadFile(path); got.code != exitFailed || string(text) != "mine\n" || !strings.Contains(got.errOut, "--force") {
		t.Errorf("exit code %d: %s; the file holds %q", got.code, got.errOut, text)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	got = runAka(t, "init", "vero", "-o", path, "--force")
	text, _ := os.ReadFile(path)
	if shown := runAka(t, "init", "vero"); got.code != exitDone || string(text) != shown.out {
		t.Errorf("exit code %d: %s; the file holds %q", got.code, got.errOut, text)
	}
	if about, err := os.Stat(path); err != nil || about.Mode().Perm() != 0o600 {
		t.Errorf("others may read what was written over: %v %v", about.Mode(), err)
	}
	link := filepath.Join(t.TempDir(), "link.yaml")
	if err := os.Symlink(writeConfig(t, "another's\n"), link); err != nil {
		t.Fatal(err)
	}
	if got := runAka(t, "init", "vero", "-o", link, "--force"); got.code != exitFailed {
		t.Errorf("it has written through a link: %+v", got)
	}
	fresh := filepath.Join(t.TempDir(), "config.yaml")
	if got := runAka(t, "init", "-o", fresh); got.code != exitDone {
		t.Fatal(got.errOut)
	}
	if about, err := os.Stat(fresh); err != nil || about.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v %v", about.Mode(), err)
	}
}

func TestInitKnowsTheVendorsAndSuggestsTheNearest(t *testing.T) {
	got := runAka(t, "init", "veroo")
	if got.code != exitWrongUse || !strings.Contains(got.errOut, "did you mean vero?") || got.out != "" {
		t.Errorf("exit code %d, out %q: %s", got.code, got.out, got.errOut)
	}
}

func TestSchemaIsJSON(t *testing.T) {
	got := runAka(t, "schema")
	var schema struct {
		Properties map[string]any `json:"properties"`
	}
	if err := json.Unmarshal([]byte(got.out), &schema); err != nil || got.code != exitDone || schema.Properties["destinations"] == nil {
		t.Errorf("exit code %d, %v", got.code, err)
	}
	committed, err := os.ReadFile("../../docs/config.schema.json")
	if err != nil || string(committed) != got.out {
		t.Errorf("docs has another one (%v)", err)
	}
}

func TestTheShellCompletesWhatIsKnown(t *testing.T) {
	path := writeConfig(t, "sources: { shop: { write_key: k } }\ndestinations: { mail: { type: vero, settings: { auth_token_file: /run/none } } }\n")
	for want, args := range map[string][]string{
		"mail":           {"dead", "list", "--config", path, "--destination", ""},
		"mail\n":         {"destination", "pause", "--config", path, ""},
		"shop":           {"explain", "-c", path, "--source", ""},
		"too_old":        {"dead", "replay", "--reason", "too_"},
		"json":           {"explain", "-o", ""},
		"group":          {"dead", "list", "--type", ""},
		"debug":          {"log", "level", ""},
		"kissmetrics":    {"init", "vero", ""},
		"completion\tGe": {""},
	} {
		got := runAka(t, append([]string{"__complete"}, args...)...)
		if got.code != exitDone || !strings.Contains("\n"+got.out, "\n"+want) {
			t.Errorf("%v: %q is not in %q", args, want, got.out)
		}
	}
	if got := runAka(t, "__complete", "init", "vero", ""); strings.Contains(got.out, "vero") {
		t.Errorf("a vendor that is there is named again: %q", got.out)
	}
	if got := runAka(t, "__complete", "dead", "list", "--config", "/no/such/file", "--destination", ""); got.out != ":4\n" {
		t.Errorf("without a config: %q", got.out)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		got := runAka(t, "completion", shell)
		if got.code != exitDone || !strings.Contains(got.out, "__complete") {
			t.Errorf("%s: exit code %d: %s", shell, got.code, got.errOut)
		}
		if shell == "bash" {
			parses(t, got.out)
		}
	}
}

func parses(t *testing.T, script string) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash to read its script")
	}
	command := exec.Command(bash, "-n")
	command.Stdin = strings.NewReader(script)
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("bash: %v: %s", err, out)
	}
}

func TestEveryCommandHasAManualPage(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	folder := filepath.Join(t.TempDir(), "man1")
	if got := runAka(t, "man", folder); got.code != exitDone || got.errOut != "" {
		t.Fatalf("exit code %d: %s", got.code, got.errOut)
	}
	pages, err := filepath.Glob(filepath.Join(folder, "*.1"))
	if err != nil || len(pages) < 15 {
		t.Fatalf("%d pages (%v)", len(pages), err)
	}
	for _, name := range []string{"aka.1", "aka-serve.1", "aka-dead-list.1", "aka-completion-bash.1"} {
		if !slices.Contains(pages, filepath.Join(folder, name)) {
			t.Errorf("there is no %s", name)
		}
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil || !strings.Contains(string(text), "2023\\-11\\-14") || !strings.Contains(string(text), ".SH SYNOPSIS") {
			t.Errorf("%s: %v\n%.300s", page, err, text)
		}
		readsWithoutWarning(t, page)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if got := runAka(t, "man", folder); got.code != exitFailed || !strings.Contains(got.errOut, "expected seconds") {
		t.Errorf("exit code %d: %s", got.code, got.errOut)
	}
}

// readsWithoutWarning asks groff, where there is one.
func readsWithoutWarning(t *testing.T, page string) {
	t.Helper()
	groff, err := exec.LookPath("groff")
	if err != nil {
		return
	}
	out, err := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z", page).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%s: %v: %s", page, err, out)
	}
}
