package journal

import (
	"context"
	"errors"
	"sort"
	"strconv"
	"time"

	"aka/router/journal/engine"
	"aka/router/journal/frame"
)

// recoverWindow reads the dedupe window back from the log: the frames that were written within it, as far back as the keys of
// one generation have room.
func (c *committer) recoverWindow(ctx context.Context, first, last uint64) error {
	if last > 0 && last >= first {
		c.committed = c.committedAt(ctx, last)
	}
	if c.j.options.Dedupe <= 0 || last < first {
		return nil
	}
	from, err := c.windowBegin(ctx, first, last)
	if err != nil {
		return err
	}
	frames := make(chan engine.Frame, readAhead)
	failed := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { failed <- c.readWindow(ctx, from, last, frames) }()
	now := c.now()
	for raw := range frames {
		_, records, fields, err := frame.Unpack(raw.Data)
		if err != nil {
			continue // counted when a destination comes to it
		}
		c.windows.mark(raw.Seq, fields.Committed, c.j.options.Dedupe)
		c.hasher.each(records, func(k messageKey) { c.seen.add(k, now) })
	}
	return <-failed
}

// readAhead is how many frames are read before those that are taken in.
const readAhead = 4

// readWindow gives the frames from one to another, beside the work on them.
func (c *committer) readWindow(ctx context.Context, from, to uint64, frames chan<- engine.Frame) error {
	defer close(frames)
	reader := c.j.engine.Reader(from)
	defer reader.Close()
	for next := from; next <= to; {
		raw, err := reader.Next(ctx)
		if errors.Is(err, engine.ErrEnd) {
			return nil
		}
		if err != nil {
			return err
		}
		next = raw.Seq + 1
		if raw.Err != nil {
			continue
		}
		select {
		case frames <- raw:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// windowBegin returns the first frame that matters: neither older than the window, nor with more calls behind it than are
// remembered. Both times and counts rise along the log.
func (c *committer) windowBegin(ctx context.Context, first, last uint64) (seq uint64, err error) {
	oldest := c.now().Add(-c.j.options.Dedupe)
	calls := c.j.head.Calls - min(c.j.head.Calls, uint64(c.seen.maxKeys))
	n := sort.Search(int(last-first)+1, func(i int) bool {
		before, committed, ok := c.frameAt(ctx, first+uint64(i))
		return !ok || !committed.Before(oldest) && before >= calls
	})
	return first + uint64(n), ctx.Err()
}

// frameAt returns what the first readable frame at seq or behind it says of itself.
func (c *committer) frameAt(ctx context.Context, seq uint64) (before uint64, committed time.Time, ok bool) {
	reader := c.j.engine.Reader(seq)
	defer reader.Close()
	for range maxUnreadable {
		raw, err := reader.Next(ctx)
		if err != nil {
			return 0, time.Time{}, false
		}
		if raw.Err != nil {
			continue
		}
		if before, _, fields, err := frame.Unpack(raw.Data); err == nil {
			return before, fields.Committed, true
		}
	}
	return 0, time.Time{}, false
}

func (c *committer) committedAt(ctx context.Context, seq uint64) time.Time {
	_, committed, _ := c.frameAt(ctx, seq)
	return committed
}

// each calls visit for the key of each call in a frame's records that is looked for when another comes.
func (h keyHasher) each(records []byte, visit func(messageKey)) {
	frame.EachID(records, func(id frame.ID) {
		switch {
		case id.Replayed:
			visit(h.key("\x00"+string(id.Target), strconv.FormatUint(id.DeadLetterID, 10)))
		case len(id.Target) == 0:
			visit(keyOf(h, id.Source, id.MessageID))
		}
	})
}
