// Package delivery takes calls from the journal to the vendors: one Pipeline per destination, which shares nothing with the
// others.
//
// A call's way: reader (filter, translate), intake (room in memory), order (its turn among its people's calls), dispatcher (the
// exchange), results (what the answer means), and deadLetters where it is given up. parking is for calls that wait behind a
// blocked identity: queueWriter and queueReader take them to the disk and back. checkpoint keeps how far the destination is,
// mergeStore what is remembered of merges, mergeLedger what became of them, drops the dropped calls. mergeGuard asks the merge
// rules, and quarantine holds aliases for the operator. expiry ends what has waited for too long, and refusals notices a destination that
// refuses everything. Each call is in one state (job.go); Pipeline.transition moves it (telemetry.go).
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
	"aka/router/deststate"
	"aka/router/httpclient"
	"aka/router/journal"
	"aka/router/live"
	"aka/router/mergerules"
	"aka/router/merges"
	"aka/router/reorder"
	"aka/router/sequencer"
	"aka/router/tracing"
)

// Journal is what a pipeline needs of the journal.
type Journal interface {
	// Head returns how many calls were accepted so far, and the position after the last.
	Head() (calls uint64, next journal.Position)
	LoadProgress(ctx context.Context, destination string) (*journal.Progress, error)
	// SaveProgress saves progress, and with it what is remembered of merges, and entries of their ledger.
	SaveProgress(ctx context.Context, destination string, encoded []byte, facts []journal.Fact, entries []journal.LedgerEntry) error
	// AutoDecisions returns a destination's automatic decisions of merges.
	AutoDecisions(ctx context.Context, destination string, now time.Time) ([]journal.AutoDecision, error)
	DeadLetters
	Queues
	Facts
}

// DeadLetters are the dead letters of all destinations.
type DeadLetters interface {
	// StoreDeadLetters stores dead letters, each with the place in which it blocks others where it has one.
	StoreDeadLetters(ctx context.Context, deadLetters []*journal.DeadLetter) error
	// Withdraw takes dead letters out again, and parks their calls where park says.
	Withdraw(ctx context.Context, destination string, deadLetters []uint64, park func(*journal.DeadLetter) *journal.Parked) ([]*journal.Parked, error)
	// DeadLetter returns journal.ErrNoDeadLetter when there is none of that id.
	DeadLetter(ctx context.Context, id uint64) (*journal.DeadLetter, error)
	// KeepDropped stores dropped calls beside the dead letters. What is stored already is recognized.
	KeepDropped(ctx context.Context, calls []*journal.DeadLetter) error
}

// Queues are a destination's calls that wait on disk.
type Queues interface {
	Park(ctx context.Context, destination string, calls []*journal.Parked) error
	Unpark(ctx context.Context, destination string, keys []journal.ParkedKey, facts []journal.Fact) error
	ReadQueue(ctx context.Context, destination string, queue uint64, from journal.Rank, visit func(*journal.Parked) bool) error
	EachParked(ctx context.Context, destination string, visit func(*journal.Parked) error) error
}

// Facts are what is remembered of a destination's merges. They are saved with its progress.
type Facts interface {
	// Fact returns nil where there is none of that key.
	Fact(ctx context.Context, destination string, key []byte) ([]byte, error)
	// EachFact calls visit for the facts in the order of their keys, beginning with from, until it returns false.
	EachFact(ctx context.Context, destination string, from []byte, visit func(key, value []byte) (more bool)) error
}

// Devices knows which ids were seen as a device's anonymousId. It is safe for concurrent use.
type Devices interface {
	mergerules.Devices
	Add(id string)
	// Flush returns once what was added is safe on disk, or could not be written, or the context ends.
	Flush(ctx context.Context)
}

// Frames gives the log's frames in order; journal.Reader is one.
type Frames interface {
	// NextBefore returns the next frame, or a mark where none comes that was written before due: see journal.Reader.
	NextBefore(ctx context.Context, due time.Time, left time.Duration) (f *journal.Frame, mark time.Time, err error)
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
	// Merges are the merge rules and what belongs to them; Kinds says what ids are, and Devices which are devices. The latter two
	// may be nil.
	Merges  mergerules.Options
	Kinds   *mergerules.Kinds
	Devices Devices
	Journal Journal
	// Read opens the log at a frame.
	Read func(from uint64) Frames
	// Allowed returns the destinations that a source may use; none is all.
	Allowed func(source string) []string
	Sender  Sender
	// Memory has the key and the bounds of what is remembered of merges.
	Memory merges.Options
	// CPUIsSaturated reports whether this machine's own load makes exchanges slow; nil is never.
	CPUIsSaturated func() bool
	// KeptDrops are the reasons of the drops that are kept.
	KeptDrops []string
	// MaxBytes bounds what is held in memory, beside the options' WindowBytes; 0 does not.
	MaxBytes int
	Logger   *zap.Logger
	Metrics  *Metrics
	// Waits has it paused for as long as it runs.
	Waits bool
	// Watch gets what becomes of the calls while somebody looks; it may be nil.
	Watch *live.Recorder
	// Trace sends spans to a collector; it may be nil.
	Trace *tracing.Tracer
}

