// Package ingress is the HTTP API that SDKs speak: Segment's, with the variations that SDKs are measured to have. A call
// comes in as JSON and goes into the journal; only then is it answered 200.
package ingress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"aka/router/journal"
	"aka/router/segment"
	"aka/router/tracing"
)

// Journal is where accepted calls go.
type Journal interface {
	// Append returns once the entries are safe on disk, and how many of them were there before. An error means that
	// nothing is promised; it is journal.ErrFull when there is no room. Append bounds its own time, to less than an SDK
	// waits. It may keep what the entries hold, and after an error the slice too.
	Append(ctx context.Context, entries []journal.Entry) (duplicates int, err error)
	// Writable returns nil when Append may be expected to take entries. It is cheap, and its errors are those of Append.
	Writable(ctx context.Context) error
}

const (
	// headerBytes bounds a request's line and headers. Each open connection has a buffer of this size.
	headerBytes = 16 << 10
	// headerTimeout is how long a request's headers may take at most, from its first byte. They fit into a few packets.
	headerTimeout = 10 * time.Second
	// writeTimeout is how long a client may take to read its answer.
	writeTimeout = 30 * time.Second
)

// Server is the ingress. It is safe for concurrent use.
type Server struct {
	http    *fasthttp.Server
	journal Journal
	log     *zap.Logger
	rules   atomic.Pointer[rules]
	limits  Limits
	metrics *metrics
	budget  memoryBudget
	windows *windows
	parsing chan struct{} // holds one for each large body or batch that is being parsed

	unauthorized unauthorized

	certificate *certificate // nil where plain http is spoken

	parserLimits segment.Limits
	staticDir    string // "" for none

	// Trace reports accepted calls to a collector; nil reports none. It is set before Serve.
	Trace *tracing.Tracer

	mu        sync.Mutex
	listeners []net.Listener
	stopping  atomic.Bool
	draining  atomic.Bool
	conns     *conns
}

// New returns a server that is ready to Serve. It fails when a source has no write key or another's, when the certificate
// cannot be loaded, and when the metrics are registered already. The limits are the caller's to check.
func New(config Config, j Journal, logger *zap.Logger, registerer prometheus.Registerer) (*Server, error) {
	m, err := newMetrics(registerer)
	if err != nil {
		return nil, fmt.Errorf("ingress metrics: %w", err)
	}
	keys, err := newKeyring(config.Sources, m)
	if err != nil {
		return nil, err
	}
	s := &Server{
		journal: j, log: logger, limits: config.Limits, metrics: m,
		parserLimits: config.Limits.Segment(), staticDir: config.StaticDir, conns: newConns(m.evicted),
		unauthorized: newUnauthorized(),
	}
	if err := registerConnections(registerer, s.conns, config.Limits.Connections); err != nil {
		return nil, fmt.Errorf("ingress metrics: %w", err)
	}
	s.rules.Store(newRules(keys, config.TrustedProxies))
	if config.TLS.IsSet() {
		if s.certificate, err = newCertificate(config.TLS, logger, registerer); err != nil {
			return nil, err
		}
	}
	s.parsing = make(chan struct{}, runtime.GOMAXPROCS(0))
	s.windows = newWindows(&s.limits)
	s.budget.reset(&s.limits)
	s.http = &fasthttp.Server{
		Handler:        s.handle,
		ErrorHandler:   s.failedToRead,
		ConnState:      connState,
		HeaderReceived: s.beforeBody,
		// Its messages quote what was sent, keys included.
		Logger:                       log.New(io.Discard, "", 0),
		ReadBufferSize:               headerBytes,
		ReadTimeout:                  min(config.Limits.ReadTimeout, headerTimeout),
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  config.Limits.IdleTimeout,
		Concurrency:                  2 * withReserve(config.Limits.Connections), // the listener turns away before
		NoDefaultServerHeader:        true,
		DisablePreParseMultipartForm: true,
		// So that a body takes memory as it comes, whatever its Content-Length says, and one that is too large can be
		// read to its end without being kept.
		StreamRequestBody: true,
	}
	return s, nil
}

// The library calls connState with what a connection does. That its first request has begun is known once something comes.
func connState(c net.Conn, state fasthttp.ConnState) {
	below := accepted(c)
	switch {
	case below == nil:
	case state == fasthttp.StateIdle:
		below.rest()
	case state == fasthttp.StateActive && below.spoke.Load():
		below.work() // on what had come with the request before
	}
}

// withReserve leaves room above the limit for connections that get an answer once their request is read.
func withReserve(connections int) int { return connections + connections/8 + min(connections, 64) }

// isExtra reports whether a connection is one too many. It is not for good: others may end.
func (s *Server) isExtra(c *conn) bool {
	if c != nil && c.extra {
		c.extra = s.conns.len() > s.limits.Connections
	}
	return c != nil && c.extra
}

