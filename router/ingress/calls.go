package ingress

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"aka/router/journal"
	"aka/router/segment"
)

// work is what becomes of one request's calls until they are in the journal. Its slices are used again by another request.
type work struct {
	share   share
	result  segment.Result
	entries []journal.Entry
}

// keptCalls is how many calls the slices that wait for the next request have room for at most.
const keptCalls = 512

var works = sync.Pool{New: func() any { return new(work) }}

func (s *Server) begin() *work {
	w := works.Get().(*work)
	w.share.room = &s.room
	return w
}

func (w *work) end() {
	w.share.giveBack()
	w.result.Reset()
	clear(w.entries)
	w.entries = w.entries[:0]
	r := &w.result
	if max(cap(r.Messages), cap(r.Rejected), cap(r.Diagnostics), cap(w.entries)) <= keptCalls {
		works.Put(w)
	}
}

// calls answers a request that carries calls.
func (s *Server) calls(ctx *fasthttp.RequestCtx, e endpoint) {
	w := s.begin()
	defer w.end()
	from, refused := s.take(ctx, e, w)
	switch {
	case refused != nil:
		refuse(ctx, refused)
		if refused == refusedRateLimited {
			retryAfter(ctx, from.limiter.retrySeconds())
		}
	case e.batch:
		succeedBatch(ctx, &w.result)
	default:
		succeed(ctx)
	}
}

// take understands the calls and keeps them. A refusal is counted.
func (s *Server) take(ctx *fasthttp.RequestCtx, e endpoint, w *work) (*source, *refusal) {
	from, refused := s.understand(ctx, e, w)
	if refused == nil {
		refused = s.keep(from, w)
	}
	if refused != nil {
		s.metrics.of(from).rejected[refused.code].Inc()
	}
	return from, refused
}

// understand finds out who sends, and what. The write key is judged as soon as it is known: reading calls is the dear part.
func (s *Server) understand(ctx *fasthttp.RequestCtx, e endpoint, w *work) (*source, *refusal) {
	var space [64]byte
	credential, origin := credentialOf(ctx, space[:]), ctx.Request.Header.Peek(fasthttp.HeaderOrigin)
	rules := s.rules.Load()
	from := rules.keys.find(credential)
	if from == nil && len(credential) > 0 {
		return nil, refusedUnknownKey
	}
	if from != nil && from.limiter.inDebt() {
		return from, refusedRateLimited
	}
	options := segment.Options{Batch: e.batch, Type: e.kind, Limits: s.parserLimits, Client: rules.trusted.client(ctx)}
	// Only browsers say an origin, and some of them send where servers do.
	options.Device = e.device || len(origin) > 0
	if from == nil {
		options.Admit = rules.keys.admit
	} else {
		options.IPPolicy = from.ip
	}
	refused := s.read(ctx, e, options, w)
	if key := w.result.WriteKey; from == nil && key != "" {
		if from = rules.keys.find([]byte(key)); from == nil {
			return nil, refusedUnknownKey
		}
	}
	switch {
	case refused != nil:
		return from, refused
	case from == nil:
		return nil, refusedMissingKey
	case !from.allows(origin):
		return from, refusedOrigin
	}
	return from, nil
}

// read reads the content and parses it. The result has its write key beside a refusal too. A write key that was not admitted
// is no refusal yet.
func (s *Server) read(ctx *fasthttp.RequestCtx, e endpoint, options segment.Options, w *work) *refusal {
	b := bodies.Get().(*body)
	defer b.release()
	content, refused := s.content(ctx, e, b, &w.share)
	if refused != nil {
		return refused
	}
	options.ReceivedAt = time.Now()
	err := s.parse(content, options, &w.result)
	switch problem, isProblem := errors.AsType[*segment.Error](err); {
	case problem == segment.ErrNotAdmitted:
		return nil
	case isProblem:
		return refusedContent(problem)
	case !w.share.hold(weight(&w.result)):
		return refusedOverloaded
	}
	return nil
}

// content returns the JSON of the calls, good until the body's release.
func (s *Server) content(ctx *fasthttp.RequestCtx, e endpoint, b *body, held *share) ([]byte, *refusal) {
	if e.query {
		return callInQuery(ctx.QueryArgs(), s.parserLimits.Depth)
	}
	return b.read(ctx, &s.limits, s.windows, held)
}

// parse parses the body, when its turn has come: what becomes of a large body, or of many calls, is weighed only once it is
// there, so only few may be in the making. Single calls do not wait.
func (s *Server) parse(content []byte, options segment.Options, into *segment.Result) error {
	if options.Batch || len(content) > mostFree {
		s.parsing <- struct{}{}
		defer func() { <-s.parsing }()
	}
	return into.Parse(content, options)
}

// keep puts the calls into the journal. What is counted of them is counted once they are there: clients send again what
// was refused.
func (s *Server) keep(from *source, w *work) *refusal {
	if s.draining.Load() {
		return refusedDraining
	}
	calls := len(w.result.Messages)
	if !from.limiter.take(calls) {
		return refusedRateLimited
	}
	start := time.Now()
	duplicates, err := s.append(from.name, w)
	s.metrics.duration.Observe(time.Since(start).Seconds())
	if err != nil {
		from.limiter.giveBack(calls)
	}
	switch {
	case errors.Is(err, journal.ErrFull):
		return refusedOverloaded
	case err != nil:
		s.log.Debug("ingress: the journal took nothing", zap.Error(err))
		return refusedUnavailable
	}
	if s.Trace != nil {
		s.Trace.Accepted(from.name, w.result.Messages, start, time.Now())
	}
	from.counters.accepted(&w.result, duplicates)
	for _, d := range w.result.Diagnostics {
		s.metrics.diagnostics[d.Code].Inc()
	}
	return nil
}

func (s *Server) append(name string, w *work) (duplicates int, err error) {
	if len(w.result.Messages) == 0 {
		return 0, nil
	}
	entries := slices.Grow(w.entries, len(w.result.Messages))
	for i := range w.result.Messages {
		entries = append(entries, journal.Entry{Source: name, Message: w.result.Messages[i]})
	}
	w.entries = nil // unless the journal is done with them
	if duplicates, err = s.journal.Append(context.Background(), entries); err == nil {
		w.entries = entries
	}
	return duplicates, err
}
