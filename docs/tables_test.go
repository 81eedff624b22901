package docs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"aka/destinations"
)

// vendorDocs is docs.yaml in a stable vendor's folder: what the tables of the docs say of it.
type vendorDocs struct {
	Name string `yaml:"name"`
	// Receives is what comes of the alias of the README, with {sent} for the request or the reason.
	Receives string `yaml:"receives"`
	// Aliases are what an alias is there, one for each mode that the vendor has.
	Aliases []struct {
		Mode        string `yaml:"mode"`
		SentAs      string `yaml:"sent_as"`
		UndoneBy    string `yaml:"undone_by"`
		DroppedWhen string `yaml:"dropped_when"`
		Means       string `yaml:"means"`
		ComesFirst  string `yaml:"comes_first"`
	} `yaml:"aliases"`
}

func docsOf(t *testing.T, vendor string) (d vendorDocs) {
	t.Helper()
	name := "destinations/" + vendor + "/docs.yaml"
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(read(t, name))))
	decoder.KnownFields(true)
	if err := decoder.Decode(&d); err != nil || d.Name == "" || d.Receives == "" || len(d.Aliases) == 0 {
		t.Fatalf("%s: %+v (%v)", name, d, err)
	}
	return d
}

// vendorTable is a table on a page with rows of vendors. They begin with a link; the rows above them stay.
var vendorTable = regexp.MustCompile(`(?s)(<!-- vendors: (\w+) -->\n.*?)(?:\| \[[^\n]*\n)*(\n<!-- end of vendors -->\n)`)

// vendorLinks is a list of links to the vendors' pages within a sentence.
var vendorLinks = regexp.MustCompile(`(?s)(<!-- links to vendors -->).*?(<!-- end of links -->)`)

// With -update the tables have a row for each stable vendor, from the docs.yaml in its folder.
func TestTheTablesHaveEveryStableVendor(t *testing.T) {
	sent := sentInREADME(t)
	replaced := 0
	for _, name := range []string{"README.md", "docs/README.md", "docs/vendors/README.md"} {
		p := page{name, read(t, name)}
		to := func(vendor string) string {
			relative, _ := filepath.Rel(filepath.Dir(name), "docs/vendors/"+vendor+".md")
			return "[" + docsOf(t, vendor).Name + "](" + filepath.ToSlash(relative) + ")"
		}
		text := vendorTable.ReplaceAllStringFunc(p.text, func(block string) string {
			replaced++
			m := vendorTable.FindStringSubmatch(block)
			return m[1] + rowsOf(t, m[2], to, sent) + m[3]
		})
		expect(t, p, vendorLinks.ReplaceAllStringFunc(text, func(block string) string {
			replaced++
			m := vendorLinks.FindStringSubmatch(block)
			return m[1] + listed(destinations.StableTypes(), to) + m[2]
		}))
	}
	if replaced != 4 {
		t.Errorf("%d tables and lists were found", replaced)
	}
}

// rowsOf are the rows of all vendors in the table of that name.
func rowsOf(t *testing.T, table string, to func(vendor string) string, sent map[string]string) (rows string) {
	t.Helper()
	for _, vendor := range destinations.StableTypes() {
		d := docsOf(t, vendor)
		if table == "receive" {
			rows += row(to(vendor), strings.ReplaceAll(d.Receives, "{sent}", sent[vendor]))
			continue
		}
		for _, a := range d.Aliases {
			name := to(vendor)
			if a.Mode != "" {
				name += ", `" + a.Mode + "`"
			}
			switch table {
			case "aliases":
				rows += row(name, a.SentAs, a.UndoneBy, a.DroppedWhen)
			case "identity":
				rows += row(name, a.Means, a.UndoneBy, a.ComesFirst)
			default:
				t.Fatalf("there is no table %q", table)
			}
		}
	}
	return rows
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// listed is "a, b and c".
func listed(vendors []string, to func(vendor string) string) string {
	var links []string
	for _, vendor := range vendors {
		links = append(links, to(vendor))
	}
	last := len(links) - 1
	return strings.Join(links[:last], ", ") + " and " + links[last]
}

// sentInREADME is what the example config makes of the call that the README explains, by vendor: a request or a reason.
func sentInREADME(t *testing.T) map[string]string {
	t.Helper()
	readme := read(t, "README.md")
	call := regexp.MustCompile(`(?m)^echo '(.*)' \| go run \. explain$`).FindStringSubmatch(readme)
	if call == nil {
		t.Fatal("the README explains no call")
	}
	out, code := aka(call[1], "explain", "--config", filepath.Join(root, "config.example.yaml"), "--output", "json")
	var answer struct {
		Calls []struct{ Destinations []explainedDestination }
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 0 || len(answer.Calls) != 1 {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	sent := map[string]string{}
	for _, d := range answer.Calls[0].Destinations {
		sent[d.Name] = "`" + cmp.Or(d.Reason, d.request(t)) + "`"
	}
	for _, vendor := range destinations.StableTypes() {
		if sent[vendor] == "" {
			t.Errorf("the example config has no %s", vendor)
		}
	}
	return sent
}

// explainedDestination is what aka explain says of a call at one destination.
type explainedDestination struct {
	Name, Outcome, Reason string
	Requests              []struct {
		Method, URL string
		Query       map[string]string
		JSON        map[string]any
	}
}

// request is the first one on a line, without what names the account.
func (d explainedDestination) request(t *testing.T) string {
	t.Helper()
	if len(d.Requests) == 0 {
		return ""
	}
	r := d.Requests[0]
	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	text := r.Method + " " + u.Path
	if r.Query["_p"] != "" {
		text += "?_k=…&_p=" + r.Query["_p"] + "&_n=" + r.Query["_n"]
	}
	if r.JSON["id"] != nil {
		text += fmt.Sprintf(` {"id":%q,"new_id":%q}`, r.JSON["id"], r.JSON["new_id"])
	}
	return text
}

func TestARowOfAVendorThatIsGoneIsNoticed(t *testing.T) {
	block := "<!-- vendors: aliases -->\n\n| vendor | b |\n|---|---|\n| any | |\n| [Gone](gone.md) | x |\n\n<!-- end of vendors -->\n"
	if m := vendorTable.FindStringSubmatch(block); !slices.Equal(m[1:], []string{"<!-- vendors: aliases -->\n\n| vendor | b |\n|---|---|\n| any | |\n", "aliases", "\n<!-- end of vendors -->\n"}) {
		t.Errorf("got %q", m)
	}
}
