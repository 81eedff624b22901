package delivery

import (
	"context"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/blocked"
	"aka/router/journal"
	"aka/router/sequencer"
)

// queueReader reads the queues on disk back, each in log order.
type queueReader struct {
	p *Pipeline
	// wanting are queues that are to be read back once there is room.
	wanting []*blocked.Queue
	// before are the calls that an earlier run has stored, and that may come from the log again. No queue is read back before
	// the log has been read up to readUpTo.
	before   map[journal.Position]bool
	readUpTo journal.Rank
}

// maxTaken bounds how many calls of a queue are in memory at once, but for those that block the others.
const maxTaken = 64

// takenAtOnce is that bound, for a window of this size: a fraction of what may wait behind blocked identities in memory.
func (b *queueReader) takenAtOnce() int {
	return max(1, min(maxTaken, b.p.config.Options.Window/blockedShare/4))
}

// load takes up what an earlier run has parked. The calls stay on disk until their queues are read back.
func (b *queueReader) load(ctx context.Context) error {
	floor := b.p.checkpoint.progress.Floor()
	queues := map[uint64]*blocked.Queue{}
	err := b.p.config.Journal.EachParked(ctx, b.p.config.Destination.Name, func(call *journal.Parked) error {
		q := queues[call.Queue]
		if q == nil {
			q = blocked.NewQueue(call.Queue)
			queues[call.Queue] = q
		}
		b.p.parking.newest = max(b.p.parking.newest, call.Queue)
		b.loadOne(q, call, floor)
		return nil
	})
	if err != nil {
		return err
	}
	for _, q := range queues {
		if q == q.Root() {
			b.want(q)
		}
	}
	return nil
}

func (b *queueReader) loadOne(q *blocked.Queue, call *journal.Parked, floor uint64) {
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := b.p.parking.idsOf(&call.Entry, &buffer)
	b.p.parking.identities.Add(q, ids, exclusive)
	q.Put(keyOf(call), call.Entry.ReceivedAt)
	q.AddBytes(bytesOnDisk(&call.Entry))
	b.p.quarantine.loaded(q, call)
	b.p.mergeGuard.underWay.isStored(call.Position)
	if call.Dead == "" {
		b.p.parking.onDisk++
	}
	if call.Position.Seq >= floor {
		b.before[call.Position] = true
		if b.readUpTo.Before(call.Rank) {
			b.readUpTo = call.Rank
		}
	}
	if call.DeadLetterID != 0 {
		blocks := call.Dead != "" && b.p.blocksOnDead()
		b.p.deadLetters.remember(&place{deadLetter: call.DeadLetterID, queue: q, key: keyOf(call), blocks: blocks})
	}
}

func keyOf(call *journal.Parked) journal.ParkedKey {
	return journal.ParkedKey{Queue: call.Queue, Rank: call.Rank}
}

// isReadPast reports whether the log was read as far as an earlier run had: what it holds stands before what is on disk.
func (b *queueReader) isReadPast() bool {
	return b.readUpTo == journal.Rank{} || b.readUpTo.Before(b.p.intake.next)
}

// scannedAtOnce is how many calls of a queue are read at once where some in memory block it: those behind them stay on disk.
const scannedAtOnce = 256

// takeUp reads the next calls of a queue back, where there are some, few of them are in memory, and there is room.
func (b *queueReader) takeUp(q *blocked.Queue) {
	if q = q.Root(); q == nil || q.Waiting == 0 || q.Reading || q.Stuck || q.Going() > b.takenAtOnce()/2 || b.p.ending {
		return
	}
	if b.p.parking.room() <= 0 || !b.isReadPast() {
		b.want(q)
		return
	}
	q.Reading = true
	var read *blocked.Read
	gone := map[uint64]bool{}
	b.p.storage.add(&storageJob{
		what: "read parked calls",
		begin: func() func(context.Context) error {
			q = q.Root()
			limit := b.takenAtOnce()
			if b.isBlocked(q) {
				limit = scannedAtOnce
			}
			read = q.Begin(limit)
			return func(ctx context.Context) error { return b.read(ctx, read, gone) }
		},
		done: func() { b.tookUp(q.Root(), read, gone) },
	})
}

// want has a queue read once there is room.
func (b *queueReader) want(q *blocked.Queue) {
	if !q.Wanted {
		q.Wanted = true
		b.wanting = append(b.wanting, q)
	}
}

// takeUpWanted reads the queues back for which there was no room, as far as there is.
func (b *queueReader) takeUpWanted() {
	wanting := b.wanting
	b.wanting = nil
	for _, q := range wanting {
		q.Root().Wanted = false
	}
	for _, q := range wanting {
		b.takeUp(q)
	}
}

// isBlocked reports whether calls in memory block the queue.
func (b *queueReader) isBlocked(q *blocked.Queue) bool {
	if q.HasBlocking() {
		return true
	}
	for j := range b.p.parking.failing {
		if j.queue.Root() == q {
			return true
		}
	}
	return false
}

// blockersOf returns the ids of the calls in memory that block a queue, and of those that wait for them; nil when there are none.
func (b *queueReader) blockersOf(q *blocked.Queue) *blocked.Identities {
	if !b.isBlocked(q) {
		return nil
	}
	_, _, ids := b.p.parking.followers()
	return ids
}

