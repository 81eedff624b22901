package delivery

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/journal"
)

// A browser's identify arrives before the alias that it made first.
func TestDevice_CallsAreDeliveredAsItMadeThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Order: adapter.OrderStrict})
		w.run()
		w.accept(fromDevice(identify("jen", 2), 0))
		time.Sleep(20 * time.Millisecond)
		w.accept(fromDevice(alias("dev-1", "jen", 1), 60*time.Millisecond))
		w.accept(track("ann", 1))
		time.Sleep(time.Second)
		if got := w.sentLast(3); !slices.Equal(got, []string{"ann-1", "jen-1", "jen-2"}) {
			t.Errorf("sent %v", got)
		}
		w.expectOutcomes(map[string]int{"delivered": 3})
		w.stop()
		if p, err := journal.DecodeProgress(w.log.progress); err != nil || p.Needed() != 4 {
			t.Errorf("frame %d is still needed, of 3 that have ended: %v", p.Needed(), err)
		}
	})
}

func TestDevice_AnAliasThatTheBrowserReversedIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.run()
		w.accept(fromDevice(alias("507f", "jen", 1), 60*time.Millisecond))
		w.accept(fromDevice(identify("507f", 2), 0))
		time.Sleep(time.Second)
		w.expectOutcomes(map[string]int{"delivered": 1, "dropped/reversed_in_browser": 1})
		w.stop()
	})
}

// A crash loses the progress since the last save. What is held then, and what was sent already, keeps its order.
func TestDevice_TheOrderIsTheSameAfterACrash(t *testing.T) {
	for crashAfter := 10 * time.Millisecond; crashAfter < 900*time.Millisecond; crashAfter += 70 * time.Millisecond {
		t.Run(crashAfter.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{Order: adapter.OrderStrict})
				w.run()
				crashAt := time.Now().Add(crashAfter)
				crashed := false
				for n := range 20 {
					w.accept(fromDevice(track("jen", n), time.Duration(n*37%200)*time.Millisecond), track(fmt.Sprint("u", n), 0))
					time.Sleep(40 * time.Millisecond)
					if !crashed && time.Now().After(crashAt) {
						crashed = true
						w.log.setSaveErr(errors.New("crashed"))
						w.stop()
						w.log.setSaveErr(nil)
						w.restart()
					}
				}
				time.Sleep(time.Second)
				w.stop()
				var want []string
				for _, e := range w.log.inOrder() {
					if e.UserID == "jen" {
						want = append(want, e.MessageID)
					}
				}
				var got []string // each where it was sent last
				for _, e := range w.sent() {
					got = append(slices.DeleteFunc(got, func(id string) bool { return id == e.id }), e.id)
				}
				got = slices.DeleteFunc(got, func(id string) bool { return !slices.Contains(want, id) })
				if !slices.Equal(got, want) {
					t.Errorf("delivered %v\nwant      %v", got, want)
				}
			})
		})
	}
}

// A call that fails, and what waits behind it on disk, keep the places that the device gave them.
func TestDevice_ParkedCallsKeepTheirRank(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Order: adapter.OrderStrict, Window: 8})
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "jen-0" {
				return httpclient.Response{Status: 503}
			}
			return httpclient.Response{Status: 200}
		}
		w.run()
		w.accept(track("jen", 0))
		time.Sleep(time.Second)
		for n := 10; n > 0; n-- { // the device made the last first
			w.accept(fromDevice(track("jen", n), time.Duration(100-n)*time.Millisecond), track(fmt.Sprint("u", n), 0))
		}
		time.Sleep(10 * time.Minute)
		if n := len(w.log.parkedIDs()); n < 5 {
			t.Errorf("only %d calls are on disk", n)
		}
		w.stop()
		w.restart()
		time.Sleep(time.Second)
		w.set(func() { w.answer = nil })
		time.Sleep(time.Hour)
		w.checkOrderOf("jen")
		w.stop()
	})
}

// The order is that of the log, before filters: a call that is not for a destination links others there all the same.
func TestDevice_WhatIsFilteredCountsInTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Order: adapter.OrderStrict, Concurrency: Fixed(1)})
		w.run()
		w.accept(fromDevice(identify("jen", 3), 0))
		time.Sleep(20 * time.Millisecond)
		link := fromDevice(alias("dev-1", "jen", 2), 50*time.Millisecond)
		link.Routing = []byte(`{"All":false}`)
		w.accept(link)
		time.Sleep(20 * time.Millisecond)
		w.accept(fromDevice(track("dev-1", 1), 100*time.Millisecond))
		time.Sleep(time.Second)
		if got := w.sentLast(2); !slices.Equal(got, []string{"dev-1-1", "jen-3"}) {
			t.Errorf("sent %v", got)
		}
		w.expectOutcomes(map[string]int{"delivered": 2, "dropped/filtered_by_integrations": 1})
		w.stop()
	})
}

// A dead letter that blocks has the place that its device gave it, and so has what waits behind it, after a restart too.
func TestDevice_WhatIsBehindADeadLetterKeepsItsRank(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{OnDead: OnDeadBlock, Order: adapter.OrderStrict})
		w.refuse("jen-1")
		w.run()
		for n := 3; n > 0; n-- { // the device made the last first
			w.accept(fromDevice(track("jen", n), time.Duration(100-n)*time.Millisecond))
		}
		time.Sleep(10 * time.Minute)
		if got := w.sentLast(1); !slices.Equal(got, []string{"jen-1"}) {
			t.Errorf("sent %v", got)
		}
		w.stop()
		w.restart()
		time.Sleep(time.Minute)
		w.refuse()
		w.retry("jen-1")
		time.Sleep(10 * time.Minute)
		if got := w.sentLast(3); !slices.Equal(got, []string{"jen-1", "jen-2", "jen-3"}) {
			t.Errorf("sent %v", got)
		}
		if got := w.ended(); fmt.Sprint(got) != fmt.Sprint(map[string]int{"dead/refused": 1, "delivered": 3}) {
			t.Errorf("ended: %v", got)
		}
		w.stop()
	})
}

// Frames of which calls are held for long do not pile up in memory.
func TestHeldFrames_AreReadAgainAboveTheBound(t *testing.T) {
	log := newTestLog()
	held := newHeldFrames(log.readFrom)
	for n := range 20 {
		log.append([]journal.Entry{track("u", n)})
		held.add(journal.NewSizedFrame(uint64(n+1), uint64(n), log.frames[n].Entries, 1<<20), 1)
	}
	if held.bytes > maxHeldBytes {
		t.Errorf("%d bytes are in memory", held.bytes)
	}
	for n := range 20 {
		if f := held.take(t.Context(), uint64(n+1)); f == nil || f.Entries[0].MessageID != fmt.Sprint("u-", n) {
			t.Errorf("frame %d is %v", n+1, f)
		}
	}
	if f := held.take(t.Context(), 7); f != nil || held.bytes != 0 || len(held.frames) != 0 || len(held.reread) > maxReread {
		t.Errorf("frame %v is there twice, %d bytes and %d frames are", f, held.bytes, len(held.reread))
	}
}
