// Package live remembers what becomes of calls while there are viewers: the newest ones, bounded in count and bytes, and for each
// the steps at every destination. Calls come out of the journal, steps from the deliveries; both go to viewers, which are
// never waited for. Without a viewer nothing is kept, and it costs one atomic load per step.
package live

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"aka/router/journal"
)

// Frames gives the log's frames in order; journal.Reader is one.
type Frames interface {
	Next(ctx context.Context) (*journal.Frame, error)
	Close()
}

// Config is what a recorder is built from. Everything that is not a number is required; a number that is 0 is its default.
type Config struct {
	// Read opens the log at a frame.
	Read func(from uint64) Frames
	// Head returns how many calls were accepted so far, and the position after the last.
	Head func() (calls uint64, next journal.Position)
	// OnStart is called whenever somebody begins to look: it has the deliveries tell where the calls stand that they hold.
	OnStart func(ctx context.Context)

	// Calls is how many are remembered. Default 500.
	Calls int
	// Bytes bounds the memory that they take. Default 8 MiB.
	Bytes int
	// Viewers is how many may look at once. Default 8.
	Viewers int
	// IdleTimeout is how long is looked on after the last viewer has left. Default 30s.
	IdleTimeout time.Duration
}

const (
	defaultCalls       = 500
	defaultBytes       = 8 << 20
	defaultViewers     = 8
	defaultIdleTimeout = 30 * time.Second
)

// At a high rate not all calls can be shown. So many per second are taken of those that come in, of those that have trouble,
// and of those that a viewer's filter names.
const (
	perSecond         = 25
	failuresPerSecond = 25
	wantedPerSecond   = 200
	burst             = 100
)

// ErrTooManyViewers tells that as many look as may.
var ErrTooManyViewers = errors.New("too many look at once")

// Recorder remembers calls while somebody looks. It is safe for concurrent use; a nil one remembers nothing.
type Recorder struct {
	config Config
	on     atomic.Bool

	mu      sync.Mutex
	viewers map[*Viewer]bool
	until   time.Time // it is looked on without a viewer
	off     *time.Timer
	stop    context.CancelFunc // of the reader
	closed  bool

	since   time.Time
	begin   journal.Position // where the log stood then
	reached journal.Position // the calls before it were considered
	passed  journal.Position // steps of calls before it were left out
	taken   uint64           // calls that came in since
	skipped uint64           // those of them that were not taken up

	calls    []*record // oldest first
	byPos    map[journal.Position]*record
	bytes    int
	revision uint64

	usual, failures, wanted *rate.Limiter
	reading                 sync.WaitGroup
}

// New returns a recorder that does not look yet.
func New(config Config) *Recorder {
	set := func(n *int, usual int) {
		if *n == 0 {
			*n = usual
		}
	}
	set(&config.Calls, defaultCalls)
	set(&config.Bytes, defaultBytes)
	set(&config.Viewers, defaultViewers)
	if config.IdleTimeout == 0 {
		config.IdleTimeout = defaultIdleTimeout
	}
	return &Recorder{config: config, viewers: map[*Viewer]bool{}}
}

// Enabled reports whether somebody looks. It is one atomic load: ask it before a Step is made.
func (r *Recorder) Enabled() bool { return r != nil && r.on.Load() }

// Activate has everything recorded until some time after the last viewer has left, or after this. It is for those who ask now and
// then.
func (r *Recorder) Activate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.activate(time.Now())
}

// activate begins to look, or to linger anew.
func (r *Recorder) activate(now time.Time) {
	if r.closed {
		return
	}
	r.until = now.Add(r.config.IdleTimeout)
	if r.on.Load() {
		return
	}
	r.on.Store(true) // before the head is known: of a call behind it, no step is missed
	_, head := r.config.Head()
	r.since, r.begin, r.reached, r.passed = now, head, head, head
	r.taken, r.skipped = 0, 0
	r.byPos = map[journal.Position]*record{}
	r.usual, r.failures, r.wanted = rate.NewLimiter(perSecond, burst), rate.NewLimiter(failuresPerSecond, burst), rate.NewLimiter(wantedPerSecond, burst)
	running, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.off = time.AfterFunc(r.config.IdleTimeout, r.stopIfIdle)
	r.reading.Go(func() { r.read(running, head.Seq) })
	r.reading.Go(func() { r.config.OnStart(running) })
}

// stopIfIdle forgets everything after the idle timeout without a viewer.
func (r *Recorder) stopIfIdle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.on.Load() || r.closed {
		return
	}
	if left := time.Until(r.until); len(r.viewers) > 0 || left > 0 {
		r.off.Reset(max(left, r.config.IdleTimeout/4))
		return
	}
	r.disable()
}

func (r *Recorder) disable() {
	r.on.Store(false)
	r.stop()
	r.calls, r.byPos, r.bytes = nil, nil, 0
}

