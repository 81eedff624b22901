package delivery

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"aka/router/blocked"
	"aka/router/journal"
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
// it is set aside: it goes to a queue on disk, and what comes later for the same people follows it there. When the call in front
// has ended, the queue is read back in log order.
//
// What makes this keep the order: a call on disk never stands before one in memory that shares ids with it. So what is set aside
// takes all with it that waits behind it (sweep), what arrives follows what is on disk (takesIn), and what is read back waits
// for none that stays (queueReader.takeUp).
type parking struct {
	p          *Pipeline
	identities *blocked.Identities
	// blocking are the calls in memory that block others.
	blocking map[*job]struct{}
	newest   uint64 // the number of the newest queue
	onDisk   int    // calls on disk that have not ended
	writer   queueWriter
	reader   queueReader
	// tooFew is how many calls waited when so few of them were behind blocked identities that they stay in memory.
	tooFew    int
	notBefore time.Time // the next try to set aside, after one failed
	warned    bool      // that there is no room
	full      bool      // too many ids are blocked, and that was logged
}

func newParking(p *Pipeline) *parking {
	return &parking{
		p: p, identities: blocked.NewIdentities(), blocking: map[*job]struct{}{},
		writer: queueWriter{p: p}, reader: queueReader{p: p, before: map[journal.Position]bool{}},
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
	k.tooFew = 0
	if j.stored() {
		j.queue.SetGoing(j.pos, false)
	}
}

// blockingCalls returns the calls in memory that block others, in log order.
func (k *parking) blockingCalls() []*job { return inLogOrder(slices.Collect(maps.Keys(k.blocking))) }

// unblame notes that a call does not block others any more.
func (k *parking) unblame(j *job) {
	if _, ok := k.blocking[j]; ok {
		delete(k.blocking, j)
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
	k.setAside(j, q, ids, exclusive, q.Put)
	return true
}

// setAside has a call of the window stored in a queue. It has no ticket any more. put is Put or PutBack of the queue.
func (k *parking) setAside(j *job, q *blocked.Queue, ids []string, exclusive bool, put func(journal.ParkedKey, time.Time)) {
	j.detach()
	k.unblame(j)
	k.identities.Add(q, ids, exclusive)
	j.queue = q
	k.giveKey(j)
	put(j.key, j.entry.ReceivedAt)
	k.p.transition(j, setAside)
	k.writer.store(j)
}

// giveKey gives a call its place on disk, where it has none yet.
func (k *parking) giveKey(j *job) {
	if j.stored() {
		return
	}
	if j.queue == nil {
		j.queue = k.newQueue()
	}
	j.key = journal.ParkedKey{Queue: j.queue.Number(), Position: j.pos}
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
	overBytes := k.p.bytesHeld() >= k.p.maxBytes()/blockedShare
	if (waiting >= share || overBytes) && waiting >= k.tooFew+max(share/4, 1) {
		k.sweep(now)
	}
}

// tick is called every saveInterval.
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

// maySetAside reports whether calls may go to the disk: it works, and the destination does, too. One that is down blocks no
// identity: what waits then waits for all.
func (k *parking) maySetAside(now time.Time) bool {
	return k.p.dispatcher.breaker.Healthy() && !now.Before(k.notBefore) && !k.p.storage.resting
}

// sweep sets aside what waits behind blocked identities, once that is too much or has waited for too long.
func (k *parking) sweep(now time.Time) {
	if len(k.blocking) == 0 || !k.maySetAside(now) {
		return
	}
	followers, bytes, _ := k.followers()
	if len(followers) == 0 {
		k.tooFew = k.p.order.sequencer.Waiting()
		return
	}
	many := len(followers)*blockedShare >= k.p.config.Options.Window || bytes*blockedShare >= k.p.maxBytes()
	if !many && now.Sub(followers[0].job.entered) <= parkAfter {
		k.tooFew = k.p.order.sequencer.Waiting()
		return
	}
	for _, f := range followers {
		k.leave(f)
	}
	k.tooFew = k.p.order.sequencer.Waiting()
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
	for _, j := range k.candidates() {
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

// candidates returns the calls in memory that wait for others and may be set aside, in log order.
func (k *parking) candidates() []*job {
	var found []*job
	for _, l := range [...]*list{&k.p.aside, &k.p.window} {
		for j := range l.all {
			if !j.Ready() && k.follows(j) {
				found = append(found, j)
			}
		}
	}
	return inLogOrder(found)
}

// follows reports whether a call that waits for others may be set aside, now or once it is stored.
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
	if k.p.telemetry.watch.On() {
		j.behind = blockerOf(j)
	}
	k.p.order.sequencer.Release(&j.Ticket, nil) // all that waited for it leave, too
	if j.stored() && j.aside {
		k.drop(j)
		return
	}
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := k.idsOf(j.entry, &buffer)
	k.setAside(j, f.queue, ids, exclusive, f.queue.PutBack) // it may stand before calls that wait on disk already
}

// drop takes a call out of memory that is on disk already.
func (k *parking) drop(j *job) {
	var buffer [sequencer.MaxIDs]string
	ids, exclusive := k.idsOf(j.entry, &buffer)
	k.unblame(j)
	k.identities.Add(j.queue, ids, exclusive)
	j.queue.PutBack(j.key, j.entry.ReceivedAt)
	k.p.aside.remove(j)
	k.p.letters.moved(j.letter, nil)
	k.p.transition(j, parked)
}

// parkStragglers stores the calls that have failed alone for too long, so that they keep the log no more. They stay in memory.
func (k *parking) parkStragglers(now time.Time) {
	if !k.maySetAside(now) {
		return
	}
	for _, j := range k.blockingCalls() {
		switch {
		case j.state != retryWait || now.Sub(j.entered) <= parkAfter || j.storedFailing:
		case !j.stored() && k.room() <= k.writer.pending:
			k.warnNoRoom()
		default:
			k.giveKey(j)
			k.p.transition(j, setAside)
			k.writer.store(j)
		}
	}
}

// room is how many more calls may be held beside the window.
func (k *parking) room() int {
	if k.p.aside.bytes >= k.p.maxBytes()/2 {
		return 0
	}
	return k.p.config.Options.Window - k.p.aside.count
}

// warnNoRoom logs once that no more calls are taken up, for as long as that lasts.
func (k *parking) warnNoRoom() {
	if !k.warned {
		k.p.log.Error("too many calls are blocked", zap.Int("in_memory", k.p.aside.count), zap.Int("on_disk", k.onDisk),
			zap.String("hint", "find what fails alone, or replay or discard dead letters"))
	}
	k.warned = true
}

func inLogOrder(jobs []*job) []*job {
	slices.SortFunc(jobs, compareJobs)
	return jobs
}

// compareJobs compares jobs by their place in the log.
func compareJobs(a, b *job) int {
	return cmp.Or(cmp.Compare(a.pos.Seq, b.pos.Seq), cmp.Compare(a.pos.Index, b.pos.Index))
}
