package reference

import (
	_ "embed"
	"encoding/json"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"aka/router/reference/comments"
)

//go:generate go run ./generate

// sources are the comments of the structs, as the generator found them.
//
//go:embed comments.json
var sources []byte

// docs turns Go's doc comments, which begin with a name of Go, into what is said of a key.
type docs struct {
	*comments.Comments
	asked map[string]bool // the types that were asked for
}

func newDocs(c *comments.Comments) *docs { return &docs{c, map[string]bool{}} }

func embedded() *comments.Comments {
	c := &comments.Comments{}
	if err := json.Unmarshal(sources, c); err != nil {
		panic("reference: comments.json: " + err.Error())
	}
	return c
}

// describe fills in what the field's comment says. A section without one is described by its type's.
func (d *docs) describe(k *Key, owner reflect.Type, field reflect.StructField) {
	d.asked[typeName(owner)] = true
	text := d.Docs[k.field]
	name := field.Name
	if text == "" && k.Kind == Section {
		text, name = d.Docs[typeName(field.Type)], field.Type.Name()
	}
	var rest []string
	for _, sentence := range sentences(withoutName(text, name)) {
		if !k.readDefault(sentence) {
			rest = append(rest, sentence)
		}
		k.readBounds(sentence)
		if m := isRequiredUnless.FindStringSubmatch(sentence); m != nil {
			k.Unless = &Setting{m[1], m[2]}
			continue
		}
		k.Required = k.Required || isRequired.MatchString(sentence)
	}
	k.Meaning = strings.Join(rest, " ")
}

var isRequiredUnless = regexp.MustCompile(`^Required, unless ([a-z_]+) is ([a-z0-9_]+)\.$`)

var isRequired = regexp.MustCompile(`^(?:Required\b|At least one\.$)`)

var (
	literalDefault = regexp.MustCompile(`^Default (\S+)\.$`)
	proseDefault   = regexp.MustCompile(`^Default: (.+)\.$`)
)

// readDefault reports whether a sentence says the default: "Default 10s." or "Default: the vendor's." None is no value.
func (k *Key) readDefault(sentence string) bool {
	if m := literalDefault.FindStringSubmatch(sentence); m != nil && m[1] == "none" {
		k.Otherwise = m[1]
		return true
	} else if m != nil {
		k.stated = m[1]
		return true
	}
	if m := proseDefault.FindStringSubmatch(sentence); m != nil {
		k.Otherwise = m[1]
		return true
	}
	return false
}

var (
	between = regexp.MustCompile(`^(\d+) to (\d+)\.$`)
	atLeast = regexp.MustCompile(`^At least (\d+)\.$`)
)

// readBounds reads "1 to 1024." and "At least 1." of numbers, none of which are below 0.
func (k *Key) readBounds(sentence string) {
	if k.Kind != Whole && k.Kind != Number {
		return
	}
	if k.Least == nil {
		k.Least = number("0")
	}
	if m := between.FindStringSubmatch(sentence); m != nil {
		k.Least, k.Most = number(m[1]), number(m[2])
	}
	if m := atLeast.FindStringSubmatch(sentence); m != nil {
		k.Least = number(m[1])
	}
}

func number(text string) *int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return &n
}

// ofType is what a type's comment says beyond its first sentence, which tells programmers what it is.
func (d *docs) ofType(t reflect.Type) string {
	d.asked[typeName(t)] = true
	all := sentences(d.Docs[typeName(t)])
	return strings.Join(all[min(1, len(all)):], " ")
}

// wordsOf are the constants of a type.
func (d *docs) wordsOf(t reflect.Type) []Word {
	d.asked[typeName(t)] = true
	var words []Word
	for _, w := range d.Words[typeName(t)] {
		words = append(words, Word{w.Value, withoutName(w.Doc, w.Name)})
	}
	return words
}

// withoutName takes the name of Go from the beginning, and the verb after it where nothing is left of it to say: "Rate is how
// many" becomes "How many", "People says whether" becomes "Whether", "Strict lowers" becomes "Lowers".
func withoutName(text, name string) string {
	rest, ok := strings.CutPrefix(text, name+" ")
	if !ok {
		return capital(text)
	}
	for _, verb := range []string{"is ", "are ", "says "} {
		rest = strings.TrimPrefix(rest, verb)
	}
	return capital(rest)
}

func capital(text string) string {
	if text == "" {
		return ""
	}
	return string(unicode.ToUpper(rune(text[0]))) + text[1:]
}

var sentenceEnd = regexp.MustCompile(`\. `)

// sentences splits a text at its full stops.
func sentences(text string) []string {
	var all []string
	for _, part := range sentenceEnd.Split(text, -1) {
		if part = strings.TrimSuffix(part, "."); part != "" {
			all = append(all, part+".")
		}
	}
	return all
}
