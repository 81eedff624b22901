package delivery

import (
	"slices"
	"time"

	"golang.org/x/time/rate"

	"aka/destinations/adapter"
)

// queue holds the jobs that may go now. Those whose request may share a batch wait in a lane for each batch key, those with a rate of
// their own in one for each rate, the others in the lane that has none.
type queue struct {
	options BatchOptions
	lanes   []*lane
	byKey   map[string]*lane
	rates   map[string]*rate.Limiter
}

type lane struct {
	batch *adapter.Batch // nil for jobs that go alone
	rate  *rate.Limiter  // of its exchanges; nil is no limit. Lanes of one rate share it.
	jobs  []*job
	bytes int
}

func newQueue(options BatchOptions) *queue {
	return &queue{options: options, byKey: map[string]*lane{}, rates: map[string]*rate.Limiter{}}
}

func (q *queue) push(j *job, now time.Time) {
	j.queued = now
	l := q.lane(j.request())
	l.jobs = append(l.jobs, j)
	l.bytes += len(j.request().Body)
}

// pushInOrder puts a job at its place in the log, among those that wait.
func (q *queue) pushInOrder(j *job) {
	j.queued = j.entry.ReceivedAt
	l := q.lane(j.request())
	at, _ := slices.BinarySearchFunc(l.jobs, j, func(a, b *job) int { return compareJobs(a, b) })
	l.jobs = slices.Insert(l.jobs, at, j)
	l.bytes += len(j.request().Body)
}

// newestFirst puts the job that stands last in the log before all others.
func (q *queue) newestFirst() { q.putFirst(func(*job) bool { return true }) }

// untriedFirst puts a job before all others that was never tried and came after since. It returns false where there is none.
func (q *queue) untriedFirst(since time.Time) bool {
	return q.putFirst(func(j *job) bool { return j.attempts == 0 && j.entered.After(since) })
}

// putFirst puts the job that stands last in the log among those that may before all others.
func (q *queue) putFirst(may func(*job) bool) bool {
	var in *lane
	var newest *job
	for _, l := range q.lanes {
		for _, j := range l.jobs {
			if (newest == nil || compareJobs(newest, j) < 0) && may(j) {
				in, newest = l, j
			}
		}
	}
	if newest == nil {
		return false
	}
	i := slices.Index(in.jobs, newest)
	in.jobs = slices.Insert(slices.Delete(in.jobs, i, i+1), 0, newest)
	newest.queued = time.Time{} // its lane is the first
	return true
}

// pushFront puts jobs back before all others, in their order.
func (q *queue) pushFront(jobs []*job) {
	for i := len(jobs) - 1; i >= 0; i-- {
		l := q.lane(jobs[i].request())
		l.jobs = slices.Insert(l.jobs, 0, jobs[i])
		l.bytes += len(jobs[i].request().Body)
	}
}

func (q *queue) empty() bool {
	return !slices.ContainsFunc(q.lanes, func(l *lane) bool { return len(l.jobs) > 0 })
}

func (q *queue) lane(r *adapter.Request) *lane {
	key := ""
	if r.Batch != nil {
		key = "batch " + r.Batch.Key
	}
	if r.Rate != nil {
		key += "\nrate " + r.Rate.Key
	}
	l := q.byKey[key]
	if l == nil {
		l = &lane{batch: r.Batch, rate: q.rateOf(r.Rate)}
		q.byKey[key] = l
		q.lanes = append(q.lanes, l)
	}
	return l
}

// rateOf returns the limiter of a rate. The first request of its key says how many may begin.
func (q *queue) rateOf(r *adapter.Rate) *rate.Limiter {
	if r == nil || r.PerSecond <= 0 {
		return nil
	}
	l := q.rates[r.Key]
	if l == nil {
		l = rate.NewLimiter(rate.Limit(r.PerSecond), 1)
		q.rates[r.Key] = l
	}
	return l
}

// nextToken returns when a limiter allows one more: zero is now.
func nextToken(l *rate.Limiter, now time.Time) time.Time {
	tokens := l.TokensAt(now)
	if tokens >= 1 {
		return time.Time{}
	}
	wait := (1 - tokens) / float64(l.Limit())
	return now.Add(time.Duration(wait*float64(time.Second)) + time.Millisecond)
}

// pick takes the jobs of the next exchange out of the queue and appends them to into: at most limit of them, none when none
// is due. A batch is due when it is full, when its first job has waited long enough, or at once when idle. wake is when the
// next one will be.
func (q *queue) pick(into []*job, now time.Time, idle bool, limit int) (jobs []*job, wake time.Time) {
	var next *lane
	for _, l := range q.lanes {
		if len(l.jobs) == 0 {
			continue
		}
		if l.rate != nil {
			if at := nextToken(l.rate, now); !at.IsZero() {
				wake = earlier(wake, at)
				continue
			}
		}
		if due := l.due(q.options); !idle && due.After(now) {
			wake = earlier(wake, due)
			continue
		}
		if next == nil || l.jobs[0].queued.Before(next.jobs[0].queued) {
			next = l
		}
	}
	if next == nil {
		return into, wake
	}
	if next.rate != nil {
		next.rate.AllowN(now, 1)
	}
	return next.take(into, q.options, limit), time.Time{}
}

// due returns when the lane's first exchange should go: at once when it goes alone or is full.
func (l *lane) due(o BatchOptions) time.Time {
	first := l.jobs[0]
	if l.batch == nil || len(l.jobs) >= l.maxItems(o) || l.batch.MaxBytes > 0 && l.bytes >= l.batch.MaxBytes {
		return first.queued
	}
	return first.queued.Add(o.MaxWait)
}

func (l *lane) maxItems(o BatchOptions) int {
	if l.batch.MaxItems > 0 {
		return min(o.MaxItems, l.batch.MaxItems)
	}
	return o.MaxItems
}

func (l *lane) take(into []*job, o BatchOptions, limit int) []*job {
	n := 1
	if l.batch != nil {
		n = l.fitting(min(limit, l.maxItems(o)))
	}
	for _, j := range l.jobs[:n] {
		l.bytes -= len(j.request().Body)
	}
	into = append(into, l.jobs[:n]...)
	clear(l.jobs[:n])
	l.jobs = l.jobs[n:]
	if len(l.jobs) == 0 {
		l.jobs = nil // let the array go that the front was cut off
	}
	return into
}

// fitting returns how many of the first jobs go in one batch: at least one.
func (l *lane) fitting(limit int) int {
	before, after, separator := l.batch.Envelope()
	bytes := len(before) + len(after) - len(separator)
	for i, j := range l.jobs {
		if j.maxBatch > 0 {
			limit = min(limit, j.maxBatch)
		}
		bytes += len(separator) + len(j.request().Body)
		if i > 0 && (i >= limit || l.batch.MaxBytes > 0 && bytes > l.batch.MaxBytes) {
			return i
		}
	}
	return len(l.jobs)
}

// remove takes one job out, wherever it stands.
func (q *queue) remove(j *job) bool {
	if j.step == len(j.outcome.Requests) {
		return false // it is delivered, and waits for the disk
	}
	l := q.lane(j.request())
	i := slices.Index(l.jobs, j)
	if i < 0 {
		return false
	}
	l.jobs = slices.Delete(l.jobs, i, i+1)
	l.bytes -= len(j.request().Body)
	return true
}
