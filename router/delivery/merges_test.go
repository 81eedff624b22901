package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/journal"
	"aka/router/mergerules"
	"aka/router/merges"
	"aka/router/segment"
)

func TestARepeatedAliasIsDroppedWhenItsTurnComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.latency = time.Second
		w.accept(alias("a", "b", 1), alias("b", "a", 2), track("a", 3), alias("a", "b", 4), alias("a", "c", 5))
		w.run()
		time.Sleep(time.Minute)
		w.expectSent("b-1", "a-3", "c-5")
		w.expectOutcomes(map[string]int{"delivered": 3, "dropped/already_merged": 2})
		if n := testutil.ToFloat64(w.pipeline.metrics.remembered); n != 3 {
			t.Errorf("%v ids are remembered", n)
		}
		w.stop()
	})
}

func TestAnAliasThatWasNotDeliveredIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "b-1" {
				return httpclient.Response{Status: 400}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(alias("a", "b", 1), alias("a", "b", 2), alias("a", "b", 3))
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"dead/refused": 1, "delivered": 1, "dropped/already_merged": 1})
		replayed := alias("a", "b", 1)
		replayed.Target = "vendor"
		w.accept(replayed)
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"dead/refused": 1, "delivered": 1, "dropped/already_merged": 2})
		w.stop()
	})
}

func TestAnIdentifyIsRememberedAndNeverDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeGivesFrom)
		login := func(device, user string, n int) journal.Entry {
			e := identify(user, n)
			e.AnonymousID = device
			return e
		}
		w.accept(login("phone", "jane", 1), login("phone", "jane", 2), login("phone", "joe", 3), alias("phone", "joe", 4), alias("phone", "jane", 5))
		w.run()
		time.Sleep(time.Minute)
		w.expectSent("jane-1", "jane-2", "joe-3")
		w.expectOutcomes(map[string]int{"delivered": 3, "dropped/alias_taken": 1, "dropped/already_merged": 1})
		w.stop()
	})
}

func TestMergesAreRememberedAcrossARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeNames)
		for i := range 500 {
			w.accept(alias("a", fmt.Sprint("name", i), 1))
		}
		w.run()
		time.Sleep(time.Minute)
		w.stop()
		w.accept(alias("a", "name0", 2), alias("b", "name499", 2), alias("b", "new", 2))
		w.restart()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 1, "dropped/already_merged": 1, "dropped/alias_taken": 1})
		w.stop()
	})
}

func TestACrashBeforeTheSaveRepeatsTheAlias(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.run()
		time.Sleep(time.Second)
		w.log.setSaveErr(errors.New("no space left on device"))
		w.accept(alias("a", "b", 1))
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 1})
		w.stop() // as if it had been killed: nothing is saved
		w.log.setSaveErr(nil)
		w.restart()
		time.Sleep(time.Minute)
		w.accept(alias("a", "b", 3))
		time.Sleep(time.Minute)
		w.stop()
		if w.attempts["b-1"] != 2 || w.attempts["b-3"] != 0 {
			t.Errorf("the alias was sent %d times, its repetition %d times", w.attempts["b-1"], w.attempts["b-3"])
		}
		w.expectOutcomes(map[string]int{"delivered": 1, "dropped/already_merged": 1})
	})
}

// The end of a parked call is another write than the progress. What was learned of it comes with its end.
func TestAParkedAliasIsRememberedOnceItHasLeftItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.failing("b")
		w.accept(alias("a", "b", 0), alias("c", "d", 1))
		w.run()
		for n := range 300 {
			w.accept(track("well", n))
			time.Sleep(time.Second)
		}
		if got := w.log.parkedIDs(); len(got) != 1 || got[0] != "b-0" {
			t.Fatalf("parked are %v", got)
		}
		w.log.setSaveErr(errors.New("no space left on device")) // of the progress alone
		w.set(func() { w.answer = nil })
		time.Sleep(time.Hour)
		if got := w.log.parkedIDs(); len(got) > 0 {
			t.Fatalf("parked are %v", got)
		}
		w.stop() // as if it had been killed
		w.log.setSaveErr(nil)
		w.accept(alias("a", "b", 7), alias("c", "d", 8))
		w.restart()
		time.Sleep(time.Minute)
		w.stop()
		if w.attempts["b-7"]+w.attempts["d-8"] > 0 {
			t.Error("a merge was forgotten")
		}
	})
}

// What is remembered is in memory at once: no call waits for the disk.
func TestNoCallWaitsUntilAMergeIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.run()
		time.Sleep(time.Second)
		w.log.mu.Lock()
		w.log.beforeSave = func() { time.Sleep(time.Hour) }
		w.log.mu.Unlock()
		w.accept(alias("a", "b", 1), track("b", 2), alias("b", "a", 3), track("c", 4))
		time.Sleep(time.Minute)
		w.expectSent("b-1", "b-2", "c-4")
		w.expectOutcomes(map[string]int{"delivered": 3, "dropped/already_merged": 1})
		w.stop()
	})
}

