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
	"aka/router/delivery"
	"aka/router/ingress"
	"aka/router/journal"
	"aka/router/logging"
)

// Router is everything, running: the ingress, the journal, and a pipeline per destination.
type Router struct {
	config   *Config
	log      *zap.Logger
	registry *prometheus.Registry

	journal   *journal.Journal
	pipelines []*delivery.Pipeline
	ingress   *ingress.Server
	admin     *admin.Server

	listener, adminListener net.Listener
	started                 atomic.Bool
	background              sync.WaitGroup
	stopPurge               context.CancelFunc
	failed                  chan error
}

// New makes a router that is not running.
func New(config *Config, log *zap.Logger) *Router {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if steering := logging.Of(log); steering != nil {
		registry.MustRegister(steering)
	}
	return &Router{config: config, log: log, registry: registry, failed: make(chan error, 2)}
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
	if r.journal, err = journal.Open(ctx, r.config.Journal.Options, r.log, r.registry); err != nil {
		return err
	}
	if err := r.startAdmin(); err != nil {
		return err
	}
	metrics := delivery.NewMetrics(r.registry)
	for _, name := range slices.Sorted(maps.Keys(r.config.Destinations)) {
		p := r.pipeline(r.config.Destinations[name], metrics)
		if err := p.Start(ctx); err != nil {
			return err
		}
		r.pipelines = append(r.pipelines, p)
	}
	if r.ingress, err = ingress.New(r.config.Config, r.journal, r.log, r.registry); err != nil {
		return err
	}
	if r.listener, err = net.Listen("tcp", r.config.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	r.serve(r.listener, r.ingress.Serve)
	background, stop := context.WithCancel(context.Background())
	r.stopPurge = stop
	r.background.Go(func() { r.purge(background) })
	r.started.Store(true)
	return nil
}

var errStarting = errors.New("starting, or stopping")

func (r *Router) startAdmin() (err error) {
	r.admin = admin.New(admin.Config{
		Listen:       r.config.Admin.Listen,
		Hosts:        r.config.Admin.Hosts,
		Tokens:       r.config.Admin.Tokens,
		Destinations: slices.Sorted(maps.Keys(r.config.Destinations)),
		Journal:      r.journal,
		Held:         r.heldLetters(),
		ReplayRate:   r.config.DeadLetters.ReplayRate,
		Started: func() error {
			if !r.started.Load() {
				return errStarting
			}
			return nil
		},
		Explain: func(body []byte, source string) (any, error) {
			return r.config.Explain(body, ExplainOptions{Source: source})
		},
		Metrics: r.registry,
		Logger:  r.log,
		Log:     logging.Of(r.log),
	})
	if r.adminListener, err = net.Listen("tcp", r.config.Admin.Listen); err != nil {
		return fmt.Errorf("admin.listen: %w", err)
	}
	r.serve(r.adminListener, r.admin.Serve)
	return nil
}

func (r *Router) pipeline(d *Destination, metrics *delivery.Metrics) *delivery.Pipeline {
	return delivery.New(delivery.Config{
		Destination: d.Destination,
		Options:     d.Delivery,
		Journal:     r.journal,
		Read:        func(from uint64) delivery.Frames { return r.journal.ReadFrom(from) },
		Allowed:     r.allowed,
		Sender:      delivery.NewHTTPSender(d.Delivery),
		MaxBytes:    int(r.config.BufferBytes) / len(r.config.Destinations),
		Logger:      r.log,
		Metrics:     metrics,
	})
}

// allowed returns the destinations that a source may use; none is all. A source that is not configured any more keeps the
// calls that it sent.
func (r *Router) allowed(source string) []string { return r.config.Sources[source].Destinations }

func (r *Router) serve(l net.Listener, serve func(net.Listener) error) {
	r.background.Go(func() {
		if err := serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
			r.failed <- err
		}
	})
}

// Failed gives the error of a server that stopped by itself: the router is of no use then.
func (r *Router) Failed() <-chan error { return r.failed }

// Addr returns the address where SDKs send.
func (r *Router) Addr() string { return r.listener.Addr().String() }

// Scheme returns what SDKs speak there: http or https.
func (r *Router) Scheme() string {
	if r.config.TLS.IsSet() {
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
	if r.ingress != nil {
		if err := r.ingress.Shutdown(ctx); err != nil {
			r.log.Warn("stopped while requests were being read", zap.Error(err))
		}
	}
	var stopping sync.WaitGroup
	for _, p := range r.pipelines {
		stopping.Go(func() { p.Stop(ctx) })
	}
	stopping.Wait()
	if r.stopPurge != nil {
		r.stopPurge()
	}
	if r.admin != nil {
		_ = r.admin.Shutdown(ctx) // it is there to be asked until everything else has stopped
	}
	r.background.Wait()
	if r.journal != nil {
		r.journal.Close()
	}
}

// purgeInterval is how often the journal lets go of what every destination has ended.
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
		floor := ^uint64(0)
		for _, p := range r.pipelines {
			floor = min(floor, p.Floor())
		}
		if err := r.journal.Purge(ctx, floor); err != nil && ctx.Err() == nil {
			r.log.Warn("the journal could not be purged; trying again", zap.Error(err))
		}
	}
}
