package keystore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"aka/router/journal/engine"
)

// Destinations returns the names that have records, sorted.
func (s *Store) Destinations(ctx context.Context) ([]string, error) {
	if err := s.users.acquire(); err != nil {
		return nil, err
	}
	defer s.users.release()
	return s.records.Destinations(ctx)
}

// Get returns a copy of a record's value. It returns engine.ErrNoRecord where there is none, and engine.ErrDamaged where it
// cannot be read.
func (s *Store) Get(ctx context.Context, destination string, key []byte) ([]byte, error) {
	if err := s.users.acquire(); err != nil {
		return nil, err
	}
	defer s.users.release()
	return s.records.Get(ctx, destination, key)
}

// Scan calls visit for the records with from <= key < to, in the order of their keys, until it returns false. A nil to is no
// bound. Keys and values are valid during the visit only. The records are those of one moment, at the call or later. Where
// one cannot be read, Scan returns engine.ErrDamaged after those before it.
func (s *Store) Scan(ctx context.Context, destination string, from, to []byte, visit func(key, value []byte) (more bool, err error)) error {
	if err := s.users.acquire(); err != nil {
		return err
	}
	defer s.users.release()
	return s.records.Scan(ctx, destination, from, to, visit)
}

// records reads the records of a database that stays open meanwhile.
type records struct{ db *pebble.DB }

func (r records) Destinations(ctx context.Context) (names []string, err error) {
	directory, err := r.directory()
	if err != nil {
		return nil, err
	}
	for _, name := range directory.names() {
		some := false
		err := r.Scan(ctx, name, nil, nil, func(_, _ []byte) (bool, error) {
			some = true
			return false, nil
		})
		if err != nil {
			return nil, err
		}
		if some {
			names = append(names, name)
		}
	}
	return names, nil
}

func (r records) Get(ctx context.Context, destination string, key []byte) (value []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	value, err = r.get(recordKey(destination, key))
	if err != nil {
		return nil, fmt.Errorf("record of %s: %w", destination, err)
	}
	return value, nil
}

// get returns a copy of what is stored under a key of Pebble.
func (r records) get(key []byte) (value []byte, err error) {
	defer recoverDamage(&err)
	stored, closer, err := r.db.Get(key)
	if err != nil {
		return nil, readError(err)
	}
	value = append([]byte{}, stored...)
	return value, closer.Close()
}

func (r records) Scan(ctx context.Context, destination string, from, to []byte, visit func(key, value []byte) (more bool, err error)) error {
	prefix := recordPrefix(destination)
	bounds := pebble.IterOptions{LowerBound: recordKey(destination, from), UpperBound: after(prefix)}
	if to != nil {
		bounds.UpperBound = recordKey(destination, to)
	}
	return r.scan(ctx, &bounds, func(key, value []byte) (bool, error) { return visit(key[len(prefix):], value) })
}

// ctxEvery is how many records are read between two looks at the context.
const ctxEvery = 256

func (r records) scan(ctx context.Context, bounds *pebble.IterOptions, visit func(key, value []byte) (more bool, err error)) (err error) {
	iter, err := r.iterator(ctx, bounds)
	if err != nil {
		return err
	}
	defer func() { _ = iter.Close() }() // what it would return was returned by next
	for n := 0; ; n++ {
		if n%ctxEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		key, value, err := next(iter, n == 0)
		if err != nil || key == nil {
			return err
		}
		if more, err := visit(key, value); err != nil || !more {
			return err
		}
	}
}

func (r records) iterator(ctx context.Context, bounds *pebble.IterOptions) (iter *pebble.Iterator, err error) {
	defer recoverDamage(&err)
	if iter, err = r.db.NewIterWithContext(ctx, bounds); err != nil {
		return nil, readError(err)
	}
	return iter, nil
}

// next moves to the first or the next record and returns it; the key is nil behind the last.
func next(iter *pebble.Iterator, first bool) (key, value []byte, err error) {
	defer recoverDamage(&err)
	move := iter.Next
	if first {
		move = iter.First
	}
	if !move() {
		return nil, nil, readError(iter.Error())
	}
	if value, err = iter.ValueAndErr(); err != nil {
		return nil, nil, readError(err)
	}
	return iter.Key(), value, nil
}

// directory reads the directory; a store that never had an Apply has an empty one.
func (r records) directory() (directory, error) {
	b, err := r.get(directoryKey)
	if errors.Is(err, engine.ErrNoRecord) {
		return directory{}, nil
	}
	if err != nil {
		return directory{}, fmt.Errorf("directory: %w", err)
	}
	return decodeDirectory(b)
}

// readError turns an error of Pebble's reading into one of package engine. What is there and cannot be read is damaged,
// whatever the disk says.
func readError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pebble.ErrNotFound):
		return engine.ErrNoRecord
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, engine.ErrDamaged):
		return err
	}
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		return fmt.Errorf("%w: %s: %w", engine.ErrDamaged, info.Path, err)
	}
	return fmt.Errorf("%w: %w", engine.ErrDamaged, err)
}

// recoverDamage turns a panic of Pebble on bytes that it did not expect into an error.
func recoverDamage(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: reading panicked: %v", engine.ErrDamaged, r)
	}
}