func TestMerges_AMemoryThatCannotBeStoredBlocksNoCallAndIsStoredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.run()
		time.Sleep(time.Second)
		w.log.setSaveErr(errors.New("no space left on device"))
		before := len(w.log.storedFacts())
		var calls []journal.Entry
		for i := range 500 {
			calls = append(calls, alias("a", fmt.Sprint("b", i), 1))
		}
		w.accept(calls...)
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": len(calls)})
		if len(w.log.storedFacts()) > before {
			t.Fatal("merges were stored on a full disk")
		}
		w.log.setSaveErr(nil)
		time.Sleep(time.Minute) // without a further call
		if stored := len(w.log.storedFacts()); stored < len(calls) {
			t.Errorf("%d facts are stored", stored)
		}
		w.stop()
		w.accept(alias("a", "b0", 2), alias("a", fmt.Sprint("b", len(calls)-1), 2))
		w.restart()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"dropped/already_merged": 2})
		w.stop()
	})
}

func TestTheOldestMergesAreForgottenFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeNames)
		w.memory.MaxAge = 3 * 24 * time.Hour
		w.run()
		for day := range 6 {
			for i := range 100 {
				w.accept(alias(fmt.Sprint("a", day), fmt.Sprint("b", day, "-", i), 1))
			}
			time.Sleep(24 * time.Hour)
		}
		time.Sleep(time.Minute)
		m := w.pipeline.metrics
		if kept, gone := testutil.ToFloat64(m.remembered), testutil.ToFloat64(m.forgotten); kept != 3*101 || gone != 3*101 {
			t.Errorf("%v ids are remembered and %v forgotten", kept, gone)
		}
		if stored := len(w.log.storedFacts()); stored != 3*101+1 {
			t.Errorf("%d facts are stored", stored)
		}
		w.accept(alias("a5", "b5-3", 2), alias("a0", "b0-3", 2))
		time.Sleep(time.Second)
		w.expectOutcomes(map[string]int{"delivered": 601, "dropped/already_merged": 1})
		w.stop()
	})
}

func TestWhatIsRememberedOfAnotherAccountIsForgotten(t *testing.T) {
	for name, change := range map[string]func(*world){
		"another account": func(w *world) { w.vendor.account = "another" },
		"another key":     func(w *world) { w.memory.Key = bytes.Repeat([]byte("l"), merges.MinKey) },
		"switched off in between": func(w *world) {
			w.destination.RememberMerges = false
			w.restart()
			time.Sleep(time.Minute)
			if stored := len(w.log.storedFacts()); stored != 1 {
				w.t.Errorf("%d facts are left", stored)
			}
			w.stop()
			w.destination.RememberMerges = true
		},
		"damaged": func(w *world) { w.log.setFacts(map[string][]byte{"\x00": []byte("?"), "\x01\x00\x00\x00\x01": nil}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newMergingWorld(t, adapter.MergeJoins)
				w.accept(alias("a", "b", 1))
				w.run()
				time.Sleep(time.Second)
				w.stop()
				change(w)
				w.restart()
				time.Sleep(time.Minute)
				if stored := w.log.storedFacts(); len(stored) != 1 {
					t.Errorf("still stored: %q", stored)
				}
				if n := w.logs.FilterMessage("memory of merges begins anew").Len(); n != 1 {
					t.Errorf("it was logged %d times", n)
				}
				w.accept(alias("a", "b", 2), alias("a", "b", 3))
				time.Sleep(time.Second)
				w.stop()
				w.expectSent("b-1", "b-2")
			})
		})
	}
}

func TestManyRepetitionsInARowEndInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.latency = time.Second
		var calls []journal.Entry
		for i := range 5000 {
			calls = append(calls, alias("a", "b", i))
		}
		w.accept(append(calls, track("b", 5000), track("a", 5001))...)
		w.run()
		time.Sleep(time.Minute)
		w.expectSent("b-0", "b-5000", "a-5001")
		w.expectOutcomes(map[string]int{"delivered": 3, "dropped/already_merged": 4999})
		w.checkOrder()
		w.stop()
	})
}

// A call with a condition waits for its turn, and goes only where a call under the id was delivered. That is remembered across
// a restart.
func TestACallWithAConditionGoesWhereTheIDWasUsed(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newMergingWorld(t, adapter.MergeRenames)
			w.vendor.ifUsed = true
			w.latency = time.Second
			w.accept(identify("guest", 1), alias("guest", "jane", 2), alias("guest", "joe", 3), alias("stranger", "jim", 4), track("jane", 5))
			w.run()
			if restarts {
				time.Sleep(1500 * time.Millisecond) // the identify has ended
				w.stop()
				w.restart()
			}
			time.Sleep(time.Minute)
			w.expectSent("guest-1", "jane-2", "jane-5")
			if got, want := w.ended(), map[string]int{"delivered": 3, "dropped/previous_id_is_anonymous": 2}; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("ended %v, want %v", got, want)
			}
			w.stop()
		})
	}
}

