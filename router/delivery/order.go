package delivery

import (
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/segment"
	"aka/router/sequencer"
)

// begin takes up the next piece of the log.
func (p *Pipeline) begin(next prepared) {
	if next.from == 0 {
		p.checkpoint.progress.Begin(next.frame)
	}
	if next.sparse {
		p.detachFrame(next.frame.Seq)
	}
	p.checkpoint.unsaved = true
	p.current, p.position = next.arrivals, journal.Position{Seq: next.frame.Seq, Index: next.from}
}

// admit takes the current frame's calls in, in order, as far as the window has room.
func (p *Pipeline) admit(now time.Time) {
	for len(p.current) > 0 && p.hasRoom() {
		a, pos := p.current[0], p.position
		p.current[0] = arrival{}
		p.current = p.current[1:]
		p.position.Index++
		switch {
		case p.checkpoint.progress.HasEnded(pos):
		case a == arrival{}, p.parking.isStored(pos):
			p.checkpoint.end(pos)
		case a.job == nil:
			// It ends at once, whatever its place: it changes nothing for others.
			p.end(&job{pos: pos, entry: a.entry}, settled, outcomeDropped, string(a.dropped))
		default:
			p.enter(a.job, now)
		}
		p.takeTurns(now)
	}
}

// downShare is what part of its memory a destination that is not well takes up: its backlog costs disk.
const downShare = 4

// hasRoom reports whether the window may take in one more call.
func (p *Pipeline) hasRoom() bool {
	switch {
	case p.window.count >= p.config.Options.Window, p.parking.isFull():
		return false
	case p.window.count == 0:
		return true
	case p.bytesHeld() >= p.maxBytes():
		return false
	}
	// A destination that is not well takes less, once it has calls to be tried with. Where all wait for others, there may be
	// one behind them that is taken.
	return p.dispatcher.breaker.Healthy() || p.dispatcher.queue.empty() || p.window.bytes < p.maxBytes()/downShare
}

// bytesHeld is the size of all calls that are held: in the window and beside it.
func (p *Pipeline) bytesHeld() int { return p.window.bytes + p.aside.bytes }

// maxBytes is the most that they may take. At most half of it goes to what is held beside the window.
func (p *Pipeline) maxBytes() int {
	if share := int(p.maxShare.Load()); share > 0 {
		return min(share, int(p.config.Options.WindowBytes))
	}
	return int(p.config.Options.WindowBytes)
}

// enter gives a call its place: in the window and in its people's order, or in a queue on disk behind those of its people that
// wait there.
func (p *Pipeline) enter(j *job, now time.Time) {
	if p.checkpoint.isSuspect(j.pos) {
		j.ambiguous = true
		p.metrics.inDoubt.Inc()
	}
	j.entered = now
	p.window.add(j)
	if j.dead == "" && p.tooOld(j, now) {
		j.dead = adapter.TooOld
	}
	if p.parking.takesIn(j) {
		return
	}
	p.addTicket(j, now)
	p.parking.sweepSoon(now)
}

// idsOf returns the ids by which a call's place in the order is decided, none where there is no order.
func (p *Pipeline) idsOf(e *journal.Entry, into *[sequencer.MaxIDs]string) []string {
	if p.order() == adapter.OrderNone {
		return nil
	}
	return e.IDs(into[:0])
}

// addTicket queues a call behind those of the same people.
func (p *Pipeline) addTicket(j *job, now time.Time) {
	var ids [sequencer.MaxIDs]string
	ready := p.sequencer.Add(&j.Ticket, p.idsOf(j.entry, &ids), p.exclusive(j.entry.Type))
	if !ready {
		j.detach()
		p.transition(j, waitingForIDs)
	}
	switch {
	case j.dead != "": // it is not sent, so that it need not wait
		p.letters.add(j, now)
	case ready:
		p.advance(j, now)
	}
}

// takeTurns moves on those whose turn has come.
func (p *Pipeline) takeTurns(now time.Time) {
	for len(p.turns) > 0 {
		turns := p.turns
		p.turns = nil
		for _, j := range turns {
			p.advance(j, now)
		}
	}
}

