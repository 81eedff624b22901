package http

import (
	"fmt"
	"strings"
	"testing"

	"aka/destinations/adapter"
	"aka/destinations/adapter/golden"
)

func made(t *testing.T, text string) adapter.Adapter {
	t.Helper()
	a, err := New(&section{text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const short = "endpoint: https://api.acme.example\nsecrets: { token: sup3r-s3cret }\n" +
	"calls: { track: { send: [{ request: POST /events, json: { id: =userId, key: =secrets.token } }] } }\n"

func TestNamesOrderAndRenamesAreThoseOfTheSettings(t *testing.T) {
	a := made(t, short+"names: [Acme]\norder: identity\nrenames: true\n")
	if names := a.(adapter.Named).Names(); len(names) != 1 || names[0] != "Acme" {
		t.Errorf("names are %q", names)
	}
	if order := a.(adapter.Ordered).Order(); order != adapter.OrderIdentity {
		t.Errorf("the order is %s", order)
	}
	if !a.(adapter.Renamer).Renames() {
		t.Error("it renames nothing")
	}
	if order := made(t, short).(adapter.Ordered).Order(); order != adapter.OrderStrict {
		t.Errorf("the order is %s where the settings say nothing", order)
	}
}

// A destination that does not say what it merges must not look as if it merged nothing, nor be probed where there is no probe.
func TestAnAdapterIsOnlyWhatItsSettingsSay(t *testing.T) {
	const merges = "merges: { rule: uses, to: userId }\n"
	const probe = "probe: { request: GET /me, headers: { Authorization: =secrets.token }, keys: [secrets.token] }\n"
	for settings, want := range map[string][2]bool{short: {false, false}, short + merges: {true, false}, short + probe: {false, true}, short + merges + probe: {true, true}} {
		a := made(t, settings)
		_, merger := a.(adapter.Merger)
		_, prober := a.(adapter.Prober)
		if merger != want[0] || prober != want[1] {
			t.Errorf("a merger: %v, a prober: %v:\n%s", merger, prober, settings)
		}
		if _, ok := a.(adapter.Leafer); !ok {
			t.Error("its expressions cannot be shown")
		}
	}
}

func TestAProbeIsMadeOnceWithTheSecretsAndOnceWithMadeUpOnes(t *testing.T) {
	probe := made(t, short+"probe: { request: GET /me, headers: { Authorization: '=\"Bearer \" + secrets.token' }, keys: [secrets.token] }\n").(adapter.Prober).Probe()
	if got := probe.Request.Header["Authorization"]; got != "Bearer sup3r-s3cret" {
		t.Errorf("the probe has %q", got)
	}
	if probe.Control == nil || probe.Control.Header["Authorization"] != "Bearer "+adapter.MadeUp || probe.Control.URL != "https://api.acme.example/me" {
		t.Errorf("the control is %+v", probe.Control)
	}
}

// The account is where the merges were made: a rotated secret is no other account.
func TestTheAccountIsTheEndpoint(t *testing.T) {
	account := func(text string) string {
		return made(t, text+"merges: { rule: uses, to: userId }\n").(adapter.Merger).Account()
	}
	own := account(short)
	if account(strings.Replace(short, "sup3r-s3cret", "another-t0ken", 1)) != own {
		t.Error("another secret is another account")
	}
	if account(strings.Replace(short, "api.acme", "eu.acme", 1)) == own {
		t.Error("another endpoint is the same account")
	}
}

// What one call becomes is bounded, as for any adapter.
func TestACallThatBecomesTooManyRequestsIsRejected(t *testing.T) {
	a := made(t, "endpoint: https://api.acme.example\ncalls: { track: { send: [{ each: properties.list, request: POST /items, json: { id: =item } }] } }\n")
	body := fmt.Sprintf(`{"type":"track","userId":"u1","event":"e","properties":{"list":[%s1]}}`, strings.Repeat("1,", adapter.MaxRequests))
	c := &golden.Case{CallJSON: body}
	outcome := adapter.Translate(adapter.NewGuard(nil), a, c.CallFor(t, Vendor))
	if outcome.Rejected != adapter.ErrTooMany {
		t.Errorf("got %.200s", golden.Describe(outcome))
	}
}

// Requests with one key go together, so that they must go to one place.
func TestABatchGoesToOneURLWithOneSetOfHeaders(t *testing.T) {
	const batched = "endpoint: https://api.acme.example\ncalls: { track: { send: [" +
		"{ request: \"POST /people/{userId}\", batch: { key: k }, json: { id: =userId } }] }, page: { send: [" +
		"{ request: POST /pages, headers: { x: =userId }, batch: { key: k }, json: { id: =userId } }] } }\n"
	a, keys := made(t, batched), map[string]bool{}
	for _, kind := range []string{"track", "page"} {
		for _, user := range []string{"u1", "u2"} {
			c := &golden.Case{CallJSON: fmt.Sprintf(`{"type":%q,"userId":%q,"event":"e"}`, kind, user)}
			keys[a.Translate(c.CallFor(t, Vendor)).Requests[0].Batch.Key] = true
		}
	}
	if len(keys) != 4 {
		t.Errorf("the keys are %v", keys)
	}
	_, err := New(&section{text: []byte("endpoint: https://api.acme.example\ncalls: { track: { send: [" +
		"{ request: POST /a, batch: { key: k }, json: { id: =userId } }] }, page: { send: [{ request: POST /b, batch: { key: k }, json: { id: =userId } }] } }\n")})
	if err == nil || !strings.Contains(err.Error(), `"k" is the key of requests with another path`) {
		t.Errorf("one key for two paths: %v", err)
	}
}

// A vendor's answer may name as many items as fit into it. Each request is looked at once: else this takes minutes.
func TestAnAnswerMayNameMoreItemsThanThereAre(t *testing.T) {
	a := made(t, `
endpoint: https://api.acme.example
calls: { track: { send: [{ request: POST /events, batch: { max_items: 2000 }, json: { id: =userId, pad: =event } }] } }
per_item: { status: [207], list: body, match: id, verdict: never }
`)
	requests := make([]adapter.Request, 2000)
	for i := range requests {
		requests[i].Body = fmt.Appendf(nil, `{"id":"u%d","pad":%q}`, i, strings.Repeat("x", 1000))
	}
	body := "[" + strings.Repeat(`{"id":""},{"id":"-"},`, 3000) + `{"id":"u7"},{},{"id":null}]`
	for i, verdict := range a.(adapter.Responder).Judge(requests, adapter.Answer{Status: 207, Body: []byte(body)}) {
		if want := map[bool]adapter.Class{true: adapter.Never, false: adapter.Delivered}[i == 7]; verdict.Class != want {
			t.Errorf("request %d: %s, want %s", i, verdict.Class, want)
		}
	}
}
