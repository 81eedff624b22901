package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"aka/router/admin"
	"aka/router/config"
)

// Pause keeps a destination from being sent anything, or lets it go on, and returns once that is safe on disk: it holds over
// restarts. What is in flight ends; what is accepted waits in the journal.
func (r *Router) Pause(name string, paused bool) error {
	if !r.started.Load() {
		return errNotRunning
	}
	if err := r.fleet.pause(name, paused); err != nil {
		return err
	}
	if paused {
		r.log.Warn("destination paused, its calls wait", zap.String("destination", name))
	} else {
		r.log.Info("destination resumed", zap.String("destination", name))
	}
	return nil
}

// ResumeAnyway has a destination that refuses every call be sent the calls that wait, which may become dead letters. refusing is
// false when it is in another state.
func (r *Router) ResumeAnyway(ctx context.Context, name string) (refusing bool, err error) {
	if !r.started.Load() {
		return false, errNotRunning
	}
	p := r.fleet.all()[name]
	if p == nil {
		return false, fmt.Errorf("%w: %s", admin.ErrNoDestination, name)
	}
	if refusing, err = p.ResumeAnyway(ctx); refusing {
		r.log.Warn("refusing destination resumed", zap.String("destination", name))
	}
	return refusing, err
}

// Forget drops the calls that wait for a removed destination, and returns how many there were. Its
// dead letters stay.
func (r *Router) Forget(ctx context.Context, name string) (calls uint64, err error) {
	r.fleet.changing.Lock()
	defer r.fleet.changing.Unlock()
	if !r.started.Load() {
		return 0, errNotRunning
	}
	if r.Config().Running()[name] != nil {
		return 0, fmt.Errorf("%w: %s", admin.ErrConfigured, name)
	}
	calls, err = r.fleet.forget(ctx, name)
	if err != nil {
		return 0, err
	}
	r.log.Warn("removed destination forgotten, its calls dropped", zap.String("destination", name), zap.Uint64("calls", calls))
	return calls, nil
}

// Drain takes no more calls, and once every call has ended at every configured destination Drained says so.
func (r *Router) Drain() error {
	if !r.started.Load() {
		return errNotRunning
	}
	r.drainChanges.Lock()
	defer r.drainChanges.Unlock()
	if r.draining.Swap(true) {
		return nil
	}
	r.ingress.Drain(true)
	r.log.Warn("draining, new calls are refused", zap.String("hint", "the process ends when all calls have ended"))
	r.background.Go(r.drain)
	return nil
}

// CancelDrain takes calls again, unless it is too late.
func (r *Router) CancelDrain() error {
	r.drainChanges.Lock()
	defer r.drainChanges.Unlock()
	if !r.started.Load() || r.drained.Load() {
		return errNotRunning
	}
	if r.draining.Swap(false) {
		r.ingress.Drain(false)
		r.log.Info("drain cancelled, calls are accepted again")
	}
	return nil
}

// Draining tells how far it is.
func (r *Router) Draining() admin.Draining {
	d := admin.Draining{Draining: r.draining.Load(), Done: r.drained.Load()}
	d.Waiting, d.Paused = r.fleet.waiting()
	return d
}

// Drained is closed when a drain has come to its end.
func (r *Router) Drained() <-chan struct{} { return r.drainedSignal }

const drainInterval = 50 * time.Millisecond

func (r *Router) drain() {
	if !r.waitUntilNothingWaits() || !r.endDrain() {
		return
	}
	// Requests that were let in before may still bring calls.
	ctx, cancel := context.WithTimeout(r.running, r.Config().ShutdownTimeout)
	defer cancel()
	r.stopIngress(ctx)
	if r.waitUntilNothingWaits() {
		r.log.Info("drained, every accepted call has ended")
		close(r.drainedSignal)
	}
}

// endDrain makes the drain one that cannot be cancelled any more. It returns false where it was, or another has come to that.
func (r *Router) endDrain() bool {
	r.drainChanges.Lock()
	defer r.drainChanges.Unlock()
	return r.draining.Load() && !r.drained.Swap(true)
}

// waitUntilNothingWaits returns false when the drain was cancelled before, or the router is stopped.
func (r *Router) waitUntilNothingWaits() bool {
	for r.draining.Load() {
		if len(r.Draining().Waiting) == 0 {
			return true
		}
		if !pause(r.running, drainInterval) {
			return false
		}
	}
	return false
}

// operations is the router as its operator's server sees it.
type operations struct{ *Router }

// Reload implements admin.Operations.
func (s operations) Reload() (any, error) {
	done, err := s.Router.Reload()
	if mistakes := (*config.Mistakes)(nil); errors.As(err, &mistakes) {
		return nil, fmt.Errorf("%w:\n%w", admin.ErrBadConfig, err)
	}
	return done, err
}
