//go:build sdks

package e2e

import (
	"encoding/json"
	"slices"
	"testing"

	"aka/e2e/harness"
)

// Each SDK tells of somebody who signs up and gets a userId, with calls for some vendors only and options for one, and each
// vendor hears of it in its own words: everything once, the alias between what came before and what came after.
func TestEachSDKsCallsReachEveryVendorOnceAndInOrder(t *testing.T) {
	for _, s := range sdks {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, harness.Setup{})
			w.Start()
			calls := signUp("jen@email.com", "507f191e81")
			c := s.start(w, w.Process.API, len(calls))
			c.send(calls)
			reports := c.reports()
			c.close()
			w.UntilAllEnded()

			expectSignUp(t, w, "jen@email.com", "507f191e81")
			expectSignUpAtMixpanel(t, w, "jen@email.com", "507f191e81")
			expectOutcome(w, 1, "mixpanel", "alias", "dropped", "filtered_by_integrations")
			expectNothingOdd(w, len(calls))
			w.Stop()
			expectKept(w, s, calls, reports)
		})
	}
}

// Jitsu's SDK has neither alias nor screen, and sends each call alone, so its story is that of a visitor who is known later.
// What it was once told in a context, or of a group, it says of all later calls too: integrations come last.
func TestJitsusCallsReachEveryVendorOnceAndInOrder(t *testing.T) {
	const user = "507f191e81"
	w := newWorld(t, harness.Setup{})
	w.Start()
	calls := []call{
		{"type": "track", "event": "Visited", "properties": call{"plan": "free"}},
		{"type": "identify", "userId": user, "traits": call{"plan": "pro"}},
		{"type": "page", "userId": user, "name": "Prices"},
		{"type": "group", "userId": user, "groupId": "acme", "traits": call{"name": "Acme"}},
		{"type": "track", "userId": user, "groupId": "acme", "event": "Opened", "integrations": call{"All": false, "Vero": true}},
	}
	c := jitsu.start(w, w.Process.API, len(calls))
	c.send(calls)
	reports := c.reports()
	c.close()
	w.UntilAllEnded()

	expectNothingOdd(w, len(calls))
	expectOutcome(w, 1, "kissmetrics", "track", "dropped", "filtered_by_integrations")
	w.Stop()
	expectKept(w, jitsu, calls, reports)
	device := w.journaled()[0].AnonymousID
	expectSteps(t, w.Account("kissmetrics"), [][]string{
		{"event " + device + " Visited"},
		{"profile " + user}, {"event " + user + " Viewed Prices Page"}, {"profile " + user},
	})
	expectSteps(t, w.Account("mixpanel"), [][]string{
		{"event " + device + " $device:" + device + " Visited"},
		{"profile " + user}, {"event " + device + " " + user + " Loaded a Page"},
	})
	expectSteps(t, w.Account("original"), [][]string{
		{"event " + device + " Visited"}, {"identify " + device + " " + user},
		{"profile " + user}, {"event " + device + " " + user + " Loaded a Page"},
	})
	// Vero has no profiles without a userId.
	expectSteps(t, w.Account("vero"), [][]string{
		{"profile " + user}, {"event " + user + " Viewed Prices Page"}, {"profile " + user}, {"event " + user + " Opened"},
	})
}

// An answer with warnings is a success to each SDK: it sends nothing again, and reports no error.
func TestEachSDKTakesWarningsForASuccess(t *testing.T) {
	for _, s := range append(slices.Clone(sdks), jitsu) {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, harness.Setup{})
			w.Start()
			calls := []call{{"type": "track", "userId": "507f191e81", "event": "Bought"}, {"type": "identify", "userId": "undefined", "traits": call{"plan": "pro"}}}
			c := s.start(w, w.Process.API, len(calls))
			c.send(calls)
			for i, report := range c.reports() {
				if report.Error != "" {
					t.Errorf("call %d: the SDK reports %q", i, report.Error)
				}
			}
			c.close()
			w.UntilAllEnded()
			warned, again := w.Metric("aka_ingress_warnings_total", `code="blocked_id"`), w.Metric("aka_ingress_duplicates_total")
			if received := w.Metric("aka_ingress_calls_received_total"); warned != 1 || again != 0 || received != float64(len(calls)) {
				t.Errorf("%v warnings, %v calls came, %v of them again", warned, received, again)
			}
			w.Stop()
		})
	}
}

