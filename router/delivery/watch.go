package delivery

import (
	"context"
	"time"

	"aka/destinations/adapter"
	"aka/router/live"
)

// What follows tells whoever looks what happens to calls. While nobody does, each costs one atomic load.

func (p *Pipeline) sawWaiting(j *job) {
	if p.Watch.On() {
		p.tellWaiting(j)
	}
}

func (p *Pipeline) sawQueued(jobs ...*job) {
	if p.Watch.On() {
		p.tellEach(jobs, live.Queued)
	}
}

func (p *Pipeline) sawSending(jobs []*job) {
	if p.Watch.On() {
		p.tellEach(jobs, live.Sending)
	}
}

func (p *Pipeline) sawRetry(j *job) {
	if p.Watch.On() {
		p.tellRetry(j)
	}
}

func (p *Pipeline) sawParked(j *job) {
	if p.Watch.On() {
		p.tellParked(j)
	}
}

func (p *Pipeline) sawHeld(j *job) {
	if p.Watch.On() {
		p.tellHeld(j)
	}
}

func (p *Pipeline) sawEnd(j *job, outcome, reason string) {
	if p.Watch.On() {
		p.tellEnd(j, outcome, reason)
	}
}

func (p *Pipeline) tell(j *job, s live.Step) {
	s.Destination = p.Destination.Name
	p.Watch.Saw(j.pos, j.entry, s)
}

func (p *Pipeline) tellWaiting(j *job) {
	p.tell(j, live.Step{State: live.Waiting, Behind: blockerOf(j)})
}

// blockerOf names the latest of the calls that one waits for.
func blockerOf(j *job) *live.Other {
	for t := range j.Blockers() {
		e := t.Value.entry
		return &live.Other{ID: t.Value.pos.String(), Type: e.Type.String(), MessageID: e.MessageID}
	}
	return nil
}

func (p *Pipeline) tellEach(jobs []*job, state live.State) {
	for _, j := range jobs {
		s := tried(j, state)
		if state == live.Sending {
			s.Batch, s.Status, s.Took = len(jobs), 0, 0
		}
		if n := len(j.outcome.Requests); n > 1 && j.step < n {
			s.Request, s.Requests = j.step+1, n
		}
		p.tell(j, s)
	}
}

// tried is a step with what came of the last exchange.
func tried(j *job, state live.State) live.Step {
	return live.Step{State: state, Status: j.status, Took: j.took.Seconds(), Attempt: j.attempts}
}

func (p *Pipeline) tellRetry(j *job) { p.tell(j, p.retrying(j, live.Retrying)) }

// tellParked tells of a call that is kept aside: it waits for its next try, or for others that are kept aside.
func (p *Pipeline) tellParked(j *job) { p.tell(j, p.retrying(j, live.Parked)) }

func (p *Pipeline) retrying(j *job, state live.State) live.Step {
	s := tried(j, state)
	s.Detail = j.detail
	if j.waiting {
		next := j.next
		s.Next = &next
	}
	if !j.Ready() {
		s.Behind = blockerOf(j)
	}
	return s
}

func (p *Pipeline) tellHeld(j *job) {
	s := tried(j, live.Held)
	s.Reason, s.Detail, s.Letter = string(j.dead), j.detail, j.letter
	p.tell(j, s)
}

func (p *Pipeline) tellEnd(j *job, outcome, reason string) {
	s := tried(j, live.State(outcome))
	s.Reason = reason
	if outcome == outcomeDead {
		s.Detail, s.Letter = p.detail(j.detail), j.letter
	}
	p.tell(j, s)
}

// toldAtOnce bounds how many of the calls that it holds a pipeline tells of when somebody begins to look.
const toldAtOnce = 100

// Tell tells whoever looks where the calls stand that are held: the oldest of those aside, and of those in the window.
func (p *Pipeline) Tell(ctx context.Context) error {
	return p.ask(ctx, func() {
		for _, w := range [...]*window{&p.window, &p.parked, &p.dead} {
			for j, told := w.oldest, 0; j != nil && told < toldAtOnce; j, told = j.newer, told+1 {
				p.tellPlace(j)
			}
		}
	})
}

func (p *Pipeline) tellPlace(j *job) {
	switch {
	case j.held:
		p.tellHeld(j)
	case j.parked != 0:
		p.tellParked(j)
	case !j.Ready():
		p.tellWaiting(j)
	case j.waiting:
		p.tellRetry(j)
	default:
		p.tellEach([]*job{j}, live.Queued)
	}
}

