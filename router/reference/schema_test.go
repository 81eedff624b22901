package reference

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"aka/destinations"
	"aka/router/config"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(New().Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// refusal returns why an editor would underline a config, or nil.
func refusal(schema *jsonschema.Schema, text []byte) error {
	document := &yaml.Node{}
	if err := yaml.Unmarshal(text, document); err != nil {
		return err
	}
	return refusalOf(schema, document)
}

func refusalOf(schema *jsonschema.Schema, document *yaml.Node) error {
	var value any
	if err := document.Decode(&value); err != nil {
		return err
	}
	asJSON, err := json.Marshal(value)
	if err != nil {
		return err
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return err
	}
	return schema.Validate(instance)
}

// signKey is a key to sign with.
const signKey = "whsec_YSBrZXkgdGhhdCBzaWducyB3ZWJob29rcw=="

// anyVariable is an environment where each is set.
func anyVariable(name string) (string, bool) {
	if name == "WEBHOOK_SECRET" {
		return signKey, true
	}
	return "value-of-" + name, true
}

func loads(t *testing.T, text []byte) error {
	t.Helper()
	return loadsAt(t, filepath.Join(t.TempDir(), "config.yaml"), text)
}

func loadsAt(t *testing.T, path string, text []byte) error {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(path, config.LoadOptions{Lookup: anyVariable})
	if err != nil && !errors.As(err, new(*config.Mistakes)) {
		t.Fatal(err)
	}
	return err
}

// commentedOut is a key of an example that is commented out.
var commentedOut = regexp.MustCompile(`(?m)^( *)# ([a-z0-9_]+:( .*)?)$`)

// wholeExample is the example with every key that can stand beside the others.
func wholeExample(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "config.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return commentedOut.ReplaceAll(text, []byte("$1$2"))
}

// comment is a line that says nothing to aka.
var comment = regexp.MustCompile(`(?m)^ *#.*\n`)

// uncommented is a config without its comments: those are most of it, and take most of the time.
func uncommented(text []byte) []byte { return comment.ReplaceAll(text, nil) }

func TestTheSchemaTakesWhatAkaTakes(t *testing.T) {
	schema := compiled(t)
	example, err := os.ReadFile(filepath.Join(root, "config.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	effective, err := os.ReadFile("../config/testdata/effective.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"the example": example, "the whole example": wholeExample(t), "what aka check shows": effective,
		"a destination of another name": []byte(`
sources: { web: { write_key_file: testdata/secret, rate: "5", ip: } }
destinations:
  eu: { type: mixpanel, settings: { token: 12, id_merge: "${ID_MERGE:-legacy}", people: "${PEOPLE:-true}", settle: 0 }, delivery: { order: "", rate: 1.5 } }
  vero: { type: , settings: { auth_token: "${VERO}" } }
delivery:
journal: { dir: data, max_bytes: 10 GiB, dedupe: "${DEDUPE:-0d12h}" }
`),
	} {
		if err := refusal(schema, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := loads(t, withDefaults(text)); err != nil {
			t.Errorf("%s: aka does not take it: %v", name, err)
		}
	}
}

var defaulted = regexp.MustCompile(`\$\{[A-Z_]+:-([^}]*)\}`)

// withDefaults is a config where the variables that have a default are not set.
func withDefaults(text []byte) []byte { return defaulted.ReplaceAll(text, []byte("$1")) }

// onlyAkaKnows are the broken configs in which an editor sees nothing wrong, by what it cannot know.
var onlyAkaKnows = map[string][]string{
	"what a name or an address is": {"bad_addresses", "bad_instance", "bad_origins", "private_endpoints"},
	"how keys go together":         {"admin_for_everybody", "same_address", "same_write_key", "tls_half", "unknown_destination"},
	"what is on the disk":          {"admin_tokens_alike", "admin_tokens_unfit", "file_for_a_folder", "missing_file", "missing_folder", "tls_missing_files", "tls_not_pem"},
	"what the environment holds":   {"missing_variable", "unfit_secrets"},
	"how YAML was written":         {"two_documents"},
	"what a key may hold":          {"bad_write_keys"},
}

func TestEditorsSeeWhatIsWrongButForWhatOnlyAkaKnows(t *testing.T) {
	schema := compiled(t)
	files, err := filepath.Glob("../config/testdata/config/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d broken configs (%v)", len(files), err)
	}
	excused := slices.Concat(slices.Collect(maps.Values(onlyAkaKnows))...)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		refused := refusal(schema, text) != nil
		if refused == slices.Contains(excused, name) {
			t.Errorf("%s: refused: %v", name, refused)
		}
	}
}

// Each value of the whole example is replaced by each of many others. A schema that refuses what aka takes would have people
// distrust it.
func TestWhateverTheSchemaRefusesAkaRefusesToo(t *testing.T) {
	schema := compiled(t)
	odd := []string{`true`, `12`, `"0"`, `-1`, `1.5`, `x`, `""`, `~`, `[x]`, `{}`, `5s`, `64 KiB`, `"${X:-5}"`}
	document := parse(t, uncommented(wholeExample(t)))
	path := filepath.Join(t.TempDir(), "config.yaml")
	var tried, refused int
	for _, place := range values(document) {
		if strings.HasPrefix(place.path, "destinations.kissmetrics.") || strings.HasPrefix(place.path, "destinations.vero.") {
			continue // they have nothing that Mixpanel's has not
		}
		before := *place.value
		for _, text := range odd {
			*place.value = *parse(t, []byte(text)).Content[0]
			tried++
			problem := refusalOf(schema, document)
			if problem == nil {
				continue
			}
			refused++
			if err := loadsAt(t, path, withDefaults(encode(t, document))); err == nil {
				t.Errorf("%s: %s: only the schema refuses it: %v", place.path, text, problem)
			}
		}
		*place.value = before
	}
	if tried < 800 || refused < tried/3 {
		t.Errorf("of %d configs, %d were refused", tried, refused)
	}
}

var isDestination = regexp.MustCompile(`^destinations\.[a-z]+$`)

func TestBothRefuseAKeyThatIsUnknownOrMissing(t *testing.T) {
	schema := compiled(t)
	both := func(what string, document *yaml.Node) {
		t.Helper()
		text := encode(t, document)
		if bySchema, byAka := refusal(schema, text) != nil, loads(t, text) != nil; bySchema != byAka {
			t.Errorf("%s: the schema refuses it: %v, aka does: %v", what, bySchema, byAka)
		}
	}
	sections := 0
	for at, v := range values(parse(t, uncommented(wholeExample(t)))) {
		document := parse(t, uncommented(wholeExample(t)))
		changed := values(document)[at]
		pairs := &changed.parent.Content
		*pairs = slices.Delete(*pairs, changed.index, changed.index+2)
		if !isDestination.MatchString(v.path) { // the source of the example lists them all, which is not the schema's to know
			both("without "+v.path, document)
		}
		if v.value.Kind != yaml.MappingNode {
			continue
		}
		sections++
		document = parse(t, uncommented(wholeExample(t)))
		section := values(document)[at].value
		section.Content = append(section.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "colour"}, &yaml.Node{Kind: yaml.ScalarNode, Value: "blue"})
		both("with "+v.path+".colour", document)
	}
	if sections < 15 {
		t.Errorf("only %d sections", sections)
	}
}

