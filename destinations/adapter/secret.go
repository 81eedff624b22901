package adapter

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// masked is what a secret shows itself as.
const masked = "<secret>"

// Secret is a token or password from the config. However it is printed, logged or marshalled, it shows as <secret>;
// only Reveal gives the value, for the wire. In YAML every secret key has a twin ending in _file that names a file.
type Secret struct {
	// A pointer, because fmt does not ask an unexported field how it prints: it would show the value, but not where this
	// points to.
	value *string
	// standsIn tells that the value is not the secret itself, which is missing.
	standsIn bool
}

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{value: &value} }

// Reveal returns the value itself.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsStandIn reports whether the value is not the secret itself, as in a config that is tried without its secrets, or that aka has shown.
func (s Secret) IsStandIn() bool { return s.standsIn || s.Reveal() == masked }

// IsSet reports whether there is a value.
func (s Secret) IsSet() bool { return s.Reveal() != "" }

// String returns <secret>, or "" when there is no value.
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	return masked
}

// Format prints <secret> whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText gives <secret> to JSON, YAML and every other encoder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML gives <secret>.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// Masker replaces secrets in text that others wrote or that is made to be sent: vendors' answers, URLs, headers.
type Masker struct {
	whole    map[string]bool
	replacer *strings.Replacer
}

// NewMasker masks the given secrets, also where they stand URL-encoded, in JSON or as Basic credentials. Secrets of fewer
// than four bytes are masked only where they stand alone: inside a text they would mask ordinary words.
func NewMasker(secrets []Secret) *Masker {
	forms, whole := map[string]bool{}, map[string]bool{}
	for _, s := range secrets {
		value := s.Reveal()
		whole[value] = value != ""
		if len(value) < 4 {
			continue
		}
		forms[value] = true
		for _, form := range inJSON(value) {
			forms[form] = true
		}
		forms[url.QueryEscape(value)] = true
		forms[url.PathEscape(value)] = true
		forms[base64.StdEncoding.EncodeToString([]byte(value+":"))] = true
		for _, other := range secrets {
			forms[base64.StdEncoding.EncodeToString([]byte(value+":"+other.Reveal()))] = true
		}
		for _, form := range inBase64(value) {
			forms[form] = true
		}
	}
	longestFirst := slices.SortedFunc(maps.Keys(forms), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	var pairs []string
	for _, form := range longestFirst {
		pairs = append(pairs, form, masked)
	}
	return &Masker{whole, strings.NewReplacer(pairs...)}
}

// minBase64 is how many characters of base64 are distinguished from ordinary words.
const minBase64 = 8

// inBase64 returns what a value can look like inside a longer text that is encoded, such as a user's name and password: by
// where it begins there, and without the characters at its ends that its neighbours have a part in.
func inBase64(value string) (forms []string) {
	for before := range 3 {
		text := append(make([]byte, before), value...)
		from, to := (before*8+5)/6, len(text)*8/6
		if to-from < minBase64 {
			continue
		}
		forms = append(forms, base64.RawStdEncoding.EncodeToString(text)[from:to], base64.RawURLEncoding.EncodeToString(text)[from:to])
	}
	return forms
}

// inJSON returns what a value can look like between a JSON string's quotes: Go escapes <, > and &, PHP the slash, others
// neither.
func inJSON(value string) []string {
	var asIs bytes.Buffer
	encoder := json.NewEncoder(&asIs)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // a string always can be
	plain := strings.TrimSuffix(strings.TrimPrefix(asIs.String(), `"`), "\"\n")
	escaped := htmlEscapes.Replace(plain)
	return []string{plain, escaped, strings.ReplaceAll(plain, "/", `\/`), strings.ReplaceAll(escaped, "/", `\/`)}
}

var htmlEscapes = strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`)

// Mask returns text with every secret in it replaced by <secret>. A nil Masker changes nothing.
func (m *Masker) Mask(text string) string {
	if m == nil {
		return text
	}
	if m.whole[text] {
		return masked
	}
	return m.replacer.Replace(text)
}

// SetStandIn is how the config decoder fills in a secret that is missing, where a config is tried without its secrets. No check of a
// secret's form refuses it.
func (s *Secret) SetStandIn(value string) { s.value, s.standsIn = &value, true }

// SetSecret is how the config decoder fills in a secret.
func (s *Secret) SetSecret(value string) { s.value, s.standsIn = &value, false }
