package reference

import (
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/delivery"
	"aka/router/mergerules"
	"aka/router/strictyaml"
)

// Kind is what a key holds.
type Kind string

// The kinds.
const (
	Text     Kind = "text"
	Secret   Kind = "secret"
	Choice   Kind = "one of"
	Switch   Kind = "true or false"
	Whole    Kind = "whole number"
	Number   Kind = "number"
	Duration Kind = "duration"
	Size     Kind = "size"
	AutoSize Kind = "size or `auto`"
	Adaptive Kind = "`adaptive`, whole number or section"
	List     Kind = "list"
	Section  Kind = "section"
	Named    Kind = "sections by name"
	Table    Kind = "texts by name"
	Tree     Kind = "anything"
	Values   Kind = "values by path"
)

// Key is one key of the config.
type Key struct {
	Name string
	Kind Kind
	// Of is what stands in a list, or under each name of a table.
	Of *Key
	// Keys are those of a section, or of each of the sections by name.
	Keys []*Key
	// Instead are the keys of the section that may be there instead of a value.
	Instead []*Key
	// Words are what a choice is between.
	Words []Word
	// Meaning is what the key means, in sentences. It says whether it is required.
	Meaning  string
	Required bool
	// Unless is what else lets a config do without a key that is required otherwise, and that examples have. Nil is nothing.
	Unless *Setting
	// Default is the value of a config that says nothing, as YAML; "" is none. Otherwise says in words what goes then.
	Default, Otherwise string
	// Example is used for a value, or for a name, in an example.
	Example string
	// Least and Most bound a number, where they are known.
	Least, Most *int64

	field  string // of Go: "import/path.Type.Field"
	stated string // the default by the comment
	// mayBeEmpty tells that an empty text is as good as none.
	mayBeEmpty bool
}

// Setting is a key of the same section, and a value of it.
type Setting struct{ Key, Value string }

// Word is one of a choice.
type Word struct{ Value, Meaning string }

// Vendor is what a destination of one type takes.
type Vendor struct {
	// Type is what stands in a destination's `type`. Settings is its section.
	Type     string
	Settings *Key
	// Meaning is what is to be known of its settings as a whole.
	Meaning string
}

// Reference is every key of the config.
type Reference struct {
	// Keys are those at the top.
	Keys    []*Key
	Vendors []*Vendor

	docs *docs
}

// build reads the structs of the config, with the values that they have before a config says anything.
func build(d *docs) *Reference {
	r := &Reference{docs: d}
	r.Keys = r.keysOf(reflect.ValueOf(*config.Default()))
	for _, name := range destinations.Types() {
		r.Vendors = append(r.Vendors, r.vendor(name))
	}
	return r
}

func (r *Reference) vendor(name string) *Vendor {
	settings := reflect.ValueOf(destinations.SettingsOf(name)).Elem()
	keys := r.keysOf(settings)
	slices.SortStableFunc(keys, func(a, b *Key) int { return cmp.Compare(a.shared(), b.shared()) })
	required := destinations.RequiredOf(name) // known before the comments are generated
	for _, k := range keys {
		k.Required = k.Required || slices.Contains(required, k.Name)
	}
	return &Vendor{
		Type:     name,
		Settings: &Key{Name: "settings", Kind: Section, Keys: keys, Required: anyRequired(keys)},
		Meaning:  r.docs.ofType(settings.Type()),
	}
}

// shared is 1 for the settings that every vendor has, which come last.
func (k *Key) shared() int {
	if strings.HasPrefix(k.field, typeName(reflect.TypeFor[adapter.Common]())+".") {
		return 1
	}
	return 0
}

func (r *Reference) keysOf(section reflect.Value) []*Key {
	var keys []*Key
	for i := range section.NumField() {
		field := section.Type().Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			keys = append(keys, r.keysOf(section.Field(i))...)
		case name != "" && name != "-" && !isRefused(section.Type(), name):
			keys = append(keys, r.key(name, section.Type(), field, section.Field(i)))
		}
	}
	return keys
}

// isRefused tells of a key that is read only to be refused.
func isRefused(section reflect.Type, name string) bool {
	return section == reflect.TypeFor[config.Journal]() && name == "nats"
}

func (r *Reference) key(name string, owner reflect.Type, field reflect.StructField, value reflect.Value) *Key {
	k := &Key{Name: name, Example: field.Tag.Get("example"), field: typeName(owner) + "." + field.Name}
	r.shape(k, field, value)
	r.docs.describe(k, owner, field)
	if k.Default = defaultOf(value); k.Default == "" {
		k.Default, k.mayBeEmpty = k.stated, true
	}
	return k
}