func TestTheBoundsOfNumbersAreThoseOfAka(t *testing.T) {
	bounded := 0
	for _, k := range numbers(New()) {
		for bound, step := range map[*int64]int64{k.Least: -1, k.Most: 1} {
			if bound == nil {
				continue
			}
			bounded++
			if err := loads(t, k.set(t, *bound)); err != nil && k.path != "delivery.window" { // it is bounded by concurrency too
				t.Errorf("%s: %d: %v", k.path, *bound, err)
			}
			if err := loads(t, k.set(t, *bound+step)); err == nil {
				t.Errorf("%s: %d is taken", k.path, *bound+step)
			}
		}
	}
	if bounded < 10 {
		t.Errorf("only %d bounds", bounded)
	}
}

// numberKey is a key below the top that holds a number.
type numberKey struct {
	*Key
	path string
}

func numbers(r *Reference) []numberKey {
	var found []numberKey
	each(r, func(path string, k *Key) {
		// The settings of http need calls beside them: its own tests have the bounds.
		if k.Least != nil && !strings.HasPrefix(path, "http.") && !strings.HasPrefix(path, "destinations.") && !strings.HasPrefix(path, "sources.") {
			found = append(found, numberKey{k, path})
		}
	})
	return found
}

// set returns the example with the number at the key, and nothing beside it that could be in its way.
func (k numberKey) set(t *testing.T, value int64) []byte {
	if vendor, name, _ := strings.Cut(k.path, "."); destinations.SettingsOf(vendor) != nil {
		text := fmt.Sprintf("sources: { a: { write_key: a } }\ndestinations: { %s: { settings: { %s: %d", vendor, name, value)
		for _, needed := range accountOf(vendor) {
			text += ", " + needed
		}
		return []byte(text + " } } }\n")
	}
	text := []byte(fmt.Sprintf("sources: { a: { write_key: a } }\ndestinations: { vero: { settings: { auth_token: a } } }\n%s: %d\n",
		strings.ReplaceAll(k.path, ".", ": { "), value))
	return bytes.Replace(text, []byte(fmt.Sprintf(": %d\n", value)), []byte(fmt.Sprintf(": %d%s\n", value, strings.Repeat(" }", strings.Count(k.path, ".")))), 1)
}

// accountOf are the settings without which the vendor's others are refused.
func accountOf(vendor string) (settings []string) {
	for _, v := range New().Vendors {
		for _, k := range v.Settings.Keys {
			switch {
			case v.Type != vendor:
			case k.Required:
				settings = append(settings, k.Name+": "+cmp.Or(k.Example, "a"))
			case k.Unless != nil:
				settings = append(settings, k.Name+": ["+signKey+"]")
			}
		}
	}
	return settings
}

// place is a value in a document, behind its key.
type place struct {
	path   string
	parent *yaml.Node
	index  int
	value  *yaml.Node
}

func values(document *yaml.Node) []place {
	var found []place
	var walk func(prefix string, node *yaml.Node)
	walk = func(prefix string, node *yaml.Node) {
		for i := 0; node.Kind == yaml.MappingNode && i < len(node.Content); i += 2 {
			path := prefix + node.Content[i].Value
			found = append(found, place{path, node, i, node.Content[i+1]})
			walk(path+".", node.Content[i+1])
		}
	}
	walk("", document.Content[0])
	return found
}

func parse(t *testing.T, text []byte) *yaml.Node {
	t.Helper()
	document := &yaml.Node{}
	if err := yaml.Unmarshal(text, document); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return document
}

func encode(t *testing.T, document *yaml.Node) []byte {
	t.Helper()
	text, err := yaml.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
