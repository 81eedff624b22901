package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"text/tabwriter"
)

// Report is everything that was measured. Times are in milliseconds, processors' time in seconds per 100,000 calls or
// deliveries, memory in MiB.
type Report struct {
	Cores   int       `json:"cores"`
	Accept  []Accept  `json:"accept,omitempty"`
	Deliver []Deliver `json:"deliver,omitempty"`
	Lag     []Lag     `json:"lag,omitempty"`
	Backlog []Backlog `json:"backlog,omitempty"`
	// Lost, Swapped and Repeated are sums over everything, and must be 0.
	Lost     int      `json:"lost"`
	Swapped  int      `json:"swapped"`
	Repeated int      `json:"repeated"`
	Wrong    []string `json:"wrong,omitempty"`
}

// Accept is how calls were taken.
type Accept struct {
	Name string `json:"name"`
	// Requests and Calls are those answered 200, per second.
	Requests float64 `json:"requests_per_s"`
	Calls    float64 `json:"calls_per_s"`
	// OfEmpty is the share of EmptyRequests, which an empty handler took in the same run, per second.
	OfEmpty       float64 `json:"of_empty"`
	EmptyRequests float64 `json:"empty_requests_per_s"`
	Refused       int     `json:"refused"`
	P50           float64 `json:"p50_ms"`
	P99           float64 `json:"p99_ms"`
	P999          float64 `json:"p999_ms"`
	// Limit is 4 times the empty handler's p99 and one write and fsync of such a frame.
	Limit    float64 `json:"p99_limit_ms"`
	CPU      float64 `json:"cpu_s_per_100k_calls"`
	EmptyCPU float64 `json:"empty_cpu_s_per_100k_calls"`
	LoadCPU  float64 `json:"load_cpu_s_per_100k_calls"`
	// CallsPerFrame is how many calls were written at once, DiskCalls how many a second are when nothing but such frames is
	// written, each on disk before the next, which takes Sync.
	CallsPerFrame float64 `json:"calls_per_frame"`
	DiskCalls     float64 `json:"disk_calls_per_s"`
	Sync          float64 `json:"sync_ms"`
	RSS           int64   `json:"rss_mib"`
}

// Deliver is how calls were delivered.
type Deliver struct {
	Name       string `json:"name"`
	Deliveries int    `json:"deliveries"`
	// Rate is per second, once all calls were accepted, which they were at AcceptRate.
	Rate       float64 `json:"deliveries_per_s"`
	AcceptRate float64 `json:"accepted_per_s"`
	// CPU is what deliveries take beyond KeepCPU, which is to accept and read calls that go nowhere.
	CPU     float64 `json:"cpu_s_per_100k_deliveries"`
	BareCPU float64 `json:"bare_cpu_s_per_100k_deliveries"`
	// OfBare is CPU by BareCPU.
	OfBare  float64 `json:"of_bare"`
	KeepCPU float64 `json:"keep_cpu_s_per_100k_calls"`
	SinkCPU float64 `json:"sink_cpu_s_per_100k_deliveries"`
	RSS     int64   `json:"rss_mib"`
}

