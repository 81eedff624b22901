package journal

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"
)

// BenchmarkDedupeMemory measures what remembering costs: one generation, as it is when the ids of a window are in it.
func BenchmarkDedupeMemory(b *testing.B) {
	const ids = 1_000_000
	var before, after runtime.MemStats
	for range b.N {
		runtime.GC()
		runtime.ReadMemStats(&before)
		now := time.Unix(0, 0)
		d := newDedupe(time.Hour, now)
		hasher := newKeyHasher()
		var id [8]byte
		for i := range uint64(ids) {
			binary.LittleEndian.PutUint64(id[:], i)
			d.add(hasher.key("website", string(id[:])), now)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/ids, "bytes/id")
		runtime.KeepAlive(d)
	}
}

// BenchmarkDedupe measures the look at one call: its key, whether it is known, and to remember it.
func BenchmarkDedupe(b *testing.B) {
	now := time.Unix(0, 0)
	d := newDedupe(time.Hour, now)
	hasher := newKeyHasher()
	id := []byte("0123456789abcdef-0123456789abcdef")
	b.ReportAllocs()
	for i := range b.N {
		binary.LittleEndian.PutUint64(id, uint64(i))
		d.add(hasher.key("website", string(id)), now)
	}
}
