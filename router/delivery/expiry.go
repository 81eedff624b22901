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
	if j.entry.Target != "" || j.letter != 0 {
		return e.overAge(j.entered, now)
	}
	return e.overAge(j.entry.ReceivedAt, now)
}

func (e *expiry) overAge(since, now time.Time) bool {
	age := e.p.config.Options.MaxBacklogAge
	return age > 0 && now.Sub(since) > age
}

// expire gives up on calls that have waited for longer than the backlog may, the oldest first. One that is in flight ends as
// its exchange does.
func (e *expiry) expire(l *list, now time.Time) {
	for j := range l.all {
		if !e.overAge(j.entry.ReceivedAt, now) {
			return
		}
		if !e.tooOld(j, now) {
			continue
		}
		if j.state == waitingForIDs || j.state == queued && e.p.dispatcher.queue.remove(j) {
			e.p.letters.giveUp(j, adapter.TooOld, j.detail, now)
		}
	}
}

// expiryInterval is how often it is looked whether calls on disk have waited for too long.
const expiryInterval = time.Minute

// expireAll makes dead letters of the calls on disk that have waited for longer than the backlog may.
func (e *expiry) expireAll() {
	now := time.Now()
	for _, q := range e.p.parking.identities.Queues() {
		if q.Waiting > 0 && !q.Expiring && e.overAge(q.Oldest, now) {
			q.Expiring = true
			e.expireQueue(q, journal.Position{})
		}
	}
	e.p.timers.add(now.Add(expiryInterval), e.expireAll)
}

// expireQueue does so for a queue, from a position on. A try that failed may have stored the dead letters: the next one stores the
// same, which have the ids that they were given then.
func (e *expiry) expireQueue(q *blocked.Queue, from journal.Position) {
	var read *blocked.Read
	var letters []*journal.DeadLetter
	now, buried := time.Now(), false
	e.p.storage.add(&storageJob{
		what: "store dead letters",
		begin: func() func(context.Context) error {
			if letters == nil {
				read = q.Root().BeginAt(from, maxBuried)
			}
			return func(ctx context.Context) (err error) {
				if letters == nil {
					if err := e.p.parking.reader.read(ctx, read, map[uint64]bool{}); err != nil {
						return err
					}
					letters = e.expired(read.Calls, now)
				}
				if !buried {
					if err := e.bury(ctx, letters); err != nil {
						return err
					}
					buried = true
				}
				return e.unpark(ctx, letters)
			}
		},
		done: func() {
			for _, letter := range letters {
				e.buried(q.Root(), letter)
			}
			e.expireMore(q.Root(), read, now)
		},
	})
}

// expired returns the dead letters of the calls that have waited for too long. What was replayed is as young as its replay.
func (e *expiry) expired(calls []*journal.Parked, now time.Time) (letters []*journal.DeadLetter) {
	for _, call := range calls {
		if call.Dead != "" || call.Letter != 0 || call.Entry.Target != "" || !e.overAge(call.Entry.ReceivedAt, now) {
			continue
		}
		letter := &journal.DeadLetter{
			Destination: e.p.config.Destination.Name, Reason: string(adapter.TooOld), Attempts: call.Attempts,
			First: call.First, Last: now, Position: call.Position, Entry: call.Entry, Place: call,
		}
		if letter.First.IsZero() {
			letter.First = now
		}
		call.Dead = letter.Reason
		letters = append(letters, letter)
	}
	return letters
}

// bury stores the dead letters.
func (e *expiry) bury(ctx context.Context, letters []*journal.DeadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	return e.p.config.Journal.Bury(ctx, letters)
}

// unpark takes the dead letters out of the queue, where they block no others.
func (e *expiry) unpark(ctx context.Context, letters []*journal.DeadLetter) error {
	if len(letters) == 0 || e.p.blocksOnDead() {
		return nil
	}
	keys := make([]journal.ParkedKey, len(letters))
	for i, letter := range letters {
		keys[i] = keyOf(letter.Place)
	}
	return e.p.config.Journal.Unpark(ctx, e.p.config.Destination.Name, keys)
}

func (e *expiry) buried(q *blocked.Queue, letter *journal.DeadLetter) {
	e.p.parking.onDisk--
	j := &job{pos: letter.Position, entry: &letter.Entry, dead: adapter.TooOld, letter: letter.ID, attempts: letter.Attempts, first: letter.First}
	e.p.order.end(j, settled, outcomeDead, string(j.dead))
	if e.p.blocksOnDead() {
		e.p.letters.remember(&place{letter: letter.ID, queue: q, key: keyOf(letter.Place), blocks: true})
		return
	}
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := e.p.parking.idsOf(&letter.Entry, &buffer)
	e.p.parking.identities.Remove(ids, exclusive)
	q.Waiting--
}

// expireMore goes on with the next calls of the queue, until one is young enough.
func (e *expiry) expireMore(q *blocked.Queue, read *blocked.Read, now time.Time) {
	q.Expiring = false
	n := len(read.Calls)
	young := slices.IndexFunc(read.Calls, func(c *journal.Parked) bool { return !e.overAge(c.Entry.ReceivedAt, now) })
	switch {
	case young >= 0:
		q.Oldest = read.Calls[young].Entry.ReceivedAt
	case n == maxBuried:
		last := read.Calls[n-1].Position
		q.Expiring = true
		e.expireQueue(q, journal.Position{Seq: last.Seq, Index: last.Index + 1})
	default:
		q.Oldest = now // what comes is younger
	}
}