// Lag is how long after being accepted calls were at a vendor.
type Lag struct {
	Name        string  `json:"name"`
	Destination string  `json:"destination"`
	Delay       float64 `json:"delay_ms"` // of the vendor's answers
	Rate        float64 `json:"calls_per_s"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
}

// Backlog is how calls waited for vendors that were away.
type Backlog struct {
	Name         string `json:"name"`
	Calls        int    `json:"calls"`
	Destinations int    `json:"destinations"`
	// AcceptRate is how many calls a second were taken meanwhile, in batches; AcceptCPU what they took.
	AcceptRate float64 `json:"accepted_per_s"`
	AcceptCPU  float64 `json:"accept_cpu_s_per_100k_calls"`
	// RSS is the memory with all of them behind, Peak the most until then. DiskPerMillion is in MiB.
	RSS            int64   `json:"rss_mib"`
	Peak           int64   `json:"peak_mib"`
	DiskPerMillion float64 `json:"disk_mib_per_million_calls"`
	// Start and StartAfterCrash are the seconds until aka was ready again, after being stopped and being killed.
	Start           float64 `json:"start_s"`
	StartAfterCrash float64 `json:"start_after_crash_s"`
	RSSAfterStart   int64   `json:"rss_after_start_mib"`
	// DrainRate is the deliveries a second when the vendors were back, DrainCPU what they took, PeakAfterStart the most
	// memory until the last was made.
	DrainRate float64 `json:"drained_per_s"`
	DrainCPU  float64 `json:"drain_cpu_s_per_100k_deliveries"`
	// Drained deliveries were measured, and Left were not waited for.
	Drained        int   `json:"drained"`
	Left           int   `json:"left"`
	PeakAfterStart int64 `json:"peak_after_start_mib"`
}

func newReport() *Report { return &Report{Cores: runtime.NumCPU()} }

func (r *Report) wrong(format string, args ...any) {
	r.Wrong = append(r.Wrong, fmt.Sprintf(format, args...))
}

func (r *Report) write(to io.Writer) {
	fmt.Fprintf(to, "%d cores, %s/%s\n", r.Cores, runtime.GOOS, runtime.GOARCH)
	if len(r.Accept) > 0 {
		table(to, "\naccept\trequests/s\tcalls/s\tempty's/s\tof empty\tp50 ms\tp99\tp99.9\tlimit\tCPU s/100k\tempty's\tload's\tcalls/frame\tsync ms\tdisk calls/s\tMiB\t", func(row func(string, ...any)) {
			for _, a := range r.Accept {
				row("%s\t%.0f\t%.0f\t%.0f\t%.0f %%\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.0f\t%.2f\t%.0f\t%d\t", a.Name, a.Requests, a.Calls, a.EmptyRequests, 100*a.OfEmpty,
					a.P50, a.P99, a.P999, a.Limit, a.CPU, a.EmptyCPU, a.LoadCPU, a.CallsPerFrame, a.Sync, a.DiskCalls, a.RSS)
			}
		})
	}
	if len(r.Deliver) > 0 {
		table(to, "\ndeliver\tdeliveries/s\taccepted/s\tCPU s/100k\tbare client's\tratio\tkeeping's\tsink's\tMiB\t", func(row func(string, ...any)) {
			for _, d := range r.Deliver {
				row("%s\t%.0f\t%.0f\t%.2f\t%s\t%s\t%.2f\t%.2f\t%d\t", d.Name, d.Rate, d.AcceptRate, d.CPU, known(d.BareCPU), known(d.OfBare), d.KeepCPU,
					d.SinkCPU, d.RSS)
			}
		})
	}
	if len(r.Lag) > 0 {
		table(to, "\nlag\tdestination\tanswers after ms\tcalls/s\tp50 ms\tp99\t", func(row func(string, ...any)) {
			for _, l := range r.Lag {
				row("%s\t%s\t%.0f\t%.0f\t%.1f\t%.1f\t", l.Name, l.Destination, l.Delay, l.Rate, l.P50, l.P99)
			}
		})
	}
	if len(r.Backlog) > 0 {
		table(to, "\nbacklog\taccepted/s\tCPU s/100k\tMiB\tpeak\tdisk MiB/1M\tstart s\tafter crash\tMiB\tdrained/s\tCPU s/100k\tleft\tpeak MiB\t", func(row func(string, ...any)) {
			for _, b := range r.Backlog {
				row("%s\t%.0f\t%.2f\t%d\t%d\t%.0f\t%.2f\t%.2f\t%d\t%.0f\t%.2f\t%d\t%d\t", b.Name, b.AcceptRate, b.AcceptCPU, b.RSS, b.Peak,
					b.DiskPerMillion, b.Start, b.StartAfterCrash, b.RSSAfterStart, b.DrainRate, b.DrainCPU, b.Left, b.PeakAfterStart)
			}
		})
	}
	fmt.Fprintf(to, "\nlost %d, out of order %d, delivered twice %d\n", r.Lost, r.Swapped, r.Repeated)
	for _, text := range r.Wrong {
		fmt.Fprintf(to, "WRONG: %s\n", text)
	}
}

// known shows what may not have been measured.
func known(figure float64) string {
	if figure == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", figure)
}

func table(to io.Writer, head string, rows func(row func(format string, args ...any))) {
	columns := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, head)
	rows(func(format string, args ...any) { fmt.Fprintf(columns, format+"\n", args...) })
	_ = columns.Flush()
}

func (r *Report) writeJSON(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
