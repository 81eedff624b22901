package reference

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/spelling"
)

const exampleHead = `# yaml-language-server: $schema=%s
#
# The config of aka: every key, with its meaning, its unit and its default. A key in a comment shows its default too.
#
# Durations are written 500ms, 10s, 10m, 24h or 7d. Sizes are written 64KiB, 32MiB or 10GiB. ${NAME} is an environment
# variable, ${NAME:-text} has a default, and $${ is a plain ${. A secret can be in a file: add _file to its key, as in
# write_key_file, token_file, api_key_file and auth_token_file. The file has one line without space around it, and aka cuts
# one newline at its end. Paths start at the working folder.
#
`

// Example returns a config with every key and its meaning, for destinations of these types, or of the stable ones where none is named.
// Its first line tells editors where the schema is.
func (r *Reference) Example(schema, foot string, types ...string) ([]byte, error) {
	vendors, err := r.vendorsOf(types)
	if err != nil {
		return nil, err
	}
	e := newExample(vendors)
	fmt.Fprintf(&e.out, exampleHead, schema)
	e.comment(0, foot)
	for _, k := range inOrder(r.Keys) {
		e.out.WriteString("\n")
		if k.Name != "destinations" {
			e.key(0, k, "", true)
			continue
		}
		e.comment(0, k.describe())
		e.out.WriteString(k.Name + ":\n")
		for i, v := range vendors {
			if i > 0 {
				e.out.WriteString("\n")
			}
			e.destination(k, v)
		}
	}
	return []byte(e.out.String()), nil
}

// Short returns a config with only the keys that must be there, for destinations of these types, or of the stable ones where none is
// named. Everything else has its default.
func (r *Reference) Short(head string, types ...string) ([]byte, error) {
	vendors, err := r.vendorsOf(types)
	if err != nil {
		return nil, err
	}
	e := newExample(vendors)
	e.comment(0, head)
	for _, k := range inOrder(r.Keys) {
		if k.Name != "destinations" {
			e.required(0, []*Key{k}, "")
			continue
		}
		e.out.WriteString(k.Name + ":\n")
		for _, v := range vendors {
			e.shortDestination(v)
		}
	}
	return []byte(e.out.String()), nil
}

// vendorsOf returns the vendors of these types, or the stable ones where none is named.
func (r *Reference) vendorsOf(types []string) (vendors []*Vendor, err error) {
	if len(types) == 0 {
		types = destinations.StableTypes()
	}
	for i, name := range types {
		v, err := r.vendorOf(name)
		if err != nil {
			return nil, err
		}
		if slices.Contains(types[:i], name) {
			return nil, fmt.Errorf("the vendor %s is named twice", name)
		}
		vendors = append(vendors, v)
	}
	return vendors, nil
}

func (r *Reference) vendorOf(name string) (*Vendor, error) {
	var known []string
	for _, v := range r.Vendors {
		if v.Type == name {
			return v, nil
		}
		known = append(known, v.Type)
	}
	return nil, fmt.Errorf("unknown vendor %q; known are %s%s", name, strings.Join(known, ", "), spelling.Hint(name, known))
}

// inOrder puts first what a reader looks for first, and leaves the rest as it is in the code.
func inOrder(keys []*Key) []*Key {
	first := []string{"listen", "tls", "trusted_proxies", "static_dir", "sources", "destinations", "delivery", "merges", "ids", "journal", "dead_letters", "dropped"}
	rank := func(k *Key) int {
		if at := slices.Index(first, k.Name); at >= 0 {
			return at
		}
		return len(first)
	}
	sorted := slices.Clone(keys)
	slices.SortStableFunc(sorted, func(a, b *Key) int { return rank(a) - rank(b) })
	return sorted
}

// example is a config as it is written. What was said of a key once is not said again.
type example struct {
	out   strings.Builder
	types []string // of the destinations
	said  map[string]bool
}

func newExample(vendors []*Vendor) *example {
	e := &example{said: map[string]bool{}}
	for _, v := range vendors {
		e.types = append(e.types, v.Type)
	}
	return e
}

func (e *example) shortDestination(v *Vendor) {
	if starter := destinations.Vendors[v.Type].Starter; starter != nil {
		e.starter(starter)
		return
	}
	if !v.Settings.Required {
		fmt.Fprintf(&e.out, "  %s: {}\n", v.Type)
		return
	}
	fmt.Fprintf(&e.out, "  %s:\n    settings:\n", v.Type)
	e.required(3, v.Settings.Keys, v.Type)
}

// required writes those of the keys that must be there. Of a secret the name says enough; anything else is the reader's to
// choose, and has its meaning above it.
func (e *example) required(depth int, keys []*Key, owner string) {
	indent := strings.Repeat("  ", depth)
	for _, k := range keys {
		switch {
		case k.Kind == Named && anyRequired(k.Keys):
			fmt.Fprintf(&e.out, "%s%s:\n%s  %s:\n", indent, k.Name, indent, k.Example)
			e.required(depth+2, k.Keys, k.Example)
		case k.Required || k.Unless != nil:
			if k.Kind != Secret {
				e.comment(depth, k.describeWithWords())
			}
			fmt.Fprintf(&e.out, "%s%s: %s\n", indent, k.Name, k.shown(owner))
		}
	}
}

