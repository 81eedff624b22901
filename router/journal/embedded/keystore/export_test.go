package keystore

import (
	"bytes"
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Flush writes what is in memory into a table.
func (s *Store) Flush() error { return s.db.Flush() }

// Adjusted returns options with which Pebble's are changed.
func (o Options) Adjusted(adjust func(*pebble.Options)) Options {
	o.adjust = adjust
	return o
}

// Polling returns options with which a write that waits for room tries again after d.
func (o Options) Polling(d time.Duration) Options {
	o.poll = d
	return o
}

// TidyingAfter returns options with which the space of deleted records is asked back after d.
func (o Options) TidyingAfter(d time.Duration) Options {
	o.tidyAfter = d
	return o
}

// Rotate begins a new WAL, and a flush of what is in memory.
func (s *Store) Rotate() error {
	_, err := s.db.AsyncFlush()
	return err
}

// Compact merges all tables, as background work does in time.
func (s *Store) Compact(ctx context.Context) error {
	return s.db.Compact(ctx, []byte{0}, bytes.Repeat([]byte{0xff}, 8), false)
}
