package delivery

import (
	"time"

	"aka/router/blocked"
	"aka/router/journal"
	"aka/router/sequencer"
)

// block has a call that is a dead letter now block those behind it, restarts included. Its frame is free to go.
func (k *parking) block(j *job) {
	if j.aside {
		k.onDisk--
		k.p.aside.remove(j)
	} else {
		k.p.window.remove(j)
	}
	k.p.order.end(j, blocking, outcomeDead, string(j.dead))
	j.empty()
	j.aside = true
	k.p.aside.add(j)
	j.queue.Add(j.pos, false)
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
		k.p.order.finish(j, outcomeDropped, string(j.outcome.Dropped), now)
	case j.dead != "":
		k.p.letters.add(j, now)
	default:
		k.p.order.turns = append(k.p.order.turns, j)
	}
}

// unblock lets go on what waits for a dead letter, whose place is off the disk.
func (k *parking) unblock(pl *place, call *journal.Parked) {
	if j := pl.job; j != nil {
		k.p.aside.remove(j)
		k.unblame(j)
		j.queue.End(j.pos)
		k.p.transition(j, settled)
		k.p.order.release(j)
		return
	}
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := k.idsOf(&call.Entry, &buffer)
	k.identities.Remove(ids, exclusive)
	pl.queue.Root().Waiting--
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
				pl.job.letter = 0
			}
			k.revive(pl, call)
			continue
		}
		ids, exclusive := k.idsOf(&call.Entry, &buffer)
		k.onDisk++
		k.identities.Add(fresh, ids, exclusive)
		behind.Add(fresh, ids, exclusive)
		fresh.PutBack(call.Key(), call.Entry.ReceivedAt)
	}
	for _, pl := range places { // the dead letter was decided about meanwhile
		pl.deciding = false
		k.p.letters.remember(pl)
		k.p.letters.undecided(pl)
	}
	k.setAsideBehind(behind)
	fresh.Rescan()
	k.reader.takeUp(fresh)
}

// setAsideBehind sets all calls aside that must wait behind those of a set, which are on disk. Nothing is in flight.
func (k *parking) setAsideBehind(behind *blocked.Identities) {
	if behind.Len() == 0 {
		return
	}
	var all []*job
	for _, l := range [...]*list{&k.p.aside, &k.p.window} {
		for j := range l.all {
			all = append(all, j)
		}
	}
	var buffer [sequencer.MaxIDs]string
	for _, j := range inLogOrder(all) {
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
	case setAside, settled, inFlight:
		return false
	}
	return true
}
