package delivery

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"aka/destinations/adapter"
	"aka/router/breaker"
	"aka/router/httpclient"
	"aka/router/journal"
	"aka/router/segment"
)

// Metrics are the deliveries' metrics, of all destinations.
type Metrics struct {
	outcomes     *prometheus.CounterVec
	retries      *prometheus.CounterVec
	ambiguous    *prometheus.CounterVec
	inDoubt      *prometheus.CounterVec
	exchanges    *prometheus.CounterVec
	diagnostics  *prometheus.CounterVec
	saveFailures *prometheus.CounterVec
	forgotten    *prometheus.CounterVec
	remembered   *prometheus.GaugeVec
	states       *prometheus.GaugeVec
	window       *prometheus.GaugeVec
	windowBytes  *prometheus.GaugeVec
	parked       *prometheus.GaugeVec
	blockedIDs   *prometheus.GaugeVec
	held         *prometheus.GaugeVec
	heldRetries  *prometheus.CounterVec
	withdrawn    *prometheus.CounterVec
	inFlight     *prometheus.GaugeVec
	duration     *prometheus.HistogramVec
	lag          *prometheus.HistogramVec
	backlog      *backlogCollector
	all          []prometheus.Collector
}

// NewMetrics makes and registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "aka", Name: name, Help: help}, append([]string{"destination"}, labels...))
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "aka", Name: name, Help: help}, append([]string{"destination"}, labels...))
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "aka", Name: name, Help: help, Buckets: buckets}, []string{"destination"})
	}
	m := &Metrics{
		outcomes: counter("outcomes_total", "Calls that ended, by how: delivered, dropped with a reason, or dead (kept as a dead letter) with a reason.",
			"type", "outcome", "reason"),
		retries:      counter("retries_total", "Tries that failed and will be repeated."),
		ambiguous:    counter("ambiguous_total", "Tries that failed with no answer, a 5xx or an answer that is not the vendor's: the vendor may have acted on them."),
		inDoubt:      counter("delivery_in_doubt_total", "Calls taken up after a crash that had not ended when the progress was last saved: the run before may have delivered them."),
		exchanges:    counter("exchanges_total", "HTTP exchanges with the vendor, by the class of the answer or the kind of error; not_the_vendor is a success that somebody else answered.", "result"),
		diagnostics:  counter("routing_diagnostics_total", "Oddities in the integrations of calls, as seen by the destination.", "code"),
		saveFailures: counter("progress_save_failures_total", "Failed attempts to save the progress."),
		forgotten:    counter("merges_forgotten_total", "Merges that were forgotten because there are too many to remember, the oldest first."),
		remembered:   gauge("merges_remembered", "Delivered merges that are remembered, where remember_merges is on."),
		states:       gauge("destination_state", "1 for the state that the destination is in: closed is well, open is down, half_open is being probed, held refuses our credentials, refusing refuses every call, paused was paused by its operator, removed is not configured any more.", "state"),
		window:       gauge("window_calls", "Calls held in memory, waiting or in flight."),
		windowBytes:  gauge("window_bytes", "Memory that the calls take which are held: waiting, in flight, or parked and in memory, too."),
		parked:       gauge("parked_calls", "Calls on disk because they fail while others pass, or wait behind a blocked identity."),
		blockedIDs:   gauge("blocked_ids", "Ids of calls that wait on disk behind a blocked identity."),
		held:         gauge("held_letters", "Dead letters that block the calls behind them until they are replayed or discarded. They are among the parked calls."),
		heldRetries:  counter("held_retries_total", "Blocking dead letters that were retried."),
		withdrawn:    counter("withdrawn_total", "Dead letters that were withdrawn because the destination refused every call. Each call ends once more."),
		inFlight:     gauge("exchanges_in_flight", "HTTP exchanges in flight."),
		duration:     histogram("exchange_duration_seconds", "Time of one HTTP exchange with the vendor.", prometheus.ExponentialBuckets(0.001, 2.5, 12)),
		lag:          histogram("delivery_lag_seconds", "Time from accepting a call to its delivery.", prometheus.ExponentialBuckets(0.001, 4, 14)),
		backlog:      &backlogCollector{},
	}
	m.all = []prometheus.Collector{m.outcomes, m.retries, m.ambiguous, m.inDoubt, m.exchanges, m.diagnostics, m.saveFailures, m.forgotten, m.remembered, m.states, m.window, m.windowBytes, m.parked, m.blockedIDs, m.held, m.heldRetries, m.withdrawn, m.inFlight, m.duration, m.lag, m.backlog}
	reg.MustRegister(m.all...)
	return m
}

