package admin

import (
	"context"
	"errors"
	"time"
)

// BlockingDeadLetters are the dead letters behind which calls wait, where a destination's on_dead is block. Such a call is not
// appended to the log again when it is replayed, but tried in its place, before those behind it.
type BlockingDeadLetters interface {
	// Blocks reports whether calls wait until the dead letter of that id is replayed or discarded.
	Blocks(id uint64) bool
	// Retry and Release have the call tried again, or let those behind it go, and return once that is safe on disk. The
	// dead letter itself stays, and is to be discarded then. blocks is false when no call waits for it: it is to be treated
	// as any other. An error that is ErrNotNow passes by itself.
	Retry(ctx context.Context, id uint64) (blocks bool, err error)
	Release(ctx context.Context, id uint64) (blocks bool, err error)
}

// ErrNotNow tells that something cannot be done at the moment.
var ErrNotNow = errors.New("not possible at the moment, try again")

// decisionTimeout bounds the wait for a place on the disk.
const decisionTimeout = 10 * time.Second

// retryBlocking replays the dead letter when it is one behind which calls wait.
func (h *deadLetters) retryBlocking(ctx context.Context, id uint64) (blocks bool, err error) {
	if h.blocking == nil {
		return false, nil
	}
	waiting, cancel := context.WithTimeout(ctx, decisionTimeout)
	defer cancel()
	if blocks, err = h.blocking.Retry(waiting, id); err != nil || !blocks {
		return blocks, err
	}
	return true, h.remove(ctx, id)
}

// discardOne first releases the calls that wait for the dead letter: without it, nothing else could.
func (h *deadLetters) discardOne(ctx context.Context, id uint64) error {
	if h.blocking != nil {
		waiting, cancel := context.WithTimeout(ctx, decisionTimeout)
		defer cancel()
		if _, err := h.blocking.Release(waiting, id); err != nil {
			return err
		}
	}
	return h.remove(ctx, id)
}
