package keystore

import (
	"context"
	"sync"

	"aka/router/journal/engine"
)

// userCount counts the users of something that will be closed. A Scan's visits may be users again.
type userCount struct {
	mu     sync.Mutex
	users  int
	closed bool
	vacant chan struct{} // closed after close, once there are no users
}

func (u *userCount) init() { u.vacant = make(chan struct{}) }

// acquire counts one more user, or returns engine.ErrClosed after close.
func (u *userCount) acquire() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return engine.ErrClosed
	}
	u.users++
	return nil
}

func (u *userCount) release() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.users--
	u.closeIfUnused()
}

// close lets no more users in, and returns a channel that is closed when none is left.
func (u *userCount) close() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	u.closeIfUnused()
	return u.vacant
}

func (u *userCount) closeIfUnused() {
	if u.closed && u.users == 0 {
		close(u.vacant)
	}
}

// turn is a lock whose waiters can give up.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take returns nil with the turn, or an error without it: the context's, or engine.ErrFailed.
func (t turn) take(ctx context.Context, failed <-chan struct{}) error {
	select { // both may be ready below
	case <-failed:
		return engine.ErrFailed
	case <-ctx.Done():
		return ctx.Err()
	default:
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-failed:
		return engine.ErrFailed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) giveBack() { <-t }
