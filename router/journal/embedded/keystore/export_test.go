package keystore

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Flush writes what is in memory into a table.
func (s *Store) Flush() error { return s.db.Flush() }

// Compact merges all tables.
func (s *Store) Compact() error {
	return s.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false)
}

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

// Rotate begins a new WAL, and a flush of what is in memory.
func (s *Store) Rotate() error {
	_, err := s.db.AsyncFlush()
	return err
}
