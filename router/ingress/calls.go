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
	from, result, refused := s.understand(ctx, e)
	if refused == nil {
		refused = s.keep(from, result)
	}
	switch {
	case refused != nil:
		s.metrics.of(from).rejected[refused.code].Inc()
		refuse(ctx, refused)
	case e.batch:
		succeedBatch(ctx, result)
	default:
		succeed(ctx)
	}
}

// understand finds out who sends, and what. A write key outside the body is judged first: parsing is the dear part.
func (s *Server) understand(ctx *fasthttp.RequestCtx, e endpoint) (*source, *segment.Result, *refusal) {
	credential := credentialOf(ctx)
	from := s.keys.find(credential)
	if from == nil && len(credential) > 0 {
		return nil, nil, refusedUnknownKey
	}
	result, refused := s.read(ctx, e)
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
	case !from.allows(ctx.Request.Header.Peek(fasthttp.HeaderOrigin)):
		return from, nil, refusedOrigin
	}
	return from, result, nil
}

// read reads the body and parses it. The result is there beside a refusal too, for its write key.
func (s *Server) read(ctx *fasthttp.RequestCtx, e endpoint) (*segment.Result, *refusal) {
	b := bodies.Get().(*body)
	defer b.release()
	content, refused := b.read(ctx, &s.limits, &s.room)
	if refused != nil {
		return &segment.Result{}, refused
	}
	result, err := segment.Parse(content, segment.Options{
		Batch: e.batch, Type: e.kind, ReceivedAt: time.Now(), Limits: s.parserLimits,
	})
	var problem *segment.Error
	if errors.As(err, &problem) {
		return result, refusedContent(problem)
	}
	return result, nil
}

// keep puts the calls into the journal. What is counted of them is counted once they are there: clients send again what
// was refused.
func (s *Server) keep(from *source, result *segment.Result) *refusal {
	start := time.Now()
	duplicates, err := s.append(from.name, result.Messages)
	s.metrics.duration.Observe(time.Since(start).Seconds())
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
