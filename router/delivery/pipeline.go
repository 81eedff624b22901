// Package delivery takes calls from the journal to the vendors: one Pipeline per destination, which shares nothing with the
// others. A call passes filter, translate, sequence, send and outcome, in that order; see read.go, dispatch.go, outcome.go.
// parking.go is for calls that fail alone, holding.go for those behind a dead letter, saving.go for the progress, merges.go for
// what is remembered of merges.
package delivery

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/journal"
	"aka/router/live"
	"aka/router/merges"
	"aka/router/segment"
	"aka/router/sequencer"
	"aka/router/tracing"
)

// Journal is what a pipeline needs of the journal.
type Journal interface {
	LoadProgress(ctx context.Context, destination string) (*journal.Progress, error)
	SaveProgress(ctx context.Context, destination string, encoded []byte) error
	Bury(ctx context.Context, letters []*journal.DeadLetter) error
	Park(ctx context.Context, p *journal.Parked) (id uint64, err error)
	Unpark(ctx context.Context, destination string, id uint64) error
	// DeadLetter returns journal.ErrNoDeadLetter when there is none of that id.
	DeadLetter(ctx context.Context, id uint64) (*journal.DeadLetter, error)
	UnparkAt(ctx context.Context, destination string, pos journal.Position) error
	Parked(ctx context.Context, destination string, visit func(*journal.Parked)) error
	Merges(ctx context.Context, destination string, visit func(block uint64, data []byte)) error
	SaveMerges(ctx context.Context, destination string, block uint64, data []byte) error
	DropMerges(ctx context.Context, destination string, block uint64) error
	// Head returns how many calls were accepted so far, and the position after the last.
	Head() (calls uint64, next journal.Position)
}

// Frames gives the log's frames in order; journal.Reader is one.
type Frames interface {
	Next(ctx context.Context) (*journal.Frame, error)
	Close()
}

// Sender does HTTP exchanges. It is safe for concurrent use.
type Sender interface {
	Send(x httpclient.Exchange) httpclient.Response
}

// Config is what a pipeline is built from.
type Config struct {
	Destination *destinations.Destination
	Options     Options
	Journal     Journal
	// Read opens the log at a frame.
	Read func(from uint64) Frames
	// Allowed returns the destinations that a source may use; none is all.
	Allowed func(source string) []string
	Sender  Sender
	// MaxBytes bounds what is held in memory, beside the options' WindowBytes; 0 does not.
	MaxBytes int
	Logger   *zap.Logger
	Metrics  *Metrics
	// Watch is told what becomes of the calls while somebody looks; nil is told nothing.
	Watch *live.Recorder
	// Trace tells a collector; nil tells nobody.
	Trace *tracing.Tracer
}

// Pipeline delivers the journal's calls to one destination: each once or more, in the order that identity needs.
//
// All its state belongs to one goroutine, the loop. Around it, one goroutine reads ahead and translates, one saves progress,
// one does chores on the disk, and each exchange in flight has one to itself.
type Pipeline struct {
	Config
	log     *zap.Logger
	metrics *destinationMetrics

	progress  *journal.Progress
	sequencer *sequencer.Sequencer[*job]
	window    window
	queue     *queue
	gate      *gate
	limiter   *rate.Limiter
	timers    timers
	inFlight  int
	landed    []*flight // to be used again
	flyers    int       // goroutines that do exchanges: as many as were ever in flight
	epoch     uint64    // counts the exchanges that did not fail, from 1
	taken     uint64    // counts the exchanges in which the destination took something
	parked    window    // those that are kept aside, beside the window
	dead      window    // dead letters that hold up those behind them, beside both
	// soonDead is the part of the window that is on its way there.
	soonDead struct{ count, bytes int }
	// letters are the calls of dead letters that hold up others, or did and are tried again, by the dead letters' ids; holds
	// has the same ids for other goroutines, and whether they hold up others still.
	letters map[uint64]*job
	holds   sync.Map
	noRoom  bool // nothing more can be kept aside, as the log has said
	// parkedBefore are the positions of those that an earlier run has kept aside.
	parkedBefore map[journal.Position]bool
	graves       []*job // to be buried, oldest first
	chores       []chore
	busy         bool                      // the first chore is being done
	resting      bool                      // the last chore failed: it waits
	ready        []*sequencer.Ticket[*job] // scratch
	current      []arrival                 // of the frame that is being taken in, those that are not in the window yet
	currentPos   journal.Position          // the first one's
	unsaved      bool
	saveGap      time.Duration  // after the last save, while the run is young; 0 before the first call has ended
	awaiting     []*job         // whose turn it is, but for a save
	merges       *merges.Memory // nil where nothing is remembered
	merged       []merged       // delivered calls whose merges are to be stored
	lastError    string
	state        string        // as the gate has it
	lastLag      time.Duration // of the last call that was delivered, and not replayed
	lastDelivery time.Time
	failures     failures
	// suspectBelow is the end of the log at the start, when the run before crashed: calls before it may have been sent.
	suspectBelow uint64

	flights  chan *flight
	incoming chan prepared
	asked    chan func() // what others want done on the loop
	results  chan *flight
	chored   chan error
	saves    chan savePoint
	saved    chan struct{} // a save has landed

	paused atomic.Bool
	nudged chan struct{} // what is decided by another goroutine has changed
	share  atomic.Int64  // Config.MaxBytes, as it is now

	savedFloor atomic.Uint64
	savedEnded atomic.Uint64 // how many calls had ended when the last save was made
	stop       context.CancelFunc
	background sync.WaitGroup
	stopped    chan struct{} // closed when the loop has ended
	finished   chan struct{} // closed when the progress is saved, too
	ending     bool          // nothing is begun any more
	deadline   chan struct{} // closed when what is in flight is not waited for any more
	outOfTime  sync.Once
	// storing ends when what is being stored is not waited for any more; lastSave does for the last save of progress.
	storing, lastSave       context.Context
	stopStoring, stopSaving context.CancelFunc
}

