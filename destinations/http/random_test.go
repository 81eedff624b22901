package http

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"aka/destinations/adapter"
	"aka/destinations/adapter/golden"
	"aka/router/segment"
)

// maker makes mappings out of pieces that are right, nearly right, and wrong. A careful one uses fewer that are wrong.
type maker struct {
	*rand.Rand
	careful bool
}

func newMaker(seed uint64) maker { return maker{rand.New(rand.NewPCG(seed, 1)), seed%2 == 0} }

func (m maker) one(words ...string) string { return words[m.IntN(len(words))] }

func (m maker) expression(depth int) string {
	if m.careful && (depth == 0 || m.IntN(3) > 0) {
		return m.one("userId", "messageId", "event", "properties.a", "properties.list", "properties.a?.b", "traits.email", "context.traits?.email",
			"secrets.token", "constants.region", `"x"`, "properties", "5", "text(event)", "iso(timestamp)", "trim(userId)", `omit(properties, "a")`)
	}
	if m.careful {
		return fmt.Sprintf("%s(%s)", m.one("text", "num", "email", "lower", "blank", "filled", "json", "kind", "sha256"), m.expression(depth-1))
	}
	if depth == 0 || m.IntN(3) == 0 {
		return m.one(
			"userId", "previousId", "anonymousId", "groupId", "event", "name", "type", "messageId", "properties", "traits", "context", "options",
			"properties.a", "properties.list", "properties.a.b", "properties.a?.b", "traits.email", "context.traits?.email", "timestamp",
			"secrets.token", "constants.region", "nil", "true", "5", "1.5", `"x"`, "[1, 2]", "item", "status", "#", "userID", "secrets", "lower",
		)
	}
	inner := func() string { return m.expression(depth - 1) }
	switch m.IntN(9) {
	case 0:
		return fmt.Sprintf("%s %s %s", inner(), m.one("==", "!=", "+", "-", "and", "or", "in", "??", "<", "contains", "..", "**", "matches"), inner())
	case 1:
		return fmt.Sprintf("(%s ? %s : %s)", inner(), inner(), inner())
	case 2:
		return fmt.Sprintf("%s(%s, %s)", m.one("map", "filter", "any", "all", "reduce"), inner(), m.one("#", "#.id", "# != nil", inner()))
	case 3:
		return fmt.Sprintf("%s(%s, %s)", m.one("omit", "pick", "merge", "cut", "trait", "flatten", "hmac", "words"), inner(), inner())
	case 4:
		return "not (" + inner() + ")"
	default:
		return fmt.Sprintf("%s(%s)", m.one("text", "num", "bool", "email", "lower", "trim", "blank", "len", "filled", "json", "iso", "sha256", "uuid", "kind", "keys", "query", "now"), inner())
	}
}

func (m maker) leaf() string {
	if m.IntN(6) == 0 {
		return m.one("5", "2.50", "null", "true", `""`, "text", "~")
	}
	return "'=" + strings.ReplaceAll(m.expression(3), "'", "''") + "'"
}

func (m maker) tree(indent string, depth int) string {
	var out strings.Builder
	for i := range 1 + m.IntN(3) {
		name := fmt.Sprintf("k%d%s", i, m.one("", "?"))
		if depth > 0 && m.IntN(4) == 0 {
			fmt.Fprintf(&out, "%s%s:\n%s", indent, name, m.tree(indent+"  ", depth-1))
			continue
		}
		fmt.Fprintf(&out, "%s%s: %s\n", indent, name, m.leaf())
	}
	return out.String()
}

func (m maker) mapping() string {
	var out strings.Builder
	out.WriteString("endpoint: https://api.acme.example\nsecrets: { token: sup3r-s3cret }\nconstants: { region: eu }\ncalls:\n")
	for _, call := range []string{"alias", "identify", "track", "page"} {
		if m.IntN(3) == 0 {
			continue
		}
		fmt.Fprintf(&out, "  %s:\n    send:\n", call)
		for range 1 + m.IntN(2) {
			fmt.Fprintf(&out, "      - request: %s\n", m.one("POST /events", "POST /events", "POST /events", "POST /events", "PUT /people/{userId}", "POST /x/{lower(event)}", "DELETE /p/{previousId}", `'="POST /" + event'`))
			if m.careful {
				out.WriteString("        if: userId != \"\"\n")
			} else if m.IntN(2) == 0 {
				fmt.Fprintf(&out, "        if: '%s'\n", strings.ReplaceAll(m.expression(2), "'", "''"))
			}
			fmt.Fprintf(&out, "        %s:\n%s", m.one("json", "json", "json", "json", "form", "query", "headers"), m.tree("          ", 2))
			if m.IntN(4) == 0 && !m.careful {
				out.WriteString("        batch: { max_items: 10 }\n")
			}
			if m.IntN(5) == 0 {
				out.WriteString("        each: properties.list\n")
			}
		}
	}
	return out.String()
}

// hasPlace reports whether a mistake has a line, or else a key of the settings.
func hasPlace(mistake *adapter.SettingError) bool { return mistake.Line > 0 || mistake.Key != "" }

