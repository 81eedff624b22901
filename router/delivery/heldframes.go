package delivery

import (
	"context"
	"slices"
	"time"

	"aka/router/journal"
)

// maxHeldBytes bounds the frames that are in memory because calls of theirs are held for their order. What is above that is read
// again when its calls have their place.
const maxHeldBytes = 4 << 20

// maxReread is how many of the frames that were read again are in memory: calls of few frames stand side by side in the order.
const maxReread = 8

// heldFrames are the frames that have calls which are held.
type heldFrames struct {
	open   func(from uint64) Frames
	frames map[uint64]*heldFrame
	bytes  int
	reread []*journal.Frame // the newest last
}

type heldFrame struct {
	frame *journal.Frame // nil when it is not in memory
	calls int            // that are held
}

func newHeldFrames(open func(from uint64) Frames) *heldFrames {
	return &heldFrames{open: open, frames: map[uint64]*heldFrame{}}
}

// add keeps a frame of which so many calls are held.
func (h *heldFrames) add(f *journal.Frame, calls int) {
	if calls == 0 {
		return
	}
	held := &heldFrame{calls: calls}
	if h.bytes+f.Size() <= maxHeldBytes {
		held.frame = f
		h.bytes += f.Size()
	}
	h.frames[f.Seq] = held
}

// take returns the frame of a call that was held; nil when the log has lost it.
func (h *heldFrames) take(ctx context.Context, seq uint64) *journal.Frame {
	held := h.frames[seq]
	if held == nil {
		return nil
	}
	f := held.frame
	if f == nil {
		f = h.again(ctx, seq)
	}
	if held.calls--; held.calls == 0 {
		delete(h.frames, seq)
		if held.frame != nil {
			h.bytes -= f.Size()
		}
	}
	return f
}

// again returns a frame that is not kept.
func (h *heldFrames) again(ctx context.Context, seq uint64) *journal.Frame {
	i := slices.IndexFunc(h.reread, func(f *journal.Frame) bool { return f.Seq == seq })
	if i >= 0 {
		return h.reread[i]
	}
	f := h.read(ctx, seq)
	if f == nil {
		return nil
	}
	if len(h.reread) == maxReread {
		h.reread = slices.Delete(h.reread, 0, 1)
	}
	h.reread = append(h.reread, f)
	return f
}

// read reads a frame again.
func (h *heldFrames) read(ctx context.Context, seq uint64) *journal.Frame {
	frames := h.open(seq)
	defer frames.Close()
	for {
		f, _, err := frames.NextBefore(ctx, time.Time{}, 0)
		switch {
		case err != nil && ctx.Err() == nil && pause(ctx, storageRetry):
		case err != nil, f.Seq != seq:
			return nil
		default:
			return f
		}
	}
}
