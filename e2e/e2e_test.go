// Package e2e runs aka as it is shipped, as a process of its own, between clients that speak HTTP and simulated vendors.
package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	analytics "gopkg.in/segmentio/analytics-go.v3"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// Segment's own Go SDK, unchanged, tells of somebody who signs up and gets a userId, and each vendor hears of it in its own
// words: everything once, the alias between what came before and what came after.
func TestAnSDKsCallsReachEveryVendorOnceAndInOrder(t *testing.T) {
	w := newWorld(t, harness.Setup{})
	w.Start()
	client, err := analytics.NewWithConfig(writeKey, analytics.Config{Endpoint: w.Process.API, Logger: discardLogger{}})
	if err != nil {
		t.Fatal(err)
	}
	const before, after = "jen@email.com", "507f191e81"
	notMixpanel := analytics.Integrations{"All": true, "Mixpanel": false, "Salesforce": false}
	for _, message := range []analytics.Message{
		analytics.Identify{UserId: before, Traits: analytics.NewTraits().SetEmail(before)},
		analytics.Track{UserId: before, Event: "Signed Up"},
		analytics.Alias{PreviousId: before, UserId: after},
		analytics.Track{UserId: after, Event: "Item Purchased", Properties: analytics.NewProperties().SetName("Leap to Conclusions")},
		analytics.Page{UserId: after, Name: "Prices"},
		analytics.Screen{UserId: after, Name: "Home"},
		analytics.Track{UserId: after, Event: "Opened", Integrations: notMixpanel},
		analytics.Group{UserId: after, GroupId: "acme", Traits: analytics.NewTraits().SetName("Acme")},
		analytics.Identify{UserId: after, Traits: analytics.NewTraits().Set("plan", "pro"), Integrations: analytics.Integrations{
			"Vero": map[string]any{"tags": map[string]any{"add": []string{"customer"}}},
		}},
	} {
		if err := client.Enqueue(message); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	w.UntilAllEnded()

	// Within a step the order is free: nothing in it changes who is who.
	expectSteps(t, w.Account("kissmetrics"), [][]string{
		{"profile jen@email.com"},
		{"event jen@email.com Signed Up"},
		{"alias jen@email.com 507f191e81"},
		{"event 507f191e81 Item Purchased", "event 507f191e81 Viewed Prices Page", "event 507f191e81 Viewed Home Screen", "event 507f191e81 Opened"},
		{"profile 507f191e81"},
		{"profile 507f191e81"},
	})
	expectSteps(t, w.Account("original"), [][]string{
		{"profile jen@email.com"},
		{"event jen@email.com Signed Up"},
		{"create_alias jen@email.com 507f191e81"},
		{"event 507f191e81 Item Purchased", "event 507f191e81 Loaded a Page", "event 507f191e81 Loaded a Screen"},
		{"profile 507f191e81"},
	})
	expectSteps(t, w.Account("vero"), [][]string{
		{"profile jen@email.com"},
		{"event jen@email.com Signed Up"},
		{"reidentify jen@email.com 507f191e81"},
		{"event 507f191e81 Item Purchased"},
		{"event 507f191e81 Viewed Prices Page"},
		{"event 507f191e81 Viewed Home Screen"},
		{"event 507f191e81 Opened"},
		{"profile 507f191e81"},
		{"profile 507f191e81"},
		{"tags 507f191e81"},
	})
	// Two users cannot be merged in Mixpanel's simplified mode. To it they are two people, in no order.
	got := took(w.Account("mixpanel"))
	slices.Sort(got)
	want := []string{
		"event 507f191e81 Item Purchased", "event 507f191e81 Loaded a Page", "event 507f191e81 Loaded a Screen",
		"event jen@email.com Signed Up", "profile 507f191e81", "profile jen@email.com",
	}
	if !slices.Equal(got, want) {
		t.Errorf("mixpanel took %q, want %q", got, want)
	}
	for name, ids := range map[string][]string{"kissmetrics": {after, before}, "original": {after, before}, "vero": {after}} {
		if graph := w.Account(name).Graph(); len(graph) != 1 || !slices.Equal(graph[0].IDs, ids) {
			t.Errorf("to %s they are not one person:\n%s", name, graph)
		}
	}
	expectOutcome(w, 1, "mixpanel", "alias", "dropped", "alias_unsupported_by_simplified_id_merge")
	for _, name := range []string{"mixpanel", "original"} {
		expectOutcome(w, 1, name, "track", "dropped", "filtered_by_integrations")
	}
	w.Stop()
}

// expectSteps compares what a vendor took: each step after the one before, in any order within, and nothing twice.
func expectSteps(t *testing.T, a *simulator.Account, steps [][]string) {
	t.Helper()
	expectLines(t, a.Name(), took(a), steps)
	if stats := a.Stats(); stats.Duplicates > 0 || stats.Refusals > 0 {
		t.Errorf("%s: %d duplicates, %d refusals", a.Name(), stats.Duplicates, stats.Refusals)
	}
}

// expectLines is expectSteps of lines that a vendor took.
func expectLines(t *testing.T, name string, lines []string, steps [][]string) {
	t.Helper()
	got, want := inSteps(lines, steps), inSteps(slices.Concat(steps...), steps)
	if !slices.Equal(got, want) {
		t.Errorf("%s took\n  %s\nwant\n  %s", name, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// inSteps sorts the lines of each step.
func inSteps(lines []string, steps [][]string) []string {
	sorted := slices.Clone(lines)
	rest := sorted
	for _, step := range steps {
		n := min(len(step), len(rest))
		slices.Sort(rest[:n])
		rest = rest[n:]
	}
	return sorted
}

func expectOutcome(w *world, want float64, destination, callType, outcome, reason string) {
	w.t.Helper()
	got := w.Metric("aka_outcomes_total", `destination="`+destination+`"`, `type="`+callType+`"`, `outcome="`+outcome+`"`, `reason="`+reason+`"`)
	if got != want {
		w.t.Errorf("%s: %v calls %s %s for %q, want %v", destination, got, callType, outcome, reason, want)
	}
}

// discardLogger keeps the SDK's own log out of the test's.
type discardLogger struct{}

// Logf does nothing.
func (discardLogger) Logf(string, ...any) {}

// Errorf does nothing: what was lost is seen at the vendors.
func (discardLogger) Errorf(string, ...any) {}

// Customer.io's own sample of an alias says "type": "identify" in its body; the path knows better.
func TestThePathDecidesThatACallIsAnAlias(t *testing.T) {
	w := newWorld(t, harness.Setup{})
	w.Start()
	w.send("/v1/alias", `{"type":"identify","previousId":"jen@email.com","userId":"507f191e81"}`)
	w.UntilAllEnded()
	expectSteps(t, w.Account("kissmetrics"), [][]string{{"alias jen@email.com 507f191e81"}})
	expectSteps(t, w.Account("original"), [][]string{{"create_alias jen@email.com 507f191e81"}})
	if got := w.Metric("aka_ingress_warnings_total", `code="type_mismatch"`); got != 1 {
		t.Errorf("%v mismatches of type are counted", got)
	}
	w.Stop()
}

func TestAnAliasOfAnIDToItselfIsDroppedEverywhere(t *testing.T) {
	w := newWorld(t, harness.Setup{})
	w.Start()
	w.send("/v1/alias", `{"type":"identify","previousId":" 507 ","userId":507}`)
	w.UntilAllEnded()
	for _, d := range destinations {
		expectOutcome(w, 1, d.Name, "alias", "dropped", "same_ids")
		if sent := w.Account(d.Name).Stats().Exchanges; sent != 0 {
			t.Errorf("%s: %d exchanges", d.Name, sent)
		}
	}
	w.Stop()
}

// What a vendor refuses is kept, shown, and sent again when it is asked for.
func TestADeadLetterIsListedReplayedAndDelivered(t *testing.T) {
	w := newWorld(t, harness.Setup{})
	w.Start()
	vero := w.Account("vero")
	if err := vero.AddFaults(simulator.Fault{Status: http.StatusBadRequest, Times: 1}); err != nil {
		t.Fatal(err)
	}
	w.send("/v1/track", `{"messageId":"m1","userId":"jane","event":"Bought"}`)
	w.UntilAllEnded()
	expectOutcome(w, 1, "vero", "track", "dead", "refused")

	admin := []string{"--admin", w.Process.Admin}
	listed := aka(t, "", slices.Concat([]string{"dead", "list"}, admin)...)
	for _, part := range []string{"vero", "track", "refused", "400", "m1"} {
		if !strings.Contains(listed, part) {
			t.Errorf("the list does not say %q:\n%s", part, listed)
		}
	}
	deadLetter := deadLetters(t, w)[0]
	aka(t, "", slices.Concat([]string{"dead", "replay", deadLetter.ID.String()}, admin)...)
	w.UntilAllEnded()
	expectSteps(t, vero, [][]string{{"event jane Bought"}})
	expectSteps(t, w.Account("kissmetrics"), [][]string{{"event jane Bought"}})
	if left := deadLetters(t, w); len(left) > 0 {
		t.Errorf("after the replay there are %v", left)
	}
	w.Stop()
}

type deadLetter struct {
	ID          json.Number
	Destination string
}

func deadLetters(t *testing.T, w *world) []deadLetter {
	t.Helper()
	var list struct {
		DeadLetters []deadLetter `json:"dead_letters"`
	}
	text := aka(t, "", "dead", "list", "--output", "json", "--admin", w.Process.Admin)
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("the list is not JSON: %v\n%s", err, text)
	}
	return list.DeadLetters
}

// The example config runs as it is, without an account anywhere. Only its addresses are changed here: they may be in use.
func TestTheExampleConfigServesSimulatedVendors(t *testing.T) {
	example, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(example)
	for address, free := range map[string]string{
		"\nlisten: \":8080\"\n":        "\nlisten: 127.0.0.1:0\n",
		"\n  listen: 127.0.0.1:9090\n": "\n  listen: 127.0.0.1:0\n",
	} {
		if strings.Count(text, address) != 1 {
			t.Fatalf("the example does not say %q once", address)
		}
		text = strings.Replace(text, address, free, 1)
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AKA_WRITE_KEY", writeKey)
	w := newWorld(t, harness.Setup{Destinations: []harness.Destination{}})
	w.Config = path
	w.Start("--simulate")
	w.send("/v1/track", `{"userId":"jane","event":"Bought"}`)
	w.UntilAllEnded()
	for _, name := range []string{"customerio", "kissmetrics", "mixpanel", "segment", "vero", "webhook"} {
		expectOutcome(w, 1, name, "track", "delivered", "")
	}
	w.Stop()
}

// A page's calls arrive in another order than its code made them, as browsers send them: an identify before the alias of the
// visitor. Each vendor gets them as the page made them.
func TestCallsOfAPageAreDeliveredAsItMadeThem(t *testing.T) {
	w := newWorld(t, harness.Setup{Source: "reorder_window: 5s"}) // long, so that a slow machine cannot miss it
	w.Start()
	const visitor = "5b7c9e10-1111-4a22-8b33-0c44d55e6f77"
	for _, c := range []struct{ path, call string }{
		{"/v1/t", `"event":"Went on","userId":"507f191e81","context":{"aka":{"seq":1800000000000003}}`},
		{"/v1/i", `"userId":"507f191e81","traits":{"plan":"pro"},"context":{"aka":{"seq":1800000000000002}}`},
		{"/v1/a", `"userId":"507f191e81","context":{"aka":{"seq":1800000000000001,"to":"507f191e81","from":"` + visitor + `","anon":true}}`},
	} {
		w.send(c.path, `{"anonymousId":"`+visitor+`",`+c.call+`}`)
	}
	w.UntilAllEnded()
	expectSteps(t, w.Account("kissmetrics"), [][]string{{"alias " + visitor + " 507f191e81"}, {"profile 507f191e81"}, {"event 507f191e81 Went on"}})
	expectSteps(t, w.Account("vero"), [][]string{{"profile 507f191e81"}, {"event 507f191e81 Went on"}})
	w.Stop()
}
