package delivery

import (
	"context"
	"time"

	"go.uber.org/zap"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/reorder"
	"aka/router/segment"
)

// reader reads the log ahead of the loop, puts its calls in order, filters them and translates them.
type reader struct {
	destination *destinations.Destination
	// allowed returns the destinations that a source may use; none is all.
	allowed  func(source string) []string
	open     func(from uint64) Frames
	log      *zap.Logger
	metrics  *destinationMetrics
	newIDs   *newIDs
	merges   *mergeStore
	incoming chan prepared

	order *reorder.Order
	held  *heldFrames
	// floor is the first frame that may have a call that has not ended, and goesOn the one at which the order goes on.
	floor, goesOn uint64
	// noted is the log's time when a place was noted last at which the order can go on.
	noted time.Time
}

// prepared is a piece of what the log has, in order: calls, filtered and translated.
type prepared struct {
	// begins is the frame whose calls may be in this piece and later ones; nil where none begins.
	begins   *journal.Frame
	arrivals []arrival
	// sparse: the calls that wait of the frame that was read last are too few to keep it in memory. sparseFrom is the rank of
	// its first one.
	sparse     bool
	sparseFrom journal.Rank
	// order is where the order can go on, once these calls are taken in; zero where that was not noted.
	order journal.Order
}

// arrival is a call as it comes here: a job, or the reason why it is dropped, or neither where it is meant for another
// destination.
type arrival struct {
	pos       journal.Position
	rank      journal.Rank
	job       *job
	entry     *journal.Entry
	dropped   adapter.Reason
	note      string // of the drop
	newIDLost bool
}

// isForOthers reports whether the call is meant for another destination, or is lost.
func (a *arrival) isForOthers() bool { return a.job == nil && a.entry == nil }

// pieceCalls is how many calls are prepared at once. What is ready before there is room for it takes memory that is not
// counted.
const pieceCalls = 128

// resume prepares to read on from the progress of the run before. A place at which the order goes on that cannot be read costs
// the order of the calls that are held just there.
func (r *reader) resume(progress *journal.Progress) {
	r.floor, r.goesOn, r.order = progress.Floor(), progress.Floor(), reorder.New()
	saved := progress.Order()
	if saved.Frame == 0 || saved.Frame > r.floor {
		return
	}
	if r.goesOn = saved.Frame; len(saved.Encoded) == 0 {
		return
	}
	point, err := reorder.DecodePoint(saved.Encoded)
	if err != nil {
		r.log.Error("saved order is unreadable", zap.Error(err), zap.String("hint", "calls of devices that were held may be in their order of arrival; check the disk"))
		return
	}
	r.order = reorder.Resume(point)
}

// run reads the log from first on and prepares it, a piece ahead of the loop.
func (r *reader) run(ctx context.Context, first uint64) {
	frames := r.open(first)
	defer frames.Close()
	for {
		frame, mark, err := r.next(ctx, frames)
		if ctx.Err() != nil {
			return
		}
		more := true
		switch {
		case err != nil:
			r.log.Warn("failed to read the journal, retrying", zap.Error(err), zap.String("hint", "check the disk"))
			more = pause(ctx, time.Second)
		case frame == nil:
			r.order.Advance(mark)
			more = r.prepareAll(ctx, nil)
		case frame.Seq < r.goesOn:
			r.held.add(frame, r.order.Restore(frame))
		default:
			more = r.takeFrame(ctx, frame)
		}
		if !more {
			return
		}
	}
}

// takeFrame puts a frame's calls in order, and hands those to the loop that have their place.
func (r *reader) takeFrame(ctx context.Context, frame *journal.Frame) bool {
	r.order.Add(frame)
	return r.prepareAll(ctx, frame)
}

// next returns the next frame, or a mark when the oldest call that is held must go.
func (r *reader) next(ctx context.Context, frames Frames) (*journal.Frame, time.Time, error) {
	due, held := r.order.Due()
	if !held {
		return frames.NextBefore(ctx, time.Time{}, 0)
	}
	return frames.NextBefore(ctx, due, due.Sub(r.order.Now()))
}

