package delivery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"aka/router/concurrency"
)

// Pace is how many exchanges a destination gets.
type Pace struct {
	// Concurrency is what the config says: adaptive, with bounds or without, or a number. Limit is how many exchanges may be in flight
	// now. Measuring tells that it is lower for a moment, to see how fast the destination answers at a lower load.
	Concurrency string `json:"concurrency"`
	Limit       int    `json:"limit"`
	Measuring   bool   `json:"measuring,omitempty"`
	// LearnedRate is how many exchanges may begin per second since the destination answered 429; 0 is no limit. QuotaSpent is until
	// when none may, as the destination's X-RateLimit headers say.
	LearnedRate float64    `json:"learned_rate,omitempty"`
	QuotaSpent  *time.Time `json:"quota_spent_until,omitempty"`
	// Latency is how many seconds the destination takes to answer at a low load; 0 is not known yet.
	Latency float64 `json:"latency_seconds,omitempty"`
	// Why is why Limit changed last: start, growth, latency, errors, 429 or idle. Changed is when.
	Why     string    `json:"why"`
	Changed time.Time `json:"changed"`
}

func (p *Pipeline) pace(now time.Time) Pace {
	s := p.dispatcher.adaptive.Status(now)
	return Pace{
		Concurrency: p.config.Options.Concurrency.String(), Limit: s.Limit, Measuring: s.Measuring, LearnedRate: s.Rate,
		QuotaSpent: after(s.QuotaSpent, now), Latency: s.Base.Seconds(), Why: s.Why.String(), Changed: s.Changed,
	}
}

// paceMetrics are those of how many exchanges destinations get.
type paceMetrics struct {
	limit, rate *prometheus.GaugeVec
	changes     *prometheus.CounterVec
}

func newPaceMetrics(
	counter func(name, help string, labels ...string) *prometheus.CounterVec,
	gauge func(name, help string, labels ...string) *prometheus.GaugeVec,
) paceMetrics {
	return paceMetrics{
		limit:   gauge("concurrency_limit", "HTTP exchanges that may be in flight now."),
		rate:    gauge("learned_rate", "HTTP exchanges that may begin per second, as learned from answers with the status 429; 0 is no limit."),
		changes: counter("concurrency_changes_total", "Changes of the limit of HTTP exchanges in flight, by why: growth, latency that rises with the load, errors, 429, or idle.", "why"),
	}
}

func (m *paceMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.limit, m.rate, m.changes}
}

func (m *paceMetrics) of(destination string) ownPaceMetrics {
	own := ownPaceMetrics{limit: m.limit.WithLabelValues(destination), rate: m.rate.WithLabelValues(destination)}
	for _, why := range concurrency.Reasons() {
		own.changes[why] = m.changes.WithLabelValues(destination, why.String())
	}
	return own
}

// ownPaceMetrics are one destination's.
type ownPaceMetrics struct {
	limit, rate prometheus.Gauge
	changes     [len(concurrency.Counts{})]prometheus.Counter
	counted     concurrency.Counts
}

// show takes over what the limiter says.
func (m *ownPaceMetrics) show(s concurrency.Status) {
	m.limit.Set(float64(s.Limit))
	m.rate.Set(s.Rate)
	for why, changes := range m.changes {
		if changes != nil {
			changes.Add(float64(s.Counts[why] - m.counted[why]))
		}
	}
	m.counted = s.Counts
}
