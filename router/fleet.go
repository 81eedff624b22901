package router

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/admin"
	"aka/router/config"
	"aka/router/cpu"
	"aka/router/delivery"
	"aka/router/devices"
	"aka/router/httpclient"
	"aka/router/journal"
	"aka/router/live"
	"aka/router/merges"
	"aka/router/tracing"
)

// fleet is the destinations as they run: a pipeline for each that is configured, and what those have left that are not any more.
type fleet struct {
	log       *zap.Logger
	journal   *journal.Journal
	metrics   *delivery.Metrics
	live      *live.Recorder
	mergeKey  []byte // of the digests of ids
	devices   *devices.Filter
	cpu       cpu.Meter
	trace     *tracing.Tracer // nil where nothing is traced
	allowed   func(source string) []string
	forgotten prometheus.Counter
	keptDrops []string // the reasons of the drops that are kept, as at the start

	mu        sync.RWMutex
	pipelines map[string]*delivery.Pipeline
	orphans   map[string]*orphan // of those that are not configured any more
	adding    int                // destinations that are about to be in pipelines

	changing sync.Mutex // held while destinations are changed, or everything is stopped
	pausing  sync.Mutex // held while it is decided whether a destination is paused
}

func newFleet(log *zap.Logger, allowed func(source string) []string) *fleet {
	return &fleet{
		log: log, allowed: allowed, pipelines: map[string]*delivery.Pipeline{}, orphans: map[string]*orphan{},
		forgotten: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "aka", Name: "forgotten_calls_total",
			Help: "Calls that waited for a destination which is not configured any more, when it was forgotten."}),
	}
}

// start goes on with every destination where the run before stopped, and with what those have left that are not
// configured any more.
func (f *fleet) start(ctx context.Context, config *config.Config) error {
	f.keptDrops = config.Dropped.Reasons
	running := config.Running()
	for _, name := range slices.Sorted(maps.Keys(running)) {
		if err := f.begin(ctx, config, running[name]); err != nil {
			return err
		}
	}
	for _, name := range f.journal.Destinations() {
		if running[name] != nil {
			continue
		}
		if err := f.remove(ctx, config, name); err != nil {
			return err
		}
	}
	return nil
}

// begin starts a destination's pipeline, whose type is the destination's from then on.
func (f *fleet) begin(ctx context.Context, config *config.Config, d *config.Destination) error {
	if err := f.journal.SetType(ctx, d.Name, d.Type); err != nil {
		return err
	}
	f.journal.SetLedgerLimits(d.Name, journal.LedgerLimits{MaxAge: d.MergeOptions.Ledger.MaxAge, MaxBytes: uint64(d.MergeOptions.Ledger.MaxBytes)})
	p := f.pipeline(config, d)
	if err := p.Start(ctx); err != nil {
		return err
	}
	f.set(d.Name, p)
	return nil
}

// pipeline makes a destination's pipeline.
func (f *fleet) pipeline(config *config.Config, d *config.Destination) *delivery.Pipeline {
	p := delivery.New(delivery.Config{
		Destination:    d.Destination,
		Options:        d.Delivery,
		Merges:         d.MergeOptions,
		Kinds:          config.Kinds(),
		Devices:        f.devices,
		Journal:        f.journal,
		Read:           func(from uint64) delivery.Frames { return f.journal.ReadFrom(from) },
		Allowed:        f.allowed,
		Sender:         httpclient.New(d.Delivery.HTTP()),
		KeptDrops:      f.keptDrops,
		CPUIsSaturated: f.cpu.IsSaturated,
		MaxBytes:       share(config),
		Logger:         f.log,
		Metrics:        f.metrics,
		Memory:         merges.Options{Key: f.mergeKey, MaxAge: d.MergeOptions.Memory.MaxAge, MaxBytes: int64(d.MergeOptions.Memory.MaxBytes)},
		Watch:          f.live,
		Trace:          f.trace,
		Waits:          d.Waits,
	})
	p.Pause(f.journal.Paused(d.Name))
	return p
}

// share is what each destination may hold in memory.
func share(config *config.Config) int { return int(config.BufferBytes) / len(config.Running()) }

// set makes a pipeline the one of its destination.
func (f *fleet) set(name string, p *delivery.Pipeline) {
	f.mu.Lock()
	f.pipelines[name] = p
	delete(f.orphans, name)
	f.mu.Unlock()
	f.pausing.Lock() // it may have been paused since it was made
	defer f.pausing.Unlock()
	p.Pause(f.journal.Paused(name))
}