// Close forgets everything, for good.
func (r *Recorder) Close() {
	r.mu.Lock()
	r.closed = true
	if r.on.Load() {
		r.off.Stop()
		r.disable()
	}
	r.mu.Unlock()
	r.reading.Wait()
}

// read takes in what comes into the log.
func (r *Recorder) read(ctx context.Context, from uint64) {
	frames := r.config.Read(from)
	defer func() { frames.Close() }()
	for {
		frame, err := frames.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil { // the deliveries read the same log, and say so
			select {
			case <-time.After(time.Second):
				continue
			case <-ctx.Done():
				return
			}
		}
		r.takeIn(ctx, frame)
		// Who is far behind would have to read from the disk what others need it for.
		if _, head := r.config.Head(); head.Seq > frame.Seq+maxBehind {
			r.pass(ctx, head, frame)
			frames.Close()
			frames = r.config.Read(head.Seq)
		}
	}
}

// maxBehind is how many frames the reader may be behind.
const maxBehind = 64

func (r *Recorder) takeIn(ctx context.Context, frame *journal.Frame) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	r.taken += uint64(len(frame.Entries))
	for i := range frame.Entries {
		pos, e := journal.Position{Seq: frame.Seq, Index: i}, &frame.Entries[i]
		if r.byPos[pos] != nil {
			continue // a delivery was faster
		}
		if !r.wants(e, nil, now) && !r.usual.AllowN(now, 1) {
			r.skipped++
			continue
		}
		r.remember(pos, e)
	}
	r.reached = journal.Position{Seq: frame.Seq + 1}
}

// pass goes on at the head of the log. The calls in between are counted by the log.
func (r *Recorder) pass(ctx context.Context, head journal.Position, last *journal.Frame) {
	calls, _ := r.config.Head()
	missed := calls - min(calls, last.Before+uint64(len(last.Entries)))
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	r.reached = head
	r.taken += missed
	r.skipped += missed
}

// Observe records what happened to a call at a destination. The entry is copied; s must stay as it is.
func (r *Recorder) Observe(pos journal.Position, e *journal.Entry, s Step) {
	now := time.Now()
	if s.At.IsZero() {
		s.At = now
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.on.Load() {
		return
	}
	c := r.byPos[pos]
	if c == nil && r.takesUp(pos, e, &s, now) {
		c = r.remember(pos, e)
	}
	if c == nil {
		r.leaveOut(pos)
		return
	}
	r.bytes += c.add(s)
	r.revision++
	c.revision = r.revision
	r.trim()
}

// leaveOut notes that a step of the call is not recorded.
func (r *Recorder) leaveOut(pos journal.Position) {
	if !pos.Before(r.passed) {
		r.passed = journal.Position{Seq: pos.Seq, Index: pos.Index + 1}
	}
}

// takesUp reports whether a call is taken up for what happened to it. One that came in meanwhile had its turn then.
func (r *Recorder) takesUp(pos journal.Position, e *journal.Entry, s *Step, now time.Time) bool {
	if r.wants(e, s, now) || s.State.isFailure() && r.failures.AllowN(now, 1) {
		return true
	}
	hadItsTurn := !pos.Before(r.begin) && pos.Before(r.reached)
	return !hadItsTurn && r.usual.AllowN(now, 1)
}

// wants reports whether a viewer's filter names the call, or what just happened to it.
func (r *Recorder) wants(e *journal.Entry, s *Step, now time.Time) bool {
	for v := range r.viewers {
		if v.filter != (Filter{}) && v.filter.matchesEntry(e) && v.filter.matchesStep(s) {
			return r.wanted.AllowN(now, 1)
		}
	}
	return false
}

func (r *Recorder) remember(pos journal.Position, e *journal.Entry) *record {
	c := newRecord(pos, e)
	c.partial = pos.Before(r.reached) || pos.Before(r.passed)
	r.revision++
	c.revision = r.revision
	r.calls = append(r.calls, c)
	r.byPos[pos] = c
	r.bytes += c.size
	r.trim()
	return c
}

// trim forgets calls until the others are within the bounds.
func (r *Recorder) trim() {
	for len(r.calls) > r.config.Calls || r.bytes > r.config.Bytes && len(r.calls) > 1 {
		i := r.leastWanted()
		r.bytes -= r.calls[i].size
		delete(r.byPos, r.calls[i].pos)
		r.calls = append(r.calls[:i], r.calls[i+1:]...)
	}
}

// leastWanted is the oldest call, unless a viewer's filter names it and not all of the older half.
func (r *Recorder) leastWanted() int {
	for i, c := range r.calls[:len(r.calls)/2] {
		if !r.isNamed(c) {
			return i
		}
	}
	return 0
}

func (r *Recorder) isNamed(c *record) bool {
	for v := range r.viewers {
		if v.filter != (Filter{}) && v.filter.matches(c) {
			return true
		}
	}
	return false
}
