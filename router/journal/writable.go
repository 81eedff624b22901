package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aka/router/strictyaml"
)

const (
	// failureCounts is how long a failed write speaks for the next one. After that the journal counts as writable again:
	// otherwise nobody who goes by Writable would send the call that finds out.
	failureCounts = 5 * time.Second
	// messageOverhead is at least what the store adds to a frame.
	messageOverhead = 256
)

// failedWrite is the last write to the log, when it failed.
type failedWrite struct {
	err error
	at  time.Time
	// room is what the log must have free for it to succeed, where it lacked that; else 0.
	room uint64
}

// Writable returns nil when the journal may be expected to take calls. It writes nothing: the error says that the store
// does not answer, that the log is full, or that the last write has just failed.
func (j *Journal) Writable(ctx context.Context) error {
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
	case failed.counts():
		return fmt.Errorf("%w: the last write failed: %w", ErrUnavailable, failed.err)
	}
	return nil
}

func (f *failedWrite) counts() bool { return time.Since(f.at) < failureCounts }

func lacksRoom(stats Stats, room uint64) error {
	if stats.Bytes+room <= stats.MaxBytes {
		return nil
	}
	return fmt.Errorf("%w: %d of journal.max_bytes, %s, are taken", ErrFull, stats.Bytes, strictyaml.Size(stats.MaxBytes))
}

// writeFailed keeps what Writable must know of a write that failed, until one lands.
func (j *Journal) writeFailed(err error, size int) {
	failed := &failedWrite{err: err, at: time.Now()}
	if api := (*jetstream.APIError)(nil); errors.As(err, &api) && api.ErrorCode == errCodeMaxBytes {
		failed.room = uint64(size) + messageOverhead
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed = failed
}
