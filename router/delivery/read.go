package delivery

import (
	"context"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/segment"
)

// prepared is a piece of a frame with a job for each of its calls, filtered and translated.
type prepared struct {
	frame *journal.Frame
	first bool // of the frame's pieces
	jobs  []*job
}

// pieceCalls is how many calls are prepared at once. What is ready before there is room for it takes memory that nobody counts.
const pieceCalls = 128

// read reads the log from a frame on and prepares it, a piece ahead of the loop.
func (p *Pipeline) read(ctx context.Context, from uint64) {
	frames := p.Read(from)
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
		piece := prepared{frame: frame, first: from == 0}
		piece.jobs, live = p.prepare(frame, from, live)
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

// prepare makes the jobs of the frame's next calls. live is how many bytes of its calls wait so far; with these that is
// what it returns.
func (p *Pipeline) prepare(frame *journal.Frame, from, live int) ([]*job, int) {
	jobs := make([]*job, min(len(frame.Entries)-from, pieceCalls))
	for i := range jobs {
		// Not one block for all: a call that waits long would keep the others in memory.
		j := &job{pos: journal.Position{Seq: frame.Seq, Index: from + i}, entry: &frame.Entries[from+i]}
		p.translate(j, func() (*segment.Call, error) { return frame.Call(from + i) })
		jobs[i] = j
		if len(j.outcome.Requests) > 0 {
			live += len(j.entry.JSON)
		}
	}
	if frame.Size() > pinnedShare*live {
		for _, j := range jobs {
			if len(j.outcome.Requests) > 0 {
				j.detach()
			}
		}
	}
	return jobs, live
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

// translate filters one call and asks the adapter what it means.
func (p *Pipeline) translate(j *job, decode func() (*segment.Call, error)) {
	e := j.entry
	j.Value = j
	defer j.measure()
	if e.Target != "" && e.Target != p.Destination.Name {
		j.skipped = true
		return
	}
	decision, reason := p.Destination.Filter(p.Allowed(e.Source), &e.Message)
	for _, code := range decision.Diagnostics {
		p.metrics.diagnostic(code)
	}
	if reason != "" {
		j.outcome = adapter.Drop(reason)
		return
	}
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
			j.merge = newMerge(m)
		}
	}
}

// begin takes up the next piece.
func (p *Pipeline) begin(next prepared) {
	if next.first {
		p.progress.Begin(next.frame)
	}
	p.unsaved = true
	p.current = next.jobs
}

// admit takes the current frame's calls in, in order, as far as the window has room.
func (p *Pipeline) admit(now time.Time) {
	for len(p.current) > 0 {
		if p.window.count >= p.Options.Window || p.window.count > 0 && p.bytesHeld() >= p.maxBytes() {
			return
		}
		j := p.current[0]
		p.current[0] = nil
		p.current = p.current[1:]
		switch {
		case p.progress.HasEnded(j.pos):
		case p.parkedBefore[j.pos]:
			p.progress.End(j.pos)
		default:
			p.enter(j, now)
		}
	}
}

// enter gives a call its place in the window and in its people's order. What is not to be sent ends at once, whatever its
// place: it changes nothing for anybody.
func (p *Pipeline) enter(j *job, now time.Time) {
	switch {
	case j.skipped:
		p.progress.End(j.pos)
		return
	case j.outcome.Dropped != "":
		p.end(j, outcomeDropped, string(j.outcome.Dropped))
		return
	}
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
	var ids [MaxIDs]string
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
