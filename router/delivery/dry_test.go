package delivery

import (
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/journal"
	"aka/router/mergerules"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
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
		for _, e := range w.log.ledger {
			if e.Dry != dry || e.MayBeSent {
				t.Errorf("dry=%t, and the ledger has %+v", dry, e)
			}
		}
		w.stop()
		if len(w.log.ledger) == 0 {
			t.Error("the ledger is empty")
		}
	})
	return ended, rule
}

// A crash leaves open what a vendor has got of what was under way. Of a dry run it has nothing.
func TestNothingOfADryRunIsPossiblyDelivered(t *testing.T) {
	for _, dry := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{Concurrency: Fixed(4)})
			w.destination.Dry = dry
			w.logLevel = zapcore.DebugLevel
			for i := range 500 {
				w.accept(track(fmt.Sprint("u", i), 1))
			}
			w.run()
			saved := w.log.saved()
			time.Sleep(time.Second)
			w.stop()
			w.log.setSaved(saved)
			w.restart()
			time.Sleep(time.Minute)
			if n := w.metric("aka_possibly_delivered_after_crash_total", "vendor"); (n == 0) != dry {
				t.Errorf("dry=%t: %v calls are possibly delivered", dry, n)
			}
			said := w.logs.FilterMessage("call ended").FilterField(zap.String("outcome", "would_send")).Len()
			if (said > 0) != dry {
				t.Errorf("dry=%t: the log has %d calls that would be sent", dry, said)
			}
			if s, err := w.pipeline.Status(t.Context()); err != nil || (s.LastDelivery == nil) != dry {
				t.Errorf("dry=%t: the last delivery was at %v, %v", dry, s.LastDelivery, err)
			}
			w.stop()
		})
	}
}

// The calls that from_start keeps wait for no longer than others, and no operator resumes them early.
func TestWhatWaitsUntilItsDestinationIsLiveIsBoundedByItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{MaxBacklogAge: 24 * time.Hour})
		w.waits = true
		w.run()
		w.accept(received(track("old", 1)))
		time.Sleep(23 * time.Hour)
		w.accept(received(track("young", 2)))
		w.pipeline.Pause(false)
		time.Sleep(2 * time.Hour)
		w.expectOutcomes(map[string]int{"dead/too_old": 1})
		if sent := w.sent(); len(sent) > 0 {
			t.Errorf("it sent %v", sent)
		}
		w.stop()
		w.waits = false
		w.restart()
		time.Sleep(time.Minute)
		if ended := w.ended(); ended["delivered"] != 1 || len(w.sent()) != 1 || w.sent()[0].id != "young-2" {
			t.Errorf("once live it ended %v and sent %v", ended, w.sent())
		}
		w.stop()
	})
}

func received(e journal.Entry) journal.Entry {
	e.ReceivedAt = time.Now()
	return e
}
