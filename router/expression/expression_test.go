package expression

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"aka/destinations/adapter"
	"aka/router/segment"
)

var options = Options{
	Secrets:   map[string]string{"token": "s3cr3t-t0ken"},
	Constants: map[string]any{"region": "eu", "tiers": map[string]any{"gold": 1}},
}

func callOf(t testing.TB, body []byte) *segment.Call {
	t.Helper()
	result, err := segment.Parse(body, segment.Options{ReceivedAt: time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	call, err := result.Messages[0].Decode()
	if err != nil {
		t.Fatal(err)
	}
	return call
}

func sample(t testing.TB) *segment.Call {
	t.Helper()
	body, err := os.ReadFile("testdata/call.json")
	if err != nil {
		t.Fatal(err)
	}
	return callOf(t, body)
}

func load(t *testing.T, file string, into any) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(content, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func encoded(t testing.TB, value any) string {
	t.Helper()
	body, err := adapter.Encode(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestFunctionsGiveWhatTheTableSays(t *testing.T) {
	var table map[string]map[string]yaml.Node
	load(t, "testdata/functions.yaml", &table)
	env := OfCall(sample(t))
	for function, cases := range table {
		for text, node := range cases {
			var want any
			if err := node.Decode(&want); err != nil {
				t.Fatal(err)
			}
			if node.Value == "12345678901234567890" {
				want = json.Number(node.Value)
			}
			program, err := Compile(text, options)
			if err != nil {
				t.Errorf("%s: %s: %v", function, text, err)
				continue
			}
			got, err := program.Run(env)
			if err != nil {
				t.Errorf("%s: %s: %v", function, text, err)
			} else if is, should := encoded(t, got), encoded(t, want); is != should && strings.Trim(is, `"`) != should {
				t.Errorf("%s: %s\n got %s\nwant %s", function, text, is, should)
			}
		}
	}
	for _, name := range append(FunctionNames(), loops...) {
		if len(table[name]) == 0 {
			t.Errorf("%s is not in the table", name)
		}
	}
}

func TestMistakesAreFoundWhenTheConfigIsRead(t *testing.T) {
	var table map[string]struct {
		Column int
		Error  string
	}
	load(t, "testdata/mistakes.yaml", &table)
	for text, want := range table {
		_, err := Compile(text, options)
		var mistake *Error
		if !errors.As(err, &mistake) {
			t.Errorf("%s: is taken (%v)", text, err)
			continue
		}
		if mistake.Column != want.Column || mistake.Line != 1 || !strings.Contains(mistake.Error(), want.Error) {
			t.Errorf("%s:\n got %d: %s\nwant %d: %s", text, mistake.Column, mistake, want.Column, want.Error)
		}
	}
}

func TestAMistakeInALaterLineHasItsLine(t *testing.T) {
	_, err := Compile("event == \"ä\" and\n  userID == 1", Options{})
	var mistake *Error
	if !errors.As(err, &mistake) || mistake.Line != 2 || mistake.Column != 3 {
		t.Errorf("got %+v", mistake)
	}
}

func TestAConditionIsTrueOrFalse(t *testing.T) {
	for _, text := range []string{"event", "lower(event)", "properties", "5", "map(properties.list, #)", "timestamp"} {
		if _, err := Compile(text, Options{Want: Bool}); err == nil {
			t.Errorf("%s is taken as a condition", text)
		}
	}
	env := OfCall(sample(t))
	for text, want := range map[string]bool{
		"properties.yes": true, "properties.absent": false, `type == "track"`: true, "properties.yes and not properties.no": true, "bool(\"no\")": false,
	} {
		program, err := Compile(text, Options{Want: Bool})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := program.Truth(env); got != want || err != nil {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	program, _ := Compile("properties.text", Options{Want: Bool})
	if _, err := program.Truth(env); err == nil || err.Error() != "properties.text: is a text; true or false is wanted" {
		t.Errorf("a text as a condition: %v", err)
	}
}

func TestHeaderOnlyNamesNothingThatMustBeDecoded(t *testing.T) {
	for text, want := range map[string]bool{
		`type == "track" and userId != ""`: true, `previousIdDefaulted or previousId == anonymousId`: true, `unix(timestamp) > 5`: true,
		`true`: true, `secrets.token == userId`: true,
		`event == "x"`: false, `type == "track" and properties.a`: false, `any([1], # == len(context))`: false,
	} {
		program, err := Compile(text, options)
		if err != nil {
			t.Fatal(text, err)
		}
		if program.HeaderOnly() != want {
			t.Errorf("%s: header only is %v", text, !want)
		}
	}
	header := &segment.Header{Type: segment.Track, UserID: "u1"}
	program, _ := Compile(`type == "track" and userId == "u1"`, Options{Want: Bool})
	if is, err := program.Truth(OfHeader(header)); !is || err != nil {
		t.Errorf("of a header: %v, %v", is, err)
	}
}

func TestExtraVariablesAreThereOnlyWhereTheyAreNamed(t *testing.T) {
	answer := Options{Extra: []string{Status, Body, AfterAmbiguous}, WithoutCall: true}
	program, err := Compile(`status == 400 and afterAmbiguous and body?.code == 7`, answer)
	if err != nil {
		t.Fatal(err)
	}
	if value, err := program.Run(OfAnswer(400, map[string]any{"code": json.Number("7")}, true)); value != true || err != nil {
		t.Errorf("got %v, %v", value, err)
	}
	if _, err := Compile("userId", answer); err == nil {
		t.Error("an answer has no userId")
	}
	program, err = Compile("item.id", Options{Extra: []string{Item}})
	if err != nil {
		t.Fatal(err)
	}
	env := &Env{}
	env.SetItem(map[string]any{"id": "p1"})
	if value, err := program.Run(env); value != "p1" || err != nil {
		t.Errorf("got %v, %v", value, err)
	}
}

func TestTraitsOfAnIdentifyHaveThoseOfTheContextBelow(t *testing.T) {
	program, _ := Compile(`words(traits.email, traits.plan)`, Options{})
	for kind, want := range map[string]any{"identify": "own@x.de gold", "group": "own@x.de"} {
		body := fmt.Sprintf(`{"type":%q,"userId":"u","groupId":"g","traits":{"email":"own@x.de"},"context":{"traits":{"email":"c@x.de","plan":"gold"}}}`, kind)
		if got, err := program.Run(OfCall(callOf(t, []byte(body)))); got != want || err != nil {
			t.Errorf("%s: got %v, %v; want %v", kind, got, err, want)
		}
	}
}

// An error goes into logs and dead letters: it must not hold what a person is called, nor a secret.
func TestErrorsNameThePlaceAndNoValue(t *testing.T) {
	env := OfCall(callOf(t, []byte(`{"type":"track","event":"e","userId":"u1","properties":{"s":"hidden","n":7177,"l":["hidden"],"o":{"hidden":1}}}`)))
	for text, want := range map[string]string{
		"properties.s.x":                    "properties.s.x: cannot be read",
		"properties.x.y":                    "properties.x.y: cannot be read",
		"properties[properties.s].x":        "column 26: cannot be evaluated with these values",
		"lower(properties.o)":               "lower(properties.o): takes a text, and has an object",
		"omit(properties.s, \"a\")":         "omit(properties.s): takes an object, and has a text",
		"properties.s + properties.o":       "column 14: + of a text and an object",
		"properties.s - 1":                  "properties.s: is a text; a number is wanted",
		"properties.s < 1":                  "column 14: cannot be evaluated with these values",
		"properties.l[7]":                   "properties.l[7]: cannot be read",
		"map(properties.s, #)":              "properties.s: is a text; a list is wanted",
		"properties.o contains \"a\"":       "properties.o: is an object; a text is wanted",
		"hmac(properties.x, secrets.token)": "hmac(properties.x): takes a key and a text, and the key is empty",
		"properties.n % 0":                  "column 14: cannot be evaluated with these values",
		"properties.n / 0":                  "column 14: is no number, as after a division by zero",
		"[timestamp]":                       "column 1: is a time",
		"secrets.token + properties.o":      "column 15: + of a text and an object",
	} {
		program, err := Compile(text, options)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		_, err = program.Run(env)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "7177") || strings.Contains(err.Error(), "s3cr3t")) {
			t.Errorf("%s: the error holds a value: %v", text, err)
		}
	}
}

// hostile are expressions that would take a day or all memory.
var hostile = []string{
	`any(properties.many, any(properties.many, any(properties.many, # == "z")))`,
	`all(properties.many, # in properties.many)`,
	`filter(properties.many, properties.long contains "zz")`,
	`filter(properties.many, properties.long matches "(a*)*b$")`,
	`filter(properties.many, lower(properties.long) == "x")`,
	`filter(properties.many, date(properties.long) == nil)`,
	`filter(properties.many, json(properties) == "x")`,
	`map(properties.many, properties.long + properties.long)`,
	`map(properties.many, properties.many)`,
	`map(properties.many, flatten(properties, "."))`,
	strings.Repeat(`map([`, 60) + `properties.long` + strings.Repeat(`], [#, #, #])`, 60),
	`json(` + strings.Repeat(`map([`, 60) + `properties.long` + strings.Repeat(`], [#, #, #])`, 60) + `)`,
	strings.Repeat("properties.long + ", 200) + "properties.long",
	strings.Repeat("[", 200) + "1" + strings.Repeat("]", 200),
}

func TestHostileExpressionsEndByCounting(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat(`"x",`, 50_000), ",")
	env := OfCall(callOf(t, []byte(`{"type":"track","event":"e","userId":"u1","properties":{"long":"`+strings.Repeat("a", 200_000)+`","many":[`+many+`]}}`)))
	for _, text := range hostile {
		program, err := Compile(text, options)
		if err != nil {
			continue // refused is as good
		}
		done := make(chan error, 1)
		go func() {
			_, err := program.Run(env)
			done <- err
		}()
		if err := <-done; err == nil {
			t.Errorf("%.80s: has a value", text)
		}
	}
}

// The work that a run may do is counted, not timed: so that it does not depend on the machine.
func TestTheWorkOfARunIsBounded(t *testing.T) {
	b := &budget{}
	turns := 0
	for b.spend(turn) == nil {
		turns++
	}
	if turns != maxWork/turn {
		t.Errorf("a run may take %d turns", turns)
	}
	if b.weigh("") == nil {
		t.Error("nothing is left, and something is taken")
	}
}

func TestTextsAndNodesAreBounded(t *testing.T) {
	for _, text := range []string{"1" + strings.Repeat(" ", MaxText), strings.Repeat("1+", 600) + "1", strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000)} {
		if _, err := Compile(text, Options{}); err == nil {
			t.Errorf("%.20s… of %d bytes is taken", text, len(text))
		}
	}
}

func TestEqualCallsGiveEqualValues(t *testing.T) {
	for _, text := range []string{`keys(properties)`, `json(properties)`, `query(pick(properties, "text", "whole", "yes"))`, `json(flatten(properties, "_"))`} {
		program, err := Compile(text, Options{})
		if err != nil {
			t.Fatal(err)
		}
		first, err := program.Run(OfCall(sample(t)))
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if again, _ := program.Run(OfCall(sample(t))); !reflect.DeepEqual(first, again) {
				t.Fatalf("%s:\n got %v\nthen %v", text, first, again)
			}
		}
	}
}

func TestAProgramIsSafeForConcurrentUse(t *testing.T) {
	program, _ := Compile(`words(userId, map(properties.products, .id)[1])`, Options{})
	call, failed := sample(t), make(chan error)
	for range 8 {
		go func() {
			for range 200 {
				if got, err := program.Run(OfCall(call)); got != "u1 p2" || err != nil {
					failed <- fmt.Errorf("got %v, %v", got, err)
					return
				}
			}
			failed <- nil
		}()
	}
	for range 8 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// FuzzExpression looks for panics, for values that JSON does not have, for calls that are modified, and for secrets in errors.
func FuzzExpression(f *testing.F) {
	for _, text := range append(slices.Collect(texts(f)), hostile...) {
		f.Add(text, `{"type":"track","event":"e","userId":"u1","properties":{"a":1}}`)
	}
	f.Fuzz(func(t *testing.T, text, body string) {
		program, err := Compile(text, options)
		if err != nil {
			var mistake *Error
			if !errors.As(err, &mistake) || mistake.Line < 1 || mistake.Column < 1 || mistake.Offset > len(text) {
				t.Fatalf("%q: no place: %#v", text, err)
			}
			return
		}
		result, err := segment.Parse([]byte(body), segment.Options{ReceivedAt: time.Unix(1_767_323_045, 0)})
		if err != nil || len(result.Messages) == 0 {
			return
		}
		call, err := result.Messages[0].Decode()
		if err != nil {
			return
		}
		before := encoded(t, []any{call.Properties, call.Traits, call.Context()})
		value, err := program.Run(OfCall(call))
		if err != nil && strings.Contains(err.Error(), options.Secrets["token"]) {
			t.Fatalf("%q: the error holds a secret", text)
		}
		if err == nil {
			encoded(t, value)
		}
		if after := encoded(t, []any{call.Properties, call.Traits, call.Context()}); after != before {
			t.Fatalf("%q: the call is modified", text)
		}
	})
}

func texts(t testing.TB) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, file := range []string{"testdata/functions.yaml", "testdata/mistakes.yaml"} {
			content, err := os.ReadFile(file)
			table := map[string]map[string]any{}
			if err == nil {
				err = yaml.Unmarshal(content, &table)
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, cases := range table {
				for text := range maps.Keys(cases) {
					if !yield(text) || !yield(name) {
						return
					}
				}
			}
		}
	}
}

func BenchmarkRun(b *testing.B) {
	env := OfCall(callOf(b, []byte(`{"type":"track","event":"Order","userId":"u1","properties":{"plan":"free"},"context":{"traits":{"email":"jen@email.com"}}}`)))
	for _, text := range []string{
		`userId`, `type == "track" and userId != "qa"`, `type == "track" and properties.plan == "free"`, `email(context.traits?.email)`, `filled(properties)`,
	} {
		program, err := Compile(text, Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := program.Run(env); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
