package delivery

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/journal"
	"aka/router/journal/ledger"
	"aka/router/mergerules"
	"aka/router/merges"
)

// Other ids of one person share no order. Still no merge of him is judged while another is under way: each alone would keep the rule.
func TestMergeRules_CountWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGuardedWorld(t, Options{Concurrency: Fixed(8)})
		w.people = nil // but what is remembered
		w.merges.MaxIDs = 3
		w.run()
		w.accept(alias("ann", "bob", 1))
		time.Sleep(time.Minute)
		w.set(func() {
			w.latency = time.Second
			w.answer = func(id string, attempt int) httpclient.Response {
				if id == "ann-2" && attempt < 3 {
					return httpclient.Response{Status: http.StatusBadGateway}
				}
				return httpclient.Response{Status: http.StatusOK}
			}
		})
		w.accept(alias("dan", "ann", 2), alias("eve", "bob", 3), track("joe", 4))
		time.Sleep(time.Minute)
		w.expectHeld(1)
		w.expectSent("bob-1", "ann-2", "ann-2", "ann-2", "joe-4")
		w.stop()
	})
}

// newBlockedWorld is one where the person of ann and bob may have one id more, and dan's alias is in flight and will be answered with a status. Eve's, which came before
// it, waited behind a call that failed once, and waits for it now.
func newBlockedWorld(t *testing.T, status int) *world {
	w := newGuardedWorld(t, Options{Retry: RetryOptions{Initial: 100 * time.Millisecond}})
	w.people = nil
	w.merges.MaxIDs = 3
	w.run()
	w.accept(alias("ann", "bob", 1))
	time.Sleep(time.Minute)
	w.set(func() {
		w.answer = func(id string, attempt int) httpclient.Response {
			switch {
			case id == "ann-4":
				time.Sleep(10 * time.Second)
				return httpclient.Response{Status: status}
			case id == "eve-2" && attempt == 1:
				return httpclient.Response{Status: http.StatusServiceUnavailable}
			}
			return httpclient.Response{Status: http.StatusOK}
		}
	})
	w.accept(track("eve", 2), alias("eve", "bob", 3), alias("dan", "ann", 4))
	time.Sleep(5 * time.Second)
	w.expectSent("bob-1", "eve-2", "ann-4", "eve-2")
	return w
}

// crash ends the run, of which only that is on disk which was there before.
func (w *world) crash() {
	progress, facts := w.log.saved(), w.log.storedFacts()
	w.stop()
	w.log.setSaved(progress)
	w.log.setFacts(facts)
	w.set(func() { w.answer = nil })
}

// A crash leaves open whether the vendor has what was in flight. Another merge of the same people is judged after it.
func TestMergeRules_AfterACrashCountWhatWasUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBlockedWorld(t, http.StatusOK)
		w.crash()
		w.restart()
		time.Sleep(time.Minute)
		w.expectHeld(1)
		if held := w.held(); held[0].MessageID != "bob-3" {
			t.Errorf("held: %+v", held)
		}
		w.expectSent("bob-1", "eve-2", "ann-4", "eve-2", "ann-4")
		w.stop()
		if notes := w.notes(); notes != 0 {
			t.Errorf("%d notes are left", notes)
		}
	})
}

// The vendor took it, and the answer was lost: it is a stop in order, and not known all the same.
func TestMergeRules_AfterAStopCountWhatMayBeTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBlockedWorld(t, http.StatusBadGateway)
		w.stop()
		w.set(func() { w.answer = nil })
		w.restart()
		time.Sleep(time.Minute)
		w.expectHeld(1)
		if held := w.held(); held[0].MessageID != "bob-3" {
			t.Errorf("held: %+v", held)
		}
		w.stop()
	})
}

// What the vendor has not taken meets the rules again, as they are after the restart. Of what it may have taken that much is true: an
// operator can still stop its ids.
func TestMergeRules_AfterARestartAnOperatorHasBlockedAnID(t *testing.T) {
	for _, crash := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newBlockedWorld(t, http.StatusTooManyRequests)
			if crash {
				w.crash()
			} else {
				w.stop()
				w.set(func() { w.answer = nil })
			}
			w.merges.BlockedIDs = mergerules.Patterns{"dan"}
			w.restart()
			time.Sleep(time.Minute)
			w.expectHeld(0)
			w.expectSent("bob-1", "eve-2", "ann-4", "eve-2", "bob-3")
			w.stop()
			i := slices.IndexFunc(w.log.ledger, func(e journal.LedgerEntry) bool { return e.Verdict == ledger.Dropped })
			if i < 0 || w.log.ledger[i].MessageID != "ann-4" || w.log.ledger[i].MayBeSent != crash {
				t.Errorf("crash %t: in the ledger is %+v", crash, w.log.ledger)
			}
		})
	}
}

