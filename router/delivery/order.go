package delivery

import (
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/segment"
	"aka/router/sequencer"
)

// order gives each call its turn: when all calls before it that share ids with it have ended.
type order struct {
	p         *Pipeline
	sequencer *sequencer.Sequencer[*job]
	turns     []*job                    // whose turn it is
	ready     []*sequencer.Ticket[*job] // scratch
}

// idsOf returns the ids by which a call's place in the order is decided, none where there is no order.
func (o *order) idsOf(e *journal.Entry, into *[sequencer.MaxIDs]string) []string {
	if o.strictness() == adapter.OrderNone {
		return nil
	}
	return e.IDs(into[:0])
}

// addTicket queues a call behind those of the same people.
func (o *order) addTicket(j *job, now time.Time) {
	var ids [sequencer.MaxIDs]string
	ready := o.sequencer.Add(&j.Ticket, o.idsOf(j.entry, &ids), o.exclusive(j.entry.Type))
	if !ready {
		j.detach()
		o.p.transition(j, waitingForIDs)
	}
	switch {
	case j.dead != "": // it is not sent, so that it need not wait
		o.p.deadLetters.add(j, now)
	case ready:
		o.advance(j, now)
	}
}

// takeTurns moves on those whose turn has come.
func (o *order) takeTurns(now time.Time) {
	for len(o.turns) > 0 {
		turns := o.turns
		o.turns = nil
		for _, j := range turns {
			o.advance(j, now)
		}
	}
}

// advance moves on a call whose turn it is: to the queue, or to its end, where it would merge what is merged.
func (o *order) advance(j *job, now time.Time) {
	switch j.state {
	case waitingForIDs, retryWait, waitingForSave:
	default:
		return // what stores it goes on with it, or its operator
	}
	if !j.Ready() {
		return
	}
	reason := o.p.merges.refuses(j)
	o.p.newIDs.judged(j, reason)
	if reason != "" {
		o.drop(j, reason, now)
		return
	}
	if !o.p.mergeGuard.passes(j, now) {
		return
	}
	if j.entry.Type == segment.Alias && o.p.config.Destination.Renames && o.p.checkpoint.mustWait(j) {
		// Where an alias is a rename, a call under the old id after it makes a second person.
		o.p.transition(j, waitingForSave)
		o.p.checkpoint.await(j, now)
		return
	}
	o.enqueue(j, now)
}

// enqueue has a call wait for an exchange.
func (o *order) enqueue(j *job, now time.Time) {
	j.pausing = false
	if o.p.dispatcher.breaker.Refusing() { // the oldest is the probe
		o.p.dispatcher.queue.pushInOrder(j)
	} else {
		o.p.dispatcher.queue.push(j, now)
	}
	o.p.transition(j, queued)
}

// How a call ends at a destination.
const (
	outcomeDelivered = "delivered"
	outcomeDropped   = "dropped"
	outcomeDead      = "dead"
	// outcomeWouldSend is a delivery of a dry destination, where it is shown. To the pipeline it is a delivery.
	outcomeWouldSend = "would_send"
)

// drop ends a call that is not sent, once it is kept where that is wanted.
func (o *order) drop(j *job, reason adapter.Reason, now time.Time) {
	o.p.merges.learnDropped(j.entry, reason)
	if !o.p.drops.keep(drop{job: j, reason: reason, placed: true}) {
		o.finish(j, outcomeDropped, string(reason), now)
	}
}

// finish ends a call, and lets those behind it go on.
func (o *order) finish(j *job, outcome, reason string, now time.Time) {
	o.end(j, settled, outcome, reason)
	o.p.parking.unblame(j)
	o.p.deadLetters.forget(j)
	o.p.quarantine.forget(j)
	if j.stored() {
		o.p.parking.writer.remove(j, outcome)
		return
	}
	o.p.window.remove(j)
	o.leave(j, outcome, now)
}

// leave gives the call's ids back: after an alias was delivered, when the vendor has had time to settle.
func (o *order) leave(j *job, outcome string, now time.Time) {
	if outcome == outcomeDelivered && j.entry.Type == segment.Alias && o.p.config.Destination.Settle > 0 {
		o.p.timers.add(now.Add(o.p.config.Destination.Settle), func() { o.release(j) })
		return
	}
	o.release(j)
}

// release gives the call's ids back now.
func (o *order) release(j *job) {
	o.ready = o.sequencer.Release(&j.Ticket, o.ready[:0])
	for _, t := range o.ready {
		o.turns = append(o.turns, t.Value)
	}
	o.p.parking.reader.takeUp(j.queue)
}

// end marks a call as ended, in the progress and by its state.
func (o *order) end(j *job, to state, outcome, reason string) {
	if outcome == outcomeDead && j.entry.Type == segment.Identify {
		o.p.merges.learnIDs(j.entry) // the vendor has not taken it, and its userId is a user all the same
	}
	o.p.mergeGuard.underWay.gone(j.pos)
	o.p.ledger.ended(j, outcome, reason)
	o.p.checkpoint.end(j.pos)
	if o.p.config.Destination.Dry && outcome == outcomeDelivered {
		outcome = outcomeWouldSend
	}
	j.ending = ending{outcome, reason}
	o.p.transition(j, to)
}

// exclusive reports whether no other call of the same person may be under way beside this one.
func (o *order) exclusive(t segment.Type) bool {
	return o.strictness() == adapter.OrderStrict || t.ChangesIdentity()
}

func (o *order) strictness() adapter.Order {
	if o.p.config.Options.Order != "" {
		return o.p.config.Options.Order
	}
	return o.p.config.Destination.Order
}
