// Package breaker decides when exchanges with a vendor may start: not while the vendor counts as down, asked us to wait, or
// refuses everything that it is sent. While it is not known to be well, one exchange at a time goes, as a probe.
package breaker

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"

	"aka/router/deststate"
)

// Options say when a destination counts as down: nothing is sent to it then but one probe per cooldown.
type Options struct {
	// Failures is how many exchanges must fail in a row. At least 1. Default 10.
	Failures int `yaml:"failures"`
	// Ratio is which share of the exchanges of the last interval must fail, after at least fifty. Each call counts as one
	// failure, even if aka tries it several times. 429 does not count. So a few calls that always fail, while others succeed,
	// do not add up. 0 is off, at most 1. Default 0.5.
	//
	// A destination that fails half of what is new to it is better left alone for a while.
	Ratio float64 `yaml:"ratio"`
	// Interval is the period that the ratio covers. 1s to 1h. Default 30s.
	Interval time.Duration `yaml:"interval"`
	// Cooldown is the wait before the first probe. It doubles with each probe that fails. Above 0. Default 5s.
	Cooldown time.Duration `yaml:"cooldown"`
	// MaxCooldown is the longest wait between probes. At least cooldown. Default 1m.
	MaxCooldown time.Duration `yaml:"max_cooldown"`
}

// What is reported to the breakers of an exchange that failed; they do not count the second.
var (
	errExchange   = errors.New("exchange failed")
	errNotCounted = errors.New("failure not counted")
)

const (
	// MinExchanges is how many the interval must hold for their ratio to count.
	MinExchanges = 50
	// ratioBuckets is in how many steps the interval moves on.
	ratioBuckets = 10
)

// Breaker belongs to one goroutine.
type Breaker struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	// ratio counts the exchanges of the last interval. It never opens; nil is no ratio.
	ratio   *gobreaker.CircuitBreaker[struct{}]
	options Options
	// notBefore is when the next exchange may start.
	notBefore time.Time
	// openings counts how often the breaker opened since it was last closed: each makes the wait twice as long.
	openings int
	// refused is AuthFailed or Refusing while the destination is in that state, else empty.
	refused deststate.State
	// probing is true while a probe is in flight.
	probing bool
	// opened is when the breaker opened first since it was last closed. early is how many early probes it has left, 0 once the
	// first cooldown has passed.
	opened  time.Time
	early   int
	changed func(state deststate.State, wait time.Duration)
}

// maxEarlyProbes is how many probes may go before the first cooldown has passed.
const maxEarlyProbes = 3

// New returns a breaker of a destination that is OK. changed is called with each new state, and with how long nothing is sent in it.
func New(options Options, changed func(state deststate.State, wait time.Duration)) *Breaker {
	b := &Breaker{options: options, changed: changed}
	b.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     1, // the wait is kept in notBefore: it grows, and early probes do not keep to it
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= uint32(options.Failures) || b.overRatio()
		},
		IsExcluded:    isNotCounted,
		OnStateChange: func(_ string, _, to gobreaker.State) { b.stateChanged(to) },
	})
	b.ratio = newRatio(options)
	return b
}

func isNotCounted(err error) bool { return errors.Is(err, errNotCounted) }

func newRatio(options Options) *gobreaker.CircuitBreaker[struct{}] {
	if options.Ratio == 0 {
		return nil
	}
	return gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Interval:     options.Interval,
		BucketPeriod: max(options.Interval/ratioBuckets, 1),
		ReadyToTrip:  func(gobreaker.Counts) bool { return false },
		IsExcluded:   isNotCounted,
	})
}

// overRatio reports whether the share of the exchanges that failed has reached the ratio.
func (b *Breaker) overRatio() bool {
	if b.ratio == nil {
		return false
	}
	c := b.ratio.Counts()
	counted := c.TotalSuccesses + c.TotalFailures
	return counted >= MinExchanges && float64(c.TotalFailures) >= b.options.Ratio*float64(counted)
}

func (b *Breaker) stateChanged(to gobreaker.State) {
	switch to {
	case gobreaker.StateOpen:
		b.open(time.Now())
	case gobreaker.StateClosed:
		if b.early > 0 { // an early probe has shown it
			b.notBefore = time.Time{}
		}
		b.openings, b.early = 0, 0
		b.ratio = newRatio(b.options) // what failed before is over
		b.changed(deststate.OK, 0)
	case gobreaker.StateHalfOpen:
		b.changed(deststate.Probing, 0)
	}
}

// open begins the wait for the next probe. An early probe that failed changes nothing.
func (b *Breaker) open(now time.Time) {
	if b.early == 0 || b.openings == 0 {
		wait := Doubled(b.options.Cooldown, b.options.MaxCooldown, b.openings)
		b.Wait(now, wait)
		if b.openings == 0 && b.notBefore.Equal(now.Add(wait)) {
			b.opened, b.early = now, maxEarlyProbes
		}
		b.openings++
	}
	b.changed(deststate.Down, b.notBefore.Sub(now))
}

