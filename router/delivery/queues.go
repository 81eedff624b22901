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

// maxTaken bounds how many calls of a queue are in memory at once, but for those that block the others.
const maxTaken = 64

// takenAtOnce is that bound, for a window of this size: a fraction of what may wait behind blocked identities in memory.
func (k *parking) takenAtOnce() int {
	return max(1, min(maxTaken, k.p.config.Options.Window/blockedShare/4))
}

// load takes up what an earlier run has set aside. The calls stay on disk until their queues are read back.
func (k *parking) load(ctx context.Context) error {
	floor := k.p.checkpoint.progress.Floor()
	queues := map[uint64]*blocked.Queue{}
	err := k.p.config.Journal.EachParked(ctx, k.p.config.Destination.Name, func(call *journal.Parked) error {
		q := queues[call.Queue]
		if q == nil {
			q = blocked.NewQueue(call.Queue)
			queues[call.Queue] = q
		}
		k.newest = max(k.newest, call.Queue)
		k.loadOne(q, call, floor)
		return nil
	})
	if err != nil {
		return err
	}
	for _, q := range queues {
		if q == q.Root() {
			k.wanting = append(k.wanting, q)
		}
	}
	return nil
}

func (k *parking) loadOne(q *blocked.Queue, call *journal.Parked, floor uint64) {
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := k.idsOf(&call.Entry, &buffer)
	k.identities.Add(q, ids, exclusive)
	q.Put(keyOf(call), call.Entry.ReceivedAt)
	if call.Dead == "" {
		k.onDisk++
	}
	if call.Position.Seq >= floor {
		k.before[call.Position] = true
		if k.readUpTo.Before(call.Position) {
			k.readUpTo = call.Position
		}
	}
	if call.Letter != 0 {
		blocks := call.Dead != "" && k.p.blocksOnDead()
		k.p.letters.remember(&place{letter: call.Letter, queue: q, key: keyOf(call), blocks: blocks})
	}
}

func keyOf(call *journal.Parked) journal.ParkedKey {
	return journal.ParkedKey{Queue: call.Queue, Position: call.Position}
}

// isReadPast reports whether the log was read as far as an earlier run had: what it holds stands before what is on disk.
func (k *parking) isReadPast() bool {
	return k.readUpTo == journal.Position{} || k.readUpTo.Before(k.p.position)
}

// scannedAtOnce is how many calls of a queue are read at once where some in memory block it: those behind them stay on disk.
const scannedAtOnce = 256

// takeUp reads the next calls of a queue back, where there are some, few of them are in memory, and there is room.
func (k *parking) takeUp(q *blocked.Queue) {
	if q = q.Root(); q == nil || q.Waiting == 0 || q.Reading || q.Stuck || q.Going() > k.takenAtOnce()/2 || k.p.ending {
		return
	}
	if k.room() <= 0 || !k.isReadPast() {
		k.wanting = append(k.wanting, q)
		return
	}
	q.Reading = true
	var read *blocked.Read
	gone := map[uint64]bool{}
	k.p.storage.add(&storageJob{
		what: "read parked calls",
		begin: func() func(context.Context) error {
			q = q.Root()
			limit := k.takenAtOnce()
			if k.isBlocked(q) {
				limit = scannedAtOnce
			}
			read = q.Begin(limit)
			return func(ctx context.Context) error { return k.read(ctx, read, gone) }
		},
		done: func() { k.tookUp(q.Root(), read, gone) },
	})
}

// isBlocked reports whether calls in memory block the queue.
func (k *parking) isBlocked(q *blocked.Queue) bool {
	for j := range k.blocking {
		if j.queue.Root() == q {
			return true
		}
	}
	return false
}

// blockersOf returns the ids of the calls in memory that block a queue, and of those that wait for them; nil when there are none.
func (k *parking) blockersOf(q *blocked.Queue) *blocked.Identities {
	if !k.isBlocked(q) {
		return nil
	}
	_, _, ids := k.followers()
	return ids
}

// read reads calls back, and finds out which dead letters among them are gone from the journal.
func (k *parking) read(ctx context.Context, read *blocked.Read, gone map[uint64]bool) error {
	err := read.Run(func(queue uint64, from journal.Position, visit func(*journal.Parked) bool) error {
		return k.p.config.Journal.ReadQueue(ctx, k.p.config.Destination.Name, queue, from, visit)
	})
	for _, call := range read.Calls {
		if call.Dead != "" && k.p.isGone(ctx, call.Letter) {
			gone[call.Letter] = true
		}
	}
	return err
}

