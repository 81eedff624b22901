package delivery

import (
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/live"
	"aka/router/segment"
)

// overwritten is an alias as it is repaired: what its page named as the new id is not known.
func overwritten(device, user string, n int) journal.Entry {
	e := alias(device, user, n)
	e.AnonymousID, e.FromDevice, e.PreviousIDDefaulted, e.PreviousIDRepaired = device, true, true, true
	return e
}

// expectLost compares which of the calls are said to have lost a new id: in the live view, in the metric, and in the log.
func (w *world) expectLost(want map[string]bool) {
	w.t.Helper()
	lost := 0.0
	for id, isLost := range want {
		calls := w.watch.Calls(live.Filter{ID: id}, 1)
		if len(calls) != 1 || len(calls[0].Destinations) != 1 {
			w.t.Fatalf("%s: %+v", id, calls)
		}
		note, diagnostics := "", []string{segment.PreviousIDOverwritten}
		if isLost {
			note, diagnostics = segment.NewIDLost, append(diagnostics, segment.NewIDLost)
			lost++
		}
		if got := calls[0]; got.Destinations[0].Note != note || len(got.Diagnostics) != len(diagnostics) {
			w.t.Errorf("%s: the note is %q, and the call's diagnostics are %q", id, got.Destinations[0].Note, got.Diagnostics)
		}
	}
	if got := w.metric("aka_new_ids_lost_total", "vendor"); got != lost {
		w.t.Errorf("%v are counted, not %v", got, lost)
	}
	if logged := w.logs.FilterMessage("browser alias may have lost its new id").Len(); (logged > 0) != (lost > 0) || logged > 1 {
		w.t.Errorf("it was logged %d times", logged)
	}
}

// A memory that identifies tell of links knows which repaired link was there before.
func TestARepairedAliasMayHideANewIDWhereTheDeviceIsThatUsersAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watched(t, Options{})
		w.vendor.rule, w.destination.RememberMerges = adapter.MergeGivesFrom, true
		login := identify("jen", 1)
		login.AnonymousID = "laptop"
		w.accept(login, overwritten("laptop", "jen", 2), overwritten("phone", "joe", 3), overwritten("laptop", "anna", 4))
		w.run()
		time.Sleep(time.Minute)
		w.expectLost(map[string]bool{"jen-2": true, "joe-3": false, "anna-4": false})
		w.expectOutcomes(map[string]int{"delivered": 2, "dropped/already_merged": 1, "dropped/alias_taken": 1})
		w.stop()
		w.watch.Close()
	})
}

// Where the memory is off, or an identify tells it nothing, a delivered link may have been there before.
func TestARepairedAliasMayHideANewIDWhereLinksAreNotKnown(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"no memory": func(*world) {},
		"a memory of aliases alone": func(w *world) {
			w.destination.RememberMerges, w.vendor.rule, w.vendor.aliasesOnly = true, adapter.MergeJoins, true
		},
		"a memory that has forgotten": func(w *world) {
			w.destination.RememberMerges, w.vendor.rule = true, adapter.MergeJoins
			w.log.setFacts(map[string][]byte{"\x00": []byte("?")})
		},
		"a vendor that drops the link": func(w *world) { w.vendor.drop = "jen-2" },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := watched(t, Options{})
			prepare(w)
			stamped := overwritten("tablet", "joe", 3)
			stamped.UserIDStamped = true
			w.accept(overwritten("laptop", "jen", 2), stamped)
			w.run()
			time.Sleep(time.Minute)
			t.Log(name)
			w.expectLost(map[string]bool{"jen-2": true, "joe-3": false})
			w.stop()
			w.watch.Close()
		})
	}
}

// However many there are, the log says so now and then.
func TestLostNewIDsAreLoggedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		for i := range 100 {
			w.accept(overwritten("laptop", "jen", i))
		}
		w.run()
		time.Sleep(lostLogInterval + time.Minute)
		w.accept(overwritten("laptop", "jen", 1000))
		time.Sleep(time.Minute)
		if logged := w.logs.FilterMessage("browser alias may have lost its new id").Len(); logged != 2 {
			t.Errorf("it was logged %d times", logged)
		}
		if lost := w.metric("aka_new_ids_lost_total", "vendor"); lost != 101 {
			t.Errorf("%v are counted", lost)
		}
		w.stop()
	})
}
