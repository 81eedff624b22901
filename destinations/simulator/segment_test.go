package simulator

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var segmentFlavors = []string{"segment", "rudderstack", "jitsu", "customerio", "aka"}

func openSegment(t *testing.T, set Segment) *client {
	t.Helper()
	return openAccount(t, "segment", Options{Token: "key", Segment: set})
}

// batch sends calls with a write key.
func (c *client) batch(key string, calls ...any) reply {
	c.t.Helper()
	return c.posts("/batch", key, object{"batch": calls})
}

func (c *client) posts(path, key string, body any, headers ...string) reply {
	c.t.Helper()
	r := c.newRequest("POST", path, body)
	r.SetBasicAuth(key, "")
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	return c.do(r)
}

func trackCall(messageID, userID string) object {
	return object{"type": "track", "messageId": messageID, "userId": userID, "event": "E", "timestamp": "2026-01-02T11:00:00.000Z"}
}

func aliasCall(messageID, previousID, userID string) object {
	return object{"type": "alias", "messageId": messageID, "previousId": previousID, "userId": userID}
}

// What each flavor answers, and what it keeps.
func TestSegmentFlavorsAnswer(t *testing.T) {
	nameless := object{"type": "track", "messageId": "n", "event": "E"}
	large := trackCall("l", "jane")
	large["properties"] = object{"text": strings.Repeat("x", 33_000)}
	jitsuNoType := object{"messageId": "no type" + strings.Repeat("é", 80), "userId": "jane"}
	for _, c := range []struct {
		flavor string
		set    Segment
		path   string
		key    string
		body   any
		header string
		status int
		answer string
		kept   int
	}{
		{flavor: "segment", key: "key", body: object{"batch": []any{trackCall("1", "jane")}}, status: 200, answer: `{"success":true}`, kept: 1},
		{flavor: "segment", key: "wrong", body: object{"batch": []any{trackCall("1", "jane")}}, status: 200, answer: `{"success":true}`},
		{flavor: "segment", key: "key", set: Segment{Region: "eu", Host: "us"}, body: object{"batch": []any{trackCall("1", "jane")}}, status: 200, answer: `{"success":true}`},
		{flavor: "segment", key: "key", body: object{"batch": []any{large, trackCall("1", "jane")}}, status: 200, answer: `{"success":true}`, kept: 1},
		{flavor: "segment", key: "key", body: object{"batch": []any{nameless}}, status: 200, answer: `{"success":true}`},
		{flavor: "segment", key: "key", body: object{"batch": []any{trackCall(strings.Repeat("m", 100), "jane")}}, status: 200, answer: `{"success":true}`},
		{flavor: "segment", key: "key", set: Segment{LongMessageIDs: "taken"}, body: object{"batch": []any{trackCall(strings.Repeat("m", 100), "jane")}}, status: 200, answer: `{"success":true}`, kept: 1},
		{flavor: "segment", key: "key", body: `{"batch":[`, status: 400, answer: `{"success":false}`},
		{flavor: "segment", key: "key", body: object{"batch": slices.Repeat([]any{trackCall("1", "jane")}, 2501)}, status: 400, answer: `{"success":false}`},
		{flavor: "segment", key: "key", body: object{"batch": slices.Repeat([]any{large}, 16)}, status: 400, answer: `{"success":false}`},
		{flavor: "segment", key: "key", path: "/alias", body: aliasCall("1", "a", "b"), status: 200, answer: `{"success":true}`, kept: 1},
		{flavor: "segment", key: "key", path: "/albatch", body: object{}, status: 404, answer: "404 page not found"},
		{flavor: "rudderstack", key: "key", body: object{"batch": []any{trackCall("1", "jane")}}, status: 200, answer: `"OK"`, kept: 1},
		{flavor: "rudderstack", key: "wrong", body: object{"batch": []any{trackCall("1", "jane")}}, status: 401, answer: "Invalid Write Key"},
		{flavor: "rudderstack", key: "wrong", body: object{"batch": []any{}}, status: 401, answer: "Invalid Write Key"},
		{flavor: "rudderstack", key: "wrong", set: Segment{EmptyBatch: "invalid"}, body: object{"batch": []any{}}, status: 400, answer: "Invalid JSON"},
		{flavor: "rudderstack", key: "key", set: Segment{SourceOff: true}, body: object{"batch": []any{trackCall("1", "jane")}}, status: 404, answer: "Source is disabled"},
		{flavor: "rudderstack", key: "key", body: object{"batch": []any{trackCall("1", "jane"), nameless}}, status: 400, answer: "request neither has anonymousId nor userId"},
		{flavor: "rudderstack", key: "key", body: object{"batch": slices.Repeat([]any{large}, 125)}, status: 413, answer: "Request size exceeds max limit"},
		{flavor: "jitsu", key: "key", body: object{"batch": []any{trackCall("1", "jane"), large}}, status: 200, answer: `{"ok":true,"okEvents":2,"receivedEvents":2}`, kept: 2},
		{flavor: "jitsu", key: "key", body: object{"batch": []any{trackCall("1", "jane"), jitsuNoType}}, status: 200, kept: 1,
			answer: `{"errors":["Message ID: no_type` + strings.Repeat("_", 57) + `: unknown type"],"ok":false,"okEvents":1,"receivedEvents":2}`},
		{flavor: "jitsu", key: "", header: "X-Write-Key: key", body: object{"batch": []any{trackCall("1", "jane")}}, status: 200, answer: `{"ok":true,"okEvents":1,"receivedEvents":1}`, kept: 1},
		{flavor: "jitsu", key: "wrong", body: object{"batch": []any{trackCall("1", "jane")}}, status: 401, answer: `{"error":"stream not found"}`},
		{flavor: "jitsu", key: "key", body: `[`, status: 400, answer: `{"error":"Error parsing JSON"}`},
		{flavor: "customerio", key: "key", body: object{"batch": []any{trackCall("1", "jane"), aliasCall("2", "a", "b")}}, status: 200, kept: 1},
		{flavor: "customerio", key: "key", path: "/import", body: object{"batch": []any{trackCall("1", "jane"), aliasCall("2", "a", "b")}}, status: 200, kept: 1},
		{flavor: "customerio", key: "key", path: "/alias", header: "X-Strict-Mode: 1", body: aliasCall("2", "a", "b"), status: 200, kept: 1},
		{flavor: "customerio", key: "wrong", body: object{"batch": []any{trackCall("1", "jane")}}, status: 200},
		{flavor: "customerio", key: "wrong", header: "X-Strict-Mode: 1", body: object{"batch": []any{trackCall("1", "jane")}}, status: 401, answer: "Unauthorized"},
		{flavor: "customerio", key: "key", header: "X-Strict-Mode: 1", body: object{"batch": []any{nameless}}, status: 400, answer: "Bad Request"},
		{flavor: "customerio", key: "key", set: Segment{Region: "eu", Host: "us"}, body: object{"batch": []any{trackCall("1", "jane")}}, status: 200},
		{flavor: "aka", key: "key", body: object{"batch": []any{trackCall("1", "jane"), large}}, status: 200, answer: `{"success":true}`, kept: 2},
		{flavor: "aka", key: "wrong", body: object{"batch": []any{trackCall("1", "jane")}}, status: 401, answer: `{"error":{"code":"unauthorized"},"success":false}`},
		{flavor: "aka", key: "key", body: object{"batch": []any{nameless}}, status: 400, answer: `{"error":{"code":"invalid_call"},"success":false}`},
	} {
		set := c.set
		set.Flavor = c.flavor
		account := openSegment(t, set)
		path := c.path
		if path == "" {
			path = "/batch"
		}
		r := account.newRequest("POST", path, c.body)
		if c.key != "" {
			r.SetBasicAuth(c.key, "")
		}
		if name, value, ok := strings.Cut(c.header, ": "); ok {
			r.Header.Set(name, value)
		}
		got := account.do(r)
		if kept := len(account.Records()); got.status != c.status || got.body != c.answer || kept != c.kept {
			t.Errorf("%s %s with the key %q: %d %s and %d kept, want %d %s and %d", c.flavor, path, c.key, got.status, got.body, kept, c.status, c.answer, c.kept)
		}
	}
}