// advance moves on a call whose turn it is: to the queue, or to its end, where it would merge what is merged.
func (p *Pipeline) advance(j *job, now time.Time) {
	switch j.state {
	case waitingForIDs, retryWait, waitingForSave:
	default:
		return // what stores it goes on with it, or its operator
	}
	if !j.Ready() {
		return
	}
	if reason := p.merges.refuses(j); reason != "" {
		p.finish(j, outcomeDropped, string(reason), now)
		return
	}
	if j.entry.Type == segment.Alias && p.config.Destination.Renames && p.checkpoint.mustWait(j) {
		// Where an alias is a rename, a call under the old id after it makes a second person.
		p.transition(j, waitingForSave)
		p.checkpoint.await(j, now)
		return
	}
	p.enqueue(j, now)
}

// enqueue has a call wait for an exchange.
func (p *Pipeline) enqueue(j *job, now time.Time) {
	if p.dispatcher.breaker.Refusing() { // the oldest is the probe
		p.dispatcher.queue.pushInOrder(j)
	} else {
		p.dispatcher.queue.push(j, now)
	}
	p.transition(j, queued)
}

// How a call ends at a destination.
const (
	outcomeDelivered = "delivered"
	outcomeDropped   = "dropped"
	outcomeDead      = "dead"
)

// finish ends a call, and lets those behind it go on.
func (p *Pipeline) finish(j *job, outcome, reason string, now time.Time) {
	p.end(j, settled, outcome, reason)
	p.parking.unblame(j)
	p.letters.forget(j)
	if j.stored() {
		p.parking.remove(j, outcome)
		return
	}
	p.window.remove(j)
	p.leave(j, outcome, now)
}

// leave gives the call's ids back: after an alias was delivered, when the vendor has had time to settle.
func (p *Pipeline) leave(j *job, outcome string, now time.Time) {
	if outcome == outcomeDelivered && j.entry.Type == segment.Alias && p.config.Destination.Settle > 0 {
		p.timers.add(now.Add(p.config.Destination.Settle), func() { p.release(j) })
		return
	}
	p.release(j)
}

// release gives the call's ids back now.
func (p *Pipeline) release(j *job) {
	p.ready = p.sequencer.Release(&j.Ticket, p.ready[:0])
	for _, t := range p.ready {
		p.turns = append(p.turns, t.Value)
	}
	p.parking.takeUp(j.queue)
}

// end marks a call as ended, in the progress and by its state.
func (p *Pipeline) end(j *job, to state, outcome, reason string) {
	p.checkpoint.end(j.pos)
	j.ending = ending{outcome, reason}
	p.transition(j, to)
}

// tooOld reports whether a call has waited for longer than the backlog may. One that was replayed waits anew, or it would die
// at once.
func (p *Pipeline) tooOld(j *job, now time.Time) bool {
	if j.entry.Target != "" || j.letter != 0 {
		return p.overAge(j.entered, now)
	}
	return p.overAge(j.entry.ReceivedAt, now)
}

func (p *Pipeline) overAge(since, now time.Time) bool {
	age := p.config.Options.MaxBacklogAge
	return age > 0 && now.Sub(since) > age
}

// expire gives up on calls that have waited for longer than the backlog may, the oldest first. One that is in flight ends as
// its exchange does.
func (p *Pipeline) expire(l *list, now time.Time) {
	for j := range l.all {
		if !p.overAge(j.entry.ReceivedAt, now) {
			return
		}
		if !p.tooOld(j, now) {
			continue
		}
		if j.state == waitingForIDs || j.state == queued && p.dispatcher.queue.remove(j) {
			p.giveUp(j, adapter.TooOld, j.detail, now)
		}
	}
}

// detachWaiting frees the frames of the calls that wait for a destination which is not well.
func (p *Pipeline) detachWaiting() {
	if p.dispatcher.breaker.Healthy() {
		return
	}
	for j := range p.window.all {
		j.detach()
	}
}

// detachFrame frees the frame that was taken in last.
func (p *Pipeline) detachFrame(seq uint64) {
	for j := p.window.newest; j != nil && j.pos.Seq >= seq; j = j.older {
		j.detach()
	}
}