// prepareAll hands the calls to the loop that have their place now, piece by piece. frame is the one that was read, nil when there
// was a mark. It returns false when ctx has ended.
func (r *reader) prepareAll(ctx context.Context, frame *journal.Frame) bool {
	b := pieceBuilder{reader: r, frame: frame}
	b.begin()
	for placed, ok := r.order.Next(); ok; placed, ok = r.order.Next() {
		if len(b.piece.arrivals) == pieceCalls {
			b.detachSparse()
			if !b.send(ctx) {
				return false
			}
		}
		b.add(ctx, placed)
	}
	b.end()
	if b.isEmpty() {
		return true
	}
	return b.send(ctx)
}

// pieceBuilder makes pieces of the calls that one frame or mark gives their places.
type pieceBuilder struct {
	reader *reader
	frame  *journal.Frame
	piece  prepared
	// Of the frame's own calls: how many have their place, how many bytes of them wait, and the rank of the first.
	placed, live int
	first        journal.Rank
}

func (b *pieceBuilder) begin() {
	if b.frame != nil && b.frame.Seq >= b.reader.floor {
		b.piece.begins = b.frame
	}
}

func (b *pieceBuilder) add(ctx context.Context, placed reorder.Placed) {
	if b.piece.arrivals == nil && b.frame != nil {
		b.piece.arrivals = make([]arrival, 0, min(max(len(b.frame.Entries)-b.placed, 1), pieceCalls))
	}
	if placed.Held {
		a := b.reader.arrive(b.reader.held.take(ctx, placed.Position.Seq), placed)
		if a.job != nil { // its frame may be large, and the other calls of it gone
			a.job.detach()
		}
		b.piece.arrivals = append(b.piece.arrivals, a)
		return
	}
	a := b.reader.arrive(b.frame, placed)
	if b.placed == 0 {
		b.first = placed.Rank
	}
	b.placed++
	if a.isLive() {
		b.live += len(a.job.entry.JSON)
	}
	b.piece.arrivals = append(b.piece.arrivals, a)
}

func (a *arrival) isLive() bool { return a.job != nil && len(a.job.outcome.Requests) > 0 }

// pinnedShare is how many times its own size a call that waits may keep of its frame.
const pinnedShare = 4

// detachSparse frees the frame of the piece's calls where too few of those seen so far wait. Should too little come behind these,
// they are freed with the last piece.
func (b *pieceBuilder) detachSparse() {
	if b.frame == nil || b.frame.Size()/max(len(b.frame.Entries), 1)*b.placed <= pinnedShare*b.live {
		return
	}
	for _, a := range b.piece.arrivals {
		if a.pos.Seq == b.frame.Seq && a.isLive() {
			a.job.detach()
		}
	}
}

// end completes the last piece.
func (b *pieceBuilder) end() {
	b.detachSparse()
	if b.frame != nil {
		b.piece.sparse, b.piece.sparseFrom = b.placed > 0 && b.frame.Size() > pinnedShare*b.live, b.first
		b.reader.held.add(b.frame, len(b.frame.Entries)-b.placed)
	}
	b.piece.order = b.reader.noteOrder(b.frame)
}

// isEmpty reports whether the piece says nothing.
func (b *pieceBuilder) isEmpty() bool {
	return b.piece.begins == nil && len(b.piece.arrivals) == 0 && b.piece.order.Frame == 0
}

// send hands the piece to the loop, and begins the next. It returns false when ctx has ended.
func (b *pieceBuilder) send(ctx context.Context) bool {
	select {
	case b.reader.incoming <- b.piece:
		b.piece = prepared{}
		return true
	case <-ctx.Done():
		return false
	}
}

// noteEvery is how far the log's time moves between two places that are noted at which the order can go on, while calls are held.
const noteEvery = 250 * time.Millisecond

