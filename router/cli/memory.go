package cli

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// littleMemory is what the process may take before the garbage collector works harder.
	littleMemory = 108 << 20
	// spareShare is how much room beside what is in use the collector has at the least, as a share of it: with less it would
	// do little but collect.
	spareShare = 0.4
	// gcPercent lets the heap grow up to the limit, where it would otherwise be collected each time that it has doubled.
	gcPercent = 300
	// memoryInterval is how often the limit is set anew.
	memoryInterval = time.Second
)

// keepMemoryLow keeps the process's memory at littleMemory as far as what is in use leaves room for that, and at most
// at the config's limit, until ctx ends. What the environment says instead, by GOMEMLIMIT or GOGC, holds.
func keepMemoryLow(ctx context.Context, most func() int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	tick := time.NewTicker(memoryInterval)
	defer tick.Stop()
	for {
		debug.SetMemoryLimit(memoryLimit(inUse(), most()))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// memoryLimit returns the soft limit when so much is in use. 0 for most is none.
func memoryLimit(inUse, most int64) int64 {
	limit := max(littleMemory, inUse+int64(spareShare*float64(inUse)))
	if most > 0 {
		limit = min(limit, most)
	}
	return limit
}

// inUse returns what the collector could not free when it ran last, and what the heap's memory does not include.
func inUse() int64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	used := int64(samples[0].Value.Uint64()) + int64(samples[1].Value.Uint64())
	for _, s := range samples[2:] {
		used -= int64(s.Value.Uint64())
	}
	return used
}
