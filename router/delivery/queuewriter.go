package delivery

import (
	"context"
	"slices"
	"time"

	"aka/router/journal"
	"aka/router/merges"
	"aka/router/sequencer"
)

// queueWriter stores calls in queues on disk, and removes those that have ended.
type queueWriter struct {
	p *Pipeline
	// arriving and leaving are what the next storage jobs store and remove, where they have room.
	arriving, leaving *keyBatch
	pending           int // calls of arriving and of such jobs that are not done yet
	// unwritten are arriving and those before it that are not done yet.
	unwritten map[*keyBatch]struct{}
}

// keyBatch is calls that one storage job stores or removes.
type keyBatch struct {
	jobs     []*job
	outcomes []string
	closed   bool
}

func (b *keyBatch) hasRoom() bool { return b != nil && !b.closed && len(b.jobs) < journal.MaxParked }

// store has a call stored with the next write.
func (w *queueWriter) store(j *job) {
	w.pending++
	if w.arriving.hasRoom() {
		w.arriving.jobs = append(w.arriving.jobs, j)
		return
	}
	batch := &keyBatch{jobs: []*job{j}}
	w.arriving = batch
	w.unwritten[batch] = struct{}{}
	w.p.storage.add(&storageJob{
		what: "park calls",
		begin: func() func(context.Context) error {
			batch.closed = true
			records := make([]*journal.Parked, len(batch.jobs))
			for i, j := range batch.jobs {
				records[i] = w.recordOf(j)
			}
			return func(ctx context.Context) error {
				return w.p.config.Journal.Park(ctx, w.p.config.Destination.Name, records)
			}
		},
		done: func() {
			w.pending -= len(batch.jobs)
			delete(w.unwritten, batch)
			for _, j := range batch.jobs {
				w.stored(j)
			}
		},
		abandon: func() bool { return w.notStored(batch) },
	})
}

func (w *queueWriter) recordOf(j *job) *journal.Parked {
	return &journal.Parked{
		Destination: w.p.config.Destination.Name, Queue: j.key.Queue, Rank: j.rank, Position: j.pos, Attempts: j.attempts, Failures: j.failures,
		First: j.first, FailingSince: j.failingSince, PossiblyDelivered: j.isPossiblyDelivered(), DeadLetterID: j.deadLetter, Hold: j.hold.encode(), Since: j.parkedAt, Anew: j.anew, Entry: *j.entry,
	}
}

// stored goes on with a call whose place is on disk: one that fails alone is tried again from memory, the others wait on disk.
func (w *queueWriter) stored(j *job) {
	if !j.parkedInMemory {
		w.p.parking.onDisk++
		w.p.checkpoint.end(j.pos)
		w.p.window.remove(j)
	}
	j.storedFailing, j.storedPossiblyDelivered = j.failures > 0, j.isPossiblyDelivered()
	if !j.Ready() {
		w.p.transition(j, parked)
		return
	}
	if !j.parkedInMemory {
		j.parkedInMemory = true
		j.queue.Add(j.rank, false)
		w.p.parkedInMemory.add(j)
	}
	w.resume(j)
}

// resume has a call wait for its next try again.
func (w *queueWriter) resume(j *job) {
	w.p.results.retryAt(j, j.retryAt)
}

// notStored takes calls back whose place could not be stored, so that a full disk does not keep them from being delivered. Those
// that stand behind others on disk stay in the batch; it returns whether there are none.
func (w *queueWriter) notStored(batch *keyBatch) bool {
	now := time.Now()
	w.p.parking.notBefore = now.Add(storageRetry)
	var buffer [sequencer.MaxIDs]string
	var followers []*job
	for _, j := range inOrder(batch.jobs) {
		if j.Ready() {
			w.pending--
			w.mayBeStored(j)
			w.resume(j)
			continue
		}
		ids, exclusive := w.p.parking.idsOf(j.entry, &buffer)
		w.p.parking.identities.Remove(ids, exclusive)
		j.queue.Root().Waiting--
		j.queue.AddBytes(-bytesOnDisk(j.entry))
		followers = append(followers, j)
	}
	batch.jobs = nil
	for _, j := range followers {
		ids, exclusive := w.p.parking.idsOf(j.entry, &buffer)
		if q := w.p.parking.identities.Behind(ids, exclusive); q != nil {
			w.p.parking.identities.Add(q, ids, exclusive)
			j.queue.PutBack(j.key, j.entry.ReceivedAt)
			j.queue.AddBytes(bytesOnDisk(j.entry))
			batch.jobs = append(batch.jobs, j)
			continue
		}
		w.pending--
		w.mayBeStored(j)
		w.p.order.addTicket(j, now)
	}
	if len(batch.jobs) > 0 {
		return false
	}
	delete(w.unwritten, batch)
	return true
}

// firstUnwritten returns the place of the first call that is to be written to one of the journal's queues, and is not yet.
func (w *queueWriter) firstUnwritten(queue uint64) (first journal.Rank, ok bool) {
	for batch := range w.unwritten {
		for _, j := range batch.jobs {
			if j.key.Queue == queue && (!ok || j.rank.Before(first)) {
				first, ok = j.rank, true
			}
		}
	}
	return first, ok
}

// mayBeStored keeps a call that is in memory from being read back, too: its place may be on disk although storing it failed.
func (w *queueWriter) mayBeStored(j *job) { j.queue.Add(j.rank, false) }

// remove takes a call that has ended off the disk, and only then releases what is behind it: a crash in between must not send it
// after them. What was learned of it is stored by the same write.
func (w *queueWriter) remove(j *job, outcome string) {
	if w.leaving.hasRoom() {
		w.leaving.jobs, w.leaving.outcomes = append(w.leaving.jobs, j), append(w.leaving.outcomes, outcome)
		return
	}
	batch := &keyBatch{jobs: []*job{j}, outcomes: []string{outcome}}
	w.leaving = batch
	w.p.storage.add(&storageJob{
		what: "remove parked calls",
		begin: func() func(context.Context) error {
			batch.closed = true
			keys := make([]journal.ParkedKey, len(batch.jobs))
			for i, j := range batch.jobs {
				keys[i] = j.key
			}
			var changes *merges.Changes
			if slices.Contains(batch.outcomes, outcomeDelivered) {
				changes = w.p.merges.changes()
			}
			return func(ctx context.Context) error {
				return w.p.merges.write(changes, func(facts []journal.Fact) error {
					return w.p.config.Journal.Unpark(ctx, w.p.config.Destination.Name, keys, facts)
				})
			}
		},
		done: func() {
			now := time.Now()
			for i, j := range batch.jobs {
				w.removed(j)
				w.p.order.leave(j, batch.outcomes[i], now)
			}
		},
	})
}

func (w *queueWriter) removed(j *job) {
	j.queue.End(j.rank)
	if !j.parkedInMemory { // storing its place seemed to fail
		w.p.window.remove(j)
		return
	}
	w.p.parking.onDisk--
	w.p.parkedInMemory.remove(j)
}
