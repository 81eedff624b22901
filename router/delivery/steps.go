package delivery

import (
	"bytes"
	"net/http"
	"slices"
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
)

// asking is a call that is in flight with a request whose answer decides what comes next. The exchange's goroutine reads it, and the
// loop has its own.
type asking struct {
	entry    *journal.Entry
	before   []adapter.Request
	answered []adapter.Answered
}

// asking returns the call where its current request asks, else nil.
func (j *job) asking() *asking {
	if j.step != len(j.outcome.Requests)-1 || !j.outcome.Asks() {
		return nil
	}
	return &asking{j.entry, j.outcome.Requests, slices.Clip(j.answered)}
}

// ask finds out what comes after an answer that the call can go on with.
func (d *dispatcher) ask(x *exchange) {
	if x.asking == nil || x.verdicts[0].Class != adapter.Delivered {
		return
	}
	answer := x.answer()
	answer.Body = bytes.Clone(answer.Body)
	x.asking.answered = append(x.asking.answered, adapter.Answered{Request: x.requests[0], Answer: answer})
	call, err := x.asking.entry.Decode()
	if err != nil { // it was read before
		x.next = adapter.Reject(err)
		return
	}
	if options := d.destination.Route(&x.asking.entry.Message).Options; options != nil {
		own := *call
		own.Options = options
		call = &own
	}
	call, reason, err := d.destination.Prepare(call)
	switch {
	case err != nil: // as it has not when the call began
		x.next = adapter.Reject(err)
		return
	case reason != "":
		x.next = adapter.Drop(reason)
		return
	}
	x.next = d.destination.Next(call, x.asking.before, x.asking.answered)
}

// isStepped reports whether what the call becomes depends on answers.
func (j *job) isStepped() bool { return j.translated > 0 || j.outcome.Asks() }

// goesOn takes in what comes after an answer. It returns false where the call has ended by it.
func (r *results) goesOn(x *exchange, j *job, now time.Time) bool {
	next := x.next
	if j.leftOut != "" {
		next = next.WithoutMerges(j.leftOut)
	}
	switch {
	case next.Rejected != nil:
		r.p.deadLetters.giveUp(j, adapter.Rejected, next.Rejected.Error(), now)
		return false
	case next.Dropped != "" && next.Dropped == j.leftOut && j.hasWritten():
		next = adapter.Outcome{}
	case next.Dropped != "":
		r.dropped(j, adapter.Verdict{Note: string(next.Dropped)}, now)
		return false
	}
	if j.translated == 0 {
		j.translated = len(j.outcome.Requests)
	}
	j.answered = x.asking.answered
	j.outcome.Requests = slices.Concat(j.outcome.Requests, next.Requests)
	r.p.remeasure(j)
	return true
}

// beginAnew has a call whose requests depend on answers begin with its first one again: what the vendor said may be out of date.
func (j *job) beginAnew() {
	if !j.isStepped() {
		return
	}
	j.possiblyDelivered = j.possiblyDelivered || j.hasWritten()
	if j.translated > 0 {
		j.outcome.Requests = j.outcome.Requests[:j.translated:j.translated]
	}
	j.step, j.translated, j.answered = 0, 0, nil
}

// hasWritten reports whether one of the requests that have succeeded may have changed something at the vendor.
func (j *job) hasWritten() bool {
	if !j.isStepped() {
		return j.step > 0
	}
	return slices.ContainsFunc(j.outcome.Requests[:min(j.step, len(j.outcome.Requests))], func(r adapter.Request) bool { return !onlyReads(&r) })
}

// onlyReads reports whether a request is a search that changes nothing at the vendor, whatever becomes of it.
func onlyReads(r *adapter.Request) bool {
	return r.Asks && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// remeasure takes the size of a call in memory that has more or less to remember than before.
func (p *Pipeline) remeasure(j *job) {
	l := &p.window
	if j.parkedInMemory {
		l = &p.parkedInMemory
	}
	l.bytes -= j.size
	j.measure()
	l.bytes += j.size
}
