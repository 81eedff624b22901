package keystore

import (
	"errors"
	"fmt"
	"time"
)

// closeWait is CloseWait's default. On a disk that works, and a machine that is not busy, Close takes milliseconds.
const closeWait = 5 * time.Second

var errGaveUp = errors.New("gave up waiting; acknowledged records are safe")

// Close ends the store. It waits up to CloseWait for what is under way, and as long for Pebble. It does not wait for
// room on a full disk: an Apply that waits for room fails. Nothing is written after it returns, and the folder can be opened
// again. A store that has failed is left as it is.
func (s *Store) Close() error {
	s.close.Do(func() { s.close.err = s.end() })
	return s.close.err
}

func (s *Store) end() error {
	if s.fs == nil {
		<-s.users.close()
		return s.db.Close()
	}
	vacant := s.users.close()
	s.tidy.stop()
	s.fail.notify(func(error) { s.fs.seal(false) }) // and not the owner, which is closing the store
	s.fs.enter(closing)
	defer s.fs.seal(true)
	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	select {
	case <-vacant:
	case <-s.fail.failed:
	case <-timer.C:
	}
	return s.closePebble()
}

// closePebble closes the database, and leaves it behind where that takes too long or the store has failed.
func (s *Store) closePebble() error {
	if err := s.fail.reason(); err != nil {
		return closeError(s.dir, err)
	}
	done := make(chan error, 1)
	go func() { done <- s.db.Close() }()
	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	select {
	case err := <-done:
		return closeError(s.dir, err)
	case <-s.fail.failed:
		return closeError(s.dir, s.fail.reason())
	case <-timer.C:
		return closeError(s.dir, errGaveUp)
	}
}

func closeError(dir string, err error) error {
	if err != nil {
		return fmt.Errorf("close records in %s: %w", dir, err)
	}
	return nil
}
