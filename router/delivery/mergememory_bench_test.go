package delivery

import (
	"context"
	"runtime"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/journal"
)

// What a full memory takes, and how long a start with it.
func BenchmarkMergeMemoryLoad(b *testing.B) {
	for name, a := range map[string]adapter.Merge{
		"joins":    {Rule: adapter.MergeJoins},
		"names":    {Rule: adapter.MergeNames},
		"renames":  {Rule: adapter.MergeRenames},
		"clusters": {Rule: adapter.MergeGivesFrom, Limit: 500},
	} {
		b.Run(name, func(b *testing.B) {
			options := journal.DefaultOptions
			options.Dir = b.TempDir()
			log, err := journal.Open(b.Context(), options, zap.NewNop(), prometheus.NewRegistry())
			if err != nil {
				b.Fatal(err)
			}
			defer log.Close()
			storeFullMemory(b, log, a)
			b.ResetTimer()
			for b.Loop() {
				before := heapInUse()
				m := newMergeMemory("", maxMerges)
				var blocks []*mergeBlock
				if err := log.Merges(b.Context(), "d", func(number uint64, data []byte) {
					blocks = append(blocks, &mergeBlock{number: number, data: data})
				}); err != nil {
					b.Fatal(err)
				}
				if m.load(blocks) > 0 || m.merges != maxMerges {
					b.Fatalf("%d merges", m.merges)
				}
				b.ReportMetric(float64(heapInUse()-before)/maxMerges, "B/merge")
				runtime.KeepAlive(m)
			}
		})
	}
}

// storeFullMemory stores as many merges as are remembered, two of each person.
func storeFullMemory(b *testing.B, log *journal.Journal, a adapter.Merge) {
	b.Helper()
	m := newMergeMemory("", maxMerges)
	for i := range maxMerges {
		a.From, a.To = "anonymous-"+strconv.Itoa(i), "user-"+strconv.Itoa(i/2)
		if a.Rule == adapter.MergeNames {
			a.From, a.To = a.To, a.From
		}
		m.add(newMerge(a))
	}
	for _, block := range m.unsaved().blocks {
		if err := log.SaveMerges(context.Background(), "d", block.number, block.data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMergeMemoryAdd(b *testing.B) {
	m := newMergeMemory("", maxMerges)
	for i := 0; b.Loop(); i++ {
		m.add(newMerge(adapter.Merge{Rule: adapter.MergeGivesFrom, Limit: 500, From: "a" + strconv.Itoa(i), To: "b" + strconv.Itoa(i/2)}))
	}
}

func heapInUse() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
