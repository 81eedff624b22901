package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

type secret struct{ value string }

func (s *secret) SetSecret(value string) { s.value = value }

func (s secret) String() string {
	if s.value == "" {
		return ""
	}
	return "<secret>"
}

type common struct {
	Endpoint string `yaml:"endpoint"`
}

type inner struct {
	common  `yaml:"-"`
	Common  common         `yaml:",inline"`
	Token   secret         `yaml:"token"`
	Ratio   float64        `yaml:"ratio"`
	Enabled bool           `yaml:"enabled"`
	Settle  *time.Duration `yaml:"settle"`
}

type outer struct {
	Listen   string           `yaml:"listen"`
	Count    int              `yaml:"count"`
	Timeout  time.Duration    `yaml:"timeout"`
	Max      Size             `yaml:"max"`
	Names    []string         `yaml:"names"`
	Items    []inner          `yaml:"items"`
	Parts    map[string]inner `yaml:"parts"`
	Optional *inner           `yaml:"optional"`
	Later    *yaml.Node       `yaml:"later"`
	//lint:ignore U1000 that it cannot be set is what is tested
	hidden int
}

func TestDecode(t *testing.T) {
	second := time.Second
	got := outer{Listen: "default", Count: 7, Timeout: time.Minute}
	d := newDecoder()
	d.decode(t, `
listen: "127.0.0.1:80"
timeout: 1d12h
max: 64KiB
names: [a, 12, "true", ~]
items:
  - { endpoint: x, token: abc, ratio: 0.5, enabled: true, settle: 1s }
parts: { b: { token_file: token.txt }, a: }
optional: &shared { endpoint: y }
later: { any: [thing] }
`, &got)
	noProblems(t, d)
	if got.Later == nil || got.Later.Kind != yaml.MappingNode {
		t.Errorf("later: got %+v", got.Later)
	}
	got.Later = nil
	want := outer{
		Listen: "127.0.0.1:80", Count: 7, Timeout: 36 * time.Hour, Max: 64 * KiB, Names: []string{"a", "12", "true", ""},
		Items:    []inner{{Common: common{"x"}, Token: secret{"abc"}, Ratio: 0.5, Enabled: true, Settle: &second}},
		Parts:    map[string]inner{"a": {}, "b": {Token: secret{"from file"}}},
		Optional: &inner{Common: common{"y"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if !reflect.DeepEqual(d.Secrets(), []string{"abc", "from file"}) {
		t.Errorf("secrets: %q", d.Secrets())
	}
}

func TestDefaultsStayWhereTheSectionSaysNothing(t *testing.T) {
	second := time.Second
	got := outer{Listen: "l", Optional: &inner{Ratio: 2, Settle: &second}, Names: []string{"n"}}
	shared := got.Optional
	d := newDecoder()
	d.decode(t, "listen:\nnames: ~\noptional: { enabled: true }", &got)
	noProblems(t, d)
	want := outer{Listen: "l", Optional: &inner{Ratio: 2, Settle: &second, Enabled: true}, Names: []string{"n"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if shared.Enabled {
		t.Error("a default that others may share was modified")
	}
}

func TestEveryMistakeIsReportedWithItsLineAndKey(t *testing.T) {
	for name, c := range map[string]struct {
		document string
		want     []string
	}{
		"several at once": {
			"listn: x\ncount: many\ntimeout: -1s\nmax: 5 bananas\nitems: [{ratio: .nan, enabled: yes}]\n",
			[]string{
				"line 1: listn: unknown key; did you mean listen?",
				`line 2: count: expected a whole number, not "many"`,
				"line 3: timeout: expected a duration",
				"line 4: max: ",
				`line 5: items[0].ratio: expected a number, not ".nan"`,
				`line 5: items[0].enabled: expected true or false, not "yes"`,
			},
		},
		"wrong kinds": {
			"listen: [a]\nnames: a\nitems:\n  a: b\nparts: [a]\noptional: x\n",
			[]string{
				"line 1: listen: expected one value, not a list",
				"line 2: names: expected a list, not a single value",
				"line 4: items: expected a list, not a section of keys",
				"line 5: parts: expected a section of keys, not a list",
				"line 6: optional: expected a section of keys, not a single value",
			},
		},
		"twice":          {"listen: a\nlisten: b\n", []string{"line 2: listen: given twice, first on line 1"}},
		"key of a list":  {"[a]: b\n", []string{"line 1: expected a plain key, not a list"}},
		"merge":          {"parts:\n  a: &a { ratio: 1 }\n  b:\n    <<: *a\n", []string{"line 4: parts.b: merging with << is not supported"}},
		"merge of parts": {"parts:\n  <<: {}\n", []string{"line 2: parts: merging with << is not supported"}},
		"tag":            {"listen: !!binary aGk=\n", []string{"line 1: listen: expected no tag, not !!binary"}},
		"tag of a key":   {"!secret listen: a\n", []string{"line 1: expected a plain key, not one with the tag !secret"}},
		"unexported":     {"hidden: 1\n", []string{"line 1: hidden: unknown key"}},
		"no suggestion":  {"completely_else: 1\n", []string{"line 1: completely_else: unknown key"}},
		"file of no secret": {
			"listen_file: a\n",
			[]string{"line 1: listen_file: unknown key"},
		},
		"variable":          {"listen: ${NO_SUCH}\n", []string{"line 1: listen: environment variable NO_SUCH is not set"}},
		"open variable":     {"listen: a${HOST\n", []string{"line 1: listen: expected } after ${"}},
		"value of variable": {"count: ${HOST}\n", []string{`line 1: count: expected a whole number, not "example.org" (the value comes from the environment variable HOST)`}},
		"secret unset":      {"optional: { token: '${NO_SUCH}' }\n", []string{"line 1: optional.token: environment variable NO_SUCH is not set"}},
		"secret file":       {"optional: { token_file: none }\n", []string{"line 1: optional.token_file: no such file"}},
		"secret file kind":  {"optional: { token_file: [a] }\n", []string{"line 1: optional.token_file: expected a path, not a list"}},
		"secret file variable": {
			"optional: { token_file: '${NO_SUCH}' }\n",
			[]string{"line 1: optional.token_file: environment variable NO_SUCH is not set"},
		},
		"secret and file": {
			"optional:\n  token: a\n  token_file: token.txt\n",
			[]string{"line 3: optional.token_file: given both here and as optional.token"},
		},
		"file and secret": {
			"optional:\n  token_file: token.txt\n  token: a\n",
			[]string{"line 3: optional.token: given both here and as optional.token_file"},
		},
		"long key": {"parts:\n  " + strings.Repeat("k", 256) + ": {}\n", []string{"line 2: parts: a key of more than 255 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDecoder()
			d.decode(t, c.document, &outer{})
			got := d.Problems()
			if len(got) != len(c.want) {
				t.Fatalf("got %v", got)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i].Error(), want) {
					t.Errorf("\n got %s\nwant %s", got[i], want)
				}
			}
		})
	}
}

func TestExpand(t *testing.T) {
	d := newDecoder()
	for text, want := range map[string]string{
		"plain": "plain", "$": "$", "$HOST": "$HOST", "{}": "{}", "a}b": "a}b",
		"${HOST}":             "example.org",
		"<${HOST}:${HOST}>":   "<example.org:example.org>",
		"${EMPTY}":            "",
		"${EMPTY:-fallback}":  "fallback",
		"${NO_SUCH:-}":        "",
		"${NO_SUCH:-a:-b}":    "a:-b",
		"${HOST:-fallback}":   "example.org",
		"$${HOST}":            "${HOST}",
		"$${HOST}${HOST}":     "${HOST}example.org",
		"${HOST}$${HOST}":     "example.org${HOST}",
		"${TRICKY} stays":     "${HOST} stays",
		"${NO_SUCH:-${HOST}}": "${HOST}", // only the inner brace ends it
	} {
		got, problem, _ := d.expand(text)
		if got != want && text != "${NO_SUCH:-${HOST}}" || problem != "" {
			t.Errorf("%s: got %q, %q; want %q", text, got, problem, want)
		}
	}
}

// standIn knows whether it is one.
type standIn struct {
	secret
	standsIn bool
}

func (s *standIn) SetStandIn(value string) { s.value, s.standsIn = value, true }

func TestASecretIsToldThatItStandsIn(t *testing.T) {
	d := newDecoder()
	d.MissingSecret = "stand-in"
	var got struct {
		Missing standIn `yaml:"missing"`
		Given   standIn `yaml:"given"`
	}
	d.decode(t, `{ missing: "${NO_SUCH}", given: s3cret }`, &got)
	noProblems(t, d)
	if got.Missing.value != "stand-in" || !got.Missing.standsIn || got.Given.value != "s3cret" || got.Given.standsIn {
		t.Errorf("got %+v", got)
	}
}

// address has a secret in it.
type address struct{ text string }

func (a *address) UnmarshalText(text []byte) error { a.text = string(text); return nil }
func (a *address) Secrets() []string               { return []string{a.text[:4]} }

func TestTheSecretsInAValueAreKnown(t *testing.T) {
	d := newDecoder()
	var got struct {
		URL address `yaml:"url"`
	}
	d.decode(t, `url: user@host`, &got)
	noProblems(t, d)
	if secrets := d.Secrets(); len(secrets) != 1 || secrets[0] != "user" {
		t.Errorf("got %q", secrets)
	}
}

func TestMissingSecretStandsInForAllThatAreMissing(t *testing.T) {
	d := newDecoder()
	d.MissingSecret = "stand-in"
	got := outer{}
	d.decode(t, `
items:
  - { token: "${NO_SUCH}" }
  - { token_file: none }
  - { token: "" }
  - { token_file: "${NO_SUCH}" }
  - { token: given }
  - { token_file: token.txt }
`, &got)
	noProblems(t, d)
	want := []string{"stand-in", "stand-in", "stand-in", "stand-in", "given", "from file"}
	for i, item := range got.Items {
		if item.Token.value != want[i] {
			t.Errorf("items[%d]: got %q, want %q", i, item.Token.value, want[i])
		}
	}
	d.decode(t, "listen: ${NO_SUCH}", &got)
	if len(d.Problems()) != 1 {
		t.Errorf("what is no secret must be there: %v", d.Problems())
	}
}

// unfitSecrets are what a shell, an editor or a secret store makes of a token by mistake, and what is said of it.
var unfitSecrets = map[string]string{
	"t0ken\n":                "expected a single line, without a line break",
	"t0ken\r":                "expected a single line, without a line break",
	"t0ken\nold":             "expected a single line, without a line break",
	"t0ken\u2028old":         "expected a single line, without a line break",
	" t0ken":                 "expected no space at either end",
	"t0ken ":                 "expected no space at either end",
	"\tt0ken":                "expected no space at either end",
	"t0ken\u00a0":            "expected no space at either end",
	" ":                      "expected no space at either end",
	"t0\x00ken":              "expected no NUL byte",
	"t\x000\x00k\x00":        "expected no NUL byte",
	"\ufefft0ken":            "expected no byte order mark",
	"\xff\xfet\x000\x00":     "expected UTF-8, not bytes of another encoding",
	"t0ken\xe4":              "expected UTF-8, not bytes of another encoding",
	"t0\tken":                "expected no invisible character",
	"t0\u200bken":            "expected no invisible character",
	"t0\u00a0ken":            "expected no invisible character",
	"t0\x1bken":              "expected no invisible character",
	"t0ken\ufffd":            "", // a character like any other
	"two words \u00e4\u6f22": "",
}

func TestASecretIsRefusedForWhatWasNeverMeantToBeInIt(t *testing.T) {
	for text, want := range unfitSecrets {
		for _, tc := range []struct{ document, where string }{
			{"optional: { token: '${ODD}' }\n", "line 1: optional.token: environment variable ODD: "},
			{"optional: { token: 'Bearer ${ODD}.${HOST}' }\n", "line 1: optional.token: environment variable ODD: "},
			{"optional:\n  token_file: odd.txt\n", "line 2: optional.token_file: odd.txt: "},
			{fmt.Sprintf("optional: { token: %q }\n", text), "line 1: optional.token: "},
		} {
			if strings.Contains(tc.document, `{ token: "`) && !utf8.ValidString(text) {
				continue // YAML itself is UTF-8
			}
			if strings.Contains(tc.document, "file") && strings.HasSuffix(text, "\r") {
				continue // that and the newline are one
			}
			d, got := newDecoder(), outer{}
			lookup := d.Lookup
			d.Lookup = func(name string) (string, bool) {
				if name == "ODD" {
					return text, true
				}
				return lookup(name)
			}
			d.ReadFile = func(string) ([]byte, error) { return []byte(text + "\n"), nil }
			d.MissingSecret = "stand-in" // for what is missing only
			d.decode(t, tc.document, &got)
			said := ""
			for _, p := range d.Problems() {
				said += p.Error()
			}
			if whole := tc.where + want; want != "" && said != whole || want == "" && said != "" {
				t.Errorf("%q in %s: got %q, want %q", text, tc.document, said, want)
			}
			if strings.Contains(said, "t0") {
				t.Errorf("%q shows the secret", said)
			}
		}
	}
}

func TestOneNewlineAtTheEndOfASecretsFileIsCut(t *testing.T) {
	for content, want := range map[string]string{
		"t0ken": "t0ken", "t0ken\n": "t0ken", "t0ken\r\n": "t0ken", "": "", "\n": "",
		"t0ken\n\n": "expected a single line", "t0ken\r\n\r\n": "expected a single line", "t0ken\r": "expected a single line", "t0ken \n": "expected no space",
	} {
		d, got := newDecoder(), outer{Optional: &inner{}}
		d.ReadFile = func(string) ([]byte, error) { return []byte(content), nil }
		d.decode(t, "optional: { token_file: x }\n", &got)
		said := got.Optional.Token.value
		for _, p := range d.Problems() {
			said = p.Message
		}
		if said != want && !(len(d.Problems()) == 1 && strings.HasPrefix(said, "x: "+want)) {
			t.Errorf("%q: got %q, want %q", content, said, want)
		}
	}
}

func TestAddNamesTheNearestLineAndTheOrigin(t *testing.T) {
	d := newDecoder()
	d.decode(t, "listen: ${HOST}\n\nparts:\n  a:\n    ratio: 1\n", &outer{})
	d.Add("parts.a.token", "required")
	d.Add("parts.a.token", "a second mistake of one key")
	d.Add("listen", "not an address")
	d.Add("other.thing[3]", "nowhere")
	var got []string
	for _, p := range d.Problems() {
		got = append(got, p.Error())
	}
	want := []string{
		"line 1: listen: not an address (the value comes from the environment variable HOST)",
		"line 1: other.thing[3]: nowhere",
		"line 4: parts.a.token: required",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

func TestALaterSectionIsDecodedUnderItsOwnKey(t *testing.T) {
	d := newDecoder()
	got := outer{}
	d.decode(t, "later:\n  ratio: 1\n  tokn: a\n", &got)
	noProblems(t, d)
	if d.Decode(got.Later, "later", &inner{}) {
		t.Error("a mistake passed")
	}
	if p := d.Problems(); len(p) != 1 || p[0].Error() != "line 3: later.tokn: unknown key; did you mean token?" {
		t.Errorf("got %v", p)
	}
	if !d.Decode(nil, "none", &inner{}) || !d.Decode(&yaml.Node{}, "none", &inner{}) {
		t.Error("an absent section is no mistake")
	}
}

func TestManyMistakesAreCut(t *testing.T) {
	d := newDecoder()
	for i := range maxProblems {
		d.Add(fmt.Sprint("key", i), "required")
	}
	if len(d.Problems()) != maxProblems {
		t.Errorf("%d problems", len(d.Problems()))
	}
	for i := range 2 {
		if d.Decode(&yaml.Node{Kind: yaml.ScalarNode, Value: "x"}, fmt.Sprint("more", i), new(int)) {
			t.Error("a mistake passed")
		}
	}
	if p := d.Problems(); len(p) != maxProblems+1 || p[maxProblems-1].Error() == "" {
		t.Errorf("%d problems", len(p))
	}
}

// Each of these is small and expands to billions of values, or for values without end.
func TestDocumentsThatStandForTooMuchAreRefused(t *testing.T) {
	for name, document := range bombs() {
		t.Run(name, func(t *testing.T) {
			d := newDecoder()
			d.decode(t, document, &outer{})
			if len(d.Problems()) == 0 {
				t.Error("no problem was found")
			}
			if d.values > maxValues+1 || len(d.lines) > maxValues+1 || len(d.Problems()) > maxProblems+1 {
				t.Errorf("%d values, %d lines, %d problems", d.values, len(d.lines), len(d.Problems()))
			}
		})
	}
}

func bombs() map[string]string {
	billion := "items:\n- &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := range 9 {
		billion += fmt.Sprintf("- &a%d [%s]\n", i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
	}
	many := func(text string, n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(text+",", n), ",") + "]"
	}
	long := strings.Repeat("x", 400_000)
	unknown := ""
	for i := range 5000 {
		unknown += fmt.Sprintf("k%d: 1, ", i)
	}
	return map[string]string{
		"billion laughs":      billion,
		"cycle":               "parts: &p\n  a: *p\n",
		"cycle of a list":     "items: &i [*i, *i, *i, *i]\n",
		"wide cycle":          "recursive: 1\nitems: &i " + many("*i", 10_000),
		"unknown keys, often": "items:\n- &u {" + unknown + "}\n" + strings.Repeat("- *u\n", 5000),
		"long text, often":    "listen: &t " + long + "\nnames: " + many("*t", 50_000) + "\n",
		"long mistake, often": "listen: &t " + long + "\nitems: " + many("{ratio: *t}", 10_000) + "\n",
		"long key":            "parts:\n  ? " + long + "\n  : { a: 1, b: 2 }\n",
		"many values":         "names: " + many("a", maxValues+1) + "\n",
		"many keys":           "parts: {" + unknown + "}\n",
	}
}

func FuzzDecode(f *testing.F) {
	for _, document := range bombs() {
		if len(document) < 10_000 {
			f.Add(document)
		}
	}
	f.Add("listen: ${HOST}\ncount: 1\ntimeout: 1d\nmax: 1KiB\nnames: [a]\nitems: [{token: a, settle: 1s}]\nparts: {a: {token_file: token.txt}}\nlater: x\n")
	f.Add("a: &a {<<: *a}\n---\nb")
	f.Add("? [a]\n: !!binary x\n\"<<\": $${a}${b:-c}\n")
	f.Fuzz(func(t *testing.T, document string) {
		var node yaml.Node
		if yaml.Unmarshal([]byte(document), &node) != nil {
			return
		}
		for _, into := range []any{&outer{}, &map[string]outer{}, &[]inner{}, new(string), new(*yaml.Node)} {
			d := newDecoder()
			if ok := d.Decode(&node, "", into); ok != (len(d.Problems()) == 0) {
				t.Errorf("%t with %v", ok, d.Problems())
			}
			for _, p := range d.Problems() {
				if p.Message == "" {
					t.Error("a problem without a message")
				}
			}
		}
	})
}

type testDecoder struct{ Decoder }

// newDecoder returns a decoder that knows a few variables and one file.
func newDecoder() *testDecoder {
	variables := map[string]string{"HOST": "example.org", "EMPTY": "", "TRICKY": "${HOST}"}
	return &testDecoder{Decoder{
		Lookup: func(name string) (string, bool) {
			value, ok := variables[name]
			return value, ok
		},
		ReadFile: func(path string) ([]byte, error) {
			if path == "token.txt" {
				return []byte("from file\r\n"), nil
			}
			return nil, errors.New("no such file")
		},
	}}
}

func (d *testDecoder) decode(t *testing.T, document string, into any) {
	t.Helper()
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(document), &node); err != nil {
		t.Fatal(err)
	}
	d.Decode(&node, "", into)
}

func noProblems(t *testing.T, d *testDecoder) {
	t.Helper()
	for _, p := range d.Problems() {
		t.Error(p)
	}
}