// Jitsu has an address of its own for the calls of servers, one at a time.
func TestJitsuTakesTheCallsOfServers(t *testing.T) {
	for _, c := range []struct {
		flavor, path, header string
		status, kept         int
	}{
		{"jitsu", "/api/s/s2s/track", "X-Write-Key: key", 200, 1},
		{"jitsu", "/api/s/s2s/track?writeKey=key", "", 200, 1},
		{"jitsu", "/api/s/s2s/track?writeKey=wrong", "", 401, 0},
		{"jitsu", "/api/s/s2s/track", "", 401, 0},
		{"jitsu", "/api/s/s2s/batch", "X-Write-Key: key", 404, 0},
		{"segment", "/api/s/s2s/track?writeKey=key", "", 404, 0},
	} {
		account := openSegment(t, Segment{Flavor: c.flavor})
		r := account.newRequest("POST", "", trackCall("1", "jane"))
		at, err := url.Parse(strings.TrimSuffix(account.Endpoint(), segmentBase) + c.path)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = at
		if name, value, ok := strings.Cut(c.header, ": "); ok {
			r.Header.Set(name, value)
		}
		if got := account.do(r); got.status != c.status || len(account.Records()) != c.kept {
			t.Errorf("%s %s: %d %s and %d kept, want %d and %d", c.flavor, c.path, got.status, got.body, len(account.Records()), c.status, c.kept)
		}
		x := account.Exchanges()[0]
		for _, key := range []string{x.Query.Get("writeKey"), x.Header.Get("X-Write-Key")} {
			if key != "" && key != secret {
				t.Errorf("%s %s: the exchange shows %q", c.flavor, c.path, key)
			}
		}
	}
}

