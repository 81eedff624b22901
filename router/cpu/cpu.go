// Package cpu reports whether this machine has no CPU to spare. What is slow then may be slow because of that.
package cpu

import (
	"context"
	"os"
	"runtime"
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
}

// usage is the time of all CPUs of a machine, in any unit.
type usage struct{ busy, all uint64 }

func sampleNow() sample {
	stat, _ := os.ReadFile("/proc/stat") // other systems have none
	return sample{time.Now(), ofProcess(), runtime.GOMAXPROCS(0), usageIn(string(stat))}
}

func (s sample) isSaturatedSince(before sample) bool {
	could := s.at.Sub(before.at) * time.Duration(s.cpus)
	if float64(s.process-before.process) >= busyProcess*float64(could) {
		return true
	}
	all := float64(s.machine.all) - float64(before.machine.all)
	return all > 0 && float64(s.machine.busy)-float64(before.machine.busy) >= busyMachine*all
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
