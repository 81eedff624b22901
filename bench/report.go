package main

import (
	"fmt"
	"runtime"
)

// Report is everything that was measured. Times are in milliseconds, processors' time in seconds per 100,000 calls or
// deliveries, memory in MiB.
type Report struct {
	Cores    int       `json:"cores"`
	Accept   []Accept  `json:"accept,omitempty"`
	Deliver  []Deliver `json:"deliver,omitempty"`
	TLS      []TLS     `json:"tls,omitempty"`
	Lag      []Lag     `json:"lag,omitempty"`
	Latency  []Latency `json:"latency,omitempty"`
	Backlog  []Backlog `json:"backlog,omitempty"`
	Disk     []Disk    `json:"disk,omitempty"`
	Blocked  []Blocked `json:"blocked,omitempty"`
	Memory   []Memory  `json:"memory,omitempty"`
	Facts    []Facts   `json:"facts,omitempty"`
	Commands []Command `json:"commands,omitempty"`

	Preflights []Preflight `json:"preflights,omitempty"`
	// Lost, Swapped and Repeated are sums over everything, and must be 0.
	Lost     int      `json:"lost"`
	Swapped  int      `json:"swapped"`
	Repeated int      `json:"repeated"`
	Wrong    []string `json:"wrong,omitempty"`
	// Beside is the same of the other binary, called Aka, that was measured in turn with this one. Its rows are in the same order.
	Beside *Report `json:"beside,omitempty"`
	Aka    string  `json:"aka,omitempty"`
}

