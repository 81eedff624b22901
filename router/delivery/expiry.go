package delivery

import (
	"context"
	"slices"
	"time"

	"aka/destinations/adapter"
	"aka/router/blocked"
	"aka/router/journal"
	"aka/router/sequencer"
)

// expiry gives up on calls that have waited for longer than the backlog may, in memory and on disk.
type expiry struct{ p *Pipeline }

// tooOld reports whether a call has waited for longer than the backlog may. One that was replayed waits anew, or it would die
// at once.
func (e *expiry) tooOld(j *job, now time.Time) bool {
	switch {
	case j.entry.Target != "" || j.deadLetter != 0:
		return e.overAge(j.entered, now)
	case j.hold != nil: // its verdict comes in time
		return false
	}
	return e.overAge(latest(j.entry.ReceivedAt, e.heldUntil(j.queue)), now)
}

// heldUntil is until when calls of a queue have waited for an operator: that is not held against them.
func (e *expiry) heldUntil(q *blocked.Queue) time.Time {
	if q = q.Root(); q != nil {
		return q.HeldUntil
	}
	return time.Time{}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (e *expiry) overAge(since, now time.Time) bool {
	age := e.p.config.Options.MaxBacklogAge
	return age > 0 && now.Sub(since) > age
}

// expire gives up on calls that have waited for longer than the backlog may, the oldest first. One that is in flight ends as
// its exchange does.
func (e *expiry) expire(l *list, now time.Time) {
	var held map[*job]bool
	for j := range l.all {
		if !e.overAge(j.entry.ReceivedAt, now) {
			return
		}
		if !e.tooOld(j, now) {
			continue
		}
		if held == nil {
			held = e.p.quarantine.followers()
		}
		if held[j] {
			continue
		}
		if j.state == waitingForIDs || j.state == queued && e.p.dispatcher.queue.remove(j) {
			e.p.deadLetters.giveUp(j, adapter.TooOld, j.detail, now)
		}
	}
}

// expiryInterval is how often it is looked whether calls on disk have waited for too long.
const expiryInterval = time.Minute

// expireAll makes dead letters of the calls on disk that have waited for longer than the backlog may.
func (e *expiry) expireAll() {
	now := time.Now()
	held := e.p.quarantine.queues()
	for _, q := range e.p.parking.identities.Queues() {
		if q.Waiting > 0 && !q.Expiring && !held[q] && e.overAge(latest(q.Oldest, q.HeldUntil), now) {
			q.Expiring = true
			e.expireQueue(q, journal.Rank{})
		}
	}
	e.p.timers.add(now.Add(expiryInterval), e.expireAll)
}

// expireQueue does so for a queue, from a rank on. A try that failed may have stored the dead letters: the next one stores the
// same, which have the ids that they were given then.
func (e *expiry) expireQueue(q *blocked.Queue, from journal.Rank) {
	var read *blocked.Read
	var deadLetters []*journal.DeadLetter
	now, deadLettersStored, heldUntil := time.Now(), false, e.heldUntil(q)
	e.p.storage.add(&storageJob{
		what: "store dead letters",
		begin: func() func(context.Context) error {
			if deadLetters == nil {
				read = q.Root().BeginAt(from, maxStoredAtOnce)
			}
			return func(ctx context.Context) (err error) {
				if deadLetters == nil {
					if err := e.p.parking.reader.read(ctx, read, map[uint64]bool{}); err != nil {
						return err
					}
					deadLetters = e.expired(read.Calls, heldUntil, now)
				}
				if !deadLettersStored {
					if err := e.storeDeadLetters(ctx, deadLetters); err != nil {
						return err
					}
					deadLettersStored = true
				}
				return e.unpark(ctx, deadLetters)
			}
		},
		done: func() {
			for _, deadLetter := range deadLetters {
				e.deadLettersStored(q.Root(), deadLetter)
			}
			e.expireMore(q.Root(), read, now)
		},
	})
}

// expired returns the dead letters of the calls that have waited for too long. What was replayed is as young as its replay.
func (e *expiry) expired(calls []*journal.Parked, heldUntil, now time.Time) (deadLetters []*journal.DeadLetter) {
	for _, call := range calls {
		if call.Dead != "" || call.DeadLetterID != 0 || call.Hold != nil || call.Entry.Target != "" || !e.overAge(latest(call.Entry.ReceivedAt, heldUntil), now) {
			continue
		}
		deadLetter := &journal.DeadLetter{
			Destination: e.p.config.Destination.Name, Reason: string(adapter.TooOld), Attempts: call.Attempts,
			First: call.First, Last: now, Position: call.Position, Rank: call.Rank, Entry: call.Entry, Place: call,
		}
		if deadLetter.First.IsZero() {
			deadLetter.First = now
		}
		call.Dead = deadLetter.Reason
		deadLetters = append(deadLetters, deadLetter)
	}
	return deadLetters
}

// storeDeadLetters stores the dead letters.
func (e *expiry) storeDeadLetters(ctx context.Context, deadLetters []*journal.DeadLetter) error {
	if len(deadLetters) == 0 {
		return nil
	}
	return e.p.config.Journal.StoreDeadLetters(ctx, deadLetters)
}

// unpark takes the dead letters out of the queue, where they block no others.
func (e *expiry) unpark(ctx context.Context, deadLetters []*journal.DeadLetter) error {
	if len(deadLetters) == 0 || e.p.blocksOnDead() {
		return nil
	}
	keys := make([]journal.ParkedKey, len(deadLetters))
	for i, deadLetter := range deadLetters {
		keys[i] = keyOf(deadLetter.Place)
	}
	return e.p.config.Journal.Unpark(ctx, e.p.config.Destination.Name, keys, nil)
}

func (e *expiry) deadLettersStored(q *blocked.Queue, deadLetter *journal.DeadLetter) {
	e.p.parking.onDisk--
	j := &job{pos: deadLetter.Position, entry: &deadLetter.Entry, dead: adapter.TooOld, deadLetter: deadLetter.ID, attempts: deadLetter.Attempts, first: deadLetter.First}
	e.p.order.end(j, settled, outcomeDead, string(j.dead))
	if e.p.blocksOnDead() {
		e.p.deadLetters.remember(&place{deadLetter: deadLetter.ID, queue: q, key: keyOf(deadLetter.Place), blocks: true})
		return
	}
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := e.p.parking.idsOf(&deadLetter.Entry, &buffer)
	e.p.parking.identities.Remove(ids, exclusive)
	q.Waiting--
	q.AddBytes(-bytesOnDisk(&deadLetter.Entry))
}

// expireMore goes on with the next calls of the queue, until one is young enough.
func (e *expiry) expireMore(q *blocked.Queue, read *blocked.Read, now time.Time) {
	q.Expiring = false
	n := len(read.Calls)
	young := slices.IndexFunc(read.Calls, func(c *journal.Parked) bool { return !e.overAge(c.Entry.ReceivedAt, now) })
	switch {
	case young >= 0:
		q.Oldest = read.Calls[young].Entry.ReceivedAt
	case n == maxStoredAtOnce:
		last := read.Calls[n-1].Rank
		q.Expiring = true
		e.expireQueue(q, journal.Rank{Seq: last.Seq, Index: last.Index + 1})
	default:
		q.Oldest = now // what comes is younger
	}
}
