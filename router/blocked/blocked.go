// Package blocked knows which identities of a destination are blocked. An identity is blocked while calls of its wait on disk:
// behind a call that fails alone, behind a dead letter, or behind others that wait. Such calls wait in queues. A call that
// shares ids with those of a queue goes to its end; one that shares ids with two queues joins them.
package blocked

import (
	"hash/maphash"
	"maps"
	"slices"
	"time"

	"aka/router/journal"
)

// Identities are the blocked ids: which queue they wait in, and how many calls there name them. An id takes some 40 bytes,
// however many calls name it. They belong to one goroutine.
type Identities struct {
	seed   maphash.Seed
	claims map[uint64]claim
}

// claim is what the waiting calls hold of one id. Ids are kept as digests: two ids of one digest wait for each other in vain,
// and nothing else.
type claim struct {
	queue             *Queue
	shared, exclusive uint32 // calls
}

// NewIdentities returns a set that is empty.
func NewIdentities() *Identities {
	return &Identities{seed: maphash.MakeSeed(), claims: map[uint64]claim{}}
}

// Len is how many ids are blocked; none in a set that is nil.
func (s *Identities) Len() int {
	if s == nil {
		return 0
	}
	return len(s.claims)
}

// Behind returns the queue in which a call must wait, nil when it may go. exclusive is whether no other call with one of its
// ids may be under way beside it. The queues that the call must wait behind are joined.
func (s *Identities) Behind(ids []string, exclusive bool) (q *Queue) {
	if s.Len() == 0 {
		return nil
	}
	for _, id := range ids {
		if c, ok := s.claims[maphash.String(s.seed, id)]; ok && (exclusive || c.exclusive > 0) {
			q = Join(q, c.queue)
		}
	}
	return q
}

// Block reports whether a call must wait behind those of the set. It joins nothing.
func (s *Identities) Block(ids []string, exclusive bool) bool {
	if s.Len() == 0 {
		return false
	}
	return slices.ContainsFunc(ids, func(id string) bool {
		c, ok := s.claims[maphash.String(s.seed, id)]
		return ok && (exclusive || c.exclusive > 0)
	})
}

// Add takes a call in that waits in a queue.
func (s *Identities) Add(q *Queue, ids []string, exclusive bool) {
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			continue
		}
		digest := maphash.String(s.seed, id)
		c := s.claims[digest]
		q = Join(q, c.queue)
		c.queue = q
		if exclusive {
			c.exclusive++
		} else {
			c.shared++
		}
		s.claims[digest] = c
	}
}

// Remove takes a call out that does not wait any more. Each id that no other call names is free again.
func (s *Identities) Remove(ids []string, exclusive bool) {
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			continue
		}
		digest := maphash.String(s.seed, id)
		c, ok := s.claims[digest]
		switch {
		case !ok:
			continue
		case exclusive && c.exclusive > 0:
			c.exclusive--
		case !exclusive && c.shared > 0:
			c.shared--
		}
		if c.shared == 0 && c.exclusive == 0 {
			delete(s.claims, digest)
			continue
		}
		s.claims[digest] = c
	}
}

// Clear frees all ids of a queue.
func (s *Identities) Clear(q *Queue) {
	for digest, c := range s.claims {
		if c.queue.Root() == q.Root() {
			delete(s.claims, digest)
		}
	}
}

// Queue is calls that wait on disk for the same reason, in their order. A queue that was joined with others represents all of
// them; use Root to reach it.
type Queue struct {
	root *Queue // nil for one that was not joined to another
	// parts are the journal's queues that hold the calls. New ones go to the first.
	parts []part

	// Waiting is how many calls are on disk and not in memory, Bytes about how much they take there. Taken are the places of those that are in both, each with whether
	// it goes on by itself: false for one that blocks the others.
	Waiting int
	Bytes   int
	Taken   map[journal.Rank]bool
	// Oldest is when the oldest waiting call was accepted, or earlier; zero when that is not known.
	Oldest time.Time
	// HeldUntil is when a call that held the queue for its operator was last decided about; zero for never.
	HeldUntil time.Time
	holding   holding
	// Stuck is true when all waiting calls wait for some in memory that block the queue.
	Stuck bool
	scan  *scan
	// Reading is true while calls are read back from it, Expiring while it is searched for calls that are too old, Wanted while it
	// is to be read once there is room.
	Reading, Expiring, Wanted bool
}

// part is one of the journal's queues. first is where its first waiting call stands, or before that.
type part struct {
	number uint64
	first  journal.Rank
}

// NewQueue returns a queue whose calls are stored under a number.
func NewQueue(number uint64) *Queue {
	return &Queue{scan: new(scan), parts: []part{{number: number}}, Taken: map[journal.Rank]bool{}}
}

