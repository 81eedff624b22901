package delivery

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/journal"
)

// failing has the vendor fail on the first call of each person whose name begins so.
func (w *world) failing(prefix string) {
	w.set(func() {
		w.answer = func(id string, _ int) httpclient.Response {
			if strings.HasPrefix(id, prefix) && strings.HasSuffix(id, "-0") {
				return httpclient.Response{Status: 503}
			}
			return httpclient.Response{Status: 200}
		}
	})
}

func (w *world) delivered() int { return w.ended()["delivered"] }

// One person's failing call, and the thousand behind it, take nothing from others.
func TestParking_OnePersonsFailingCallStopsNoOther(t *testing.T) {
	for _, order := range []adapter.Order{adapter.OrderIdentity, adapter.OrderStrict} {
		for _, window := range []int{200, 10_000} {
			t.Run(fmt.Sprint(order, window), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, Options{Window: window, Order: order})
					w.failing("jane")
					calls := []journal.Entry{identify("jane", 0)}
					const behind = 1_500
					for n := range behind {
						calls = append(calls, track("jane", n+1))
					}
					w.accept(calls...)
					w.run()
					for n := range 50 {
						w.accept(track(fmt.Sprint("well", n), 1))
						time.Sleep(100 * time.Millisecond)
					}
					if n := w.delivered(); n != 50 {
						t.Errorf("%d of 50 calls of others were delivered within five seconds", n)
					}
					if size := w.metric("aka_window_bytes", "vendor"); size > 20<<20 {
						t.Errorf("%v bytes are in memory", size)
					}
					w.set(func() { w.answer = nil })
					time.Sleep(5 * time.Minute)
					if n := w.delivered(); n != 51+behind {
						t.Errorf("%d calls were delivered in the end, of %d", n, 51+behind)
					}
					if order == adapter.OrderStrict {
						w.checkOrderOf("jane")
					}
					if left := w.log.parkedIDs(); len(left) > 0 {
						t.Errorf("%d calls are still on disk", len(left))
					}
					w.stop()
				})
			})
		}
	}
}

// checkOrderOf checks that one person's calls were delivered in their order.
func (w *world) checkOrderOf(person string) {
	w.t.Helper()
	last := -1
	for _, e := range w.sent() {
		var n int
		if !e.ok || !strings.HasPrefix(e.id, person+"-") {
			continue
		}
		if _, err := fmt.Sscanf(e.id, person+"-%d", &n); err != nil || n != last+1 {
			w.t.Fatalf("%s was delivered after number %d", e.id, last)
		}
		last = n
	}
}

// Thirty people fail, with seven calls each.
func TestParking_ManyFailingPeopleStopNoOther(t *testing.T) {
	for _, window := range []int{200, 10_000} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{Window: window, Order: adapter.OrderStrict})
				w.failing("bad")
				w.run()
				well := 0
				for round := range 7 {
					for n := range 30 {
						w.accept(track(fmt.Sprint("bad", n), round))
						for one := range 3 {
							w.accept(track(fmt.Sprint("well", round, n, one), 1))
							well++
						}
						time.Sleep(10 * time.Millisecond)
					}
				}
				time.Sleep(time.Second)
				if n := w.delivered(); n != well {
					t.Errorf("%d of %d calls of others were delivered", n, well)
				}
				w.set(func() { w.answer = nil })
				time.Sleep(5 * time.Minute)
				if n := w.delivered(); n != well+30*7 {
					t.Errorf("%d calls were delivered in the end, of %d", n, well+30*7)
				}
				for n := range 30 {
					w.checkOrderOf(fmt.Sprint("bad", n))
				}
				w.stop()
			})
		})
	}
}

