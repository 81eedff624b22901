package delivery

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/journal"
	"aka/router/journal/ledger"
	"aka/router/merges"
)

// noted is the ledger as text: position, verdict and reason, with the vendor's status where it has one.
func (w *world) noted() (entries []string) {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	for _, e := range w.log.ledger {
		text := fmt.Sprint(e.Position.Seq, ".", e.Position.Index, " ", e.Verdict)
		if e.Reason != "" {
			text += " " + e.Reason
		}
		if e.Status != 0 {
			text += fmt.Sprint(" ", e.Status)
		}
		entries = append(entries, text)
	}
	return entries
}

func (w *world) expectNoted(want ...string) {
	w.t.Helper()
	got := w.noted()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("the ledger has %q, want %q", got, want)
	}
}

func TestTheLedgerHasEachMergeAndEachAliasThatWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeGivesFrom)
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "bad-5" {
				return httpclient.Response{Status: 422}
			}
			return httpclient.Response{Status: 200}
		}
		login := identify("jane", 3)
		login.AnonymousID = "tablet"
		again := identify("jane", 6)
		again.AnonymousID = "tablet"
		w.accept(alias("phone", "jane", 1), track("jane", 2), login, alias("phone", "joe", 4), alias("c", "bad", 5), again, alias("phone", "jane", 7))
		w.run()
		time.Sleep(time.Minute)
		w.expectNoted("1.0 sent 200", "1.2 sent 200", "1.3 dropped alias_taken", "1.4 refused refused 422", "1.6 dropped already_merged")
		w.log.mu.Lock()
		for _, e := range w.log.ledger {
			if e.Position.Index == 2 && (e.From != journal.Digest(merges.Digester(w.memory.Key)("tablet")) || e.To != journal.Digest(merges.Digester(w.memory.Key)("jane")) || e.MessageID != login.MessageID || e.Source != login.Source || time.Since(e.Time) > time.Hour) {
				t.Errorf("got %+v", e)
			}
		}
		w.log.mu.Unlock()
		w.stop()
	})
}

// A crash before a save repeats the call and loses the entry with it; a save has both.
func TestAnEntryIsSavedWithTheEndOfItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.log.setSaveErr(errors.New("full disk"))
		w.accept(alias("a", "b", 1), alias("c", "d", 2))
		w.run()
		time.Sleep(10 * time.Second)
		w.expectSent("b-1", "d-2")
		w.expectNoted()
		w.log.setSaveErr(nil)
		w.accept(alias("e", "f", 3))
		time.Sleep(10 * time.Second)
		w.expectNoted("1.0 sent 200", "1.1 sent 200", "2.0 sent 200")
		w.stop()
	})
}

func TestTheLastSaveHasTheLastEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.latency = time.Second
		w.accept(alias("a", "b", 1))
		w.run()
		time.Sleep(500 * time.Millisecond)
		w.stop() // waits for the exchange
		w.expectNoted("1.0 sent 200")
	})
}

func TestTheLedgerIsBoundedWhileTheDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.run()
		defer w.stop()
		synctest.Wait()
		l := mergeLedger{on: true, checkpoint: &checkpoint{metrics: w.pipeline.metrics}, digest: merges.Digester(w.memory.Key)}
		j := &job{entry: new(journal.Entry), pos: journal.Position{Seq: 1}}
		for range maxPendingEntries + 10 {
			l.note(j, journal.LedgerEntry{Verdict: ledger.Held, Rule: "known_users"})
		}
		if len(l.pending) != maxPendingEntries || testutil.ToFloat64(w.pipeline.metrics.ledgerLost) != 10 {
			t.Errorf("%d wait, %v are lost", len(l.pending), testutil.ToFloat64(w.pipeline.metrics.ledgerLost))
		}
		all, lost := carry(nil, l.pending)
		all, lost2 := carry(all, l.pending)
		all, lost3 := carry(all, l.pending[:5])
		if lost+lost2 != 0 || lost3 != 5 || len(all) != maxCarriedEntries {
			t.Errorf("%d are carried, %d lost", len(all), lost3)
		}
	})
}

func TestACallThatOnlyUsesAnIDIsNoMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeRenames)
		w.vendor.ifUsed = true
		w.accept(identify("jane", 1))
		w.run()
		time.Sleep(time.Minute)
		w.expectSent("jane-1")
		w.expectNoted()
		w.stop()
	})
}