// Accept is how calls were taken.
type Accept struct {
	Name string `json:"name"`
	// Requests and Calls are those answered 200, per second.
	Requests float64 `json:"requests_per_s"`
	Calls    float64 `json:"calls_per_s"`
	// OfEmpty is the share of EmptyRequests, which an empty handler took in the same run, per second.
	OfEmpty       float64 `json:"of_empty"`
	OfEmptyGoal   float64 `json:"of_empty_goal"`
	EmptyRequests float64 `json:"empty_requests_per_s"`
	Refused       int     `json:"refused"`
	P50           float64 `json:"p50_ms"`
	// P50Goal is Sync and a little; 0 is no goal, as with all of them.
	P50Goal float64 `json:"p50_ms_goal"`
	P99     float64 `json:"p99_ms"`
	P999    float64 `json:"p999_ms"`
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

func (a *Accept) missed() []string {
	m := misses{row: a.Name}
	m.atLeast("%.0f %% of the empty handler's requests, at least %.0f %%", 100*a.OfEmpty, 100*a.OfEmptyGoal)
	m.atMost("p50 %.2f ms, at most %.2f", a.P50, a.P50Goal)
	return m.all
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
	OfBare     float64 `json:"of_bare"`
	OfBareGoal float64 `json:"of_bare_goal"`
	KeepCPU    float64 `json:"keep_cpu_s_per_100k_calls"`
	SinkCPU    float64 `json:"sink_cpu_s_per_100k_deliveries"`
	RSS        int64   `json:"rss_mib"`
}

func (d *Deliver) missed() []string {
	m := misses{row: d.Name}
	m.atMost("%.2f times the bare client's processors' time, at most %.2f", d.OfBare, d.OfBareGoal)
	return m.all
}

// TLS is how calls were delivered over http or https.
type TLS struct {
	Name string `json:"name"`
	// Measured is how long the measurement took, after Settle seconds.
	Settle   float64 `json:"settle_s"`
	Measured float64 `json:"measured_s"`
	Rate     float64 `json:"deliveries_per_s"`
	// CPU is that of aka, which also accepted the calls.
	CPU float64 `json:"cpu_s_per_100k_deliveries"`
	// Connections were opened to the vendors in all, with so many handshakes: in full, and of a session from before.
	Connections int `json:"connections"`
	Full        int `json:"full_handshakes"`
	Resumed     int `json:"resumed_handshakes"`
	// LateFull are the full handshakes while it was measured: there is a session to resume. Where HasGoal is, there should be none.
	LateFull int  `json:"late_full_handshakes"`
	HasGoal  bool `json:"has_goal"`
	// Left calls were not waited for.
	Left int   `json:"left"`
	RSS  int64 `json:"rss_mib"`
}

func (t *TLS) missed() []string {
	m := misses{row: t.Name}
	m.miss(t.HasGoal && t.LateFull > 0, "%.0f full handshakes after the first %.0f s, expected none", float64(t.LateFull), t.Settle)
	m.miss(t.HasGoal && t.Resumed == 0, "%.0f resumed handshakes in %.0f s, expected some", float64(t.Resumed), t.Measured)
	return m.all
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

// Latency is how calls were delivered to vendors that take a while to answer, or that refuse some calls.
type Latency struct {
	Name string `json:"name"`
	// Concurrency is what the config says, for each of so many destinations. Answer is the vendors' latency without load.
	Concurrency  string  `json:"concurrency"`
	Destinations int     `json:"destinations"`
	Answer       float64 `json:"answer_ms"`
	// Settle is the time before the measurement, which took Measured.
	Settle   float64 `json:"settle_s"`
	Measured float64 `json:"measured_s"`
	// Rate is the deliveries per second to all destinations. Goal is the least that it should be; 0 is none.
	Rate float64 `json:"deliveries_per_s"`
	Goal float64 `json:"goal_per_s"`
	// Throttled and Overloaded are the shares of exchanges that were answered 429 and 503. The goals are what these should be at most.
	Throttled      float64 `json:"share_of_429"`
	ThrottledGoal  float64 `json:"share_of_429_goal"`
	Overloaded     float64 `json:"share_of_503"`
	OverloadedGoal float64 `json:"share_of_503_goal"`
	// Mean is how long a vendor took for what it took, and MeanGoal what that should be at most.
	Mean     float64 `json:"mean_ms"`
	MeanGoal float64 `json:"mean_ms_goal"`
	// Low and High are the lowest and the highest limit of exchanges in flight at the end, of all destinations.
	Low  int `json:"lowest_limit"`
	High int `json:"highest_limit"`
	sum  int // of all
	// Learned is the exchanges per second that aka learned from 429, of all destinations; 0 is none.
	Learned float64 `json:"learned_per_s"`
	// CPU is that of aka, which also accepted the calls; 0 where several rows share an aka. Bare is the rate of a bare client with as
	// many connections as the limits allow, and BareCPU what that took.
	CPU     float64 `json:"cpu_s_per_100k_deliveries"`
	Bare    float64 `json:"bare_per_s"`
	BareCPU float64 `json:"bare_cpu_s_per_100k_deliveries"`
	// Left calls were not waited for.
	Left int `json:"left"`
}

// missed are the goals that were not reached.
func (l *Latency) missed() []string {
	m := misses{row: fmt.Sprintf("%s, concurrency %s", l.Name, l.Concurrency)}
	m.atLeast("%.0f deliveries/s, at least %.0f", l.Rate, l.Goal)
	m.miss(l.ThrottledGoal > 0 && l.Throttled >= l.ThrottledGoal, "%.1f %% of 429, less than %.1f %%", 100*l.Throttled, 100*l.ThrottledGoal)
	m.miss(l.OverloadedGoal > 0 && l.Overloaded >= l.OverloadedGoal, "%.1f %% of 503, less than %.1f %%", 100*l.Overloaded, 100*l.OverloadedGoal)
	m.atMost("%.0f ms to answer, at most %.0f", l.Mean, l.MeanGoal)
	return m.all
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
	RSSGoal        float64 `json:"rss_mib_goal"`
	Peak           int64   `json:"peak_mib"`
	DiskPerMillion float64 `json:"disk_mib_per_million_calls"`
	// Start and StartAfterCrash are the seconds until aka was ready again, after being stopped and being killed.
	Start             float64 `json:"start_s"`
	StartAfterCrash   float64 `json:"start_after_crash_s"`
	RSSAfterStart     int64   `json:"rss_after_start_mib"`
	RSSAfterStartGoal float64 `json:"rss_after_start_mib_goal"`
	// DrainRate is the deliveries a second when the vendors were back, DrainCPU what they took, PeakAfterStart the most
	// memory until the last was made.
	DrainRate float64 `json:"drained_per_s"`
	DrainCPU  float64 `json:"drain_cpu_s_per_100k_deliveries"`
	// Drained deliveries were measured, and Left were not waited for.
	Drained        int   `json:"drained"`
	Left           int   `json:"left"`
	PeakAfterStart int64 `json:"peak_after_start_mib"`
}

func (b *Backlog) missed() []string {
	m := misses{row: b.Name}
	m.atMost("%.0f MiB with the calls behind, at most %.0f", float64(b.RSS), b.RSSGoal)
	m.atMost("%.0f MiB after the start, at most %.0f", float64(b.RSSAfterStart), b.RSSAfterStartGoal)
	return m.all
}

// Disk is what calls cost the disk from being accepted until they are delivered and removed.
type Disk struct {
	Name  string `json:"name"`
	Calls int    `json:"calls"`
	// Bytes are those of the calls as JSON, Written those that aka had the system write to the disk.
	Bytes   int64 `json:"call_bytes"`
	Written int64 `json:"written_bytes"`
	// PerByte is Written by Bytes.
	PerByte float64 `json:"written_per_byte"`
	// Largest is the most that the journal's folder was seen to hold, Folder what it held Wait seconds after the last call's end:
	// once that was little enough, or when it was not waited for any longer.
	Largest int64   `json:"largest_folder_bytes"`
	Folder  int64   `json:"folder_bytes"`
	Wait    float64 `json:"folder_wait_s"`
}

// Blocked is how other people's calls were delivered while some people's failed, and what came of these.
type Blocked struct {
	Name   string `json:"name"`
	Window int    `json:"window"`
	// Accepted and Delivered are others' calls per second while they came, Share is Delivered by Accepted, Worst that of the worst
	// second.
	Accepted  float64 `json:"others_accepted_per_s"`
	Delivered float64 `json:"others_delivered_per_s"`
	Share     float64 `json:"others_share"`
	Worst     float64 `json:"others_share_of_worst_second"`
	P50       float64 `json:"others_p50_ms"`
	P99       float64 `json:"others_p99_ms"`
	// Parked calls and blocked IDs are those when the last of others' calls was accepted.
	Parked int `json:"parked_calls"`
	IDs    int `json:"blocked_ids"`
	// Written bytes are those of all calls until then, with parking; DrainWritten those from the vendor's recovery on.
	Written      int64   `json:"written_bytes"`
	DrainWritten int64   `json:"drain_written_bytes"`
	RSS          int64   `json:"rss_mib"`
	RSSGoal      float64 `json:"rss_mib_goal"`
	PeakRSS      int64   `json:"peak_mib"`
	// First is the seconds from the recovery, or the refusal of what is held, to the first call of a failing person, Drain from there to the last.
	First float64 `json:"first_s"`
	Drain float64 `json:"drain_s"`
	// Left calls were not waited for.
	Left int `json:"left"`
}

func (b *Blocked) missed() []string {
	m := misses{row: b.Name}
	m.atMost("%.0f MiB, at most %.0f", float64(b.RSS), b.RSSGoal)
	return m.all
}

// Memory is how calls were delivered with the memory of merges on, in turn with the same calls with it off.
type Memory struct {
	Name       string `json:"name"`
	Deliveries int    `json:"deliveries"` // of each
	// On and Off are the deliveries a second once all calls were accepted, Ratio is On by Off. The processors' time is that of all.
	On     float64 `json:"on_per_s"`
	Off    float64 `json:"off_per_s"`
	Ratio  float64 `json:"ratio"`
	OnCPU  float64 `json:"on_cpu_s_per_100k_deliveries"`
	OffCPU float64 `json:"off_cpu_s_per_100k_deliveries"`
	OnRSS  int64   `json:"on_rss_mib"`
	OffRSS int64   `json:"off_rss_mib"`
}

// Facts is what it takes to remember many merges.
type Facts struct {
	Name string `json:"name"`
	// Facts is how many ids the destinations remember in all, and Import how long it took to make them known.
	Facts  int     `json:"facts"`
	Import float64 `json:"import_s"`
	// Bytes is the size of the journal's folder, with the ledger of these merges.
	Bytes int64 `json:"folder_bytes"`
	// Start is the seconds until aka was ready again, RSS its memory when it has done nothing since, LoadRSS that when calls were
	// delivered at Rate per second, and Peak the most until then.
	Start       float64 `json:"start_s"`
	StartGoal   float64 `json:"start_s_goal"`
	RSS         int64   `json:"rss_mib"`
	Rate        float64 `json:"deliveries_per_s"`
	LoadRSS     int64   `json:"load_rss_mib"`
	LoadRSSGoal float64 `json:"load_rss_mib_goal"`
	Peak        int64   `json:"peak_mib"`
}

func (f *Facts) missed() []string {
	m := misses{row: f.Name}
	m.atMost("%.2f s to start, at most %.2f", f.Start, f.StartGoal)
	m.atMost("%.0f MiB at the load, at most %.0f", float64(f.LoadRSS), f.LoadRSSGoal)
	return m.all
}

// Command is how long a command took that ends by itself.
type Command struct {
	Name string `json:"name"`
	Runs int    `json:"runs"`
	// Median and Largest are wall time. The goal is of the median.
	Median  float64 `json:"median_ms"`
	Goal    float64 `json:"median_ms_goal"`
	Largest float64 `json:"largest_ms"`
}

func (c *Command) missed() []string {
	m := misses{row: c.Name}
	m.atMost("%.1f ms, at most %.0f", c.Median, c.Goal)
	return m.all
}

// Preflight is how long a preflight took.
type Preflight struct {
	Name  string `json:"name"`
	Calls int    `json:"calls"`
	// Seconds is wall time. The export is not in the kernel's cache before.
	Seconds  float64 `json:"s"`
	Goal     float64 `json:"s_goal"`
	CPU      float64 `json:"cpu_s_per_100k_calls"`
	Peak     int64   `json:"peak_mib"`
	PeakGoal float64 `json:"peak_mib_goal"`
	// Report is the size of the report.
	Report int64 `json:"report_bytes"`
}

func (p *Preflight) missed() []string {
	m := misses{row: p.Name}
	m.atMost("%.0f s, at most %.0f", p.Seconds, p.Goal)
	m.atMost("%.0f MiB, at most %.0f", float64(p.Peak), p.PeakGoal)
	return m.all
}

func newReport() *Report { return &Report{Cores: runtime.NumCPU()} }
