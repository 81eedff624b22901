package delivery

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"aka/router/deststate"
	"aka/router/httpclient"
)

// overload sends calls for a while, twice as many as the vendor can take.
func (w *world) overload(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Second) {
		w.accept(track(fmt.Sprint("person", time.Now().Unix()), 1))
	}
}

func newSlowWorld(t *testing.T) *world {
	w := newWorld(t, Options{Concurrency: Fixed(1), MaxBacklogAge: 24 * time.Hour})
	w.latency = 9 * time.Second
	return w
}

func (w *world) expectState(want deststate.State) {
	w.t.Helper()
	for _, s := range deststate.All() {
		value := 0.0
		if s == want {
			value = 1
		}
		if got := w.metric("aka_destination_state", string(s)); got != value {
			w.t.Errorf("the metric of %s is %v, want %v", s, got, value)
		}
	}
	if s, err := w.pipeline.Status(w.t.Context()); err != nil || s.State != want || s.StateName != want.Name() || s.Means != want.Sentence() {
		w.t.Errorf("the status is %+v (%v), want %s", s.DestinationState, err, want)
	}
}

// A destination that takes calls more slowly than they come is filling once the oldest of them is over the alarm. It is ok again
// as soon as the backlog shrinks, however old that is.
func TestFilling_BacklogThatGrowsOverItsAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSlowWorld(t)
		w.run()
		defer w.stop()
		w.overload(20 * time.Minute)
		w.expectState(deststate.OK) // the oldest waits for half of that
		w.overload(20 * time.Minute)
		w.expectState(deststate.Filling)
		if n := w.logs.FilterMessage("backlog grows and is over its alarm").Len(); n != 1 {
			t.Errorf("it was logged %d times", n)
		}
		time.Sleep(growthSamples*growthInterval + time.Minute)
		w.expectState(deststate.OK)
		w.set(func() { w.latency = 0 })
	})
}

func TestFilling_AlarmOfZeroIsNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSlowWorld(t)
		w.options.BacklogAlarm = 0
		w.run()
		defer w.stop()
		w.overload(time.Hour)
		w.expectState(deststate.OK)
		w.set(func() { w.latency = 0 })
	})
}

// A backlog that grows because nothing is sent has another state, and when the destination takes calls again it shrinks.
func TestFilling_IsNotWhatWaitsForAPauseOrAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.run()
		defer w.stop()
		w.pipeline.Pause(true)
		w.overload(time.Hour)
		w.expectState(deststate.Paused)
		w.pipeline.Pause(false)
		time.Sleep(growthInterval)
		w.expectState(deststate.OK)

		w.set(func() { w.answer = func(string, int) httpclient.Response { return httpclient.Response{Status: 401} } })
		w.overload(time.Hour)
		w.expectState(deststate.AuthFailed)
		w.set(func() { w.answer = nil })
		time.Sleep(5 * time.Minute)
		w.expectState(deststate.OK)
		if n := w.logs.FilterMessageSnippet("backlog").Len(); n != 0 {
			t.Errorf("the log has %v", w.logs.FilterMessageSnippet("backlog").All())
		}
	})
}

// A call that fails alone is parked: it is old, and says nothing of the destination.
func TestFilling_ParkedCallsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.failing("jane")
		w.accept(identify("jane", 0))
		w.run()
		defer w.stop()
		for n := range 60 {
			w.accept(track("jane", n+1), track(fmt.Sprint("sue", n), 1))
			time.Sleep(time.Minute)
			w.expectState(deststate.OK)
		}
	})
}
