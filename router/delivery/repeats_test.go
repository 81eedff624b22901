package delivery

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"aka/router/httpclient"
	"aka/router/journal"
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
				w := newWorld(t, Options{Concurrency: Fixed(4)})
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
				if bound := w.options.Concurrency.Max * int(gap/latency+1); repeats > bound {
					t.Errorf("%d calls were repeated, want at most %d", repeats, bound)
				}
				if n := int(w.metric("aka_possibly_delivered_after_crash_total", "vendor")); n < repeats {
					t.Errorf("%d calls count as possibly delivered, and %d were repeated", n, repeats)
				}
				w.stop()
			})
		})
	}
}

// Even a process that lives for a few milliseconds each time gets on.
func TestCrashesSoonAfterEachStartDoNotRepeatTheSameCallsEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Concurrency: Fixed(1)})
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

func TestPossiblyDelivered_NothingAfterAnOrderlyStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 429} }
		w.accept(track("a", 1), track("b", 2))
		w.run()
		time.Sleep(time.Second)
		w.stop()
		w.restart()
		time.Sleep(time.Second)
		if n := w.metric("aka_possibly_delivered_after_crash_total", "vendor"); n != 0 {
			t.Errorf("%v calls count as possibly delivered", n)
		}
		w.stop()
	})
}

// What another vendor may have acted on, this one has not; and it has not failed here yet.
func TestAParkedCallOfAnotherVendorStartsAnew(t *testing.T) {
	for vendor, possiblyDelivered := range map[string]bool{"vendor": true, "": true, "another": false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{Retry: RetryOptions{MaxAge: time.Hour}})
			w.answer = func(_ string, attempt int) httpclient.Response {
				return httpclient.Response{Status: map[bool]int{true: 500, false: 200}[attempt == 1]}
			}
			long := time.Now().Add(-2 * time.Hour)
			w.log.progress = journal.NewProgress(journal.Position{Seq: 2}, 1).Encode(true)
			w.log.append([]journal.Entry{track("jen", 1)})
			parked := track("jen", 1)
			parked.ReceivedAt = time.Now()
			w.log.put(&journal.Parked{
				Queue: 1, Vendor: vendor, Rank: journal.Rank{Seq: 1}, Position: journal.Position{Seq: 1}, Attempts: 7, Failures: 7, First: long, FailingSince: long,
				PossiblyDelivered: true, Entry: parked,
			})
			w.run()
			time.Sleep(time.Minute)
			w.stop()
			want := "map[dead/expired:1] [true]"
			if !possiblyDelivered {
				want = "map[delivered:1] [false true]"
			}
			if got := fmt.Sprint(w.ended(), " ", w.vendor.afterPossibleDelivery()); got != want {
				t.Errorf("from %q: %s, want %s", vendor, got, want)
			}
		})
	}
}
