package delivery

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/deststate"
	"aka/router/httpclient"
	"aka/router/journal"
)

// status has the vendor answer so to all calls whose ids begin so.
func (w *world) status(status int, prefix string) {
	w.set(func() {
		w.answer = func(id string, _ int) httpclient.Response {
			if strings.HasPrefix(id, prefix) {
				return httpclient.Response{Status: status}
			}
			return httpclient.Response{Status: 200}
		}
	})
}

func (w *world) isIn(state deststate.State) bool {
	w.t.Helper()
	return w.metric("aka_destination_state", string(state)) == 1
}

// A destination that refuses every call for its account keeps them, and has them all once that is over, in their order.
func TestRefusals_AllCallsWaitForTheOperator(t *testing.T) {
	for _, onDead := range []OnDead{OnDeadContinue, OnDeadBlock} {
		for _, status := range []int{402, 404, 405, 407, 410, 421, 426, 451} {
			t.Run(fmt.Sprint(onDead, status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, Options{OnDead: onDead, Concurrency: Fixed(4)})
					w.latency = 20 * time.Millisecond
					w.status(status, "")
					w.run()
					for n := range 10 {
						for u := range 40 {
							w.accept(identify(fmt.Sprint("u", u), n))
							time.Sleep(time.Millisecond)
						}
					}
					time.Sleep(time.Second)
					if !w.isIn(deststate.Refusing) || len(w.log.deadLetters()) > 0 {
						t.Fatalf("refusing: %v, with %d dead letters", w.isIn(deststate.Refusing), len(w.log.deadLetters()))
					}
					sent := len(w.sent())
					time.Sleep(10 * time.Minute)
					if n := len(w.sent()) - sent; n < 10 || n > 121 {
						t.Errorf("%d probes in ten minutes, want one per cooldown", n)
					}
					if last := w.sentLast(1)[0]; last != "u0-0" {
						t.Errorf("%s is the probe, want the oldest", last)
					}
					withdrawn := int(w.metric("aka_dead_letters_withdrawn_total", "vendor"))
					w.stop()
					w.restart()
					time.Sleep(time.Minute)
					withdrawn += int(w.metric("aka_dead_letters_withdrawn_total", "vendor"))
					w.set(func() { w.answer = nil })
					time.Sleep(10 * time.Minute)
					got := w.ended()
					if got["delivered"] != 400 || got["dead/refused"] != withdrawn || withdrawn == 0 || len(got) != 2 {
						t.Errorf("ended: %v, with %d withdrawn", got, withdrawn)
					}
					if !w.isIn(deststate.OK) || len(w.log.parkedIDs()) > 0 || len(w.log.deadLetters()) > 0 {
						t.Errorf("closed %v, on disk %v", w.isIn(deststate.OK), w.log.parkedIDs())
					}
					for u := range 40 {
						w.checkOrderOf(fmt.Sprint("u", u))
					}
					w.stop()
				})
			})
		}
	}
}

// A status that is about one call, a few people among others, or one source of many, hold up no other call.
func TestRefusals_OfSomeCallsStopNoOther(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		about  adapter.About
		prefix string
	}{
		"400 to everything":                  {400, adapter.ByStatus, ""},
		"404 that is about one call":         {404, adapter.OneCall, ""},
		"404 to a part, while others pass":   {404, adapter.ByStatus, "part"},
		"402 to one person, while others do": {402, adapter.ByStatus, "part-one"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{})
				w.vendor.judge = func(n int, a adapter.Answer) []adapter.Verdict {
					v := adapter.StatusVerdict(a.Status)
					v.About = c.about
					return adapter.Verdicts(n, v)
				}
				w.status(c.status, c.prefix)
				w.run()
				for n := range 50 {
					w.accept(track("part-one", n), track(fmt.Sprint("part", n), n))
					if c.prefix != "" {
						w.accept(track(fmt.Sprint("well", n), n))
					}
					time.Sleep(time.Second)
				}
				time.Sleep(time.Minute)
				if got := w.ended(); w.isIn(deststate.Refusing) || w.metric("aka_dead_letters_withdrawn_total", "vendor") > 0 || got["dead/refused"] < 50 {
					t.Errorf("refusing %v, ended: %v", w.isIn(deststate.Refusing), got)
				}
				w.stop()
			})
		})
	}
}