// destinationMetrics are one destination's, resolved once: counting takes no lock and no lookup by strings.
type destinationMetrics struct {
	name         string
	all          *Metrics
	outcomes     map[outcomeKey]prometheus.Counter
	delivered    [segment.Group + 1]prometheus.Counter // by type, without a reason
	answers      [6]prometheus.Counter                 // by the hundreds of the status
	errors       map[string]prometheus.Counter
	retries      prometheus.Counter
	ambiguous    prometheus.Counter
	inDoubt      prometheus.Counter
	saveFailures prometheus.Counter
	forgotten    prometheus.Counter
	remembered   prometheus.Gauge
	window       prometheus.Gauge
	windowBytes  prometheus.Gauge
	parked       prometheus.Gauge
	blockedIDs   prometheus.Gauge
	held         prometheus.Gauge
	heldRetries  prometheus.Counter
	withdrawn    prometheus.Counter
	inFlight     prometheus.Gauge
	duration     prometheus.Observer
	lagSeconds   prometheus.Observer

	head   func() (uint64, journal.Position)
	ended  atomic.Uint64
	oldest atomic.Int64 // Unix nanoseconds, 0 when nothing waits
}

type outcomeKey struct {
	callType        segment.Type
	outcome, reason string
}

// The states of a destination beside those of its breaker.
const (
	statePaused  = "paused"  // its operator has paused it, whatever else it is
	stateRemoved = "removed" // it is not configured any more, and keeps what it had
)

// destinationStates lists every state of a destination.
var destinationStates = func() []string {
	all := []string{statePaused, stateRemoved}
	for _, s := range breaker.States {
		all = append(all, string(s))
	}
	return all
}()

// destination makes one destination's metrics, at zero so that zero is visible: what an alert looks at must be there before it
// grows. Calls that are dropped are there at zero where they are aliases; of other types only once there is one, for they
// would be half of all series.
func (m *Metrics) destination(name string) *destinationMetrics {
	d := &destinationMetrics{
		name: name, all: m, outcomes: map[outcomeKey]prometheus.Counter{}, errors: map[string]prometheus.Counter{},
		retries: m.retries.WithLabelValues(name), ambiguous: m.ambiguous.WithLabelValues(name), inDoubt: m.inDoubt.WithLabelValues(name),
		forgotten: m.forgotten.WithLabelValues(name), remembered: m.remembered.WithLabelValues(name),
		saveFailures: m.saveFailures.WithLabelValues(name), window: m.window.WithLabelValues(name), windowBytes: m.windowBytes.WithLabelValues(name), parked: m.parked.WithLabelValues(name), inFlight: m.inFlight.WithLabelValues(name),
		blockedIDs: m.blockedIDs.WithLabelValues(name), held: m.held.WithLabelValues(name), heldRetries: m.heldRetries.WithLabelValues(name), withdrawn: m.withdrawn.WithLabelValues(name),
		duration: m.duration.WithLabelValues(name), lagSeconds: m.lag.WithLabelValues(name),
	}
	for _, t := range segment.Types {
		d.delivered[t] = d.counterOf(t, outcomeDelivered, "")
		for _, r := range adapter.DeadReasons {
			d.counterOf(t, outcomeDead, string(r))
		}
	}
	for _, r := range adapter.DropReasons {
		d.counterOf(segment.Alias, outcomeDropped, string(r))
	}
	for class := 1; class < len(d.answers); class++ {
		d.answers[class] = m.exchanges.WithLabelValues(name, strconv.Itoa(class)+"xx")
	}
	for _, kind := range slices.Concat(httpclient.ErrorKinds, []string{string(adapter.NotTheVendor)}) {
		d.errors[kind] = m.exchanges.WithLabelValues(name, kind)
	}
	for _, code := range segment.RouteDiagnosticCodes {
		m.diagnostics.WithLabelValues(name, code)
	}
	d.setState(string(breaker.Closed))
	return d
}

