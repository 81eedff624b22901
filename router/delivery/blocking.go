package delivery

import (
	"time"

	"aka/router/blocked"
	"aka/router/journal"
	"aka/router/sequencer"
)

// block has a call that is a dead letter now block those behind it, restarts included. Its frame is free to go.
func (k *parking) block(j *job) {
	if j.parkedInMemory {
		k.onDisk--
		k.p.parkedInMemory.remove(j)
	} else {
		k.p.window.remove(j)
	}
	k.p.order.end(j, blocking, outcomeDead, string(j.dead))
	j.empty()
	j.parkedInMemory = true
	k.p.parkedInMemory.add(j)
	j.queue.Add(j.rank, false)
	k.addBlocking(j)
	if j.leaving { // those before it have left memory, and those behind it
		j.leaving = false
		k.p.order.sequencer.Release(&j.Ticket, nil)
		k.drop(j)
	}
}

// revive has the call of a dead letter tried again, in its place.
func (k *parking) revive(pl *place, call *journal.Parked) {
	k.onDisk++
	j, now := pl.job, time.Now()
	if j == nil {
		k.reader.takeUp(pl.queue)
		return
	}
	k.p.parkedInMemory.remove(j)
	k.unblame(j)
	j.queue.SetGoing(j.rank, true)
	j.entry, j.detached = &call.Entry, true
	j.dead, j.detail, j.ending = "", "", ending{}
	if call.Anew {
		j.anew, j.hold, j.parkedAt, j.step = true, nil, call.Since, 0
	}
	j.failures, j.failingSince, j.entered = 0, time.Time{}, now
	j.storedFailing, j.storedPossiblyDelivered, j.possiblyDelivered = false, call.PossiblyDelivered, call.PossiblyDelivered
	k.p.reader.translateAgain(j)
	k.p.parkedInMemory.add(j)
	k.p.transition(j, waitingForIDs)
	k.goOn(j, now)
}

// goOn moves on a call that has blocked others, and was translated anew.
func (k *parking) goOn(j *job, now time.Time) {
	switch {
	case j.outcome.Dropped != "":
		k.p.order.drop(j, j.outcome.Dropped, now)
	case j.dead != "":
		k.p.deadLetters.add(j, now)
	default:
		k.p.order.turns = append(k.p.order.turns, j)
	}
}

// unblock releases what waits for a dead letter, whose place is off the disk.
func (k *parking) unblock(pl *place, call *journal.Parked) {
	if j := pl.job; j != nil {
		k.p.parkedInMemory.remove(j)
		k.unblame(j)
		j.queue.End(j.rank)
		k.p.transition(j, settled)
		k.p.order.release(j)
		return
	}
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := k.idsOf(&call.Entry, &buffer)
	k.identities.Remove(ids, exclusive)
	pl.queue.Root().Waiting--
	pl.queue.AddBytes(-bytesOnDisk(&call.Entry))
	k.reader.takeUp(pl.queue)
}

// putBack has calls wait on disk that are stored there, and have ended before: they stand before what is in memory of the same
// people, which leaves it. places are those of them that have blocked others.
func (k *parking) putBack(fresh *blocked.Queue, calls []*journal.Parked, places map[journal.ParkedKey]*place) {
	var buffer [sequencer.MaxIDs]string
	behind := blocked.NewIdentities()
	for _, call := range calls {
		if pl := places[call.Key()]; pl != nil {
			delete(places, call.Key())
			if pl.job != nil {
				pl.job.deadLetter = 0
			}
			k.revive(pl, call)
			continue
		}
		ids, exclusive := k.idsOf(&call.Entry, &buffer)
		k.onDisk++
		k.identities.Add(fresh, ids, exclusive)
		behind.Add(fresh, ids, exclusive)
		fresh.PutBack(call.Key(), call.Entry.ReceivedAt)
		fresh.AddBytes(bytesOnDisk(&call.Entry))
	}
	for _, pl := range places { // the dead letter was decided about meanwhile
		pl.deciding = false
		k.p.deadLetters.remember(pl)
		k.p.deadLetters.undecided(pl)
	}
	k.parkBehind(behind)
	fresh.Rescan()
	k.reader.takeUp(fresh)
}

// parkBehind parks all calls that must wait behind those of a set, which are on disk. Nothing is in flight.
func (k *parking) parkBehind(behind *blocked.Identities) {
	if behind.Len() == 0 {
		return
	}
	var all []*job
	for _, l := range [...]*list{&k.p.quarantine.jobs, &k.p.parkedInMemory, &k.p.window} {
		for j := range l.all {
			all = append(all, j)
		}
	}
	var buffer [sequencer.MaxIDs]string
	for _, j := range inOrder(all) {
		ids, exclusive := k.idsOf(j.entry, &buffer)
		if q := behind.Behind(ids, exclusive); q != nil && k.stop(j) {
			q = blocked.Join(q, j.queue)
			behind.Add(q, ids, exclusive)
			k.leave(follower{j, q})
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
	case parkPending, settled, inFlight:
		return false
	}
	return true
}