// newMergingWorld is a world whose destination remembers merges by the rule.
func newMergingWorld(t *testing.T, rule adapter.MergeRule) *world {
	w := newWorld(t, Options{})
	w.vendor.rule = rule
	w.destination.RememberMerges = true
	return w
}

// Merges implements adapter.Merger.
func (v *testVendor) Merges(c *segment.Call) (adapter.Merge, bool) {
	switch {
	case c.Type == segment.Alias:
		return adapter.Merge{Rule: v.rule, From: c.PreviousID, To: c.UserID, Limit: v.limit}, true
	case c.Type == segment.Identify && v.ifUsed:
		return adapter.Merge{Rule: adapter.MergeUsesDevice, To: c.UserID}, true
	case c.Type == segment.Identify && !v.aliasesOnly:
		return adapter.Merge{Rule: v.rule, From: c.AnonymousID, To: c.UserID, Limit: v.limit}, true
	}
	return adapter.Merge{}, false
}

func (v *testVendor) Account() string { return v.account }

// Fact implements Facts.
func (l *testLog) Fact(_ context.Context, _ string, key []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.facts[string(key)]), nil
}

// EachFact implements Facts.
func (l *testLog) EachFact(_ context.Context, _ string, from []byte, visit func(key, value []byte) bool) error {
	facts := l.storedFacts()
	for _, key := range slices.Sorted(maps.Keys(facts)) {
		if key >= string(from) && !visit([]byte(key), facts[key]) {
			break
		}
	}
	return nil
}

// apply takes in saved facts. It is called with mu held.
func (l *testLog) apply(facts []journal.Fact) {
	if l.facts == nil {
		l.facts = map[string][]byte{}
	}
	for _, f := range facts {
		if f.Value == nil {
			delete(l.facts, string(f.Key))
			continue
		}
		l.facts[string(f.Key)] = slices.Clone(f.Value)
	}
}

func (l *testLog) storedFacts() map[string][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.facts)
}

func (l *testLog) setFacts(facts map[string][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.facts = facts
}

// An identify of which the vendor takes nothing names a user all the same, and so does one that it refuses.
func TestAnIdentifyThatIsNotDeliveredNamesAUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.merges = mergerules.DefaultOptions
		w.vendor.drop = "jane-1"
		w.status(400, "joe-1")
		w.run()
		w.accept(identify("jane", 1), identify("joe", 1))
		time.Sleep(time.Hour)
		w.accept(alias("jane", "joe", 2))
		time.Sleep(time.Minute)
		if held := w.held(); len(held) != 1 || held[0].Rule != "known_users" {
			t.Errorf("held: %+v", held)
		}
		w.stop()
	})
}

// An identify that is nothing but a merge, and that a rule leaves out, names a user all the same: the next alias must not make one
// person of two users.
func TestAnIdentifyThatARuleLeavesOutNamesAUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.merges = mergerules.DefaultOptions
		w.vendor.marks = true
		w.run()
		shared := func(user string) journal.Entry {
			e := identify(user, 1)
			e.AnonymousID = "browser"
			return e
		}
		w.accept(shared("jane"))
		time.Sleep(time.Hour)
		w.accept(shared("joe"))
		time.Sleep(time.Hour)
		w.expectOutcomes(map[string]int{"delivered": 1, "dropped/merge_device_of_another_user": 1})
		w.accept(alias("jane", "joe", 2))
		time.Sleep(time.Minute)
		if held := w.held(); len(held) != 1 || held[0].Rule != "known_users" {
			t.Errorf("held: %+v", held)
		}
		w.stop()
	})
}

// Pairs from before aka are taken in while the destination is busy: there is always something that is not saved yet.
func TestAnImportEndsAtABusyDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.log.beforeSave = func() { time.Sleep(50 * time.Millisecond) }
		w.run()
		busy, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for n := 0; pause(busy, 10*time.Millisecond); n++ {
				w.accept(identify(fmt.Sprint("u", n), n))
			}
		}()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		given := 0
		n, err := w.pipeline.ImportMerges(ctx, func() (from, to string, ok bool, err error) {
			given++
			return fmt.Sprint("old", given), fmt.Sprint("new", given), given <= 1200, nil
		})
		if n != 1200 || err != nil {
			t.Errorf("%d pairs were taken in, %v", n, err)
		}
		stop()
		<-ended
		w.accept(alias("old7", "new7", 1))
		time.Sleep(time.Minute)
		if got := w.ended(); got["dropped/already_merged"] != 1 {
			t.Errorf("ended: %v", got)
		}
		w.stop()
	})
}