// ask has the loop do something, and returns when it has.
func (p *Pipeline) ask(ctx context.Context, do func()) error {
	done := make(chan struct{})
	select {
	case p.asked <- func() { do(); close(done) }:
		<-done
		return nil
	case <-p.stopped:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failures are the last kinds of failure, the newest last.
type failures []Failure

// maxFailures is how many kinds are remembered.
const maxFailures = 8

// noteFailure remembers how a call failed last.
func (p *Pipeline) noteFailure(j *job, kind, detail string, now time.Time) {
	f := Failure{Kind: kind, Status: j.status, First: now}
	for i, known := range p.failures {
		if known.Kind == f.Kind && known.Status == f.Status {
			f.First, f.Calls = known.First, known.Calls
			p.failures = append(p.failures[:i], p.failures[i+1:]...)
			break
		}
	}
	if len(p.failures) == maxFailures {
		p.failures = append(p.failures[:0], p.failures[1:]...)
	}
	f.Last, f.Detail = now, p.detail(detail)
	f.Calls++
	p.failures = append(p.failures, f)
}

// Failure is a kind of failure.
type Failure struct {
	// Kind is later, never, operator or split, as the answer was judged, or why there was none, such as timeout.
	Kind string `json:"kind"`
	// Status is the answer's; 0 when there was none.
	Status int `json:"status,omitempty"`
	// Detail is what was said last, bounded and with secrets masked.
	Detail string `json:"detail,omitempty"`
	// First and Last are when a call failed so; Calls is how many did, each try counted.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Calls uint64    `json:"calls"`
}

// Status is how a destination does.
type Status struct {
	Name string `json:"name"`
	// Vendor is its type.
	Vendor string `json:"vendor"`
	// State is closed when it is well, open when it counts as down, half_open while it is probed, held when it refuses our
	// credentials, removed when it is not configured any more and keeps what it had: then only Name and Backlog say more.
	State string `json:"state"`
	// Paused tells that its operator keeps it from being sent anything.
	Paused bool `json:"paused"`
	// NotBefore is when the next exchange may start, where that is not now.
	NotBefore *time.Time `json:"not_before,omitempty"`
	// Order is identity, strict or none; OnDead is continue or hold.
	Order  adapter.Order `json:"order"`
	OnDead OnDead        `json:"on_dead"`
	// Rate is how many calls may go out per second, 0 for unlimited; Concurrency how many exchanges at once.
	Rate        float64 `json:"rate"`
	Concurrency int     `json:"concurrency"`
	// Backlog is how many accepted calls have not ended here, Oldest when the oldest of them was accepted, as far as it is
	// read.
	Backlog uint64     `json:"backlog"`
	Oldest  *time.Time `json:"oldest,omitempty"`
	// Window is how many are held in memory, waiting or in flight, Waiting how many of those and of Parked wait for others of
	// the same person. Parked are kept aside, Held are dead letters that hold up others.
	Window  int `json:"window"`
	Waiting int `json:"waiting"`
	Parked  int `json:"parked"`
	Held    int `json:"held"`
	// InFlight is how many exchanges are. Bytes is the memory that all these take, of MaxBytes.
	InFlight int `json:"in_flight"`
	Bytes    int `json:"bytes"`
	MaxBytes int `json:"max_bytes"`
	// LastDelivery is when a call was delivered last, Lag how many seconds after its acceptance.
	LastDelivery *time.Time `json:"last_delivery,omitempty"`
	Lag          float64    `json:"lag_seconds"`
	// Outcomes count the calls that have ended since the start, those that there were; Exchanges the HTTP exchanges by the
	// class of the answer or the kind of error; Retries the tries that failed and are repeated.
	Outcomes  []OutcomeCount    `json:"outcomes"`
	Exchanges map[string]uint64 `json:"exchanges"`
	Retries   uint64            `json:"retries"`
	// Merges is how many merges are remembered.
	Merges int `json:"merges_remembered,omitempty"`
	// Failures are the last kinds of failure, newest first.
	Failures []Failure `json:"failures"`
}

// OutcomeCount is how many calls of a type have ended in one way.
type OutcomeCount struct {
	Type    string `json:"type"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
	// Why is the reason as a sentence.
	Why   string `json:"why,omitempty"`
	Count uint64 `json:"count"`
}

// Status returns how the destination does at the moment. It fails when the pipeline stops, or ctx ends first.
func (p *Pipeline) Status(ctx context.Context) (s Status, err error) {
	err = p.ask(ctx, func() { s = p.status(time.Now()) })
	return s, err
}

func (p *Pipeline) status(now time.Time) Status {
	accepted, _ := p.Journal.Head()
	ended := p.progress.Ended() - min(p.progress.Ended(), uint64(p.parked.count))
	s := Status{
		Name: p.Destination.Name, Vendor: p.Destination.Type, State: p.state, Paused: p.Paused(), NotBefore: after(p.gate.notBefore, now),
		Order: p.order(), OnDead: p.Options.OnDead, Rate: p.Options.Rate, Concurrency: p.Options.Concurrency,
		Backlog: accepted - min(accepted, ended), Oldest: after(p.oldest(), time.Time{}),
		Window: p.window.count, Waiting: p.sequencer.Waiting(), Parked: p.parked.count, Held: p.dead.count,
		InFlight: p.inFlight, Bytes: p.bytesHeld(), MaxBytes: p.maxBytes(),
		LastDelivery: after(p.lastDelivery, time.Time{}), Lag: p.lastLag.Seconds(),
		Outcomes: p.metrics.outcomeCounts(), Exchanges: p.metrics.exchangeCounts(), Retries: counted(p.metrics.retries),
		Failures: make([]Failure, 0, len(p.failures)),
	}
	if p.merges != nil {
		s.Merges = p.merges.Len()
	}
	for i := len(p.failures) - 1; i >= 0; i-- {
		s.Failures = append(s.Failures, p.failures[i])
	}
	return s
}

// after returns the time when it is after another, else nil.
func after(at, other time.Time) *time.Time {
	if !at.After(other) {
		return nil
	}
	return &at
}

// oldest returns when the oldest call was accepted that has not ended, as far as the log is read.
func (p *Pipeline) oldest() time.Time {
	switch {
	case p.parked.oldest != nil:
		return p.parked.oldest.entry.ReceivedAt
	case p.window.oldest != nil:
		return p.window.oldest.entry.ReceivedAt
	}
	return time.Time{}
}
