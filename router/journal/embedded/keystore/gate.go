package keystore

import (
	"context"
	"sync"

	"aka/router/journal/engine"
)

// gate counts the users of something that will be closed. Visits of a Scan may enter again.
type gate struct {
	mu     sync.Mutex
	users  int
	shut   bool
	vacant chan struct{} // closed once it is shut and has no users
}

func (g *gate) init() { g.vacant = make(chan struct{}) }

// enter returns engine.ErrClosed once the gate was shut.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return engine.ErrClosed
	}
	g.users++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.users--
	g.closeIfUnused()
}

// close shuts the gate and returns a channel that is closed when all users have left.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	g.closeIfUnused()
	return g.vacant
}

func (g *gate) closeIfUnused() {
	if g.shut && g.users == 0 {
		close(g.vacant)
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