// The colon behind the key is part of the credential.
func TestSegmentTakesAKeyOnlyWithItsColon(t *testing.T) {
	c := openSegment(t, Segment{Flavor: "rudderstack"})
	r := c.newRequest("POST", "/batch", object{"batch": []any{trackCall("1", "jane")}})
	r.Header.Set("Authorization", "Basic a2V5") // "key"
	wantStatus(t, c.do(r), http.StatusUnauthorized)
	r = c.newRequest("POST", "/batch", object{"batch": []any{trackCall("1", "jane")}})
	r.SetBasicAuth("key", "more")
	wantStatus(t, c.do(r), http.StatusUnauthorized)
}

// Each flavor corrects the sender's clock in its own way, where the call says when it was sent.
func TestSegmentFlavorsUnderstandTime(t *testing.T) {
	at := func(hour, minute int) string {
		return time.Date(2026, 1, 2, hour, minute, 0, 0, time.UTC).Format(time.RFC3339)
	}
	given := object{"timestamp": at(10, 0)}
	sent := object{"timestamp": at(10, 0), "sentAt": at(11, 0)} // now is noon: the clock is an hour behind
	near := object{"timestamp": at(10, 0), "sentAt": at(11, 58)}
	original := object{"originalTimestamp": at(9, 0), "timestamp": at(10, 0), "sentAt": at(11, 0)}
	for _, c := range []struct {
		set  Segment
		call object
		want string
	}{
		{Segment{Flavor: "segment"}, given, at(10, 0)},
		{Segment{Flavor: "segment", NoSentAt: "now"}, given, at(12, 0)},
		{Segment{Flavor: "segment"}, sent, at(11, 0)},
		{Segment{Flavor: "rudderstack"}, sent, at(10, 0)},
		{Segment{Flavor: "rudderstack"}, object{"originalTimestamp": at(9, 0), "sentAt": at(11, 0)}, at(10, 0)},
		{Segment{Flavor: "jitsu"}, sent, at(11, 0)},
		{Segment{Flavor: "jitsu"}, near, at(10, 0)},
		{Segment{Flavor: "customerio"}, sent, at(10, 0)},
		{Segment{Flavor: "customerio", SentAt: "corrects"}, sent, at(11, 0)},
		{Segment{Flavor: "aka"}, given, at(10, 0)},
		{Segment{Flavor: "aka"}, original, at(10, 0)},
		{Segment{Flavor: "aka"}, object{}, at(12, 0)},
	} {
		account := openSegment(t, c.set)
		call := trackCall("1", "jane")
		delete(call, "timestamp")
		for name, value := range c.call {
			call[name] = value
		}
		account.batch("key", call)
		if got := account.Records()[0].Time.Format(time.RFC3339); got != c.want {
			t.Errorf("%+v: %v is %s, want %s", c.set, c.call, got, c.want)
		}
	}
}

// The envelope's members lie under an item's, but at Customer.io, where its integrations are the only ones.
func TestSegmentEnvelopes(t *testing.T) {
	for _, c := range []struct {
		set  Segment
		want object
	}{
		{Segment{Flavor: "segment"}, object{"integrations": object{"A": true, "B": false}, "context": object{"ip": "1", "os": "x"}}},
		{Segment{Flavor: "customerio"}, object{"integrations": object{"B": false}, "context": object{"ip": "1", "os": "x"}}},
		{Segment{Flavor: "customerio", BatchContext: "ignored"}, object{"integrations": object{"B": false}, "context": object{"os": "x", "ip": "2"}}},
	} {
		account := openSegment(t, c.set)
		call := trackCall("1", "jane")
		call["integrations"], call["context"] = object{"A": true}, object{"ip": "1"}
		account.posts("/batch", "key", object{"batch": []any{call}, "integrations": object{"B": false}, "context": object{"os": "x", "ip": "2"}})
		got := account.Exchanges()[0].Records[0].(map[string]any)
		if !reflect.DeepEqual(got["integrations"], c.want["integrations"]) || !reflect.DeepEqual(got["context"], c.want["context"]) {
			t.Errorf("%+v: got %v and %v, want %v", c.set, got["integrations"], got["context"], c.want)
		}
	}
}

