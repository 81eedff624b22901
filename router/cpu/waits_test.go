package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestLongWaitsForACPUAreSaturation(t *testing.T) {
	limits := []float64{0, 0.0005, 0.002, 0.1}
	before := waits{[]uint64{1000, 10, 500}, limits}
	for name, c := range map[string]struct {
		now  []uint64
		want bool
	}{
		"none":                    {[]uint64{1000, 10, 500}, false},
		"all short":               {[]uint64{1900, 110, 500}, false},
		"one in eleven is long":   {[]uint64{1900, 110, 600}, false},
		"one in ten is long":      {[]uint64{1900, 10, 600}, true},
		"another kind of numbers": {[]uint64{1, 1}, false},
	} {
		if got := (waits{c.now, limits}).areLongSince(before); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// More goroutines that work than there are CPUs wait for one: longer than a millisecond, as each may work for ten.
func TestTheWaitsOfThisProcessAreMeasured(t *testing.T) {
	before := waitsNow()
	if len(before.counts) == 0 {
		t.Fatal("the runtime does not tell")
	}
	var stop atomic.Bool
	var all sync.WaitGroup
	for range 8 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for n := 0; !stop.Load(); n++ {
			}
		})
	}
	for !waitsNow().areLongSince(before) {
		runtime.Gosched()
	}
	stop.Store(true)
	all.Wait()
}