// signUp is a story of the seven calls.
func signUp(before, after string) []call {
	return []call{
		{"type": "identify", "userId": before, "traits": call{"email": before}},
		{"type": "track", "userId": before, "event": "Signed Up", "properties": call{"plan": "free"}},
		{"type": "alias", "previousId": before, "userId": after,
			"integrations": call{"All": false, "Kissmetrics": true, "Vero": true, "original": true}},
		{"type": "identify", "userId": after, "traits": call{"plan": "pro"},
			"integrations": call{"Vero": call{"tags": call{"add": []string{"customer"}}}}},
		{"type": "page", "userId": after, "name": "Prices"},
		{"type": "screen", "userId": after, "name": "Home"},
		{"type": "group", "userId": after, "groupId": "acme", "traits": call{"name": "Acme"}},
		{"type": "track", "userId": after, "event": "Opened", "integrations": call{"All": false, "Vero": true}},
		{"type": "track", "userId": after, "event": "Bought", "integrations": call{"Mixpanel": false}},
	}
}

// expectSignUp checks what the vendors that know users alone took of the story. Within a step the order is free: nothing in it
// changes who is who.
func expectSignUp(t *testing.T, w *world, before, after string) {
	t.Helper()
	expectSteps(t, w.Account("kissmetrics"), [][]string{
		{"profile " + before},
		{"event " + before + " Signed Up"},
		{"alias " + before + " " + after},
		{"profile " + after},
		{"event " + after + " Viewed Prices Page", "event " + after + " Viewed Home Screen"},
		{"profile " + after},
		{"event " + after + " Bought"},
	})
	expectSteps(t, w.Account("vero"), [][]string{
		{"profile " + before},
		{"event " + before + " Signed Up"},
		{"reidentify " + before + " " + after},
		{"profile " + after},
		{"tags " + after},
		{"event " + after + " Viewed Prices Page"},
		{"event " + after + " Viewed Home Screen"},
		{"profile " + after},
		{"event " + after + " Opened"},
		{"event " + after + " Bought"},
	})
}

// expectSignUpAtMixpanel is expectSignUp for the modes of the vendor that has a use for anonymous ids, of which there are none.
func expectSignUpAtMixpanel(t *testing.T, w *world, before, after string) {
	t.Helper()
	expectSteps(t, w.Account("original"), [][]string{
		{"profile " + before},
		{"event " + before + " Signed Up"},
		{"create_alias " + before + " " + after},
		{"profile " + after},
		{"event " + after + " Loaded a Page", "event " + after + " Loaded a Screen"},
	})
	// To Mixpanel's simplified mode they are two people, in no order.
	expectSteps(t, w.Account("mixpanel"), [][]string{{
		"event " + after + " Loaded a Page", "event " + after + " Loaded a Screen", "event " + before + " Signed Up",
		"profile " + after, "profile " + before,
	}})
}

// expectNothingOdd checks that all calls were taken as they are, each once.
func expectNothingOdd(w *world, calls int) {
	w.t.Helper()
	if got := w.Metric("aka_ingress_calls_received_total"); got != float64(calls) {
		w.t.Errorf("%v calls are received, want %d", got, calls)
	}
	for _, name := range []string{"aka_ingress_calls_rejected_total", "aka_ingress_warnings_total", "aka_ingress_duplicates_total"} {
		if got := w.Metric(name); got != 0 {
			w.t.Errorf("%s is %v", name, got)
		}
	}
}

// expectKept checks that the journal holds the calls in order, as the SDK sent them. Nothing runs.
func expectKept(w *world, s sdk, calls []call, reports []report) {
	w.t.Helper()
	kept := w.journaled()
	if len(kept) != len(calls) || len(reports) != len(calls) {
		w.t.Fatalf("of %d calls the journal has %d and the SDK speaks of %d", len(calls), len(kept), len(reports))
	}
	for i, want := range calls {
		got := kept[i]
		if reports[i].Error != "" || reports[i].MessageID != got.MessageID {
			w.t.Errorf("call %d: the SDK says %+v, the journal has %s", i, reports[i], got.MessageID)
		}
		if got.Type.String() != want["type"] {
			w.t.Errorf("call %d is %s, want %s", i, got.Type, want["type"])
		}
		for key, id := range map[string]string{"userId": got.UserID, "previousId": got.PreviousID, "groupId": got.GroupID} {
			if wanted, _ := want[key].(string); id != wanted {
				w.t.Errorf("call %d: %s is %q, want %q", i, key, id, wanted)
			}
		}
		var content struct {
			Context struct {
				Library struct{ Name, Version string }
			}
		}
		if err := json.Unmarshal(got.JSON, &content); err != nil {
			w.t.Fatal(err)
		}
		if library := content.Context.Library; library.Name+"/"+library.Version != s.library {
			w.t.Errorf("call %d comes from %s/%s, want %s", i, library.Name, library.Version, s.library)
		}
	}
}
