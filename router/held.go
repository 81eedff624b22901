package router

import (
	"context"
	"fmt"

	"aka/router/admin"
	"aka/router/delivery"
)

// heldLetters are the dead letters behind which calls wait, of all destinations.
type heldLetters struct{ router *Router }

// Holds implements admin.HeldLetters.
func (h heldLetters) Holds(id uint64) bool {
	if !h.router.started.Load() {
		return false
	}
	for _, p := range h.router.fleet.all() {
		if p.Blocks(id) {
			return true
		}
	}
	return false
}

// Retry implements admin.HeldLetters.
func (h heldLetters) Retry(ctx context.Context, id uint64) (held bool, err error) {
	return h.ask(func(p *delivery.Pipeline) (bool, error) { return p.Retry(ctx, id) })
}

// Release implements admin.HeldLetters.
func (h heldLetters) Release(ctx context.Context, id uint64) (held bool, err error) {
	return h.ask(func(p *delivery.Pipeline) (bool, error) { return p.Release(ctx, id) })
}

// ask asks each pipeline, until one has the dead letter.
func (h heldLetters) ask(do func(*delivery.Pipeline) (held bool, err error)) (held bool, err error) {
	if !h.router.started.Load() {
		return false, errNotRunning
	}
	for _, p := range h.router.fleet.all() {
		if held, err := do(p); err != nil {
			return false, fmt.Errorf("%w: %w", admin.ErrNotNow, err)
		} else if held {
			return true, nil
		}
	}
	return false, nil
}
