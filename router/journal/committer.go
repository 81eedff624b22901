package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"aka/router/journal/engine"
	"aka/router/journal/frame"
)

const (
	// queueLength is how many requests may wait for the write before theirs, and queueBytes how large they may be together.
	queueLength = 4096
	queueBytes  = 64 << 20
	// writeTimeout leaves a client that gives up after 8 s the time to hear our answer.
	writeTimeout = 4 * time.Second
	// appendTimeout is the longest that Append waits in all.
	appendTimeout = 5 * time.Second
)

// committer makes the log's order: it gathers the requests that wait while the previous write is in flight and commits
// them as one frame. There is no timer: the fsync sets the pace.
type committer struct {
	j      *Journal
	hasher keyHasher
	queue  chan *request
	queued atomic.Int64 // the bytes of the requests in the queue

	requests sync.Pool
	marks    chan *markRequest
	ended    chan struct{} // closed when run has returned

	closing sync.RWMutex // held for reading while a request is put into the queue
	closed  bool

	// Below belongs to run alone, after recovery.
	seen      *dedupe
	unsure    bool // the last write failed: the log may have grown without our knowing
	committed time.Time
	frame     openFrame
	windows   windowMarks
	now       func() time.Time
}

// request is one Append on its way. It is used again after the committer's answer.
type request struct {
	entries    []Entry
	keys       []messageKey
	records    []byte
	ends       []int // where each record ends
	duplicates int
	done       chan error
	timeout    *time.Timer // gives up; stopped
	// answered is set by what answers: the committer, or the caller that gave up before. It has one answer.
	answered atomic.Bool
}

// keptRecords is the largest buffer that waits for the next request.
const keptRecords = 128 << 10

func newRequest() any {
	r := &request{done: make(chan error, 1)}
	r.timeout = time.AfterFunc(appendTimeout, func() {
		r.answer(fmt.Errorf("%w: no answer from the disk in %s", ErrUnavailable, appendTimeout))
	})
	r.timeout.Stop()
	return r
}

// answer ends the wait, unless it has ended.
func (r *request) answer(err error) {
	if r.answered.CompareAndSwap(false, true) {
		r.done <- err
	}
}

// release recycles a request that is no longer referenced.
func (c *committer) release(r *request) {
	r.entries, r.duplicates = nil, 0
	r.answered.Store(false)
	if cap(r.records) <= keptRecords {
		c.requests.Put(r)
	}
}

// openFrame is the frame being gathered.
type openFrame struct {
	data     []byte
	entries  []Entry
	requests []uint32 // how many of the calls each request brought
	keys     []messageKey
	waiting  []*request // those whose last call is in it
}

// size is how large the frame is, without frame.Overhead.
func (f *openFrame) size() int { return len(f.data) + binary.MaxVarintLen16*(len(f.requests)+1) }

func newCommitter(j *Journal) *committer {
	return &committer{
		j: j, hasher: newKeyHasher(), queue: make(chan *request, queueLength),
		marks: make(chan *markRequest), ended: make(chan struct{}),
		requests: sync.Pool{New: newRequest},
		seen:     newDedupe(j.options.Dedupe, time.Now()), now: time.Now,
	}
}

// append encodes in the caller's goroutine, so that the committer only copies.
func (c *committer) append(ctx context.Context, entries []Entry) (duplicates int, err error) {
	r := c.requests.Get().(*request)
	if err = r.encode(entries, c.hasher); err == nil {
		err = c.enqueue(r)
	}
	if err != nil {
		c.release(r)
		return 0, err
	}
	return c.await(ctx, r)
}

// await waits on one channel only: to select among all that may end the wait would cost more than the rest of it.
func (c *committer) await(ctx context.Context, r *request) (duplicates int, err error) {
	unwatch := func() bool { return true }
	if ctx.Done() != nil {
		unwatch = context.AfterFunc(ctx, func() { r.answer(fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())) })
	}
	r.timeout.Reset(appendTimeout)
	err = <-r.done
	stopped, unwatched := r.timeout.Stop(), unwatch()
	if err != nil {
		return 0, err // the committer may have it still
	}
	duplicates = r.duplicates
	if stopped && unwatched {
		c.release(r)
	}
	return duplicates, nil
}

func (r *request) encode(entries []Entry, hasher keyHasher) error {
	size := 0
	for i := range entries {
		size += frame.RecordBound(&entries[i])
	}
	r.entries, r.keys, r.ends, r.records = entries, r.keys[:0], r.ends[:0], slices.Grow(r.records[:0], size)
	for i := range entries {
		e := &entries[i]
		r.records = frame.AppendRecord(r.records, e)
		r.ends = append(r.ends, len(r.records))
		r.keys = append(r.keys, hasher.entry(e))
		if size := len(r.record(i)); size > MaxEntry {
			return fmt.Errorf("journal: a call of %d bytes is over the limit of %d", size, MaxEntry)
		}
	}
	return nil
}

