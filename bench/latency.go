package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"aka/e2e/harness"
)

const (
	// latencyDestinationsOf is how many there are of each shape, one of each kind.
	latencyDestinationsOf = 3
	// latencySettle is the time in which a limit must have grown, and loadSettle the one in which it must have found what a vendor
	// takes that suffers from load.
	latencySettle = 5 * time.Second
	loadSettle    = 10 * time.Second
	// longer is by how much longer than -for shapes are measured that need time: 20 s by default. -for 24s makes that two minutes.
	longer = 5
	// mostLead is how many deliveries wait at least.
	mostLead = 60_000
	// usual is the latency of shapes that are about something else.
	usual = 100 * time.Millisecond
	// fixedLatency is the name of those rows that are drawn.
	fixedLatency = "answers after"
)

// The most that may be in flight with concurrency: adaptive.
const (
	mostInFlight = 1024
	mostAtVero   = 128
)

// The goals: a share of what could be, and what 429, 503 and the time to answer may be.
const (
	latencyGoal    = .9
	capGoal        = .95
	throttledGoal  = .01
	cliffGoal      = .8
	overloadedGoal = .02
	workersGoal    = .9
	meanGoal       = 2
)

// limits are what the config says of the concurrency.
type limits struct{ name, delivery string }

var (
	adaptive = limits{"adaptive", ""}
	fixed    = limits{fmt.Sprint(concurrency), fmt.Sprintf("concurrency: %d", concurrency)}
)

// durations are a flag.
type durations []time.Duration

// String implements flag.Value.
func (d *durations) String() string {
	var all []string
	for _, one := range *d {
		all = append(all, one.String())
	}
	return strings.Join(all, ",")
}

// Set implements flag.Value.
func (d *durations) Set(text string) error {
	*d = nil
	for part := range strings.SplitSeq(text, ",") {
		one, err := time.ParseDuration(part)
		if err != nil || one < 0 {
			return cmp.Or(err, errFlag)
		}
		*d = append(*d, one)
	}
	return nil
}

// group is destinations of one shape and limit, which are a row.
type group struct {
	row   Latency
	shape shape
	limits
	from, to int // their numbers
}

// latency measures aliases to vendors that answer at once, and then to those that take a while. The goal is by the first.
func latency(of limits) func(*bench) {
	return func(b *bench) {
		machine := 0.0
		for _, after := range slices.Concat(durations{0}, b.latencies) {
			if after == 0 && b.Short {
				continue
			}
			g := &group{shape: shape{latency: after}, limits: of}
			g.row.Name = fmt.Sprintf("%s %v", fixedLatency, after)
			b.alone(g, latencyDestinationsOf, machine)
			if after == 0 {
				machine = g.row.Rate
			}
		}
	}
}

// latencyDestinations measures how much one aka delivers to more destinations.
func latencyDestinations(b *bench) {
	for _, n := range []int{1, 3, 10} {
		g := &group{shape: shape{latency: usual}, limits: adaptive}
		g.row.Name = fmt.Sprintf("%d at once, answers after %v", n, usual)
		b.alone(g, n, 0)
	}
}

// alone measures destinations that have an aka for themselves, beside a bare client where the limit is adaptive. The machine is how
// much it delivers where vendors take no time; 0 is not known, and no goal.
func (b *bench) alone(g *group, destinations int, machine float64) {
	lead := min(mostLead, b.deliveries) / destinations
	w := b.startGroups(destinations, g)
	if machine > 0 && g.limits == adaptive && !b.Short {
		g.row.Goal = latencyGoal * min(machine, g.best(w))
	}
	settle := latencySettle
	if b.Short {
		settle = 0
	}
	before := w.cpu()
	deliveries := 0
	w.feed(lead, settle)
	w.profiled(fmt.Sprintf("%s %s", g.row.Name, g.limits.name), func() {
		before = w.cpu()
		deliveries = w.measure([]*group{g}, lead, b.duration)
	})
	g.row.Settle, g.row.CPU = settle.Seconds(), per100k(w.cpu()-before, deliveries)
	if all := w.finish(g); g.limits == adaptive && all != nil {
		limits := g.row.sum
		times := max(int(g.row.Rate*b.duration.Seconds()), 1)
		bare := w.runBare(all, times, limits)
		g.row.Bare, g.row.BareCPU = float64(times)/bare.Took.Seconds(), per100k(bare.CPU, times)
	}
	w.Stop()
	b.report.Latency = append(b.report.Latency, g.row)
}

// best is how many deliveries a second the limits and the shape allow.
func (g *group) best(w *world) (all float64) {
	for _, d := range w.Destinations[g.from:g.to] {
		most := mostInFlight
		if d.Vendor == "vero" {
			most = mostAtVero
		}
		all += g.shape.best(most)
	}
	return all
}

// caps measures vendors that answer 429 above a rate, from the first exchange on: with and without Retry-After.
func caps(of shape) func(*bench) {
	of.latency = usual
	says := of
	says.retryAfter = true
	return func(b *bench) {
		goals := Latency{Goal: capGoal, ThrottledGoal: throttledGoal}
		b.together(goals, 0, of, says)
	}
}

func cliffs(b *bench) {
	b.together(Latency{Goal: cliffGoal, OverloadedGoal: overloadedGoal}, loadSettle, shape{latency: usual, places: 8}, shape{latency: usual, places: 40})
}

func workers(b *bench) {
	b.together(Latency{Goal: workersGoal, MeanGoal: meanGoal * ms(usual)}, loadSettle, shape{latency: usual, workers: 8}, shape{latency: usual, workers: 40})
}

