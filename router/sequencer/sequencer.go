// Package sequencer keeps each person's calls in order: calls go in as they were accepted, and those come out that may be sent.
package sequencer

import (
	"cmp"
	"iter"
	"slices"
)

// MaxIDs is how many distinct ids one ticket can name: a call has a userId, an anonymousId and a previousId.
const MaxIDs = 3

// Sequencer decides which of the waiting calls may go now. Each call is a Ticket that names its ids; a call that changes
// identity takes its ids exclusively, the others share theirs. Every id has a queue in the order of Add, and grants itself
// to the head of the queue: to one exclusive ticket, or to all shared tickets up to the next exclusive one. A ticket is
// ready when all its ids are granted, and keeps them until Release.
//
// Two tickets conflict when they share an id and one of them is exclusive. What this guarantees:
//
//   - A ticket is ready exactly when no conflicting ticket that was added earlier is still held. For on one id, an exclusive
//     ticket is granted when nothing is before it, and a shared one when nothing exclusive is before it; that is, when
//     nothing before it conflicts on this id; and a ticket is ready when this holds for all its ids.
//   - So two conflicting tickets are never ready together and never change places: the later one becomes ready only after
//     the earlier one was released. And nothing waits needlessly.
//   - No deadlock. A ticket asks for all its ids in one Add, and takes its place at the end of each queue: it waits only for
//     tickets added before it. A circle of waiting tickets would need one that waits for a later one. Hence the earliest
//     ticket waits for no other, and if every ready ticket is released one day, every ticket becomes ready.
//
// Add and Release cost the same however many tickets wait, but for those that a Release makes ready; neither allocates in
// the long run. No id is remembered after its last ticket. A Sequencer belongs to one goroutine, and so do its tickets.
type Sequencer[T any] struct {
	// last has the end of each id's queue. The key is always that claim's own string (assigning to a map replaces the key
	// too): ids are often slices of a larger buffer, which an earlier ticket's key would keep for as long as the id is busy.
	last    map[string]*claim[T]
	added   uint64
	tickets int
	waiting int
}

// New returns an empty Sequencer.
func New[T any]() *Sequencer[T] {
	return &Sequencer[T]{last: map[string]*claim[T]{}}
}

// Ticket is one call's place in a Sequencer. The zero value is ready to be added; after Release it can be added again. It
// is made to be embedded in the job that waits, and must not be copied while it is in the sequencer.
type Ticket[T any] struct {
	// Value leads from the ticket to its job. The sequencer does not read it.
	Value T

	claims    [MaxIDs]claim[T]
	number    uint64 // the place in the order of Add, from 1; 0 is in no sequencer
	missing   int    // ids not granted yet
	exclusive bool
}

// claim is a ticket's place in the queue of one id. In each queue the granted claims come first.
type claim[T any] struct {
	ticket        *Ticket[T]
	id            string
	before, after *claim[T]
	granted       bool
}

// Add puts the ticket behind all that were added before, and reports whether it is ready at once. Empty ids and repeated ones
// do not count; without ids a ticket is always ready. It panics when the ticket is in a sequencer already, or has more than
// MaxIDs ids.
func (s *Sequencer[T]) Add(t *Ticket[T], ids []string, exclusive bool) (ready bool) {
	if t.number != 0 {
		panic("sequencer: a ticket was added twice")
	}
	s.added++
	s.tickets++
	t.number, t.exclusive = s.added, exclusive
	used := 0
	for _, id := range ids {
		last := s.last[id]
		if id == "" || last != nil && last.ticket == t {
			continue
		}
		t.claims[used] = claim[T]{ticket: t, id: id, before: last}
		s.enqueue(&t.claims[used])
		used++
	}
	if t.missing > 0 {
		s.waiting++
	}
	return t.missing == 0
}

// enqueue makes c the last claim on its id, and grants it when nothing is in its way.
func (s *Sequencer[T]) enqueue(c *claim[T]) {
	if c.before != nil {
		c.before.after = c
	}
	s.last[c.id] = c
	c.granted = c.grantable()
	if !c.granted {
		c.ticket.missing++
	}
}

// grantable reports whether nothing before c conflicts with it.
func (c *claim[T]) grantable() bool {
	if c.before == nil {
		return true
	}
	return c.before.granted && !c.before.ticket.exclusive && !c.ticket.exclusive
}

// Release gives back the ticket's ids and appends the tickets that became ready by it to ready, in the order in which they
// were added. The ticket may be ready or waiting; one that is in no sequencer is left alone.
func (s *Sequencer[T]) Release(t *Ticket[T], ready []*Ticket[T]) []*Ticket[T] {
	if t.number == 0 {
		return ready
	}
	s.tickets--
	if t.missing > 0 {
		s.waiting--
	}
	first := len(ready)
	for i := range t.claims {
		if c := &t.claims[i]; c.ticket != nil {
			s.unlink(c)
			ready = s.grant(c.after, ready)
		}
	}
	*t = Ticket[T]{Value: t.Value}
	slices.SortFunc(ready[first:], func(a, b *Ticket[T]) int { return cmp.Compare(a.number, b.number) })
	return ready
}

// unlink takes c out of its id's queue, and forgets an id whose queue is empty.
func (s *Sequencer[T]) unlink(c *claim[T]) {
	if c.before != nil {
		c.before.after = c.after
	}
	switch {
	case c.after != nil:
		c.after.before = c.before
	case c.before != nil:
		s.last[c.before.id] = c.before
	default:
		delete(s.last, c.id)
	}
}

// grant gives the id to c and to those behind it, as far as it goes, and appends the tickets that became ready.
func (s *Sequencer[T]) grant(c *claim[T], ready []*Ticket[T]) []*Ticket[T] {
	for ; c != nil && !c.granted && c.grantable(); c = c.after {
		c.granted = true
		c.ticket.missing--
		if c.ticket.missing == 0 {
			s.waiting--
			ready = append(ready, c.ticket)
		}
	}
	return ready
}

// Len is how many tickets are in the sequencer, ready or waiting.
func (s *Sequencer[T]) Len() int { return s.tickets }

// Waiting is how many of them are not ready.
func (s *Sequencer[T]) Waiting() int { return s.waiting }

// IDs is how many distinct ids they name.
func (s *Sequencer[T]) IDs() int { return len(s.last) }

// Ready reports whether the ticket is in a sequencer and has all its ids.
func (t *Ticket[T]) Ready() bool { return t.number != 0 && t.missing == 0 }

// Blockers yields the tickets that this one waits for, latest first: those that conflict with it and were added before. It
// is for showing, not for deciding: it walks the queues of the ticket's ids. They must not change meanwhile.
func (t *Ticket[T]) Blockers() iter.Seq[*Ticket[T]] {
	return func(yield func(*Ticket[T]) bool) {
		var fronts [MaxIDs]*claim[T]
		for i := range t.claims {
			fronts[i] = t.claims[i].before
		}
		for b := stepBack(&fronts); b != nil; b = stepBack(&fronts) {
			if (b.exclusive || t.exclusive) && !yield(b) {
				return
			}
		}
	}
}

// stepBack returns the latest of the tickets that the fronts stand at, nil when none is left, and moves the fronts past it.
func stepBack[T any](fronts *[MaxIDs]*claim[T]) *Ticket[T] {
	var latest *Ticket[T]
	for _, c := range fronts {
		if c != nil && (latest == nil || c.ticket.number > latest.number) {
			latest = c.ticket
		}
	}
	for i, c := range fronts {
		if c != nil && c.ticket == latest {
			fronts[i] = c.before
		}
	}
	return latest
}
