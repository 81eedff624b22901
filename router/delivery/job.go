package delivery

import (
	"bytes"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/router/blocked"
	"aka/router/journal"
	"aka/router/live"
	"aka/router/merges"
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
	// setAside is on its way to a queue on disk. It is not tried meanwhile.
	setAside
	// parked waits in a queue on disk, and not in memory.
	parked
	// blocking is a dead letter behind which others wait, until its operator decides.
	blocking
	// storing is ending: a dead letter, a merge, or its removal from a queue is on its way to the disk.
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
	waitingForIDs:  setOf(waitingForIDs, queued, waitingForSave, setAside, parked, storing, blocking, settled),
	queued:         setOf(queued, inFlight, setAside, parked, storing),
	inFlight:       setOf(queued, retryWait, storing, settled),
	retryWait:      setOf(queued, waitingForSave, setAside, parked, storing, settled),
	waitingForSave: setOf(queued, waitingForSave, setAside, parked, storing, settled),
	setAside:       setOf(waitingForIDs, retryWait, parked),
	blocking:       setOf(parked, storing),
	storing:        setOf(waitingForIDs, blocking, parked, settled),
}

// String returns the state's name, for logs.
func (s state) String() string {
	return [stateCount]string{"waiting for ids", "queued", "in flight", "retry wait", "waiting for save", "set aside", "parked", "blocking", "storing", "settled"}[s]
}

// ending is how a call has ended at a destination: its outcome, and the reason.
type ending struct{ outcome, reason string }

// job is one call on its way to one destination. It belongs to the pipeline's loop, but for the time of an exchange, when
// the exchange's goroutine reads it.
type job struct {
	sequencer.Ticket[*job]
	pos   journal.Position
	entry *journal.Entry
	// outcome is what the adapter made of the call. For a call that never reached the adapter it is a drop, or dead is set.
	outcome adapter.Outcome
	dead    adapter.Reason
	detail  string
	// ending is how it has ended, once it has.
	ending ending
	merge  *merges.Merge // what its delivery merges, where that is remembered

	step     int // the request that is to go next
	attempts int
	// failures counts those attempts that failed while the destination was otherwise well: only they use up max_attempts.
	failures     int
	failingSince time.Time
	first, last  time.Time
	status       int
	// endedBefore is how many calls had ended when its turn came, where it waits until that is saved.
	endedBefore uint64
	// maxBatch bounds the batch that the job may travel in, after one was refused as too large. 0 is no bound. batch is how
	// many calls its exchange has.
	maxBatch, batch int

	entered time.Time // the window
	queued  time.Time
	retryAt time.Time     // its next try, in retryWait
	took    time.Duration // the last exchange
	letter  uint64        // the dead letter that it is, or was before it was tried again in its place; 0 is none
	// failedAt is the destination's success count plus 1 at the call's last failure, refusedAt at its first 401 or 403; 0 is
	// never.
	failedAt, refusedAt uint64
	// refusedRun is the run of refusals that it has become a dead letter in, until that is stored; 0 is none.
	refusedRun uint64

	// queue is the queue on disk that the call belongs to, nil for none; key is its place there. key.Queue is 0 until it is
	// stored, or may be.
	queue *blocked.Queue
	key   journal.ParkedKey

	// behind is the call that it waited for when it was set aside, for viewers.
	behind *live.Other

	size int

	older, newer *job // in the list that holds it

	// The small ones stand together, for the room that they take: a window has thousands of jobs.

	state state
	// aside: it is held beside the window, and on disk.
	aside bool
	// ambiguous: the vendor may have acted on the current request, although no try of it has succeeded.
	ambiguous bool
	// failsAlone: it has failed, others were taken, and it has failed again.
	failsAlone bool
	// storedFailing and storedAmbiguous: its place on disk says that it fails alone, and that the vendor may have acted on it.
	storedFailing, storedAmbiguous bool
	// leaving: it leaves memory once its dead letter is stored.
	leaving  bool
	detached bool
}

func (j *job) request() *adapter.Request { return &j.outcome.Requests[j.step] }

// possiblyDelivered reports whether the vendor may have acted on the call already. A restart begins with its first request
// again.
func (j *job) possiblyDelivered() bool { return j.ambiguous || j.step > 0 }

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

// holdsDoubt reports whether the vendor may have acted on any of the calls, and nothing stored says so.
func (l *list) holdsDoubt() bool {
	for j := range l.all {
		if j.possiblyDelivered() && !j.storedAmbiguous {
			return true
		}
	}
	return false
}