// New makes a pipeline that is not running.
func New(config Config) *Pipeline {
	p := &Pipeline{
		Config:    config,
		log:       config.Logger.With(zap.String("destination", config.Destination.Name)),
		metrics:   config.Metrics.destination(config.Destination.Name),
		sequencer: sequencer.New[*job](),
		queue:     newQueue(config.Options.Batch),
		epoch:     1,
		state:     stateClosed,
		limiter:   newLimiter(config.Options.Rate),
		letters:   map[uint64]*job{},
		flights:   make(chan *flight, config.Options.Concurrency),
		incoming:  make(chan prepared, 1),
		asked:     make(chan func()),
		results:   make(chan *flight, config.Options.Concurrency),
		chored:    make(chan error, 1),
		saves:     make(chan savePoint, 1),
		saved:     make(chan struct{}, 1),
		nudged:    make(chan struct{}, 1),
		stopped:   make(chan struct{}),
		finished:  make(chan struct{}),
		deadline:  make(chan struct{}),
	}
	p.gate = newGate(config.Options.Breaker, p.stateChanged)
	p.share.Store(int64(config.MaxBytes))
	p.storing, p.stopStoring = context.WithCancel(context.Background())
	p.lastSave, p.stopSaving = context.WithCancel(context.Background())
	return p
}

// newLimiter allows so many calls a second, and a second's worth at once. 0 is no limit.
func newLimiter(perSecond float64) *rate.Limiter {
	if perSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
}

// Start loads the progress and begins to deliver. A destination that is new gets the calls accepted from now on.
func (p *Pipeline) Start(ctx context.Context) error {
	progress, err := p.Journal.LoadProgress(ctx, p.Destination.Name)
	if err != nil {
		return err
	}
	_, head := p.Journal.Head()
	p.progress = progress
	p.savedFloor.Store(progress.Floor())
	p.savedEnded.Store(progress.Ended())
	if progress.Crashed() {
		p.suspectBelow = head.Seq
	}
	if progress.Ended() > 0 || progress.Floor() < head.Seq {
		// An alias may have been delivered just before the stop: what waits behind it must not come too soon.
		p.gate.wait(time.Now(), p.Destination.Settle)
	}
	p.saveFirst(ctx)
	if err := p.loadMerges(ctx); err != nil {
		return err
	}
	if err := p.readParked(ctx); err != nil {
		return err
	}
	p.metrics.follow(p.Journal.Head, progress.Ended())
	if p.holding() {
		p.timers.add(time.Now(), p.checkOldestLetter)
	}

	running, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.background.Go(func() { p.read(running, progress.Floor()) })
	p.background.Go(p.save)
	go p.loop(running)
	go func() {
		<-p.stopped
		p.background.Wait()
		close(p.finished)
	}()
	return nil
}

