package concurrency

import (
	"slices"
	"time"
)

const (
	// minWindow is the shortest window, maxWindow how long one is kept open for its samples.
	minWindow = 10 * time.Millisecond
	maxWindow = 10 * time.Second
	// minSamples is how many a window has, or minRounds times what may be in flight.
	minSamples = 16
	minRounds  = 4
	// keptSamples is how many latencies a median is taken of: the last ones. Those that come first are the fastest.
	keptSamples = 64
)

// window is about a round trip: exchanges that began after its beginning, and so at the limit that is judged.
type window struct {
	began     time.Duration
	count     int
	latencies [keptSamples]time.Duration // the last, in a ring
	peak      int                        // of what was in flight
	saturated bool                       // this machine was, at least for a part
}

// enoughSamples is how many samples a window takes. Half of what is in flight is the first half to come back of what began after the
// window's beginning.
func enoughSamples(limit int) int { return max(min(minSamples, minRounds*limit), limit/2) }

func (w *window) restart(now time.Duration, inFlight int) {
	w.began, w.count, w.peak, w.saturated = now, 0, inFlight, false
}

func (w *window) add(latency time.Duration) {
	w.latencies[w.count%keptSamples] = latency
	w.count++
}

func (w *window) median() time.Duration {
	kept := w.latencies[:min(w.count, keptSamples)]
	slices.Sort(kept)
	return kept[len(kept)/2]
}
