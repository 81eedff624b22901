package blocked

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"aka/router/journal"
)

// Read is calls that are read back from a queue: made by Queue.Begin, carried out by Run, and taken in by Queue.Finish.
type Read struct {
	scan  *scan // nil for one that must not be taken in
	from  journal.Rank
	parts []part
	taken map[journal.Rank]bool
	limit int
	// Calls are the first waiting calls of the queue, in their order.
	Calls []*journal.Parked
}

// Visitor reads one of the journal's queues from a rank on; see journal.Journal.ReadQueue.
type Visitor func(queue uint64, from journal.Rank, visit func(*journal.Parked) bool) error

// scan is a walk through a queue from its beginning. Calls that wait for those that block the queue are passed over, and so is
// what waits for these.
type scan struct {
	from   journal.Rank
	passed *Identities // nil when none was
}

// Begin prepares to read the next waiting calls, up to limit.
func (q *Queue) Begin(limit int) *Read {
	q = q.Root()
	r := q.BeginAt(q.scan.from, limit)
	r.scan = q.scan
	return r
}

// IsCurrent reports whether the queue's scan is the one that the read is part of: none has begun since.
func (q *Queue) IsCurrent(r *Read) bool { return r.scan == q.Root().scan }

// BeginAt does the same for those from a rank on. Such a read is for looking only, and must not be taken in.
func (q *Queue) BeginAt(from journal.Rank, limit int) *Read {
	q = q.Root()
	r := &Read{from: from, parts: slices.Clone(q.parts), taken: maps.Clone(q.Taken), limit: limit}
	for i := range r.parts {
		if r.parts[i].first.Before(from) {
			r.parts[i].first = from
		}
	}
	return r
}

// FoundNone reports whether the read has begun at the queue's beginning, and found no call.
func (r *Read) FoundNone() bool { return len(r.Calls) == 0 && r.from == journal.Rank{} }

// Run reads. It needs nothing of the queue, so that it may run beside what changes it.
func (r *Read) Run(visitor Visitor) error {
	r.Calls = nil
	inOrder := slices.Clone(r.parts)
	slices.SortFunc(inOrder, func(a, b part) int { return compare(a.first, b.first) })
	for _, p := range inOrder {
		if len(r.Calls) == r.limit && !p.first.Before(r.Calls[r.limit-1].Rank) {
			break // no part from here on has an earlier one
		}
		if err := r.readPart(p, visitor); err != nil {
			return err
		}
	}
	return nil
}

// readPart reads one part, and keeps the first calls of all that is read so far.
func (r *Read) readPart(p part, visitor Visitor) error {
	found := 0
	err := visitor(p.number, p.first, func(call *journal.Parked) bool {
		if _, ok := r.taken[call.Rank]; ok {
			return true
		}
		r.Calls = append(r.Calls, call)
		found++
		return found < r.limit
	})
	slices.SortStableFunc(r.Calls, func(a, b *journal.Parked) int { return compare(a.Rank, b.Rank) })
	r.Calls = r.Calls[:min(len(r.Calls), r.limit)]
	return err
}

func compare(a, b journal.Rank) int {
	return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Index, b.Index))
}

// IDs returns a call's ids, and whether it needs them for itself.
type IDs func(*journal.Parked) (ids []string, exclusive bool)

// Unwritten returns the place of the first call of one of the journal's queues that is counted already and that is still to be
// written, so that no read has found it; ok is false where there is none.
type Unwritten func(queue uint64) (first journal.Rank, ok bool)

// Finish takes in what was read, which must be current. It returns the calls that are to be taken up, at most so many. Those that wait for one of the
// blockers, which are in memory, stay on disk; blockers may be nil.
func (q *Queue) Finish(r *Read, atMost int, blockers *Identities, of IDs, unwritten Unwritten) (calls []*journal.Parked) {
	q = q.Root()
	for _, c := range r.Calls {
		if _, ok := q.Taken[c.Rank]; ok {
			continue
		}
		if len(calls) == atMost {
			q.goOnAt(c.Rank, unwritten)
			return calls
		}
		if q.passesOver(c, blockers, of) {
			continue
		}
		calls = append(calls, c)
		q.Take(c.Rank)
		if q.scan.passed == nil {
			q.partOf(c.Key()).moveTo(behind(c), unwritten)
		}
	}
	if n := len(r.Calls); n == r.limit {
		q.goOnAt(behind(r.Calls[n-1]), unwritten)
		return calls
	}
	q.finishScan(r, unwritten)
	return calls
}

// goOnAt has the scan go on at a rank. Where a call before it is still to be written, the scan begins anew: it would not find that one.
func (q *Queue) goOnAt(rank journal.Rank, unwritten Unwritten) {
	q.scan.from = rank
	for _, p := range q.parts {
		if first, ok := unwritten(p.number); ok && first.Before(rank) {
			q.scan = new(scan)
			return
		}
	}
}

func behind(c *journal.Parked) journal.Rank {
	return journal.Rank{Seq: c.Rank.Seq, Index: c.Rank.Index + 1}
}

// passesOver reports whether a call waits for a blocker, or for one that does.
func (q *Queue) passesOver(c *journal.Parked, blockers *Identities, of IDs) bool {
	ids, exclusive := of(c)
	if !blockers.Block(ids, exclusive) && !q.scan.passed.Block(ids, exclusive) {
		return false
	}
	if q.scan.passed == nil {
		q.scan.passed = NewIdentities()
	}
	q.scan.passed.Add(q, ids, exclusive)
	return true
}

// finishScan ends a scan that has seen all calls. What is left waits for blockers. Parts that were emptied are dropped, so that no
// later scan looks there; the first stays, for new calls go there.
func (q *Queue) finishScan(r *Read, unwritten Unwritten) {
	q.Stuck = q.scan.passed != nil
	if !q.Stuck {
		home := q.parts[0]
		rest := slices.DeleteFunc(q.parts[1:], func(p part) bool {
			if _, ok := unwritten(p.number); ok {
				return false
			}
			return slices.ContainsFunc(r.parts, func(read part) bool { return read.number == p.number })
		})
		q.parts = append([]part{home}, rest...)
	}
	q.scan = new(scan)
	switch {
	case q.Waiting <= 0:
		q.Oldest = time.Time{}
	case len(r.Calls) > 0 && !q.Stuck:
		q.Oldest = r.Calls[len(r.Calls)-1].Entry.ReceivedAt
	}
}

// Rescan has the next read begin at the queue's beginning: a call that blocked it is out of the way.
func (q *Queue) Rescan() {
	if q = q.Root(); q != nil {
		q.Stuck, q.scan = false, new(scan)
	}
}