// An alias that fails alone is on disk with its tries. It is tried to the end, but for an operator who has blocked its ids.
func TestMergeRules_ATriedAliasIsStoppedByItsIDsAfterARestart(t *testing.T) {
	for _, blocks := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newGuardedWorld(t, Options{Retry: RetryOptions{Initial: 100 * time.Millisecond}})
			w.people = nil
			w.run()
			w.set(func() {
				w.answer = func(id string, _ int) httpclient.Response {
					if id == "ann-1" {
						return httpclient.Response{Status: http.StatusServiceUnavailable}
					}
					return httpclient.Response{Status: http.StatusOK}
				}
			})
			w.accept(alias("dan", "ann", 1))
			for i := range 60 { // others are taken, so that it fails alone, and is stored after a minute
				w.accept(track("eve", 2+i))
				time.Sleep(3 * time.Second)
			}
			if len(w.log.parkedIDs()) != 1 {
				t.Fatalf("parked: %v", w.log.parkedIDs())
			}
			w.stop()
			before := len(w.sent())
			w.set(func() { w.answer = nil })
			if blocks {
				w.merges.BlockedIDs = mergerules.Patterns{"dan"}
			}
			w.restart()
			time.Sleep(10 * time.Minute)
			sent := slices.ContainsFunc(w.sent()[before:], func(e exchanged) bool { return e.id == "ann-1" })
			if sent == blocks || len(w.log.parkedIDs()) > 0 {
				t.Errorf("blocked %t: sent %t, %v left", blocks, sent, w.log.parkedIDs())
			}
			w.stop()
		})
	}
}

// A merge whose call the log has lost keeps no other from being judged.
func TestMergeRules_AMergeThatIsLostIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBlockedWorld(t, http.StatusOK)
		w.stop()
		w.log.setFacts(w.withNote("ann", "dan"))
		w.restart()
		w.accept(alias("zoe", "ann", 5))
		time.Sleep(time.Minute)
		w.expectHeld(2)
		w.stop()
		if notes := w.notes(); notes != 0 {
			t.Errorf("%d notes are left", notes)
		}
	})
}

// An import makes a larger person of those that a merge under way joins. It is waited for all the same.
func TestMergeRules_AnImportHidesNothingThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGuardedWorld(t, Options{})
		w.people = nil
		w.merges.MaxIDs = 6
		w.run()
		w.accept(alias("ann", "bob", 1))
		time.Sleep(time.Minute)
		w.set(func() { w.latency = 10 * time.Second })
		w.accept(alias("dan", "bob", 2))
		time.Sleep(time.Second)
		pairs := [][2]string{{"c1", "c2"}, {"c2", "c3"}, {"c3", "ann"}}
		_, err := w.pipeline.ImportMerges(t.Context(), func() (from, to string, ok bool, err error) {
			if len(pairs) == 0 {
				return "", "", false, nil
			}
			pair := pairs[0]
			pairs = pairs[1:]
			return pair[0], pair[1], true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w.accept(alias("eve", "c1", 3))
		time.Sleep(time.Minute)
		w.expectHeld(1)
		w.expectSent("bob-1", "bob-2")
		w.stop()
	})
}

// withNote returns the facts on disk, and one that a merge was under way whose call is in no frame.
func (w *world) withNote(from, to string) map[string][]byte {
	facts := w.log.storedFacts()
	memory, err := merges.Open(w.t.Context(), mapFacts(facts), merges.Options{Key: w.memory.Key, Account: "vendor " + w.vendor.account})
	if err != nil {
		w.t.Fatal(err)
	}
	memory.Begins(memory.At(journal.Position{Seq: 1, Index: 99}, &adapter.Merge{Rule: adapter.MergeJoins, From: from, To: to}))
	for _, fact := range memory.Changes().Facts {
		facts[string(fact.Key)] = fact.Value
	}
	return facts
}

// mapFacts are facts as a merges.Store.
type mapFacts map[string][]byte

func (f mapFacts) Fact(_ context.Context, key []byte) ([]byte, error) { return f[string(key)], nil }

func (f mapFacts) EachFact(context.Context, []byte, func(key, value []byte) bool) error { return nil }

// notes is how many merges are under way by what is on disk.
func (w *world) notes() (n int) {
	for key := range w.log.storedFacts() {
		if key[0] == 3 {
			n++
		}
	}
	return n
}