func (r *request) record(i int) []byte {
	start := 0
	if i > 0 {
		start = r.ends[i-1]
	}
	return r.records[start:r.ends[i]]
}

func (c *committer) enqueue(r *request) error {
	c.closing.RLock()
	defer c.closing.RUnlock()
	if c.closed {
		return ErrClosed
	}
	size := int64(len(r.records))
	if waiting := c.queued.Add(size); waiting > queueBytes && waiting > size {
		c.queued.Add(-size)
		return fmt.Errorf("%w: %d bytes wait already", ErrFull, waiting-size)
	}
	select {
	case c.queue <- r:
		return nil
	default:
		c.queued.Add(-size)
		return fmt.Errorf("%w: %d requests wait already", ErrFull, queueLength)
	}
}

func (c *committer) close() {
	c.closing.Lock()
	defer c.closing.Unlock()
	if !c.closed {
		c.closed = true
		close(c.queue)
	}
}

func (c *committer) run() {
	defer close(c.ended)
	check := time.NewTicker(recheckInterval)
	defer check.Stop()
	for {
		select {
		case first, open := <-c.queue:
			if !open {
				return
			}
			c.commit(first)
		case m := <-c.marks:
			c.answerMark(m)
		case <-check.C:
			// Also without calls: a caller that asks Writable sends none while it says no.
			if c.catchUp() == nil {
				c.j.recovered()
			}
		}
	}
}

// markRequest asks for a mark, no earlier than a time.
type markRequest struct {
	atLeast time.Time
	mark    chan logMark
}

// logMark says that the frames from next on are not written before at.
type logMark struct {
	at   time.Time
	next uint64
}

// mark returns a time, not before atLeast, and the sequence of the first frame that is written then or later. It waits for the
// write in flight. next is 0 where that is not known: a write is unsure, or ctx has ended.
func (c *committer) mark(ctx context.Context, atLeast time.Time) (at time.Time, next uint64) {
	m := &markRequest{atLeast: atLeast, mark: make(chan logMark, 1)}
	select {
	case c.marks <- m:
	case <-c.ended:
		return time.Time{}, 0
	case <-ctx.Done():
		return time.Time{}, 0
	}
	answer := <-m.mark
	return answer.at, answer.next
}

func (c *committer) answerMark(m *markRequest) {
	if c.unsure {
		m.mark <- logMark{}
		return
	}
	c.committed = latest(c.committed, latest(c.now().UTC().Truncate(time.Millisecond), m.atLeast))
	m.mark <- logMark{c.committed, c.j.head.Seq + 1}
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// recheckInterval is how often a journal that failed is looked at when no calls come.
const recheckInterval = time.Second

// commit writes the first request and all that wait behind it.
func (c *committer) commit(first *request) {
	if err := c.catchUp(); err != nil {
		c.queued.Add(-int64(len(first.records)))
		first.answer(c.j.writeFailed(err))
		return
	}
	// Those who are about to ask for a write shall be in this one: fewer are cheaper, and there is no wait for more.
	runtime.Gosched()
	c.take(first)
	for more := true; more && len(c.frame.data) < frame.MaxSize; {
		select {
		case next, open := <-c.queue:
			if more = open; open {
				c.take(next)
			}
		default:
			more = false
		}
	}
	_ = c.flush() // everyone who waits for it gets the error
}

// take puts a request's new calls into the open frame, flushing it whenever it is full.
func (c *committer) take(r *request) {
	c.queued.Add(-int64(len(r.records)))
	if r.answered.Load() {
		return
	}
	now := c.now()
	c.frame.requests = append(c.frame.requests, 0)
	for i := range r.entries {
		record := r.record(i)
		if len(c.frame.data) > 0 && c.frame.size()+len(record) > frame.MaxSize-frame.Overhead {
			if err := c.flush(); err != nil {
				r.answer(err)
				return
			}
		}
		if r.entries[i].IsOnce() {
			if !c.seen.add(r.keys[i], now) {
				r.duplicates++
				continue
			}
			c.frame.keys = append(c.frame.keys, r.keys[i])
		}
		if len(c.frame.data) == 0 {
			c.frame.data = frame.Begin(c.frame.data, c.j.head.Calls)
		}
		if len(c.frame.requests) == 0 { // it was flushed
			c.frame.requests = append(c.frame.requests, 0)
		}
		c.frame.data = append(c.frame.data, record...)
		c.frame.entries = append(c.frame.entries, r.entries[i])
		c.frame.requests[len(c.frame.requests)-1]++
	}
	// Duplicates of calls in this very frame must wait for it too.
	c.frame.waiting = append(c.frame.waiting, r)
}

// flush writes the open frame and answers everyone who waits for it.
func (c *committer) flush() error {
	f := c.frame
	c.frame = openFrame{data: f.data[:0], entries: f.entries[:0], requests: f.requests[:0], keys: f.keys[:0], waiting: f.waiting[:0]}
	defer clear(f.entries)
	defer clear(f.waiting) // where the write failed they are not used again, and hold what they came with
	var err error
	if len(f.entries) > 0 {
		err = c.write(&f)
	}
	if err != nil {
		c.seen.forget(f.keys)
	}
	for _, r := range f.waiting {
		r.answer(err)
	}
	return err
}

func (c *committer) write(f *openFrame) error {
	if c.unsure {
		return fmt.Errorf("%w: the write before failed", ErrUnavailable)
	}
	before, start := c.j.head.Calls, c.now()
	committed := latest(start.UTC().Truncate(time.Millisecond), c.committed)
	f.data = frame.End(f.data, frame.Fields{Committed: committed, Requests: f.requests})
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	seq, err := c.j.engine.Append(ctx, [][]byte{f.data}, c.j.head.Seq)
	if err != nil {
		// Only a write that was refused is certain not to be in the log.
		c.unsure = !isSure(err)
		if !errors.Is(err, engine.ErrNoSpace) { // which is said once
			c.j.metrics.failed.Inc()
			c.j.log.Warn("journal write failed, calls answered 503", zap.Error(err))
		}
		return c.j.writeFailed(err)
	}
	c.committed = committed
	c.j.metrics.wrote(c.now().Sub(start), len(f.entries))
	c.windows.mark(seq, committed, c.j.options.Dedupe)
	frame.NumberRequests(f.entries, f.requests)
	written := frame.New(seq, before, frame.Own(f.entries), len(f.data))
	written.Committed = committed
	c.j.publishFrame(written)
	return nil
}

// catchUp takes in frames that were stored although their write seemed to fail. Their clients got an error, and try again, and
// are recognized when they do.
func (c *committer) catchUp() error {
	if !c.unsure {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	_, last, err := c.j.engine.Bounds(ctx)
	if err != nil {
		return err
	}
	reader := c.j.engine.Reader(c.j.head.Seq + 1)
	defer reader.Close()
	for c.j.head.Seq < last {
		raw, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		c.takeIn(raw)
	}
	c.unsure = false
	return nil
}

// takeIn makes a frame that was found in the log one of ours.
func (c *committer) takeIn(raw engine.Frame) {
	f, err := decoded(raw)
	if err != nil {
		c.j.reportDamage(raw.Seq, err)
		f = frame.New(raw.Seq, c.j.head.Calls, nil, 0)
	}
	now := c.now()
	for i := range f.Entries {
		if e := &f.Entries[i]; e.IsOnce() {
			c.seen.add(c.hasher.entry(e), now)
		}
	}
	c.committed = latest(c.committed, f.Committed)
	c.j.metrics.calls.Add(float64(len(f.Entries)))
	c.j.publishFrame(f)
}

// windowStart returns the sequence from which on the log is needed to read the dedupe window back.
func (c *committer) windowStart() uint64 { return c.windows.start(c.now(), c.j.options.Dedupe) }

// windowMarks remembers, coarsely, which frame was the first to be written after which moment.
type windowMarks struct {
	mu    sync.Mutex
	marks []windowMark
}

type windowMark struct {
	seq uint64
	at  time.Time
}

// marksPerWindow is how many marks a window has: the log keeps at most that fraction more than it must.
const marksPerWindow = 32

func (w *windowMarks) mark(seq uint64, at time.Time, window time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.marks); n == 0 || at.Sub(w.marks[n-1].at) >= window/marksPerWindow {
		w.marks = append(w.marks, windowMark{seq, at})
	}
}

func (w *windowMarks) start(now time.Time, window time.Duration) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	// A mark also covers the frames written shortly after it.
	expired := window + window/marksPerWindow
	for len(w.marks) > 1 && now.Sub(w.marks[1].at) > expired {
		w.marks = w.marks[1:]
	}
	if len(w.marks) == 0 || len(w.marks) == 1 && now.Sub(w.marks[0].at) > expired {
		return ^uint64(0)
	}
	return w.marks[0].seq
}
