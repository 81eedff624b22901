package ingress

import (
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"aka/router/journal"
	"aka/router/segment"
)

// calls answers a request that carries calls.
func (s *Server) calls(ctx *fasthttp.RequestCtx, e endpoint) {
	held := share{room: &s.room}
	defer held.giveBack()
	from, result, refused := s.take(ctx, e, &held)
	switch {
	case refused != nil:
		refuse(ctx, refused)
		if refused == refusedRateLimited {
			retryAfter(ctx, from.limiter.retrySeconds())
		}
	case e.batch:
		succeedBatch(ctx, result)
	default:
		succeed(ctx)
	}
}

// take understands the calls and keeps them. A refusal is counted.
func (s *Server) take(ctx *fasthttp.RequestCtx, e endpoint, held *share) (*source, *segment.Result, *refusal) {
	from, result, refused := s.understand(ctx, e, held)
	if refused == nil {
		refused = s.keep(from, result)
	}
	if refused != nil {
		s.metrics.of(from).rejected[refused.code].Inc()
	}
	return from, result, refused
}

// understand finds out who sends, and what. The write key is judged as soon as it is known: reading calls is the dear part.
func (s *Server) understand(ctx *fasthttp.RequestCtx, e endpoint, held *share) (*source, *segment.Result, *refusal) {
	credential, origin := credentialOf(ctx), ctx.Request.Header.Peek(fasthttp.HeaderOrigin)
	from := s.keys.find(credential)
	if from == nil && len(credential) > 0 {
		return nil, nil, refusedUnknownKey
	}
	if from != nil && from.limiter.inDebt() {
		return from, nil, refusedRateLimited
	}
	options := segment.Options{Batch: e.batch, Type: e.kind, Limits: s.parserLimits, Client: s.trusted.client(ctx)}
	// Only browsers say an origin, and some of them send where servers do.
	options.Device = e.device || len(origin) > 0
	if from == nil {
		options.Admit = s.keys.admit
	} else {
		options.IPPolicy = from.ip
	}
	result, refused := s.read(ctx, e, options, held)
	if from == nil && result.WriteKey != "" {
		if from = s.keys.find([]byte(result.WriteKey)); from == nil {
			return nil, nil, refusedUnknownKey
		}
	}
	switch {
	case refused != nil:
		return from, nil, refused
	case from == nil:
		return nil, nil, refusedMissingKey
	case !from.allows(origin):
		return from, nil, refusedOrigin
	}
	return from, result, nil
}

// read reads the content and parses it. The result is there beside a refusal too, for its write key. A write key that was not
// admitted is no refusal yet.
func (s *Server) read(ctx *fasthttp.RequestCtx, e endpoint, options segment.Options, held *share) (*segment.Result, *refusal) {
	b := bodies.Get().(*body)
	defer b.release()
	content, refused := s.content(ctx, e, b, held)
	if refused != nil {
		return &segment.Result{}, refused
	}
	options.ReceivedAt = time.Now()
	result, err := s.parse(content, options)
	var problem *segment.Error
	switch {
	case errors.Is(err, segment.ErrNotAdmitted):
		return result, nil
	case errors.As(err, &problem):
		return result, refusedContent(problem)
	case !held.hold(weight(result)):
		return result, refusedOverloaded
	}
	return result, nil
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
func (s *Server) parse(content []byte, options segment.Options) (*segment.Result, error) {
	if options.Batch || len(content) > mostFree {
		s.parsing <- struct{}{}
		defer func() { <-s.parsing }()
	}
	return segment.Parse(content, options)
}

// keep puts the calls into the journal. What is counted of them is counted once they are there: clients send again what
// was refused.
func (s *Server) keep(from *source, result *segment.Result) *refusal {
	if !from.limiter.take(len(result.Messages)) {
		return refusedRateLimited
	}
	start := time.Now()
	duplicates, err := s.append(from.name, result.Messages)
	s.metrics.duration.Observe(time.Since(start).Seconds())
	if err != nil {
		from.limiter.giveBack(len(result.Messages))
	}
	switch {
	case errors.Is(err, journal.ErrFull):
		return refusedOverloaded
	case err != nil:
		s.log.Debug("ingress: the journal took nothing", zap.Error(err))
		return refusedUnavailable
	}
	from.counters.accepted(result, duplicates)
	for _, d := range result.Diagnostics {
		s.metrics.diagnostics[d.Code].Inc()
	}
	return nil
}

func (s *Server) append(name string, messages []segment.Message) (duplicates int, err error) {
	if len(messages) == 0 {
		return 0, nil
	}
	entries := make([]journal.Entry, len(messages))
	for i, m := range messages {
		entries[i] = journal.Entry{Source: name, Message: m}
	}
	return s.journal.Append(context.Background(), entries)
}
