package delivery

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/journal/ledger"
)

// newIgnoringWorld is one whose vendor does nothing with the calls whose ids are named, and says so.
func newIgnoringWorld(t *testing.T, reason adapter.Reason, ignored ...string) *world {
	w := newWorld(t, Options{})
	w.batchAnswer = func(ids []string) httpclient.Response {
		var body strings.Builder
		for _, id := range ids {
			body.WriteString(id + " ")
		}
		return httpclient.Response{Status: 200, Body: []byte(body.String())}
	}
	w.vendor.judge = func(_ int, a adapter.Answer) (verdicts []adapter.Verdict) {
		for id := range strings.FieldsSeq(string(a.Body)) {
			v := adapter.Verdict{Class: adapter.Delivered}
			for _, one := range ignored {
				if id == one {
					v = adapter.Verdict{Class: adapter.Dropped, Note: string(reason), Detail: "unknown s3cr3t"}
				}
			}
			verdicts = append(verdicts, v)
		}
		return verdicts
	}
	return w
}

func TestDroppedByTheAnswer_IsCountedAndHoldsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newIgnoringWorld(t, adapter.UserUnknown, "a-1")
		w.accept(identify("a", 1), track("a", 2), track("b", 3))
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 2, "dropped/user_unknown": 1})
		w.expectSent("a-1", "a-2", "b-3")
		if len(w.log.dead) > 0 || len(w.pipeline.health.failures) > 0 {
			t.Errorf("dead letters %v, failures %v", w.log.dead, w.pipeline.health.failures)
		}
		w.stop()
	})
}

func TestDroppedByTheAnswer_IsOneItemOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newIgnoringWorld(t, adapter.UserUnknown, "b-2")
		w.vendor.batch = &adapter.Batch{Key: "k", MaxItems: 3}
		w.options.Concurrency = Fixed(1)
		w.options.Batch.MaxWait = time.Second
		w.accept(track("a", 1), track("b", 2), track("c", 3))
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 2, "dropped/user_unknown": 1})
		w.expectSent("a-1", "b-2", "c-3")
		w.stop()
	})
}

func TestDroppedByTheAnswer_EndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newIgnoringWorld(t, adapter.Declined, "a-1/1")
		w.vendor.steps = 3
		w.accept(track("a", 1))
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"dropped/declined": 1})
		w.expectSent("a-1/0", "a-1/1")
		w.stop()
	})
}

func TestDroppedByTheAnswer_IsKeptWhereThatIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newIgnoringWorld(t, adapter.UserUnknown, "a-1")
		w.keptDrops = []string{string(adapter.UserUnknown)}
		w.accept(track("a", 1), track("a", 2))
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 1, "dropped/user_unknown": 1})
		kept := w.log.dropped
		if len(kept) != 1 || kept[0].Entry.MessageID != "a-1" || kept[0].Status != 200 || kept[0].Detail != "unknown <secret>" || kept[0].Attempts != 1 {
			t.Errorf("kept %+v", kept)
		}
		w.stop()
	})
}

// A reason of the adapter's own would make a new series of the metrics.
func TestDroppedByTheAnswer_HasAReasonOfTheClosedSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newIgnoringWorld(t, "unheard_of", "a-1")
		w.accept(track("a", 1))
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"dropped/declined": 1})
		w.stop()
	})
}

func TestDroppedByTheAnswer_MergesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newIgnoringWorld(t, adapter.PreviousIDUnknown, "b-1")
		w.vendor.rule, w.destination.RememberMerges = adapter.MergeJoins, true
		w.accept(alias("a", "b", 1), alias("a", "b", 2), alias("a", "b", 3))
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 1, "dropped/previous_id_unknown": 1, "dropped/already_merged": 1})
		w.expectSent("b-1", "b-2")
		w.stop()
		if e := w.log.ledger[0]; e.Verdict != ledger.Dropped || e.By != ledger.ByVendor || e.Reason != string(adapter.PreviousIDUnknown) {
			t.Errorf("the ledger begins with %+v", e)
		}
	})
}

// A vendor that says it did nothing has looked at the call: its credentials and its route are well.
func TestDroppedByTheAnswer_TellsThatTheDestinationIsWell(t *testing.T) {
	x := &exchange{jobs: []*job{{}}, response: httpclient.Response{Status: 404}, verdicts: []adapter.Verdict{{Class: adapter.Dropped, Note: string(adapter.UserUnknown)}}}
	if !x.aboutCalls() || x.refused() || x.mayBeRefused() || x.failed() {
		t.Errorf("about calls %t, refused %t, may be refused %t, failed %t", x.aboutCalls(), x.refused(), x.mayBeRefused(), x.failed())
	}
	h := newHealth(nil)
	if h.count(x, false); h.successes != 1 {
		t.Errorf("%d successes", h.successes)
	}
}
