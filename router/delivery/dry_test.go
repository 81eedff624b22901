package delivery

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/mergerules"
)

// A dry run judges, holds, orders and remembers as a live one whose vendor takes everything, and asks no vendor.
func TestADryRunEndsCallsAsALiveOne(t *testing.T) {
	live, heldLive := runStoryOfMerges(t, false)
	dry, heldDry := runStoryOfMerges(t, true)
	if live["delivered"] == 0 || live["dropped/already_merged"] == 0 || live["dead/rejected"] == 0 || heldLive != "known_users" {
		t.Fatalf("the story is too tame: %v, held %q", live, heldLive)
	}
	live["would_send"] = live["delivered"]
	delete(live, "delivered")
	if !maps.Equal(live, dry) || heldLive != heldDry {
		t.Errorf("the live one ended %v and held %q, the dry one %v and %q", live, heldLive, dry, heldDry)
	}
}

// runStoryOfMerges returns how the calls of a few people have ended, and which rule holds an alias in the end.
func runStoryOfMerges(t *testing.T, dry bool) (ended map[string]int, rule string) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.merges = mergerules.DefaultOptions
		w.vendor.aliasesOnly = true
		w.destination.Dry = dry
		w.destination.Settle = time.Second
		w.vendor.batch = &adapter.Batch{Key: "k", MaxItems: 4}
		if dry {
			w.answer = func(id string, _ int) httpclient.Response {
				t.Errorf("%s was sent", id)
				return httpclient.Response{Status: 200}
			}
		}
		w.run()
		w.accept(identify("jane", 1), identify("joe", 1), alias("browser", "jane", 2), track("jane", 3))
		rejected := track("jane", 4)
		rejected.JSON = []byte(`{"type":"track","userId":"jane","event":"reject me"}`)
		w.accept(rejected)
		time.Sleep(time.Hour)
		w.stop()
		w.restart()
		w.accept(alias("browser", "jane", 5), alias("jane", "joe", 6), track("joe", 7))
		time.Sleep(time.Minute)
		if held := w.held(); len(held) == 1 {
			rule = held[0].Rule
		}
		ended = w.ended()
		w.stop()
	})
	return ended, rule
}
