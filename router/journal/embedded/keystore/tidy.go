package keystore

import (
	"sync"
	"time"
)

const (
	// tidyAfter is how long after a delete the space is asked back.
	tidyAfter = 5 * time.Second
	// tidyBytes is the size below which nothing is asked back.
	tidyBytes = 4 << 20
)

// tidier gives back the space of deleted records. Pebble does that by itself once a delete is in a table, but a delete gets
// there only when memory is full of later writes. So the tidier has it written a while after a delete.
type tidier struct {
	flush func()
	after time.Duration

	mu      sync.Mutex
	timer   *time.Timer // nil when none runs
	stopped bool
}

func (s *Store) newTidier(after time.Duration) *tidier {
	return &tidier{flush: s.writeDeletes, after: after}
}

// deleted notes that n records were deleted.
func (t *tidier) deleted(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n > 0 && t.timer == nil && !t.stopped {
		t.timer = time.AfterFunc(t.after, t.fire)
	}
}

func (t *tidier) fire() {
	t.mu.Lock()
	t.timer = nil
	stopped := t.stopped
	t.mu.Unlock()
	if !stopped {
		t.flush()
	}
}

func (t *tidier) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	if t.timer != nil {
		t.timer.Stop()
	}
}

// writeDeletes has Pebble write what is in memory into a table, where that can give back space.
func (s *Store) writeDeletes() {
	if s.Size() < tidyBytes || s.users.acquire() != nil {
		return
	}
	defer s.users.release()
	_, _ = s.db.AsyncFlush() // the listener gets its errors
}
