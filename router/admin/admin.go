// Package admin is the operator's HTTP server: health, metrics, dead letters, and what would become of a call. It has an
// address of its own, and who reaches that may read and replay calls.
package admin

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/router/delivery"
	"aka/router/journal"
	"aka/router/live"
	"aka/router/logging"
)

// Journal is what the server needs of the journal; *journal.Journal is one.
type Journal interface {
	// Writable returns nil when calls can be written. It is cheap.
	Writable(ctx context.Context) error
	// DeadLetters visits those after the id that match, oldest first.
	DeadLetters(ctx context.Context, filter journal.DeadFilter, after uint64, visit func(*journal.DeadLetter) bool) error
	// DeadSummary counts them.
	DeadSummary(ctx context.Context) ([]journal.DeadCount, error)
	// DeadLetter, Replay and Discard return journal.ErrNoDeadLetter when there is none of that id.
	DeadLetter(ctx context.Context, id uint64) (*journal.DeadLetter, error)
	Replay(ctx context.Context, id uint64) error
	Discard(ctx context.Context, id uint64) error
	MergeLedger
	// DroppedCalls and those behind it do the same for the dropped calls that are kept; the error is journal.ErrNoDropped.
	DroppedCalls(ctx context.Context, filter journal.DeadFilter, after uint64, visit func(*journal.DeadLetter) bool) error
	DroppedSummary(ctx context.Context) ([]journal.DeadCount, error)
	DroppedCall(ctx context.Context, id uint64) (*journal.DeadLetter, error)
	ReplayDropped(ctx context.Context, id uint64) error
	DiscardDropped(ctx context.Context, id uint64) error
}

// Config is what a server is built from. Everything in it is required, but for Hosts, Tokens, Blocking, Held, Digest and Log.
type Config struct {
	// Listen is the address as the config has it, host:port. Its host is one that requests may name, and so are Hosts.
	Listen string
	Hosts  []string
	// Tokens let in; without any, who reaches the server may do everything.
	Tokens
	// Destinations returns the names of the configured ones.
	Destinations func() []string
	// Types returns a configured destination's type, and the one that it had before by the config. Nil knows none.
	Types      func(destination string) (now, was string)
	Journal    Journal
	Operations Operations
	// Blocking are the dead letters behind which calls wait; nil is none ever.
	Blocking BlockingDeadLetters
	// ReplayRate is how many dead letters are replayed per second at most, over all clients; 0 is unlimited.
	ReplayRate float64
	// Started returns nil once everything runs, else what does not.
	Started func() error
	// Explain says what would become of a body from the named source, or from the one that its write key tells when that
	// is "". device tells that a browser or a phone would have sent it. The answer is shown as JSON. A *segment.Error blames
	// the body.
	Explain func(body []byte, source string, device bool) (any, error)
	// Live remembers calls while somebody looks.
	Live *live.Recorder
	// Status returns how the destinations do, by name.
	Status func(ctx context.Context) []delivery.Status
	// ExplainEntry says what each destination would be sent for a call of the journal. It is shown as JSON.
	ExplainEntry func(e *journal.Entry) any
	// Merges returns what each destination remembers of the merges of an id; named are ids that others may turn out to be.
	Merges func(ctx context.Context, id string, named []string) []MergesAt
	// Sources returns the names of the configured ones.
	Sources func() []string
	// Held are the aliases that merge rules hold; nil is none ever.
	Held HeldAliases
	// Digest returns the digest by which the ledger of merges knows an id; nil knows none.
	Digest func(id string) journal.Digest
	// Metrics has the server's own registered, too.
	Metrics *prometheus.Registry
	Logger  *zap.Logger
	// Log controls the log; nil when that cannot be.
	Log *logging.Control
}

const (
	// maxBody bounds what a request may bring: a large batch to be explained.
	maxBody = 16 << 20
	// maxHeader bounds a request's line and headers.
	maxHeader = 16 << 10

	headerTimeout = 10 * time.Second
	readTimeout   = time.Minute
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
)

// Server is the operator's server. It is safe for concurrent use.
type Server struct {
	log     *zap.Logger
	metrics *prometheus.Registry
	http    *http.Server
	stop    context.CancelFunc

	// What answers, by what it is about.
	guard        *guard
	health       *health
	dead         *deadLetters
	dropped      *deadLetters
	destinations *statuses
	control      *control
	live         *liveCalls
	levels       *levels
	merges       *mergeDecisions
	explain      explainer
}

// New returns a server that is ready to Serve.
func New(config Config) *Server {
	running, stop := context.WithCancel(context.Background())
	s := &Server{
		log: config.Logger, metrics: config.Metrics, stop: stop,
		health:       &health{config.Journal, config.Started},
		destinations: &statuses{config.Status, config.Destinations},
		control:      &control{operations: config.Operations},
		levels:       &levels{config.Log},
		explain:      config.Explain,
		merges:       newMergeDecisions(config),
	}
	s.guard = newGuard(config)
	s.dead = newDeadLetters(config, s.guard.granted)
	s.dropped = newDropped(config, s.dead)
	s.live = &liveCalls{
		recorder: config.Live, destinations: config.Destinations, sources: config.Sources, status: config.Status,
		draining: func() Draining { return s.control.operations.Draining() }, explainEntry: config.ExplainEntry, merges: config.Merges,
		mayRead: func(r *http.Request) bool { return s.guard.check(r) == nil },
	}
	s.http = &http.Server{
		BaseContext:       func(net.Listener) context.Context { return running },
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(serverLog{config.Logger}, "", 0),
	}
	s.http.Handler = s.routes()
	return s
}

// Handler returns what Serve answers with.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Serve answers the listener's connections until Shutdown, and then returns nil.
func (s *Server) Serve(listener net.Listener) error {
	if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown takes no more requests, lets a replay of many end after the dead letter that it is at, and returns once all is
// answered. When the context ends before that, the connections are closed and its error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	return err
}