func (k *parking) tookUp(q *blocked.Queue, read *blocked.Read, gone map[uint64]bool) {
	q.Reading = false
	now := time.Now()
	var buffer [sequencer.MaxIDs]string
	of := func(c *journal.Parked) ([]string, bool) { return k.idsOf(&c.Entry, &buffer) }
	blockers := k.blockersOf(q)
	for _, call := range read.Calls {
		q = blocked.Join(q, blockers.Behind(of(call))) // so that what it waits for has it read again
	}
	if !q.IsCurrent(read) {
		k.takeUp(q)
		return
	}
	calls := q.Finish(read, max(1, min(k.takenAtOnce()-q.Going(), k.room())), blockers, of)
	for _, call := range calls {
		k.take(q, call, gone[call.Letter], now)
	}
	if read.FoundNone() && q.Waiting > 0 && k.pending == 0 {
		// They became unreadable; the journal has logged each.
		k.p.log.Error("parked calls are lost, their ids are free again", zap.Int("calls", q.Waiting), zap.String("hint", "check the disk"))
		k.onDisk -= min(k.onDisk, q.Waiting)
		k.identities.Clear(q)
		q.Waiting = 0
		return
	}
	k.takeUp(q)
}

// take gives a call that was read back its place in memory and in its people's order.
func (k *parking) take(q *blocked.Queue, call *journal.Parked, gone bool, now time.Time) {
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := k.idsOf(&call.Entry, &buffer)
	k.identities.Remove(ids, exclusive)
	k.startAnew(call)
	j := &job{
		pos: call.Position, entry: &call.Entry, attempts: call.Attempts, failures: call.Failures, first: call.First, failingSince: call.FailingSince,
		ambiguous: call.Ambiguous || k.p.checkpoint.isSuspect(call.Position), storedAmbiguous: call.Ambiguous, letter: call.Letter,
		queue: q, key: keyOf(call), aside: true, detached: true, entered: now,
	}
	j.storedFailing = j.failures > 0
	k.p.reader.translateAgain(j)
	if call.Dead != "" {
		k.takeDead(j, adapter.Reason(call.Dead), gone)
		return
	}
	if k.p.letters.places[j.letter] != nil {
		k.p.letters.moved(j.letter, j)
	}
	k.p.aside.add(j)
	switch {
	case j.outcome.Dropped != "": // the config has changed
		k.p.finish(j, outcomeDropped, string(j.outcome.Dropped), now)
		return
	case j.dead == "" && k.p.tooOld(j, now):
		j.dead = adapter.TooOld
	}
	k.p.addTicket(j, now)
}

// startAnew has a call that was parked for another vendor begin as if it were new: that one's tries say nothing of this one.
func (k *parking) startAnew(call *journal.Parked) {
	if call.Vendor != "" && call.Vendor != k.p.config.Destination.Type {
		call.Attempts, call.Failures, call.First, call.FailingSince, call.Ambiguous = 0, 0, time.Time{}, time.Time{}, false
	}
}

// takeDead takes up a dead letter that blocks others, unless its operator has discarded it meanwhile, or the config does not block
// any more.
func (k *parking) takeDead(j *job, reason adapter.Reason, gone bool) {
	if gone || !k.p.blocksOnDead() || j.outcome.Dropped != "" {
		k.p.letters.forget(j)
		k.forget(j)
		return
	}
	j.dead = reason
	j.empty()
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := k.idsOf(j.entry, &buffer)
	k.p.sequencer.Add(&j.Ticket, ids, exclusive)
	k.p.aside.add(j)
	k.p.transition(j, blocking)
	k.addBlocking(j)
	k.p.letters.tookUp(j)
}

// forget removes a call from disk that no other waits for.
func (k *parking) forget(j *job) {
	k.p.storage.add(&storageJob{
		what: "remove parked calls",
		begin: func() func(context.Context) error {
			return func(ctx context.Context) error {
				return k.p.config.Journal.Unpark(ctx, k.p.config.Destination.Name, []journal.ParkedKey{j.key})
			}
		},
		done: func() {
			j.queue.End(j.pos)
			k.takeUp(j.queue)
		},
	})
}

