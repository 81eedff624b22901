package journal

import (
	"context"
	"fmt"
	"time"

	"aka/router/strictyaml"
)

// messageOverhead is at least what the store adds to a frame.
const messageOverhead = 256

// failedWrite is the last write to the log, when it failed.
type failedWrite struct {
	err error
	// room is what the log must have free for it to succeed, where it lacked that; else 0.
	room uint64
}

// Writable returns nil when the journal may be expected to take calls. It writes nothing: the error says that the store
// does not answer, that the disk or the log is full, or that the last write failed and the store has not been found well since.
func (j *Journal) Writable(ctx context.Context) error {
	if full := diskIsFull(j.options.Dir, maxFrame); full != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, full)
	}
	stats, err := j.Stats(ctx)
	if err != nil {
		return fmt.Errorf("%w: the store does not answer: %w", ErrUnavailable, err)
	}
	j.mu.Lock()
	failed := j.failed
	j.mu.Unlock()
	switch {
	case failed == nil:
		return nil
	case failed.room > 0:
		return lacksRoom(stats, failed.room)
	}
	return fmt.Errorf("%w: the last write failed: %w", ErrUnavailable, failed.err)
}

func lacksRoom(stats Stats, room uint64) error {
	if stats.Bytes+room <= stats.MaxBytes {
		return nil
	}
	return fmt.Errorf("%w: %d of journal.max_bytes, %s, are taken", ErrFull, stats.Bytes, strictyaml.Size(stats.MaxBytes))
}

// writeFailed keeps what Writable must know of a write that failed, until one lands or the store is found well. It returns
// the error to answer with: ErrFull when the log has no room for it, else ErrUnavailable.
func (j *Journal) writeFailed(err error, size int) error {
	failed := &failedWrite{err: err}
	room := uint64(size) + messageOverhead
	answer := fmt.Errorf("%w: %w", ErrUnavailable, err)
	if full := j.fullFor(err, room); full != nil {
		failed.room, answer = room, full
	} else if full := diskIsFull(j.options.Dir, maxFrame); full != nil {
		failed.err = full
		answer = fmt.Errorf("%w: %w: %w", ErrUnavailable, full, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed = failed
	return answer
}

// fullFor returns an ErrFull when a write failed because the log has reached its size. The engine gives the same code when
// the disk refuses.
func (j *Journal) fullFor(err error, room uint64) error {
	if !isStoreFailed(err) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	stats, err := j.Stats(ctx)
	if err != nil {
		return nil
	}
	return lacksRoom(stats, room)
}

// mended tells that the store answers again.
func (j *Journal) mended() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil && j.failed.room == 0 {
		j.failed = nil
	}
}