// Pipeline delivers the journal's calls to one destination: each once or more, in the order that identity needs.
//
// All its state belongs to one goroutine, the loop. Around it, one goroutine reads ahead and translates, one saves progress,
// one does storage jobs, and each exchange in flight has one to itself.
type Pipeline struct {
	config  Config
	log     *zap.Logger
	metrics *destinationMetrics
	timers  timers

	reader      reader
	intake      intake
	order       order
	checkpoint  checkpoint
	storage     *storage
	dispatcher  *dispatcher
	results     results
	health      health
	telemetry   telemetry
	merges      mergeStore
	ledger      mergeLedger
	newIDs      newIDs
	deadLetters *deadLetters
	drops       *drops
	refusals    refusals
	parking     *parking
	expiry      expiry
	growth      growth
	mergeGuard  mergeGuard
	quarantine  *heldAliases

	window         list // calls from the log
	parkedInMemory list // calls that have a place in a queue on disk, and are in memory, too

	asked    chan func() // what others want done on the loop
	nudged   chan struct{}
	paused   atomic.Bool
	maxShare atomic.Int64 // Config.MaxBytes, as it is now

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
	log := config.Logger.With(zap.String("destination", config.Destination.Name))
	p := &Pipeline{
		config: config, log: log, metrics: config.Metrics.destination(config.Destination.Name, config.Destination.Dry), health: newHealth(log),
		asked:    make(chan func()),
		nudged:   make(chan struct{}, 1),
		stopped:  make(chan struct{}),
		finished: make(chan struct{}),
		deadline: make(chan struct{}),
	}
	p.maxShare.Store(int64(config.MaxBytes))
	p.paused.Store(config.Waits)
	p.storing, p.stopStoring = context.WithCancel(context.Background())
	p.lastSave, p.stopSaving = context.WithCancel(context.Background())
	name := config.Destination.Name
	p.reader = reader{
		destination: config.Destination, allowed: config.Allowed, open: config.Read, log: log, metrics: p.metrics, newIDs: &p.newIDs, merges: &p.merges, incoming: make(chan prepared, 1),
		order: reorder.New(), held: newHeldFrames(config.Read),
	}
	p.checkpoint = checkpoint{
		destination: name, sendsNothing: config.Destination.Dry, journal: config.Journal, log: log, metrics: p.metrics, timers: &p.timers, merges: &p.merges, ledger: &p.ledger, saves: make(chan savePoint, 1), saved: make(chan struct{}, 1),
	}
	p.intake, p.results, p.expiry, p.growth = intake{p: p}, results{p}, expiry{p}, growth{p: p}
	p.order = order{p: p, sequencer: sequencer.New[*job]()}
	p.storage = newStorage(p.storing, log, &p.timers)
	p.dispatcher = newDispatcher(&p.config, log, p.stateChanged)
	p.telemetry = telemetry{destination: name, watch: config.Watch, trace: config.Trace, metrics: p.metrics, detail: p.detail}
	p.merges = mergeStore{p: p}
	p.ledger = newMergeLedger(p)
	p.newIDs = newIDs{p: p, log: rate.Sometimes{Interval: lostLogInterval}}
	p.deadLetters = newDeadLetters(p)
	p.drops = newDrops(p)
	p.refusals = newRefusals(p)
	p.parking = newParking(p)
	p.mergeGuard, p.quarantine = newMergeGuard(p), newHeldAliases(p)
	return p
}

// Start loads the progress and begins to deliver. A destination that is new gets the calls accepted from now on.
func (p *Pipeline) Start(ctx context.Context) error {
	if err := p.checkpoint.load(ctx); err != nil {
		return err
	}
	progress := p.checkpoint.progress
	if _, head := p.config.Journal.Head(); progress.Ended() > 0 || progress.Floor() < head.Seq {
		// An alias may have been delivered just before the stop: what waits behind it must not come too soon.
		p.dispatcher.breaker.Wait(time.Now(), p.config.Destination.Settle)
	}
	if err := p.merges.load(ctx); err != nil {
		return err
	}
	if err := p.mergeGuard.load(ctx); err != nil {
		return err
	}
	p.checkpoint.saveFirst(ctx)
	if err := p.parking.reader.load(ctx); err != nil {
		return err
	}
	p.metrics.follow(p.config.Journal.Head, progress.Ended())
	p.timers.add(time.Now().Add(expiryInterval), p.expiry.expireAll)
	p.timers.add(time.Now(), p.growth.sample)
	if p.blocksOnDead() {
		p.timers.add(time.Now(), p.deadLetters.checkOldest)
	}

	running, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.reader.resume(progress)
	first := progress.Needed()
	p.background.Go(func() { p.reader.run(running, first) })
	p.background.Go(func() { p.checkpoint.run(p.storing, p.lastSave) })
	p.background.Go(func() { p.merges.prepare(running) })
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
	if sender, ok := p.config.Sender.(io.Closer); ok {
		_ = sender.Close()
	}
}

// Floor returns the first frame of the log that this destination still needs, as far as that is saved: below it the log
// may be purged.
func (p *Pipeline) Floor() uint64 { return p.checkpoint.floor.Load() }