// block has a call that is a dead letter now block those behind it, restarts included. Its frame is free to go.
func (k *parking) block(j *job) {
	if j.aside {
		k.onDisk--
		k.p.aside.remove(j)
	} else {
		k.p.window.remove(j)
	}
	k.p.end(j, blocking, outcomeDead, string(j.dead))
	j.empty()
	j.aside = true
	k.p.aside.add(j)
	j.queue.Add(j.pos, false)
	k.addBlocking(j)
	if j.leaving { // those before it have left memory, and those behind it
		j.leaving = false
		k.p.sequencer.Release(&j.Ticket, nil)
		k.drop(j)
	}
}

// revive has the call of a dead letter tried again, in its place.
func (k *parking) revive(pl *place, call *journal.Parked) {
	k.onDisk++
	j, now := pl.job, time.Now()
	if j == nil {
		k.takeUp(pl.queue)
		return
	}
	k.p.aside.remove(j)
	k.unblame(j)
	j.queue.SetGoing(j.pos, true)
	j.entry, j.detached = &call.Entry, true
	j.dead, j.detail, j.ending = "", "", ending{}
	j.failures, j.failingSince, j.entered = 0, time.Time{}, now
	j.storedFailing, j.storedAmbiguous, j.ambiguous = false, call.Ambiguous, call.Ambiguous
	k.p.reader.translateAgain(j)
	k.p.aside.add(j)
	k.p.transition(j, waitingForIDs)
	switch {
	case j.outcome.Dropped != "":
		k.p.finish(j, outcomeDropped, string(j.outcome.Dropped), now)
	case j.dead != "":
		k.p.letters.add(j, now)
	default:
		k.p.turns = append(k.p.turns, j)
	}
}

// unblock lets go on what waits for a dead letter, whose place is off the disk.
func (k *parking) unblock(pl *place, call *journal.Parked) {
	if j := pl.job; j != nil {
		k.p.aside.remove(j)
		k.unblame(j)
		j.queue.End(j.pos)
		k.p.transition(j, settled)
		k.p.release(j)
		return
	}
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := k.idsOf(&call.Entry, &buffer)
	k.identities.Remove(ids, exclusive)
	pl.queue.Root().Waiting--
	k.takeUp(pl.queue)
}

// putBack has calls wait on disk that are stored there, and have ended before: they stand before what is in memory of the same
// people, which leaves it. places are those of them that have blocked others.
func (k *parking) putBack(fresh *blocked.Queue, calls []*journal.Parked, places map[journal.ParkedKey]*place) {
	var buffer [sequencer.MaxIDs]string
	for _, call := range calls {
		if pl := places[call.Key()]; pl != nil {
			delete(places, call.Key())
			if pl.job != nil {
				pl.job.letter = 0
			}
			k.revive(pl, call)
			continue
		}
		ids, exclusive := k.idsOf(&call.Entry, &buffer)
		k.onDisk++
		k.identities.Add(fresh, ids, exclusive)
		fresh.PutBack(call.Key(), call.Entry.ReceivedAt)
	}
	for _, pl := range places { // the dead letter was decided about meanwhile
		pl.deciding = false
		k.p.letters.remember(pl)
		k.p.letters.undecided(pl)
	}
	k.followDisk()
	fresh.Rescan()
	k.takeUp(fresh)
}

// followDisk sets all calls aside that share ids with calls on disk. Nothing is in flight.
func (k *parking) followDisk() {
	var all []*job
	for _, l := range [...]*list{&k.p.aside, &k.p.window} {
		for j := range l.all {
			all = append(all, j)
		}
	}
	var buffer [sequencer.MaxIDs]string
	for _, j := range inLogOrder(all) {
		ids, exclusive := k.idsOf(j.entry, &buffer)
		if q := k.identities.Behind(ids, exclusive); q != nil && k.stop(j) {
			k.leave(follower{j, blocked.Join(q, j.queue)})
		}
	}
}

// stop takes a call from where it waits. It returns false for one that is ending, or on its way to the disk already.
func (k *parking) stop(j *job) bool {
	switch j.state {
	case queued:
		k.p.dispatcher.queue.remove(j)
	case waitingForSave:
		k.p.checkpoint.forget(j)
	case storing:
		return k.p.blocksOnDead() && !j.Ready()
	case setAside, settled, inFlight:
		return false
	}
	return true
}