// EarlyProbe reports whether a call that came after since may be tried now, although the cooldown has not passed. The failures that
// opened the breaker may be those of a few people whose calls came first; a call that came later shows that. A few such probes
// go per outage, one at a time, and none where the vendor said how long to wait.
func (b *Breaker) EarlyProbe(now time.Time) (since time.Time, ok bool) {
	return b.opened, b.early > 0 && !b.probing && b.refused == "" && now.Before(b.notBefore)
}

// Healthy reports whether exchanges may go side by side.
func (b *Breaker) Healthy() bool { return b.refused == "" && b.openings == 0 }

// AuthFailed reports whether the destination refuses our credentials.
func (b *Breaker) AuthFailed() bool { return b.refused == deststate.AuthFailed }

// Refusing reports whether the destination refuses everything.
func (b *Breaker) Refusing() bool { return b.refused == deststate.Refusing }

// NotBefore returns when the next exchange may start, which may be in the past.
func (b *Breaker) NotBefore() time.Time { return b.notBefore }

// Ready reports whether an exchange may start now. When not, wake is when to ask again; zero means after the probe that is in
// flight.
func (b *Breaker) Ready(now time.Time) (ok bool, wake time.Time) {
	if now.Before(b.notBefore) {
		return false, b.notBefore
	}
	return b.Healthy() || !b.probing, time.Time{}
}

// Permit is what an exchange holds while it is in flight.
type Permit struct {
	done  func(error)
	probe bool
}

// Acquire starts an exchange. The permit must be given back with Report. ok is false when none may start now.
func (b *Breaker) Acquire() (p Permit, ok bool) {
	done, err := b.breaker.Allow()
	if err != nil {
		return Permit{}, false
	}
	p = Permit{done: done, probe: !b.Healthy()}
	b.probing = b.probing || p.probe
	if !time.Now().Before(b.notBefore) {
		b.early = 0
	}
	return p, true
}

// Result is what an exchange says of its destination.
type Result struct {
	// Failed: the destination is not well.
	Failed bool
	// Repeated: that is known, for the same calls have failed since the destination last took one.
	Repeated bool
	// Uncounted keeps a failure out of the ratio.
	Uncounted bool
	// AuthFailed: the credentials were refused.
	AuthFailed bool
	// Refused: the answer was about the account or the address, and Answered that there was any.
	Refused, Answered bool
}

// Report ends an exchange and learns from it.
func (b *Breaker) Report(p Permit, now time.Time, r Result) {
	if p.probe {
		b.probing = false
	}
	if !p.probe {
		b.countRatio(r)
	}
	p.done(r.err(r.Repeated && !p.probe))
	if p.probe && b.early > 0 {
		b.early--
	}
	switch {
	case r.AuthFailed:
		b.authFailed(now)
	case p.probe && b.AuthFailed() && r.Failed, p.probe && b.Refusing() && (r.Refused || !r.Answered):
		b.Wait(now, b.options.Cooldown)
	case p.probe && b.refused != "":
		b.End()
	}
}

func (b *Breaker) authFailed(now time.Time) {
	wait := b.options.MaxCooldown
	if !b.AuthFailed() {
		b.refused = deststate.AuthFailed
		wait = b.options.Cooldown // it may have been about one call only
		b.changed(deststate.AuthFailed, wait)
	}
	b.Wait(now, wait)
}

// Refuse puts the destination into the state Refusing, until a probe gets another answer or End is called.
func (b *Breaker) Refuse(now time.Time) {
	if b.refused != "" {
		return
	}
	b.refused = deststate.Refusing
	b.Wait(now, b.options.Cooldown)
	b.changed(deststate.Refusing, b.options.Cooldown)
}

// Resume ends AuthFailed or Refusing, and what was waited for.
func (b *Breaker) Resume() {
	b.notBefore = time.Time{}
	b.End()
}

// End ends AuthFailed or Refusing.
func (b *Breaker) End() {
	b.refused = ""
	b.changed(deststate.OK, 0)
}

// err is what a breaker is given for the result.
func (r Result) err(notCounted bool) error {
	switch {
	case !r.Failed:
		return nil
	case notCounted:
		return errNotCounted
	}
	return errExchange
}

func (b *Breaker) countRatio(r Result) {
	if b.ratio == nil {
		return
	}
	result := r.err(r.Uncounted)
	_, _ = b.ratio.Execute(func() (struct{}, error) { return struct{}{}, result })
}

// Wait keeps exchanges from starting for a while. A longer wait that stands already stays.
func (b *Breaker) Wait(now time.Time, d time.Duration) {
	b.early = 0
	if until := now.Add(d); until.After(b.notBefore) {
		b.notBefore = until
	}
}

// Doubled returns d doubled so many times, at most limit.
func Doubled(d, limit time.Duration, times int) time.Duration {
	for ; times > 0 && d < limit; times-- {
		d *= 2
	}
	return min(d, limit)
}
