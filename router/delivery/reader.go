package delivery

import (
	"context"
	"time"

	"go.uber.org/zap"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/merges"
	"aka/router/segment"
)

// reader reads the log ahead of the loop, filters the calls and translates them.
type reader struct {
	destination *destinations.Destination
	// allowed returns the destinations that a source may use; none is all.
	allowed  func(source string) []string
	open     func(from uint64) Frames
	log      *zap.Logger
	metrics  *destinationMetrics
	incoming chan prepared
}

// prepared is a piece of a frame with its calls, filtered and translated.
type prepared struct {
	frame    *journal.Frame
	from     int // the first call's place in it
	arrivals []arrival
	// sparse, of the last piece: the calls of the frame which wait are too few to keep it in memory.
	sparse bool
}

// arrival is a call as it comes here: a job, or the reason why it is dropped, or neither where it is meant for another
// destination.
type arrival struct {
	job     *job
	entry   *journal.Entry
	dropped adapter.Reason
}

// pieceCalls is how many calls are prepared at once. What is ready before there is room for it takes memory that is not
// counted.
const pieceCalls = 128

// run reads the log from a frame on and prepares it, a piece ahead of the loop.
func (r *reader) run(ctx context.Context, from uint64) {
	frames := r.open(from)
	defer frames.Close()
	for {
		frame, err := frames.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.log.Warn("failed to read the journal, retrying", zap.Error(err), zap.String("hint", "check the disk"))
			if !pause(ctx, time.Second) {
				return
			}
			continue
		}
		if !r.prepareAll(ctx, frame) {
			return
		}
	}
}

// prepareAll hands a frame to the loop piece by piece, at least one. It returns false when ctx has ended.
func (r *reader) prepareAll(ctx context.Context, frame *journal.Frame) bool {
	for from, live := 0, 0; from == 0 || from < len(frame.Entries); from += pieceCalls {
		piece := prepared{frame: frame, from: from}
		piece.arrivals, live = r.prepare(frame, from, live)
		piece.sparse = from+len(piece.arrivals) == len(frame.Entries) && frame.Size() > pinnedShare*live
		select {
		case r.incoming <- piece:
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

// pinnedShare is how many times its own size a call that waits may keep of its frame.
const pinnedShare = 4

// prepare takes the frame's next calls. live is how many bytes of its calls wait so far; with these that is what it returns.
func (r *reader) prepare(frame *journal.Frame, from, live int) ([]arrival, int) {
	arrivals := make([]arrival, min(len(frame.Entries)-from, pieceCalls))
	for i := range arrivals {
		arrivals[i] = r.arrive(frame, from+i)
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
func (r *reader) arrive(frame *journal.Frame, i int) arrival {
	e := &frame.Entries[i]
	if e.Target != "" && e.Target != r.destination.Name {
		return arrival{}
	}
	decision, reason := r.filter(e)
	if reason != "" {
		return arrival{entry: e, dropped: reason}
	}
	// Not one block for all: a call that waits long would keep the others in memory.
	j := &job{pos: journal.Position{Seq: frame.Seq, Index: i}, entry: e}
	r.translate(j, decision, func() (*segment.Call, error) { return frame.Call(i) })
	if reason := j.outcome.Dropped; reason != "" {
		return arrival{entry: e, dropped: reason}
	}
	return arrival{job: j}
}

// filter returns why a call does not come here by its header alone, and otherwise how it does.
func (r *reader) filter(e *journal.Entry) (segment.Decision, adapter.Reason) {
	decision, reason := r.destination.Filter(r.allowed(e.Source), &e.Message)
	for _, code := range decision.Diagnostics {
		r.metrics.diagnostic(code)
	}
	return decision, reason
}

// translateAgain is for a call that was read back from a queue: what it is now may be something else.
func (r *reader) translateAgain(j *job) {
	decision, reason := r.filter(j.entry)
	if reason != "" {
		j.Value, j.outcome = j, adapter.Drop(reason)
		j.measure()
		return
	}
	r.translate(j, decision, j.entry.Decode)
}

// translate asks the adapter what a call means.
func (r *reader) translate(j *job, decision segment.Decision, decode func() (*segment.Call, error)) {
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
	j.outcome = r.destination.Translate(call)
	if j.outcome.Rejected != nil {
		j.dead, j.detail = adapter.Rejected, j.outcome.Rejected.Error()
	}
	if r.destination.RememberMerges && len(j.outcome.Requests) > 0 {
		if m, ok := r.destination.Merges(call); ok {
			j.merge = merges.NewMerge(m)
		}
	}
}
