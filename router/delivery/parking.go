package delivery

import (
	"iter"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"aka/router/blocked"
	"aka/router/journal"
	"aka/router/segment"
	"aka/router/sequencer"
)

const (
	// parkAfter is how long a call that fails alone, or waits behind one that does, may keep the log.
	parkAfter = time.Minute
	// blockedShare is what part of the window may be taken by calls that wait behind blocked identities.
	blockedShare = 4
	// maxBlockedIDs bounds the ids that are blocked: a destination with more stops reading.
	maxBlockedIDs = 200_000
)

// parking is the one mechanism by which identities are blocked. A call that fails alone, or is a dead letter where these block
// others, blocks its ids. What waits behind it waits in memory at first. Once all that waits so takes up too much of the window,
// it is parked: it goes to a queue on disk, and what comes later for the same people follows it there. When the call in front
// has ended, the queue is read back in their order.
//
// What makes this keep the order: a call on disk never stands before one in memory that shares ids with it. So what is parked
// takes all with it that waits behind it (sweep), what arrives follows what is on disk (takesIn), and what is read back waits
// for none that stays (queueReader.takeUp).
type parking struct {
	p          *Pipeline
	identities *blocked.Identities
	// blocking are the calls in memory that block others, failing those of them that are tried again: the others are on disk, too,
	// and their queues know that they block.
	blocking, failing map[*job]struct{}
	newest            uint64 // the number of the newest queue
	onDisk            int    // calls on disk that have not ended
	writer            queueWriter
	reader            queueReader
	// tooFew is how many calls waited when so few of them were behind blocked identities that they stay in memory.
	tooFew    int
	notBefore time.Time // the next try to parked, after one failed
	warned    bool      // that there is no room
	full      bool      // too many ids are blocked, and that was logged
}

func newParking(p *Pipeline) *parking {
	return &parking{
		p: p, identities: blocked.NewIdentities(), blocking: map[*job]struct{}{}, failing: map[*job]struct{}{},
		writer: queueWriter{p: p, unwritten: map[*keyBatch]struct{}{}}, reader: queueReader{p: p, before: map[journal.Position]bool{}},
	}
}

// isFull reports whether too many ids are blocked to read on. Before the log is read past what an earlier run has stored, none of
// them can become free.
func (k *parking) isFull() bool { return k.identities.Len() >= maxBlockedIDs && k.reader.isReadPast() }

// warnFull logs once that the destination has stopped reading.
func (k *parking) warnFull() {
	if k.isFull() && !k.full {
		k.p.log.Error("too many blocked ids, reading stops", zap.Int("ids", k.identities.Len()), zap.Int("calls", k.onDisk),
			zap.String("hint", "find out what the destination refuses"))
	}
	k.full = k.isFull()
}

// blame notes that a call fails alone.
func (k *parking) blame(j *job, now time.Time) {
	k.addBlocking(j)
	k.sweepSoon(now)
}

func (k *parking) addBlocking(j *job) {
	k.blocking[j] = struct{}{}
	if j.state == held || j.state == blocking {
		delete(k.failing, j)
	} else {
		k.failing[j] = struct{}{}
	}
	k.tooFew = 0
	if j.stored() {
		j.queue.SetGoing(j.rank, false)
	}
}

// blockingCalls returns the calls in memory that block others, in their order.
func (k *parking) blockingCalls() []*job { return inOrder(slices.Collect(maps.Keys(k.blocking))) }

// unblame notes that a call does not block others any more.
func (k *parking) unblame(j *job) {
	if _, ok := k.blocking[j]; ok {
		delete(k.blocking, j)
		delete(k.failing, j)
		j.queue.Rescan()
	}
}

// idsOf returns a call's ids.
func (k *parking) idsOf(e *journal.Entry, into *[sequencer.MaxIDs]string) (ids []string, exclusive bool) {
	return k.p.order.idsOf(e, into), k.p.order.exclusive(e.Type)
}

// takesIn has a call that arrives follow those of the same people that wait on disk. It returns false when there are none.
func (k *parking) takesIn(j *job) bool {
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := k.idsOf(j.entry, &buffer)
	q := k.identities.Behind(ids, exclusive)
	if q == nil {
		return false
	}
	k.parkPending(j, q, ids, exclusive, q.Put)
	return true
}