// shape finds out what a key holds.
func (r *Reference) shape(k *Key, field reflect.StructField, value reflect.Value) {
	kind := value.Type()
	if kind == reflect.TypeFor[*yaml.Node]() {
		k.Kind = Section
		switch k.Name {
		case "delivery":
			k.Keys = undecided(r.keysOf(reflect.ValueOf(delivery.Options{})), k.Name)
		case "merges":
			k.Keys = undecided(r.keysOf(reflect.ValueOf(mergerules.Options{})), k.Name)
		}
		return
	}
	if kind.Kind() == reflect.Pointer {
		kind, value = kind.Elem(), reflect.Zero(kind.Elem())
	}
	switch {
	case kind == reflect.TypeFor[adapter.Tree]():
		k.Kind = Tree
	case kind == reflect.TypeFor[adapter.Secret]():
		k.Kind = Secret
	case kind == reflect.TypeFor[time.Duration]():
		k.Kind = Duration
	case kind == reflect.TypeFor[strictyaml.Size]():
		k.Kind = Size
	case kind == reflect.TypeFor[strictyaml.AutoSize]():
		k.Kind = AutoSize
	case kind == reflect.TypeFor[delivery.Concurrency]():
		k.Kind, k.Instead = Adaptive, r.keysOf(value)
		for _, bound := range k.Instead {
			bound.Default = bound.stated
		}
	case reflect.PointerTo(kind).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		k.Kind = Text
	case kind.Kind() == reflect.Struct:
		k.Kind, k.Keys = Section, r.keysOf(value)
	case kind == reflect.TypeFor[map[string]adapter.Secret]():
		k.Kind, k.Of = Table, &Key{Kind: Secret}
	case kind == reflect.TypeFor[map[string]string](), kind == reflect.TypeFor[map[string]*yaml.Node]():
		k.Kind = Values
	case kind.Kind() == reflect.Map:
		k.Kind, k.Keys = Named, r.keysOf(reflect.New(sectionOf(kind.Elem())).Elem())
	case kind.Kind() == reflect.Slice:
		k.Kind, k.Of = List, &Key{}
		r.shape(k.Of, reflect.StructField{}, reflect.Zero(kind.Elem()))
	case kind.Kind() == reflect.Bool:
		k.Kind = Switch
	case kind.Kind() == reflect.Int, kind.Kind() == reflect.Int64:
		k.Kind = Whole
	case kind.Kind() == reflect.Float64:
		k.Kind = Number
	case kind.Kind() == reflect.String:
		k.Kind = Text
		if k.Words = r.words(kind, field); len(k.Words) > 0 {
			k.Kind = Choice
		}
	default:
		panic(fmt.Sprintf("reference: the config has a field of type %s", kind))
	}
}

// overridden begins what goes where an override says nothing.
const overridden = "that of "

// undecided are the keys of a section that only overrides another one.
func undecided(keys []*Key, section string) []*Key {
	for _, k := range keys {
		k.Default, k.stated, k.Otherwise = "", "", overridden+"`"+section+"`"
		undecided(k.Keys, section)
	}
	return keys
}

func sectionOf(element reflect.Type) reflect.Type {
	if element.Kind() == reflect.Pointer {
		return element.Elem()
	}
	return element
}

// words are the constants of a string's type, or those that its tag names.
func (r *Reference) words(kind reflect.Type, field reflect.StructField) []Word {
	var words []Word
	for _, value := range strings.Fields(field.Tag.Get("words")) {
		words = append(words, Word{Value: value})
	}
	if field.Name == "Type" && field.Tag.Get("yaml") == "type" || field.Name == "WasType" {
		for _, vendor := range destinations.Types() {
			words = append(words, Word{Value: vendor})
		}
	}
	if kind.PkgPath() != "" {
		words = append(words, r.docs.wordsOf(kind)...)
	}
	return words
}

// defaultOf writes a value as the config would, or "" for one that says nothing.
func defaultOf(value reflect.Value) string {
	if value.Kind() == reflect.Map {
		return ""
	}
	node := strictyaml.Node(value.Interface())
	switch {
	case node == nil, node.Kind == yaml.MappingNode:
		return ""
	case node.Kind == yaml.SequenceNode:
		return listOf(node)
	}
	return node.Value
}

// listOf writes a list of words on one line.
func listOf(node *yaml.Node) string {
	items := make([]string, len(node.Content))
	for i, item := range node.Content {
		items[i] = quoted(item.Value)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

func anyRequired(keys []*Key) bool {
	for _, k := range keys {
		if k.Required {
			return true
		}
	}
	return false
}

func typeName(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }
