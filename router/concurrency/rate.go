package concurrency

import (
	"math"
	"time"
)

// rate is how many exchanges may begin per second. There is none until the first 429.
//
// On a 429 it becomes a little less than what passes, unless that is one alone among many. Then it grows by 1% after 30s, by 2% after 30s more, and so on, as long as it is
// what holds exchanges back. A first 429 may come before there is anything to measure: a vendor that allows no bursts says 429 to the
// first exchanges, whatever its rate. Then the rate is searched for: doubled until the next 429, and between the two from then on.
//
// A quota of a longer time than some seconds needs its Retry-After or its headers: while it is spent nothing passes, and the rate falls
// far below what it allows.
type rate struct {
	state     rateState
	perSecond float64
	changed   time.Duration
	lowered   time.Duration // what began before does not count
	since     time.Duration // when the state began
	next      time.Duration // when the next exchange may begin
	used      bool          // it held exchanges back since it was changed
	percent   float64       // by which it grew last
	cut       float64       // the part by which it was lowered last for want of a measurement
	trip      time.Duration // about a round trip
	count     int           // of what passed before the first 429
	last      time.Duration // when an exchange began last
	began     time.Duration // the same, since there is a rate
	low, high float64       // in a search: what passed, and what did not
	successes successes
	// throttledAt is when the last 429 came, and pauses whether nothing began for a while after one: each costs that much.
	throttledAt time.Duration
	pauses      bool

	left  int // what remains of a quota
	until time.Duration
}

// rateState is how a rate is known.
type rateState uint8

const (
	none      rateState = iota
	waiting             // until what was in flight at the first 429 has ended
	guessed             // by what passed before the first 429, or by a search
	doubling            // a search, until the next 429
	narrowing           // a search between what passed and what did not
	learned             // by what passed in five seconds
)

const (
	// margin is which part of what passes is used.
	margin  = 0.97
	maxCut  = 0.25
	minRate = 1
	// growInterval is how long a rate is kept before it grows, doubleInterval in a search.
	growInterval   = 30 * time.Second
	doubleInterval = 400 * time.Millisecond
	// enoughPassed is how many must have passed before the first 429 for it to tell the rate: twice what was sent at once.
	enoughPassed = 2 * Initial
	// searchFrom is the rate with which a search begins, searched the ratio of what did not pass to what passed at which a search ends.
	searchFrom = 4
	searched   = 1.06
	maxLag     = 2 * time.Millisecond
	// enoughForStray is how many must have passed in five seconds for one 429 among them to say nothing.
	enoughForStray = 150
)

// ready reports whether an exchange may begin.
func (r *rate) ready(now time.Duration) bool {
	if r.quotaSpent(now) {
		return false
	}
	if r.perSecond == 0 {
		return true
	}
	if r.state == waiting && now >= r.next {
		r.first(now)
	}
	if now >= r.next {
		return true
	}
	r.used = true
	return false
}

func (r *rate) quotaSpent(now time.Duration) bool { return now < r.until && r.left <= 0 }

// opens returns when ready is true.
func (r *rate) opens(now time.Duration) time.Duration {
	if r.quotaSpent(now) {
		return max(r.next, r.until)
	}
	return r.next
}

func (r *rate) begin(now time.Duration) {
	r.left--
	r.successes.start(now)
	r.pauses = r.pauses || r.perSecond > 0 && now-r.last > shortWait && r.throttledAt >= r.last
	r.last = now
	if r.perSecond == 0 {
		return
	}
	if now-r.began >= second { // what passed before the pause says nothing of what passes after it
		r.since = now
	}
	r.began = now
	r.grow(now)
	r.next = max(r.next, now-r.lag()) + r.interval()
}

func (r *rate) interval() time.Duration { return time.Duration(float64(time.Second) / r.perSecond) }

// lag is by how much an exchange that begins late lets the next follow sooner. Timers are late by about a millisecond.
func (r *rate) lag() time.Duration {
	if interval := r.interval(); interval > 5*maxLag {
		return interval / 50
	}
	return maxLag
}

func (r *rate) grow(now time.Duration) {
	tried := now - r.changed
	switch {
	case !r.used:
	case r.state == doubling:
		if tried >= max(doubleInterval, r.trip*3/2, 2*r.interval()) {
			r.low = r.perSecond
			r.set(now, 2*r.low)
		}
	case r.state == narrowing:
		if tried >= max(second, 2*r.trip) {
			r.low = r.perSecond
			r.narrow(now)
		}
	case tried >= growInterval || r.state == guessed && tried >= horizon:
		r.percent, r.low = max(1, 2*r.percent), r.perSecond
		r.set(now, r.perSecond*(1+r.percent/100))
	}
}

func (r *rate) set(now time.Duration, perSecond float64) {
	perSecond = max(perSecond, minRate)
	if perSecond < r.perSecond {
		r.lowered = now
	}
	r.perSecond, r.changed, r.used = perSecond, now, false
}

func (r *rate) succeeded(now time.Duration) {
	r.successes.add(now)
	if r.state == waiting {
		r.count++
	}
}

