// Package router builds everything from the config: sources at one end, destinations at the other, the journal between
// them. It runs what it built, and stops it in order.
package router

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"aka/router/admin"
	"aka/router/config"
	"aka/router/delivery"
	"aka/router/devices"
	"aka/router/explain"
	"aka/router/ingress"
	"aka/router/instance"
	"aka/router/journal"
	"aka/router/live"
	"aka/router/logging"
	"aka/router/merges"
	"aka/router/tracing"
)

// Router is everything, running: the ingress, the journal, and a pipeline per destination.
type Router struct {
	current  atomic.Pointer[current]
	atStart  *config.Config // what needs a restart stays as it was here
	log      *zap.Logger
	registry *prometheus.Registry

	onReload func(before, next *config.Config)
	journal  *journal.Journal
	live     *live.Recorder
	trace    *tracing.Tracer // nil where nothing is traced
	fleet    *fleet
	ingress  *ingress.Server
	admin    *admin.Server

	reloading sync.Mutex      // held from reading a config until everything uses it
	running   context.Context // until Stop
	stop      context.CancelFunc

	drainChanges      sync.Mutex
	draining, drained atomic.Bool
	drainedSignal     chan struct{}
	ingressStopped    sync.Once

	listener, adminListener net.Listener
	started                 atomic.Bool
	background              sync.WaitGroup
	failed                  chan error
}

// current is what the router uses at the moment.
type current struct {
	*config.Config
	// former are the destinations of sources that were configured when this process began, or later, and are not any more.
	former map[string][]string
}

// New makes a router that is not running.
func New(config *config.Config, log *zap.Logger) *Router {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if operations := logging.Of(log); operations != nil {
		registry.MustRegister(operations)
	}
	r := &Router{
		atStart: config, log: log, registry: registry, failed: make(chan error, 3),
		drainedSignal: make(chan struct{}),
	}
	r.fleet = newFleet(log, r.allowed)
	registry.MustRegister(r.fleet.forgotten)
	r.current.Store(&current{Config: config})
	r.running, r.stop = context.WithCancel(context.Background())
	return r
}

// OnReload has do called by each reload once the router uses the next config, for what belongs to the process. Call it before
// Start.
func (r *Router) OnReload(do func(before, next *config.Config)) { r.onReload = do }

// Config returns the config that the router uses at the moment.
func (r *Router) Config() *config.Config { return r.current.Load().Config }

// allowed returns the destinations that a source may use; none is all. What a source has sent that is not configured any more
// goes on to where it was meant to go, as far as this process knows.
func (r *Router) allowed(source string) []string {
	current := r.current.Load()
	if s, ok := current.Sources[source]; ok {
		return s.Destinations
	}
	return current.former[source]
}

// Start opens the journal, goes on delivering where the run before stopped, and only then takes calls. When it fails,
// nothing is left running.
func (r *Router) Start(ctx context.Context) error {
	err := r.start(ctx)
	if err != nil {
		r.Stop(ctx)
	}
	return err
}