// read reads calls back, and finds out which dead letters among them are gone from the journal.
func (b *queueReader) read(ctx context.Context, read *blocked.Read, gone map[uint64]bool) error {
	err := read.Run(func(queue uint64, from journal.Rank, visit func(*journal.Parked) bool) error {
		return b.p.config.Journal.ReadQueue(ctx, b.p.config.Destination.Name, queue, from, visit)
	})
	for _, call := range read.Calls {
		if call.Dead != "" && b.p.deadLetters.isGone(ctx, call.DeadLetterID) {
			gone[call.DeadLetterID] = true
		}
	}
	return err
}

func (b *queueReader) tookUp(q *blocked.Queue, read *blocked.Read, gone map[uint64]bool) {
	q.Reading = false
	now := time.Now()
	var buffer [sequencer.MaxIDs]string
	of := func(c *journal.Parked) ([]string, bool) { return b.p.parking.idsOf(&c.Entry, &buffer) }
	blockers := b.blockersOf(q)
	for _, call := range read.Calls {
		q = blocked.Join(q, blockers.Behind(of(call))) // so that what it waits for has it read again
	}
	if !q.IsCurrent(read) {
		b.takeUp(q)
		return
	}
	calls := q.Finish(read, max(1, min(b.takenAtOnce()-q.Going(), b.p.parking.room())), blockers, of, b.p.parking.writer.firstUnwritten)
	for _, call := range calls {
		q.AddBytes(-bytesOnDisk(&call.Entry))
		b.take(q, call, gone[call.DeadLetterID], now)
	}
	if read.FoundNone() && q.Waiting > 0 && b.p.parking.writer.pending == 0 {
		// They became unreadable; the journal has logged each.
		b.p.log.Error("parked calls are lost, their ids are unblocked", zap.Int("calls", q.Waiting), zap.String("hint", "check the disk"))
		b.p.parking.onDisk -= min(b.p.parking.onDisk, q.Waiting)
		b.p.parking.identities.Clear(q)
		q.Waiting, q.Bytes = 0, 0
		return
	}
	b.takeUp(q)
}

// take gives a call that was read back its place in memory and in its people's order.
func (b *queueReader) take(q *blocked.Queue, call *journal.Parked, gone bool, now time.Time) {
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := b.p.parking.idsOf(&call.Entry, &buffer)
	b.p.parking.identities.Remove(ids, exclusive)
	b.startAnew(call)
	j := &job{
		pos: call.Position, rank: call.Rank, entry: &call.Entry, attempts: call.Attempts, failures: call.Failures, first: call.First, failingSince: call.FailingSince,
		possiblyDelivered: call.PossiblyDelivered || b.p.checkpoint.isPossiblyDelivered(call.Position), storedPossiblyDelivered: call.PossiblyDelivered, deadLetter: call.DeadLetterID,
		queue: q, key: keyOf(call), parkedInMemory: true, detached: true, entered: now, parkedAt: call.Since, anew: call.Anew,
	}
	j.storedFailing, j.readBack = j.failures > 0, true
	j.hold = decodeHold(call.Hold)
	b.p.reader.translateAgain(j)
	if call.Dead != "" {
		b.takeDead(j, adapter.Reason(call.Dead), gone)
		return
	}
	if b.p.deadLetters.places[j.deadLetter] != nil {
		b.p.deadLetters.moved(j.deadLetter, j)
	}
	b.p.parkedInMemory.add(j)
	switch {
	case j.outcome.Dropped != "": // the config has changed
		b.p.order.drop(j, j.outcome.Dropped, now)
		return
	case j.dead == "" && b.p.expiry.tooOld(j, now):
		j.dead = adapter.TooOld
	}
	b.p.order.addTicket(j, now)
}

// startAnew has a call that was parked for another vendor begin as if it were new: that one's tries say nothing of this one.
func (b *queueReader) startAnew(call *journal.Parked) {
	if call.Vendor != "" && call.Vendor != b.p.config.Destination.Type {
		call.Attempts, call.Failures, call.First, call.FailingSince, call.PossiblyDelivered = 0, 0, time.Time{}, time.Time{}, false
		call.Hold = nil
	}
}

// takeDead takes up a dead letter that blocks others, unless its operator has discarded it meanwhile, or the config does not block
// any more.
func (b *queueReader) takeDead(j *job, reason adapter.Reason, gone bool) {
	if !b.p.deadLetters.isDeciding(j.deadLetter) && (gone || !b.p.blocksOnDead() || j.outcome.Dropped != "") {
		b.p.deadLetters.forget(j)
		b.forget(j)
		return
	}
	j.dead = reason
	j.empty()
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := b.p.parking.idsOf(j.entry, &buffer)
	b.p.order.sequencer.Add(&j.Ticket, ids, exclusive)
	b.p.parkedInMemory.add(j)
	b.p.transition(j, blocking)
	b.p.parking.addBlocking(j)
	b.p.deadLetters.tookUp(j)
}

// forget removes a call from disk that no other waits for.
func (b *queueReader) forget(j *job) {
	b.p.storage.add(&storageJob{
		what: "remove parked calls",
		begin: func() func(context.Context) error {
			return func(ctx context.Context) error {
				return b.p.config.Journal.Unpark(ctx, b.p.config.Destination.Name, []journal.ParkedKey{j.key}, nil)
			}
		},
		done: func() {
			j.queue.End(j.rank)
			b.takeUp(j.queue)
		},
	})
}

// isStored reports whether an earlier run has stored the call at pos.
func (b *queueReader) isStored(pos journal.Position) bool {
	if len(b.before) == 0 || !b.before[pos] {
		return false
	}
	delete(b.before, pos)
	return true
}
