package delivery

import (
	"bytes"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/router/blocked"
	"aka/router/journal"
	"aka/router/live"
	"aka/router/sequencer"
)

// state is where a call stands. A call is in one state at a time; Pipeline.transition moves it.
type state uint8

// The states. CONTRIBUTING.md has a picture of them.
const (
	// waitingForIDs is behind calls of the same people that stand before it.
	waitingForIDs state = iota
	// queued is its turn: it waits for a batch, the rate, or a destination that is not well.
	queued
	// inFlight is in an exchange.
	inFlight
	// retryWait waits for its next try.
	retryWait
	// waitingForSave waits until the end of calls before it is saved.
	waitingForSave
	// parkPending is on its way to a queue on disk. It is not tried meanwhile.
	parkPending
	// parked waits in a queue on disk, and not in memory.
	parked
	// blocking is a dead letter behind which others wait, until its operator decides.
	blocking
	// held is an alias that waits for its operator, because of a merge rule.
	held
	// storing is ending: a dead letter, a hold, or its removal from a queue is on its way to the disk.
	storing
	// settled has ended. It may keep its ids until the vendor has settled.
	settled

	stateCount = int(settled) + 1
)

// states is a set of them.
type states uint16

func setOf(all ...state) (s states) {
	for _, one := range all {
		s |= 1 << one
	}
	return s
}

func (s states) has(one state) bool { return s&(1<<one) != 0 }

// next are the states that may follow each.
var next = [stateCount]states{
	waitingForIDs:  setOf(waitingForIDs, queued, waitingForSave, parkPending, parked, storing, blocking, held, settled),
	queued:         setOf(queued, inFlight, parkPending, parked, storing),
	inFlight:       setOf(queued, retryWait, storing, settled),
	retryWait:      setOf(queued, waitingForSave, parkPending, parked, storing, settled),
	waitingForSave: setOf(waitingForIDs, queued, waitingForSave, parkPending, parked, storing, settled),
	parkPending:    setOf(waitingForIDs, retryWait, parked),
	blocking:       setOf(parked, storing),
	held:           setOf(parked, storing),
	storing:        setOf(waitingForIDs, blocking, held, parked, settled),
}

// String returns the state's name, for logs.
func (s state) String() string {
	return [stateCount]string{"waiting for ids", "queued", "in flight", "retry wait", "waiting for save", "parking", "parked", "blocking", "held", "storing", "settled"}[s]
}

// ending is how a call has ended at a destination: its outcome, and the reason.
type ending struct{ outcome, reason string }

// mergedNames are two ids that a call makes one person's, as the vendor gets them, and what is noted of them in the ledger.
type mergedNames struct {
	from, to string
	// observed is the rule that fired for it and let it go; "" for none.
	observed string
	// fromIDs and toIDs are how many ids the two people had when it was judged, ids how many the one has since; 0 is not known.
	fromIDs, toIDs, ids int
	// firstUserOnly is as in adapter.Merge.
	firstUserOnly bool
}

// job is one call on its way to one destination. It belongs to the pipeline's loop, but for the time of an exchange, when
// the exchange's goroutine reads it.
type job struct {
	sequencer.Ticket[*job]
	pos   journal.Position // in the log
	rank  journal.Rank     // in the order of all calls
	entry *journal.Entry
	// outcome is what the adapter made of the call. For a call that never reached the adapter it is a drop, or dead is set.
	outcome adapter.Outcome
	dead    adapter.Reason
	detail  string
	// ending is how it has ended, once it has.
	ending ending
	merge  *adapter.Merge // what its delivery merges, where that is remembered
	// names are the ids that it merges, as the vendor gets them; nil where it merges none.
	names *mergedNames
	// hold is why it is held, or was, nil for a call that never was.
	hold *hold

	step int // the request that is to go next
	// translated is how many requests the call began with, once there are more by an answer; 0 is none. answered are the answers.
	translated int
	answered   []adapter.Answered
	// leftOut is the merge rule's reason for which the requests that merge are left out, of those that are still to come.
	leftOut  adapter.Reason
	attempts int
	// merging is its merge while that is under way.
	merging *merging
	// failures counts those attempts that failed while the destination was otherwise well: only they use up max_attempts.
	failures     int
	failingSince time.Time
	first, last  time.Time
	status       int
	retryAfter   time.Duration // that the vendor asked for with its last answer
	// endedBefore is how many calls had ended when its turn came, where it waits until that is saved.
	endedBefore uint64
	// maxBatch bounds the batch that the job may travel in, after one was refused as too large. 0 is no bound. batch is how
	// many calls its exchange has.
	maxBatch, batch int

	entered    time.Time // the window
	queued     time.Time
	retryAt    time.Time     // its next try, in retryWait
	took       time.Duration // the last exchange
	deadLetter uint64        // the dead letter that it is, or was before it was tried again in its place; 0 is none
	// failedAt is the destination's success count plus 1 at the call's last failure, refusedAt at its first 401 or 403; 0 is
	// never.
	failedAt, refusedAt uint64
	// refusedRun is the run of refusals that it has become a dead letter in, until that is stored; 0 is none.
	refusedRun uint64

	// queue is the queue on disk that the call belongs to, nil for none; key is its place there. key.Queue is 0 until it is
	// stored, or may be.
	queue *blocked.Queue
	key   journal.ParkedKey
	// parkedAt is when an alias began to wait in its queue, zero where it did not.
	parkedAt time.Time

	// behind is the call that it waited for when it was parked, for viewers.
	behind *live.Other

	size int

	older, newer *job // in the list that holds it

	// The small ones stand together, for the room that they take: a window has thousands of jobs.

	state state
	// parkedInMemory: it is on disk, and in memory, too.
	parkedInMemory bool
	// possiblyDelivered: the vendor may have acted on the current request, although no try of it has succeeded.
	possiblyDelivered bool
	// failsAlone: it has failed, others were taken, and it has failed again.
	failsAlone bool
	// storedFailing and storedPossiblyDelivered: its place on disk says that it fails alone, and that the vendor may have acted on it.
	storedFailing, storedPossiblyDelivered bool
	// leaving: it leaves memory once its dead letter is stored.
	leaving  bool
	detached bool
	// anew: it is to be judged as one that was not tried, because its operator has it tried again.
	anew bool
	// readBack: it was read back from its queue, and has not had its turn since.
	readBack bool
	// pausing: it is in retryWait because its next request is to wait, and not because one failed.
	pausing bool
	// newIDLost: it is a repaired alias that may hide a new id.
	newIDLost bool
	// merged: its delivery has merged what was not merged before, as far as that is remembered.
	merged bool
}

