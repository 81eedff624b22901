package e2e

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"testing"

	"aka/e2e/harness"
)

// explained is what aka explain says of one destination.
type explained struct {
	Name, Outcome, Reason string
	Requests              []struct {
		Method, URL string
		Query       map[string]string
		Form        map[string]any
		JSON        any
	}
}

// explain asks aka what would become of a body that is one call, by destination.
func explain(t *testing.T, w *world, body string) map[string]explained {
	t.Helper()
	var answer struct {
		Calls []struct{ Destinations []explained }
	}
	text := aka(t, body, "explain", "--config", w.Config, "--output", "json")
	if err := json.Unmarshal([]byte(text), &answer); err != nil || len(answer.Calls) != 1 {
		t.Fatalf("the answer is not one explained call (%v):\n%s", err, text)
	}
	byName := map[string]explained{}
	for _, d := range answer.Calls[0].Destinations {
		byName[d.Name] = d
	}
	return byName
}

func TestExplainShowsAnAliasInEachVendorsWords(t *testing.T) {
	w := newWorld(t, harness.Setup{})
	got := explain(t, w, `{"type":"alias","previousId":"jen@email.com","userId":"507f191e81"}`)
	expectRequest(t, got["kissmetrics"], "GET", w.Account("kissmetrics").Endpoint()+"/a",
		map[string]string{"_k": "<secret>", "_p": "jen@email.com", "_n": "507f191e81"}, nil)
	expectRequest(t, got["vero"], "PUT", w.Account("vero").Endpoint()+"/users/reidentify",
		nil, map[string]any{"auth_token": "<secret>", "id": "jen@email.com", "new_id": "507f191e81"})
	expectRequest(t, got["original"], "POST", w.Account("original").Endpoint()+"/track",
		map[string]string{"ip": "0", "verbose": "1"}, nil)
	wantData := map[string]any{
		"event":      "$create_alias",
		"properties": map[string]any{"distinct_id": "jen@email.com", "alias": "507f191e81", "token": "<secret>"},
	}
	if r := got["original"].Requests; len(r) == 1 && !reflect.DeepEqual(r[0].Form["data"], wantData) {
		t.Errorf("original: the form's data is %v, want %v", r[0].Form["data"], wantData)
	}
	expectDrop(t, got["mixpanel"], "alias_unsupported_by_simplified_id_merge")
	expectNothingDone(t, w)
}

// The call is Segment's published example of an alias as it looks on the wire, with Mixpanel switched off.
func TestExplainHonoursIntegrations(t *testing.T) {
	w := newWorld(t, harness.Setup{})
	got := explain(t, w, `{
		"anonymousId": "507f191e810c19729de860ea",
		"channel": "browser",
		"context": {"ip": "8.8.8.8", "userAgent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_5)"},
		"integrations": {"All": true, "Mixpanel": false, "Salesforce": false},
		"messageId": "022bb90c-bbac-11e4-8dfc-aa07a5b093db",
		"previousId": "39239-239239-239239-23923",
		"receivedAt": "2015-02-23T22:28:55.387Z",
		"sentAt": "2015-02-23T22:28:55.111Z",
		"timestamp": "2015-02-23T22:28:55.111Z",
		"traits": {},
		"type": "alias",
		"userId": "507f191e81",
		"version": "1.1"
	}`)
	expectDrop(t, got["mixpanel"], "filtered_by_integrations")
	expectDrop(t, got["original"], "filtered_by_integrations")
	expectRequest(t, got["kissmetrics"], "GET", w.Account("kissmetrics").Endpoint()+"/a", map[string]string{
		"_k": "<secret>", "_p": "39239-239239-239239-23923", "_n": "507f191e81",
		"_ip": "8.8.8.8", "_ua": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_5)",
	}, nil)
	expectRequest(t, got["vero"], "PUT", w.Account("vero").Endpoint()+"/users/reidentify",
		nil, map[string]any{"auth_token": "<secret>", "id": "39239-239239-239239-23923", "new_id": "507f191e81"})
	expectNothingDone(t, w)
}

func expectRequest(t *testing.T, d explained, method, url string, query map[string]string, body any) {
	t.Helper()
	if d.Outcome != "send" || len(d.Requests) != 1 {
		t.Errorf("%s: %s with %d requests, want one", d.Name, d.Outcome, len(d.Requests))
		return
	}
	r := d.Requests[0]
	if r.Method != method || r.URL != url || !maps.Equal(r.Query, query) || !reflect.DeepEqual(r.JSON, body) {
		t.Errorf("%s: %s %s %v %v, want %s %s %v %v", d.Name, r.Method, r.URL, r.Query, r.JSON, method, url, query, body)
	}
}

func expectDrop(t *testing.T, d explained, reason string) {
	t.Helper()
	if d.Outcome != "drop" || d.Reason != reason || len(d.Requests) > 0 {
		t.Errorf("%s: %s %q with %d requests, want a drop for %s", d.Name, d.Outcome, d.Reason, len(d.Requests), reason)
	}
}

// expectNothingDone checks that explaining is all that was done.
func expectNothingDone(t *testing.T, w *world) {
	t.Helper()
	for _, d := range destinations {
		if sent := w.Account(d.Name).Stats().Exchanges; sent != 0 {
			t.Errorf("%s: %d exchanges", d.Name, sent)
		}
	}
	if _, err := os.Stat(w.JournalDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the journal was touched: %v", err)
	}
}
