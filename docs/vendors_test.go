package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"aka/destinations"
	"aka/destinations/adapter"
)

// example is a call on a page, by the settings before it, and what aka explain says of it.
var example = regexp.MustCompile("(?s)<!-- explain (\\w+) (\\{.*?\\}) -->\n\n?```json\n(.*?)```\n\n```text\n(.*?)```\n")

// With -update the pages say what aka explain does.
func TestThePagesOfVendorsShowWhatIsSent(t *testing.T) {
	for _, vendor := range destinations.StableTypes() {
		p := pageOf(t, vendor)
		found := example.FindAllStringSubmatch(p.text, -1)
		if len(found) < 4 || len(found) != strings.Count(p.text, "<!-- explain ") {
			t.Errorf("%s: %d examples that can be read", p.name, len(found))
		}
		expect(t, p, withExplanations(t, p.text, vendor))
	}
}

// withExplanations puts under each example of a text what aka explain says of it, with a vendor of that type.
func withExplanations(t *testing.T, text, vendorType string) string {
	t.Helper()
	return example.ReplaceAllStringFunc(text, func(block string) string {
		m := example.FindStringSubmatch(block)
		before, _, _ := strings.Cut(block, "```text\n")
		return before + "```text\n" + explained(t, vendorType, m[1], m[2], m[3]) + "```\n"
	})
}

func pageOf(t *testing.T, vendor string) page {
	t.Helper()
	name := "docs/vendors/" + vendor + ".md"
	return page{name, read(t, name)}
}

// explained is what aka explain says of a call at one destination, without its name.
func explained(t *testing.T, vendorType, name, settings, call string) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "config.yaml")
	text := fmt.Sprintf("sources: { website: { write_key: k3y } }\ndestinations: { %s: { type: %s, settings: %s } }\n", name, vendorType, settings)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := aka(call, "explain", "--config", config)
	_, rest, _ := strings.Cut(out, "\n")
	prefix := "  " + name + "  "
	if code != 0 || !strings.HasPrefix(rest, prefix) {
		t.Fatalf("%s: exit code %d: %s", call, code, out)
	}
	word, rest, _ := strings.Cut(strings.TrimPrefix(rest, prefix), " ")
	if word != "send" {
		return word + " " + strings.TrimLeft(rest, " ")
	}
	request := strings.TrimLeft(rest, " ")
	column := len(prefix) + len(word) + 1 + len(rest) - len(request)
	var lines []string
	for line := range strings.SplitSeq(request, "\n") {
		if indent := len(line) - len(strings.TrimLeft(line, " ")); indent > 0 { // a step after the first begins with "then"
			line = line[min(indent, column):]
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// goldenEnd is what a golden case expects of a call that is not sent.
type goldenEnd struct {
	Doc, Drop, Reject string
}

func goldenEnds(t *testing.T, vendor string) (all []goldenEnd) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "destinations", vendor, "testdata", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases of %s (%v)", vendor, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var end goldenEnd
		if err := yaml.Unmarshal(text, &end); err != nil {
			t.Fatal(err)
		}
		all = append(all, end)
	}
	return all
}

func TestThePagesOfVendorsNameWhateverIsDroppedOrRejectedThere(t *testing.T) {
	for _, vendor := range destinations.StableTypes() {
		p := pageOf(t, vendor)
		for _, end := range goldenEnds(t, vendor) {
			if end.Drop != "" && !strings.Contains(p.text, "| `"+end.Drop+"` |") && !slices.Contains(general, adapter.Reason(end.Drop)) {
				t.Errorf("%s does not have the reason %s", p.name, end.Drop)
			}
			if end.Reject != "" && !strings.Contains(p.text, "`"+end.Reject) {
				t.Errorf("%s does not have the error %q", p.name, end.Reject)
			}
		}
	}
}

// general are the reasons that any call may be dropped for, whatever the vendor.
var general = []adapter.Reason{
	adapter.MissingUserID, adapter.MissingPreviousID, adapter.SameIDs, adapter.BlockedID, adapter.IDTooLong,
	adapter.FilteredByIntegrations, adapter.FilteredBySource, adapter.FilteredByDestination, adapter.ReversedInBrowser,
}

// reasonTable is a table of reasons on a page: those that it names, or all for which a call is dropped or dies.
var reasonTable = regexp.MustCompile(`(?s)<!-- reasons: (.*?) -->\n.*?<!-- end of reasons -->\n`)

// With -update the tables say what the code says of each reason.
func TestThePagesExplainEveryReason(t *testing.T) {
	said := map[string]bool{}
	for _, name := range append([]string{"README"}, destinations.StableTypes()...) {
		p := pageOf(t, name)
		expect(t, p, reasonTable.ReplaceAllStringFunc(p.text, func(block string) string {
			named := reasonTable.FindStringSubmatch(block)[1]
			rows := ""
			for _, reason := range reasonsNamed(named) {
				if reason.Explain() == "" {
					t.Errorf("%s: %q is no reason", p.name, reason)
				}
				said[name+" "+string(reason)] = true
				rows += fmt.Sprintf("| `%s` | %s |\n", reason, reason.Explain())
			}
			return "<!-- reasons: " + named + " -->\n\n| reason | what it means, and what to do |\n|---|---|\n" + rows + "\n<!-- end of reasons -->\n"
		}))
	}
	everywhere := slices.Concat(general, adapter.AnswerReasons, adapter.MergeReasons, adapter.DeadReasons, adapter.RetryReasons)
	for _, reason := range slices.Concat(adapter.DropReasons, adapter.DeadReasons, adapter.RetryReasons) {
		inREADME := slices.Contains(everywhere, reason)
		somewhere := slices.ContainsFunc(destinations.StableTypes(), func(vendor string) bool { return said[vendor+" "+string(reason)] })
		if inREADME != said["README "+string(reason)] || !inREADME && !somewhere && !droppedByUnstable(t, reason) {
			t.Errorf("no page explains %s where it should", reason)
		}
	}
}

// droppedByUnstable reports whether a vendor that needs no page has a case with that reason.
func droppedByUnstable(t *testing.T, reason adapter.Reason) bool {
	t.Helper()
	for _, vendor := range destinations.Types() {
		ends := func(end goldenEnd) bool { return end.Drop == string(reason) }
		if !destinations.Vendors[vendor].Stable && slices.ContainsFunc(goldenEnds(t, vendor), ends) {
			return true
		}
	}
	return false
}

func reasonsNamed(text string) (all []adapter.Reason) {
	switch text {
	case "of every destination":
		return general
	case "of the rules of merges":
		return adapter.MergeReasons
	case "of answers":
		return adapter.AnswerReasons
	case "of dead letters":
		return adapter.DeadReasons
	case "of retries":
		return adapter.RetryReasons
	}
	for word := range strings.SplitSeq(text, ", ") {
		all = append(all, adapter.Reason(word))
	}
	return all
}

// A vendor's page rests on the vendor's own: it links each that a golden case was written from.
func TestThePagesOfVendorsLinkTheirSources(t *testing.T) {
	for _, vendor := range destinations.StableTypes() {
		p := pageOf(t, vendor)
		for _, end := range goldenEnds(t, vendor) {
			if !strings.Contains(p.text, end.Doc) {
				t.Errorf("%s does not link %s", p.name, end.Doc)
			}
		}
	}
}