func (d *destinationMetrics) counterOf(t segment.Type, outcome, reason string) prometheus.Counter {
	key := outcomeKey{t, outcome, reason}
	c := d.outcomes[key]
	if c == nil {
		c = d.all.outcomes.WithLabelValues(d.name, t.String(), outcome, reason)
		d.outcomes[key] = c
	}
	return c
}

// outcomeCounts are the calls that have ended, those that there were.
func (d *destinationMetrics) outcomeCounts() []OutcomeCount {
	counts := []OutcomeCount{}
	for key, counter := range d.outcomes {
		if n := counted(counter); n > 0 {
			why := adapter.Reason(key.reason).Explain()
			counts = append(counts, OutcomeCount{key.callType.String(), key.outcome, key.reason, why, n})
		}
	}
	slices.SortFunc(counts, func(a, b OutcomeCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Reason, b.Reason))
	})
	return counts
}

func (d *destinationMetrics) exchangeCounts() map[string]uint64 {
	counts := map[string]uint64{}
	count := func(result string, c prometheus.Counter) {
		if n := counted(c); n > 0 {
			counts[result] = n
		}
	}
	for class := 1; class < len(d.answers); class++ {
		count(strconv.Itoa(class)+"xx", d.answers[class])
	}
	for kind, c := range d.errors {
		count(kind, c)
	}
	return counts
}

// counted reads a counter back.
func counted(c prometheus.Counter) uint64 {
	var m dto.Metric
	if c.Write(&m) != nil {
		return 0
	}
	return uint64(m.GetCounter().GetValue())
}

// outcome belongs to the pipeline's loop.
func (d *destinationMetrics) outcome(t segment.Type, outcome, reason string) {
	if outcome == outcomeDelivered && reason == "" {
		d.delivered[t].Inc()
		return
	}
	d.counterOf(t, outcome, reason).Inc()
}

func (d *destinationMetrics) diagnostic(code string) {
	d.all.diagnostics.WithLabelValues(d.name, code).Inc()
}

// exchange counts one; foreign is why its answer is not the vendor's, where it is not.
func (d *destinationMetrics) exchange(r httpclient.Response, foreign string, took time.Duration) {
	c := d.errors[httpclient.KindOther]
	switch class := r.Status / 100; {
	case r.Err != nil:
		c = d.errors[httpclient.ErrorKind(r.Err)]
	case foreign != "":
		c = d.errors[foreign]
	case class >= 1 && class < len(d.answers):
		c = d.answers[class]
	}
	c.Inc()
	d.duration.Observe(took.Seconds())
}

func (d *destinationMetrics) lag(took time.Duration) { d.lagSeconds.Observe(took.Seconds()) }

func (d *destinationMetrics) setState(state string) {
	for _, s := range destinationStates {
		value := 0.0
		if s == state {
			value = 1
		}
		d.all.states.WithLabelValues(d.name, s).Set(value)
	}
}

// follow starts to report the backlog.
func (d *destinationMetrics) follow(head func() (uint64, journal.Position), ended uint64) {
	d.head = head
	d.ended.Store(ended)
	d.all.backlog.add(d)
}

