// Package tracing tells an OpenTelemetry collector the way of a call: one trace from its acceptance to each destination. The
// trace's id follows from the call's source and messageId, so that it is known wherever the call is, and stored nowhere.
package tracing

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"aka/router/journal"
	"aka/router/segment"
)

const (
	// maxQueue is how many spans wait for the collector; more are thrown away.
	maxQueue      = 8192
	maxBatch      = 512
	batchInterval = 2 * time.Second
	exportTimeout = 10 * time.Second
)

// Tracer makes spans and has them sent. Nothing waits for that. A nil one does nothing, at no cost.
type Tracer struct {
	provider *sdk.TracerProvider
	spans    trace.Tracer
	below    uint64 // calls whose trace's second half is below it are traced
	made     prometheus.Counter
}

// New returns a tracer, or nil where nothing is to be traced. It does not wait for the collector.
func New(o Options, log *zap.Logger, registry prometheus.Registerer) (*Tracer, error) {
	if o.Endpoint == "" || o.SampleRatio == 0 {
		return nil, nil
	}
	headers := map[string]string{}
	for _, h := range o.Headers {
		headers[h.Name] = h.Value.Reveal()
	}
	client, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(o.url()), otlptracehttp.WithHeaders(headers),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression), otlptracehttp.WithHTTPClient(httpClient()),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: exportTimeout}))
	if err != nil {
		return nil, fmt.Errorf("otel: %w", err)
	}
	// What the library has to say by itself may quote the collector, or the headers that it was sent.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "aka", Subsystem: "otel", Name: "spans_total",
		Help: "Spans that were made, and of those, the ones that the collector took or that could not be sent. The rest waits, or was too many."}, []string{"result"})
	registry.MustRegister(spans)
	out := &exporter{SpanExporter: client, log: log, sent: spans.WithLabelValues("sent"), failed: spans.WithLabelValues("failed")}
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(out, sdk.WithMaxQueueSize(maxQueue), sdk.WithMaxExportBatchSize(maxBatch),
			sdk.WithBatchTimeout(batchInterval), sdk.WithExportTimeout(exportTimeout)),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "aka"), attribute.String("service.version", version()))),
		sdk.WithIDGenerator(contextIDs{}),
		sdk.WithSampler(sdk.AlwaysSample()), // what is not traced makes no span
	)
	return &Tracer{
		provider: provider,
		spans:    provider.Tracer("aka"),
		below:    uint64(o.SampleRatio * math.MaxInt64),
		made:     spans.WithLabelValues("made"),
	}, nil
}