// noteOrder returns where the order can go on behind the frame that was read last, where that is worth it now.
func (r *reader) noteOrder(frame *journal.Frame) journal.Order {
	if frame != nil {
		r.goesOn = frame.Seq + 1
	}
	if r.order.IsIdle() {
		return journal.Order{Frame: r.goesOn, First: r.goesOn}
	}
	if r.order.Now().Sub(r.noted) < noteEvery {
		return journal.Order{}
	}
	r.noted = r.order.Now()
	point := r.order.Point(r.goesOn)
	return journal.Order{Frame: r.goesOn, First: point.First(), Encoded: point.Encode()}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// arrive makes a job of a call, but for one that is not to be sent, which is to cost next to nothing. frame is nil where the log
// has lost it.
func (r *reader) arrive(frame *journal.Frame, placed reorder.Placed) arrival {
	a := arrival{pos: placed.Position, rank: placed.Rank}
	if frame == nil || a.pos.Index >= len(frame.Entries) || a.pos.Seq < r.floor {
		return a
	}
	e := &frame.Entries[a.pos.Index]
	if e.Target != "" && e.Target != r.destination.Name {
		return a
	}
	r.merges.seen(e)
	decision, reason, err := r.filter(e)
	if reason == "" && placed.Reversed {
		reason = adapter.ReversedInBrowser
	}
	if reason != "" {
		a.entry, a.dropped = e, reason
		return a
	}
	// Not one block for all: a call that waits long would keep the others in memory.
	j := &job{pos: a.pos, rank: a.rank, entry: e}
	if err != nil {
		j.reject(err)
	} else {
		r.translate(j, decision, func() (*segment.Call, error) { return frame.Call(a.pos.Index) })
	}
	r.tellIgnored(j)
	if reason := j.outcome.Dropped; reason != "" {
		a.entry, a.dropped, a.note, a.newIDLost = e, reason, j.outcome.Note, j.newIDLost
		return a
	}
	a.job = j
	return a
}

// filter returns why a call does not come here by its header alone, and otherwise how it does. The error is that of the destination's
// own filter.
func (r *reader) filter(e *journal.Entry) (segment.Decision, adapter.Reason, error) {
	decision, reason, err := r.destination.Filter(r.allowed(e.Source), &e.Message)
	for _, code := range decision.Diagnostics {
		r.metrics.diagnostic(code)
	}
	return decision, reason, err
}

// tellIgnored counts and logs the options of a call that make no sense.
func (r *reader) tellIgnored(j *job) {
	for _, path := range j.outcome.Ignored {
		r.metrics.ignored.Inc()
		r.log.Debug("ignored a malformed option", zap.String("option", path), zap.Stringer("type", j.entry.Type), zap.String("message_id", j.entry.MessageID))
	}
}

// translateAgain is for a call that was read back from a queue: what it is now may be something else.
func (r *reader) translateAgain(j *job) {
	decision, reason, err := r.filter(j.entry)
	switch {
	case reason != "":
		j.Value, j.outcome = j, adapter.Drop(reason)
		j.measure()
	case err != nil:
		j.reject(err)
	default:
		r.translate(j, decision, j.entry.Decode)
	}
}

// reject makes a dead letter of a call that the destination's filter fails for: whether it should go is not known.
func (j *job) reject(err error) {
	j.Value, j.outcome = j, adapter.Reject(err)
	j.dead, j.detail = adapter.Rejected, err.Error()
	j.measure()
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
	call, reason, err := r.destination.Prepare(call)
	switch {
	case err != nil:
		j.outcome = adapter.Reject(err)
	case reason != "":
		j.outcome = adapter.Drop(reason)
	default:
		j.outcome = r.destination.Translate(call)
		r.newIDs.translated(j, call)
	}
	if j.outcome.Rejected != nil {
		j.dead, j.detail = adapter.Rejected, j.outcome.Rejected.Error()
	}
	if len(j.outcome.Requests) > 0 {
		r.merges.mergeOf(j, call)
	}
}
