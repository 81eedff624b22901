package delivery

import (
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
)

// intake takes the log's calls in, as far as there is room.
type intake struct {
	p *Pipeline
	// current are the calls of the piece that is being taken in which are not in the window yet; next is the rank of the first, or
	// of the one that comes behind them.
	current []arrival
	next    journal.Rank
	// order is where the order can go on once they are taken in; zero where that is not known.
	order journal.Order
	// unsent is the job of a call that is not sent, which ends at once: most of a log may be such calls.
	unsent *job
}

// begin takes up the next piece of the log.
func (n *intake) begin(next prepared) {
	if next.begins != nil {
		n.p.checkpoint.progress.Begin(next.begins)
	}
	if next.sparse {
		n.detachSince(next.sparseFrom)
	}
	n.p.checkpoint.unsaved = true
	n.current, n.order = next.arrivals, next.order
}

// admit takes the current frame's calls in, in order, as far as the window has room.
func (n *intake) admit(now time.Time) {
	for len(n.current) > 0 && n.hasRoom(now) {
		a := n.current[0]
		n.current[0] = arrival{}
		n.current = n.current[1:]
		n.next = journal.Rank{Seq: a.rank.Seq + 1}
		switch {
		case n.p.checkpoint.progress.HasEnded(a.pos):
		case a.isForOthers(), n.p.parking.reader.isStored(a.pos):
			n.p.checkpoint.end(a.pos)
		case a.job == nil:
			// It ends at once, whatever its place: it changes nothing for others.
			n.p.merges.learnDropped(a.entry, a.dropped)
			n.drop(&a)
		default:
			n.enter(a.job, now)
		}
		n.p.order.takeTurns(now)
	}
	if len(n.current) == 0 && n.order.Frame != 0 {
		n.p.checkpoint.noteOrder(n.order)
		n.order = journal.Order{}
	}
}

// drop ends a call that is not sent, once it is kept where that is wanted.
func (n *intake) drop(a *arrival) {
	if n.unsent == nil {
		n.unsent = new(job)
	}
	j := n.unsent
	*j = job{pos: a.pos, rank: a.rank, entry: a.entry, outcome: adapter.Outcome{Dropped: a.dropped, Note: a.note}, newIDLost: a.newIDLost}
	if n.p.drops.keep(drop{job: j, reason: a.dropped}) {
		n.unsent = nil // it is in use
		return
	}
	n.p.order.end(j, settled, outcomeDropped, string(a.dropped))
	j.entry = nil
}

// downShare is what part of its memory a destination that is not well takes up: its backlog costs disk.
const downShare = 4

// hasRoom reports whether the window may take in one more call.
func (n *intake) hasRoom(now time.Time) bool {
	switch {
	case n.p.window.count >= n.windowSize(now), n.p.parking.isFull(), n.p.drops.isFull():
		return false
	case n.p.window.count == 0:
		return true
	case n.p.bytes() >= n.p.maxBytes():
		return false
	}
	// A destination that is not well takes less, once it has calls to be tried with. Where all wait for others, there may be
	// one behind them that is taken.
	return n.p.dispatcher.breaker.Healthy() || n.p.dispatcher.queue.empty() || n.p.window.bytes < n.p.maxBytes()/downShare
}

// windowSize is how many calls may be in memory. It is a quarter more while a destination that looks down takes an early probe:
// the calls that fill the window may all be those of people whose calls fail.
func (n *intake) windowSize(now time.Time) int {
	size := n.p.config.Options.Window
	if _, probes := n.p.dispatcher.breaker.EarlyProbe(now); probes {
		size += size / 4
	}
	return size
}

// enter gives a call its place: in the window and in its people's order, or in a queue on disk behind those of its people that
// wait there.
func (n *intake) enter(j *job, now time.Time) {
	if n.p.checkpoint.isPossiblyDelivered(j.pos) {
		j.possiblyDelivered = true
		n.p.metrics.afterCrash.Inc()
	}
	n.p.mergeGuard.underWay.isThere(j.pos)
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

// detachSince frees the frames of the calls that came in from a rank on.
func (n *intake) detachSince(rank journal.Rank) {
	for j := n.p.window.newest; j != nil && !j.rank.Before(rank); j = j.older {
		j.detach()
	}
}
