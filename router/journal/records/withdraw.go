package records

import (
	"context"
	"errors"
	"fmt"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/frame"
)

// Parked is the dead letter's call as it would wait in a queue: with the exchanges that it had, none of which counts against it.
func (d *DeadLetter) Parked(queue uint64) *Parked {
	p := &Parked{Destination: d.Destination, Queue: queue, Rank: d.Rank, Position: d.Position, Attempts: d.Attempts, First: d.First, Entry: d.Entry}
	if d.Rank == (frame.Rank{}) {
		p.Rank = d.Position
	}
	if before := d.Entry.Replayed; before != nil { // which StoreDeadLetters adds, should it die again
		p.Attempts -= min(p.Attempts, before.Attempts)
		p.First = d.Last
	}
	return p
}

// Withdraw takes dead letters of a destination, MaxParked of them at the most, out again: their calls are parked where park
// says, all in one write. It returns the parked calls, in the order of the dead letters, once that is safe on disk. park returns nil
// for a dead letter that is to stay, and must not use the store. Left out are those that are gone (replayed, discarded,
// expired), those that cannot be read, and a second one with the same place as another.
//
// After an error it is not known whether they were stored. To withdraw them again is right, and returns those of the first
// time, too.
func (s *deadLetters) Withdraw(ctx context.Context, destination string, deadLetters []uint64, park func(*DeadLetter) *Parked) (parked []*Parked, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err = checkParked(len(deadLetters)); err == nil {
		err = s.t.change(ctx, destination, func(b *recordState, c *change) error {
			w := withdrawal{dead: s, destination: destination, recordState: b, change: c, park: park, taken: map[ParkedKey]bool{}}
			for _, id := range deadLetters {
				if err := w.take(ctx, id); err != nil {
					return err
				}
			}
			parked = w.parked
			return s.t.park(ctx, destination, b, c, w.fresh)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("withdraw dead letters of %s: %w", destination, err)
	}
	s.t.recordState(destination).forgetWithdrawn(deadLetters)
	return parked, nil
}

// withdrawal is one change that withdraws dead letters.
type withdrawal struct {
	dead        *deadLetters
	destination string
	recordState *recordState
	change      *change
	park        func(*DeadLetter) *Parked

	parked []*Parked // in order
	fresh  []*Parked // those of them that are not stored yet
	taken  map[ParkedKey]bool
}

// take withdraws a dead letter, if it is there and is not to stay.
func (w *withdrawal) take(ctx context.Context, id uint64) error {
	t := w.dead.t
	index, err := t.get(ctx, w.destination, recordKey(kindDead.keys().index, id))
	if errors.Is(err, engine.ErrNoRecord) {
		return w.retake(ctx, id)
	}
	if err != nil {
		return err
	}
	d, err := w.dead.deadLetter(ctx, w.destination, id)
	if errors.Is(err, ErrNoDeadLetter) || errors.Is(err, codec.ErrDamaged) || errors.Is(err, engine.ErrDamaged) {
		w.dead.reportUnreadable(w.destination, id, err)
		return nil
	}
	if err != nil {
		return err
	}
	p := w.park(d)
	if p == nil || w.taken[p.Key()] {
		return nil
	}
	p.Destination = w.destination
	w.fresh = append(w.fresh, p)
	w.add(p)
	w.recordState.noteWithdrawn(id, p)
	return w.recordState.remove(w.change, kindDead, w.destination, id, index)
}

// retake returns one that an unsure write has withdrawn.
func (w *withdrawal) retake(ctx context.Context, id uint64) error {
	p := w.recordState.withdrawnAs(id)
	if p == nil {
		return nil
	}
	stored, err := w.dead.t.storedOf(ctx, w.destination, [][]byte{p.Key().encode()})
	if len(stored) > 0 && !w.taken[p.Key()] {
		w.add(p)
	}
	return err
}

func (w *withdrawal) add(p *Parked) {
	w.taken[p.Key()] = true
	w.parked = append(w.parked, p)
}

func (b *recordState) noteWithdrawn(id uint64, p *Parked) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.withdrawn[id] = p
}

func (b *recordState) withdrawnAs(id uint64) *Parked {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.withdrawn[id]
}

func (b *recordState) forgetWithdrawn(deadLetters []uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range deadLetters {
		delete(b.withdrawn, id)
	}
}
