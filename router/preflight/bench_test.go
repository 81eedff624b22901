package preflight

import (
	"bytes"
	"flag"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"

	"aka/router/preflight/preflighttest"
)

var benchCalls = flag.Int("calls", 20_000, "how many calls the benchmark runs")

// threeVendors is the config of the benchmark.
const threeVendors = `
sources: { website: { write_key: write-key-of-the-test } }
destinations:
  kissmetrics: { settings: { api_key: k } }
  mixpanel: { settings: { token: t, id_merge: simplified } }
  vero: { settings: { auth_token: v } }
`

// For a profile of a million calls: go test ./router/preflight -run - -bench . -benchtime 1x -calls 1000000 -cpuprofile cpu.pprof
func BenchmarkPreflight(b *testing.B) {
	var export bytes.Buffer
	zip := gzip.NewWriter(&export)
	if err := preflighttest.Export(zip, *benchCalls, 1); err != nil {
		b.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		b.Fatal(err)
	}
	c := loadText(b, threeVendors)
	b.ReportAllocs()
	for b.Loop() {
		report, err := Run(b.Context(), c, []Input{{Name: "export.gz", Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(export.Bytes())), nil
		}}}, Options{})
		if err != nil || report.Input.Calls != *benchCalls {
			b.Fatalf("%v, %+v", err, report.Input)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N**benchCalls), "us/call")
}
