package delivery

import (
	"context"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/merges"
	"aka/router/segment"
	"aka/router/sequencer"
)

// prepared is a piece of a frame with its calls, filtered and translated.
type prepared struct {
	frame    *journal.Frame
	from     int // the first call's place in it
	arrivals []arrival
	// sparse tells, of the last piece, that the calls of the frame which wait are too few to keep it in memory.
	sparse bool
}

// arrival is a call as it comes here: a job, or the reason why it is dropped, or neither where it is meant for another
// destination.
type arrival struct {
	job     *job
	entry   *journal.Entry
	dropped adapter.Reason
}

// pieceCalls is how many calls are prepared at once. What is ready before there is room for it takes memory that nobody counts.
const pieceCalls = 128

// read reads the log from a frame on and prepares it, a piece ahead of the loop.
func (p *Pipeline) read(ctx context.Context, from uint64) {
	frames := p.Read(from)
	defer frames.Close()
	for {
		frame, err := frames.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p.log.Warn("the journal cannot be read; trying again: does the disk work?", zap.Error(err))
			if !pause(ctx, time.Second) {
				return
			}
			continue
		}
		if !p.prepareAll(ctx, frame) {
			return
		}
	}
}

// prepareAll hands a frame to the loop piece by piece, at least one. It returns false when ctx has ended.
func (p *Pipeline) prepareAll(ctx context.Context, frame *journal.Frame) bool {
	for from, live := 0, 0; from == 0 || from < len(frame.Entries); from += pieceCalls {
		piece := prepared{frame: frame, from: from}
		piece.arrivals, live = p.prepare(frame, from, live)
		piece.sparse = from+len(piece.arrivals) == len(frame.Entries) && frame.Size() > pinnedShare*live
		select {
		case p.incoming <- piece:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// prepare takes the frame's next calls. live is how many bytes of its calls wait so far; with these that is what it returns.
func (p *Pipeline) prepare(frame *journal.Frame, from, live int) ([]arrival, int) {
	arrivals := make([]arrival, min(len(frame.Entries)-from, pieceCalls))
	for i := range arrivals {
		arrivals[i] = p.arrive(frame, from+i)
		if j := arrivals[i].job; j != nil && len(j.outcome.Requests) > 0 {
			live += len(j.entry.JSON)
		}
	}
	// As far as it is seen: should too little come behind these, they are freed with the last piece.
	if seen := frame.Size() / max(len(frame.Entries), 1) * (from + len(arrivals)); seen > pinnedShare*live {
		for _, a := range arrivals {
			if a.job != nil && len(a.job.outcome.Requests) > 0 {
				a.job.detach()
			}
		}
	}
	return arrivals, live
}

// arrive makes a job of a call, but for one that is not to be sent, which is to cost next to nothing.
func (p *Pipeline) arrive(frame *journal.Frame, i int) arrival {
	e := &frame.Entries[i]
	if e.Target != "" && e.Target != p.Destination.Name {
		return arrival{}
	}
	decision, reason := p.filter(e)
	if reason != "" {
		return arrival{entry: e, dropped: reason}
	}
	// Not one block for all: a call that waits long would keep the others in memory.
	j := &job{pos: journal.Position{Seq: frame.Seq, Index: i}, entry: e}
	p.translate(j, decision, func() (*segment.Call, error) { return frame.Call(i) })
	if reason := j.outcome.Dropped; reason != "" {
		return arrival{entry: e, dropped: reason}
	}
	return arrival{job: j}
}

// pinnedShare is how many times its own size a call that waits may keep of its frame.
const pinnedShare = 4

// detachWaiting frees the frames of the calls that wait for a destination which is not well.
func (p *Pipeline) detachWaiting() {
	if p.gate.well() {
		return
	}
	for j := p.window.oldest; j != nil; j = j.newer {
		j.detach()
	}
}

// detachFrame frees the frame that was taken in last.
func (p *Pipeline) detachFrame(seq uint64) {
	for j := p.window.newest; j != nil && j.pos.Seq >= seq; j = j.older {
		j.detach()
	}
}

// filter tells why a call does not come here by its header alone, and otherwise how it does.
func (p *Pipeline) filter(e *journal.Entry) (segment.Decision, adapter.Reason) {
	decision, reason := p.Destination.Filter(p.Allowed(e.Source), &e.Message)
	for _, code := range decision.Diagnostics {
		p.metrics.diagnostic(code)
	}
	return decision, reason
}

// translateAgain is for a call that was kept aside: what it is now may be something else.
func (p *Pipeline) translateAgain(j *job) {
	decision, reason := p.filter(j.entry)
	if reason != "" {
		j.Value, j.outcome = j, adapter.Drop(reason)
		j.measure()
		return
	}
	p.translate(j, decision, j.entry.Decode)
}

// translate asks the adapter what a call means.
func (p *Pipeline) translate(j *job, decision segment.Decision, decode func() (*segment.Call, error)) {
	j.Value = j
	defer j.measure()
	call, err := decode()
	if err != nil {
		j.dead, j.detail = adapter.Undecodable, err.Error()
		return
	}
	if decision.Options != nil {
		// The frame's call is shared with the other destinations.
		own := *call
		own.Options = decision.Options
		call = &own
	}
	j.outcome = p.Destination.Translate(call)
	if j.outcome.Rejected != nil {
		j.dead, j.detail = adapter.Rejected, j.outcome.Rejected.Error()
	}
	if p.Destination.RememberMerges && len(j.outcome.Requests) > 0 {
		if m, ok := p.Destination.Merges(call); ok {
			j.merge = merges.NewMerge(m)
		}
	}
}

// begin takes up the next piece.
func (p *Pipeline) begin(next prepared) {
	if next.from == 0 {
		p.progress.Begin(next.frame)
	}
	if next.sparse {
		p.detachFrame(next.frame.Seq)
	}
	p.unsaved = true
	p.current, p.currentPos = next.arrivals, journal.Position{Seq: next.frame.Seq, Index: next.from}
}

// admit takes the current frame's calls in, in order, as far as the window has room.
func (p *Pipeline) admit(now time.Time) {
	for len(p.current) > 0 {
		if p.window.count >= p.Options.Window || p.window.count > 0 && (p.bytesHeld() >= p.maxBytes() || p.holdsEnough()) {
			return
		}
		a, pos := p.current[0], p.currentPos
		p.current[0] = arrival{}
		p.current = p.current[1:]
		p.currentPos.Index++
		switch {
		case p.progress.HasEnded(pos):
		case p.parkedBefore[pos], a == arrival{}:
			p.progress.End(pos)
		case a.job == nil:
			// It ends at once, whatever its place: it changes nothing for anybody.
			p.end(&job{pos: pos, entry: a.entry}, outcomeDropped, string(a.dropped))
		default:
			p.enter(a.job, now)
		}
	}
}

// downShare is what part of its memory a destination that is not well takes up: its backlog costs disk.
const downShare = 4

// holdsEnough tells whether the destination is not well and has calls to be tried with. Where all wait for others, there may
// be one behind them that is taken.
func (p *Pipeline) holdsEnough() bool {
	return !p.gate.well() && !p.queue.empty() && p.window.bytes >= p.maxBytes()/downShare
}

// enter gives a call its place in the window and in its people's order.
func (p *Pipeline) enter(j *job, now time.Time) {
	if j.pos.Seq < p.suspectBelow {
		j.ambiguous = true
		p.metrics.inDoubt.Inc()
	}
	j.entered = now
	p.window.add(j)
	if j.dead == "" && p.tooOld(j, now) {
		j.dead = adapter.TooOld
	}
	if !p.addTicket(j) {
		j.detach()
		p.sawWaiting(j)
		p.buryInPlace(j, now)
		return
	}
	p.advance(j, now)
}

// addTicket queues the call behind those of the same people, and tells whether it may go at once.
func (p *Pipeline) addTicket(j *job) bool {
	if p.order() == adapter.OrderNone {
		return p.sequencer.Add(&j.Ticket, nil, false)
	}
	var ids [sequencer.MaxIDs]string
	return p.sequencer.Add(&j.Ticket, j.entry.IDs(ids[:0]), p.exclusive(j.entry.Type))
}

// advance sends a call on whose turn it is: to the queue, to its grave, or nowhere, where it would merge what is merged.
func (p *Pipeline) advance(j *job, now time.Time) {
	switch {
	case j.parking || j.burying || j.held:
		return // what stores it goes on with it, or its operator
	case j.dead != "":
		p.bury(j, now)
	case p.dropsMerge(j, now):
		// its end comes
	case p.mustWaitForSave(j):
		p.awaitSave(j, now)
	default:
		p.queue.push(j, now)
		p.sawQueued(j)
	}
}

// tooOld tells whether a call has waited for longer than the backlog may. One that was replayed waits anew, or it would die
// at once.
func (p *Pipeline) tooOld(j *job, now time.Time) bool {
	if j.entry.Target != "" || j.letter != 0 {
		return p.overAge(j.entered, now)
	}
	return p.overAge(j.entry.ReceivedAt, now)
}

func (p *Pipeline) overAge(since, now time.Time) bool {
	return p.Options.MaxBacklogAge > 0 && now.Sub(since) > p.Options.MaxBacklogAge
}
