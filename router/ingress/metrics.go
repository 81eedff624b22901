package ingress

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"aka/router/segment"
)

// statuses are all that the ingress answers.
var statuses = []int{
	fasthttp.StatusOK, fasthttp.StatusNoContent, fasthttp.StatusNotModified,
	fasthttp.StatusBadRequest, fasthttp.StatusUnauthorized, fasthttp.StatusNotFound, fasthttp.StatusMethodNotAllowed,
	fasthttp.StatusTooManyRequests, fasthttp.StatusInternalServerError, fasthttp.StatusServiceUnavailable,
}

// metrics are counted by labels that are all known beforehand, so that each is there at zero and none comes from outside.
type metrics struct {
	received, rejected, warnings, duplicates *prometheus.CounterVec

	// unknown counts requests without a known source.
	unknown  *sourceCounters
	requests map[int]prometheus.Counter
	duration prometheus.Histogram
	evicted  prometheus.Counter
}

// sourceCounters count one source's calls.
type sourceCounters struct {
	received   map[segment.Type]prometheus.Counter
	rejected   map[string]prometheus.Counter
	warnings   map[string]prometheus.Counter
	warned     map[string]*occasion // the log's lines about the warnings
	duplicates prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	var problems []error
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "aka", Subsystem: "ingress", Name: name, Help: help}, labels)
		problems = append(problems, registerer.Register(v))
		return v
	}
	m := &metrics{
		received:   vector("calls_received_total", "Calls that are safe in the journal.", "source", "type"),
		rejected:   vector("calls_rejected_total", "Calls and whole bodies that were refused. Without a source the write key was missing or unknown.", "source", "code"),
		warnings:   vector("warnings_total", "Warnings about calls that were accepted. The answer lists them.", "source", "code"),
		duplicates: vector("duplicates_total", "Calls that were in the journal already, by their messageId.", "source"),
		requests:   map[int]prometheus.Counter{},
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "aka", Subsystem: "ingress", Name: "accept_duration_seconds",
			Help: "Time until a request's calls are safe in the journal, or refused there.", Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 13)}),
	}
	m.evicted = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "aka", Subsystem: "ingress", Name: "connections_evicted_total",
		Help: "Connections without a request that were closed to make room for new ones: limits.connections were open."})
	problems = append(problems, registerer.Register(m.duration), registerer.Register(m.evicted))
	requests := vector("requests_total", "Answers, by status.", "status")
	for _, status := range statuses {
		m.requests[status] = requests.WithLabelValues(strconv.Itoa(status))
	}
	m.unknown = &sourceCounters{rejected: m.rejections("")}
	return m, errors.Join(problems...)
}

func registerConnections(registerer prometheus.Registerer, open *conns, limit int) error {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "aka", Subsystem: "ingress", Name: name, Help: help}, value)
	}
	return errors.Join(
		registerer.Register(gauge("connections", "Connections that are open.", func() float64 { return float64(open.len()) })),
		registerer.Register(gauge("connections_max", "Connections that may be open at once: limits.connections, or fewer where the limit of open files is low.",
			func() float64 { return float64(limit) })),
	)
}

func (m *metrics) forSource(name string) *sourceCounters {
	c := &sourceCounters{
		received:   map[segment.Type]prometheus.Counter{},
		rejected:   m.rejections(name),
		warnings:   map[string]prometheus.Counter{},
		warned:     map[string]*occasion{},
		duplicates: m.duplicates.WithLabelValues(name),
	}
	for _, t := range segment.Types {
		c.received[t] = m.received.WithLabelValues(name, t.String())
	}
	for _, code := range warningCodes() {
		c.warnings[code] = m.warnings.WithLabelValues(name, code)
		c.warned[code] = &occasion{}
	}
	return c
}

func (m *metrics) rejections(source string) map[string]prometheus.Counter {
	counters := map[string]prometheus.Counter{}
	for _, code := range segment.Codes {
		counters[code] = m.rejected.WithLabelValues(source, code)
	}
	for _, r := range callRefusals {
		counters[r.code] = m.rejected.WithLabelValues(source, r.code)
	}
	return counters
}

// of returns the counters of a source, or of none.
func (m *metrics) of(from *source) *sourceCounters {
	if from == nil {
		return m.unknown
	}
	return from.counters
}

// accepted counts what became of a body's calls. Those of other sources are received there.
func (c *sourceCounters) accepted(result *segment.Result, others []*source, duplicates int) {
	next := 0
	for i := range result.Messages {
		counters := c
		if next < len(others) && result.Others[next].Message == i {
			counters = others[next].counters
			next++
		}
		counters.received[result.Messages[i].Type].Inc()
	}
	for _, r := range result.Rejected {
		c.rejected[r.Code].Inc()
	}
	for i := range result.Warnings {
		c.warnings[result.Warnings[i].Code].Inc()
	}
	c.duplicates.Add(float64(duplicates))
}
