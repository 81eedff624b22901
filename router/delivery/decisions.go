package delivery

import (
	"context"
	"errors"
	"time"

	"aka/router/journal"
	"aka/router/segment"
)

// Errors of Retry and Release.
var (
	// ErrStopped means that the pipeline does not run.
	ErrStopped = errors.New("the destination is stopping")
	// ErrDeciding means that a decision about the dead letter is on its way to the disk.
	ErrDeciding = errors.New("this dead letter is being decided about")
	// ErrUnreadable means that the dead letter's call cannot be read from the disk.
	ErrUnreadable = errors.New("the call of this dead letter cannot be read")
)

// Blocks reports whether calls wait until the dead letter of that id is replayed or discarded.
func (p *Pipeline) Blocks(deadLetter uint64) bool {
	blocks, _ := p.deadLetters.blocking.Load(deadLetter)
	return blocks == true
}

// Retry has the call of a dead letter that blocks those behind it tried again, in its place before them, and returns once that
// is safe on disk. The dead letter stays in the journal and is to be discarded. blocks is false when no call waits for it. When
// it fails the call may be tried again, or not; to ask once more does no harm.
func (p *Pipeline) Retry(ctx context.Context, deadLetter uint64) (blocks bool, err error) {
	return p.deadLetters.decide(ctx, deadLetter, true)
}

// Release lets those go on that wait for a dead letter, for good, and returns once that is safe on disk. The dead letter
// stays in the journal and is to be discarded. blocks is false when no call waits for it.
func (p *Pipeline) Release(ctx context.Context, deadLetter uint64) (blocks bool, err error) {
	return p.deadLetters.decide(ctx, deadLetter, false)
}

// decision is what an operator wants done with a dead letter that blocks calls.
type decision struct {
	retry  bool
	answer chan answer
}

type answer struct {
	blocks bool
	err    error
}

func (d *deadLetters) decide(ctx context.Context, deadLetter uint64, retry bool) (blocks bool, err error) {
	if _, known := d.blocking.Load(deadLetter); !known {
		return false, nil
	}
	what := &decision{retry: retry, answer: make(chan answer, 1)}
	select {
	case d.p.asked <- func() { d.take(deadLetter, what) }:
	case <-d.p.stopped:
		return false, ErrStopped
	case <-ctx.Done():
		return false, ctx.Err()
	}
	select {
	case a := <-what.answer:
		return a.blocks, a.err
	case <-d.p.stopped:
		return false, ErrStopped
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// take begins to carry a decision out. A call that is being tried again already, as when its dead letter outlived a crash,
// needs nothing else.
func (d *deadLetters) take(deadLetter uint64, what *decision) {
	pl := d.places[deadLetter]
	switch {
	case d.p.ending:
		what.answer <- answer{err: ErrStopped}
	case pl == nil:
		what.answer <- answer{}
	case pl.deciding:
		what.answer <- answer{err: ErrDeciding}
	case !pl.blocks:
		what.answer <- answer{blocks: true}
	default:
		d.carryOut(pl, what)
	}
}

// carryOut stores a decision: the call in its place as one that may be tried, or no place any more.
func (d *deadLetters) carryOut(pl *place, what *decision) {
	pl.deciding = true
	if pl.job != nil {
		d.p.transition(pl.job, storing)
	}
	var call *journal.Parked
	d.p.storage.add(&storageJob{
		what: "store a decision",
		begin: func() func(context.Context) error {
			return func(ctx context.Context) (err error) {
				if call == nil { // else it was read before a write that failed, and may have been done
					if call, err = d.readParked(ctx, pl.key); err != nil || call == nil {
						return err
					}
				}
				if !what.retry {
					return d.p.config.Journal.Unpark(ctx, d.p.config.Destination.Name, []journal.ParkedKey{pl.key}, nil)
				}
				d.p.parking.reader.startAnew(call)
				// The merge rules and the memory are asked anew, as of any replay: what was approved before is not approved now.
				call.Dead, call.Failures, call.FailingSince = "", 0, time.Time{}
				call.Anew, call.Hold, call.Since = true, nil, time.Time{}
				if call.Entry.Type == segment.Alias {
					call.Since = time.Now()
				}
				return d.p.config.Journal.Park(ctx, d.p.config.Destination.Name, []*journal.Parked{call})
			}
		},
		done: func() {
			pl.deciding = false
			switch {
			case call == nil:
				pl.lost = true
				d.undecided(pl)
				what.answer <- answer{err: ErrUnreadable}
				return
			case what.retry:
				d.retry(pl, call)
			default:
				d.release(pl, call)
			}
			what.answer <- answer{blocks: true}
		},
	})
}

// readParked reads one parked call; nil when it is not there, or cannot be read.
func (d *deadLetters) readParked(ctx context.Context, key journal.ParkedKey) (found *journal.Parked, err error) {
	err = d.p.config.Journal.ReadQueue(ctx, d.p.config.Destination.Name, key.Queue, key.Rank, func(call *journal.Parked) bool {
		if call.Rank == key.Rank {
			found = call
		}
		return false
	})
	return found, err
}

func (d *deadLetters) undecided(pl *place) {
	if pl.job != nil {
		d.p.transition(pl.job, blocking)
	}
}

// retry has a dead letter's call tried again in its place.
func (d *deadLetters) retry(pl *place, call *journal.Parked) {
	pl.blocks = false
	d.count--
	d.blocking.Store(pl.deadLetter, false)
	d.p.metrics.blockingRetries.Inc()
	d.p.parking.revive(pl, call)
}

// release takes a dead letter out of its place.
func (d *deadLetters) release(pl *place, call *journal.Parked) {
	d.forgetID(pl.deadLetter)
	d.p.parking.unblock(pl, call)
}
