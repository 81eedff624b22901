package concurrency

import (
	"cmp"
	"fmt"
	"testing"
	"time"
)

const ms = time.Millisecond

// bounds are what the figures of a period must keep to: in every run, or in the mean of all.
type bounds struct {
	from, to  time.Duration
	mean      bool
	perSecond float64       // at least
	failed    float64       // share, at most
	throttled float64       // share, at most
	median    time.Duration // at most; 0 is any
}

// shape is a vendor, and what is to be reached with it.
type shape struct {
	name       string
	vendor     func(seed uint64) vendor
	seeds      uint64
	max        int // limit; 0 is 1024
	lateness   time.Duration
	retryAfter time.Duration
	bounds     []bounds
}

// run runs all seeds of a shape, and logs the worst figures and their mean.
func (s *shape) run(t *testing.T) {
	all := make([][]figures, len(s.bounds))
	for seed := range s.seeds {
		simulation := newSimulation(s.vendor(seed), seed, Options{Min: 1, Max: cmp.Or(s.max, 1024)})
		simulation.lateness, simulation.retryAfter = s.lateness, s.retryAfter
		simulation.run(s.bounds[len(s.bounds)-1].to)
		for i, b := range s.bounds {
			got := simulation.figures(b.from, b.to)
			all[i] = append(all[i], got)
			if !b.mean {
				b.check(t, fmt.Sprint("seed ", seed), got)
			}
		}
	}
	for i, b := range s.bounds {
		mean, worst := summary(all[i])
		if b.mean {
			b.check(t, "mean", mean)
		}
		t.Logf("%v to %v, %d seeds: worst %v; mean %v", b.from, b.to, s.seeds, worst, mean)
	}
}

func summary(all []figures) (mean, worst figures) {
	worst = all[0]
	n := float64(len(all))
	for _, f := range all {
		mean.perSecond += f.perSecond / n
		mean.failed += f.failed / n
		mean.throttled += f.throttled / n
		mean.median += f.median / time.Duration(len(all))
		worst.perSecond = min(worst.perSecond, f.perSecond)
		worst.failed = max(worst.failed, f.failed)
		worst.throttled = max(worst.throttled, f.throttled)
		worst.median = max(worst.median, f.median)
	}
	return mean, worst
}

func (f figures) String() string {
	return fmt.Sprintf("%.1f/s, failed %.2f%%, 429 %.2f%%, median %v", f.perSecond, 100*f.failed, 100*f.throttled, f.median.Round(ms))
}

func (b *bounds) check(t *testing.T, what string, got figures) {
	t.Helper()
	if got.perSecond < b.perSecond || got.failed > b.failed || got.throttled > b.throttled || b.median > 0 && got.median > b.median {
		t.Errorf("%s, %v to %v: %v; want at least, and at most: %v", what, b.from, b.to, got, figures{b.perSecond, b.failed, b.throttled, b.median})
	}
}

func TestShapes(t *testing.T) {
	var shapes []shape
	shapes = append(shapes, unlimited()...)
	shapes = append(shapes, loaded()...)
	shapes = append(shapes, changing()...)
	shapes = append(shapes, caps()...)
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t)
		})
	}
}

// unlimited are vendors of fixed latency: within five seconds, nine tenths of what the machine or the largest limit gives.
func unlimited() []shape {
	machine := func(latency time.Duration) float64 { return min(20_000, 1024/latency.Seconds()) }
	fixedAt := func(latency time.Duration, seeds uint64) shape {
		return shape{
			name: fmt.Sprint("fixed latency ", latency), seeds: seeds,
			vendor: func(uint64) vendor { return &fixed{latency: latency} },
			bounds: []bounds{{from: 5 * time.Second, to: 6 * time.Second, perSecond: 0.9 * machine(latency)}},
		}
	}
	return []shape{fixedAt(20*ms, few), fixedAt(100*ms, few), fixedAt(300*ms, seeds)}
}

// loaded are vendors that suffer from load.
func loaded() []shape {
	queue := func(workers int, seeds uint64) shape {
		return shape{
			name: fmt.Sprint("queue of ", workers), seeds: seeds,
			vendor: func(uint64) vendor { return newQueueing(workers, 100*ms) },
			bounds: []bounds{{from: 10 * time.Second, to: time.Minute, perSecond: 0.9 * 10 * float64(workers), median: 200 * ms}},
		}
	}
	falls := func(name string, places int, seeds uint64, timeout time.Duration, steep bool, settled, to time.Duration) shape {
		return shape{
			name: fmt.Sprint("cliff at ", places, " ", name), seeds: seeds,
			vendor: func(uint64) vendor { return &cliff{latency: 100 * ms, places: places, timeout: timeout, steep: steep} },
			bounds: []bounds{{from: settled, to: to, perSecond: 0.8 * 10 * float64(places), failed: 0.02, median: 200 * ms}},
		}
	}
	return []shape{
		queue(2, seeds), queue(4, seeds), queue(10, seeds), queue(100, few),
		falls("errors", 10, seeds, 0, false, 10*time.Second, time.Minute),
		falls("errors", 100, few, 0, false, 10*time.Second, time.Minute),
		falls("timeouts", 20, seeds, 10*time.Second, false, time.Minute, 3*time.Minute),
		falls("all time out", 20, seeds, 10*time.Second, true, time.Minute, 5*time.Minute),
	}
}