func (r *Router) start(ctx context.Context) (err error) {
	config := r.Config()
	if r.journal, err = journal.Open(ctx, config.Journal.Options, r.log, r.registry); err != nil {
		return err
	}
	r.background.Go(r.watchJournal)
	r.fleet.journal = r.journal
	if r.fleet.mergeKey, err = merges.LoadKey(config.Journal.Dir, config.Merges.KeyFile); err != nil {
		return err
	}
	if err := r.nameInstance(config); err != nil {
		return err
	}
	r.fleet.devices = devices.New(devices.Options{Key: r.fleet.mergeKey, Dir: config.Journal.Dir, OnError: func(err error) {
		r.log.Warn("devices seen are not kept", zap.Error(err), zap.String("hint", "is the disk full? some rules of merges know less"))
	}})
	r.background.Go(func() { r.fleet.devices.Run(r.running) })
	select {
	case <-r.fleet.devices.Loaded(): // or a call that waits would be judged as if no device were known
	case <-ctx.Done():
		return ctx.Err()
	}
	r.background.Go(func() { r.fleet.cpu.Run(r.running) })
	if err := r.fleet.checkTypes(ctx, config); err != nil {
		return err
	}
	r.live = r.recorder()
	if r.trace, err = tracing.New(config.Otel, r.log, r.registry); err != nil {
		return err
	}
	if err := r.startAdmin(); err != nil {
		return err
	}
	r.fleet.live, r.fleet.trace = r.live, r.trace
	r.fleet.metrics = delivery.NewMetrics(r.registry)
	if err := r.fleet.start(ctx, config); err != nil {
		return err
	}
	fitting := config.Config
	fitting.Limits.Connections = fitConnections(config, r.log)
	if r.ingress, err = ingress.New(fitting, r.journal, r.log, r.registry); err != nil {
		return err
	}
	r.ingress.Trace = r.trace
	if r.listener, err = net.Listen("tcp", config.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	r.serve(r.listener, r.ingress.Serve)
	r.background.Go(func() { r.purge(r.running) })
	r.started.Store(true)
	return nil
}

// nameInstance gives the adapters of a config the name that the journal's folder keeps, if the config has none.
func (r *Router) nameInstance(config *config.Config) error {
	if config.Instance != "" {
		return nil
	}
	name, err := instance.Load(r.atStart.Journal.Dir)
	config.NameInstance(name)
	return err
}

// errJournalFailed ends the process: a supervisor starts it again, and it goes on where it stopped.
var errJournalFailed = errors.New("the journal's store has failed")

// watchJournal reports a journal that will take nothing more.
func (r *Router) watchJournal() {
	select {
	case <-r.journal.Failed():
		r.failed <- errJournalFailed
	case <-r.running.Done():
	}
}

var (
	errStarting = errors.New("starting, or stopping")
	errDraining = errors.New("draining: no more calls are taken")
	// errNotRunning is for what is asked of what does not run.
	errNotRunning = fmt.Errorf("%w: %w", admin.ErrNotNow, errStarting)
)

func (r *Router) startAdmin() (err error) {
	r.admin = admin.New(admin.Config{
		Listen:       r.Config().Admin.Listen,
		Hosts:        r.Config().Admin.Hosts,
		Tokens:       r.Config().Admin.Tokens,
		Destinations: func() []string { return slices.Sorted(maps.Keys(r.Config().Running())) },
		Types:        r.typesOf,
		Operations:   operations{r},
		Journal:      r.journal,
		Blocking:     blockingDeadLetters{r},
		Held:         heldAliases{r},
		Digest:       func(id string) journal.Digest { return journal.Digest(merges.Digester(r.fleet.mergeKey)(id)) },
		ReplayRate:   r.Config().DeadLetters.ReplayRate,
		Started: func() error {
			switch {
			case !r.started.Load():
				return errStarting
			case r.draining.Load():
				return errDraining
			}
			return nil
		},
		Explain: func(body []byte, source string, device bool) (any, error) {
			return explain.Body(r.Config(), body, explain.Options{Source: source, Device: device})
		},
		Live: r.live,
		Status: func(ctx context.Context) []delivery.Status {
			if !r.started.Load() {
				return []delivery.Status{}
			}
			return r.fleet.status(ctx)
		},
		ExplainEntry: r.explainEntry,
		Merges: func(ctx context.Context, id string, named []string) []admin.MergesAt {
			if !r.started.Load() {
				return []admin.MergesAt{}
			}
			return r.fleet.mergesOf(ctx, id, named)
		},
		Sources: func() []string { return slices.Sorted(maps.Keys(r.Config().Sources)) },
		Metrics: r.registry,
		Logger:  r.log,
		Log:     logging.Of(r.log),
	})
	if r.adminListener, err = net.Listen("tcp", r.Config().Admin.Listen); err != nil {
		return fmt.Errorf("admin.listen: %w", err)
	}
	r.serve(r.adminListener, r.admin.Serve)
	return nil
}

func (r *Router) serve(l net.Listener, serve func(net.Listener) error) {
	r.background.Go(func() {
		if err := serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
			r.failed <- err
		}
	})
}

// Failed gives the error of a server that stopped by itself, or of a journal that failed: the router is of no use then.
func (r *Router) Failed() <-chan error { return r.failed }

// Addr returns the address where SDKs send.
func (r *Router) Addr() string { return r.listener.Addr().String() }

// Scheme returns what SDKs speak there: http or https.
func (r *Router) Scheme() string {
	if r.atStart.TLS.IsSet() {
		return "https"
	}
	return "http"
}

// AdminAddr returns the address of the operator's server.
func (r *Router) AdminAddr() string { return r.adminListener.Addr().String() }

// Stop takes no more calls, finishes what is in flight as long as ctx lasts, saves the progress and closes the journal.
// What has not ended is delivered after the next start.
func (r *Router) Stop(ctx context.Context) {
	r.started.Store(false)
	r.stop()
	r.fleet.changing.Lock() // a change that has begun has ended; one that still reads a config changes nothing
	defer r.fleet.changing.Unlock()
	r.stopIngress(ctx)
	r.fleet.stop(ctx)
	if r.admin != nil {
		_ = r.admin.Shutdown(ctx) // it is there to be asked until everything else has stopped
	}
	if r.live != nil {
		r.live.Close()
	}
	r.trace.Shutdown(ctx)
	r.background.Wait()
	if r.journal != nil {
		r.journal.Close()
	}
}

// stopIngress takes no more connections, and answers the requests that are being read as long as ctx lasts.
func (r *Router) stopIngress(ctx context.Context) {
	if r.ingress == nil {
		return
	}
	r.ingressStopped.Do(func() {
		if err := r.ingress.Shutdown(ctx); err != nil {
			r.log.Warn("stopped while requests were being read", zap.Error(err))
		}
	})
}

// purgeInterval is how often the journal drops what every destination has ended.
const purgeInterval = 5 * time.Second

func (r *Router) purge(ctx context.Context) {
	tick := time.NewTicker(purgeInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		floor := r.fleet.floor()
		if err := r.journal.Purge(ctx, floor); err != nil && ctx.Err() == nil {
			r.log.Warn("journal not purged, retrying", zap.Error(err), zap.String("hint", "is the disk full?"))
		}
	}
}
