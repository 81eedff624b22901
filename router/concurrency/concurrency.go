// Package concurrency decides how many exchanges with one destination may be in flight, and how many may begin per second, by what
// it learns from their results. The rule is AIMD as in Vector's ARC, with latency as in Netflix's gradient2, against a latency that
// is measured at a lower load, as in Envoy's minRTT.
//
// The limit begins at 16 and grows by half each round trip until the first sign of harm. Then it grows in steps, and slowly near where
// there was harm. Errors, timeouts and 429 lower it by a tenth, or by up to half where most exchanges fail. Latency is judged by the
// median of a window. Where that is 1.5 times the base, the limit is halved for a window. If latency falls with it, load is the reason,
// and the limit becomes what the base allows. If not, that latency is the new base. From time to time the base is measured so without
// a reason, too: it follows the vendor both ways.
//
// A rate is learned from 429 only (rate.go), and a quota is read from X-RateLimit headers. Nothing survives a restart.
package concurrency

import (
	"cmp"
	"math"
	"time"
)

// Options bound the limit.
type Options struct {
	// Min and Max bound the limit. Min counts as at least 1, Max as at least Min.
	Min, Max int
	// FixedRate is set where a rate is configured: then none is learned.
	FixedRate bool
}

// Initial is the limit at the start and after Reset, unless the options bound it.
const Initial = 16

// Outcome is what an exchange says of the destination.
type Outcome uint8

const (
	// OK is an answer that shows that the destination is well. Only these count as latency, and let the limit grow.
	OK Outcome = iota
	// Neutral says nothing: a 4xx answer, or an exchange that never left.
	Neutral
	// Failed is a 5xx answer, or a connection that failed.
	Failed
	// TimedOut is no answer in time.
	TimedOut
	// Throttled is a 429.
	Throttled
)

// Result is how an exchange ended.
type Result struct {
	Outcome Outcome
	// Latency is the time from writing the request to the first byte of the answer. Only that of OK counts. Where it is 0, the time
	// from Begin to End does.
	Latency time.Duration
}

// Ticket is what an exchange holds while it is in flight.
type Ticket struct {
	began           time.Duration
	limit, inFlight int // then, with it
}

// Limiter belongs to one goroutine. It reads no clock: times are given, and never go back.
type Limiter struct {
	options  Options
	origin   time.Time // times are kept as what passed since
	inFlight int
	limit    int
	proven   int // as many have gone well at once

	window   window
	failures failures
	base     time.Duration // latency without load; 0 is unknown
	// baseMeasured is whether the base was measured at a lower load.
	baseMeasured bool
	measuring    measuring
	growth       growth
	rate         rate

	saturated bool
	busy      time.Duration // when at least half of the limit was last in flight
	changed   time.Duration
	why       Why
	counts    Counts
}

// New returns a limiter without anything in flight.
func New(o Options, now time.Time) *Limiter {
	l := &Limiter{options: o.normal(), origin: now}
	l.start(0)
	return l
}

func (o Options) normal() Options {
	o.Min = max(o.Min, 1)
	o.Max = max(o.Max, o.Min)
	return o
}

func (l *Limiter) start(now time.Duration) {
	l.limit = l.clamp(Initial)
	l.proven = l.limit
	l.base, l.baseMeasured, l.measuring, l.failures = 0, false, measuring{}, failures{}
	l.growth = growth{quickBelow: math.MaxInt}
	l.busy, l.failures.ignored = now, now-1
	l.measuring.due = now + measureInterval
	l.window.restart(now, l.inFlight)
}

// Reset begins anew after the destination was down. What is in flight stays counted, and a learned rate stays.
func (l *Limiter) Reset(now time.Time) {
	at := now.Sub(l.origin)
	l.start(at)
	l.changed, l.why = at, Start
	l.proven = 1 // it was a single one that showed that the destination is well
}

// SetSaturated notes whether the CPU of this machine is saturated. Then latency says more of this machine than of the destination, and
// lowers nothing.
func (l *Limiter) SetSaturated(saturated bool) {
	l.saturated = saturated
	l.window.saturated = l.window.saturated || saturated
}

// shortWait is up to what a Retry-After is about one request.
const shortWait = 2 * time.Second

// Pauses reports whether a Retry-After is to pause the destination. A shorter one is about its request only.
func Pauses(retryAfter time.Duration) bool { return retryAfter > shortWait }

// Ready reports whether an exchange may begin. When not, wake is when to ask again; zero means after the next End.
func (l *Limiter) Ready(now time.Time) (ok bool, wake time.Time) {
	if l.inFlight >= l.limit {
		return false, time.Time{}
	}
	if at := now.Sub(l.origin); !l.rate.ready(at) {
		return false, l.origin.Add(l.rate.opens(at))
	}
	return true, time.Time{}
}

