package delivery

import (
	"context"
	"time"

	"aka/router/journal"
)

const (
	// parkAfter is how long a call may hold up the progress.
	parkAfter = time.Minute
	// parkAtOnce bounds how many calls begin to be parked at each tick: each is a write.
	parkAtOnce = 64
)

// parkStragglers keeps aside the calls that have been in the window for too long although the destination is well: those
// that fail again and again, and those that wait behind them. They keep their people's order.
func (p *Pipeline) parkStragglers(now time.Time) {
	if !p.gate.well() || len(p.chores) > 0 {
		return
	}
	begun := 0
	for j := p.window.oldest; j != nil && begun < parkAtOnce && now.Sub(j.entered) > parkAfter; j = j.newer {
		if p.parked.count+begun >= p.Options.Window || p.parked.bytes >= int(p.Options.WindowBytes) {
			return // kept aside they still take memory
		}
		if j.dead == "" && p.straggles(j) {
			p.park(j)
			begun++
		}
	}
}

// straggles tells whether a call waits for its next try, or only for calls that are parked: after a restart the parked
// calls come first, so that one may not be parked before those in front of it.
func (p *Pipeline) straggles(j *job) bool {
	if j.Ready() {
		return j.waiting
	}
	for t := range j.Blockers() {
		if t.Value.parked == 0 && !t.Value.parking {
			return false
		}
	}
	return true
}

// park stores a call aside. It is not tried meanwhile.
func (p *Pipeline) park(j *job) {
	j.detach()
	j.parking = true
	parked := &journal.Parked{
		Destination: p.Destination.Name, Position: j.pos, Attempts: j.attempts, Failures: j.failures, First: j.first,
		FailingSince: j.failingSince, Ambiguous: j.inDoubt(), Entry: *j.entry,
	}
	p.chore(chore{
		what: "a call that keeps failing could not be kept aside",
		begin: func() func(context.Context) error {
			return func(ctx context.Context) (err error) {
				parked.ID, err = p.Journal.Park(ctx, parked)
				return err
			}
		},
		done: func() {
			p.progress.End(j.pos)
			p.unsaved = true
			p.window.remove(j)
			p.keepAside(j, parked.ID)
			p.goOn(j)
		},
		abandon: func() {
			j.maybeParked = true // a write that fails may have been done
			p.goOn(j)
		},
	})
}

// goOn ends the time in which a call was not tried because it was being parked.
func (p *Pipeline) goOn(j *job) {
	j.parking = false
	if j.Ready() && !j.waiting {
		p.advance(j, time.Now())
	}
}

func (p *Pipeline) keepAside(j *job, id uint64) {
	j.parked = id
	p.parked.add(j)
}

// unpark forgets a parked call that has ended, and only then lets go those behind it: a crash in between must not send it
// after them.
func (p *Pipeline) unpark(j *job, outcome string) {
	p.chore(chore{
		what: "a call that was kept aside and has ended could not be removed",
		begin: func() func(context.Context) error {
			return func(ctx context.Context) error { return p.removeParked(ctx, j) }
		},
		done: func() {
			p.holder(j).remove(j)
			p.letGo(j, outcome, time.Now())
		},
	})
}

func (p *Pipeline) removeParked(ctx context.Context, j *job) error {
	if j.maybeParked {
		return p.Journal.UnparkAt(ctx, p.Destination.Name, j.pos)
	}
	return p.Journal.Unpark(ctx, j.parked)
}

// holder returns where a call is held: the window, or beside it.
func (p *Pipeline) holder(j *job) *window {
	if j.parked != 0 {
		return &p.parked
	}
	return &p.window
}

// readParked takes up the calls that an earlier run has parked, before any of the log: they stand before what waited for
// them.
func (p *Pipeline) readParked(ctx context.Context) error {
	p.parkedBefore = map[journal.Position]bool{}
	now := time.Now()
	return p.Journal.Parked(ctx, p.Destination.Name, func(parked *journal.Parked) {
		j := &job{
			pos: parked.Position, entry: &parked.Entry, attempts: parked.Attempts, failures: parked.Failures, first: parked.First,
			failingSince: parked.FailingSince, ambiguous: parked.Ambiguous || p.progress.Crashed(), doubtStored: parked.Ambiguous,
			detached: true, entered: now,
		}
		p.translate(j, parked.Entry.Decode)
		switch {
		case p.parkedBefore[j.pos]: // parked twice, around a write that seemed to fail
			p.forget(parked.ID)
		case j.outcome.Dropped != "": // the config has changed
			p.end(j, outcomeDropped, string(j.outcome.Dropped))
			p.forget(parked.ID)
		default:
			p.keepAside(j, parked.ID)
			if p.addTicket(j) {
				p.advance(j, now)
			}
		}
		p.parkedBefore[j.pos] = true
	})
}

// forget removes a parked call that nobody waits for.
func (p *Pipeline) forget(id uint64) {
	p.chore(chore{
		what: "a call that was kept aside could not be removed",
		begin: func() func(context.Context) error {
			return func(ctx context.Context) error { return p.Journal.Unpark(ctx, id) }
		},
		done: func() {},
	})
}
