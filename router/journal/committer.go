package journal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

const (
	// queueLength is how many requests may wait for the write before theirs, and queueBytes how large they may be together.
	queueLength = 4096
	queueBytes  = 64 << 20
	// publishTimeout leaves a client that gives up after 8 s the time to hear our answer.
	publishTimeout = 4 * time.Second
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

	closing sync.RWMutex // held for reading while a request is put into the queue
	closed  bool

	// Below belongs to run alone, after recovery.
	seen    *dedupe
	unsure  bool // the last write failed: the log may have grown without our knowing
	failing int  // how many writes in a row have failed, other than for lack of room
	noRoom  bool // the disk was full when it was asked last
	retryAt time.Time
	frame   openFrame
	windows windowMarks
	now     func() time.Time
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
	// answered is set by whoever answers: the committer, or what gave up before it did. It has one answer.
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

// release gives back a request to which nobody refers any more.
func (c *committer) release(r *request) {
	r.entries, r.duplicates = nil, 0
	r.answered.Store(false)
	if cap(r.records) <= keptRecords {
		c.requests.Put(r)
	}
}

// openFrame is the frame being gathered.
type openFrame struct {
	data    []byte
	entries []Entry
	keys    []messageKey
	waiting []*request // those whose last call is in it
}

func newCommitter(j *Journal) *committer {
	return &committer{
		j: j, hasher: newKeyHasher(), queue: make(chan *request, queueLength),
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
		size += recordBound(&entries[i])
	}
	r.entries, r.keys, r.ends, r.records = entries, r.keys[:0], r.ends[:0], slices.Grow(r.records[:0], size)
	for i := range entries {
		e := &entries[i]
		r.records = appendRecord(r.records, e)
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
	mend := time.NewTicker(mendInterval)
	defer mend.Stop()
	for {
		select {
		case first, open := <-c.queue:
			if !open {
				return
			}
			c.commit(first)
		case <-mend.C:
			// Also without calls: whoever goes by Writable sends none.
			_ = c.mend()
		}
	}
}

// commit writes the first request and all that wait behind it.
func (c *committer) commit(first *request) {
	if err := c.mend(); err != nil {
		c.queued.Add(-int64(len(first.records)))
		first.answer(err)
		return
	}
	// Those who are about to ask for a write shall be in this one: fewer are cheaper, and nobody waits for anything to come.
	runtime.Gosched()
	c.take(first)
	for more := true; more && len(c.frame.data) < maxFrame; {
		select {
		case next, open := <-c.queue:
			if more = open; open {
				c.take(next)
			}
		default:
			more = false
		}
	}
	_ = c.flush() // everyone who waits for it is told
}

const (
	// mendInterval is how often a journal that failed is looked after when no calls come.
	mendInterval = time.Second
	// reopenAfter is how many writes in a row must fail before the engine is opened anew, and reopenPause how long it has
	// before that is done again.
	reopenAfter = 2
	reopenPause = 5 * time.Second
)

// mend finds out what became of a write that failed. When the engine does not say, or keeps failing, it is opened anew.
func (c *committer) mend() error {
	if !c.unsure {
		return nil
	}
	err := errKeepsFailing
	if c.failing < reopenAfter {
		err = c.catchUp()
	}
	if err != nil && !c.now().Before(c.retryAt) {
		err = c.reopen()
		c.retryAt = c.now().Add(reopenPause)
	}
	if err != nil {
		return c.j.writeFailed(err, 0)
	}
	c.j.mended()
	return nil
}

var errKeepsFailing = errors.New("writes keep failing")

func (c *committer) reopen() error {
	ctx, cancel := context.WithTimeout(context.Background(), serverStartTimeout)
	defer cancel()
	err := c.j.reopen(ctx)
	if err == nil {
		err = c.catchUp()
	}
	if err != nil {
		c.j.log.Error("journal: does not come back, and calls are answered 503: make room on the disk, or mend it; aka goes on by itself then", zap.Error(err), zap.Int("failed_writes", c.failing))
		return err
	}
	c.failing = 0
	c.j.log.Warn("journal: opened anew after failed writes")
	return nil
}

// take puts a request's new calls into the open frame, flushing it whenever it is full.
func (c *committer) take(r *request) {
	c.queued.Add(-int64(len(r.records)))
	if r.answered.Load() {
		return
	}
	now := c.now()
	for i := range r.entries {
		record := r.record(i)
		if len(c.frame.data) > 0 && len(c.frame.data)+len(record) > maxFrame-frameOverhead {
			if err := c.flush(); err != nil {
				r.answer(err)
				return
			}
		}
		if r.entries[i].isOnce() {
			if !c.seen.add(r.keys[i], now) {
				r.duplicates++
				continue
			}
			c.frame.keys = append(c.frame.keys, r.keys[i])
		}
		if len(c.frame.data) == 0 {
			c.frame.data = beginFrame(c.frame.data, c.j.head.calls)
		}
		c.frame.data = append(c.frame.data, record...)
		c.frame.entries = append(c.frame.entries, r.entries[i])
	}
	// Duplicates of calls in this very frame must wait for it too.
	c.frame.waiting = append(c.frame.waiting, r)
}

// flush writes the open frame and answers everyone who waits for it.
func (c *committer) flush() error {
	f := c.frame
	c.frame = openFrame{data: f.data[:0], entries: f.entries[:0], keys: f.keys[:0], waiting: f.waiting[:0]}
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
	if err := c.roomOnDisk(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	start := c.now()
	before := c.j.head.calls
	seq, err := c.publish(endFrame(f.data))
	if err != nil {
		c.unsure = true
		err = c.j.writeFailed(err, len(f.data))
		c.j.metrics.failed.Inc()
		c.j.log.Warn("journal: a write failed; its calls were answered 503 and are sent again", zap.Error(err))
		if !errors.Is(err, ErrFull) {
			c.failing++
		}
		return err
	}
	c.failing = 0
	c.j.metrics.wrote(c.now().Sub(start), len(f.entries))
	c.windows.mark(seq, c.now(), c.j.options.Dedupe)
	c.j.landed(newFrame(seq, before, ownEntries(f.entries), len(f.data)))
	return nil
}

// roomOnDisk is an error when the disk is full. To ask first spares the engine a write that would take seconds to fail and
// break it, and leaves what little there is to the progress: that is what makes room again.
func (c *committer) roomOnDisk() error {
	err := diskIsFull(c.j.options.Dir, maxFrame)
	switch noRoom := err != nil; {
	case noRoom && !c.noRoom:
		c.j.log.Error("journal: the disk is full; calls are answered 503 until there is room: make some", zap.Error(err))
	case !noRoom && c.noRoom:
		c.j.log.Info("journal: the disk has room again")
	}
	c.noRoom = err != nil
	return err
}

// publish stores one frame, right behind the last one that we know: if the log has grown without our knowing, it refuses.
func (c *committer) publish(data []byte) (seq uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	ack, err := c.j.store().js.PublishMsg(ctx, &nats.Msg{Subject: callsTopic, Data: data},
		jetstream.WithExpectLastSequence(c.j.head.seq), jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// catchUp takes in frames that were stored although their write seemed to fail. Their clients were told to try again, and
// are recognized when they do.
func (c *committer) catchUp() error {
	if !c.unsure {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	_, last, err := c.j.store().bounds(ctx)
	if err != nil {
		return err
	}
	for c.j.head.seq < last {
		frames, err := c.j.store().readFrom(ctx, c.j.head.seq+1, nil)
		if err != nil {
			return err
		}
		if len(frames) == 0 {
			return errors.New("the log's end cannot be read")
		}
		for _, raw := range frames {
			frame, err := decodeFrame(raw.seq, raw.data)
			if err != nil {
				c.j.reportDamage(raw.seq, err)
				frame = newFrame(raw.seq, c.j.head.calls, nil, 0)
			}
			c.remember(frame)
			c.j.metrics.calls.Add(float64(len(frame.Entries)))
			c.j.landed(frame)
		}
	}
	c.unsure = false
	return nil
}

// recall takes over the dedupe window as it was found in the files.
func (c *committer) recall(found *recollection) {
	c.hasher, c.seen, c.windows.marks = found.hasher, found.seen, found.windows.marks
}

// seed reads the dedupe window back from the log.
func (c *committer) seed(ctx context.Context, last uint64) error {
	start := c.now().Add(-c.j.options.Dedupe)
	from := &start
	for next := uint64(0); c.j.options.Dedupe > 0; from = nil {
		frames, err := c.j.store().readFrom(ctx, next, from)
		if err != nil {
			return err
		}
		for _, raw := range frames {
			c.windows.mark(raw.seq, raw.at, c.j.options.Dedupe)
			if frame, err := decodeFrame(raw.seq, raw.data); err == nil {
				c.remember(frame)
			}
			next = raw.seq + 1
		}
		if len(frames) == 0 || next > last {
			return nil
		}
	}
	return nil
}

func (c *committer) remember(f *Frame) {
	now := c.now()
	for i := range f.Entries {
		if e := &f.Entries[i]; e.isOnce() {
			c.seen.add(c.hasher.entry(e), now)
		}
	}
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
	// A mark also stands for the frames written shortly after it.
	expired := window + window/marksPerWindow
	for len(w.marks) > 1 && now.Sub(w.marks[1].at) > expired {
		w.marks = w.marks[1:]
	}
	if len(w.marks) == 0 || len(w.marks) == 1 && now.Sub(w.marks[0].at) > expired {
		return ^uint64(0)
	}
	return w.marks[0].seq
}
