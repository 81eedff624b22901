package concurrency

import (
	"math/rand/v2"
	"slices"
	"time"
)

// The simulation: a machine with work without end, whose CPU does one thing at a time, and a vendor. Time is virtual.

// vendor says how an exchange that arrives ends, and after how long. left is called when it is over.
type vendor interface {
	arrive(now time.Duration, random *rand.Rand) (after time.Duration, outcome Outcome)
	left(now time.Duration, outcome Outcome)
}

type happening struct {
	at    time.Duration
	order int
	do    func()
}

func (h *happening) before(other *happening) bool {
	return h.at < other.at || h.at == other.at && h.order < other.order
}

// happenings is a heap, the next first.
type happenings []happening

func (h *happenings) push(x happening) {
	all := append(*h, x)
	for i := len(all) - 1; i > 0; {
		parent := (i - 1) / 2
		if !all[i].before(&all[parent]) {
			break
		}
		all[i], all[parent] = all[parent], all[i]
		i = parent
	}
	*h = all
}

func (h *happenings) pop() happening {
	all := *h
	first, last := all[0], len(all)-1
	all[0], all[last] = all[last], happening{}
	all = all[:last]
	for i := 0; ; {
		next := 2*i + 1
		if next >= last {
			break
		}
		if next+1 < last && all[next+1].before(&all[next]) {
			next++
		}
		if !all[next].before(&all[i]) {
			break
		}
		all[i], all[next] = all[next], all[i]
		i = next
	}
	*h = all
	return first
}

// sample is how an exchange ended.
type sample struct {
	at, latency time.Duration
	outcome     Outcome
}

type simulation struct {
	limiter *Limiter
	vendor  vendor
	random  *rand.Rand
	// cost is what the CPU does before and after an exchange, each.
	cost time.Duration
	// demand is how many exchanges there are to do at a time; 0 is without end.
	demand int
	// retryAfter is what a 429 asks to wait. A short wait is its exchange's, so it changes nothing where there is work without end.
	retryAfter time.Duration
	// lateness is by how much a timer may be late.
	lateness time.Duration

	now      time.Duration
	coming   happenings
	order    int
	woken    time.Duration
	cpuFree  time.Duration
	cpuBusy  time.Duration
	inFlight int
	samples  []sample
	paused   time.Duration // until then
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newSimulation(v vendor, seed uint64, o Options) *simulation {
	return &simulation{limiter: New(o, start), vendor: v, random: rand.New(rand.NewPCG(seed, 1)), cost: 25 * time.Microsecond}
}

func (s *simulation) at(when time.Duration, do func()) {
	s.order++
	s.coming.push(happening{when, s.order, do})
}

const cpuInterval = 100 * time.Millisecond

// run lets the time pass until then.
func (s *simulation) run(until time.Duration) {
	if s.order == 0 {
		s.at(s.now+cpuInterval, s.watchCPU)
	}
	s.begin()
	for len(s.coming) > 0 && s.coming[0].at <= until {
		h := s.coming.pop()
		s.now = h.at
		h.do()
	}
	s.now = until
}

func (s *simulation) watchCPU() {
	s.limiter.SetSaturated(10*s.cpuBusy >= 9*cpuInterval)
	s.cpuBusy = 0
	s.at(s.now+cpuInterval, s.watchCPU)
}

// work returns when the CPU has done its part.
func (s *simulation) work() time.Duration {
	s.cpuFree = max(s.cpuFree, s.now) + s.cost
	s.cpuBusy += s.cost
	return s.cpuFree
}

// begin starts what may start.
func (s *simulation) begin() {
	for s.demand == 0 || s.inFlight < s.demand {
		if s.now < s.paused {
			s.wakeAt(start.Add(s.paused))
			return
		}
		ok, wake := s.limiter.Ready(start.Add(s.now))
		if !ok {
			s.wakeAt(wake)
			return
		}
		ticket := s.limiter.Begin(start.Add(s.now))
		s.inFlight++
		s.at(s.work(), func() { s.send(ticket) })
	}
}

func (s *simulation) wakeAt(wake time.Time) {
	at := wake.Sub(start)
	if wake.IsZero() || s.woken > s.now && s.woken <= at {
		return
	}
	s.woken = at
	if s.lateness > 0 {
		at += time.Duration(s.random.Int64N(int64(s.lateness)))
	}
	s.at(at, s.begin)
}

func (s *simulation) send(ticket Ticket) {
	written := s.now
	after, outcome := s.vendor.arrive(s.now, s.random)
	s.at(s.now+after, func() {
		s.vendor.left(s.now, outcome)
		s.at(s.work(), func() { s.end(ticket, outcome, s.now-written) })
	})
	if q, ok := s.vendor.(quoting); ok {
		remaining, reset := q.quota(s.now)
		reset -= after
		s.at(s.now+after, func() { s.at(s.work(), func() { s.limiter.Quota(start.Add(s.now), remaining, reset) }) })
	}
}

// quoting is a vendor whose answers say what remains of its quota, and for how long.
type quoting interface {
	quota(now time.Duration) (remaining int, reset time.Duration)
}

func (s *simulation) end(ticket Ticket, outcome Outcome, latency time.Duration) {
	s.inFlight--
	if outcome == Throttled && Pauses(s.retryAfter) {
		s.paused = s.now + s.retryAfter
	}
	s.limiter.End(start.Add(s.now), ticket, Result{Outcome: outcome, Latency: latency})
	s.samples = append(s.samples, sample{s.now, latency, outcome})
	s.begin()
}

// figures are those of a period.
type figures struct {
	perSecond float64       // that succeeded
	failed    float64       // share
	throttled float64       // share
	median    time.Duration // of those that succeeded
}

func (s *simulation) figures(from, to time.Duration) figures {
	var latencies []time.Duration
	var failed, throttled, all int
	for _, x := range s.samples {
		if x.at < from || x.at >= to {
			continue
		}
		all++
		switch x.outcome {
		case OK:
			latencies = append(latencies, x.latency)
		case Throttled:
			throttled++
		default:
			failed++
		}
	}
	f := figures{perSecond: float64(len(latencies)) / (to - from).Seconds()}
	if all > 0 {
		f.failed, f.throttled = float64(failed)/float64(all), float64(throttled)/float64(all)
	}
	if len(latencies) > 0 {
		slices.Sort(latencies)
		f.median = latencies[len(latencies)/2]
	}
	return f
}

// jittered is a time, give or take a fifth.
func jittered(d time.Duration, random *rand.Rand) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*random.Float64()))
}

