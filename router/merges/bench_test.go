package merges

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
func BenchmarkMemoryLoad(b *testing.B) {
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
				m := New("", Max)
				var blocks []*Block
				if err := log.Merges(b.Context(), "d", func(number uint64, data []byte) {
					blocks = append(blocks, &Block{Number: number, Data: data})
				}); err != nil {
					b.Fatal(err)
				}
				if m.Load(blocks) > 0 || m.count != Max {
					b.Fatalf("%d merges", m.count)
				}
				b.ReportMetric(float64(heapInUse()-before)/Max, "B/merge")
				runtime.KeepAlive(m)
			}
		})
	}
}

// storeFullMemory stores as many merges as are remembered, two of each person.
func storeFullMemory(b *testing.B, log *journal.Journal, a adapter.Merge) {
	b.Helper()
	m := New("", Max)
	for i := range Max {
		a.From, a.To = "anonymous-"+strconv.Itoa(i), "user-"+strconv.Itoa(i/2)
		if a.Rule == adapter.MergeNames {
			a.From, a.To = a.To, a.From
		}
		m.Add(NewMerge(a))
	}
	for _, block := range m.Unsaved().Blocks {
		if err := log.SaveMerges(context.Background(), "d", block.Number, block.Data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMemoryAdd(b *testing.B) {
	m := New("", Max)
	for i := 0; b.Loop(); i++ {
		m.Add(NewMerge(adapter.Merge{Rule: adapter.MergeGivesFrom, Limit: 500, From: "a" + strconv.Itoa(i), To: "b" + strconv.Itoa(i/2)}))
	}
}

func heapInUse() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
