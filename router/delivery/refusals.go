package delivery

import (
	"context"
	"hash/maphash"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/sequencer"
)

const (
	// refusedInARow is how many calls in a row must be refused for a reason that is about the account or the endpoint, before the
	// destination counts as refusing.
	refusedInARow = 20
	// refusedPeople is of how many people they must be at the least, where there are so many.
	refusedPeople = 3
	// maxRun bounds the dead letters of a run that are remembered, to be withdrawn.
	maxRun = 100_000
)

// refusals notices a destination that refuses every call: billing has stopped, or a route is gone. The calls are not to blame, so
// that they wait for its operator, as for refused credentials, and the dead letters that some became are withdrawn.
type refusals struct {
	p *Pipeline
	// A run is refused calls with no success between them. number names it, from 1; calls and people count it; since is when its
	// first was answered.
	number      uint64
	since       time.Time
	calls       int
	people      map[uint64]struct{}
	deadLetters []uint64 // the dead letters of the run
	dying       int      // calls of the run that are being stored as dead letters
	seed        maphash.Seed
	// accepted: the operator lets such calls die, until one succeeds.
	accepted bool
	// withdrawing: nothing is sent until the dead letters of the run are withdrawn; begun: that is under way.
	withdrawing, begun bool
}

func newRefusals(p *Pipeline) refusals {
	return refusals{p: p, number: 1, people: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
}

// learn takes in an exchange that has ended.
func (r *refusals) learn(x *exchange, wasRefusing bool, now time.Time) {
	breaker := r.p.dispatcher.breaker
	switch {
	case x.aboutCalls():
		if r.calls > 0 && !x.started.After(r.since) { // it was under way when the run began, and says nothing of the time since
			return
		}
		r.accepted, r.withdrawing = false, false
		r.endRun()
		if breaker.Refusing() { // one that was in flight has shown that it does not
			breaker.Resume()
		}
	case wasRefusing && !breaker.Refusing():
		r.endRun()
	case x.refused():
		r.count(x)
		if r.isEnough() {
			r.withdrawing = true
			breaker.Refuse(now)
		}
	}
}

// aboutCalls reports whether the exchange shows that the destination looks at calls: it has taken one, or refused one for what is in
// it.
func (x *exchange) aboutCalls() bool {
	for _, v := range x.verdicts {
		if v.Class == adapter.Delivered || v.Class == adapter.Dropped || v.Class == adapter.Never && !x.mayBeRefused() {
			return true
		}
	}
	return false
}

func (r *refusals) endRun() {
	r.number++
	r.calls, r.deadLetters, r.dying = 0, nil, 0
	clear(r.people)
}

func (r *refusals) count(x *exchange) {
	if r.calls == 0 {
		r.since = x.started.Add(x.took)
	}
	r.calls += len(x.jobs)
	for _, j := range x.jobs {
		if len(r.people) < refusedPeople {
			r.people[r.personOf(j)] = struct{}{}
		}
	}
}

func (r *refusals) personOf(j *job) uint64 {
	var ids [sequencer.MaxIDs]string
	if all := j.entry.IDs(ids[:0]); len(all) > 0 {
		return maphash.String(r.seed, all[0])
	}
	return 0
}

// isEnough reports whether the run shows that the destination refuses everything.
func (r *refusals) isEnough() bool {
	return r.calls >= refusedInARow && !r.accepted && !r.p.dispatcher.breaker.Refusing() && (len(r.people) >= refusedPeople || r.areAll())
}

// areAll reports whether all calls in memory are of the run's people.
func (r *refusals) areAll() bool {
	for j := range r.p.window.all {
		if _, ok := r.people[r.personOf(j)]; !ok {
			return false
		}
	}
	return true
}

// keeps reports whether a call that was refused is to wait, and not to be given up.
func (r *refusals) keeps(x *exchange) bool {
	return r.p.dispatcher.breaker.Refusing() && x.mayBeRefused()
}

// gaveUp notes that a call of the run becomes a dead letter.
func (r *refusals) gaveUp(j *job) {
	if r.accepted || len(r.deadLetters) >= maxRun {
		return
	}
	j.refusedRun = r.number
	r.dying++
}

// died notes which dead letter a call has become.
func (r *refusals) died(j *job) {
	if j.refusedRun == r.number {
		r.dying--
		r.deadLetters = append(r.deadLetters, j.deadLetter)
	}
	j.refusedRun = 0
}

// withdraw takes the run's dead letters out again, once nothing is in flight and all are stored.
func (r *refusals) withdraw() {
	if !r.withdrawing || r.begun || r.dying > 0 || r.p.dispatcher.inFlight > 0 {
		return
	}
	deadLetters := r.deadLetters[:min(len(r.deadLetters), journal.MaxParked)]
	r.deadLetters = r.deadLetters[len(deadLetters):]
	if len(deadLetters) == 0 {
		r.withdrawing = false
		return
	}
	if deadLetters = r.p.deadLetters.undecidedOf(deadLetters); len(deadLetters) == 0 {
		return
	}
	r.begun = true
	var calls []*journal.Parked
	keys, fresh := r.p.deadLetters.keysOf(deadLetters), r.p.parking.newQueue()
	r.p.storage.add(&storageJob{
		what: "withdraw dead letters",
		begin: func() func(context.Context) error {
			return func(ctx context.Context) (err error) {
				calls, err = r.p.config.Journal.Withdraw(ctx, r.p.config.Destination.Name, deadLetters, func(d *journal.DeadLetter) *journal.Parked {
					if key, ok := keys[d.ID]; ok {
						return d.Parked(key.Queue)
					}
					return d.Parked(fresh.Number())
				})
				return err
			}
		},
		done: func() {
			r.begun = false
			r.p.log.Warn("dead letters withdrawn, their calls wait", zap.Int("calls", len(calls)))
			r.p.metrics.withdrawn.Add(float64(len(calls)))
			r.p.parking.putBack(fresh, calls, r.p.deadLetters.takePlaces(deadLetters))
		},
	})
}

// ResumeAnyway has a destination that refuses every call be sent the calls that wait, which may die of it. It returns false when
// the destination is in another state.
func (p *Pipeline) ResumeAnyway(ctx context.Context) (refusing bool, err error) {
	err = p.ask(ctx, func() {
		if refusing = p.dispatcher.breaker.Refusing(); refusing {
			p.refusals.accepted = true
			p.refusals.endRun()
			p.dispatcher.breaker.Resume()
		}
	})
	return refusing, err
}