// Thirty people whose first calls come together, and fail, look like an outage. A probe with a call that comes later shows that it
// is none.
func TestParking_ManyFailingPeopleAtOnceDoNotStopOthers(t *testing.T) {
	for _, window := range []int{200, 10_000} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{Window: window, Order: adapter.OrderStrict})
				w.set(func() {
					w.answer = func(id string, _ int) httpclient.Response {
						if strings.HasPrefix(id, "bad") {
							return httpclient.Response{Status: 503}
						}
						return httpclient.Response{Status: 200}
					}
				})
				var calls []journal.Entry
				for n := range 7 {
					for u := range 30 {
						calls = append(calls, track(fmt.Sprint("bad", u), n))
					}
				}
				w.accept(calls...)
				w.run()
				for n := range 600 {
					w.accept(track(fmt.Sprint("well", n), 1))
					time.Sleep(100 * time.Millisecond)
					if n == 9 && w.delivered() < 9 {
						t.Errorf("%d of the first second's 10 calls of others were delivered", w.delivered())
					}
				}
				if n := w.delivered(); n < 595 {
					t.Errorf("%d of 600 calls of others were delivered within a minute", n)
				}
				w.set(func() { w.answer = nil })
				time.Sleep(10 * time.Minute)
				if n := w.delivered(); n != 810 {
					t.Errorf("%d calls were delivered in the end, of 810", n)
				}
				w.stop()
			})
		})
	}
}

// What is on disk waits through restarts, and stands before what comes later.
func TestParking_QueuesOutliveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Window: 40, Order: adapter.OrderStrict})
		w.failing("jane")
		w.run()
		for n := range 300 {
			w.accept(track("jane", n))
			if n%70 == 69 {
				time.Sleep(time.Second)
				w.stop()
				w.restart()
			}
		}
		time.Sleep(time.Second)
		if n := len(w.log.parkedIDs()); n < 200 {
			t.Errorf("only %d calls are on disk", n)
		}
		w.set(func() { w.answer = nil })
		time.Sleep(5 * time.Minute)
		if n := w.delivered(); n != 300 {
			t.Errorf("%d calls were delivered, of 300", n)
		}
		w.checkOrderOf("jane")
		w.stop()
	})
}

// An alias of two people who both fail joins what waits for them.
func TestParking_QueuesThatMeetAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Window: 8, Order: adapter.OrderStrict})
		w.refuse()
		w.failing("")
		w.run()
		for n := range 10 {
			w.accept(track("jane", n), track("john", n))
		}
		time.Sleep(time.Second)
		w.accept(alias("jane", "john", 10), track("jane", 11), track("john", 12))
		time.Sleep(time.Second)
		w.set(func() {
			w.answer = func(id string, _ int) httpclient.Response {
				if id == "jane-0" {
					return httpclient.Response{Status: 503}
				}
				return httpclient.Response{Status: 200}
			}
		})
		time.Sleep(5 * time.Minute)
		if n := w.delivered(); n != 10 {
			t.Errorf("%d calls were delivered, want john's ten before the alias", n)
		}
		w.set(func() { w.answer = nil })
		time.Sleep(5 * time.Minute)
		if n := w.delivered(); n != 23 {
			t.Errorf("%d calls were delivered in the end, of 23", n)
		}
		w.checkOrder()
		w.stop()
	})
}

// A destination that is down blocks no identity: what waits stays in the log.
func TestParking_AnOutageParksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Window: 40, Order: adapter.OrderStrict})
		w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 503} }
		w.run()
		for n := range 200 {
			w.accept(track(fmt.Sprint("u", n%20), n))
		}
		time.Sleep(time.Hour)
		if got := w.log.parkedIDs(); len(got) > 20 {
			t.Errorf("%d calls went to the disk", len(got))
		}
		w.set(func() { w.answer = nil })
		time.Sleep(10 * time.Minute)
		if n := w.delivered(); n != 200 {
			t.Errorf("%d calls were delivered, of 200", n)
		}
		w.stop()
	})
}

// What waits on disk for too long becomes dead letters there.
func TestParking_WhatIsOnDiskExpires(t *testing.T) {
	for _, onDead := range []OnDead{OnDeadContinue, OnDeadBlock} {
		t.Run(string(onDead), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{Window: 40, Order: adapter.OrderStrict, MaxBacklogAge: time.Hour, OnDead: onDead, Retry: RetryOptions{MaxAge: 24 * time.Hour}})
				w.failing("jane")
				w.run()
				for n := range 600 {
					w.accept(track("jane", n))
				}
				time.Sleep(2 * time.Hour)
				w.accept(track("jane", 600))
				if got := w.ended(); got["dead/too_old"] < 590 || len(w.log.deadLetters()) != got["dead/too_old"] {
					t.Errorf("ended: %v, with %d dead letters", got, len(w.log.deadLetters()))
				}
				w.stop()
				w.restart()
				w.set(func() { w.answer = nil })
				time.Sleep(10 * time.Minute)
				for _, d := range w.log.deadLetters() {
					if onDead == OnDeadBlock {
						w.release(d.Entry.MessageID)
					}
				}
				time.Sleep(10 * time.Minute)
				if got := w.ended(); got["delivered"]+got["dead/too_old"] != 601 || got["delivered"] < 1 {
					t.Errorf("ended: %v, of 601", got)
				}
				if left := w.log.parkedIDs(); len(left) > 0 {
					t.Errorf("still on disk: %v", left)
				}
				w.stop()
			})
		})
	}
}