// together measures shapes that take little from anyone, so that one aka has all of them, with both limits.
func (b *bench) together(goals Latency, settle time.Duration, shapes ...shape) {
	const lead = 2 * batchCalls
	var groups []*group
	for _, s := range shapes {
		groups = append(groups, &group{row: goals, shape: s, limits: adaptive}, &group{shape: s, limits: fixed})
	}
	w := b.startGroups(latencyDestinationsOf, groups...)
	for _, g := range groups {
		g.row.Name, g.row.Settle = g.shape.name(), settle.Seconds()
		g.row.Goal *= g.best(w)
	}
	w.feed(lead, settle)
	w.measure(groups, lead, longer*b.duration)
	w.finish(groups...)
	w.Stop()
	for _, g := range groups {
		b.report.Latency = append(b.report.Latency, g.row)
	}
}

// name says what a shape does, but for its latency.
func (s shape) name() (name string) {
	switch {
	case s.places > 0:
		return fmt.Sprintf("503 above %d in flight", s.places)
	case s.workers > 0:
		return fmt.Sprintf("%d workers", s.workers)
	case s.bySecond:
		name = fmt.Sprintf("429 above %d, by the second", s.perSecond)
	default:
		name = fmt.Sprintf("429 above %d/s, bucket of %d", s.perSecond, s.bucket)
	}
	if s.retryAfter {
		name += ", Retry-After"
	}
	return name
}

// startGroups starts an aka with so many destinations for each group.
func (b *bench) startGroups(each int, groups ...*group) *world {
	s := setup{bare: shape{latency: groups[0].shape.latency}}
	var all []harness.Destination
	for _, g := range groups {
		g.from, g.to = len(all), len(all)+each
		for i := range each {
			d := vendorTypes[i%len(vendorTypes)]
			d.Name, d.Delivery = fmt.Sprintf("%s-%d", d.Vendor, len(all)), g.delivery
			all, s.shapes = append(all, d), append(s.shapes, g.shape)
		}
		g.row.Concurrency, g.row.Destinations, g.row.Answer = g.limits.name, each, ms(g.shape.latency)
	}
	w := newWorldOf(b, s, all, "127.0.0.1:0")
	w.start()
	return w
}

// feed keeps the fastest destination busy for a time: so many calls wait for it.
func (w *world) feed(lead int, during time.Duration) {
	t, end := aliasBatches(w.base, ""), time.Now().Add(during)
	w.Until("the time has passed", func() bool {
		fastest := 0
		for _, a := range w.askAll(0) {
			fastest = max(fastest, a.Delivered)
		}
		if calls := fastest + lead - int(w.People.Load()); calls >= batchCalls {
			w.fill(t, calls)
		}
		return time.Now().After(end)
	})
}

// measure fills the rows with what came in a time, and returns the deliveries.
func (w *world) measure(groups []*group, lead int, during time.Duration) (deliveries int) {
	before, begin := w.askAll(0), time.Now()
	w.feed(lead, during)
	after, took := w.askAll(0), time.Since(begin)
	for _, g := range groups {
		n := g.row.measured(before[g.from:g.to], after[g.from:g.to])
		g.row.Rate, g.row.Measured = float64(n)/took.Seconds(), took.Seconds()
		g.row.limits(w, w.Destinations[g.from:g.to])
		deliveries += n
	}
	return deliveries
}

// measured compares what vendors answered, and returns the deliveries between.
func (l *Latency) measured(before, after []accountReport) (deliveries int) {
	var sum answers
	for i := range after {
		a, b := after[i].Answers, before[i].Answers
		sum.Throttled += a.Throttled - b.Throttled
		sum.Overloaded += a.Overloaded - b.Overloaded
		sum.Taken += a.Taken - b.Taken
		sum.Waited += a.Waited - b.Waited
		deliveries += after[i].Delivered - before[i].Delivered
	}
	exchanges := float64(max(sum.Throttled+sum.Overloaded+sum.Taken, 1))
	l.Throttled, l.Overloaded = float64(sum.Throttled)/exchanges, float64(sum.Overloaded)/exchanges
	l.Mean = ms(sum.Waited) / float64(max(sum.Taken, 1))
	return deliveries
}

// limits asks aka for those of the destinations, and for the rates that it learned.
func (l *Latency) limits(w *world, all []harness.Destination) {
	for i, d := range all {
		l.Learned += w.Metric("aka_learned_rate", harness.Of(d.Name))
		limit := int(w.Metric("aka_concurrency_limit", harness.Of(d.Name)))
		if i == 0 {
			l.Low = limit
		}
		l.Low, l.High, l.sum = min(l.Low, limit), max(l.High, limit), l.sum+limit
	}
}

// finish has the vendors take everything at once, and checks all calls. Where that takes too long, some are left, and it returns nil.
func (w *world) finish(groups ...*group) []accountReport {
	_, err := fetch(w.Ctx, w.sink.said+"/recover")
	harness.Check(w, err)
	begin, left := time.Now(), 0
	w.Until("all is delivered", func() bool {
		left = len(w.Destinations)*int(w.People.Load()) - w.delivered()
		return left <= 0 || w.b.drain > 0 && time.Since(begin) > w.b.drain
	})
	if left <= 0 {
		w.untilEnded()
		return w.verify(w.People.Load())
	}
	for i, a := range w.verify(0) {
		for _, g := range groups {
			if g.from <= i && i < g.to {
				g.row.Left += int(w.People.Load()) - a.Delivered
			}
		}
	}
	return nil
}