// remove looks after what a destination has left, whose pipeline has stopped. A dry run leaves nothing.
func (f *fleet) remove(ctx context.Context, config *config.Config, name string) error {
	if isDry(name) {
		return f.endDryRun(ctx, name)
	}
	o, err := f.addOrphan(ctx, name, config.Delivery.MaxBacklogAge)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orphans[name] = o
	delete(f.pipelines, name)
	return nil
}

func isDry(name string) bool { return config.IsDry(name) }

func liveName(name string) string { return config.LiveName(name) }

// endDryRun drops what a dry run has kept: its place in the log, and what it remembers of merges that were none.
func (f *fleet) endDryRun(ctx context.Context, name string) error {
	if err := f.journal.Forget(ctx, name); err != nil {
		return err
	}
	f.mu.Lock()
	delete(f.pipelines, name)
	f.mu.Unlock()
	f.metrics.Forget(name)
	f.log.Info("dry run ended, its memory dropped", zap.String("destination", name), zap.String("hint", "if it is live now, it begins with what is accepted from now on, or where from_start kept calls"))
	return nil
}

// all returns the pipelines of the configured destinations, by their names.
func (f *fleet) all() map[string]*delivery.Pipeline {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return maps.Clone(f.pipelines)
}

// floor returns the first frame of the log that any destination still needs; 0 where one is about to say so.
func (f *fleet) floor() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.adding > 0 {
		return 0
	}
	floor := ^uint64(0)
	for _, p := range f.pipelines {
		floor = min(floor, p.Floor())
	}
	for _, o := range f.orphans {
		floor = min(floor, o.Floor())
	}
	return floor
}

// stop finishes what is in flight as long as ctx lasts.
func (f *fleet) stop(ctx context.Context) {
	var stopping sync.WaitGroup
	for _, p := range f.all() {
		stopping.Go(func() { p.Stop(ctx) })
	}
	for _, o := range f.orphans {
		stopping.Go(o.close)
	}
	stopping.Wait()
}

// change is what a reload does to a destination.
type change int

const (
	unchanged change = iota
	added
	replaced
	removed
)

// changeOf compares a destination as it runs with what it is to be; nil is none.
func changeOf(before, after *config.Destination) change {
	switch {
	case after == nil:
		return removed
	case before == nil:
		return added
	case before.Waits == after.Waits && before.Delivery == after.Delivery && reflect.DeepEqual(before.MergeOptions, after.MergeOptions) &&
		areEqual(*before.Destination, *after.Destination):
		return unchanged
	}
	return replaced
}

// areEqual compares what two destinations were built of: their adapters by their Identity where they have one. Their maskers hold no
// other secrets than their adapters, and are made ready only when they are used; and what they remember comes of calls.
func areEqual(a, b destinations.Destination) bool {
	a.Masker, b.Masker, a.Routes, b.Routes = nil, nil, nil, nil
	one, isOne := a.Adapter.(adapter.Identified)
	other, isOther := b.Adapter.(adapter.Identified)
	if isOne && isOther {
		if one.Identity() != other.Identity() {
			return false
		}
		a.Adapter, b.Adapter = nil, nil
	}
	if editsDiffer(&a, &b) {
		return false
	}
	a.Transform, b.Transform = nil, nil // what is compiled does not compare
	return reflect.DeepEqual(a, b)
}

// editsDiffer reports whether two destinations have other filters or transforms.
func editsDiffer(a, b *destinations.Destination) bool {
	return a.Transform.Digest() != b.Transform.Digest()
}

// noteEdits logs that a destination has another filter or transform than before.
func (f *fleet) noteEdits(before, after *config.Destination) {
	if before != nil && after != nil && editsDiffer(before.Destination, after.Destination) {
		f.log.Info("filter or transform changed", zap.String("destination", after.Name), zap.String("hint", "waiting calls are filtered and transformed anew; what was in flight was sent as before"))
	}
}