// Every state can be left but the last, and none is reached from nowhere.
func TestStates_LeadToTheEnd(t *testing.T) {
	reached := map[state]bool{waitingForIDs: true}
	for from := range state(stateCount) {
		for to := range state(stateCount) {
			if next[from].has(to) && from != to {
				reached[to] = true
			}
		}
		if ends := from == settled || from == parked; (next[from] == 0) != ends {
			t.Errorf("%s: is it an end?", from)
		}
	}
	if len(reached) != stateCount {
		t.Errorf("only %v are reached", slices.Collect(func(yield func(state) bool) {
			for s := range reached {
				if !yield(s) {
					return
				}
			}
		}))
	}
}

// The picture of the states in CONTRIBUTING.md has each of them, and no arrow that the table does not have.
func TestStates_ThePictureHasThem(t *testing.T) {
	guide, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, picture, found := strings.Cut(string(guide), "\nstateDiagram-v2\n")
	picture, _, _ = strings.Cut(picture, "```")
	names := map[string]state{"park_pending": parkPending}
	for s := range state(stateCount) {
		if s != parkPending {
			names[strings.ReplaceAll(s.String(), " ", "_")] = s
		}
	}
	shown := map[state]bool{}
	for _, arrow := range regexp.MustCompile(`(?m)^ +(\S+) --> (\S+): `).FindAllStringSubmatch(picture, -1) {
		from, isFrom := names[arrow[1]]
		to, isTo := names[arrow[2]]
		if isFrom && isTo && !next[from].has(to) {
			t.Errorf("a call cannot go from %s to %s", from, to)
		}
		if !isFrom && arrow[1] != "[*]" || !isTo && arrow[2] != "[*]" {
			t.Errorf("there is no state %q or %q", arrow[1], arrow[2])
		}
		if isFrom {
			shown[from] = true
		}
		if isTo {
			shown[to] = true
		}
	}
	if !found || len(shown) != stateCount {
		t.Errorf("the picture has %d of %d states", len(shown), stateCount)
	}
}

// A queue for which there is no room is asked for once, however often that is noticed.
func TestParking_AQueueIsWantedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Window: 16})
		w.run()
		defer w.stop()
		p := w.pipeline
		err := p.ask(t.Context(), func() {
			q := p.parking.newQueue()
			q.Waiting = 1
			p.parkedInMemory.count += 16 // there is no room
			for range 100 {
				p.parking.reader.takeUp(q)
			}
			if n := len(p.parking.reader.wanting); n != 1 {
				t.Errorf("%d queues are wanted", n)
			}
			p.parking.reader.wanting, q.Waiting = nil, 0
			p.parkedInMemory.count -= 16
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// A disk that fails between the dead letters and the end of their places has none of them forgotten.
func TestParking_WhatExpiresIsCountedOnceWhateverTheDiskDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Window: 40, Order: adapter.OrderStrict, MaxBacklogAge: time.Hour})
		w.failing("jane")
		w.run()
		for n := range 300 {
			w.accept(track("jane", n))
		}
		time.Sleep(30 * time.Minute)
		w.log.setUnparkErr(errors.New("full"))
		time.Sleep(2 * time.Hour)
		w.log.setUnparkErr(nil)
		time.Sleep(time.Minute)
		w.set(func() { w.answer = nil })
		time.Sleep(10 * time.Minute)
		if got := w.ended(); got["delivered"]+got["dead/too_old"] != 300 || len(w.log.deadLetters()) != got["dead/too_old"] {
			t.Errorf("ended: %v of 300, with %d dead letters", got, len(w.log.deadLetters()))
		}
		if n := w.metric("aka_backlog_calls", "vendor"); n != 0 {
			t.Errorf("%v calls count as waiting", n)
		}
		w.stop()
	})
}

func (l *testLog) setUnparkErr(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unparkErr = err
}