func (j *job) request() *adapter.Request { return &j.outcome.Requests[j.step] }

// isPossiblyDelivered reports whether the vendor may have acted on the call already. A restart begins with its first request
// again.
func (j *job) isPossiblyDelivered() bool { return j.possiblyDelivered || j.hasWritten() }

// isTried reports whether the call was tried, so that it is tried to the end, whatever the memory and the rules say of it now.
func (j *job) isTried() bool { return j.attempts > 0 && !j.anew || j.step > 0 }

// stored reports whether the call has a place in a queue on disk, or may have one.
func (j *job) stored() bool { return j.key.Queue != 0 }

// What a job and a request take beside the bytes that they name: themselves, the entry, its place among those of the same
// people, a timer; headers and a batch's bounds.
const (
	jobBytes     = 1000
	requestBytes = 300
)

// measure takes the size of what the job holds.
func (j *job) measure() {
	j.size = jobBytes + len(j.entry.JSON) + len(j.entry.Routing) + j.outcome.Size() + requestBytes*len(j.outcome.Requests)
	for _, a := range j.answered {
		j.size += requestBytes + len(a.Answer.Body)
	}
}

// detach gives the job its own copy of the call, so that it does not keep the whole frame in memory while it waits.
func (j *job) detach() {
	if j.detached {
		return
	}
	e := *j.entry
	for _, s := range [...]*string{&e.Source, &e.Target, &e.MessageID, &e.UserID, &e.AnonymousID, &e.PreviousID, &e.GroupID} {
		*s = strings.Clone(*s)
	}
	e.JSON, e.Routing = bytes.Clone(e.JSON), bytes.Clone(e.Routing)
	j.entry, j.detached = &e, true
}

// empty drops the call's body: it is on disk, and read again when it is needed.
func (j *job) empty() {
	j.detach()
	j.entry.JSON, j.entry.Routing = nil, nil
	j.beginAnew()
	j.outcome = adapter.Outcome{}
	j.measure()
}

// list is jobs that are held in memory, oldest first. It is bounded by who adds to it.
type list struct {
	oldest, newest *job
	count, bytes   int
}

func (l *list) add(j *job) {
	j.older = l.newest
	if l.newest != nil {
		l.newest.newer = j
	} else {
		l.oldest = j
	}
	l.newest = j
	l.count++
	l.bytes += j.size
}

func (l *list) remove(j *job) {
	if j.older != nil {
		j.older.newer = j.newer
	} else {
		l.oldest = j.newer
	}
	if j.newer != nil {
		j.newer.older = j.older
	} else {
		l.newest = j.older
	}
	j.older, j.newer = nil, nil
	l.count--
	l.bytes -= j.size
}

// all yields the jobs, oldest first. The one that is yielded may be removed.
func (l *list) all(yield func(*job) bool) {
	for j := l.oldest; j != nil; {
		newer := j.newer
		if !yield(j) {
			return
		}
		j = newer
	}
}

// anyPossiblyDelivered reports whether the vendor may have acted on any of the calls, and nothing stored says so.
func (l *list) anyPossiblyDelivered() bool {
	for j := range l.all {
		if j.isPossiblyDelivered() && !j.storedPossiblyDelivered {
			return true
		}
	}
	return false
}