// change makes the destinations run as the config says, each by itself: one whose vendor is slow to answer what is
// in flight keeps no other waiting. It returns what it did, by name; what the end of ctx has kept it from is not in it.
func (f *fleet) change(ctx context.Context, before, after *config.Config) map[string]change {
	for _, p := range f.all() {
		p.SetMaxBytes(share(after))
	}
	running, next := before.Running(), after.Running()
	names := unionOfNames(running, next)
	var mu sync.Mutex
	done := map[string]change{}
	var changing sync.WaitGroup
	if before.Delivery.MaxBacklogAge != after.Delivery.MaxBacklogAge {
		for _, name := range f.orphanNames() {
			if !names[name] {
				changing.Go(func() { f.changeOne(ctx, after, name) })
			}
		}
	}
	newKinds := !reflect.DeepEqual(before.Kinds(), after.Kinds())
	changes := map[string][]namedChange{}
	for name := range names {
		c := changeOf(running[name], next[name])
		if c == unchanged && newKinds {
			c = replaced
		}
		if c != unchanged {
			changes[liveName(name)] = append(changes[liveName(name)], namedChange{name, c})
		}
	}
	for _, each := range changes {
		// A destination and its dry run change one after the other, first what is added: each call is then for one of them at least.
		slices.SortFunc(each, func(a, b namedChange) int { return cmp.Compare(a.change, b.change) })
		changing.Go(func() {
			for _, c := range each {
				if f.changeOne(ctx, after, c.name) {
					f.noteEdits(running[c.name], next[c.name])
					mu.Lock()
					done[c.name] = c.change
					mu.Unlock()
				}
			}
		})
	}
	changing.Wait()
	return done
}

// orphanNames are the destinations that are not configured any more.
func (f *fleet) orphanNames() []string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.Collect(maps.Keys(f.orphans))
}

type namedChange struct {
	name   string
	change change
}

func unionOfNames(a, b map[string]*config.Destination) map[string]bool {
	names := map[string]bool{}
	for name := range a {
		names[name] = true
	}
	for name := range b {
		names[name] = true
	}
	return names
}

// changeOne stops what runs under a name, waits until nothing of it is in flight, and goes on as the config says.
// What is written to disk is tried again until it succeeds: meanwhile the destination's calls wait in the journal.
func (f *fleet) changeOne(ctx context.Context, config *config.Config, name string) bool {
	f.mu.RLock()
	p, o := f.pipelines[name], f.orphans[name]
	f.mu.RUnlock()
	if p != nil && !p.Finish(ctx) { // each exchange ends within its timeout
		return false // who stops everything waits for it
	}
	if o != nil {
		o.close()
	}
	for ctx.Err() == nil {
		err := f.goOn(ctx, config, name)
		if err == nil {
			return true
		}
		f.log.Error("failed to change destination, retrying", zap.String("hint", "check whether the disk is full; its calls wait meanwhile"), zap.String("destination", name), zap.Error(err))
		pause(ctx, time.Second)
	}
	return false
}

func (f *fleet) goOn(ctx context.Context, config *config.Config, name string) error {
	d := config.Running()[name]
	if d == nil {
		return f.remove(ctx, config, name)
	}
	f.addingChanges(1)
	defer f.addingChanges(-1)
	return f.begin(ctx, config, d)
}

// addingChanges keeps the log from being purged between the moment that a destination begins and the one that it counts from.
func (f *fleet) addingChanges(by int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.adding += by
}

func (f *fleet) pause(name string, paused bool) error {
	f.pausing.Lock()
	defer f.pausing.Unlock()
	switch p := f.all()[name]; {
	case p == nil:
		return fmt.Errorf("%w: %s", admin.ErrNoDestination, name)
	case p.Waits():
		return fmt.Errorf("%w: %s", admin.ErrDry, name)
	}
	if err := f.journal.Pause(name, paused); err != nil {
		return err
	}
	if p := f.all()[name]; p != nil { // a reload may have put another in its place
		p.Pause(paused)
	}
	return nil
}

// forget drops the calls that wait for a removed destination, and returns how many there were. The caller holds changing.
func (f *fleet) forget(ctx context.Context, name string) (calls uint64, err error) {
	f.mu.RLock()
	o := f.orphans[name]
	f.mu.RUnlock()
	if o == nil {
		return 0, fmt.Errorf("%w: %s", admin.ErrNoDestination, name)
	}
	o.close()
	calls = o.waiting.Load()
	if err := f.journal.Forget(ctx, name); err != nil {
		return 0, err // it is not looked after until the next start, which is no loss
	}
	f.mu.Lock()
	delete(f.orphans, name)
	f.mu.Unlock()
	f.metrics.Forget(name)
	f.forgotten.Add(float64(calls))
	return calls, nil
}

// waiting returns how many calls wait for each configured destination, where any do, and which of those are paused.
func (f *fleet) waiting() (calls map[string]uint64, paused []string) {
	calls, paused = map[string]uint64{}, []string{}
	for name, p := range f.all() {
		if n := p.Backlog(); n > 0 {
			calls[name] = n
			if p.Paused() {
				paused = append(paused, name)
			}
		}
	}
	slices.Sort(paused)
	return calls, paused
}