// changing are vendors that get slower or faster for reasons of their own, or fail at random: the limit must not stay low.
func changing() []shape {
	step := func(name string, before, after, when, settled time.Duration, seeds uint64) shape {
		change := func(now time.Duration) time.Duration {
			if now < when {
				return before
			}
			return after
		}
		return shape{
			name: name, seeds: seeds, max: 128,
			vendor: func(uint64) vendor { return &fixed{change: change} },
			bounds: []bounds{{from: settled, to: settled + 2*time.Second, perSecond: 0.9 * 128 / after.Seconds()}},
		}
	}
	creeping := func(now time.Duration) time.Duration { return 300*ms + now/100 }
	return []shape{
		step("slow start", time.Second, 300*ms, 10*time.Second, 15*time.Second, seeds),
		step("gets slower", 300*ms, 900*ms, 5*time.Second, 15*time.Second, seeds),
		step("gets faster", 900*ms, 300*ms, 15*time.Second, 20*time.Second, seeds),
		{
			name: "creeps", seeds: few, max: 128, vendor: func(uint64) vendor { return &fixed{change: creeping} },
			bounds: []bounds{{from: 50 * time.Second, to: time.Minute, perSecond: 0.85 * 128 / 0.9}},
		},
		{
			name: "one in a hundred fails", seeds: few, max: 128, vendor: func(uint64) vendor { return &failing{fixed{latency: 300 * ms}, 0.01} },
			bounds: []bounds{{from: 50 * time.Second, to: time.Minute, perSecond: 0.6 * 128 / 0.3, failed: 0.02}},
		},
	}
}

// caps are vendors that take 50 a second. What is in flight when the first 429 comes is refused: up to 36 exchanges where the vendor
// counts by the second, less than 1% of those of two minutes. Where it allows no bursts, the search takes the first seconds. A short
// Retry-After is the exchange's, so it changes nothing here.
func caps() []shape {
	kinds := []struct {
		name   string
		vendor capped
		whole  bounds // two minutes, with the beginning
	}{
		{"by the second", capped{windows: true}, bounds{perSecond: 0.95 * 50, throttled: 0.01}},
		{"bucket of 0", capped{}, bounds{perSecond: 0.94 * 50, throttled: 0.01}},
		{"bucket of 10", capped{burst: 10}, bounds{perSecond: 0.95 * 50, throttled: 0.01}},
	}
	var shapes []shape
	for _, kind := range kinds {
		for _, latency := range []time.Duration{20 * ms, 100 * ms, 300 * ms} {
			s := capShape(fmt.Sprint("cap ", kind.name, " at ", latency), latency, kind.vendor)
			whole := kind.whole
			whole.to, whole.mean = 2*time.Minute, true
			s.bounds = append(s.bounds, whole)
			shapes = append(shapes, s)
			s.name, s.seeds, s.retryAfter = s.name+" Retry-After 1s", few, time.Second
			shapes = append(shapes, s)
		}
	}
	late := capShape("cap, late timers", 100*ms, capped{windows: true})
	late.lateness = ms
	pauses := capShape("cap, Retry-After 5s", 100*ms, capped{windows: true})
	pauses.retryAfter = 5 * time.Second
	for i := range pauses.bounds {
		pauses.bounds[i].perSecond = 0.8 * 50
	}
	tells := capShape("cap in headers", 100*ms, capped{windows: true})
	tells.bounds[0].from, tells.bounds[1].from = 0, 0
	silent := tells.vendor
	tells.vendor = func(seed uint64) vendor { return &telling{*silent(seed).(*capped)} }
	return append(shapes, late, pauses, tells)
}

// capShape is what holds once the rate was found.
func capShape(name string, latency time.Duration, v capped) shape {
	return shape{
		name: name, seeds: seeds,
		vendor: func(seed uint64) vendor {
			v := v
			v.latency, v.perSecond, v.phase = latency, 50, time.Duration(seed)*time.Second/seeds
			return &v
		},
		bounds: []bounds{
			{from: 30 * time.Second, to: 2 * time.Minute, perSecond: 0.94 * 50, throttled: 0.01},
			{from: 30 * time.Second, to: 2 * time.Minute, mean: true, perSecond: 0.95 * 50, throttled: 0.01},
		},
	}
}
