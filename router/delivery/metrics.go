package delivery

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"aka/destinations/adapter"
	"aka/router/deststate"
	"aka/router/httpclient"
	"aka/router/journal"
	"aka/router/segment"
)

// Metrics are the deliveries' metrics, of all destinations.
type Metrics struct {
	outcomes          *prometheus.CounterVec
	retries           *prometheus.CounterVec
	possiblyDelivered *prometheus.CounterVec
	afterCrash        *prometheus.CounterVec
	exchanges         *prometheus.CounterVec
	diagnostics       *prometheus.CounterVec
	ignored           *prometheus.CounterVec
	newIDsLost        *prometheus.CounterVec
	saveFailures      *prometheus.CounterVec
	forgotten         *prometheus.CounterVec
	ledgerLost        *prometheus.CounterVec
	remembered        *prometheus.GaugeVec
	states            *prometheus.GaugeVec
	window            *prometheus.GaugeVec
	windowBytes       *prometheus.GaugeVec
	parked            *prometheus.GaugeVec
	blockedIDs        *prometheus.GaugeVec
	blocking          *prometheus.GaugeVec
	blockingRetries   *prometheus.CounterVec
	withdrawn         *prometheus.CounterVec
	dropsNotKept      *prometheus.CounterVec
	inFlight          *prometheus.GaugeVec
	duration          *prometheus.HistogramVec
	lag               *prometheus.HistogramVec
	backlog           *backlogCollector
	merges            mergeMetrics
	pace              paceMetrics
	all               []prometheus.Collector
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
		outcomes: counter("outcomes_total", "Calls that ended, by how: delivered, dropped with a reason, or dead (kept as a dead letter) with a reason. At a dry destination would_send, in place of delivered.",
			"type", "outcome", "reason"),
		retries:           counter("retries_total", "Tries that failed and will be repeated."),
		possiblyDelivered: counter("possibly_delivered_total", "Tries that failed with no answer, a 5xx or an answer that is not the vendor's: the vendor may have acted on them."),
		afterCrash:        counter("possibly_delivered_after_crash_total", "Calls taken up after a crash that had not ended when the progress was last saved: the run before may have delivered them."),
		exchanges:         counter("exchanges_total", "HTTP exchanges with the vendor, by the class of the answer or the kind of error; not_the_vendor is a success that somebody else answered.", "result"),
		diagnostics:       counter("routing_diagnostics_total", "Oddities in the integrations of calls, as seen by the destination.", "code"),
		ignored:           counter("options_ignored_total", "Options in the integrations of calls that make no sense for the vendor. The calls go without them."),
		newIDsLost:        counter("new_ids_lost_total", "Repaired aliases of browsers that may hide a new id, which the SDK has not sent: the link was there before, or may have been."),
		saveFailures:      counter("progress_save_failures_total", "Failed attempts to save the progress."),
		forgotten:         counter("merges_forgotten_total", "Ids that the memory of merges has forgotten, those first that were merged or seen last in the longest time."),
		remembered:        gauge("merges_remembered", "Ids that the memory of merges knows, where remember_merges is on."),
		ledgerLost:        counter("merges_ledger_lost_total", "Entries of the merge ledger that were not written, because the disk was full for too long."),
		states:            gauge("destination_state", "1 for the state that the destination is in, 0 for the others: "+stateNames()+".", "state"),
		window:            gauge("window_calls", "Calls held in memory, waiting or in flight."),
		windowBytes:       gauge("window_bytes", "Memory that calls take: waiting, in flight, or parked and in memory, too."),
		parked:            gauge("parked_calls", "Calls on disk because they fail while others pass, or wait behind a blocked identity."),
		blockedIDs:        gauge("blocked_ids", "Ids of calls that wait on disk behind a blocked identity."),
		blocking:          gauge("blocking_dead_letters", "Dead letters that block the calls behind them until they are replayed or discarded. They are among the parked calls."),
		blockingRetries:   counter("blocking_dead_letter_retries_total", "Blocking dead letters that were retried."),
		withdrawn:         counter("dead_letters_withdrawn_total", "Dead letters that were withdrawn because the destination refused every call. Each call ends once more."),
		dropsNotKept:      counter("dropped_not_kept_total", "Dropped calls that were to be kept and could not be stored: they cannot be replayed.", "reason"),
		inFlight:          gauge("exchanges_in_flight", "HTTP exchanges in flight."),
		duration:          histogram("exchange_duration_seconds", "Time of one HTTP exchange with the vendor.", prometheus.ExponentialBuckets(0.001, 2.5, 12)),
		lag:               histogram("delivery_lag_seconds", "Time from accepting a call to its delivery.", prometheus.ExponentialBuckets(0.001, 4, 14)),
		backlog:           &backlogCollector{},
		merges:            newMergeMetrics(counter, gauge),
		pace:              newPaceMetrics(counter, gauge),
	}
	m.all = []prometheus.Collector{m.outcomes, m.retries, m.possiblyDelivered, m.afterCrash, m.exchanges, m.diagnostics, m.ignored, m.newIDsLost, m.saveFailures, m.forgotten, m.ledgerLost, m.remembered, m.states, m.window, m.windowBytes, m.parked, m.blockedIDs, m.blocking, m.blockingRetries, m.withdrawn, m.dropsNotKept, m.inFlight, m.duration, m.lag, m.backlog}
	m.all = append(append(m.all, m.merges.collectors()...), m.pace.collectors()...)
	reg.MustRegister(m.all...)
	return m
}