func TestRandomMappingsCompileOrAreRefusedWithAPlace(t *testing.T) {
	calls := hostileCalls(t)
	taken, refused, sent := 0, 0, 0
	for seed := range uint64(1000) {
		text := newMaker(seed).mapping()
		a, err := New(&section{text: []byte(text)})
		if err != nil {
			refused++
			checkMistakes(t, seed, text, err)
			continue
		}
		taken++
		for _, call := range calls {
			failures := golden.Record(func(t golden.T) {
				sent += len(golden.Translate(t, a, call, []adapter.Secret{adapter.NewSecret("sup3r-s3cret")}).Requests)
			})
			if len(failures) > 0 {
				t.Fatalf("mapping %d: %s\n%s", seed, strings.Join(failures, "\n"), text)
			}
		}
	}
	if taken < 50 || refused < 50 || sent < 50 {
		t.Errorf("%d were taken, %d refused, and %d requests made", taken, refused, sent)
	}
}

func checkMistakes(t *testing.T, seed uint64, text string, err error) {
	t.Helper()
	if strings.Contains(err.Error(), "sup3r-s3cret") {
		t.Fatalf("mapping %d: the mistake holds a secret: %v", seed, err)
	}
	mistakes := mistakesIn(err)
	for _, mistake := range mistakes {
		if !hasPlace(mistake) {
			t.Fatalf("mapping %d: no place: %v\n%s", seed, mistake, text)
		}
	}
	if len(mistakes) == 0 && !strings.Contains(err.Error(), "line ") {
		t.Fatalf("mapping %d: no place: %v\n%s", seed, err, text)
	}
}

func hostileCalls(t testing.TB) (calls []*segment.Call) {
	t.Helper()
	for _, body := range []string{
		`{"type":"track","userId":"u1","event":"e","properties":{"a":{"b":1},"list":[{"id":"p1"},{"id":2}]}}`,
		`{"type":"track","userId":"u\"1\u2028/../?#","event":"a b/../c","properties":{"a":"text","list":"none"}}`,
		`{"type":"identify","userId":"..","anonymousId":"a1","traits":{"email":"jen@email.com","n":12345678901234567890}}`,
		`{"type":"alias","previousId":"p1","userId":"u1"}`,
		`{"type":"page","anonymousId":"a1","name":"\r\nX: 1"}`,
	} {
		result, err := segment.Parse([]byte(body), segment.Options{ReceivedAt: golden.ReceivedAt})
		if err != nil {
			t.Fatal(err)
		}
		call, err := result.Messages[0].Decode()
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, call)
	}
	return calls
}

// FuzzMapping feeds settings as they stand in a file: whatever they are, they are taken or refused, and never panic.
func FuzzMapping(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(newMaker(seed).mapping())
	}
	vero, err := os.ReadFile("testdata/vero/settings.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(vero))
	calls := hostileCalls(f)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := New(&section{text: []byte(text), variables: map[string]string{"VERO_AUTH_TOKEN": "sup3r-s3cret"}})
		if err != nil {
			return
		}
		for _, call := range calls {
			outcome := adapter.Translate(adapter.NewGuard(nil), a, call)
			if outcome.Rejected != nil && (strings.Contains(outcome.Rejected.Error(), "panicked") || strings.Contains(outcome.Rejected.Error(), "sup3r-s3cret")) {
				t.Fatal(outcome.Rejected)
			}
		}
	})
}

// No body goes out without the id that it must have, whatever the call.
func FuzzNoBodyWithoutItsID(f *testing.F) {
	a, err := New(&section{text: []byte(`
endpoint: https://api.acme.example
secrets: { token: sup3r-s3cret }
calls:
  track: { send: [{ request: POST /events, json: { id: =text(properties.id), key: =secrets.token, "all?": =properties } }] }
  identify: { send: [{ request: "PUT /people/{text(traits.id)}", json: { id: =text(traits.id) } }] }
`)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`{"type":"track","userId":"u1","event":"e","properties":{"id":"x"}}`)
	f.Add(`{"type":"track","userId":"u1","event":"e","properties":{"id":""}}`)
	f.Add(`{"type":"identify","userId":"u1","traits":{"id":{}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		result, err := segment.Parse([]byte(body), segment.Options{ReceivedAt: golden.ReceivedAt})
		if err != nil {
			return
		}
		for _, message := range result.Messages {
			call, err := message.Decode()
			if err != nil {
				t.Fatal(err)
			}
			outcome := golden.Translate(t, a, call, []adapter.Secret{adapter.NewSecret("sup3r-s3cret")})
			id := adapter.Text(call.Properties["id"])
			if call.Type == segment.Identify {
				id = adapter.Text(call.Traits["id"])
			}
			if (id == "") != (len(outcome.Requests) == 0) && outcome.Dropped == "" && id != "." && id != ".." {
				t.Fatalf("the id is %q: %s", id, golden.Describe(outcome))
			}
		}
	})
}
