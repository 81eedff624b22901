package cpu

import (
	"context"
	"os"
	"runtime"
	"testing"
	"time"
)

func TestWhatCountsAsSaturated(t *testing.T) {
	start := sample{at: time.Unix(1000, 0), process: time.Minute, cpus: 2, machine: usage{busy: 500, all: 1000}}
	for name, c := range map[string]struct {
		process time.Duration
		machine usage
		want    bool
	}{
		"idle":                        {0, usage{510, 1100}, false},
		"one of two CPUs":             {time.Second, usage{550, 1100}, false},
		"nearly both":                 {1850 * time.Millisecond, usage{595, 1100}, true},
		"others have the rest":        {time.Second, usage{599, 1100}, true},
		"the machine is not known":    {time.Second, usage{}, false},
		"a machine that began anew":   {0, usage{1, 2}, false},
		"no time of the machine went": {0, start.machine, false},
	} {
		now := sample{start.at.Add(time.Second), start.process + c.process, 2, c.machine, waits{}}
		if got := now.isSaturatedSince(start); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestTheFirstLineOfTheStatistics(t *testing.T) {
	for stat, want := range map[string]usage{
		"cpu  10 20 30 400 50 6 7 8 9 9\ncpu0 1 2 3 4\n": {busy: 81, all: 531},
		"cpu 1 2 3 4 5":          {6, 15},
		"":                       {},
		"cpu0 1 2 3 4 5 6 7\n":   {},
		"cpu a b c d e f\n":      {},
		"cpu  1 2 3 4\nintr 1\n": {},
	} {
		if got := usageIn(stat); got != want {
			t.Errorf("%q: got %+v, want %+v", stat, got, want)
		}
	}
}

func TestTheProcessIsMeasured(t *testing.T) {
	before := ofProcess()
	for ofProcess() == before && runtime.GOOS != "windows" { // work until it shows
	}
	if stat, err := os.ReadFile("/proc/stat"); err == nil && usageIn(string(stat)).all == 0 {
		t.Error("the machine is not measured")
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var m Meter
	if m.Run(ended); m.IsSaturated() {
		t.Error("it is saturated before anything is measured")
	}
}
