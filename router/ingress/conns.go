package ingress

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// minRest is how long a connection has rested before it may be closed to make room for another one. One that has rested for
	// less is likely to be used again at once.
	minRest = 5 * time.Second
	// evictedShare is the share of the connections that are closed at once to make room, so that not each new one looks at all.
	evictedShare = 64
)

// What a conn's rests says beside when it began to rest.
const (
	working = 0  // a request is being read or answered
	evicted = -1 // it was closed to make room
)

// conns are the connections that are open.
type conns struct {
	minRest   time.Duration
	idleLimit time.Duration
	begun     time.Time // what times are counted from
	evicted   prometheus.Counter

	count atomic.Int64 // how many are open

	mu     sync.Mutex
	open   map[*conn]struct{}
	closed bool
	// next is when a look for one to close is worth its while again.
	next time.Duration
}

func newConns(evicted prometheus.Counter) *conns {
	return &conns{minRest: minRest, idleLimit: idleLimit, begun: time.Now(), evicted: evicted, open: map[*conn]struct{}{}}
}

// now is never 0: a moment after the beginning.
func (s *conns) now() time.Duration { return time.Since(s.begun) + 1 }

// add counts a connection, which rests until something comes. It returns false after closeSilent.
func (s *conns) add(c *conn) bool {
	c.rests.Store(int64(s.now()))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[c] = struct{}{}
	s.count.Store(int64(len(s.open)))
	return !s.closed
}

func (s *conns) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	s.count.Store(int64(len(s.open)))
}

// len is how many are open.
func (s *conns) len() int { return int(s.count.Load()) }

// closeSilent closes those over which nothing has come yet, and refuses new ones. The library takes them for busy, and would let
// them hold up the shutdown.
func (s *conns) closeSilent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		if !c.spoke.Load() {
			_ = c.Conn.Close()
		}
	}
}

// makeRoom closes those that have rested longest, where there are as many as may be.
func (s *conns) makeRoom(limit int) {
	if s.len() < limit {
		return
	}
	for _, c := range s.evict(max(s.len()-limit+1, limit/evictedShare)) {
		_ = c.Conn.Close()
		s.evicted.Inc()
	}
}

// evict takes out the n that have rested longest, or fewer.
func (s *conns) evict(n int) (out []*conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now < s.next {
		return nil
	}
	type resting struct {
		*conn
		since int64
	}
	var all []resting
	for c := range s.open {
		if since := c.rests.Load(); since > working {
			all = append(all, resting{c, since})
		}
	}
	slices.SortFunc(all, func(a, b resting) int { return cmp.Compare(a.since, b.since) })
	oldest := int64(math.MaxInt64)
	for _, r := range all {
		if len(out) == n || time.Duration(r.since)+s.minRest > now {
			oldest = r.since
			break
		}
		if r.rests.CompareAndSwap(r.since, evicted) { // or it works again
			out = append(out, r.conn)
			delete(s.open, r.conn)
		}
	}
	s.count.Store(int64(len(s.open)))
	// Those that begin to rest from now on are younger than all that were seen.
	s.next = time.Duration(min(oldest, int64(now))) + s.minRest
	return out
}
