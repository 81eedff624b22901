package strictyaml

import (
	"os"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"aka/destinations/adapter"
)

type withTree struct {
	Body    adapter.Tree              `yaml:"body"`
	Secrets map[string]adapter.Secret `yaml:"secrets"`
}

func decodeTree(t *testing.T, text string) (withTree, *Decoder) {
	t.Helper()
	node := &yaml.Node{}
	if err := yaml.Unmarshal([]byte(text), node); err != nil {
		t.Fatal(err)
	}
	d := &Decoder{
		Lookup: func(name string) (string, bool) {
			return map[string]string{"REGION": "eu", "TOKEN": "t0ken"}[name], name == "REGION" || name == "TOKEN"
		},
		ReadFile: func(path string) ([]byte, error) {
			if path == "/run/token" {
				return []byte("from-a-file\n"), nil
			}
			return nil, os.ErrNotExist
		},
	}
	var into withTree
	d.Decode(node, "settings", &into)
	return into, d
}

func TestATreeIsAsItStandsWithItsVariablesReplaced(t *testing.T) {
	const text = "body:\n  a: &x { region: \"${REGION}\", n: 2.50 }\n  b: [*x, '=userId']\n  c: $${REGION}\n"
	got, d := decodeTree(t, text)
	if problems := d.Problems(); len(problems) > 0 {
		t.Fatal(problems)
	}
	encoded, err := Encode(got)
	if err != nil {
		t.Fatal(err)
	}
	if region := got.Body.Node().Content[1].Content[1].Value; region != "eu" {
		t.Errorf("region is %q", region)
	}
	for _, want := range []string{"region: \"${REGION}\"", "n: 2.50", "'=userId'", "$${REGION}"} {
		if !strings.Contains(string(encoded), want) {
			t.Errorf("without %q:\n%s", want, encoded)
		}
	}
	again, _ := decodeTree(t, string(encoded))
	if twice, err := Encode(again); err != nil || string(twice) != string(encoded) {
		t.Errorf("%v: it is not the same again:\n%s\nwas\n%s", err, twice, encoded)
	}
	node := got.Body.Node().Content[3].Content[1]
	if node.Value != "=userId" || node.Line != 3 || node.Column != 11 {
		t.Errorf("%q is at %d:%d", node.Value, node.Line, node.Column)
	}
}

func TestATreeIsHeldToTheRulesOfTheConfig(t *testing.T) {
	for text, want := range map[string]string{
		"body: { a: 1, a: 2 }":             "line 1: settings.body.a: given twice, first on line 1",
		"body:\n  a: !!str 1":              "line 2: settings.body.a: expected no tag, not !!str",
		"body:\n  - { x: \"${MISSING}\" }": "line 2: settings.body[0].x: environment variable MISSING is not set",
		"body: { ? [a] : 1 }":              "expected a plain key",
		"body: " + strings.Repeat("[", 40) + strings.Repeat("]", 40): "nested deeper than 32 levels",
		"body:\n  x: &a { y: 1 }\n  z: { <<: *a }":                   "merging with << is not supported",
	} {
		_, d := decodeTree(t, text)
		problems := d.Problems()
		if len(problems) == 0 || !strings.Contains(problems[0].Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", text, problems, want)
		}
	}
}

// What a variable holds may be an API key that belongs below secrets.
func TestAVariableInATreeIsASecret(t *testing.T) {
	got, d := decodeTree(t, "body: { a: \"Bearer ${TOKEN}\", b: \"$${TOKEN}\" }")
	if problems := d.Problems(); len(problems) > 0 {
		t.Fatal(problems)
	}
	if value := got.Body.Node().Content[1].Value; value != "Bearer t0ken" {
		t.Errorf("got %q", value)
	}
	if encoded, err := Encode(got); err != nil || !strings.Contains(string(encoded), `Bearer ${TOKEN}`) || !strings.Contains(string(encoded), `$${TOKEN}`) || strings.Contains(string(encoded), "t0ken") {
		t.Errorf("%v: it is shown as\n%s", err, encoded)
	}
	if !slices.Contains(d.Secrets(), "t0ken") {
		t.Error("it is not masked elsewhere")
	}
}

func TestSecretsByNameHaveTwinsForFiles(t *testing.T) {
	got, d := decodeTree(t, "secrets: { token: \"${TOKEN}\", other_file: /run/token }")
	if problems := d.Problems(); len(problems) > 0 {
		t.Fatal(problems)
	}
	if got.Secrets["token"].Reveal() != "t0ken" || got.Secrets["other"].Reveal() != "from-a-file" || len(got.Secrets) != 2 {
		t.Errorf("got %d secrets", len(got.Secrets))
	}
	if encoded, err := Encode(got); err != nil || strings.Contains(string(encoded), "t0ken") || strings.Contains(string(encoded), "from-a-file") {
		t.Errorf("%v: a secret is shown:\n%s", err, encoded)
	}
	if len(d.Secrets()) != 2 {
		t.Errorf("%d secrets are known to be masked", len(d.Secrets()))
	}
	_, d = decodeTree(t, "secrets: { token: x, token_file: /run/token }")
	if problems := d.Problems(); len(problems) != 1 {
		t.Errorf("one that is given twice: %v", problems)
	}
	_, d = decodeTree(t, "secrets: { token_file: /none }")
	if problems := d.Problems(); len(problems) != 1 || !strings.Contains(problems[0].Message, os.ErrNotExist.Error()) {
		t.Errorf("a file that is not there: %v", problems)
	}
}
