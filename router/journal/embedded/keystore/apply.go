package keystore

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"aka/router/journal/engine"
)

// Apply makes all changes to a destination's records, or none, and returns the number of this Apply once they are safe on
// disk. The numbers are 1, 2, 3 and so on over all destinations, and go on after a restart. Of two changes to a key the later
// counts. Where the disk is full it waits for room as long as ctx lasts. Reads may see the changes before Apply returns.
//
// The errors are engine.ErrUnsure, engine.ErrFailed and engine.ErrClosed. An Apply that was under way when the store failed has
// both of the first two. After engine.ErrUnsure the changes may still appear, but never after those of a later Apply.
func (s *Store) Apply(ctx context.Context, destination string, changes []engine.Change) (number uint64, err error) {
	if number, err = s.apply(ctx, destination, changes); err != nil {
		return 0, fmt.Errorf("apply %d changes to records of %s: %w", len(changes), destination, err)
	}
	return number, nil
}

func (s *Store) apply(ctx context.Context, destination string, changes []engine.Change) (uint64, error) {
	if s.fs == nil {
		return 0, errReadOnly
	}
	if err := s.users.acquire(); err != nil {
		return 0, err
	}
	w := write{destination: destination, batch: s.batch(destination, changes), done: make(chan error, 1)}
	if err := s.turn.take(ctx, s.fail.failed); err != nil {
		s.users.release()
		_ = w.batch.Close() // it was never used
		return 0, unsure(err)
	}
	// What follows may wait for the disk for longer than ctx lasts. The turn keeps its place in the order.
	go s.commit(&w)
	select {
	case err := <-w.done:
		return w.finish(err)
	case <-ctx.Done():
	case <-s.fail.failed:
	}
	select {
	case err := <-w.done:
		return w.finish(err)
	default:
	}
	if err := s.fail.reason(); err != nil {
		return w.finish(err)
	}
	return 0, unsure(ctx.Err())
}

// unsure is the error of an Apply that was given up. The store's failure stays what it is.
func unsure(err error) error {
	if err == engine.ErrFailed {
		return err
	}
	return fmt.Errorf("%w: %w", engine.ErrUnsure, err)
}

// write is one Apply under way.
type write struct {
	destination string
	batch       *pebble.Batch
	number      uint64
	done        chan error
}

// finish returns what Apply returns. An error is one that has failed the store.
func (w *write) finish(err error) (uint64, error) {
	if err != nil {
		return 0, fmt.Errorf("%w: %w: %w", engine.ErrUnsure, engine.ErrFailed, err)
	}
	return w.number, nil
}

func (s *Store) batch(destination string, changes []engine.Change) *pebble.Batch {
	batch := s.db.NewBatch()
	deletes := 0
	key := recordPrefix(destination)
	prefix := len(key)
	for _, c := range changes {
		key = append(key[:prefix], c.Key...) // the batch copies it
		if c.Delete {
			deletes++
			_ = batch.Delete(key, nil) // a batch returns no errors before it is applied
			continue
		}
		_ = batch.Set(key, c.Value, nil)
	}
	s.tidy.deleted(deletes)
	return batch
}

// commit queues a write, gives the turn back, and waits until the write is safe.
func (s *Store) commit(w *write) {
	defer s.users.release()
	err := s.queue(w)
	if err == nil {
		err = s.settle(w)
	}
	if err != nil {
		s.fail.fail(fmt.Errorf("write of records: %w", err))
	}
	w.done <- err
}

// queue numbers a write and hands it to Pebble, which writes it to its WAL and makes it readable, in this order.
func (s *Store) queue(w *write) (err error) {
	defer s.turn.giveBack()
	defer func() {
		if r := recover(); r != nil { // Pebble panics when its WAL has failed
			err = fmt.Errorf("write panicked: %v", r)
		}
	}()
	w.number = s.directory.number + 1
	s.directory.note(w.destination, w.number)
	_ = w.batch.Set(directoryKey, s.directory.encode(), nil)
	_ = w.batch.Set(markKey(w.destination), encodeNumber(w.number), nil)
	if err := s.db.ApplyNoSyncWait(w.batch, pebble.Sync); err != nil {
		return err
	}
	s.unsynced.Add(1)
	return nil
}

// settle waits for the sync of the WAL that covers a write. Writes that are queued meanwhile share it.
func (s *Store) settle(w *write) error {
	defer s.unsynced.Done()
	if err := w.batch.SyncWait(); err != nil {
		return err // and the batch is not used again
	}
	raise(&s.durable, w.number)
	return w.batch.Close()
}
