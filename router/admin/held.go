package admin

import (
	"context"
	"errors"
	"time"
)

// HeldLetters are the dead letters behind which calls wait, where a destination's on_dead is block. Such a call is not
// appended to the log again when it is replayed, but tried in its place, before those behind it.
type HeldLetters interface {
	// Holds tells whether calls wait until the dead letter of that id is replayed or discarded.
	Holds(id uint64) bool
	// Retry and Release have the call tried again, or let those behind it go, and return once that is safe on disk. The
	// dead letter itself stays, and is to be discarded then. held is false when no call waits for it: it is to be treated
	// as any other. An error that is ErrNotNow passes by itself.
	Retry(ctx context.Context, id uint64) (held bool, err error)
	Release(ctx context.Context, id uint64) (held bool, err error)
}

// ErrNotNow tells that something cannot be done at the moment.
var ErrNotNow = errors.New("not possible at the moment, try again")

// heldTimeout bounds the wait for a place on the disk.
const heldTimeout = 10 * time.Second

// retryHeld replays the dead letter when it is one behind which calls wait.
func (h *deadLetters) retryHeld(ctx context.Context, id uint64) (held bool, err error) {
	if h.held == nil {
		return false, nil
	}
	waiting, cancel := context.WithTimeout(ctx, heldTimeout)
	defer cancel()
	if held, err = h.held.Retry(waiting, id); err != nil || !held {
		return held, err
	}
	return true, h.journal.Discard(ctx, id)
}

// discardOne lets those go first that wait for the dead letter: without it, nobody could.
func (h *deadLetters) discardOne(ctx context.Context, id uint64) error {
	if h.held != nil {
		waiting, cancel := context.WithTimeout(ctx, heldTimeout)
		defer cancel()
		if _, err := h.held.Release(waiting, id); err != nil {
			return err
		}
	}
	return h.journal.Discard(ctx, id)
}