// stateNames lists the states with their names, where those say more.
func stateNames() string {
	var names []string
	for _, s := range deststate.All() {
		name := string(s)
		if s.Name() != name {
			name += " (" + s.Name() + ")"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// destinationMetrics are one destination's, resolved once: counting takes no lock and no lookup by strings.
type destinationMetrics struct {
	name              string
	all               *Metrics
	outcomes          map[outcomeKey]prometheus.Counter
	delivered         [segment.Group + 1]prometheus.Counter // by type, without a reason
	answers           [6]prometheus.Counter                 // by the hundreds of the status
	errors            map[string]prometheus.Counter
	retries           prometheus.Counter
	possiblyDelivered prometheus.Counter
	afterCrash        prometheus.Counter
	ignored           prometheus.Counter
	newIDsLost        prometheus.Counter
	saveFailures      prometheus.Counter
	forgotten         prometheus.Counter
	ledgerLost        prometheus.Counter
	remembered        prometheus.Gauge
	window            prometheus.Gauge
	windowBytes       prometheus.Gauge
	parked            prometheus.Gauge
	blockedIDs        prometheus.Gauge
	blocking          prometheus.Gauge
	blockingRetries   prometheus.Counter
	withdrawn         prometheus.Counter
	inFlight          prometheus.Gauge
	duration          prometheus.Observer
	lagSeconds        prometheus.Observer
	merges            ownMergeMetrics
	pace              ownPaceMetrics

	head   func() (uint64, journal.Position)
	ended  atomic.Uint64
	oldest atomic.Int64 // Unix nanoseconds, 0 when nothing waits
}

type outcomeKey struct {
	callType        segment.Type
	outcome, reason string
}

// destination makes one destination's metrics, at zero so that zero is visible: what an alert looks at must be there before it
// grows. Calls that are dropped are there at zero where they are aliases; of other types only once there is one, for they
// would be half of all series. A dry destination has would_send in place of delivered.
func (m *Metrics) destination(name string, dry bool) *destinationMetrics {
	d := &destinationMetrics{
		name: name, all: m, outcomes: map[outcomeKey]prometheus.Counter{}, errors: map[string]prometheus.Counter{},
		retries: m.retries.WithLabelValues(name), possiblyDelivered: m.possiblyDelivered.WithLabelValues(name), afterCrash: m.afterCrash.WithLabelValues(name),
		forgotten: m.forgotten.WithLabelValues(name), ledgerLost: m.ledgerLost.WithLabelValues(name), remembered: m.remembered.WithLabelValues(name),
		ignored: m.ignored.WithLabelValues(name), newIDsLost: m.newIDsLost.WithLabelValues(name), saveFailures: m.saveFailures.WithLabelValues(name), window: m.window.WithLabelValues(name), windowBytes: m.windowBytes.WithLabelValues(name), parked: m.parked.WithLabelValues(name), inFlight: m.inFlight.WithLabelValues(name),
		blockedIDs: m.blockedIDs.WithLabelValues(name), blocking: m.blocking.WithLabelValues(name), blockingRetries: m.blockingRetries.WithLabelValues(name), withdrawn: m.withdrawn.WithLabelValues(name),
		duration: m.duration.WithLabelValues(name), lagSeconds: m.lag.WithLabelValues(name), merges: m.merges.of(name), pace: m.pace.of(name),
	}
	ended := outcomeDelivered
	if dry {
		ended = outcomeWouldSend
	}
	for _, t := range segment.Types {
		d.delivered[t] = d.counterOf(t, ended, "")
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
	d.setState(deststate.OK)
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
	if (outcome == outcomeDelivered || outcome == outcomeWouldSend) && reason == "" {
		d.delivered[t].Inc()
		return
	}
	d.counterOf(t, outcome, reason).Inc()
}

// notKept counts the calls that were dropped for a reason, and were to be kept and could not be.
func (d *destinationMetrics) notKept(reason string) prometheus.Counter {
	return d.all.dropsNotKept.WithLabelValues(d.name, reason)
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

func (d *destinationMetrics) setState(state deststate.State) {
	for _, s := range deststate.All() {
		value := 0.0
		if s == state {
			value = 1
		}
		d.all.states.WithLabelValues(d.name, string(s)).Set(value)
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
	ended                              uint64
	oldest                             time.Time // zero when nothing waits
	window, parked, blocking, inFlight int
	blockedIDs, bytes                  int
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
	d.blocking.Set(float64(s.blocking))
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

// Orphan is what is counted of a destination that was removed and keeps what it had.
type Orphan struct{ metrics *destinationMetrics }

// AddOrphan shows a destination as removed. calls is how many the log had accepted by then.
func (m *Metrics) AddOrphan(destination string, calls uint64) *Orphan {
	d := &destinationMetrics{name: destination, all: m, outcomes: map[outcomeKey]prometheus.Counter{}}
	d.setState(deststate.Removed)
	for _, of := range []*prometheus.GaugeVec{m.window, m.windowBytes, m.inFlight} {
		of.WithLabelValues(destination).Set(0)
	}
	d.follow(func() (uint64, journal.Position) { return calls, journal.Position{} }, calls)
	return &Orphan{d}
}

// Ended tells how many calls have ended, of all that were accepted.
func (k *Orphan) Ended(calls uint64) { k.metrics.ended.Store(calls) }

// TooOld counts a call that has become a dead letter.
func (k *Orphan) TooOld(t segment.Type) { k.metrics.outcome(t, outcomeDead, string(adapter.TooOld)) }

// Forget drops the metrics of a destination, which must not be running.
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
