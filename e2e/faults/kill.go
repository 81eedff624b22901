package main

import (
	"errors"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// saved is how old the saved progress gets: a quarter of a second, and the time of the save.
const saved = 500 * time.Millisecond

// sigkill kills aka at random moments under load, a few of them while it starts.
func sigkill(t *trial) {
	w := quickWorld(t)
	slow := w.slowVendors()
	w.Start()
	stalls := w.WatchStalls()
	l := w.startLoad()
	longest := 4 * time.Second
	if t.Short {
		longest = time.Second
	}
	var crashes []time.Time
	starting := 0
	for range t.runs {
		if !w.runFor(l, time.Duration(t.dice.Int64N(int64(longest)))) {
			starting++
		}
		crashes = append(crashes, w.Kill())
		w.Launch()
	}
	t.Runs = len(crashes)
	begin := time.Now()
	w.Must(w.Process.Ready(harness.StartTimeout))
	t.Logf("%d of %d kills hit aka while it started; the last start took %s", starting, len(crashes), time.Since(begin).Round(time.Millisecond))
	w.Follow(l)
	w.End(l)
	stall := stalls()
	t.Logf("the disk and the processors made a write wait for up to %s", stall.Round(time.Millisecond))
	w.verify(l, harness.Expectation{Crashes: crashes, Repeatable: saved + 4*stall, Slow: slow})
}

// slowVendors has every vendor take a moment, so that there is always something in flight.
func (w *world) slowVendors() []simulator.Fault {
	slow := simulator.Fault{Delay: 2 * time.Millisecond}
	for _, d := range w.Destinations {
		w.AddFaults(d.Name, slow)
	}
	return []simulator.Fault{slow}
}

// runFor lets the aka that was launched run for a while. It reports whether it was ready before the end of it.
func (w *world) runFor(l *harness.Load, while time.Duration) (ready bool) {
	over := time.After(while)
	if w.Process.API == "" {
		err := w.Process.Ready(while)
		if errors.Is(err, harness.ErrNotReady) {
			return false
		}
		w.Must(err)
		w.Follow(l)
	}
	select {
	case <-over:
	case <-w.Process.Exited:
		w.Must(harness.ErrEnded)
	case <-w.Ctx.Done():
		harness.Check(w, w.Ctx.Err())
	}
	return true
}

// sigterm stops aka in order under load. Nothing may be sent twice because of that.
func sigterm(t *trial) {
	w := quickWorld(t)
	slow := w.slowVendors()
	w.Start()
	l := w.startLoad()
	slowest := time.Duration(0)
	for range max(1, t.runs/5) {
		w.runFor(l, time.Duration(t.dice.Int64N(int64(time.Second))))
		slowest = max(slowest, w.Stop())
		t.Runs++
		w.Start()
		w.Follow(l)
	}
	t.Logf("the slowest stop took %s", slowest.Round(time.Millisecond))
	w.End(l)
	w.verify(l, harness.Expectation{Restarted: true, Slow: slow})
}