// What was on its way when the destination began to refuse everything is no sign that it looks at calls: it takes back no dead
// letter of the run, and does not end it.
func TestRefusals_ASuccessFromBeforeDoesNotEndThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(id string, _ int) httpclient.Response {
			if strings.HasPrefix(id, "slow") { // sent before, answered in the middle
				time.Sleep(50 * time.Millisecond)
				return httpclient.Response{Status: 200}
			}
			return httpclient.Response{Status: 402}
		}
		w.run()
		w.accept(track("slow", 0))
		for n := range 40 {
			time.Sleep(2500 * time.Microsecond)
			w.accept(track(fmt.Sprint("u", n), n))
		}
		time.Sleep(time.Second)
		if !w.isIn(deststate.Refusing) || len(w.log.deadLetters()) > 0 {
			t.Errorf("refusing %v, with %d dead letters", w.isIn(deststate.Refusing), len(w.log.deadLetters()))
		}
		w.set(func() { w.answer = nil })
		time.Sleep(5 * time.Minute)
		if got := w.ended(); got["delivered"] != 41 {
			t.Errorf("ended: %v", got)
		}
		w.stop()
	})
}

// One person's calls are all that there are.
func TestRefusals_OfTheOnlyPersonCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.status(404, "")
		w.run()
		for n := range 40 {
			w.accept(track("jane", n))
			time.Sleep(time.Second)
		}
		if !w.isIn(deststate.Refusing) || len(w.log.deadLetters()) > 0 {
			t.Errorf("refusing %v, with %d dead letters", w.isIn(deststate.Refusing), len(w.log.deadLetters()))
		}
		w.set(func() { w.answer = nil })
		time.Sleep(5 * time.Minute)
		if got := w.ended(); got["delivered"] != 40 {
			t.Errorf("ended: %v", got)
		}
		w.stop()
	})
}

// An operator may let them die; the next success ends that.
func TestRefusals_TheOperatorMayLetThemDie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.status(410, "")
		w.run()
		var calls []journal.Entry
		for n := range 100 {
			calls = append(calls, track(fmt.Sprint("u", n), 0))
		}
		w.accept(calls...)
		time.Sleep(time.Minute)
		if refusing, err := w.pipeline.ResumeAnyway(t.Context()); !refusing || err != nil {
			t.Fatalf("refusing %v, %v", refusing, err)
		}
		time.Sleep(time.Minute)
		if got := w.ended(); len(w.log.deadLetters()) != 100 || got["delivered"] != 0 {
			t.Errorf("%d dead letters, ended: %v", len(w.log.deadLetters()), got)
		}
		if refusing, err := w.pipeline.ResumeAnyway(t.Context()); refusing || err != nil {
			t.Errorf("refusing %v, %v", refusing, err)
		}
		w.set(func() { w.answer = nil })
		w.accept(track("well", 1))
		time.Sleep(time.Minute)
		w.status(410, "")
		for n := range 100 {
			w.accept(track(fmt.Sprint("v", n), 0))
		}
		time.Sleep(time.Minute)
		if !w.isIn(deststate.Refusing) || len(w.log.deadLetters()) != 100 {
			t.Errorf("after a success: refusing %v, with %d dead letters", w.isIn(deststate.Refusing), len(w.log.deadLetters()))
		}
		w.stop()
	})
}

// A vendor's 404 to a rename is about that id, until everything else gets one, too. Then these calls are put back as well.
func TestRefusals_TakeInWhatIsOtherwiseAboutOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		n := 0
		w.vendor.judge = func(requests int, a adapter.Answer) []adapter.Verdict {
			v := adapter.StatusVerdict(a.Status)
			if n++; n%3 == 0 {
				v.About = adapter.OneCall
			}
			return adapter.Verdicts(requests, v)
		}
		w.status(404, "")
		w.run()
		for u := range 90 {
			w.accept(track(fmt.Sprint("u", u), 0))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(10 * time.Minute)
		if !w.isIn(deststate.Refusing) || len(w.log.deadLetters()) > 0 {
			t.Errorf("refusing %v, with %d dead letters", w.isIn(deststate.Refusing), len(w.log.deadLetters()))
		}
		w.set(func() { w.answer = nil })
		time.Sleep(10 * time.Minute)
		if got := w.ended(); got["delivered"] != 90 {
			t.Errorf("ended: %v", got)
		}
		w.stop()
	})
}
