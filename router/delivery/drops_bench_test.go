package delivery

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/journal"
)

// BenchmarkDrops takes a backlog of calls through a destination that drops all of them, and keeps them or not, with a journal on
// the disk.
func BenchmarkDrops(b *testing.B) {
	for _, reasons := range [][]string{nil, {"blocked_id"}} {
		b.Run(fmt.Sprint("kept=", len(reasons) > 0), func(b *testing.B) {
			options := journal.DefaultOptions
			options.Dir = b.TempDir()
			j, err := journal.Open(b.Context(), options, zap.NewNop(), prometheus.NewRegistry())
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(j.Close)
			p := benchPipeline(b, j, reasons)
			if err := p.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			for n := 0; n < b.N; {
				batch := make([]journal.Entry, 0, 1000)
				for ; len(batch) < cap(batch) && n < b.N; n++ {
					batch = append(batch, alias("null", "jane", n))
				}
				if _, err := j.Append(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			for p.Backlog() > 0 {
				time.Sleep(time.Millisecond)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			p.Stop(context.Background())
		})
	}
}

func benchPipeline(b *testing.B, j *journal.Journal, kept []string) *Pipeline {
	b.Helper()
	vendor := &testVendor{steps: 1}
	return New(Config{
		Destination: &destinations.Destination{Name: "vendor", Type: "vendor", Names: []string{"vendor"}, Order: adapter.OrderIdentity,
			Adapter: vendor, Masker: adapter.NewMasker(nil)},
		Options: DefaultOptions, Journal: j, Read: func(from uint64) Frames { return j.ReadFrom(from) }, Allowed: func(string) []string { return nil },
		KeptDrops: kept, Logger: zap.NewNop(), Metrics: NewMetrics(prometheus.NewRegistry()),
	})
}