// throttled takes in a 429. trip is about a round trip.
func (r *rate) throttled(now, began, trip time.Duration) {
	if began < r.lowered || r.state == waiting {
		return // it belongs to a burst that was counted
	}
	last := r.throttledAt
	r.trip, r.percent, r.throttledAt = trip, 0, now
	switch r.state {
	case none:
		r.wait(now)
		return
	case doubling, narrowing:
		r.search(now, began)
	default:
		if !r.isStray(now, last) {
			r.reduce(now)
		}
	}
	r.next = max(r.next, now+r.interval())
}

// isStray reports whether a 429 is the only one in five seconds in which many passed, last being when the one before came: a timer
// or the network was late, and two exchanges came too soon after each other for a vendor that allows no bursts. It puts off the next
// growth. No 429 is one where the vendor asks for a long pause each time.
func (r *rate) isStray(now, last time.Duration) bool {
	if r.pauses || now-last < horizon || now-r.since < horizon || r.successes.sum(now, horizon) < enoughForStray {
		return false
	}
	r.changed, r.used = now, false
	return true
}

// reduce lowers a rate to what passed since it was guessed. Where that is too short a time, each cut is twice the one before, but
// a second cut within a second is down to what passed in it: a vendor that counts by the second says 429 until that is over.
func (r *rate) reduce(now time.Duration) {
	known := now - r.since - r.trip // what passed in the first round trip began before
	if known < second {
		r.cut = min(max(1-margin, 2*r.cut), maxCut)
		cut := r.perSecond * (1 - r.cut)
		if now-r.lowered < second {
			cut = max(cut, margin*min(r.perSecond, r.successes.perSecond(now, second)))
		}
		r.set(now, cut)
		return
	}
	if known >= horizon {
		r.state = learned
	}
	// The rate that it grew from has passed for longer. At a vendor that allows no bursts, less passes while there are 429.
	passed := max(r.successes.perSecond(now, min(horizon, known)), r.low)
	r.low = 0
	r.set(now, margin*min(r.perSecond, passed))
}

// wait begins nothing until what is in flight has ended, to know how many passed.
func (r *rate) wait(now time.Duration) {
	r.state, r.since, r.lowered = waiting, now, now
	r.count = r.successes.sum(now, horizon)
	r.set(now, minRate)
	r.next = now + 2*r.trip
}

// first is the rate by what has passed until the first 429. The next exchanges begin when at that rate those would have.
func (r *rate) first(now time.Duration) {
	began := max(r.successes.began, r.since-horizon)
	ran := max(r.since-began, second)
	passed := float64(r.count)
	// A vendor that counts by the second may have let two seconds' worth pass, so the first cut is larger.
	r.state, r.since, r.cut = guessed, now, 2*(1-margin)
	r.set(now, margin*passed/ran.Seconds())
	switch {
	case ran == horizon:
		r.state = learned
	case passed < enoughPassed:
		r.state = doubling
		r.set(now, max(r.perSecond, searchFrom))
	default:
		r.next = max(now, began+time.Duration(passed*float64(r.interval())))
	}
}

// search goes on below a rate that did not pass.
func (r *rate) search(now, began time.Duration) {
	if began < r.changed { // the rate before did not pass either
		r.perSecond, r.low = r.low, r.low/2
	}
	passed := margin * r.successes.perSecond(now, second)
	if r.perSecond <= r.low || r.low == 0 {
		r.state, r.low = doubling, 0
		r.set(now, min(passed, r.perSecond/2))
		return
	}
	r.state, r.high = narrowing, r.perSecond
	if passed > r.low && passed < margin*r.high {
		r.set(now, passed)
		return
	}
	r.narrow(now)
}

// narrow goes on between what passed and what did not.
func (r *rate) narrow(now time.Duration) {
	if r.high < searched*r.low {
		r.state, r.since, r.cut = guessed, now, 0
		r.set(now, min(r.low, margin*r.high))
		r.low = 0
		return
	}
	r.set(now, math.Sqrt(r.low*r.high))
}

func (r *rate) setQuota(now time.Duration, left int, reset time.Duration) {
	r.left, r.until = left, now+reset
}

const (
	horizon  = 5 * time.Second
	second   = time.Second
	slot     = 100 * time.Millisecond
	numSlots = int(horizon / slot)
)

// successes counts exchanges of the last five seconds.
type successes struct {
	started bool
	began   time.Duration // when the first exchange began
	slots   [numSlots]uint32
	last    int // number of the present slot, since the beginning of time
}

func (s *successes) start(now time.Duration) {
	if !s.started {
		s.started, s.began = true, now
	}
}

func (s *successes) add(now time.Duration) {
	s.advance(now)
	s.slots[s.last%numSlots]++
}

func (s *successes) advance(now time.Duration) {
	present := int(now / slot)
	if present-s.last >= numSlots {
		clear(s.slots[:])
		s.last = present
	}
	for s.last < present {
		s.last++
		s.slots[s.last%numSlots] = 0
	}
}

// sum is how many there were in the last period.
func (s *successes) sum(now, period time.Duration) int {
	s.advance(now)
	sum := 0
	for i := range min(int(period/slot), s.last+1) {
		sum += int(s.slots[(s.last-i)%numSlots])
	}
	return sum
}

// perSecond is how many there were per second in the last period, of at least a second.
func (s *successes) perSecond(now, period time.Duration) float64 {
	covered := period/slot*slot - slot + now%slot
	return float64(s.sum(now, period)) / min(covered, max(now-s.began, second)).Seconds()
}