// Begin counts an exchange that begins. It may be called although Ready says no, for a probe.
func (l *Limiter) Begin(now time.Time) Ticket {
	at := now.Sub(l.origin)
	l.inFlight++
	l.window.peak = max(l.window.peak, l.inFlight)
	switch {
	case 2*l.inFlight >= l.limit:
		l.busy = at
	case at-l.busy >= idleAfter:
		l.idle(at)
	}
	l.rate.begin(at)
	return Ticket{at, l.limit, l.inFlight}
}

// IsBeyond reports whether an exchange was one of more at once than have gone well. That the destination refuses it may only mean that
// they were too many, not that it is down. It is to be asked before End.
func (l *Limiter) IsBeyond(t Ticket) bool { return t.inFlight > l.proven }

// End takes in how an exchange ended.
func (l *Limiter) End(now time.Time, t Ticket, r Result) {
	at := now.Sub(l.origin)
	l.inFlight--
	switch r.Outcome {
	case OK:
		l.rate.succeeded(at)
		l.succeeded(at, t.began, cmp.Or(r.Latency, at-t.began))
	case Failed, TimedOut:
		l.failed(at, t)
	case Throttled:
		if !l.options.FixedRate {
			l.rate.throttled(at, t.began, max(l.base, at-t.began))
		}
		if t.began > l.failures.ignored {
			l.shrink(at, l.limit, Throttling)
		}
	}
}

// needed is what is in flight at the learned rate, and half as much again.
func (l *Limiter) needed() int {
	return int(1.5 * l.rate.perSecond * l.base.Seconds())
}

// Quota takes in what an answer's X-RateLimit headers say: how many requests remain, and in how much time that is reset. It is to be
// called after the End of that exchange. What is in flight may not be counted in it yet. Exchanges begin as fast as ever until
// nothing remains, and then wait for the reset: to spread them over the time would only make a backlog wait for longer.
func (l *Limiter) Quota(now time.Time, remaining int, reset time.Duration) {
	if !l.options.FixedRate {
		l.rate.setQuota(now.Sub(l.origin), remaining-l.inFlight, reset)
	}
}

// succeeded takes in the latency of an exchange that began in the window, and judges the window when it is full.
func (l *Limiter) succeeded(now, began, latency time.Duration) {
	l.failures.succeeded++
	w := &l.window
	if began >= w.began {
		w.add(latency)
	}
	switch age := now - w.began; {
	case w.count >= enoughSamples(l.limit) && age >= minWindow:
		l.judge(now, w.median())
		w.restart(now, l.inFlight)
		w.saturated = l.saturated
		l.failures.forget(now)
	case age > max(maxWindow, 4*l.base):
		w.restart(now, l.inFlight)
		w.saturated = l.saturated
	}
}

// judge does what the latency of a window asks for.
func (l *Limiter) judge(now, latency time.Duration) {
	full := 5*l.window.peak >= 4*l.limit
	switch {
	case l.base == 0:
		l.base = latency
	case l.window.saturated:
		l.abandonMeasuring()
	case l.measuring.active:
		l.measured(now, latency)
		return
	case 5*latency < 4*l.base:
		l.base = (l.base + latency) / 2 // the vendor is faster
	}
	if !full {
		return
	}
	switch {
	case !l.window.saturated && (l.harmful(latency) || now >= l.measuring.due):
		l.measure(now, latency)
	case l.window.saturated && 4*latency > 5*l.base: // more at once would only wait here
	case !l.rose(latency):
		l.grow(now)
	}
}

// minRise is by how much latency must rise to say anything of the destination: less is this machine's own.
const minRise = 5 * time.Millisecond

// harmful reports whether a latency is so much above the base that three exchanges or more wait at the vendor.
func (l *Limiter) harmful(latency time.Duration) bool {
	return 2*latency > 3*l.base && latency-l.base >= minRise && time.Duration(l.limit)*(latency-l.base) >= 3*latency
}

// rose reports whether a latency is above the base.
func (l *Limiter) rose(latency time.Duration) bool {
	return 4*latency > 5*l.base && latency-l.base >= minRise
}

// clamp keeps a limit within the options.
func (l *Limiter) clamp(limit int) int { return min(max(limit, l.options.Min), l.options.Max) }

// set changes the limit and notes why.
func (l *Limiter) set(now time.Duration, limit int, why Why) {
	if limit = l.clamp(limit); limit == l.limit {
		return
	}
	l.limit, l.changed, l.why = limit, now, why
	l.counts[why]++
}

// idleAfter is how long less than half of the limit must be in flight for the limit to be lowered.
const idleAfter = time.Minute

// idle halves a limit that was not used, once for each time: it says nothing any more. It may quickly grow back to about what it was.
func (l *Limiter) idle(now time.Duration) {
	l.abandonMeasuring()
	limit := l.limit
	for ; now-l.busy >= idleAfter && limit > Initial; l.busy += idleAfter {
		limit = max(limit/2, Initial, 2*l.inFlight)
	}
	l.busy = now
	l.measuring.due = now + measureInterval
	if limit >= l.limit {
		return
	}
	l.growth.quickBelow = max(l.growth.quickBelow, 3*l.limit/4)
	l.set(now, limit, Idle)
}
