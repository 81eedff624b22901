package keystore

import (
	"context"
	"fmt"

	"aka/router/journal/engine"
)

// Checkpoint writes a copy of the store into a new folder, as it is after the last Apply that has returned or is about to.
// Applies wait meanwhile: none starts, and none is under way, while frozen runs and the files are linked and copied. An error
// of frozen ends the Checkpoint. Files of the copy share their space with those of the store where the file system can do
// that. A full disk is an error: it is not waited for. Where ctx ends first, the copy may be completed or removed later.
func (s *Store) Checkpoint(ctx context.Context, dir string, frozen func() error) error {
	if err := s.checkpoint(ctx, dir, frozen); err != nil {
		return fmt.Errorf("checkpoint of records in %s to %s: %w", s.dir, dir, err)
	}
	return nil
}

func (s *Store) checkpoint(ctx context.Context, dir string, frozen func() error) error {
	if s.fs == nil {
		return errReadOnly
	}
	if err := s.users.acquire(); err != nil {
		return err
	}
	if err := s.turn.take(ctx, s.fail.failed); err != nil {
		s.users.release()
		return err
	}
	release := func() {
		s.turn.giveBack()
		s.users.release()
	}
	if err := s.settled(ctx, release); err != nil {
		return err
	}
	if err := frozen(); err != nil {
		release()
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer release()
		done <- s.copyTo(dir)
	}()
	return s.await(ctx, done)
}

// settled waits until all that was queued is safe. It needs the turn. Where it returns an error, it has seen to release.
func (s *Store) settled(ctx context.Context, release func()) error {
	done := make(chan error, 1)
	go func() {
		s.unsynced.Wait()
		done <- nil
	}()
	err := s.await(ctx, done)
	if err != nil {
		go func() {
			<-done // the count must not grow before
			release()
		}()
	}
	return err
}

// await returns what done gives, or earlier the error of the context or the store.
func (s *Store) await(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.fail.failed:
		return fmt.Errorf("%w: %w", engine.ErrFailed, s.fail.reason())
	}
}

func (s *Store) copyTo(dir string) (err error) {
	defer func() {
		if r := recover(); r != nil { // Pebble panics where it cannot sync the new folder
			err = fmt.Errorf("checkpoint panicked: %v", r)
		}
	}()
	dir = s.fs.PathJoin(dir)
	if err := s.db.Checkpoint(dir); err != nil {
		return err
	}
	return writeFormat(s.fs, dir)
}
