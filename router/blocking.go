package router

import (
	"context"
	"fmt"

	"aka/router/admin"
	"aka/router/delivery"
)

// blockingDeadLetters are the dead letters behind which calls wait, of all destinations.
type blockingDeadLetters struct{ router *Router }

// Blocks implements admin.BlockingDeadLetters.
func (b blockingDeadLetters) Blocks(id uint64) bool {
	if !b.router.started.Load() {
		return false
	}
	for _, p := range b.router.fleet.all() {
		if p.Blocks(id) {
			return true
		}
	}
	return false
}

// Retry implements admin.BlockingDeadLetters.
func (b blockingDeadLetters) Retry(ctx context.Context, id uint64) (blocks bool, err error) {
	return b.ask(func(p *delivery.Pipeline) (bool, error) { return p.Retry(ctx, id) })
}

// Release implements admin.BlockingDeadLetters.
func (b blockingDeadLetters) Release(ctx context.Context, id uint64) (blocks bool, err error) {
	return b.ask(func(p *delivery.Pipeline) (bool, error) { return p.Release(ctx, id) })
}

// ask asks each pipeline, until one has the dead letter.
func (b blockingDeadLetters) ask(do func(*delivery.Pipeline) (blocks bool, err error)) (blocks bool, err error) {
	if !b.router.started.Load() {
		return false, errNotRunning
	}
	for _, p := range b.router.fleet.all() {
		if blocks, err := do(p); err != nil {
			return false, fmt.Errorf("%w: %w", admin.ErrNotNow, err)
		} else if blocks {
			return true, nil
		}
	}
	return false, nil
}
