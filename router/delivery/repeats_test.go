package delivery

import (
	"aka/router/httpclient"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// crashAt runs the pipeline for a while and ends it as a crash does: nothing that was not saved by then is known to the next
// run. It returns when that was.
func (w *world) crashAt(after time.Duration) (crashed time.Time) {
	w.t.Helper()
	w.run()
	time.Sleep(after)
	synctest.Wait()
	crashed = time.Now()
	saved := w.log.saved()
	w.stop()
	w.log.setSaved(saved)
	return crashed
}

// A crash repeats what was in flight and what has ended since the last save, which is no longer ago than saveInterval, and
// no longer than about half of a run that was shorter.
func TestACrashRepeatsOnlyWhatWasInFlightAndWhatEndedSinceTheLastSave(t *testing.T) {
	for _, ran := range []time.Duration{10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		t.Run(ran.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const latency = time.Millisecond
				w := newWorld(t, Options{Concurrency: 4})
				w.latency = latency
				for i := range 6000 {
					w.accept(track(fmt.Sprint("u", i), 1))
				}
				crashed := w.crashAt(ran)
				before := map[string]exchanged{}
				for _, e := range w.sent() {
					if !e.start.After(crashed) {
						before[e.id] = e
					}
				}
				count := len(w.sent())
				w.set(func() { w.latency = 0 })
				w.restart()
				synctest.Wait()
				time.Sleep(time.Minute)
				again := w.sent()[count:]
				repeats := 0
				gap := min(saveInterval, ran/2+firstGap) + 2*latency
				for _, e := range again {
					first, repeated := before[e.id]
					if !repeated {
						continue
					}
					repeats++
					if first.end.Before(crashed.Add(-gap)) {
						t.Errorf("%s had ended %s before the crash", e.id, crashed.Sub(first.end))
					}
				}
				if bound := w.options.Concurrency * int(gap/latency+1); repeats > bound {
					t.Errorf("%d calls were repeated, want at most %d", repeats, bound)
				}
				if n := int(w.metric("aka_delivery_in_doubt_total", "vendor")); n < repeats {
					t.Errorf("%d calls count as in doubt, and %d were repeated", n, repeats)
				}
				w.stop()
			})
		})
	}
}

// Even a process that lives for a few milliseconds each time gets on.
func TestCrashesSoonAfterEachStartDoNotRepeatTheSameCallsEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Concurrency: 1})
		w.latency = time.Millisecond
		const calls = 50
		for i := range calls {
			w.accept(track(fmt.Sprint("u", i), 1))
		}
		random := rand.New(rand.NewPCG(1, 5))
		for range 200 {
			w.crashAt(time.Duration(2+random.IntN(20)) * time.Millisecond)
		}
		times := map[string]int{}
		for _, e := range w.sent() {
			times[e.id]++
		}
		if len(times) != calls {
			t.Errorf("%d of %d calls were delivered in 200 short runs", len(times), calls)
		}
		for id, n := range times {
			if n > 5 {
				t.Errorf("%s was delivered %d times", id, n)
			}
		}
	})
}

func TestNothingIsInDoubtAfterAnOrderlyStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 429} }
		w.accept(track("a", 1), track("b", 2))
		w.run()
		time.Sleep(time.Second)
		w.stop()
		w.restart()
		time.Sleep(time.Second)
		if n := w.metric("aka_delivery_in_doubt_total", "vendor"); n != 0 {
			t.Errorf("%v calls count as in doubt", n)
		}
		w.stop()
	})
}