func (p *Pipeline) loop(ctx context.Context) {
	defer close(p.stopped)
	defer close(p.dispatcher.work)
	tick := newTicker()
	defer tick.Stop()
	alarm := alarm{timer: time.NewTimer(time.Hour)}
	defer alarm.timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		p.order.takeTurns(now)
		p.intake.admit(now)
		p.timers.run(now)
		p.order.takeTurns(now)
		alarm.set(p.dispatch(now), now)
		p.publish()
		incoming := p.reader.incoming
		if len(p.intake.current) > 0 {
			incoming = nil // the window is full
		}
		happened := true
		select {
		case next := <-incoming:
			p.intake.begin(next)
		case x := <-p.dispatcher.results:
			p.results.concludeAll(x)
		case err := <-p.storage.results:
			p.storage.finish(err)
		case err := <-p.drops.storage.results:
			p.drops.storage.finish(err)
		case ask := <-p.asked:
			ask()
		case <-p.checkpoint.saved:
			p.order.turns = append(p.order.turns, p.checkpoint.takeAwaiting()...)
		case <-p.nudged:
			p.showState()
		case <-alarm.timer.C:
			alarm.at, happened = time.Time{}, false
		case <-tick.C:
			p.tick(time.Now())
			tick.ticked()
			happened = false
		case <-ctx.Done():
		}
		if happened || p.checkpoint.isDue() {
			tick.happened()
		}
	}
	p.finishInFlight()
	p.mergeGuard.underWay.stop()
	p.checkpoint.saveLast(!p.leavesPossiblyDelivered())
}

// tick does what is due every saveInterval, and less often while nothing happens.
func (p *Pipeline) tick(now time.Time) {
	p.checkpoint.saveSoon()
	p.metrics.pace.show(p.dispatcher.adaptive.Status(now))
	if p.config.CPUIsSaturated != nil {
		p.dispatcher.adaptive.SetSaturated(p.config.CPUIsSaturated())
	}
	p.expiry.expire(&p.parkedInMemory, now)
	p.expiry.expire(&p.window, now)
	p.parking.tick(now)
	p.quarantine.tick(now)
	p.mergeGuard.underWay.forgetLost()
	p.intake.detachWaiting()
}

// finishInFlight waits for the exchanges that are under way, and for the storage jobs as long as they succeed. It starts no
// more exchanges.
func (p *Pipeline) finishInFlight() {
	p.ending = true
	p.storage.hurry()
	for p.dispatcher.inFlight > 0 || p.storage.busy || p.drops.storage.busy {
		select {
		case ask := <-p.asked:
			ask()
		case x := <-p.dispatcher.results:
			p.results.conclude(x, time.Now())
		case err := <-p.storage.results:
			p.storage.finish(err)
		case err := <-p.drops.storage.results:
			p.drops.storage.finish(err)
		case <-p.deadline:
			p.log.Warn("stopped with exchanges in flight", zap.Int("in_flight", p.dispatcher.inFlight), zap.String("hint", "they are repeated at the next start"))
			return
		}
	}
}

// leavesPossiblyDelivered reports whether the vendor may have acted on calls that have not ended, in this run or in one before.
func (p *Pipeline) leavesPossiblyDelivered() bool {
	return p.dispatcher.inFlight > 0 || p.window.anyPossiblyDelivered() || p.parkedInMemory.anyPossiblyDelivered() || p.checkpoint.progress.Floor() < p.checkpoint.possiblyDeliveredBelow
}

// dispatch starts as many exchanges as may start now, and returns when the loop is to be woken; never, when that is zero, until
// something happens.
func (p *Pipeline) dispatch(now time.Time) (wake time.Time) {
	wake = p.timers.next()
	p.refusals.withdraw()
	for !p.paused.Load() && !p.refusals.withdrawing {
		x, at := p.dispatcher.next(now)
		if x == nil {
			return earlier(wake, at)
		}
		p.dispatcher.start(x, now)
		for _, j := range x.jobs {
			p.transition(j, inFlight)
		}
	}
	return wake
}

// stateChanged is called with each new state of the breaker.
func (p *Pipeline) stateChanged(state deststate.State, wait time.Duration) {
	p.health.stateChanged(state, wait)
	if state == deststate.OK {
		p.dispatcher.adaptive.Reset(time.Now()) // what it could take before it was down says little
	}
	p.showState()
}

// blocksOnDead reports whether dead letters block those behind them. Without an order no call is behind another.
func (p *Pipeline) blocksOnDead() bool {
	return p.config.Options.OnDead == OnDeadBlock && p.order.strictness() != adapter.OrderNone
}

// bytes is the size of all calls in memory: in the window and beside it.
func (p *Pipeline) bytes() int { return p.window.bytes + p.parkedInMemory.bytes }

// maxBytes is the most that they may take. At most half of it goes to what is in memory beside the window.
func (p *Pipeline) maxBytes() int {
	if share := int(p.maxShare.Load()); share > 0 {
		return min(share, int(p.config.Options.WindowBytes))
	}
	return int(p.config.Options.WindowBytes)
}
