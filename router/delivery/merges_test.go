package delivery

import (
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
		if n := testutil.ToFloat64(w.pipeline.metrics.remembered); n != 2 {
			t.Errorf("%v merges are remembered", n)
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
		for i := range 2*merges.PerBlock + 10 {
			w.accept(alias("a", fmt.Sprint("name", i), 1))
		}
		w.run()
		time.Sleep(time.Minute)
		w.stop()
		w.accept(alias("a", "name0", 2), alias("b", fmt.Sprint("name", 2*merges.PerBlock+9), 2), alias("b", "new", 2))
		w.restart()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 1, "dropped/already_merged": 1, "dropped/alias_taken": 1})
		if blocks := len(w.log.storedMerges()); blocks != 3 {
			t.Errorf("%d blocks are stored", blocks)
		}
		w.stop()
	})
}

func TestACrashBetweenDeliveryAndRecordRepeatsTheAlias(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		var before []byte
		w.log.beforeMerges = func() { before = w.log.saved() }
		w.accept(alias("a", "b", 1))
		w.run()
		time.Sleep(time.Minute)
		w.stop()
		w.log.setSaved(before)
		w.log.setMerges(nil)
		w.restart() // as if it had been killed before the write
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

func TestACrashBetweenRecordAndEndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		var before []byte
		w.log.beforeMerges = func() { before = w.log.saved() }
		w.accept(alias("a", "b", 1))
		w.run()
		time.Sleep(time.Minute)
		w.stop()
		w.log.setSaved(before)
		w.restart() // as if it had been killed after the write
		time.Sleep(time.Minute)
		w.stop()
		w.expectSent("b-1")
		w.expectOutcomes(map[string]int{"dropped/already_merged": 1})
	})
}

func TestAnAliasEndsOnlyOnceItIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.options.MaxBacklogAge = time.Minute // which a delivered call is not held to
		w.log.beforeMerges = func() { time.Sleep(time.Hour) }
		w.accept(alias("a", "b", 1), track("b", 2), track("c", 3))
		w.run()
		time.Sleep(time.Hour - time.Second)
		w.expectSent("b-1", "c-3")
		w.expectOutcomes(map[string]int{"delivered": 1})
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": 2, "dead/too_old": 1})
		w.stop()
	})
}

func TestAMemoryThatCannotBeStoredHoldsNobodyUpAndIsStoredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMergingWorld(t, adapter.MergeJoins)
		w.log.setMergesErr(errors.New("no space left on device"))
		var calls []journal.Entry
		for i := range 2 * merges.PerBlock {
			calls = append(calls, alias("a", fmt.Sprint("b", i), 1))
		}
		w.accept(calls...)
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"delivered": len(calls)})
		if len(w.log.storedMerges()) > 0 {
			t.Fatal("merges were stored on a full disk")
		}
		w.log.setMergesErr(nil)
		time.Sleep(time.Minute)
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
		w := newMergingWorld(t, adapter.MergeJoins)
		w.run()
		synctest.Wait()
		w.pipeline.merges.memory = merges.New(w.vendor.account, 3*merges.PerBlock)
		const all = 4 * merges.PerBlock
		for i := range all {
			w.accept(alias("a", fmt.Sprint("b", i), 1))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		m := w.pipeline.metrics
		if kept, gone := testutil.ToFloat64(m.remembered), testutil.ToFloat64(m.forgotten); kept != 3*merges.PerBlock || gone != merges.PerBlock {
			t.Errorf("%v merges are remembered and %v forgotten", kept, gone)
		}
		if stored := slices.Sorted(maps.Keys(w.log.storedMerges())); !slices.Equal(stored, []uint64{2, 3, 4}) {
			t.Errorf("blocks %v are stored", stored)
		}
		w.accept(alias("a", fmt.Sprint("b", merges.PerBlock), 2), alias("a", fmt.Sprint("b", all-1), 2), alias("a", "b0", 2))
		time.Sleep(time.Second)
		w.expectOutcomes(map[string]int{"delivered": all + 1, "dropped/already_merged": 2})
		w.stop()
	})
}

func TestWhatIsRememberedOfAnotherAccountIsForgotten(t *testing.T) {
	for name, change := range map[string]func(*world){
		"another account": func(w *world) { w.vendor.account = "another" },
		"switched off in between": func(w *world) {
			w.destination.RememberMerges = false
			w.restart()
			w.stop()
			w.destination.RememberMerges = true
		},
		"damaged":                  func(w *world) { w.log.setMerges(map[uint64][]byte{7: []byte("?"), 8: nil}) },
		"damaged, of some version": func(w *world) { w.log.setMerges(map[uint64][]byte{1: make([]byte, len(w.log.storedMerges()[1]))}) },
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
				time.Sleep(time.Second)
				if stored := w.log.storedMerges(); len(stored) > 0 {
					t.Errorf("still stored: %v", stored)
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

// newMergingWorld is a world whose destination remembers merges by the rule.
func newMergingWorld(t *testing.T, rule adapter.MergeRule) *world {
	w := newWorld(t, Options{})
	w.vendor.rule = rule
	w.destination.RememberMerges = true
	return w
}

// Merges implements adapter.Merger.
func (v *testVendor) Merges(c *segment.Call) (adapter.Merge, bool) {
	switch c.Type {
	case segment.Alias:
		return adapter.Merge{Rule: v.rule, From: c.PreviousID, To: c.UserID, Limit: v.limit}, true
	case segment.Identify:
		return adapter.Merge{Rule: v.rule, From: c.AnonymousID, To: c.UserID, Limit: v.limit}, true
	}
	return adapter.Merge{}, false
}

func (v *testVendor) Account() string { return v.account }

func (l *testLog) Merges(_ context.Context, _ string, visit func(uint64, []byte)) error {
	for number, data := range l.storedMerges() {
		visit(number, slices.Clone(data))
	}
	return nil
}

func (l *testLog) SaveMerges(_ context.Context, _ string, block uint64, data []byte) error {
	if l.beforeMerges != nil {
		l.beforeMerges()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mergesErr != nil {
		return l.mergesErr
	}
	if l.merges == nil {
		l.merges = map[uint64][]byte{}
	}
	l.merges[block] = slices.Clone(data)
	return nil
}

func (l *testLog) DropMerges(_ context.Context, _ string, block uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.merges, block)
	return l.mergesErr
}

func (l *testLog) storedMerges() map[uint64][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.merges)
}

func (l *testLog) setMerges(merges map[uint64][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.merges = merges
}

func (l *testLog) setMergesErr(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mergesErr = err
}