// pipelineState is what the gauges of one destination show.
type pipelineState struct {
	ended                          uint64
	oldest                         time.Time // zero when nothing waits
	window, parked, held, inFlight int
	blockedIDs, bytes              int
}

func (d *destinationMetrics) state(s pipelineState) {
	d.ended.Store(s.ended)
	nanos := int64(0)
	if !s.oldest.IsZero() {
		nanos = s.oldest.UnixNano()
	}
	d.oldest.Store(nanos)
	d.window.Set(float64(s.window))
	d.windowBytes.Set(float64(s.bytes))
	d.parked.Set(float64(s.parked))
	d.blockedIDs.Set(float64(s.blockedIDs))
	d.held.Set(float64(s.held))
	d.inFlight.Set(float64(s.inFlight))
}

// backlogCollector works out the backlogs when they are asked for.
type backlogCollector struct {
	mu           sync.Mutex
	destinations []*destinationMetrics
}

var (
	backlogCalls = prometheus.NewDesc("aka_backlog_calls", "Accepted calls that have not ended at the destination.", []string{"destination"}, nil)
	backlogAge   = prometheus.NewDesc("aka_backlog_seconds", "Age of the oldest call that has not ended at the destination, as far as it is read.", []string{"destination"}, nil)
)

func (c *backlogCollector) add(d *destinationMetrics) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.destinations = append(c.without(d.name), d)
}

// forget takes a destination out.
func (c *backlogCollector) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.destinations = c.without(name)
}

// without are the others than one, which may have run under its name before.
func (c *backlogCollector) without(name string) []*destinationMetrics {
	return slices.DeleteFunc(c.destinations, func(d *destinationMetrics) bool { return d.name == name })
}

// Describe implements prometheus.Collector.
func (c *backlogCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- backlogCalls
	ch <- backlogAge
}

// Collect implements prometheus.Collector.
func (c *backlogCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.destinations {
		ended := d.ended.Load()
		calls, _ := d.head()
		age := 0.0
		if oldest := d.oldest.Load(); oldest != 0 {
			age = max(time.Since(time.Unix(0, oldest)).Seconds(), 0)
		}
		ch <- prometheus.MustNewConstMetric(backlogCalls, prometheus.GaugeValue, float64(max(calls, ended)-ended), d.name)
		ch <- prometheus.MustNewConstMetric(backlogAge, prometheus.GaugeValue, age, d.name)
	}
}

// Kept is what is counted of a destination that was removed and keeps what it had.
type Kept struct{ metrics *destinationMetrics }

// Keep shows a destination as removed. calls is how many the log had accepted by then.
func (m *Metrics) Keep(destination string, calls uint64) *Kept {
	d := &destinationMetrics{name: destination, all: m, outcomes: map[outcomeKey]prometheus.Counter{}}
	d.setState(stateRemoved)
	for _, of := range []*prometheus.GaugeVec{m.window, m.windowBytes, m.inFlight} {
		of.WithLabelValues(destination).Set(0)
	}
	d.follow(func() (uint64, journal.Position) { return calls, journal.Position{} }, calls)
	return &Kept{d}
}

// Ended tells how many calls have ended, of all that were accepted.
func (k *Kept) Ended(calls uint64) { k.metrics.ended.Store(calls) }

// TooOld counts a call that has become a dead letter.
func (k *Kept) TooOld(t segment.Type) { k.metrics.outcome(t, outcomeDead, string(adapter.TooOld)) }

// Forget lets go of all that is counted of a destination, which must not be running.
func (m *Metrics) Forget(destination string) {
	m.backlog.forget(destination)
	labels := prometheus.Labels{"destination": destination}
	for _, c := range m.all {
		if vector, ok := c.(interface {
			DeletePartialMatch(prometheus.Labels) int
		}); ok {
			vector.DeletePartialMatch(labels)
		}
	}
}
