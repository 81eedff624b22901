package journal

import (
	"context"
	"errors"
	"sync"
	"time"
	"unsafe"
	"weak"

	"aka/router/journal/engine"
	"aka/router/journal/frame"
	"aka/router/journal/records"
)

// Reader gives a log's frames in order. It belongs to one goroutine, which closes it.
type Reader struct {
	j      *Journal
	next   uint64
	stored engine.Reader
	at     uint64 // the frame that stored gives next
	lost   bool   // frames were passed over since the last that was given
}

// ReadFrom returns a reader whose first frame is the one at seq, or the first one after it that the log still has.
func (j *Journal) ReadFrom(seq uint64) *Reader {
	seq = max(seq, 1)
	return &Reader{j: j, next: seq, stored: j.engine.Reader(seq), at: seq}
}

// Next returns the next frame, waiting for it if need be. Recent frames come from memory and are shared by all readers;
// older ones are read from the store. What cannot be read any more is counted, logged and passed over; where that was the
// log's end, an empty frame represents it. The error is that of the context, or the store's.
func (r *Reader) Next(ctx context.Context) (*Frame, error) {
	f, _, err := r.NextBefore(ctx, time.Time{}, 0)
	return f, err
}

// NextBefore returns the next frame as Next does. Where none comes that was written before due, it returns a mark instead: a time,
// not before due, before which no frame to come was or will be written. left is how far the log's time was from due when the
// last frame was written: it waits no longer, also when the clock is set back. Without a due it waits for a frame.
func (r *Reader) NextBefore(ctx context.Context, due time.Time, left time.Duration) (f *Frame, mark time.Time, err error) {
	for began := time.Now(); ; {
		f, arrived, err := r.tryNext(ctx)
		if f != nil || err != nil {
			return f, time.Time{}, err
		}
		wait := min(left-time.Since(began), time.Until(due))
		if !due.IsZero() && wait <= 0 {
			if mark, next := r.j.commits.mark(ctx, due); next == r.next {
				return nil, mark, nil
			}
			wait = retryMark
		}
		if err := r.await(ctx, arrived, due, wait); err != nil {
			return nil, time.Time{}, err
		}
	}
}

// retryMark is the wait for another mark, where a write is unsure.
const retryMark = 20 * time.Millisecond

// await waits for the next frame, or until it may be due.
func (r *Reader) await(ctx context.Context, arrived <-chan struct{}, due time.Time, wait time.Duration) error {
	var passed <-chan time.Time
	if !due.IsZero() {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		passed = timer.C
	}
	select {
	case <-arrived:
	case <-passed:
	case <-ctx.Done():
		r.Close()
		return ctx.Err()
	}
	return nil
}

// tryNext returns the next frame, or nil and what closes when there may be one.
func (r *Reader) tryNext(ctx context.Context) (f *Frame, arrived <-chan struct{}, err error) {
	for {
		f, head, arrived := r.j.lookup(r.next)
		switch {
		case f != nil:
			r.next, r.lost = r.next+1, false
			r.Close()
			return f, nil, nil
		case r.next > head.Seq && r.lost:
			r.lost = false
			return frame.New(head.Seq, head.Calls, nil, 0), nil, nil
		case r.next > head.Seq:
			return nil, arrived, nil
		}
		if f, err = r.fromStore(ctx, head.Seq); f != nil {
			r.lost = false
		}
		if f != nil || err != nil {
			return f, nil, err
		}
	}
}

// Close releases the file that it reads. It may be called again.
func (r *Reader) Close() { r.stored.Close() }

// fromStore returns the next frame from the store, or nil when it had to pass over something.
func (r *Reader) fromStore(ctx context.Context, head uint64) (*Frame, error) {
	if f := r.j.passed.at(r.next); f != nil {
		r.next++
		return f, nil
	}
	if r.at != r.next {
		r.stored.Seek(r.next)
	}
	raw, err := r.stored.Next(ctx)
	switch {
	case errors.Is(err, engine.ErrEnd):
		r.skipTo(head + 1)
		return nil, nil
	case err != nil:
		r.at = 0 // wherever it is now
		return nil, err
	case raw.Seq > r.next:
		r.skipTo(raw.Seq)
	}
	r.next, r.at = raw.Seq+1, raw.Seq+1
	f, err := decoded(raw)
	if err != nil {
		r.j.reportDamage(raw.Seq, err)
		r.lost = true
		return nil, nil
	}
	f.DecodePerReader()
	r.j.passed.add(f)
	return f, nil
}

// decoded decodes a stored frame.
func decoded(raw engine.Frame) (*Frame, error) {
	if raw.Err != nil {
		return nil, raw.Err
	}
	return frame.Decode(raw.Seq, raw.Data)
}

func (r *Reader) skipTo(seq uint64) {
	r.j.reportGap(r.next, seq)
	r.next, r.lost = seq, true
}

// lookup returns the frame at seq if it is recent, the log's end, and what closes when that moves.
func (j *Journal) lookup(seq uint64) (f *Frame, head records.Head, arrived <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.recent.at(seq), j.head, j.arrived
}

// recentFrames keeps the newest frames, decoded, for the readers at the head of the log.
type recentFrames struct {
	frames []*Frame // of consecutive sequences
	size   int
}

// maxRecent bounds the recent frames by their size on disk. In memory they take several times as much, and a reader that is
// farther behind reads them from disk in little time.
const maxRecent = 2 << 20

func (c *recentFrames) add(f *Frame) {
	if n := len(c.frames); n > 0 && c.frames[n-1].Seq+1 != f.Seq {
		c.frames, c.size = nil, 0
	}
	c.frames = append(c.frames, f)
	c.size += f.Size()
	for c.size > maxRecent && len(c.frames) > 1 {
		c.size -= c.frames[0].Size()
		c.frames[0] = nil
		c.frames = c.frames[1:]
	}
}

func (c *recentFrames) at(seq uint64) *Frame {
	if len(c.frames) == 0 || seq < c.frames[0].Seq || seq > c.frames[len(c.frames)-1].Seq {
		return nil
	}
	return c.frames[seq-c.frames[0].Seq]
}

// passedFrames knows the frames that were read from disk last, for other readers at about the same place. It keeps none of
// them in memory: they are there while one of their calls waits somewhere, or until the collector comes.
type passedFrames struct {
	mu     sync.Mutex
	frames [maxPassed]passedFrame // each in the place that its sequence gives it
}

// maxPassed is more frames than the calls that wait for a destination are in.
const maxPassed = 256

// passedFrame is a frame without its entries.
type passedFrame struct {
	seq, before uint64
	committed   time.Time
	size        int
	first       weak.Pointer[Entry]
	entries     int
}

func (p *passedFrames) add(f *Frame) {
	if len(f.Entries) == 0 {
		return
	}
	passed := passedFrame{f.Seq, f.Before, f.Committed, f.Size(), weak.Make(&f.Entries[0]), len(f.Entries)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames[f.Seq%maxPassed] = passed
}

// at returns the frame at seq, or nil. It has more than one reader, and yet each decodes its calls for itself: they would be
// in memory for as long as the frame.
func (p *passedFrames) at(seq uint64) *Frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &p.frames[seq%maxPassed]
	if f.seq != seq {
		return nil
	}
	first := f.first.Value()
	if first == nil {
		return nil
	}
	return frame.NewDecodedPerReader(f.seq, f.before, f.committed, unsafe.Slice(first, f.entries), f.size)
}
