package docs

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"gopkg.in/yaml.v3"

	"aka/router/reference"
)

var (
	fence   = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	span    = regexp.MustCompile("`([^`\n]+)`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
)

// prose is the page without its blocks of code.
func (p page) prose() string { return fence.ReplaceAllString(p.text, "") }

func TestEveryLinkLeadsToAFileAndItsHeading(t *testing.T) {
	checked := 0
	for _, p := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(span.ReplaceAllString(p.prose(), ""), -1) {
			to, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %v", p.name, err)
			} else if to.Scheme == "" {
				checked++
				checkLink(t, p, to)
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d links were found", checked)
	}
}

func TestTheIndexHasEveryPage(t *testing.T) {
	index := read(t, "docs/README.md")
	for _, p := range pages(t) {
		name, isDoc := strings.CutPrefix(p.name, "docs/")
		if isDoc && name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/README.md does not link %s", name)
		}
	}
}

func checkLink(t *testing.T, from page, to *url.URL) {
	t.Helper()
	name := from.name
	if to.Path != "" {
		name = path.Join(path.Dir(from.name), to.Path)
	}
	if _, err := os.Stat(filepath.Join(root, name)); err != nil || strings.HasPrefix(name, "..") {
		t.Errorf("%s links %s, which is not there", from.name, to)
		return
	}
	if to.Fragment != "" && !slices.Contains(anchors(page{name, read(t, name)}), to.Fragment) {
		t.Errorf("%s links %s, and there is no such heading", from.name, to)
	}
}

// anchors are what the page's headings are linked by.
func anchors(p page) (all []string) {
	times := map[string]int{}
	for _, m := range heading.FindAllStringSubmatch(p.prose(), -1) {
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		if n := times[anchor]; n > 0 {
			all = append(all, fmt.Sprintf("%s-%d", anchor, n))
		} else {
			all = append(all, anchor)
		}
		times[anchor]++
	}
	return all
}

// command is a use of aka within a line of code, up to where the shell goes on with something else.
var command = regexp.MustCompile(`(?:^|[|&(] *|\$ |\./|run )(?:aka|\.) +((?:[a-z-][^|&;<>#)]*))`)

func TestEveryCommandIsOneOfAkas(t *testing.T) {
	checked := 0
	for _, p := range pages(t) {
		for _, line := range codeOf(p) {
			for _, m := range command.FindAllStringSubmatch(line, -1) {
				checked++
				if problem := misuse(strings.Fields(m[1])); problem != "" {
					t.Errorf("%s: %s: %s", p.name, line, problem)
				}
			}
		}
	}
	if checked < 60 {
		t.Errorf("only %d commands were found", checked)
	}
}

// codeOf is what stands as code in the prose, and each line of what is for the shell.
func codeOf(p page) (lines []string) {
	for _, m := range span.FindAllStringSubmatch(p.prose(), -1) {
		lines = append(lines, m[1])
	}
	for _, m := range fence.FindAllStringSubmatch(p.text, -1) {
		if m[1] == "" || m[1] == "sh" {
			lines = append(lines, strings.Split(m[2], "\n")...)
		}
	}
	return lines
}

// misuse says which word of a command line aka does not know.
func misuse(words []string) string {
	help := helpOf()
	for len(words) > 0 && subcommand(help.text, words[0]) {
		help, words = helpOf(append(help.path, words[0])...), words[1:]
	}
	if strings.Contains(help.text, "\nAvailable Commands:\n") && len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		return "there is no command " + words[0]
	}
	for _, word := range words {
		flag, _, _ := strings.Cut(strings.TrimRight(word, ".,:"), "=")
		if len(flag) > 1 && flag[0] == '-' && !regexp.MustCompile(`(?m)^ +(-\w, )?(.*, )?`+regexp.QuoteMeta(flag)+`[ ,]`).MatchString(help.text) {
			return "there is no flag " + flag
		}
	}
	return ""
}

// help is what aka says of a command.
type help struct {
	path []string
	text string
}

var helps = map[string]help{}

func helpOf(path ...string) help {
	key := strings.Join(path, " ")
	if _, known := helps[key]; !known {
		text, _ := aka("", append(slices.Clone(path), "--help")...)
		helps[key] = help{path, text}
	}
	return helps[key]
}