// parkPending has a call of the window stored in a queue. It has no ticket any more. put is Put or PutBack of the queue.
func (k *parking) parkPending(j *job, q *blocked.Queue, ids []string, exclusive bool, put func(journal.ParkedKey, time.Time)) {
	j.detach()
	k.unblame(j)
	k.identities.Add(q, ids, exclusive)
	j.queue = q
	if j.entry.Type == segment.Alias && j.parkedAt.IsZero() {
		j.parkedAt = time.Now()
	}
	k.giveKey(j)
	put(j.key, j.entry.ReceivedAt)
	q.AddBytes(bytesOnDisk(j.entry))
	k.p.transition(j, parkPending)
	k.writer.store(j)
}

// parkedOverhead is what a parked call takes on disk beside its JSON, about.
const parkedOverhead = 256

// bytesOnDisk is about what a parked call takes on disk.
func bytesOnDisk(e *journal.Entry) int { return parkedOverhead + len(e.JSON) + len(e.Routing) }

// giveKey gives a call its place on disk, where it has none yet.
func (k *parking) giveKey(j *job) {
	if j.stored() {
		return
	}
	if j.queue == nil {
		j.queue = k.newQueue()
	}
	j.key = journal.ParkedKey{Queue: j.queue.Number(), Rank: j.rank}
}

func (k *parking) newQueue() *blocked.Queue {
	k.newest++
	return blocked.NewQueue(k.newest)
}

// sweepSoon sweeps when so many calls wait that those behind blocked identities may be too many.
func (k *parking) sweepSoon(now time.Time) {
	if len(k.blocking) == 0 {
		return
	}
	waiting := k.p.order.sequencer.Waiting()
	share := k.p.config.Options.Window / blockedShare
	overBytes := k.p.bytes() >= k.p.maxBytes()/blockedShare
	if (waiting >= share || overBytes) && waiting >= k.tooFew+max(share/4, 1) {
		k.sweep(now)
	}
}

// tick is called with the pipeline's ticks.
func (k *parking) tick(now time.Time) {
	k.sweep(now)
	k.parkStragglers(now)
	k.warnFull()
	if k.room() > 0 {
		k.warned = false
		k.reader.takeUpWanted()
	}
}

// follower is a call that waits behind a blocked identity, and the queue that it belongs to.
type follower struct {
	job   *job
	queue *blocked.Queue
}

// mayPark reports whether calls may go to the disk: it works, and the destination does, too. One that is down blocks no
// identity: what waits then waits for all, but for what waits for an operator.
func (k *parking) mayPark(now time.Time) bool {
	return (k.p.dispatcher.breaker.Healthy() || k.p.quarantine.count() > 0) && !now.Before(k.notBefore) && !k.p.storage.resting
}

// sweep parks what waits behind blocked identities, once that is too much or has waited for too long.
func (k *parking) sweep(now time.Time) {
	if len(k.blocking) == 0 || !k.mayPark(now) {
		return
	}
	if k.mayBeDue(now) {
		followers, bytes, _ := k.followers()
		if len(followers) > 0 && (k.areMany(len(followers), bytes) || now.Sub(followers[0].job.entered) > parkAfter) {
			for _, f := range followers {
				k.leave(f)
			}
		}
	}
	k.tooFew = k.p.order.sequencer.Waiting()
}

// mayBeDue reports whether followers would have to be parked if all calls that wait were followers. To find out which are takes long
// where many calls block others.
func (k *parking) mayBeDue(now time.Time) bool {
	n, bytes, old := 0, 0, false
	for j := range k.candidates() {
		n++
		bytes += j.size
		old = old || now.Sub(j.entered) > parkAfter
	}
	return n > 0 && (old || k.areMany(n, bytes))
}

// areMany reports whether so many followers are too many to wait in memory.
func (k *parking) areMany(n, bytes int) bool {
	return n*blockedShare >= k.p.config.Options.Window || bytes*blockedShare >= k.p.maxBytes()
}

