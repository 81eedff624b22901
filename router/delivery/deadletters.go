package delivery

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/blocked"
	"aka/router/journal"
)

// OnDead says what becomes of those behind a call that became a dead letter.
type OnDead string

// The values of OnDead.
const (
	// OnDeadContinue sends them.
	OnDeadContinue OnDead = "continue"
	// OnDeadBlock makes them wait until the dead letter was replayed and delivered, or discarded.
	OnDeadBlock OnDead = "block"
)

// deadLetters stores the calls that are given up on, and knows those that block the calls behind them.
type deadLetters struct {
	p       *Pipeline
	pending []*job // to be stored, oldest first
	// places are those of the dead letters that block others, or did and are tried again, by the dead letters' ids. blocking has
	// the same ids for other goroutines, and whether they block others still.
	places   map[uint64]*place
	blocking sync.Map
	count    int // of the places that block others
}

// place is where a dead letter blocks others.
type place struct {
	deadLetter uint64
	job        *job // nil while it is on disk only
	queue      *blocked.Queue
	key        journal.ParkedKey
	blocks     bool // false while it is tried again
	deciding   bool // what its operator wants is being stored
	lost       bool // its call could not be read: to look again does not help
}

func newDeadLetters(p *Pipeline) *deadLetters {
	return &deadLetters{p: p, places: map[uint64]*place{}}
}

// giveUp makes a dead letter of a call. It keeps its people's order until that is stored.
func (d *deadLetters) giveUp(j *job, reason adapter.Reason, detail string, now time.Time) {
	j.dead, j.detail = reason, d.p.detail(detail)
	d.add(j, now)
}

// add stores a call as a dead letter, whatever it waits for.
func (d *deadLetters) add(j *job, now time.Time) {
	d.p.transition(j, storing)
	if j.first.IsZero() {
		j.first, j.last = now, now
	}
	d.pending = append(d.pending, j)
	if len(d.pending) == 1 {
		d.storePending()
	}
}

// maxStoredAtOnce bounds how many dead letters one write stores.
const maxStoredAtOnce = 256

// storePending stores the calls that wait for it, as many as there are when its turn comes.
func (d *deadLetters) storePending() {
	var jobs []*job
	var deadLetters []*journal.DeadLetter
	d.p.storage.add(&storageJob{
		what: "store dead letters",
		begin: func() func(context.Context) error {
			jobs = d.pending[:min(len(d.pending), maxStoredAtOnce)]
			deadLetters = make([]*journal.DeadLetter, len(jobs))
			room := d.p.parking.room()
			for i, j := range jobs {
				deadLetters[i] = d.deadLetterOf(j)
				if d.p.blocksOnDead() && (j.stored() || room > 0) {
					deadLetters[i].Place = d.placeOf(j)
					room--
				}
			}
			return func(ctx context.Context) error { return d.p.config.Journal.StoreDeadLetters(ctx, deadLetters) }
		},
		done: func() {
			d.pending = d.pending[len(jobs):]
			if len(d.pending) > 0 {
				d.storePending()
			}
			for i, j := range jobs {
				d.stored(j, deadLetters[i])
			}
		},
	})
}

func (d *deadLetters) deadLetterOf(j *job) *journal.DeadLetter {
	return &journal.DeadLetter{
		Destination: d.p.config.Destination.Name, Reason: string(j.dead), Detail: d.p.detail(j.detail),
		Attempts: j.attempts, Status: j.status, First: j.first, Last: j.last, Earlier: j.deadLetter, Position: j.pos, Rank: j.rank, Entry: *j.entry,
	}
}

// placeOf is where a dead letter is to block others.
func (d *deadLetters) placeOf(j *job) *journal.Parked {
	d.p.parking.giveKey(j)
	place := d.p.parking.writer.recordOf(j)
	place.Dead = string(j.dead)
	return place
}

// stored ends a call that is stored as a dead letter, or has it block those behind it.
func (d *deadLetters) stored(j *job, deadLetter *journal.DeadLetter) {
	d.forget(j)
	j.deadLetter = deadLetter.ID
	d.p.refusals.died(j)
	blocks := deadLetter.Place != nil
	d.p.log.Warn("call became a dead letter", zap.Uint64("id", deadLetter.ID), zap.String("reason", string(j.dead)), zap.Stringer("type", j.entry.Type),
		zap.String("message_id", j.entry.MessageID), zap.Int("attempt", j.attempts), zap.Int("status", j.status), zap.Bool("blocks_others", blocks))
	if !blocks {
		if d.p.blocksOnDead() {
			d.p.parking.warnNoRoom()
		}
		d.p.order.finish(j, outcomeDead, string(j.dead), time.Now())
		return
	}
	d.remember(&place{deadLetter: deadLetter.ID, job: j, queue: j.queue, key: j.key, blocks: true})
	d.p.parking.block(j)
}

func (d *deadLetters) remember(pl *place) {
	d.forgetID(pl.deadLetter)
	d.places[pl.deadLetter] = pl
	d.blocking.Store(pl.deadLetter, pl.blocks)
	if pl.blocks {
		d.count++
	}
}

