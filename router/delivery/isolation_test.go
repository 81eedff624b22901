package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"aka/router/concurrency"
	"aka/router/deststate"
	"aka/router/httpclient"
	"aka/router/journal"
)

// sharedLog is one destination's view of a log that several read.
type sharedLog struct {
	*testLog
	calls *testLog
}

func (l *sharedLog) Head() (uint64, journal.Position) { return l.calls.Head() }

// countedReader notes how far it has come.
type countedReader struct {
	Frames
	next *atomic.Uint64
}

func (r *countedReader) NextBefore(ctx context.Context, due time.Time, left time.Duration) (*journal.Frame, time.Time, error) {
	f, mark, err := r.Frames.NextBefore(ctx, due, left)
	if f != nil {
		r.next.Store(f.Seq + 1)
	}
	return f, mark, err
}

// A destination that hangs and one that always fails cost a third one nothing: its exchanges start when they would without
// them. However long their backlog, they hold no more than they may.
func TestADestinationIsNotDelayedByOthers(t *testing.T) {
	const calls, window = 5000, 500
	deliver := func(t *testing.T, others bool) (starts []time.Time) {
		synctest.Test(t, func(t *testing.T) {
			log := newTestLog()
			reads := func(answer func(string, int) httpclient.Response, latency time.Duration) *world {
				w := newWorld(t, Options{Window: window})
				w.shared, w.answer, w.latency = log, answer, latency
				w.run()
				return w
			}
			var hanging, failing *world
			if others {
				hanging = reads(nil, time.Hour)
				failing = reads(func(string, int) httpclient.Response { return httpclient.Response{Status: 500} }, time.Millisecond)
			}
			well := reads(nil, time.Millisecond)
			for i := range calls / 10 {
				var frame []journal.Entry
				for n := range 10 {
					frame = append(frame, track(fmt.Sprint("u", i), n))
				}
				log.append(frame)
			}
			time.Sleep(time.Minute)
			well.expectOutcomes(map[string]int{"delivered": calls})
			for _, e := range well.sent() {
				starts = append(starts, e.start)
			}
			for _, w := range []*world{hanging, failing} {
				if w == nil {
					continue
				}
				held, bytes := w.metric("aka_window_calls", "vendor"), w.metric("aka_window_bytes", "vendor")
				if held < window || held > window*5/4 || bytes > window*2000 {
					t.Errorf("a destination that takes nothing holds %v calls of %v bytes", held, bytes)
				}
				if next := w.read.Load(); next > window*5/4/10+4 {
					t.Errorf("it has read %d frames, of ten calls each", next-1)
				}
				w.set(func() { w.latency = 0 })
				w.stop()
			}
			well.stop()
			time.Sleep(2 * time.Hour) // what hangs ends
		})
		slices.SortFunc(starts, time.Time.Compare)
		return starts
	}
	alone, among := deliver(t, false), deliver(t, true)
	if !slices.EqualFunc(alone, among, time.Time.Equal) {
		t.Error("its exchanges start at other times than they would without the others")
	}
}

// A poison call is tried again and again while others pass, is parked, and ends as a dead letter, restarts or not.
func TestAPoisonCallEndsAsADeadLetterAcrossRestarts(t *testing.T) {
	for reason, retry := range map[string]RetryOptions{
		"expired":      {MaxAge: 12 * time.Hour},
		"max_attempts": {MaxAge: 1000 * time.Hour, MaxAttempts: 300},
	} {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{Retry: retry})
				w.answer = func(id string, _ int) httpclient.Response {
					if id == "poison-1" {
						return httpclient.Response{Status: 500}
					}
					return httpclient.Response{Status: 200}
				}
				w.accept(identify("poison", 1), track("poison", 2))
				w.run()
				for i := range 24 {
					w.accept(track("well", i))
					time.Sleep(time.Hour)
					if i%3 == 0 {
						w.stop()
						w.restart()
					}
				}
				want := map[string]int{"delivered": 25, "dead/" + reason: 1}
				if got := w.ended(); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("ended %v, want %v", got, want)
				}
				d := w.log.dead[0]
				if reason == "max_attempts" && d.Attempts < retry.MaxAttempts || reason == "expired" && d.Last.Sub(d.First) < retry.MaxAge {
					t.Errorf("it was given up on after %d attempts in %s", d.Attempts, d.Last.Sub(d.First))
				}
				w.stop()
			})
		})
	}
}

// While the credentials are refused there is one probe per max_cooldown at most, the alarm is raised once, and no call is
// held against: with the right ones all goes on by itself.
func TestRefusedCredentialsAreProbedSeldomAndPassByThemselves(t *testing.T) {
	for _, status := range []int{401, 403} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{Retry: RetryOptions{MaxAge: time.Hour, MaxAttempts: 2}})
				var refused atomic.Bool
				w.answer = func(string, int) httpclient.Response {
					if refused.Load() {
						return httpclient.Response{Status: status}
					}
					return httpclient.Response{Status: 200}
				}
				w.run()
				refused.Store(true)
				for i := range 1000 {
					w.accept(track(fmt.Sprint("u", i), 1))
				}
				const outage = 24 * time.Hour
				time.Sleep(outage)
				sent := w.sent()
				if most := concurrency.Initial + int(outage/DefaultOptions.Breaker.MaxCooldown); len(sent) > most {
					t.Errorf("%d exchanges in a day, want at most %d", len(sent), most)
				}
				for i := concurrency.Initial + 1; i < len(sent); i++ {
					if gap := sent[i].start.Sub(sent[i-1].start); gap < DefaultOptions.Breaker.MaxCooldown {
						t.Errorf("probes are %s apart", gap)
					}
				}
				if n := w.logs.FilterMessageSnippet("credentials refused").Len(); n != 1 || w.metric("aka_destination_state", string(deststate.AuthFailed)) != 1 {
					t.Errorf("the alarm was raised %d times", n)
				}
				w.expectOutcomes(map[string]int{})
				refused.Store(false)
				time.Sleep(2 * DefaultOptions.Breaker.MaxCooldown)
				w.expectOutcomes(map[string]int{"delivered": 1000})
				w.stop()
			})
		})
	}
}