// followers returns all calls in memory that wait behind blocked identities, oldest first, the bytes that they take, and the ids
// that these and the calls in front of them name.
func (k *parking) followers() (found []follower, bytes int, behind *blocked.Identities) {
	behind = blocked.NewIdentities()
	var buffer [sequencer.MaxIDs]string
	for _, j := range k.blockingCalls() {
		if j.queue == nil {
			j.queue = k.newQueue()
		}
		ids, exclusive := k.idsOf(j.entry, &buffer)
		behind.Add(j.queue, ids, exclusive)
	}
	for _, j := range inOrder(slices.Collect(k.candidates())) {
		ids, exclusive := k.idsOf(j.entry, &buffer)
		q := behind.Behind(ids, exclusive)
		if q == nil {
			continue
		}
		q = blocked.Join(q, j.queue)
		behind.Add(q, ids, exclusive)
		found = append(found, follower{j, q})
		bytes += j.size
	}
	return found, bytes, behind
}

// candidates are the calls in memory that wait for others and may be parked.
func (k *parking) candidates() iter.Seq[*job] {
	return func(yield func(*job) bool) {
		for _, l := range [...]*list{&k.p.parkedInMemory, &k.p.window} {
			for j := range l.all {
				if !j.Ready() && k.follows(j) && !yield(j) {
					return
				}
			}
		}
	}
}

// follows reports whether a call that waits for others may be parked, now or once it is stored.
func (k *parking) follows(j *job) bool {
	switch j.state {
	case waitingForIDs, blocking:
		return true
	case storing:
		return k.p.blocksOnDead()
	}
	return false
}

// leave takes a follower out of memory.
func (k *parking) leave(f follower) {
	j := f.job
	if j.state == storing {
		j.leaving = true // once it is stored
		return
	}
	if k.p.telemetry.watch.Enabled() {
		j.behind = blockerOf(j)
	}
	k.p.order.sequencer.Release(&j.Ticket, nil) // all that waited for it leave, too
	if j.stored() && j.parkedInMemory {
		k.drop(j)
		return
	}
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := k.idsOf(j.entry, &buffer)
	k.parkPending(j, f.queue, ids, exclusive, f.queue.PutBack) // it may stand before calls that wait on disk already
}

// drop takes a call out of memory that is on disk already.
func (k *parking) drop(j *job) {
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := k.idsOf(j.entry, &buffer)
	k.unblame(j)
	k.identities.Add(j.queue, ids, exclusive)
	j.queue.PutBack(j.key, j.entry.ReceivedAt)
	j.queue.AddBytes(bytesOnDisk(j.entry))
	if !k.p.quarantine.left(j) {
		k.p.parkedInMemory.remove(j)
	}
	k.p.deadLetters.moved(j.deadLetter, nil)
	k.p.transition(j, parked)
}

// parkStragglers stores the calls that have failed alone for too long, so that they no longer keep the log. They stay in memory.
func (k *parking) parkStragglers(now time.Time) {
	if !k.mayPark(now) {
		return
	}
	for _, j := range inOrder(slices.Collect(maps.Keys(k.failing))) {
		switch {
		case j.state != retryWait || now.Sub(j.entered) <= parkAfter || j.storedFailing:
		case !j.stored() && k.room() <= k.writer.pending:
			k.warnNoRoom()
		default:
			k.giveKey(j)
			k.p.transition(j, parkPending)
			k.writer.store(j)
		}
	}
}

// room is how many more calls may be held beside the window.
func (k *parking) room() int {
	if k.p.parkedInMemory.bytes >= k.p.maxBytes()/2 {
		return 0
	}
	return k.p.config.Options.Window - k.p.parkedInMemory.count
}

// warnNoRoom logs once that no more calls are taken up, for as long as that lasts.
func (k *parking) warnNoRoom() {
	if !k.warned {
		k.p.log.Error("too many calls are blocked", zap.Int("in_memory", k.p.parkedInMemory.count), zap.Int("on_disk", k.onDisk),
			zap.String("hint", "find what fails alone, or replay or discard dead letters"))
	}
	k.warned = true
}

func inOrder(jobs []*job) []*job {
	slices.SortFunc(jobs, compareJobs)
	return jobs
}

// compareJobs compares jobs by their rank.
func compareJobs(a, b *job) int {
	return a.rank.Compare(b.rank)
}
