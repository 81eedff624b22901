package ingress

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// maxRetrySeconds is the longest that a client is asked to wait. SDKs cut a longer one to this themselves.
	maxRetrySeconds = 300
	// maxDebt keeps the sums of a rate next to nothing in range.
	maxDebt = math.MaxInt64 / 4
)

// limiter holds a source to its rate of calls. It is a bucket of tokens, for a second's worth of calls and one at least, that
// may go into debt: what comes while there is none is taken, however many calls it has, and the rest waits until the debt is
// paid. So no batch is too large to be taken ever, and more than one too many is never taken. A nil limiter limits nothing.
// It is safe for concurrent use, without a lock.
type limiter struct {
	now   func() time.Time
	start time.Time
	call  float64 // nanoseconds that pay for one call
	most  int64   // nanoseconds that fill the bucket
	// empty is when the bucket has nothing and owes nothing, in nanoseconds since start: later than now in debt.
	empty atomic.Int64
}

// newLimiter returns one for so many calls per second, its bucket full; nil for 0, which is unlimited.
func newLimiter(rate float64) *limiter {
	if rate == 0 {
		return nil
	}
	l := &limiter{now: time.Now, start: time.Now(), call: min(float64(time.Second)/rate, maxDebt)}
	l.most = max(int64(l.call), int64(time.Second))
	l.empty.Store(-l.most)
	return l
}

// take charges for the calls and returns true, or charges nothing when there is debt.
func (l *limiter) take(calls int) bool {
	if l == nil {
		return true
	}
	for {
		empty, now := l.empty.Load(), l.elapsed()
		if empty > now {
			return false
		}
		if l.empty.CompareAndSwap(empty, max(empty, now-l.most)+l.price(calls)) {
			return true
		}
	}
}

// giveBack undoes a take of as many calls.
func (l *limiter) giveBack(calls int) {
	if l != nil {
		l.empty.Add(-l.price(calls))
	}
}

// inDebt reports whether nothing is taken at the moment.
func (l *limiter) inDebt() bool { return l != nil && l.empty.Load() > l.elapsed() }

// retrySeconds is when the debt is paid, in whole seconds: 1 at least, maxRetrySeconds at most.
func (l *limiter) retrySeconds() int {
	if l == nil {
		return 1
	}
	wait := time.Duration(l.empty.Load() - l.elapsed())
	return int(min(max(math.Ceil(wait.Seconds()), 1), maxRetrySeconds))
}

func (l *limiter) price(calls int) int64 { return int64(min(float64(calls)*l.call, maxDebt)) }

func (l *limiter) elapsed() int64 { return int64(l.now().Sub(l.start)) }