// Two people of one id each are reached by these ids alone, and calls that share an id keep their order: no save is waited for.
func TestMergeRules_ASignUpWaitsForNoSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGuardedWorld(t, Options{})
		w.people = nil
		w.run()
		w.accept(track("joe", 1))
		time.Sleep(time.Minute)
		for _, c := range []struct {
			id   string
			from string
			now  bool
		}{{"bob-1", "ann", true}, {"bob-2", "cat", false}} {
			start := time.Now()
			w.accept(alias(c.from, "bob", int(c.id[4]-'0')))
			time.Sleep(time.Second)
			if waited := w.exchange(c.id).start.Sub(start); (waited == 0) != c.now || waited > saveInterval {
				t.Errorf("%s was sent after %s", c.id, waited)
			}
		}
		w.stop()
	})
}

// A merge that the run before may have sent comes to wait on disk after the restart, behind an alias that would wait for its end.
func TestMergeRules_AMergeThatWaitsOnDiskHoldsUpNoOther(t *testing.T) {
	for restarts := range 2 {
		synctest.Test(t, func(t *testing.T) { testAMergeOnDisk(t, restarts) })
	}
}

// testAMergeOnDisk restarts so often while the call in front still fails.
func testAMergeOnDisk(t *testing.T, restarts int) {
	w := newGuardedWorld(t, Options{Window: 8, Retry: RetryOptions{Initial: 100 * time.Millisecond, Max: time.Second}})
	w.people = nil
	w.merges.MaxIDs = 30
	w.run()
	w.accept(alias("ann", "bob", 1))
	time.Sleep(time.Minute)
	w.set(func() {
		w.answer = func(id string, _ int) httpclient.Response {
			switch id {
			case "eve-2":
				return httpclient.Response{Status: http.StatusServiceUnavailable}
			case "ann-4":
				time.Sleep(10 * time.Second)
				return httpclient.Response{Status: http.StatusBadGateway}
			}
			return httpclient.Response{Status: http.StatusOK}
		}
	})
	w.accept(track("eve", 2), alias("eve", "bob", 3), track("bob", 6))
	for i := range 10 {
		w.accept(track("well", 10+i))
		time.Sleep(30 * time.Second)
	}
	if parked := w.log.parkedIDs(); len(parked) != 3 {
		t.Fatalf("parked: %v", parked)
	}
	w.accept(alias("dan", "ann", 4), alias("dan", "eve", 5))
	time.Sleep(12 * time.Second)
	w.stop()
	for range restarts {
		w.restart()
		time.Sleep(time.Minute)
		w.stop()
	}
	w.set(func() { w.answer = nil })
	w.restart()
	time.Sleep(time.Hour)
	w.expectOutcomes(map[string]int{"delivered": 4, "dropped/already_merged": 1})
	w.stop()
	if notes := w.notes(); notes != 0 {
		t.Errorf("%d notes are left", notes)
	}
}

// A call whose merge is left out fails, waits on disk, and is read back: the merge stays left out.
func TestMergeRules_AMergeThatWasLeftOutStaysSoOnDisk(t *testing.T) {
	for _, asks := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { testAMergeLeftOutOnDisk(t, asks) })
	}
}

func testAMergeLeftOutOnDisk(t *testing.T, asks bool) {
	w := newWorld(t, Options{Window: 8, Retry: RetryOptions{Initial: 100 * time.Millisecond, Max: time.Second}})
	if w.vendor.asks = asks; !asks {
		w.vendor.steps = 2
	}
	w.vendor.rule, w.vendor.marks, w.destination.RememberMerges = adapter.MergeJoins, true, true
	w.merges = mergerules.DefaultOptions
	first, second := identify("jane", 1), identify("joe", 2)
	first.AnonymousID, second.AnonymousID = "phone", "phone"
	w.accept(first)
	w.run()
	time.Sleep(time.Minute)
	w.set(func() {
		w.answer = func(id string, _ int) httpclient.Response {
			if strings.HasPrefix(id, "joe-2") {
				return httpclient.Response{Status: http.StatusInternalServerError}
			}
			return httpclient.Response{Status: http.StatusOK}
		}
	})
	w.accept(second, track("joe", 3), track("joe", 4), track("joe", 5))
	for i := range 10 {
		w.accept(track("well", 10+i))
		time.Sleep(30 * time.Second)
	}
	if parked := w.log.parkedIDs(); len(parked) < 3 {
		t.Fatalf("parked: %v", parked)
	}
	w.stop()
	w.set(func() { w.answer = nil })
	w.restart()
	time.Sleep(10 * time.Minute)
	w.stop()
	for _, e := range w.sent() {
		if strings.HasPrefix(e.id, "joe-2") && !e.finds && !strings.HasSuffix(e.id, "/0") {
			t.Errorf("asks %t: the merge went out: %s", asks, e.id)
		}
	}
	ended := w.ended()
	if asks && ended["dropped/merge_device_of_another_user"] != 1 || !asks && ended["delivered"] != 15 {
		t.Errorf("asks %t: %v", asks, ended)
	}
}
