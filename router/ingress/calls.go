package ingress

import (
	"bytes"
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

// scratch is what becomes of one request's calls until they are in the journal. Its slices are used again by another request.
type scratch struct {
	reserved reservation
	result   segment.Result
	others   []*source // of result.Others
	entries  []journal.Entry
	key      [64]byte // for a write key that is decoded
}

// keptCalls is how many calls the slices that wait for the next request have room for at most.
const keptCalls = 512

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (s *Server) begin() *scratch {
	w := scratches.Get().(*scratch)
	w.reserved.budget = &s.budget
	return w
}

func (w *scratch) end() {
	w.reserved.giveBack()
	w.result.Reset()
	clear(w.entries)
	w.entries = w.entries[:0]
	clear(w.others)
	w.others = w.others[:0]
	r := &w.result
	if max(cap(r.Messages), cap(r.Rejected), cap(r.Warnings), cap(r.Others), cap(w.entries)) <= keptCalls {
		scratches.Put(w)
	}
}

// calls answers a request that carries calls.
func (s *Server) calls(ctx *fasthttp.RequestCtx, e endpoint) {
	w := s.begin()
	defer w.end()
	from, refused := s.ingest(ctx, e, w)
	switch {
	case refused != nil:
		refuse(ctx, refused)
		if refused == refusedRateLimited {
			retryAfter(ctx, w.retrySeconds(from))
		}
	case e.batch:
		succeedBatch(ctx, &w.result)
	default:
		succeedSingle(ctx, &w.result)
	}
}

// ingest finds the source of the calls, parses them and appends them to the journal. A refusal is counted.
func (s *Server) ingest(ctx *fasthttp.RequestCtx, e endpoint, w *scratch) (*source, *refusal) {
	from, refused := s.authenticate(ctx, e, w)
	if refused == nil {
		refused = s.append(from, w)
	}
	if refused != nil {
		s.metrics.of(from).rejected[refused.code].Inc()
		s.unauthorized.report(s.log, from, refused)
	}
	return from, refused
}

// authenticate finds out who sends, and what. The write key is judged as soon as it is known: reading calls is the dear part.
func (s *Server) authenticate(ctx *fasthttp.RequestCtx, e endpoint, w *scratch) (*source, *refusal) {
	rules, origin := s.rules.Load(), ctx.Request.Header.Peek(fasthttp.HeaderOrigin)
	from, credential := rules.keys.sourceOf(ctx, w.key[:])
	if from != nil && from.limiter.inDebt() {
		return from, refusedRateLimited
	}
	options := segment.Options{Batch: e.batch, Type: e.kind, Limits: s.parserLimits, Client: rules.trusted.client(ctx), Admit: rules.admit}
	// Only browsers say an origin, and some of them send where servers do.
	options.Import = e.stored
	options.Device = e.device || len(origin) > 0
	if from != nil {
		options.WriteKey, options.IPPolicy = bytes.TrimSuffix(credential, []byte{':'}), from.ip
	}
	refused := s.read(ctx, e, options, w)
	if from == nil {
		from = rules.keys.find([]byte(w.result.WriteKey))
	}
	isUnknown := from == nil && (len(credential) > 0 || w.result.WriteKey != "")
	switch {
	case isUnknown && (refused == nil || refused.isFinal()):
		return nil, refusedUnknownKey
	case refused != nil:
		return from, refused
	case from == nil:
		return nil, refusedMissingKey
	case !from.allows(origin):
		return from, refusedOrigin
	}
	w.findOthers(rules.keys, origin)
	w.result.RepairAliases(func(i int) bool { return w.sourceOf(i, from).repairs })
	return from, nil
}

// read reads the content and parses it. The result has its write key beside a refusal too. A write key that was not admitted
// is no refusal yet.
func (s *Server) read(ctx *fasthttp.RequestCtx, e endpoint, options segment.Options, w *scratch) *refusal {
	b := bodies.Get().(*body)
	defer b.release()
	content, refused := s.content(ctx, e, b, &w.reserved)
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
	case !w.reserved.reserve(weight(&w.result)):
		return refusedOverloaded
	}
	return nil
}

// content returns the JSON of the calls, good until the body's release.
func (s *Server) content(ctx *fasthttp.RequestCtx, e endpoint, b *body, held *reservation) ([]byte, *refusal) {
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

// append puts the calls into the journal. What is counted of them is counted once they are there: clients send again what
// was refused.
func (s *Server) append(from *source, w *scratch) *refusal {
	if s.draining.Load() {
		return refusedDraining
	}
	if !w.charge(from) {
		return refusedRateLimited
	}
	segment.OrderRequest(w.result.Messages, func(i int) time.Duration { return w.sourceOf(i, from).reorder })
	start := time.Now()
	duplicates, err := s.appendEntries(from.name, w)
	s.metrics.duration.Observe(time.Since(start).Seconds())
	if err != nil {
		w.refund(from)
	}
	switch {
	case errors.Is(err, journal.ErrFull):
		return refusedOverloaded
	case err != nil:
		s.log.Debug("journal accepted no calls", zap.Error(err))
		return refusedUnavailable
	}
	if s.Trace != nil {
		w.trace(s.Trace, from, start, time.Now())
	}
	addUseless(&w.result)
	from.counters.accepted(&w.result, w.others, duplicates)
	s.reportWarnings(from, w.result.Warnings)
	return nil
}

func (s *Server) appendEntries(name string, w *scratch) (duplicates int, err error) {
	if len(w.result.Messages) == 0 {
		return 0, nil
	}
	entries := slices.Grow(w.entries, len(w.result.Messages))
	for i := range w.result.Messages {
		entries = append(entries, journal.Entry{Source: name, Message: w.result.Messages[i]})
	}
	for i, other := range w.result.Others {
		entries[len(entries)-len(w.result.Messages)+other.Message].Source = w.others[i].name
	}
	w.entries = nil // unless the journal is done with them
	if duplicates, err = s.journal.Append(context.Background(), entries); err == nil {
		w.entries = entries
	}
	return duplicates, err
}
