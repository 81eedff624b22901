package transform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"aka/router/segment"
	"aka/router/strictyaml"
)

// compile compiles options that are written as in a config. The mistakes are one line each.
func compile(t testing.TB, text string) (*Program, string) {
	t.Helper()
	document := &yaml.Node{}
	if err := yaml.Unmarshal([]byte(text), document); err != nil {
		t.Fatal(err)
	}
	return compileNode(document, []byte(text))
}

func compileNode(node *yaml.Node, source []byte) (*Program, string) {
	d := &strictyaml.Decoder{Lookup: os.LookupEnv, Source: source}
	options := Options{}
	d.Decode(node, "vero", &options)
	p := options.Compile(d, "vero")
	var mistakes []string
	for _, problem := range d.Problems() {
		mistakes = append(mistakes, fmt.Sprintf("%d: %s: %s", problem.Column, problem.Key, problem.Message))
	}
	return p, strings.Join(mistakes, "\n")
}

func must(t testing.TB, text string) *Program {
	t.Helper()
	p, mistakes := compile(t, text)
	if mistakes != "" {
		t.Fatal(mistakes)
	}
	return p
}

func callOf(t testing.TB, body []byte) *segment.Call {
	t.Helper()
	result, err := segment.Parse(body, segment.Options{ReceivedAt: time.Unix(0, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	call, err := result.Messages[0].Decode()
	if err != nil {
		t.Fatal(err)
	}
	return call
}

// run does with a call what a destination does.
func (p *Program) run(call *segment.Call) (edited *segment.Call, passes bool, steps []string, err error) {
	if passes, err = p.PassesHeader(&call.Header); err != nil || !passes {
		return nil, passes, nil, err
	}
	if passes, err = p.Passes(call); err != nil || !passes {
		return nil, passes, nil, err
	}
	edited, steps, err = p.Trace(call)
	return edited, true, steps, err
}

type golden struct {
	Name      string         `yaml:"name"`
	Filter    yaml.Node      `yaml:"filter"`
	Transform yaml.Node      `yaml:"transform"`
	Call      yaml.Node      `yaml:"call"`
	Want      yaml.Node      `yaml:"want"`
	Steps     []string       `yaml:"steps"`
	Filtered  bool           `yaml:"filtered"`
	Error     string         `yaml:"error"`
	Rest      map[string]any `yaml:",inline"`
}

func (g *golden) compile(t *testing.T) *Program {
	t.Helper()
	node := &yaml.Node{Kind: yaml.MappingNode}
	for name, value := range map[string]*yaml.Node{"filter": &g.Filter, "transform": &g.Transform} {
		if value.Kind != 0 {
			node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, value)
		}
	}
	p, mistakes := compileNode(node, nil)
	if mistakes != "" {
		t.Fatal(mistakes)
	}
	return p
}

// jsonOf writes a YAML value as JSON, with the digits as they are written.
func jsonOf(t testing.TB, node *yaml.Node) any {
	t.Helper()
	switch node.Kind {
	case yaml.MappingNode:
		object := map[string]any{}
		for i := 0; i < len(node.Content); i += 2 {
			object[node.Content[i].Value] = jsonOf(t, node.Content[i+1])
		}
		return object
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range node.Content {
			list = append(list, jsonOf(t, item))
		}
		return list
	}
	switch node.Tag {
	case "!!int", "!!float":
		return json.Number(node.Value)
	case "!!str":
		return node.Value
	}
	var value any
	if err := node.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestCases(t *testing.T) {
	text, err := os.ReadFile("testdata/cases.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cases []golden
	if err := yaml.Unmarshal(text, &cases); err != nil || len(cases) < 30 {
		t.Fatalf("%d cases (%v)", len(cases), err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if len(c.Rest) > 0 {
				t.Fatalf("the case says %v", c.Rest)
			}
			body, _ := json.Marshal(jsonOf(t, &c.Call))
			call := callOf(t, body)
			edited, passes, steps, err := c.compile(t).run(call)
			switch {
			case c.Error != "":
				if err == nil || !strings.HasPrefix(err.Error(), c.Error) || strings.Contains(err.Error(), "secret-value") {
					t.Errorf("the error is %v", err)
				}
			case err != nil:
				t.Error(err)
			case passes == c.Filtered:
				t.Errorf("it passes: %v", passes)
			case passes:
				c.expect(t, call, edited, steps)
			}
			if string(call.JSON()) != string(body) || !reflect.DeepEqual(call.Properties, callOf(t, body).Properties) {
				t.Error("the call was modified")
			}
		})
	}
}

func (g *golden) expect(t *testing.T, call, edited *segment.Call, steps []string) {
	t.Helper()
	want := call.Fields()
	if g.Want.Kind != 0 {
		for name, value := range jsonOf(t, &g.Want).(map[string]any) {
			if want[name] = value; value == nil {
				delete(want, name)
			}
		}
	}
	wanted, got := write(t, want), write(t, edited.Fields())
	if got != wanted {
		t.Errorf("got  %s\nwant %s", got, wanted)
	}
	if g.Steps != nil && !slices.Equal(steps, g.Steps) {
		t.Errorf("the steps are %v", steps)
	}
	if again := call.WithFields(want); again.Event != edited.Event || again.Name != edited.Name ||
		write(t, again.Properties) != write(t, edited.Properties) || write(t, again.Traits) != write(t, edited.Traits) ||
		write(t, again.Context()) != write(t, edited.Context()) {
		t.Errorf("the adapter gets other objects: %+v", edited)
	}
}

func write(t testing.TB, value any) string {
	t.Helper()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A reload replaces a destination where, and only where, its filter or transform does something else.
func TestDigest_IsAnotherWhereTheProgramIs(t *testing.T) {
	const base = `{ filter: a, transform: [{ when: b, drop: [properties.c] }, { keep: [traits.d] }, { rename: { traits.e: f } }, { set: { traits.g: h, 'traits.i?': '=k' } }] }`
	text := func(from, to string) string {
		changed := strings.Replace(base, from, to, 1)
		for name, expression := range map[string]string{"filter: a": `filter: type == "a"`, "when: b": `when: type == "b"`, "=k": "=traits.k"} {
			changed = strings.Replace(changed, name, expression, 1)
		}
		return changed
	}
	seen := map[string]string{}
	for _, c := range [][2]string{
		{"", ""}, {"filter: a, ", ""}, {"filter: a", `filter: type == "z"`}, {"when: b, ", ""}, {"when: b", `when: type == "z"`}, {"properties.c", "properties.z"},
		{"traits.d", "traits.z"}, {"traits.e", "traits.z"}, {": f", ": z"}, {"traits.g", "traits.z"}, {": h", ": z"}, {": h", ": 5"}, {": h", `: "5"`}, {"=k", "=traits.z"},
		{"traits.i?", "traits.i"}, {"{ keep: [traits.d] }, ", ""}, {"keep: [traits.d]", "drop: [traits.d]"},
	} {
		digest := must(t, text(c[0], c[1])).Digest()
		if other, known := seen[digest]; known {
			t.Errorf("%v is as %v", c, other)
		}
		seen[digest] = fmt.Sprint(c)
	}
	if got := must(t, strings.ReplaceAll(text("", ""), "type ==", "type == ")).Digest(); seen[got] != "" {
		t.Error("the text of a condition makes no difference") // it is not compared by its meaning
	}
	if _, same := seen[must(t, strings.ReplaceAll(text("", ""), "{ set", "{  set")).Digest()]; !same || (*Program)(nil).Digest() != "" {
		t.Error("a space makes a difference")
	}
}
