package delivery

import (
	"context"
	"time"

	"aka/destinations/adapter"
	"aka/router/deststate"
)

// Status is how a destination does.
type Status struct {
	Name string `json:"name"`
	// Vendor is its type.
	Vendor string `json:"vendor"`
	// DestinationState is what it is in. Of one that is removed, only Name and Backlog say more.
	DestinationState
	// NotBefore is when the next exchange may start, where that is not now.
	NotBefore *time.Time `json:"not_before,omitempty"`
	// Order is identity, strict or none; OnDead is continue or block.
	Order  adapter.Order `json:"order"`
	OnDead OnDead        `json:"on_dead"`
	// Rate is how many calls may go out per second by the config, 0 for no limit.
	Rate float64 `json:"rate"`
	Pace Pace    `json:"pace"`
	// Dry is whether nothing is sent.
	Dry bool `json:"dry,omitempty"`
	// Filters and Transforms are whether the destination has a filter, and a transform.
	Filters    bool `json:"filters,omitempty"`
	Transforms bool `json:"transforms,omitempty"`
	// Backlog is how many accepted calls have not ended here, Oldest when the oldest of them was accepted, as far as it is
	// read.
	Backlog uint64     `json:"backlog"`
	Oldest  *time.Time `json:"oldest,omitempty"`
	// Window is how many are held in memory, waiting or in flight, Waiting how many of those wait for others of the same person.
	// Parked are on disk, because they fail alone or wait behind blocked identities; BlockedIDs is how many ids those name.
	// Blocking are dead letters that block others. Held are aliases that a merge rule holds.
	Window     int `json:"window"`
	Waiting    int `json:"waiting"`
	Parked     int `json:"parked"`
	BlockedIDs int `json:"blocked_ids"`
	Blocking   int `json:"blocking"`
	Held       int `json:"held"`
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
	// Merges is how many ids the memory of merges knows.
	Merges int `json:"merges_remembered,omitempty"`
	// Failures are the last kinds of failure, newest first.
	Failures []Failure `json:"failures"`
}

// DestinationState is the state of a destination, and its words.
type DestinationState struct {
	State deststate.State `json:"state"`
	// StateName is the state for people, Means what it means as a sentence.
	StateName string `json:"state_name"`
	Means     string `json:"state_means"`
}

// StateOf returns a state with its words.
func StateOf(s deststate.State) DestinationState {
	return DestinationState{s, s.Name(), s.Sentence()}
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
	accepted, _ := p.config.Journal.Head()
	o := &p.config.Options
	s := Status{
		Name: p.config.Destination.Name, Vendor: p.config.Destination.Type, DestinationState: StateOf(p.destinationState()),
		NotBefore: after(p.dispatcher.breaker.NotBefore(), now), Order: p.order.strictness(), OnDead: o.OnDead, Rate: o.Rate, Pace: p.pace(now),
		Dry: p.config.Destination.Dry, Filters: p.config.Destination.Transform.Filters(), Transforms: p.config.Destination.Transform.Transforms(),
		Backlog: accepted - min(accepted, p.ended()), Oldest: after(p.oldest(), time.Time{}),
		Window: p.window.count, Waiting: p.order.sequencer.Waiting(), Parked: p.parking.onDisk, BlockedIDs: p.parking.identities.Len(), Blocking: p.deadLetters.blockingCount(), Held: p.quarantine.count(),
		InFlight: p.dispatcher.inFlight, Bytes: p.bytes(), MaxBytes: p.maxBytes(),
		LastDelivery: after(p.health.lastDelivery, time.Time{}), Lag: p.health.lastLag.Seconds(),
		Outcomes: p.metrics.outcomeCounts(), Exchanges: p.metrics.exchangeCounts(), Retries: counted(p.metrics.retries),
		Failures: p.health.failures.newestFirst(),
	}
	if p.merges.memory != nil {
		s.Merges = p.merges.memory.Len()
	}
	return s
}

// ended is how many calls have ended. Those on disk have, as far as the log is concerned.
func (p *Pipeline) ended() uint64 {
	ended := p.checkpoint.progress.Ended()
	return ended - min(ended, uint64(p.parking.onDisk))
}

// publish refreshes the gauges.
func (p *Pipeline) publish() {
	blocking := p.deadLetters.blockingCount()
	p.metrics.state(pipelineState{
		ended: p.ended(), oldest: p.oldest(), window: p.window.count, parked: p.parking.onDisk + blocking, blockedIDs: p.parking.identities.Len(),
		blocking: blocking, inFlight: p.dispatcher.inFlight, bytes: p.bytes(),
	})
}

// after returns the time when it is after another, else nil.
func after(at, other time.Time) *time.Time {
	if !at.After(other) {
		return nil
	}
	return &at
}

// oldest returns when the oldest call was accepted that has not ended, as far as the log is read.
func (p *Pipeline) oldest() (oldest time.Time) {
	for _, l := range [...]*list{&p.parkedInMemory, &p.window} {
		if j := l.oldest; j != nil && (oldest.IsZero() || j.entry.ReceivedAt.Before(oldest)) {
			oldest = j.entry.ReceivedAt
		}
	}
	return oldest
}