// Root returns the queue that this one is part of; nil for nil.
func (q *Queue) Root() *Queue {
	for q != nil && q.root != nil {
		if q.root.root != nil {
			q.root = q.root.root // so that the way is short the next time
		}
		q = q.root
	}
	return q
}

// Join makes one queue of two, either of which may be nil, and returns it.
func Join(a, b *Queue) *Queue {
	switch {
	case a == nil && b == nil:
		return nil
	case a == nil:
		return b.Root()
	case b == nil || a.Root() == b.Root():
		return a.Root()
	}
	a, b = a.Root(), b.Root()
	if len(a.parts)+len(a.Taken) < len(b.parts)+len(b.Taken) {
		a, b = b, a
	}
	b.root = a
	a.parts = append(a.parts, b.parts...)
	a.Waiting += b.Waiting
	a.Bytes += b.Bytes
	maps.Copy(a.Taken, b.Taken)
	if a.Oldest.IsZero() || !b.Oldest.IsZero() && b.Oldest.Before(a.Oldest) {
		a.Oldest = b.Oldest
	}
	if b.HeldUntil.After(a.HeldUntil) {
		a.HeldUntil = b.HeldUntil
	}
	a.holding.join(b.holding)
	a.Reading, a.Expiring, a.Wanted = a.Reading || b.Reading, a.Expiring || b.Expiring, a.Wanted || b.Wanted
	b.parts, b.Taken = nil, nil
	a.Rescan()
	return a
}

// Number is the journal's queue in which new calls are stored.
func (q *Queue) Number() uint64 { return q.Root().parts[0].number }

// Put counts a call that is to wait on disk, in one of the queue's parts, behind all that wait there.
func (q *Queue) Put(key journal.ParkedKey, accepted time.Time) {
	q = q.Root()
	q.Waiting++
	delete(q.Taken, key.Rank)
	if q.Oldest.IsZero() || accepted.Before(q.Oldest) {
		q.Oldest = accepted
	}
	q.partOf(key).include(key.Rank)
}

// PutBack does the same for a call that does not stand behind all others: a read may have passed its place, and is not taken in.
func (q *Queue) PutBack(key journal.ParkedKey, accepted time.Time) {
	q.Put(key, accepted)
	q.Root().scan = new(scan)
}

// partOf returns the part that a call is stored in.
func (q *Queue) partOf(key journal.ParkedKey) *part {
	i := slices.IndexFunc(q.parts, func(p part) bool { return p.number == key.Queue })
	if i < 0 { // it was read to its end, and the call was taken from it
		i = len(q.parts)
		q.parts = append(q.parts, part{number: key.Queue, first: key.Rank})
	}
	return &q.parts[i]
}

// include has the next read begin at a position, or before it.
func (p *part) include(rank journal.Rank) {
	if rank.Before(p.first) {
		p.first = rank
	}
}

// moveTo has the next read begin at a position, or at the first call before it that is still to be written.
func (p *part) moveTo(rank journal.Rank, unwritten Unwritten) {
	p.first = rank
	if first, ok := unwritten(p.number); ok {
		p.include(first)
	}
}

// Take counts a call that waited on disk, and is in memory, too, from now on.
func (q *Queue) Take(rank journal.Rank) {
	q.Root().Waiting--
	q.Add(rank, true)
}

// Add counts a call in memory that is on disk, too. going is false when it blocks the others.
func (q *Queue) Add(rank journal.Rank, going bool) { q.Root().Taken[rank] = going }

// AddBytes counts what a call takes on disk that has begun to wait there, less than 0 for one that does no longer.
func (q *Queue) AddBytes(n int) {
	q = q.Root()
	q.Bytes = max(q.Bytes+n, 0)
}

// SetGoing notes whether a call that is in memory goes on, or blocks the others.
func (q *Queue) SetGoing(rank journal.Rank, going bool) {
	if _, ok := q.Root().Taken[rank]; ok {
		q.Add(rank, going)
	}
}

// Going is how many calls are in memory that do not block the others.
func (q *Queue) Going() (n int) {
	for _, going := range q.Root().Taken {
		if going {
			n++
		}
	}
	return n
}

// HasBlocking reports whether a call that is in memory and on disk may block the others.
func (q *Queue) HasBlocking() bool {
	for _, going := range q.Root().Taken {
		if !going {
			return true
		}
	}
	return false
}

// End counts a call that was in memory, and has left memory and disk.
func (q *Queue) End(rank journal.Rank) { delete(q.Root().Taken, rank) }

// Queues returns all queues, in no order.
func (s *Identities) Queues() []*Queue {
	all := map[*Queue]bool{}
	for _, c := range s.claims {
		all[c.queue.Root()] = true
	}
	return slices.Collect(maps.Keys(all))
}