// forget forgets which dead letter a call was: it has ended, or is to be another.
func (d *deadLetters) forget(j *job) {
	if j.deadLetter != 0 {
		d.forgetID(j.deadLetter)
	}
}

func (d *deadLetters) forgetID(deadLetter uint64) {
	if pl := d.places[deadLetter]; pl != nil && pl.blocks {
		d.count--
	}
	delete(d.places, deadLetter)
	d.blocking.Delete(deadLetter)
}

// undecidedOf returns those of the dead letters about which nothing was decided: their operator has not had them tried again.
func (d *deadLetters) undecidedOf(deadLetters []uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(deadLetters), func(deadLetter uint64) bool {
		pl := d.places[deadLetter]
		return pl != nil && (pl.deciding || !pl.blocks)
	})
}

// keysOf returns the places of the dead letters that block others. Nothing else is decided about these from now on.
func (d *deadLetters) keysOf(deadLetters []uint64) map[uint64]journal.ParkedKey {
	keys := map[uint64]journal.ParkedKey{}
	for _, deadLetter := range deadLetters {
		if pl := d.places[deadLetter]; pl != nil && pl.blocks && !pl.deciding {
			keys[deadLetter] = pl.key
			pl.deciding = true
			if pl.job != nil {
				d.p.transition(pl.job, storing)
			}
		}
	}
	return keys
}

// takePlaces forgets dead letters that were withdrawn, and returns the places in which they have blocked others.
func (d *deadLetters) takePlaces(deadLetters []uint64) map[journal.ParkedKey]*place {
	places := map[journal.ParkedKey]*place{}
	for _, deadLetter := range deadLetters {
		if pl := d.places[deadLetter]; pl != nil && pl.deciding {
			places[pl.key] = pl
			d.forgetID(deadLetter)
		}
	}
	return places
}

// blockingCount is how many dead letters block others.
func (d *deadLetters) blockingCount() int { return d.count }

// isDeciding reports whether a decision about a dead letter is on its way to the disk: what that does must not be done before.
func (d *deadLetters) isDeciding(deadLetter uint64) bool {
	pl := d.places[deadLetter]
	return pl != nil && pl.deciding
}

// tookUp notes that a dead letter that blocks others was read back into memory.
func (d *deadLetters) tookUp(j *job) {
	pl := d.places[j.deadLetter]
	if pl == nil {
		d.remember(&place{deadLetter: j.deadLetter, job: j, queue: j.queue, key: j.key, blocks: true})
		return
	}
	pl.job = j
	if pl.deciding {
		d.p.transition(j, storing)
	}
}

// moved notes that a dead letter's call has come into memory, or has left it.
func (d *deadLetters) moved(deadLetter uint64, j *job) {
	if pl := d.places[deadLetter]; pl != nil {
		pl.job = j
	}
}

// expiryCheck is how often it is looked whether a dead letter that blocks calls is still there.
const expiryCheck = time.Minute

// checkOldest looks whether the oldest dead letters that block others are gone from the journal, when nothing else is to be
// stored: they are kept for so long only, and the oldest go first. What is behind one that is gone goes on.
func (d *deadLetters) checkOldest() {
	if d.p.storage.idle() {
		d.lookUpOldest()
		return
	}
	d.checkLater()
}

func (d *deadLetters) checkLater() { d.p.timers.add(time.Now().Add(expiryCheck), d.checkOldest) }

// lookedUpAtOnce bounds how many dead letters one storage job looks up.
const lookedUpAtOnce = 256

func (d *deadLetters) lookUpOldest() {
	oldest := d.oldest()
	if len(oldest) == 0 {
		d.checkLater()
		return
	}
	gone := 0
	d.p.storage.add(&storageJob{
		what: "look up dead letters",
		begin: func() func(context.Context) error {
			return func(ctx context.Context) error {
				for gone = 0; gone < len(oldest) && d.isGone(ctx, oldest[gone].deadLetter); gone++ {
				}
				return nil
			}
		},
		done: func() {
			for _, pl := range oldest[:gone] {
				if pl.blocks && !pl.deciding {
					d.p.log.Warn("blocking dead letter is gone, continuing", zap.Uint64("id", pl.deadLetter))
					d.carryOut(pl, &decision{answer: make(chan answer, 1)})
				}
			}
			if gone == len(oldest) {
				d.lookUpOldest() // there may be more
				return
			}
			d.checkLater()
		},
	})
}

// oldest returns the oldest dead letters that block others and may be decided about.
func (d *deadLetters) oldest() []*place {
	var all []*place
	for _, pl := range d.places {
		if pl.blocks && !pl.deciding && !pl.lost {
			all = append(all, pl)
		}
	}
	slices.SortFunc(all, func(a, b *place) int { return cmp.Compare(a.deadLetter, b.deadLetter) })
	return all[:min(len(all), lookedUpAtOnce)]
}

// isGone reports whether a dead letter is not in the journal any more. One that cannot be read is there.
func (d *deadLetters) isGone(ctx context.Context, deadLetter uint64) bool {
	_, err := d.p.config.Journal.DeadLetter(ctx, deadLetter)
	return errors.Is(err, journal.ErrNoDeadLetter)
}
