package concurrency

import "time"

// Why is why the limit changed.
type Why uint8

// The reasons. Start is that of the first limit, and of Reset.
const (
	Start Why = iota
	Latency
	Errors
	Throttling
	Idle
	Growth

	reasons
)

var whyNames = [reasons]string{"start", "latency", "errors", "429", "idle", "growth"}

// String returns the reason in lower case, for pages and metrics.
func (w Why) String() string { return whyNames[w] }

// Reasons returns those by which changes are counted: all but Start.
func Reasons() []Why { return []Why{Growth, Latency, Errors, Throttling, Idle} }

// Counts is how often the limit changed, by Why. Start is not counted.
type Counts [reasons]uint64

// Status is what pages and metrics show.
type Status struct {
	Limit, InFlight int
	// Measuring is whether the limit is lower for a few round trips, to see whether latency falls with the load. That counts as a
	// change only if it stays lower.
	Measuring bool
	// Rate is the learned rate in exchanges per second; 0 is none.
	Rate float64
	// QuotaSpent is until when nothing begins, because the vendor's quota is spent; zero when it is not.
	QuotaSpent time.Time
	// Base is the latency without load; 0 is unknown.
	Base time.Duration
	// Why and Changed say why and when the limit last changed.
	Why     Why
	Changed time.Time
	Counts  Counts
}

// Status returns the present status.
func (l *Limiter) Status(now time.Time) Status {
	s := Status{
		Limit: l.limit, InFlight: l.inFlight, Measuring: l.measuring.active, Rate: l.rate.perSecond, Base: l.base,
		Why: l.why, Changed: l.origin.Add(l.changed), Counts: l.counts,
	}
	if l.rate.quotaSpent(now.Sub(l.origin)) {
		s.QuotaSpent = l.origin.Add(l.rate.until)
	}
	return s
}