func subcommand(text, name string) bool {
	_, list, _ := strings.Cut(text, "\nAvailable Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	return strings.Contains("\n"+list, "\n  "+name+" ")
}

// keys are those of the config, as they are named.
type keys struct {
	top     []*reference.Key
	vendors []*reference.Key // a vendor's settings, each
}

func configKeys() keys {
	r := reference.New()
	k := keys{top: r.Keys}
	for _, v := range r.Vendors {
		k.vendors = append(k.vendors, v.Settings)
	}
	return k
}

// below finds the keys of this name: a section by name has any.
func (k keys) below(all []*reference.Key, name string) (found []*reference.Key) {
	for _, key := range all {
		switch {
		case key.Name == name && name == "settings":
			found = append(found, k.vendors...)
		case key.Name == name || key.Kind == reference.Secret && key.Name+"_file" == name:
			found = append(found, key)
		}
	}
	return found
}

// resolve reports whether a path leads to a key.
func (k keys) resolve(names []string) bool {
	at := k.below(append(slices.Clone(k.top), &reference.Key{Name: "settings"}), names[0])
	for i := 1; i < len(names) && len(at) > 0; i++ {
		var next []*reference.Key
		for _, key := range at {
			switch {
			case key.Kind == reference.Named:
				next = append(next, &reference.Key{Keys: key.Keys})
			case key.Keys != nil:
				next = append(next, k.below(key.Keys, names[i])...)
			default: // a destination's own delivery, or a value that is free
				next = append(next, k.free(key, names[i])...)
			}
		}
		at = next
	}
	return len(at) > 0
}

func (k keys) free(key *reference.Key, name string) []*reference.Key {
	if key.Name == "delivery" {
		for _, top := range k.top {
			if top.Name == "delivery" {
				return k.below(top.Keys, name)
			}
		}
	}
	return nil
}

var dotted = regexp.MustCompile(`^([a-z_]+(?:\.[a-z_]+)+)(?:: .*)?$`)

// A word with dots whose first is a section of the config is a key.
func TestEveryKeyOfTheConfigThatIsNamedExists(t *testing.T) {
	k, checked := configKeys(), 0
	for _, p := range pages(t) {
		for _, m := range span.FindAllStringSubmatch(p.prose(), -1) {
			path := dotted.FindStringSubmatch(m[1])
			if path == nil {
				continue
			}
			names := strings.Split(path[1], ".")
			if !k.resolve(names[:1]) || slices.Contains([]string{"yaml", "md", "json", "go"}, names[len(names)-1]) {
				continue
			}
			if checked++; !k.resolve(names) {
				t.Errorf("%s: there is no key %s", p.name, path[1])
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d keys were found", checked)
	}
}

// What stands as YAML and begins with a key of the config is a piece of one.
func TestEveryPieceOfAConfigHasKeysThatExist(t *testing.T) {
	k, checked := configKeys(), 0
	for _, p := range pages(t) {
		for _, m := range fence.FindAllStringSubmatch(p.text, -1) {
			var piece yaml.Node
			if m[1] != "yaml" || yaml.Unmarshal([]byte(m[2]), &piece) != nil || len(piece.Content) == 0 {
				continue
			}
			paths := pathsIn(piece.Content[0], nil)
			if len(paths) == 0 || !k.resolve(paths[0][:1]) {
				continue
			}
			for _, path := range paths {
				if checked++; !k.resolve(path) {
					t.Errorf("%s: there is no key %s", p.name, strings.Join(path, "."))
				}
			}
		}
	}
	if checked < 5 {
		t.Errorf("only %d keys were found", checked)
	}
}

// pathsIn are the paths of all keys in a piece of YAML, but for those in lists.
func pathsIn(node *yaml.Node, above []string) (all [][]string) {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(node.Content); i += 2 {
		path := append(slices.Clone(above), node.Content[i].Value)
		all = append(append(all, path), pathsIn(node.Content[i+1], path)...)
	}
	return all
}

// A checker that takes everything would find nothing.
func TestWhatIsWrongOnAPageIsNoticed(t *testing.T) {
	for line, want := range map[string]string{
		"dead list --since 24h": "",
		"dead lst":              "there is no command lst",
		"dead list --sinc 24h":  "there is no flag --sinc",
		"explain -x":            "there is no flag -x",
		"drain --cancel":        "",
		"replay":                "there is no command replay",
	} {
		if got := misuse(strings.Fields(line)); got != want {
			t.Errorf("aka %s: %q, want %q", line, got, want)
		}
	}
	k := configKeys()
	for path, want := range map[string]bool{
		"delivery.retry.max_age":                         true,
		"delivery.retry.max_ages":                        false,
		"settings.token_file":                            true,
		"settings.id_merges":                             false,
		"sources.website.write_key":                      true,
		"sources.website.key":                            false,
		"destinations.vero.settings.auth_token":          true,
		"destinations.vero.delivery.batch.max_wait":      true,
		"destinations.vero.delivery.batch.wait":          false,
		"destinations.vero.settings.service_account.key": false,
	} {
		if got := k.resolve(strings.Split(path, ".")); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	if got := anchors(page{"", "# A `b_c`, d-e!\n## Same\n## Same\n"}); !slices.Equal(got, []string{"a-b_c-d-e", "same", "same-1"}) {
		t.Errorf("anchors %q", got)
	}
}
