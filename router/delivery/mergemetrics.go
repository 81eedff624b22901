package delivery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"aka/router/mergerules"
)

// mergeMetrics are the metrics of the merge rules, of all destinations.
type mergeMetrics struct {
	verdicts   *prometheus.CounterVec
	held       *prometheus.GaugeVec
	heldOldest *prometheus.GaugeVec
	full       *prometheus.CounterVec
	personIDs  *prometheus.GaugeVec
}

func newMergeMetrics(counter func(name, help string, labels ...string) *prometheus.CounterVec, gauge func(name, help string, labels ...string) *prometheus.GaugeVec) mergeMetrics {
	return mergeMetrics{
		verdicts:   counter("merge_verdicts_total", "Merges for which a rule fired, by the rule and its verdict: observe, hold or drop.", "rule", "verdict"),
		held:       gauge("merges_held", "Aliases that a merge rule holds until an operator decides, or merges.quarantine.verdict_after has passed."),
		heldOldest: gauge("merges_held_oldest_seconds", "How long the oldest held alias has waited; 0 where none is held."),
		full:       counter("quarantine_full_total", "Held aliases that got the default verdict early, because too much waited."),
		personIDs:  gauge("person_ids_max", "Ids of the largest person that a merge has made since the start."),
	}
}

func (m *mergeMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.verdicts, m.held, m.heldOldest, m.full, m.personIDs}
}

// ownMergeMetrics are one destination's.
type ownMergeMetrics struct {
	verdicts   map[mergerules.Rule]map[mergerules.Verdict]prometheus.Counter
	held       prometheus.Gauge
	heldOldest prometheus.Gauge
	full       prometheus.Counter
	personIDs  prometheus.Gauge
	largest    int
}

func (m *mergeMetrics) of(destination string) ownMergeMetrics {
	own := ownMergeMetrics{
		verdicts: map[mergerules.Rule]map[mergerules.Verdict]prometheus.Counter{}, held: m.held.WithLabelValues(destination),
		heldOldest: m.heldOldest.WithLabelValues(destination), full: m.full.WithLabelValues(destination), personIDs: m.personIDs.WithLabelValues(destination),
	}
	for _, rule := range mergerules.All {
		own.verdicts[rule] = map[mergerules.Verdict]prometheus.Counter{}
		for _, verdict := range []mergerules.Verdict{mergerules.Observe, mergerules.Hold, mergerules.Drop} {
			own.verdicts[rule][verdict] = m.verdicts.WithLabelValues(destination, string(rule), string(verdict))
		}
	}
	return own
}

// fired counts a rule that has fired.
func (m *ownMergeMetrics) fired(rule mergerules.Rule, verdict mergerules.Verdict) {
	if c := m.verdicts[rule][verdict]; c != nil {
		c.Inc()
	}
}

// person notes how many ids a person has.
func (m *ownMergeMetrics) person(ids int) {
	if ids > m.largest {
		m.largest = ids
		m.personIDs.Set(float64(ids))
	}
}

// holding notes how many aliases are held, and since when the oldest is.
func (m *ownMergeMetrics) holding(n int, oldest, now time.Time) {
	m.held.Set(float64(n))
	if n == 0 {
		m.heldOldest.Set(0)
		return
	}
	m.heldOldest.Set(max(now.Sub(oldest).Seconds(), 0))
}
