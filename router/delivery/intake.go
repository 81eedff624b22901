package delivery

import (
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
)

// intake takes the log's calls in, as far as there is room.
type intake struct {
	p *Pipeline
	// current are the calls of the frame that is being taken in which are not in the window yet; position is the first one's.
	current  []arrival
	position journal.Position
}

// begin takes up the next piece of the log.
func (n *intake) begin(next prepared) {
	if next.from == 0 {
		n.p.checkpoint.progress.Begin(next.frame)
	}
	if next.sparse {
		n.detachFrame(next.frame.Seq)
	}
	n.p.checkpoint.unsaved = true
	n.current, n.position = next.arrivals, journal.Position{Seq: next.frame.Seq, Index: next.from}
}

// admit takes the current frame's calls in, in order, as far as the window has room.
func (n *intake) admit(now time.Time) {
	for len(n.current) > 0 && n.hasRoom() {
		a, pos := n.current[0], n.position
		n.current[0] = arrival{}
		n.current = n.current[1:]
		n.position.Index++
		switch {
		case n.p.checkpoint.progress.HasEnded(pos):
		case a == arrival{}, n.p.parking.reader.isStored(pos):
			n.p.checkpoint.end(pos)
		case a.job == nil:
			// It ends at once, whatever its place: it changes nothing for others.
			n.p.order.end(&job{pos: pos, entry: a.entry}, settled, outcomeDropped, string(a.dropped))
		default:
			n.enter(a.job, now)
		}
		n.p.order.takeTurns(now)
	}
}

// downShare is what part of its memory a destination that is not well takes up: its backlog costs disk.
const downShare = 4

// hasRoom reports whether the window may take in one more call.
func (n *intake) hasRoom() bool {
	switch {
	case n.p.window.count >= n.p.config.Options.Window, n.p.parking.isFull():
		return false
	case n.p.window.count == 0:
		return true
	case n.p.bytesHeld() >= n.p.maxBytes():
		return false
	}
	// A destination that is not well takes less, once it has calls to be tried with. Where all wait for others, there may be
	// one behind them that is taken.
	return n.p.dispatcher.breaker.Healthy() || n.p.dispatcher.queue.empty() || n.p.window.bytes < n.p.maxBytes()/downShare
}

// enter gives a call its place: in the window and in its people's order, or in a queue on disk behind those of its people that
// wait there.
func (n *intake) enter(j *job, now time.Time) {
	if n.p.checkpoint.isSuspect(j.pos) {
		j.ambiguous = true
		n.p.metrics.inDoubt.Inc()
	}
	j.entered = now
	n.p.window.add(j)
	if j.dead == "" && n.p.expiry.tooOld(j, now) {
		j.dead = adapter.TooOld
	}
	if n.p.parking.takesIn(j) {
		return
	}
	n.p.order.addTicket(j, now)
	n.p.parking.sweepSoon(now)
}

// detachWaiting frees the frames of the calls that wait for a destination which is not well.
func (n *intake) detachWaiting() {
	if n.p.dispatcher.breaker.Healthy() {
		return
	}
	for j := range n.p.window.all {
		j.detach()
	}
}

// detachFrame frees the frame that was taken in last.
func (n *intake) detachFrame(seq uint64) {
	for j := n.p.window.newest; j != nil && j.pos.Seq >= seq; j = j.older {
		j.detach()
	}
}
