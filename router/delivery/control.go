package delivery

import "aka/router/deststate"

// What is asked of a pipeline while it runs, by those who run it.

// Options returns what the pipeline was built with.
func (p *Pipeline) Options() Options { return p.config.Options }

// Pause keeps exchanges from starting, or lets them start again. What is in flight ends. It may be called before Start.
func (p *Pipeline) Pause(paused bool) {
	p.paused.Store(paused || p.config.Waits)
	p.nudge()
}

// Waits reports whether it is paused for as long as it runs: see Config.Waits.
func (p *Pipeline) Waits() bool { return p.config.Waits }

// Paused reports whether it is paused.
func (p *Pipeline) Paused() bool { return p.paused.Load() }

// SetMaxBytes replaces the config's MaxBytes.
func (p *Pipeline) SetMaxBytes(bytes int) {
	p.maxShare.Store(int64(bytes))
	p.nudge()
}

func (p *Pipeline) nudge() {
	select {
	case p.nudged <- struct{}{}:
	default: // the loop has yet to look
	}
}

// showState publishes the state that the destination is in.
func (p *Pipeline) showState() { p.metrics.setState(p.destinationState()) }

// destinationState returns the state that the destination is in.
func (p *Pipeline) destinationState() deststate.State {
	switch {
	case p.paused.Load():
		return deststate.Paused
	case p.health.state == deststate.OK && p.growth.filling:
		return deststate.Filling
	}
	return p.health.state
}

// Backlog returns how many accepted calls have not ended here.
func (p *Pipeline) Backlog() uint64 {
	ended := p.metrics.ended.Load()
	calls, _ := p.config.Journal.Head()
	return max(calls, ended) - ended
}

// RemovedStatus is that of a destination which is not configured any more, with what is kept for it.
func RemovedStatus(name string, backlog uint64) Status {
	return Status{Name: name, DestinationState: StateOf(deststate.Removed), Backlog: backlog, Outcomes: []OutcomeCount{}, Exchanges: map[string]uint64{}, Failures: []Failure{}}
}
