package journal

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

func TestWritingAllocatesByFrameNotByCall(t *testing.T) {
	const runs, calls = 5, 1000
	j := open(t, testOptions(t))
	var batches [1 + runs][]Entry
	for i := range batches {
		for n := range calls {
			batches[i] = append(batches[i], entry("u", i*calls+n))
		}
	}
	next := 0
	allocs := testing.AllocsPerRun(runs, func() {
		appendCalls(t, j, 0, batches[next]...)
		next++
	})
	if allocs > calls/4 {
		t.Errorf("%.0f allocations for a request of %d calls", allocs, calls)
	}
}

// BenchmarkAppend measures calls that are safe on disk, at several numbers of clients that each wait for their answer.
func BenchmarkAppend(b *testing.B) {
	for _, clients := range []int{1, 32, 256} {
		b.Run(strconv.Itoa(clients)+" clients", func(b *testing.B) {
			options := testOptions(b)
			j, err := Open(b.Context(), options, zap.NewNop(), prometheus.NewRegistry())
			if err != nil {
				b.Fatal(err)
			}
			defer j.Close()
			json := make([]byte, 400)
			for i := range json {
				json[i] = 'x'
			}
			var next atomic.Int64
			b.ReportAllocs()
			b.SetParallelism((clients + 1) / 2)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					e := entry("u", 0)
					e.MessageID = "m" + strconv.FormatInt(next.Add(1), 10)
					e.JSON = json
					if _, err := j.Append(context.Background(), []Entry{e}); err != nil {
						b.Error(err)
					}
				}
			})
			calls, _ := j.Head()
			b.ReportMetric(float64(calls)/b.Elapsed().Seconds(), "calls/s")
			b.ReportMetric(float64(calls)/float64(j.head.Seq), "calls/frame")
		})
	}
}
