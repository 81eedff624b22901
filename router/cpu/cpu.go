// Package cpu reports whether this machine has no CPU to spare. What is slow then may be slow because of that.
package cpu

import (
	"context"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// interval is how often it is measured.
	interval = 250 * time.Millisecond
	// busy is the part of its CPUs that this process uses at least, or the part of the machine's that all use, where none is to spare.
	busyProcess = 0.9
	busyMachine = 0.97
	// maxWait is how long a tenth of the goroutines that are ready may wait for a CPU. More is a burst of work that the means above
	// do not show.
	maxWait = time.Millisecond
)

// Meter measures while Run does. It is safe for concurrent use.
type Meter struct{ saturated atomic.Bool }

// IsSaturated reports whether the last quarter of a second left no CPU to spare. It is false where that cannot be measured.
func (m *Meter) IsSaturated() bool { return m.saturated.Load() }

// Run measures until ctx ends.
func (m *Meter) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	before := sampleNow()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := sampleNow()
			m.saturated.Store(now.isSaturatedSince(before))
			before = now
		}
	}
}

// sample is what was used until a time.
type sample struct {
	at      time.Time
	process time.Duration
	cpus    int
	machine usage
	waits   waits
}

// usage is the time of all CPUs of a machine, in any unit.
type usage struct{ busy, all uint64 }

func sampleNow() sample {
	stat, _ := os.ReadFile("/proc/stat") // other systems have none
	return sample{time.Now(), ofProcess(), runtime.GOMAXPROCS(0), usageIn(string(stat)), waitsNow()}
}

func (s sample) isSaturatedSince(before sample) bool {
	could := s.at.Sub(before.at) * time.Duration(s.cpus)
	if float64(s.process-before.process) >= busyProcess*float64(could) {
		return true
	}
	if s.waits.areLongSince(before.waits) {
		return true
	}
	all := float64(s.machine.all) - float64(before.machine.all)
	return all > 0 && float64(s.machine.busy)-float64(before.machine.busy) >= busyMachine*all
}

// waits is how long goroutines that were ready have waited for a CPU since the start: how many waited for at least as long as each of
// limits, and less than the next, in seconds.
type waits struct {
	counts []uint64
	limits []float64
}

func waitsNow() waits {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return waits{}
	}
	h := sample[0].Value.Float64Histogram()
	return waits{slices.Clone(h.Counts), h.Buckets}
}

// areLongSince reports whether at least a tenth of those since before were maxWait or more.
func (w waits) areLongSince(before waits) bool {
	if len(before.counts) != len(w.counts) {
		return false
	}
	all, long := uint64(0), uint64(0)
	for i, n := range w.counts {
		n -= before.counts[i]
		all += n
		if w.limits[i] >= maxWait.Seconds() {
			long += n
		}
	}
	return long > 0 && 10*long >= all
}

// usageIn reads the first line of /proc/stat: user, nice, system, idle, iowait, and more that is use
// (https://docs.kernel.org/filesystems/proc.html).
func usageIn(stat string) (u usage) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[0] != "cpu" {
		return usage{}
	}
	for i, field := range fields[1:] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return usage{}
		}
		if i >= 8 { // guest time is in user time, too
			break
		}
		u.all += n
		if i != 3 && i != 4 {
			u.busy += n
		}
	}
	return u
}
