package transform

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"aka/router/segment"
	"aka/router/strictyaml"
)

// marker stands in every text of a call: no error may hold it.
const marker = "zq9xw"

// expressions are put together of these, with paths.
var expressions = []string{
	"%s", "sha256(%s)", "lower(trim(text(%s)))", "email(%s)", "num(%s)", "%s + 1", "pick(%s, \"a\")", "json(%s)", "[%s, %[1]s]", `{"a": %s}`,
	"map(%s, #)", "flatten(%s, \".\")", "%s.a.b", "len(%s) > 2 ? %[1]s : nil", "cut(%s, 3)", "keys(%s)", `omit(%s, "b")`, "merge(%s, %[1]s)",
}

var conditions = []string{"", `type == "track"`, "%s != nil", "%s.a == 1", "%s", `userId in ["u", "v"]`, `%s > 3`, `not %s`}

func randomPath(r *rand.Rand) string {
	p := roots[r.IntN(3)]
	for n := r.IntN(3); n >= 0; n-- {
		p += []string{".a", ".b", ".list", `["c.d"]`, ".traits", ".email"}[r.IntN(6)]
	}
	return p
}

// seen is a path as an expression may read it, whether or not something is there.
func seen(path string) string { return strings.ReplaceAll(path, ".", "?.") }

func randomExpression(r *rand.Rand, from []string) string {
	form := from[r.IntN(len(from))]
	if !strings.Contains(form, "%") {
		return form
	}
	path := randomPath(r)
	if r.IntN(4) > 0 {
		path = seen(path)
	}
	return fmt.Sprintf(form, path)
}

func randomOptions(r *rand.Rand) Options {
	o := Options{Filter: randomExpression(r, conditions)}
	for range r.IntN(5) {
		s := Step{When: randomExpression(r, conditions)}
		switch path := randomPath(r); r.IntN(5) {
		case 0:
			s.Drop = []string{path, roots[r.IntN(3)]}
		case 1:
			s.Keep = []string{path, randomPath(r)}
		case 2:
			s.Rename = map[string]string{path: "a", randomPath(r): "renamed"}
		case 3:
			s.Set = map[string]*yaml.Node{path + "?": scalar("=" + randomExpression(r, expressions)), "properties.set": scalar("text")}
		case 4:
			s.Set = map[string]*yaml.Node{path: scalar("=" + randomExpression(r, expressions)), roots[r.IntN(len(roots))] + "?": scalar("=" + randomExpression(r, expressions))}
		}
		o.Transform = append(o.Transform, s)
	}
	return o
}

