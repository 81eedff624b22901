package delivery

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
)

// gate decides when exchanges may start: not while the destination counts as down, asked us to wait, or refuses our
// credentials. When it is not known to be well, one exchange at a time goes, as a probe.
type gate struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	// share counts the exchanges of the last interval, for their ratio. It never opens; nil is no ratio.
	share   *gobreaker.CircuitBreaker[struct{}]
	options BreakerOptions
	// notBefore is when the next exchange may start.
	notBefore time.Time
	// openings counts how often the breaker opened since it was last closed: each makes the wait twice as long.
	openings int
	// held tells that the credentials were refused.
	held bool
	// probing tells that a probe is in flight.
	probing bool
	changed func(state string, wait time.Duration)
}

// The states of a destination, as shown.
const (
	stateOpen     = "open"      // the breaker is open: the destination is down
	stateHalfOpen = "half_open" // a probe decides
	stateClosed   = "closed"    // it is well
	stateHeld     = "held"      // it refuses our credentials: its operator must act
	statePaused   = "paused"    // its operator has paused it, whatever else it is
	stateRemoved  = "removed"   // it is not configured any more, and keeps what it had
)

// What is told to the breakers of an exchange that failed; they do not count the second.
var (
	errExchange = errors.New("exchange failed")
	errNoSign   = errors.New("exchange failed, which says nothing new of the destination")
)

const (
	// enoughExchanges is how many the interval must hold for their ratio to tell anything.
	enoughExchanges = 50
	// shareBuckets is in how many steps the interval moves on.
	shareBuckets = 10
)

func newGate(options BreakerOptions, changed func(state string, wait time.Duration)) *gate {
	g := &gate{options: options, changed: changed}
	g.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		// The wait itself grows, and is kept in notBefore: here it only must be over by then.
		Timeout: options.Cooldown / 2,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= uint32(options.Failures) || g.tooManyFail()
		},
		IsExcluded:    saysNothing,
		OnStateChange: func(_ string, _, to gobreaker.State) { g.stateChanged(to) },
	})
	g.share = newShare(options)
	return g
}

func saysNothing(err error) bool { return errors.Is(err, errNoSign) }

func newShare(options BreakerOptions) *gobreaker.CircuitBreaker[struct{}] {
	if options.Ratio == 0 {
		return nil
	}
	return gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Interval:     options.Interval,
		BucketPeriod: max(options.Interval/shareBuckets, 1),
		ReadyToTrip:  func(gobreaker.Counts) bool { return false },
		IsExcluded:   saysNothing,
	})
}

// tooManyFail tells whether the share of the exchanges that failed has reached the ratio.
func (g *gate) tooManyFail() bool {
	if g.share == nil {
		return false
	}
	c := g.share.Counts()
	counted := c.TotalSuccesses + c.TotalFailures
	return counted >= enoughExchanges && float64(c.TotalFailures) >= g.options.Ratio*float64(counted)
}

func (g *gate) stateChanged(to gobreaker.State) {
	switch to {
	case gobreaker.StateOpen:
		wait := doubled(g.options.Cooldown, g.options.MaxCooldown, g.openings)
		g.openings++
		g.wait(time.Now(), wait)
		g.changed(stateOpen, wait)
	case gobreaker.StateClosed:
		g.openings = 0
		g.share = newShare(g.options) // what failed before is over
		g.changed(stateClosed, 0)
	case gobreaker.StateHalfOpen:
		g.changed(stateHalfOpen, 0)
	}
}

// well tells whether exchanges may go side by side.
func (g *gate) well() bool { return !g.held && g.openings == 0 }

// ready tells whether an exchange may start now. When not, wake is when to ask again; zero means after the probe that is
// in flight.
func (g *gate) ready(now time.Time) (ok bool, wake time.Time) {
	if now.Before(g.notBefore) {
		return false, g.notBefore
	}
	return g.well() || !g.probing, time.Time{}
}

// enter starts an exchange. The pass must be given back with leave.
func (g *gate) enter() (p pass, ok bool) {
	done, err := g.breaker.Allow()
	if err != nil {
		return pass{}, false
	}
	p = pass{done: done, probe: !g.well()}
	g.probing = g.probing || p.probe
	return p, true
}

// pass is what an exchange holds while it is in flight.
type pass struct {
	done  func(error)
	probe bool
}

// ending is what an exchange says of its destination.
type ending struct {
	failed bool // it is not well
	// repeated tells that this is known: the same calls have failed since it last took one.
	repeated bool
	// uncounted keeps a failure out of the ratio.
	uncounted bool
	refused   bool // it refuses our credentials
}

// leave ends an exchange and learns from it.
func (g *gate) leave(p pass, now time.Time, e ending) {
	if p.probe {
		g.probing = false
	}
	if !p.probe {
		g.countShare(e)
	}
	p.done(e.sign(e.repeated && !p.probe))
	switch {
	case e.refused:
		wait := g.options.MaxCooldown
		if !g.held {
			g.held = true
			wait = g.options.Cooldown // it may have been about one call only
			g.changed(stateHeld, wait)
		}
		g.wait(now, wait)
	case p.probe && g.held && e.failed:
		g.wait(now, g.options.Cooldown)
	case p.probe && g.held:
		g.held = false
		g.changed(stateClosed, 0)
	}
}

// sign is what a breaker is told.
func (e ending) sign(nothingNew bool) error {
	switch {
	case !e.failed:
		return nil
	case nothingNew:
		return errNoSign
	}
	return errExchange
}

func (g *gate) countShare(e ending) {
	if g.share == nil {
		return
	}
	was := exchangeWorked
	switch e.sign(e.uncounted) {
	case errExchange:
		was = exchangeFailed
	case errNoSign:
		was = exchangeSaidNothing
	}
	_, _ = g.share.Execute(was)
}

// What is counted of an exchange that is over.
func exchangeWorked() (struct{}, error)      { return struct{}{}, nil }
func exchangeFailed() (struct{}, error)      { return struct{}{}, errExchange }
func exchangeSaidNothing() (struct{}, error) { return struct{}{}, errNoSign }

// wait keeps exchanges from starting for a while. A longer wait that stands already stays.
func (g *gate) wait(now time.Time, d time.Duration) {
	if until := now.Add(d); until.After(g.notBefore) {
		g.notBefore = until
	}
}