// reject answers a connection that is not to be served, before it has said anything. Over TLS nothing can be said yet.
func (s *Server) reject(c net.Conn) {
	if s.certificate != nil {
		_ = c.Close()
		return
	}
	var ctx fasthttp.RequestCtx
	refuse(&ctx, refusedTooManyConnections)
	s.metrics.requests[ctx.Response.StatusCode()].Inc()
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = ctx.Response.WriteTo(c)
	_ = c.Close()
}

// Serve answers the listener's connections until Shutdown, and then returns nil. It fails when the listener does; one that is out
// of descriptors or memory has not failed, and is waited for. Several listeners may be served at once.
func (s *Server) Serve(listener net.Listener) error {
	listener = &retryingListener{
		Listener: listener, conns: s.conns, limit: s.limits.Connections, slack: slackOf(&s.limits), reject: s.reject,
	}
	if s.certificate != nil {
		stop := s.certificate.watch()
		defer stop()
		listener = newTLSListener(listener, s.certificate, s.limits.ReadTimeout)
	}
	if !s.add(listener) {
		return listener.Close()
	}
	return s.http.Serve(listener)
}

func (s *Server) add(listener net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, listener)
	return !s.stopping.Load()
}

// Shutdown refuses new connections, answers the requests that are being read, closing their connections, and returns
// once all is done or the context is.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.stop(); err != nil {
		return fmt.Errorf("close listener: %w", err)
	}
	return s.http.ShutdownWithContext(ctx)
}

// stop closes the listeners itself: the library does not know those that it is not yet serving.
func (s *Server) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping.Store(true)
	var problems []error
	for _, listener := range s.listeners {
		problems = append(problems, listener.Close())
	}
	s.conns.closeSilent()
	return errors.Join(problems...)
}

// beforeBody is called between a request's headers and its body, which has its own time.
func (s *Server) beforeBody(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	switch expect := h.Peek(fasthttp.HeaderExpect); {
	case len(expect) == 0:
	case !h.IsHTTP11():
		h.Del(fasthttp.HeaderExpect) // such a client would take 100 for the answer
	case bytes.EqualFold(expect, []byte("100-continue")):
		h.Set(fasthttp.HeaderExpect, "100-continue") // the library knows no other case
	}
	return fasthttp.RequestConfig{ReadTimeout: s.limits.ReadTimeout}
}

// handle is where every request that could be read comes through.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	// Behind the body there may be more headers, and they are not to count.
	origin := ctx.Request.Header.Peek(fasthttp.HeaderOrigin)
	defer func() {
		if cause := recover(); cause != nil {
			s.panicked(ctx, cause)
		}
		s.finish(ctx, origin)
	}()
	if s.isExtra(connOf(ctx)) {
		refuse(ctx, refusedTooManyConnections)
		return
	}
	if speaksPlainly(ctx.Conn()) {
		ctx.SetConnectionClose()
		refuse(ctx, refusedPlainHTTP)
		return
	}
	if hasTwoLengths(ctx) {
		refuse(ctx, refusedRequest)
		return
	}
	s.route(ctx)
}

func (s *Server) panicked(ctx *fasthttp.RequestCtx, cause any) {
	// What was panicked with may quote the body; a runtime error does not.
	text := fmt.Sprintf("%T", cause)
	if err, ok := cause.(runtime.Error); ok {
		text = err.Error()
	}
	s.log.Error("ingress request failed with a panic", zap.String("hint", "report this mistake in aka with the stack"), zap.String("error", text), zap.ByteString("stack", debug.Stack()))
	ctx.Response.Reset()
	refuse(ctx, refusedInternal)
}

// finish completes the answer, whatever it is.
func (s *Server) finish(ctx *fasthttp.RequestCtx, origin []byte) {
	switch {
	// What is left of the body would be read as the next request.
	case ctx.Response.ConnectionClose() || !drain(ctx, s.limits.wire()):
		ctx.SetConnectionClose()
		readOn(ctx)
	case s.stopping.Load() || isLast(ctx):
		ctx.SetConnectionClose()
	}
	allowOrigin(ctx, origin)
	s.metrics.requests[ctx.Response.StatusCode()].Inc()
}

// isLast reports whether the client says that this is its last request. The library knows the word alone and in one case only.
func isLast(ctx *fasthttp.RequestCtx) bool {
	said := ctx.Request.Header.Peek(fasthttp.HeaderConnection)
	if len(said) == 0 {
		return false
	}
	for option := range bytes.SplitSeq(said, []byte{','}) {
		if bytes.EqualFold(bytes.TrimSpace(option), []byte("close")) {
			return true
		}
	}
	return false
}

// failedToRead answers a request that could not be read. The connection is closed after it.
func (s *Server) failedToRead(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	origin := ctx.Request.Header.Peek(fasthttp.HeaderOrigin)
	switch {
	case errors.As(err, &small):
		origin = originIn(headOf(ctx.Conn()))
		refuse(ctx, refusedHeaderTooLarge)
		readOn(ctx)
	case isLate(ctx, err):
		refuse(ctx, refusedTimeout)
	default:
		refuse(ctx, refusedRequest)
		readOn(ctx)
	}
	allowOrigin(ctx, origin)
	s.metrics.requests[ctx.Response.StatusCode()].Inc()
}
