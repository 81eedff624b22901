package delivery

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/journal"
)

// OnDead says what becomes of those behind a call that became a dead letter.
type OnDead string

// The values of OnDead.
const (
	// OnDeadContinue lets them go on.
	OnDeadContinue OnDead = "continue"
	// OnDeadHold has them wait until the dead letter was replayed and delivered, or discarded.
	OnDeadHold OnDead = "hold"
)

// holdTries is how often it is tried to store a dead letter's place, before those behind it go on all the same.
const holdTries = 30

// holding tells whether dead letters hold up those behind them. Without an order nobody is behind anybody.
func (p *Pipeline) holding() bool {
	return p.Options.OnDead == OnDeadHold && p.order() != adapter.OrderNone
}

// hasRoomAside tells whether one more call may be kept aside: it takes memory all the same.
func (p *Pipeline) hasRoomAside() bool {
	return p.parked.count+p.dead.count+p.soonDead.count < p.Options.Window &&
		p.parked.bytes+p.dead.bytes+p.soonDead.bytes < p.maxBytes()/2
}

// reserveAside counts a call that is to go aside, and takes that back when it has or will not.
func (p *Pipeline) reserveAside(j *job) (done func()) {
	if j.parked != 0 {
		return func() {} // it is aside
	}
	bytes := j.size
	p.soonDead.count++
	p.soonDead.bytes += bytes
	return func() {
		p.soonDead.count--
		p.soonDead.bytes -= bytes
	}
}

// holdUp keeps the place of a call that is a dead letter now, so that those behind it wait for its operator, restarts
// included. Then it has ended, and its frame is free to go; until then it is being buried, and nothing is decided about it.
func (p *Pipeline) holdUp(j *job) {
	j.detach()
	j.deciding = true
	p.remember(j)
	before, parked := j.parked, p.asParked(j)
	parked.Dead = string(j.dead)
	arrived := p.reserveAside(j)
	p.chore(chore{
		what: "the place of a dead letter could not be kept",
		begin: func() func(context.Context) error {
			return func(ctx context.Context) (err error) {
				parked.ID, err = p.Journal.Park(ctx, parked)
				return err
			}
		},
		done: func() {
			arrived()
			j.burying, j.deciding = false, false
			p.end(j, outcomeDead, string(j.dead))
			p.holder(j).remove(j)
			p.holdPlace(j, parked.ID)
			if before != 0 {
				p.forget(before)
			}
		},
		tries: holdTries,
		abandon: func() {
			arrived()
			j.maybeParked = true // a write that fails may have been done
			p.finish(j, outcomeDead, string(j.dead), time.Now())
		},
	})
}

// holdPlace takes a dead letter in that holds up those behind it. What it would send is made again when it is tried again.
func (p *Pipeline) holdPlace(j *job, id uint64) {
	j.parked, j.held = id, true
	p.sawHeld(j)
	j.outcome = adapter.Outcome{}
	j.measure()
	p.dead.add(j)
	p.remember(j)
}

func (p *Pipeline) remember(j *job) {
	p.letters[j.letter] = j
	p.holds.Store(j.letter, j.held)
}

// forgetLetter forgets which dead letter a call was: it has ended, or is to be another.
func (p *Pipeline) forgetLetter(j *job) {
	if j.letter != 0 {
		delete(p.letters, j.letter)
		p.holds.Delete(j.letter)
	}
}

// Errors of Retry and Release.
var (
	// ErrStopped tells that the pipeline does not run.
	ErrStopped = errors.New("the destination is stopping")
	// ErrDeciding tells that the dead letter's place, or a decision about it, is on its way to the disk.
	ErrDeciding = errors.New("this dead letter is being stored, or decided about")
)

// Holds tells whether calls wait until the dead letter of that id is replayed or discarded.
func (p *Pipeline) Holds(letter uint64) bool {
	held, _ := p.holds.Load(letter)
	return held == true
}

// Retry has the call of a dead letter that holds up those behind it tried again, in its place before them, and returns once
// that is safe on disk. The dead letter stays in the journal and is to be discarded. held is false when no call waits for it.
// When it fails the call may be tried again, or not; to ask once more does no harm.
func (p *Pipeline) Retry(ctx context.Context, letter uint64) (held bool, err error) {
	return p.decide(ctx, &decision{letter: letter, carryOut: p.tryAgain})
}

// Release lets those go on that wait for a dead letter, for good, and returns once that is safe on disk. The dead letter
// stays in the journal and is to be discarded. held is false when no call waits for it.
func (p *Pipeline) Release(ctx context.Context, letter uint64) (held bool, err error) {
	return p.decide(ctx, &decision{letter: letter, carryOut: p.letPass})
}

// decision is what an operator wants done with a dead letter that holds up calls.
type decision struct {
	letter   uint64
	carryOut func(*job, *decision)
	answer   chan answer
}

type answer struct {
	held bool
	err  error
}

func (d *decision) reply(held bool, err error) { d.answer <- answer{held, err} }