// fixed has a latency that does not depend on the load. change may change it.
type fixed struct {
	latency time.Duration
	change  func(now time.Duration) time.Duration
}

func (v *fixed) arrive(now time.Duration, random *rand.Rand) (time.Duration, Outcome) {
	if v.change != nil {
		v.latency = v.change(now)
	}
	return jittered(v.latency, random), OK
}

func (v *fixed) left(time.Duration, Outcome) {}

// queueing has workers, and exchanges wait for one.
type queueing struct {
	latency time.Duration
	free    []time.Duration // when each is
}

func newQueueing(workers int, latency time.Duration) *queueing {
	return &queueing{latency: latency, free: make([]time.Duration, workers)}
}

func (v *queueing) arrive(now time.Duration, random *rand.Rand) (time.Duration, Outcome) {
	first := 0
	for i, at := range v.free {
		if at < v.free[first] {
			first = i
		}
	}
	v.free[first] = max(v.free[first], now) + jittered(v.latency, random)
	return v.free[first] - now, OK
}

func (v *queueing) left(time.Duration, Outcome) {}

// cliff takes so many at once. What comes above them fails: quickly, or by a timeout. Where it is steep, what hangs takes a place.
type cliff struct {
	latency time.Duration
	places  int
	timeout time.Duration // 0 is an error at once
	steep   bool
	taken   int
}

func (v *cliff) arrive(_ time.Duration, random *rand.Rand) (time.Duration, Outcome) {
	if v.taken < v.places {
		v.taken++
		return jittered(v.latency, random), OK
	}
	if v.timeout == 0 {
		return jittered(5*time.Millisecond, random), Failed
	}
	if v.steep {
		v.taken++
	}
	return v.timeout, TimedOut
}

func (v *cliff) left(_ time.Duration, outcome Outcome) {
	if outcome == OK || v.steep && outcome == TimedOut {
		v.taken--
	}
}

// failing fails a share of the exchanges, whatever the load.
type failing struct {
	fixed
	share float64
}

func (v *failing) arrive(now time.Duration, random *rand.Rand) (time.Duration, Outcome) {
	after, _ := v.fixed.arrive(now, random)
	if random.Float64() < v.share {
		return after, Failed
	}
	return after, OK
}

// capped takes so many per second: in windows of the clock, or by a bucket of burst, and one.
type capped struct {
	latency   time.Duration
	perSecond float64
	windows   bool
	burst     float64
	phase     time.Duration

	window time.Duration
	count  float64
	last   time.Duration
	tokens float64
	filled bool
}

func (v *capped) arrive(now time.Duration, random *rand.Rand) (time.Duration, Outcome) {
	after := jittered(v.latency, random)
	if v.takes(now) {
		return after, OK
	}
	return after, Throttled
}

func (v *capped) takes(now time.Duration) bool {
	if v.windows {
		if w := (now + v.phase) / time.Second; w != v.window {
			v.window, v.count = w, 0
		}
		v.count++
		return v.count <= v.perSecond
	}
	full := max(v.burst, 1)
	if !v.filled {
		v.filled, v.tokens = true, full
	}
	v.tokens = min(full, v.tokens+(now-v.last).Seconds()*v.perSecond)
	v.last = now
	if v.tokens < 1 {
		return false
	}
	v.tokens--
	return true
}

func (v *capped) left(time.Duration, Outcome) {}

// telling is a capped vendor that counts by the second, and says what remains.
type telling struct{ capped }

func (v *telling) quota(now time.Duration) (int, time.Duration) {
	return int(max(0, v.perSecond-v.count)), time.Second - (now+v.phase)%time.Second
}
