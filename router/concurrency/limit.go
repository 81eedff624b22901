package concurrency

import "time"

// growth is how the limit grows.
type growth struct {
	quickBelow int // 0 once there was harm
	step       int // by which it grew last
	// ceiling is the limit at which there was harm last. Near it the limit grows by one step per pace, which is at least how long the
	// failures took that told of the harm, and doubles when there is harm again.
	ceiling int
	pace    time.Duration
	at      time.Duration // when it grew or shrank last
}

const (
	minPace = 100 * time.Millisecond
	maxPace = time.Minute
)

// grow adds half of the limit where there was no harm yet: to double it would send a vendor that counts by the second more than it can
// take before its first 429 is back. Else each step is one more than the one before, up to an eighth of the limit.
func (l *Limiter) grow(now time.Duration) {
	g := &l.growth
	switch {
	case l.limit < g.quickBelow:
		g.step = l.limit / 2
	case !g.near(l.limit):
		g.step = min(g.step+1, max(1, l.limit/8))
	case now-g.at < g.pace:
		return
	default:
		g.step = max(1, g.ceiling/50)
	}
	g.at = now
	l.proven = l.limit
	l.set(now, l.limit+g.step, Growth)
}

// near reports whether a limit is within a tenth of the ceiling, or one of it.
func (g *growth) near(limit int) bool {
	distance := max(limit-g.ceiling, g.ceiling-limit)
	return g.ceiling > 0 && distance <= max(1, g.ceiling/10)
}

// harm notes harm at a limit.
func (g *growth) harm(now time.Duration, limit int) {
	pace := time.Duration(0)
	if g.near(limit) {
		pace = min(max(2*g.pace, minPace), maxPace)
	}
	*g = growth{ceiling: limit, pace: pace, at: now}
}

// failures are those since the last shrink or window.
type failures struct {
	since             time.Duration
	succeeded, failed int
	lost              time.Duration // that failures held their places
	slowest           time.Duration
	lowest            int // at which one of them began
	// ignored is when the limit was last lowered: what began before says nothing of the new limit. from is the limit that was, and
	// late how many of its exchanges have failed.
	ignored    time.Duration
	from, late int
}

const (
	// minFailures and one in maxFailed of the exchanges, or one in maxLost of the time of all places, is harm. A timeout counts for
	// little among many quick exchanges, but holds its place for as long as a hundred of them.
	minFailures = 3
	maxFailed   = 33
	maxLost     = 10
	// slowFailure times the base is how long a failure takes that tells of what was, rather than of what is.
	slowFailure = 4
)

// failed takes in an exchange that failed. It lowers the limit at once when there are too many, and further when most of those fail
// that began before.
func (l *Limiter) failed(now time.Duration, t Ticket) {
	f := &l.failures
	if t.began <= f.ignored {
		f.late++
		if limit := f.from - min(f.late, f.from/2); f.from > 0 && limit < l.limit {
			l.limit = l.clamp(limit) // the same change as before
		}
		return
	}
	took, harmed := now-t.began, t.limit
	if took > slowFailure*l.base {
		harmed = t.inFlight // the limit may have grown far above what the vendor takes, until it was noticed
	}
	f.add(took, harmed)
	if f.harm(now, l.limit) {
		late, slowest := f.failed, f.slowest
		l.shrink(now, max(f.lowest, l.limit/2), Errors)
		l.growth.pace = max(l.growth.pace, slowest)
		l.failures.late = late
	}
}

func (f *failures) add(took time.Duration, limit int) {
	if f.failed == 0 || limit < f.lowest {
		f.lowest = limit
	}
	f.failed++
	f.lost += took
	f.slowest = max(f.slowest, took)
}

func (f *failures) harm(now time.Duration, limit int) bool {
	places := time.Duration(limit) * max(now-f.since, f.slowest)
	return f.failed >= minFailures && (f.failed*maxFailed >= max(f.succeeded, limit) || f.lost*maxLost >= places)
}

// forget begins anew once the failures are older than what they took.
func (f *failures) forget(now time.Duration) {
	if f.failed == 0 || now-f.since >= 2*f.slowest {
		*f = failures{since: now, ignored: f.ignored, from: f.from, late: f.late}
	}
}

// shrink lowers the limit to nine tenths of the one at which there was harm, but not below half. What is in flight does not lower
// it again. A 429 does not lower it below what the learned rate needs.
func (l *Limiter) shrink(now time.Duration, harmed int, why Why) {
	l.abandonMeasuring()
	harmed = min(harmed, l.limit)
	l.growth.harm(now, harmed)
	floor := l.limit / 2
	if why == Throttling {
		floor = max(floor, min(l.limit, l.needed()))
	}
	l.lower(now, max(harmed-max(1, harmed/10), floor), why)
}

func (l *Limiter) lower(now time.Duration, limit int, why Why) {
	l.failures = failures{since: now, ignored: now, from: l.limit}
	l.set(now, limit, why)
	l.proven = min(l.proven, l.limit)
	l.window.restart(now, l.inFlight)
	l.window.saturated = l.saturated
}

// measuring is a measurement of the latency at a lower load.
type measuring struct {
	active bool
	harm   bool          // is why it is made
	from   int           // the limit before
	before time.Duration // the latency before
	last   time.Duration // and at the limit before the present one
	due    time.Duration // when the next is to begin
}

// measureInterval is how often the base is measured again, but not more often than every measureTrips round trips.
const (
	measureInterval = 30 * time.Second
	measureTrips    = 100
)

// measure halves the limit, to see whether the latency falls with the load.
func (l *Limiter) measure(now, latency time.Duration) {
	if l.limit == l.options.Min {
		l.base = latency // there is no lower load
		l.measuring.due = now + max(measureInterval, measureTrips*latency)
		return
	}
	l.measuring = measuring{active: true, harm: l.harmful(latency), due: l.measuring.due, from: l.limit, before: latency, last: latency}
	l.limit = l.clamp(l.limit / 2)
}

// measured goes on while halving the limit makes the latency fall. The last latency is the base, and by Little's law the limit is
// what is in flight when that and minRise is all that an exchange takes.
func (l *Limiter) measured(now, latency time.Duration) {
	m := &l.measuring
	// A base that was measured need not be measured again to know that load was the reason.
	known := l.baseMeasured && m.harm && 4*latency <= 5*l.base
	if !known && 5*latency < 4*m.last && l.limit > l.options.Min {
		m.last = latency
		l.limit = l.clamp(l.limit / 2)
		return
	}
	if !known {
		l.base, l.baseMeasured = min(latency, m.last), true
	}
	if !known {
		m.due = now + max(measureInterval, measureTrips*latency)
	}
	l.abandonMeasuring()
	if l.rose(m.before) {
		l.growth.harm(now, m.from)
		l.lower(now, int(int64(m.from)*int64(l.base+minRise)/int64(m.before)), Latency)
	}
}

// abandonMeasuring puts the limit back.
func (l *Limiter) abandonMeasuring() {
	if l.measuring.active {
		l.measuring.active = false
		l.limit = l.clamp(l.measuring.from)
	}
}
