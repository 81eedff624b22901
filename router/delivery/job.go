package delivery

import (
	"bytes"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/merges"
	"aka/router/sequencer"
)

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
	merge   *merges.Merge // what its delivery merges, where that is remembered

	step     int // the request that is to go next
	attempts int
	// failures counts those attempts that failed while the destination was otherwise well: only they use up max_attempts.
	failures     int
	failingSince time.Time
	first, last  time.Time
	status       int
	// endedBefore is how many calls had ended when its turn came, where it waits until that is saved.
	endedBefore uint64
	// maxBatch bounds the batch that the job may travel in, after one was refused as too large. 0 is no bound.
	maxBatch int

	entered time.Time // the window
	queued  time.Time
	next    time.Time     // its next try, while it is waiting
	took    time.Duration // the last exchange
	parked  uint64        // its id once it is parked
	letter  uint64        // the dead letter that it is, or was before it was tried again in its place; 0 is none
	// failedIn is the epoch of the destination in which it failed last, from 1.
	failedIn uint64
	// refusedIn is one more than how often the destination had taken something when it first refused the credentials for this
	// call; 0 is never.
	refusedIn uint64

	size int

	older, newer *job // in the window

	// The switches stand together, for the room that they take: a window has thousands of jobs.

	// ambiguous tells that the vendor may have acted on the current request, although no try of it has succeeded.
	ambiguous bool
	waiting   bool // for the time of its next try
	parking   bool // it is being parked
	burying   bool // it is being stored as a dead letter, with its place where it holds up others; and then it has ended
	// held tells that it is a dead letter which holds up those behind it, deciding that its operator has to wait: its place is
	// being stored, or what an operator has said.
	held, deciding bool
	// maybeParked tells that parking it seemed to fail.
	maybeParked bool
	// doubtStored tells that it is kept aside as one that the vendor may have acted on.
	doubtStored bool
	detached    bool
}

func (j *job) request() *adapter.Request { return &j.outcome.Requests[j.step] }

// inDoubt tells whether the vendor may have acted on the call already. A restart begins with its first request again.
func (j *job) inDoubt() bool { return j.ambiguous || j.step > 0 }

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

// bytesHeld is the size of all calls that are held: in the window and beside it.
func (p *Pipeline) bytesHeld() int { return p.window.bytes + p.parked.bytes + p.dead.bytes }

// maxBytes is the most that they may take. At most half of it goes to what is kept aside, so that the window has the rest.
func (p *Pipeline) maxBytes() int {
	if share := int(p.share.Load()); share > 0 {
		return min(share, int(p.Options.WindowBytes))
	}
	return int(p.Options.WindowBytes)
}

// window is the jobs that are held in memory, oldest first, bounded in count and bytes.
type window struct {
	oldest, newest *job
	count, bytes   int
}

func (w *window) add(j *job) {
	j.older = w.newest
	if w.newest != nil {
		w.newest.newer = j
	} else {
		w.oldest = j
	}
	w.newest = j
	w.count++
	w.bytes += j.size
}

func (w *window) remove(j *job) {
	if j.older != nil {
		j.older.newer = j.newer
	} else {
		w.oldest = j.newer
	}
	if j.newer != nil {
		j.newer.older = j.older
	} else {
		w.newest = j.older
	}
	j.older, j.newer = nil, nil
	w.count--
	w.bytes -= j.size
}

// holdsDoubt tells whether the vendor may have acted on any of the calls, and nothing stored says so.
func (w *window) holdsDoubt() bool {
	for j := w.oldest; j != nil; j = j.newer {
		if j.inDoubt() && !j.doubtStored {
			return true
		}
	}
	return false
}
