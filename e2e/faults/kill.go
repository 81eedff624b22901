package main

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// lateReads is how long after a crash a vendor may still read what aka had written. The next aka takes longer to begin.
const lateReads = 10 * time.Millisecond

// saved is how old the saved progress gets: a quarter of a second, and the time of the save.
const saved = 500 * time.Millisecond

// sigkill kills aka at random moments under load, a few of them while it starts.
func sigkill(h *suite, r *Result) error {
	w, err := newWorld(h, plan{delivery: quick})
	if err != nil {
		return err
	}
	defer w.close()
	slow, err := w.slowVendors()
	if err != nil {
		return err
	}
	if _, err := w.start(); err != nil {
		return err
	}
	stalls := watchStalls(w)
	l := startLoad(w, h.rate)
	longest := 4 * time.Second
	if h.short {
		longest = time.Second
	}
	var ends []time.Time
	starting := 0
	for range h.runs {
		ready, err := w.liveFor(l, time.Duration(h.dice.Int64N(int64(longest))))
		if err != nil {
			return err
		}
		if !ready {
			starting++
		}
		w.process.Kill()
		ends = append(ends, time.Now().Add(lateReads))
		if err := w.launch(); err != nil {
			return err
		}
	}
	r.Runs = len(ends)
	begin := time.Now()
	if err := w.process.Explained(w.process.Ready(startTimeout)); err != nil {
		return err
	}
	r.measured("%d of %d kills hit aka while it started; the last start took %s", starting, len(ends), time.Since(begin).Round(time.Millisecond))
	l.follow(w)
	if err := l.end(w); err != nil {
		return err
	}
	stall := stalls()
	r.measured("the disk and the processors made a write wait for up to %s", stall.Round(time.Millisecond))
	return w.verify(r, l, expectation{crashes: ends, repeatable: saved + 4*stall, slow: slow})
}

// slowVendors has every vendor take a moment, so that there is always something in flight.
func (w *world) slowVendors() ([]simulator.Fault, error) {
	slow := simulator.Fault{Delay: 2 * time.Millisecond}
	for _, d := range destinations {
		if err := w.account(d.name).AddFaults(slow); err != nil {
			return nil, err
		}
	}
	return []simulator.Fault{slow}, nil
}

// liveFor lets the aka that was launched live for a while. It reports whether it was ready before the end of it.
func (w *world) liveFor(l *load, while time.Duration) (ready bool, err error) {
	over := time.After(while)
	if w.process.API == "" {
		err := w.process.Ready(while)
		if errors.Is(err, harness.ErrNotReady) {
			return false, nil
		}
		if err != nil {
			return false, w.process.Explained(err)
		}
		l.follow(w)
	}
	select {
	case <-over:
		return true, nil
	case <-w.process.Exited:
		return true, w.process.Explained(harness.ErrEnded)
	case <-w.ctx.Done():
		return true, w.ctx.Err()
	}
}

// watchStalls writes a little every so often, where the journal is, until the function that it returns is called. That
// returns by how much the slowest of the writes came too late: whoever saves four times a second has had to wait as well.
func watchStalls(w *world) (worst func() time.Duration) {
	const every = 50 * time.Millisecond
	var longest atomic.Int64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		path := filepath.Join(w.dir, "stalls")
		tick := time.NewTicker(every)
		defer tick.Stop()
		due := time.Now().Add(every)
		for {
			select {
			case <-done:
				return
			case <-w.ctx.Done():
				return
			case <-tick.C:
			}
			_ = writeDurably(path)
			longest.Store(max(longest.Load(), int64(time.Since(due))))
			due = time.Now().Add(every)
		}
	}()
	return func() time.Duration {
		close(done)
		<-ended
		return time.Duration(longest.Load())
	}
}

func writeDurably(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 4096)); err != nil {
		return err
	}
	return f.Sync()
}

// sigterm stops aka in order under load. Nothing may be sent twice because of that.
func sigterm(h *suite, r *Result) error {
	w, err := newWorld(h, plan{delivery: quick})
	if err != nil {
		return err
	}
	defer w.close()
	slow, err := w.slowVendors()
	if err != nil {
		return err
	}
	if _, err := w.start(); err != nil {
		return err
	}
	l := startLoad(w, h.rate)
	slowest := time.Duration(0)
	for range max(1, h.runs/5) {
		if _, err := w.liveFor(l, time.Duration(h.dice.Int64N(int64(time.Second)))); err != nil {
			return err
		}
		took, err := w.stop()
		if err != nil {
			return err
		}
		slowest = max(slowest, took)
		r.Runs++
		if _, err := w.start(); err != nil {
			return err
		}
		l.follow(w)
	}
	r.measured("the slowest stop took %s", slowest.Round(time.Millisecond))
	if err := l.end(w); err != nil {
		return err
	}
	return w.verify(r, l, expectation{restarted: true, slow: slow})
}