// starter writes a whole destination, where its keys alone would say too little.
func (e *example) starter(s *adapter.Starter) {
	for line := range strings.Lines(s.Destination) {
		e.out.WriteString("  " + line)
	}
}

func (e *example) destination(k *Key, v *Vendor) {
	if starter := destinations.Vendors[v.Type].Starter; starter != nil {
		e.starter(starter)
		return
	}
	fmt.Fprintf(&e.out, "  %s:\n", v.Type)
	for _, inner := range k.Keys {
		if inner.Name != "settings" {
			e.key(2, vendors(inner), v.Type, false)
		}
	}
	e.out.WriteString("    settings:\n")
	for _, inner := range v.Settings.Keys {
		e.key(3, inner, v.Type, false)
	}
	e.comment(3, v.Meaning)
}

// vendors returns a destination's key with the default that vendors give it, where it is theirs.
func vendors(k *Key) *Key {
	if k.Name != "remember_merges" {
		return k
	}
	own := *k
	own.Default = "true"
	return &own
}

// key writes a key after its meaning. Where every default is shown as a setting, one that says nothing is commented out;
// elsewhere all are but those that are required.
func (e *example) key(depth int, k *Key, owner string, shown bool) {
	if about := k.describeWithWords(); !e.said[about] {
		e.comment(depth, about)
		e.said[about] = true
	}
	indent := strings.Repeat("  ", depth)
	switch {
	case k.Kind == Named:
		fmt.Fprintf(&e.out, "%s%s:\n%s  %s:\n", indent, k.Name, indent, k.Example)
		e.keys(depth+2, k.Keys, k.Example, false)
	case k.Kind == Section && shown && hasDefaults(k.Keys):
		fmt.Fprintf(&e.out, "%s%s:\n", indent, k.Name)
		e.keys(depth+1, k.Keys, owner, shown)
	default:
		off := "# "
		if k.Required || k.Unless != nil || shown && k.Default != "" && k.Default != "[]" {
			off = ""
		}
		shown := k.shown(owner)
		if k.Name == "destinations" { // a source's; none would be a mistake
			shown = "[" + strings.Join(slices.Sorted(slices.Values(e.types)), ", ") + "]"
		}
		fmt.Fprintf(&e.out, "%s%s%s: %s\n", indent, off, k.Name, shown)
	}
}

func (e *example) keys(depth int, keys []*Key, owner string, shown bool) {
	for _, k := range keys {
		e.key(depth, k, owner, shown)
	}
}

// describeWithWords names the words of a choice too, where the meaning does not.
func (k *Key) describeWithWords() string {
	var missing []string
	for _, w := range k.Words {
		if !strings.Contains(k.Meaning, w.Value) {
			missing = append(missing, w.Value)
		}
	}
	if len(missing) == 0 {
		return k.describe()
	}
	return fmt.Sprintf("%s It is one of %s.", k.describe(), strings.Join(missing, ", "))
}

// hasDefaults reports whether a section says something by itself.
func hasDefaults(keys []*Key) bool {
	return slices.ContainsFunc(keys, func(k *Key) bool { return k.Default != "" && k.Default != "[]" || hasDefaults(k.Keys) })
}

var plainText = regexp.MustCompile(`^[A-Za-z0-9_./][A-Za-z0-9_./:-]*$`)

// shown is the value that an example has: a variable for a secret, the default for the others.
func (k *Key) shown(owner string) string {
	switch {
	case k.Kind == Section && (k.Keys == nil || k.repeats()):
		return "{}"
	case k.Kind == Section:
		var inner []string
		for _, each := range k.Keys {
			inner = append(inner, each.Name+": "+each.shown(owner+"_"+k.Name))
		}
		return "{ " + strings.Join(inner, ", ") + " }"
	case k.Name == "type" && k.Kind == Choice && owner != "":
		return owner
	case k.Example != "":
		return quoted(k.Example)
	case k.Kind == Secret && k.Required:
		return quoted("${" + strings.ToUpper(owner+"_"+k.Name) + "}")
	case k.Kind == List && k.Of.Kind == Secret && k.Unless != nil:
		return "[" + quoted("${"+strings.ToUpper(owner+"_"+strings.TrimSuffix(k.Name, "s"))+"}") + "]"
	case k.Kind == List && k.Default != "":
		return k.Default
	case k.Kind == List:
		return "[]"
	case k.Kind == Table:
		return "{}"
	case k.Kind == Duration && k.Default == "":
		return "0s"
	case k.Default == "":
		return `""`
	case k.Kind == Text:
		return quoted(k.Default)
	}
	return k.Default
}

func quoted(text string) string {
	if plainText.MatchString(text) && text != "1" {
		return text
	}
	return `"` + text + `"`
}

// width is how long a line of a comment gets, its indentation included.
const width = 124

// comment writes a text in lines.
func (e *example) comment(depth int, text string) {
	start := strings.Repeat("  ", depth) + "#"
	line := start
	for _, word := range strings.Fields(text) {
		if line != start && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			e.out.WriteString(line + "\n")
			line = start
		}
		line += " " + word
	}
	if line != start {
		e.out.WriteString(line + "\n")
	}
}