// lastSaveGrace is how much longer than its Stop may wait a pipeline has for its last save of progress.
const lastSaveGrace = time.Second

// Stop ends reading and sending, and returns once what is in flight has ended or ctx has, and the progress is saved. A disk
// that is full or hangs keeps it for lastSaveGrace more. What did not end stays in the journal. It may be called again.
func (p *Pipeline) Stop(ctx context.Context) {
	if !p.Finish(ctx) {
		p.outOfTime.Do(func() {
			close(p.deadline)
			p.stopStoring()
			time.AfterFunc(lastSaveGrace, p.stopSaving)
		})
		<-p.finished
		p.closeSender()
	}
}

// Finish does the same, but gives up nothing: it returns false when ctx ends before what is in flight. Stop is to be called then.
func (p *Pipeline) Finish(ctx context.Context) bool {
	p.stop()
	select {
	case <-p.finished:
		p.closeSender()
		return true
	case <-ctx.Done():
		return false
	}
}

// closeSender closes the connections.
func (p *Pipeline) closeSender() {
	if sender, ok := p.Sender.(io.Closer); ok {
		_ = sender.Close()
	}
}

// Floor returns the first frame of the log that this destination still needs, as far as that is saved: below it the log
// may be purged.
func (p *Pipeline) Floor() uint64 { return p.savedFloor.Load() }

func (p *Pipeline) loop(ctx context.Context) {
	defer close(p.stopped)
	defer close(p.flights)
	tick := time.NewTicker(saveInterval)
	defer tick.Stop()
	alarm := alarm{timer: time.NewTimer(time.Hour)}
	defer alarm.timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		p.admit(now)
		p.timers.run(now)
		alarm.set(p.dispatch(now), now)
		p.publishState()
		incoming := p.incoming
		if len(p.current) > 0 {
			incoming = nil // the window is full
		}
		select {
		case next := <-incoming:
			p.begin(next)
		case f := <-p.results:
			p.concludeAll(f)
		case err := <-p.chored:
			p.choreDone(err)
		case ask := <-p.asked:
			ask()
		case <-p.saved:
			p.goOnSaved(time.Now())
		case <-p.nudged:
			p.showState()
		case <-alarm.timer.C:
			alarm.at = time.Time{}
		case <-tick.C:
			now := time.Now()
			p.saveSoon()
			p.buryTooOld(now)
			p.parkStragglers(now)
			p.detachWaiting()
		case <-ctx.Done():
		}
	}
	p.finishInFlight()
	p.saveLast()
}

// finishInFlight waits for the exchanges that are under way, and for the chores as long as they succeed. It starts no more
// exchanges.
func (p *Pipeline) finishInFlight() {
	p.ending = true
	for p.inFlight > 0 || p.busy {
		select {
		case ask := <-p.asked:
			ask()
		case f := <-p.results:
			p.conclude(f, time.Now())
		case err := <-p.chored:
			p.choreDone(err)
		case <-p.deadline:
			p.log.Warn("stopped with exchanges in flight; they are repeated on the next start", zap.Int("in_flight", p.inFlight))
			return
		}
	}
}

// publishState refreshes the gauges.
func (p *Pipeline) publishState() {
	p.metrics.state(pipelineState{
		ended: p.progress.Ended() - min(p.progress.Ended(), uint64(p.parked.count)), oldest: p.oldest(), window: p.window.count,
		parked: p.parked.count + p.dead.count, held: p.dead.count, inFlight: p.inFlight, bytes: p.bytesHeld(),
	})
}

// stateChanged tells of a new state; wait is how long nothing is sent in it.
func (p *Pipeline) stateChanged(state string, wait time.Duration) {
	p.state = state
	p.showState()
	switch state {
	case stateOpen:
		p.log.Warn("the destination counts as down; calls wait until it takes one again", zap.Duration("next_probe_in", wait))
	case stateHeld:
		p.log.Error("the destination refuses our credentials: put the right ones into its settings and reload the config; calls wait meanwhile", zap.Duration("next_probe_in", wait))
	case stateClosed:
		p.log.Info("the destination takes calls again")
	}
}

// exclusive tells whether no other call of the same person may be under way beside this one.
func (p *Pipeline) exclusive(t segment.Type) bool {
	return p.order() == adapter.OrderStrict || t.ChangesIdentity()
}

func (p *Pipeline) order() adapter.Order {
	if p.Options.Order != "" {
		return p.Options.Order
	}
	return p.Destination.Order
}
