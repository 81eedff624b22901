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

// expiryInterval is how often it is looked whether calls on disk have waited for too long.
const expiryInterval = time.Minute

// expireAll makes dead letters of the calls on disk that have waited for longer than the backlog may.
func (k *parking) expireAll() {
	now := time.Now()
	for _, q := range k.identities.Queues() {
		if q.Waiting > 0 && !q.Expiring && k.p.overAge(q.Oldest, now) {
			q.Expiring = true
			k.expire(q, journal.Position{})
		}
	}
	k.p.timers.add(now.Add(expiryInterval), k.expireAll)
}

// expire does so for a queue, from a position on.
func (k *parking) expire(q *blocked.Queue, from journal.Position) {
	var read *blocked.Read
	var letters []*journal.DeadLetter
	now := time.Now()
	k.p.storage.add(&storageJob{
		what: "store dead letters",
		begin: func() func(context.Context) error {
			read = q.Root().BeginAt(from, maxBuried)
			return func(ctx context.Context) (err error) {
				if err := k.read(ctx, read, map[uint64]bool{}); err != nil {
					return err
				}
				letters = k.expired(read.Calls, now)
				return k.bury(ctx, letters)
			}
		},
		done: func() {
			for _, letter := range letters {
				k.buried(q.Root(), letter)
			}
			k.expireMore(q.Root(), read, now)
		},
	})
}

// expired returns the dead letters of the calls that have waited for too long. What was replayed is as young as its replay.
func (k *parking) expired(calls []*journal.Parked, now time.Time) (letters []*journal.DeadLetter) {
	for _, call := range calls {
		if call.Dead != "" || call.Letter != 0 || call.Entry.Target != "" || !k.p.overAge(call.Entry.ReceivedAt, now) {
			continue
		}
		letter := &journal.DeadLetter{
			Destination: k.p.config.Destination.Name, Reason: string(adapter.TooOld), Attempts: call.Attempts,
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

// bury stores the dead letters. Where they block no others, they leave the queue.
func (k *parking) bury(ctx context.Context, letters []*journal.DeadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	if err := k.p.config.Journal.Bury(ctx, letters); err != nil || k.p.blocksOnDead() {
		return err
	}
	keys := make([]journal.ParkedKey, len(letters))
	for i, letter := range letters {
		keys[i] = keyOf(letter.Place)
	}
	return k.p.config.Journal.Unpark(ctx, k.p.config.Destination.Name, keys)
}

func (k *parking) buried(q *blocked.Queue, letter *journal.DeadLetter) {
	k.onDisk--
	j := &job{pos: letter.Position, entry: &letter.Entry, dead: adapter.TooOld, letter: letter.ID, attempts: letter.Attempts, first: letter.First}
	k.p.end(j, settled, outcomeDead, string(j.dead))
	if k.p.blocksOnDead() {
		k.p.letters.remember(&place{letter: letter.ID, queue: q, key: keyOf(letter.Place), blocks: true})
		return
	}
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := k.idsOf(&letter.Entry, &buffer)
	k.identities.Remove(ids, exclusive)
	q.Waiting--
}

// expireMore goes on with the next calls of the queue, until one is young enough.
func (k *parking) expireMore(q *blocked.Queue, read *blocked.Read, now time.Time) {
	q.Expiring = false
	n := len(read.Calls)
	young := slices.IndexFunc(read.Calls, func(c *journal.Parked) bool { return !k.p.overAge(c.Entry.ReceivedAt, now) })
	switch {
	case young >= 0:
		q.Oldest = read.Calls[young].Entry.ReceivedAt
	case n == maxBuried:
		last := read.Calls[n-1].Position
		q.Expiring = true
		k.expire(q, journal.Position{Seq: last.Seq, Index: last.Index + 1})
	default:
		q.Oldest = now // what comes is younger
	}
}