func TestSegmentReadsCompressedBodies(t *testing.T) {
	for _, flavor := range segmentFlavors {
		for _, setting := range []string{"read", "refused"} {
			c := openSegment(t, Segment{Flavor: flavor, Gzip: setting})
			body := gzipped(t, []byte(`{"batch":[{"type":"track","messageId":"1","userId":"jane","event":"E"}]}`))
			c.posts("/batch", "key", body, "Content-Encoding: gzip")
			if kept := len(c.Records()); kept != map[bool]int{true: 0, false: 1}[flavor == "customerio" && setting == "refused"] {
				t.Errorf("%s, %s: %d kept", flavor, setting, kept)
			}
		}
	}
}

// A second call with a messageId is thrown away for a day, whatever it says.
func TestSegmentDeduplicatesByMessageID(t *testing.T) {
	for _, c := range []struct {
		set  Segment
		want int
	}{
		{Segment{Flavor: "segment"}, 2}, {Segment{Flavor: "aka"}, 2}, {Segment{Flavor: "jitsu"}, 3}, {Segment{Flavor: "customerio"}, 3},
		{Segment{Flavor: "rudderstack"}, 3}, {Segment{Flavor: "rudderstack", Deduplicates: true}, 2}, {Segment{Flavor: "customerio", Deduplicates: true}, 2},
	} {
		account := openSegment(t, c.set)
		account.batch("key", trackCall("1", "jane"))
		account.batch("key", trackCall("1", "joe"))
		account.clock.Advance(25 * time.Hour)
		account.batch("key", trackCall("1", "jane"))
		if got := len(account.Records()); got != c.want {
			t.Errorf("%+v: %d are kept, want %d", c.set, got, c.want)
		}
	}
}

func TestSegmentTellsOfASourceAtItsCDN(t *testing.T) {
	c := openSegment(t, Segment{})
	wantStatus(t, c.send("GET", "/projects/key/settings", nil), http.StatusOK)
	wantStatus(t, c.send("GET", "/projects/other/settings", nil), http.StatusNotFound)
	if exchange := c.Exchanges()[0]; strings.Contains(fmt.Sprint(exchange), "apiKey:key") {
		t.Errorf("the exchange shows the key: %+v", exchange)
	}
	wantStatus(t, openSegment(t, Segment{Flavor: "jitsu"}).send("GET", "/projects/key/settings", nil), http.StatusNotFound)
}

func TestSegmentLimitsItsRate(t *testing.T) {
	c := openSegment(t, Segment{Rate: 2})
	for want := range 3 {
		got := c.batch("key", trackCall(fmt.Sprint(want), "jane"))
		wantStatus(t, got, []int{200, 200, 429}[want])
		if want == 2 && (got.header.Get("Retry-After") != "1" || got.header.Get("X-RateLimit-Reset") == "") {
			t.Errorf("it says %v", got.header)
		}
	}
	c.clock.Advance(time.Second)
	wantStatus(t, c.batch("key", trackCall("4", "jane")), 200)
}

func TestSegmentRefusesImpossibleOptions(t *testing.T) {
	sim := startSimulator(t)
	for set, want := range map[Segment]string{
		{Flavor: "mparticle"}: `flavor "mparticle" is not one of segment, rudderstack, jitsu, customerio, aka`,
		{Host: "ap"}:          `host "ap" is not one of us, eu`,
	} {
		if _, err := sim.Add("it", "segment", Options{Segment: set}); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%+v: %v", set, err)
		}
	}
}

// In every flavor the people are those that the aliases join, whatever their order, and a repeat changes none.
func TestSegmentJoinsWhatAliasesName(t *testing.T) {
	for seed := range uint64(20) {
		dice := rand.New(rand.NewPCG(seed, 1))
		for _, flavor := range segmentFlavors {
			account := openSegment(t, Segment{Flavor: flavor})
			person := map[string]string{}
			of := func(id string) string {
				if person[id] == "" {
					person[id] = id
				}
				return person[id]
			}
			for i := range 40 {
				a, b := fmt.Sprint("u", dice.IntN(12)), fmt.Sprint("u", dice.IntN(12))
				if a == b {
					continue
				}
				account.posts("/alias", "key", aliasCall(fmt.Sprint(i), a, b))
				from, to := of(a), of(b)
				for id, root := range person {
					if root == from {
						person[id] = to
					}
				}
			}
			got := map[string]string{}
			for _, p := range account.Graph() {
				for _, id := range p.IDs {
					got[id] = person[p.IDs[0]]
				}
			}
			if !reflect.DeepEqual(got, person) {
				t.Errorf("seed %d, %s: %v, want %v", seed, flavor, got, person)
			}
		}
	}
}
