package journal

import (
	"context"
	"errors"
	"fmt"

	"aka/router/journal/engine"
	"aka/router/journal/frame"
)

// Writable returns nil when the journal may be expected to take calls. It writes nothing: the error says that the log or the
// disk is full, or that the last write failed and the store has not been found well since.
func (j *Journal) Writable(ctx context.Context) error {
	if err := j.engine.Writable(ctx, frame.MaxSize); err != nil {
		return answerTo(err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil {
		return fmt.Errorf("%w: the last write failed: %w", ErrUnavailable, j.failed)
	}
	return nil
}

// writeFailed keeps what Writable must know of a write that failed, until one lands or the store is found well. It returns
// the error to answer with.
func (j *Journal) writeFailed(err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if isSure(err) {
		return answerTo(err) // whether there is room is asked anew
	}
	j.failed = err
	return answerTo(err)
}

// isSure reports whether a write that failed is certainly not stored.
func isSure(err error) bool {
	return errors.Is(err, engine.ErrFull) || errors.Is(err, engine.ErrNoSpace)
}

// answerTo returns ErrFull for a log that has reached its limit, else ErrUnavailable.
func answerTo(err error) error {
	if errors.Is(err, engine.ErrFull) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// recovered says that the store is well again.
func (j *Journal) recovered() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed = nil
}
