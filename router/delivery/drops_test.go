package delivery

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
)

func newKeepingWorld(t *testing.T) *world {
	w := newMergingWorld(t, adapter.MergeGivesFrom)
	w.keptDrops = []string{"blocked_id", "alias_taken"}
	return w
}

// keptIDs are the messageIds of the dropped calls that are kept, in order.
func (w *world) keptIDs() string {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	var ids []string
	for _, d := range w.log.dropped {
		ids = append(ids, d.Entry.MessageID+"/"+d.Reason)
	}
	return fmt.Sprint(ids)
}

func (w *world) setKeepDropped(keep func(context.Context) error) {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	w.log.keepDropped = keep
}

func TestDropsOfTheNamedReasonsAreKeptAndEndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newKeepingWorld(t)
		w.accept(alias("null", "jane", 1), alias("phone", "jane", 2), alias("phone", "joe", 3), track("joe", 4), alias("same", "same", 5), alias("phone", "jane", 6))
		w.run()
		time.Sleep(time.Minute)
		if got := w.keptIDs(); got != "[jane-1/blocked_id joe-3/alias_taken]" {
			t.Errorf("kept %s", got)
		}
		w.expectSent("jane-2", "joe-4")
		w.expectOutcomes(map[string]int{"delivered": 2, "dropped/blocked_id": 1, "dropped/alias_taken": 1, "dropped/same_ids": 1, "dropped/already_merged": 1})
		w.stop()
	})
}

// The write hangs: a crash now has the call dropped again, and what comes behind it of the same person waits for its end.
func TestADropEndsOnlyOnceItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newKeepingWorld(t)
		stored := make(chan struct{})
		w.setKeepDropped(func(context.Context) error { <-stored; return nil })
		w.accept(alias("phone", "jane", 1))
		w.run()
		time.Sleep(time.Second)
		w.accept(alias("null", "jane", 2), alias("phone", "joe", 3), track("joe", 4), track("other", 5))
		time.Sleep(900 * time.Millisecond)
		w.expectOutcomes(map[string]int{"delivered": 2})
		saved, err := journal.DecodeProgress(w.log.saved())
		if err != nil {
			t.Fatal(err)
		}
		saved.Begin(w.log.frames[0])
		saved.Begin(w.log.frames[1])
		for i, ended := range []bool{false, false, false, true} {
			if got := saved.HasEnded(journal.Position{Seq: 2, Index: i}); got != ended {
				t.Errorf("call %d has ended: %v", i, got)
			}
		}
		close(stored)
		time.Sleep(time.Second)
		w.expectOutcomes(map[string]int{"delivered": 3, "dropped/blocked_id": 1, "dropped/alias_taken": 1})
		w.stop()
	})
}

func TestACrashBetweenKeepingADropAndItsEndKeepsItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newKeepingWorld(t)
		w.accept(track("jane", 1))
		w.run()
		time.Sleep(time.Second)
		before := w.log.saved()
		w.accept(alias("null", "jane", 2), alias("null", "jane", 3))
		time.Sleep(time.Second)
		w.stop()
		w.log.setSaved(before) // as if it had been killed before the save
		w.restart()
		time.Sleep(time.Minute)
		if got := w.keptIDs(); got != "[jane-2/blocked_id jane-3/blocked_id]" {
			t.Errorf("kept %s", got)
		}
		w.stop()
	})
}

func TestOnAFullDiskDroppedCallsEndCountedAndNothingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newKeepingWorld(t)
		full := func(ctx context.Context) error { <-ctx.Done(); return errors.New("the disk is full") }
		w.setKeepDropped(full)
		w.run()
		const calls = 5 * maxPendingDrops
		for i := range calls {
			w.accept(alias("null", "jane", i))
		}
		w.accept(track("joe", 1))
		time.Sleep(2 * time.Second)
		w.expectSent("joe-1")
		w.expectOutcomes(map[string]int{"delivered": 1, "dropped/blocked_id": calls})
		if n := w.metric("aka_dropped_not_kept_total", "blocked_id"); n != calls {
			t.Errorf("%v were not kept, want %d", n, calls)
		}
		// A try of its own, now and then; the calls beside it go on at once.
		time.Sleep(keepRetry)
		for i := range calls {
			w.accept(alias("null", "jane", calls+i))
		}
		w.accept(track("joe", 2))
		time.Sleep(100 * time.Millisecond)
		w.expectSent("joe-1", "joe-2")
		w.setKeepDropped(nil)
		time.Sleep(2 * keepRetry)
		w.accept(alias("null", "kept", 1))
		time.Sleep(time.Second)
		if got := w.keptIDs(); got != "[kept-1/blocked_id]" {
			t.Errorf("kept %s", got)
		}
		if n := w.logs.FilterMessage("failed to keep dropped calls").Len(); n != 2 {
			t.Errorf("%d warnings, want one for each try", n)
		}
		w.stop()
	})
}

// While a write takes its time, a bounded number of calls waits in memory for the next, and each is stored in its turn.
func TestAFloodOfDropsIsStoredInBoundedPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newKeepingWorld(t)
		most := 0
		w.setKeepDropped(func(context.Context) error {
			time.Sleep(5 * time.Millisecond)
			return w.pipeline.ask(context.Background(), func() { most = max(most, len(w.pipeline.drops.pending)) })
		})
		const calls = 5 * maxPendingDrops
		for i := range calls {
			w.accept(alias("null", "jane", i))
		}
		w.run()
		time.Sleep(time.Minute)
		w.expectOutcomes(map[string]int{"dropped/blocked_id": calls})
		if len(w.log.dropped) != calls || most > maxPendingDrops {
			t.Errorf("%d are kept, %d waited", len(w.log.dropped), most)
		}
		w.stop()
		if w.pipeline.drops.bytes != 0 {
			t.Errorf("%d bytes wait", w.pipeline.drops.bytes)
		}
	})
}

func TestTheNoteOfADropIsKeptWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newKeepingWorld(t)
		w.keptDrops = []string{"other"}
		noted := track("jane", 1)
		noted.JSON = []byte(`{"type":"track","event":"drop me with a note"}`)
		w.accept(noted)
		w.run()
		time.Sleep(time.Second)
		if got := w.keptIDs(); got != "[jane-1/other]" || w.log.dropped[0].Detail != "it is internal" {
			t.Errorf("kept %s", got)
		}
		w.expectOutcomes(map[string]int{"dropped/other": 1})
		w.stop()
	})
}