// httpClient follows no redirects: the headers, which hold secrets, would go along.
func httpClient() *http.Client {
	return &http.Client{
		Timeout:       exportTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func version() string {
	if built, ok := debug.ReadBuildInfo(); ok {
		return built.Main.Version
	}
	return ""
}

// Shutdown sends what waits, as long as ctx lasts.
func (t *Tracer) Shutdown(ctx context.Context) {
	if t != nil {
		_ = t.provider.Shutdown(ctx)
	}
}

// Accepted tells that a request's calls are in the journal, to which they were given at a time.
func (t *Tracer) Accepted(source string, calls []segment.Message, received, done time.Time) {
	if t != nil {
		t.accepted(source, calls, received, done)
	}
}

func (t *Tracer) accepted(source string, calls []segment.Message, received, done time.Time) {
	for i := range calls {
		c := &calls[i]
		of := idsOf(source, c.MessageID)
		if !t.samples(of) {
			continue
		}
		about := []attribute.KeyValue{attribute.String("aka.source", source), attribute.String("aka.call.type", c.Type.String()), attribute.Int("aka.request.calls", len(calls))}
		t.add(span{name: "accept " + c.Type.String(), kind: trace.SpanKindServer, of: of, id: of.root,
			start: c.ReceivedAt, end: done, attributes: about})
		t.add(span{name: "journal", kind: trace.SpanKindInternal, of: of, id: of.child("journal"), parent: of.root, start: received, end: done})
	}
}

// Delivery is a call on its way to a destination.
type Delivery struct {
	Destination string
	Entry       *journal.Entry
	Position    journal.Position
}

// Exchange is one exchange with a vendor.
type Exchange struct {
	Method string
	// Server is the vendor's host. The rest of the URL may name people.
	Server string
	// Status is 0 when there was no answer. Error is of what kind the error was then, and why an answer with a good status is none.
	Status int
	Error  string
	// Attempt counts the call's tries; Calls is how many calls went together.
	Attempt, Calls int
	Start, End     time.Time
}

// Exchanged tells of an exchange that a call had a part in.
func (t *Tracer) Exchanged(d Delivery, x Exchange) {
	if t == nil {
		return
	}
	of := idsOf(d.Entry.Source, d.Entry.MessageID)
	if !t.samples(of) {
		return
	}
	made := span{
		name: "exchange " + d.Destination, kind: trace.SpanKindClient,
		of: of, id: of.child(d.name(), "exchange", x.Start.String()), parent: of.child(d.name()),
		start: x.Start, end: x.End,
		attributes: []attribute.KeyValue{
			attribute.String("aka.destination", d.Destination), attribute.Int("aka.attempt", x.Attempt), attribute.Int("aka.exchange.calls", x.Calls),
			attribute.String("http.request.method", x.Method), attribute.String("server.address", x.Server),
		},
	}
	if x.Error != "" {
		made.attributes = append(made.attributes, attribute.String("error.type", x.Error))
	}
	if x.Status != 0 {
		made.attributes = append(made.attributes, attribute.Int("http.response.status_code", x.Status))
	}
	if x.Error != "" || x.Status >= 400 {
		made.status = codes.Error
	}
	t.add(made)
}

// End is how a call ended at a destination.
type End struct {
	Outcome, Reason string
	Failed          bool
	Attempts        int
	// Entered is when it was taken up, and First when it was first sent; zero is never.
	Entered, First time.Time
}

// Ended tells that a call has ended at a destination.
func (t *Tracer) Ended(d Delivery, e End) {
	if t == nil {
		return
	}
	of := idsOf(d.Entry.Source, d.Entry.MessageID)
	if !t.samples(of) {
		return
	}
	now := time.Now()
	self := of.child(d.name())
	made := span{
		name: "deliver " + d.Destination, kind: trace.SpanKindConsumer, of: of, id: self, parent: of.root,
		start: d.Entry.ReceivedAt, end: now,
		attributes: []attribute.KeyValue{
			attribute.String("aka.source", d.Entry.Source), attribute.String("aka.call.type", d.Entry.Type.String()),
			attribute.String("aka.destination", d.Destination), attribute.String("aka.outcome", e.Outcome), attribute.String("aka.reason", e.Reason),
			attribute.Int("aka.attempts", e.Attempts),
		},
	}
	if e.Failed {
		made.status, made.description = codes.Error, e.Reason
	}
	t.add(made)
	if e.Entered.IsZero() {
		return
	}
	until := e.First
	if until.IsZero() {
		until = now
	}
	t.add(span{name: "wait " + d.Destination, kind: trace.SpanKindInternal,
		of: of, id: of.child(d.name(), "wait"), parent: self, start: e.Entered, end: until})
}

// name tells one delivery from another of the same call: one that was replayed has another position.
func (d Delivery) name() string { return d.Destination + " " + d.Position.String() }

// span is one whose ids and times are known, for it has ended.
type span struct {
	name        string
	kind        trace.SpanKind
	of          ids
	id, parent  trace.SpanID // without a parent it is the trace's root
	start, end  time.Time
	attributes  []attribute.KeyValue
	status      codes.Code
	description string
}

func (t *Tracer) add(s span) {
	t.made.Inc()
	ctx := context.WithValue(context.Background(), idKey{}, trace.SpanContextConfig{TraceID: s.of.trace, SpanID: s.id})
	if s.parent.IsValid() {
		ctx = trace.ContextWithSpanContext(ctx, s.of.context(s.parent))
	}
	_, started := t.spans.Start(ctx, s.name, trace.WithSpanKind(s.kind), trace.WithTimestamp(s.start), trace.WithAttributes(s.attributes...))
	started.SetStatus(s.status, s.description)
	started.End(trace.WithTimestamp(s.end))
}

// idKey is where a span's ids are in the context that it is started with: the library asks for them by nothing else.
type idKey struct{}

// contextIDs gives each span the ids that its context holds.
type contextIDs struct{}

// NewIDs implements sdk.IDGenerator.
func (contextIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	ids, _ := ctx.Value(idKey{}).(trace.SpanContextConfig)
	return ids.TraceID, ids.SpanID
}

// NewSpanID implements sdk.IDGenerator.
func (k contextIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	_, id := k.NewIDs(ctx)
	return id
}

// ids are those of one call's trace.
type ids struct {
	trace trace.TraceID
	root  trace.SpanID // of its acceptance
}

// idsOf works out the ids, always the same for a call.
func idsOf(source, messageID string) (of ids) {
	text := make([]byte, 0, 128)
	text = append(append(append(text, source...), 0), messageID...)
	sum := sha256.Sum256(text)
	copy(of.trace[:], sum[:])
	copy(of.root[:], sum[len(of.trace):])
	return of
}

// TraceID returns the id of a call's trace, in hexadecimal.
func TraceID(source, messageID string) string { return idsOf(source, messageID).trace.String() }

// child returns the id of the span below the root that has these names.
func (of ids) child(names ...string) (id trace.SpanID) {
	text := append(make([]byte, 0, 128), of.trace[:]...)
	for _, name := range names {
		text = append(append(text, 0), name...)
	}
	sum := sha256.Sum256(text)
	copy(id[:], sum[:])
	return id
}

func (of ids) context(span trace.SpanID) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: of.trace, SpanID: span, TraceFlags: trace.FlagsSampled})
}

// samples decides by the trace's id, as OpenTelemetry's own samplers do.
func (t *Tracer) samples(of ids) bool {
	return binary.BigEndian.Uint64(of.trace[8:])>>1 <= t.below
}

// exporter counts what goes to the collector and what does not, and says why not when that is new.
type exporter struct {
	sdk.SpanExporter
	log          *zap.Logger
	sent, failed prometheus.Counter
	mu           sync.Mutex
	failing      bool
}

// ExportSpans sends spans. Its failures end here: nothing waits for spans.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		e.sent.Add(float64(len(spans)))
		e.failing = false
		return nil
	}
	e.failed.Add(float64(len(spans)))
	if !e.failing {
		e.log.Warn("failed to export traces, dropping them", zap.String("hint", "check the collector at otel.endpoint; deliveries are not affected"), zap.String("error", kindOf(err)))
	}
	e.failing = true
	return nil
}

// kindOf says what is wrong without quoting anybody.
func kindOf(err error) string {
	var wire net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &wire) && wire.Timeout():
		return "timeout"
	case errors.As(err, &wire):
		return "no connection"
	}
	return "refused"
}