func scalar(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

func randomValue(r *rand.Rand, depth int) string {
	switch n := r.IntN(9); {
	case n < 3 && depth > 0:
		var members []string
		for _, name := range []string{"a", "b", "list", "c.d", "traits", "email", "aka", "ip"} {
			if r.IntN(2) == 0 {
				members = append(members, fmt.Sprintf("%q:%s", name, randomValue(r, depth-1)))
			}
		}
		return "{" + strings.Join(members, ",") + "}"
	case n == 3 && depth > 0:
		return "[" + randomValue(r, depth-1) + "," + randomValue(r, depth-1) + "]"
	case n == 4:
		return "null"
	case n == 5:
		return "12345678901234567890"
	}
	return fmt.Sprintf("%q", marker+[]string{"", "@email.com", " A"}[r.IntN(3)])
}

func randomCall(t testing.TB, r *rand.Rand) *segment.Call {
	kind := segment.Types[r.IntN(len(segment.Types))].String()
	return callOf(t, fmt.Appendf(nil,
		`{"type":%q,"messageId":"m","userId":%q,"anonymousId":"a","previousId":"p","groupId":"g","event":%q,"name":"n","properties":%s,"traits":%s,"context":%s}`,
		kind, marker+"u", marker, randomValue(r, 3), randomValue(r, 3), randomValue(r, 3)))
}

// Three destinations edit one call at the same time. None of them changes it, or an id; each makes the same of it twice; and no error holds
// what the call holds.
func TestTransform_PropertiesOfRandomProgramsAndCalls(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	compiled, edits, failures := 0, 0, 0
	for range 1000 {
		call := randomCall(t, r)
		before, header := string(call.JSON()), call.Header
		properties, traits, context := write(t, call.Properties), write(t, call.Traits), write(t, call.Context())
		var destinations sync.WaitGroup
		var mu sync.Mutex
		for range 3 {
			d := &strictyaml.Decoder{}
			options := randomOptions(r)
			p := options.Compile(d, "vero")
			if len(d.Problems()) > 0 {
				continue
			}
			compiled++
			destinations.Go(func() {
				first := checkRun(t, p, call)
				second := checkRun(t, p, call)
				mu.Lock()
				defer mu.Unlock()
				if first != second {
					t.Errorf("made %s and then %s of %s", first, second, before)
				}
				edits += strings.Count(first, "edited")
				failures += strings.Count(first, "error")
			})
		}
		destinations.Wait()
		if string(call.JSON()) != before || call.Header != header || write(t, call.Properties) != properties ||
			write(t, call.Traits) != traits || write(t, call.Context()) != context {
			t.Fatalf("the shared call was modified: %s", before)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if compiled < 500 || edits < 100 || failures < 30 {
		t.Errorf("too tame: %d programs, %d edits, %d failures", compiled, edits, failures)
	}
}

// checkRun returns what becomes of a call, as a text.
func checkRun(t testing.TB, p *Program, call *segment.Call) string {
	edited, passes, steps, err := p.run(call)
	switch {
	case err != nil:
		if strings.Contains(err.Error(), marker) || strings.Contains(err.Error(), "panicked") {
			t.Errorf("the error is %v", err)
		}
		return "error " + err.Error()
	case !passes:
		return "filtered"
	}
	if edited.Header != call.Header || string(edited.Routing) != string(call.Routing) {
		t.Errorf("the header became %+v", edited.Header)
	}
	before, after := call.Fields(), edited.Fields()
	for _, names := range fixed {
		for _, name := range names {
			if !reflect.DeepEqual(before[name], after[name]) {
				t.Errorf("%s became %v", name, after[name])
			}
		}
	}
	aka, had := call.Context()["aka"]
	if now, has := edited.Context()["aka"]; has != had || !reflect.DeepEqual(now, aka) {
		t.Errorf("context.aka became %v", now)
	}
	// What the adapter sees and what the JSON says are the same.
	if again := call.WithFields(edited.Fields()); write(t, again.Properties) != write(t, edited.Properties) || again.Event != edited.Event {
		t.Errorf("the JSON says %s, the objects %v", edited.JSON(), edited.Properties)
	}
	return fmt.Sprint("edited ", steps, string(edited.JSON()))
}

// Each step doubles the call, by copies of a part or by objects that it makes.
func TestTransform_ACallCannotGrowWithoutEnd(t *testing.T) {
	call := callOf(t, []byte(`{"type":"track","event":"e","userId":"u","properties":{"n":"`+marker+`"}}`))
	for _, step := range []string{
		"{ set: { properties.a: =properties, properties.b: =properties } }",
		`{ set: { properties: '={"a": properties, "b": properties}' } }`,
	} {
		p := must(t, "transform:\n"+strings.Repeat("  - "+step+"\n", 18))
		_, err := p.Apply(call)
		if err == nil || strings.Contains(err.Error(), marker) || !strings.Contains(err.Error(), "larger than 8 MiB") && !strings.Contains(err.Error(), "too much time or memory") {
			t.Errorf("%s: the error is %v", step, err)
		}
	}
}

func FuzzProgram(f *testing.F) {
	f.Add(`type != "page"`, "properties.card", "traits.email?", "=sha256(traits.email)", `{"a":1}`, `{"email":"x"}`)
	f.Add(`properties.a > 3`, `properties["a.b"].c`, "properties", "=map(properties.list, # + 1)", `{"list":[1,{}]}`, `null`)
	f.Add(``, "context", "context.aka", "5", `[]`, `{"traits":{"aka":{}}}`)
	f.Fuzz(func(t *testing.T, filter, path, to, value, properties, rest string) {
		body := fmt.Sprintf(`{"type":"identify","userId":%q,"properties":%s,"traits":%s,"context":{"traits":%s,"aka":{"via":[]}}}`, marker, properties, rest, rest)
		result, err := segment.Parse([]byte(body), segment.Options{ReceivedAt: time.Unix(0, 0)})
		if err != nil || len(result.Messages) != 1 {
			return
		}
		call, err := result.Messages[0].Decode()
		if err != nil {
			return
		}
		before := string(call.JSON())
		options := Options{Filter: filter, Transform: []Step{
			{Drop: []string{path}}, {Keep: []string{path}}, {Rename: map[string]string{path: to}}, {When: filter, Set: map[string]*yaml.Node{to: scalar(value)}},
		}}
		for i := range options.Transform { // each by itself, so that one mistake does not hide what others do
			one := Options{Filter: options.Filter, Transform: options.Transform[i : i+1]}
			d := &strictyaml.Decoder{Lookup: func(string) (string, bool) { return "", false }}
			if p := one.Compile(d, "vero"); len(d.Problems()) == 0 && p != nil {
				checkRun(t, p, call)
			}
		}
		if string(call.JSON()) != before {
			t.Error("the call was modified")
		}
	})
}
