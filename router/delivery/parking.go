package delivery

import (
	"context"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
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
	if p.hasRoomAside() {
		p.noRoom = false
	}
	begun := 0
	for j := p.window.oldest; j != nil && begun < parkAtOnce && now.Sub(j.entered) > parkAfter; j = j.newer {
		if p.parked.count+p.dead.count+begun >= p.Options.Window || !p.hasRoomAside() {
			p.tellNoRoom()
			return // kept aside they still take memory
		}
		switch {
		case j.dead != "":
			p.buryInPlace(j, now)
		case p.straggles(j):
			p.park(j)
			begun++
		}
	}
}

// tellNoRoom says once that nothing more goes aside, for as long as that lasts.
func (p *Pipeline) tellNoRoom() {
	if !p.noRoom {
		p.log.Error("no more calls can be kept aside: those that fail alone, or wait behind dead letters, fill the window: replay or discard dead letters",
			zap.Int("parked", p.parked.count), zap.Int("held", p.dead.count))
	}
	p.noRoom = true
}

// straggles tells whether a call waits for its next try, or only for calls that are parked: after a restart the parked
// calls come first, so that one may not be parked before those in front of it.
func (p *Pipeline) straggles(j *job) bool {
	if j.Ready() {
		return j.waiting
	}
	return p.waitsForThoseAside(j)
}

// waitsForThoseAside tells whether all that a call waits for is kept aside, or will be before the call can be.
func (p *Pipeline) waitsForThoseAside(j *job) bool {
	if j.Ready() {
		return false
	}
	for t := range j.Blockers() {
		if b := t.Value; b.parked == 0 && !b.parking && !(b.burying && p.holding()) {
			return false
		}
	}
	return true
}

// park stores a call aside. It is not tried meanwhile.
func (p *Pipeline) park(j *job) {
	j.detach()
	j.parking = true
	parked := p.asParked(j)
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

func (p *Pipeline) asParked(j *job) *journal.Parked {
	return &journal.Parked{
		Destination: p.Destination.Name, Position: j.pos, Attempts: j.attempts, Failures: j.failures, First: j.first,
		FailingSince: j.failingSince, Ambiguous: j.inDoubt(), Letter: j.letter, Entry: *j.entry,
	}
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
	p.sawParked(j)
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
	return p.Journal.Unpark(ctx, p.Destination.Name, j.parked)
}

// holder returns where a call is held: the window, or beside it.
func (p *Pipeline) holder(j *job) *window {
	switch {
	case j.held:
		return &p.dead
	case j.parked != 0:
		return &p.parked
	}
	return &p.window
}

// readParked takes up the calls that an earlier run has kept aside, before any of the log: they stand before what waited for
// them.
func (p *Pipeline) readParked(ctx context.Context) error {
	p.parkedBefore = map[journal.Position]bool{}
	var all []*journal.Parked
	if err := p.Journal.Parked(ctx, p.Destination.Name, func(parked *journal.Parked) { all = append(all, parked) }); err != nil {
		return err
	}
	inOrder(all)
	for _, parked := range all {
		if p.parkedBefore[parked.Position] { // it was stored again, with what it is now
			p.forget(parked.ID)
			continue
		}
		p.parkedBefore[parked.Position] = true
		if parked.Dead != "" && p.isGone(ctx, parked.Letter) { // discarded while nobody could be told, or lost
			p.forget(parked.ID)
			continue
		}
		p.takeUp(parked)
	}
	return nil
}

func (p *Pipeline) takeUp(parked *journal.Parked) {
	now := time.Now()
	j := &job{
		pos: parked.Position, entry: &parked.Entry, attempts: parked.Attempts, failures: parked.Failures, first: parked.First,
		failingSince: parked.FailingSince, ambiguous: parked.Ambiguous || p.progress.Crashed(), doubtStored: parked.Ambiguous,
		letter: parked.Letter, detached: true, entered: now,
	}
	p.translateAgain(j)
	switch {
	case parked.Dead != "" && (!p.holding() || j.outcome.Dropped != ""): // the config has changed: nobody waits for it
		p.forget(parked.ID)
	case parked.Dead != "":
		j.dead = adapter.Reason(parked.Dead)
		p.addTicket(j)
		p.holdPlace(j, parked.ID)
	case j.outcome.Dropped != "": // the config has changed
		p.end(j, outcomeDropped, string(j.outcome.Dropped))
		p.forget(parked.ID)
	default:
		if j.letter != 0 {
			p.remember(j)
		}
		p.keepAside(j, parked.ID)
		if p.addTicket(j) {
			p.advance(j, now)
		} else {
			p.buryInPlace(j, now)
		}
	}
}

// forget removes a parked call that nobody waits for.
func (p *Pipeline) forget(id uint64) {
	p.chore(chore{
		what: "a call that was kept aside could not be removed",
		begin: func() func(context.Context) error {
			return func(ctx context.Context) error { return p.Journal.Unpark(ctx, p.Destination.Name, id) }
		},
		done: func() {},
	})
}