func (p *Pipeline) decide(ctx context.Context, d *decision) (held bool, err error) {
	if _, known := p.holds.Load(d.letter); !known {
		return false, nil
	}
	d.answer = make(chan answer, 1)
	select {
	case p.asked <- func() { p.take(d) }:
	case <-p.stopped:
		return false, ErrStopped
	case <-ctx.Done():
		return false, ctx.Err()
	}
	select {
	case a := <-d.answer:
		return a.held, a.err
	case <-p.stopped:
		return false, ErrStopped
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// take begins to carry a decision out. A call that is being tried again already, as when its dead letter outlived a crash,
// needs no more.
func (p *Pipeline) take(d *decision) {
	j := p.letters[d.letter]
	switch {
	case p.ending:
		d.reply(false, ErrStopped)
	case j == nil:
		d.reply(false, nil)
	case j.deciding:
		d.reply(false, ErrDeciding)
	case !j.held:
		d.reply(true, nil)
	default:
		j.deciding = true
		d.carryOut(j, d)
	}
}

func (p *Pipeline) tryAgain(j *job, d *decision) {
	before, parked := j.parked, p.asParked(j)
	parked.Failures, parked.FailingSince = 0, time.Time{}
	p.chore(chore{
		what: "a dead letter could not be taken up again",
		begin: func() func(context.Context) error {
			return func(ctx context.Context) (err error) {
				parked.ID, err = p.Journal.Park(ctx, parked)
				return err
			}
		},
		done: func() {
			p.revive(j, parked.ID)
			p.forget(before)
			d.reply(true, nil)
		},
	})
}

// revive puts a dead letter's call back among those that are kept aside.
func (p *Pipeline) revive(j *job, id uint64) {
	now := time.Now()
	p.dead.remove(j)
	j.held, j.deciding, j.dead, j.detail = false, false, "", ""
	p.remember(j)
	j.failures, j.failingSince, j.entered, j.doubtStored = 0, time.Time{}, now, j.inDoubt()
	p.translateAgain(j)
	p.keepAside(j, id)
	p.metrics.heldRetries.Inc()
	if j.Ready() {
		p.advance(j, now)
	} else {
		p.buryInPlace(j, now)
	}
}

// letPass takes a dead letter out of its place.
func (p *Pipeline) letPass(j *job, d *decision) {
	p.chore(chore{
		what: "a dead letter could not be taken out of its place",
		begin: func() func(context.Context) error {
			return func(ctx context.Context) error { return p.removeParked(ctx, j) }
		},
		done: func() {
			p.dead.remove(j)
			p.forgetLetter(j)
			p.release(j, time.Now())
			d.reply(true, nil)
		},
	})
}

// buryInPlace gives up on a call although those before it have not ended, when it would wait for their operator. These are
// kept aside: after a restart they must come first.
func (p *Pipeline) buryInPlace(j *job, now time.Time) {
	if j.dead != "" && !j.burying && p.holding() && p.waitsForThoseAside(j) {
		p.bury(j, now)
	}
}

// missCheck is how often it is looked whether a dead letter that holds up calls is still there.
const missCheck = time.Minute

// checkOldestLetter looks for the dead letters that hold up others when nothing else is to be done on the disk.
func (p *Pipeline) checkOldestLetter() {
	if len(p.chores) > 0 {
		p.timers.add(time.Now().Add(missCheck), p.checkOldestLetter)
		return
	}
	p.lookUpOldestLetter()
}

// lookUpOldestLetter lets those go on whose dead letter is gone from the journal, one after the other: they are kept for so
// long only, and the oldest go first.
func (p *Pipeline) lookUpOldestLetter() {
	var oldest *job
	for j := p.dead.oldest; j != nil; j = j.newer {
		if !j.deciding && (oldest == nil || j.letter < oldest.letter) {
			oldest = j
		}
	}
	if oldest == nil {
		p.timers.add(time.Now().Add(missCheck), p.checkOldestLetter)
		return
	}
	gone := false
	p.chore(chore{
		what: "a dead letter could not be looked up",
		begin: func() func(context.Context) error {
			return func(ctx context.Context) error {
				gone = p.isGone(ctx, oldest.letter)
				return nil
			}
		},
		done: func() {
			if !gone || !oldest.held || oldest.deciding {
				p.timers.add(time.Now().Add(missCheck), p.checkOldestLetter)
				return
			}
			p.log.Warn("a dead letter is gone; those behind it go on", zap.Uint64("id", oldest.letter))
			oldest.deciding = true
			p.letPass(oldest, &decision{answer: make(chan answer, 1)})
			p.lookUpOldestLetter() // there may be more
		},
	})
}

// isGone tells whether a dead letter is in the journal no more. One that cannot be read is there.
func (p *Pipeline) isGone(ctx context.Context, letter uint64) bool {
	_, err := p.Journal.DeadLetter(ctx, letter)
	return errors.Is(err, journal.ErrNoDeadLetter)
}

// inOrder sorts parked calls as they stand in the log. Of several of one call the one that was stored last comes first.
func inOrder(parked []*journal.Parked) {
	slices.SortStableFunc(parked, func(a, b *journal.Parked) int {
		switch {
		case a.Position.Before(b.Position):
			return -1
		case b.Position.Before(a.Position):
			return 1
		}
		return cmp.Compare(b.ID, a.ID)
	})
}
