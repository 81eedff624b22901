package tracing

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/segment"
)

// receiver is a collector: it takes spans over HTTP, as OTLP says.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	spans    []*otlp.Span
	resource map[string]string
	headers  http.Header
	path     string
	refuse   bool
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.headers, r.path = request.Header, request.URL.Path
		if r.refuse {
			http.Error(w, "s3cret, you said", http.StatusUnauthorized)
			return
		}
		body, err := gzip.NewReader(request.Body)
		if err != nil {
			t.Error(err)
			return
		}
		content, err := io.ReadAll(body)
		var export collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(content, &export)
		}
		if err != nil {
			t.Error(err)
		}
		for _, of := range export.ResourceSpans {
			r.resource = textsOf(of.Resource.Attributes)
			for _, scope := range of.ScopeSpans {
				r.spans = append(r.spans, scope.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
		_, _ = w.Write(answer)
	}))
	t.Cleanup(r.Close)
	return r
}

// named returns the spans of a name.
func (r *receiver) named(name string) (found []*otlp.Span) {
	for _, s := range r.spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

func newTracer(t *testing.T, o Options, log *zap.Logger) *Tracer {
	t.Helper()
	tracer, err := New(o, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

var day = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func message(id string) segment.Message {
	return segment.Message{Header: segment.Header{Type: segment.Alias, MessageID: id, UserID: "jane", PreviousID: "jen", ReceivedAt: day}, JSON: []byte(`{"jane":1}`)}
}

func delivery(id string) Delivery {
	return Delivery{Destination: "vero", Entry: &journal.Entry{Source: "website", Message: message(id)}, Position: journal.Position{Seq: 7}}
}

func TestACollectorSendsTheHeadersNowhereElse(t *testing.T) {
	elsewhere := newReceiver(t)
	redirecting := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(redirecting.Close)
	core, logs := observer.New(zap.WarnLevel)
	tracer := newTracer(t, Options{Endpoint: redirecting.URL, SampleRatio: 1, Headers: []Header{{"api-key", adapter.NewSecret("s3cret")}}}, zap.New(core))
	tracer.Accepted("website", []segment.Message{message("m1")}, day, day)
	tracer.Shutdown(t.Context())
	if elsewhere.headers != nil || logs.FilterMessage("failed to export traces, dropping them").Len() != 1 {
		t.Errorf("it got %v; the log says %v", elsewhere.headers, logs.All())
	}
}

func TestACallsWayIsOneTrace(t *testing.T) {
	r := newReceiver(t)
	tracer := newTracer(t, Options{Endpoint: r.URL, SampleRatio: 1, Headers: []Header{{"api-key", adapter.NewSecret("s3cret")}}}, zap.NewNop())
	tracer.Accepted("website", []segment.Message{message("m1")}, day.Add(time.Millisecond), day.Add(2*time.Millisecond))
	tracer.Exchanged(delivery("m1"), Exchange{Method: "PUT", Server: "api.getvero.com", Error: "timeout", Attempt: 1, Calls: 1, Start: day.Add(time.Second), End: day.Add(2 * time.Second)})
	tracer.Exchanged(delivery("m1"), Exchange{Method: "PUT", Server: "api.getvero.com", Status: 200, Attempt: 2, Calls: 1, Start: day.Add(3 * time.Second), End: day.Add(4 * time.Second)})
	tracer.Ended(delivery("m1"), End{Outcome: "dead", Reason: "refused", Failed: true, Attempts: 2, Entered: day.Add(5 * time.Millisecond), First: day.Add(time.Second)})
	tracer.Shutdown(t.Context())
	if r.path != "/v1/traces" || r.headers.Get("Api-Key") != "s3cret" || r.resource["service.name"] != "aka" {
		t.Errorf("got %s, %v, %v", r.path, r.headers, r.resource)
	}
	if len(r.spans) != 6 {
		t.Fatalf("got %d spans", len(r.spans))
	}
	ids := map[string]bool{}
	for _, s := range r.spans {
		if got := fmt.Sprintf("%x", s.TraceId); got != TraceID("website", "m1") {
			t.Errorf("%s is in trace %s", s.Name, got)
		}
		ids[string(s.SpanId)] = true
		if text := s.String(); strings.Contains(text, "jane") || strings.Contains(text, "jen") || strings.Contains(text, "m1") {
			t.Errorf("it names somebody: %s", text)
		}
	}
	if len(ids) != 6 {
		t.Errorf("two spans have the same id")
	}
	accepted, delivered := r.named("accept alias")[0], r.named("deliver vero")[0]
	if len(accepted.ParentSpanId) != 0 || accepted.StartTimeUnixNano != uint64(day.UnixNano()) || accepted.EndTimeUnixNano != uint64(day.Add(2*time.Millisecond).UnixNano()) {
		t.Errorf("got %v", accepted)
	}
	for child, parent := range map[*otlp.Span]*otlp.Span{
		r.named("journal")[0]: accepted, delivered: accepted, r.named("wait vero")[0]: delivered,
		r.named("exchange vero")[0]: delivered, r.named("exchange vero")[1]: delivered,
	} {
		if string(child.ParentSpanId) != string(parent.SpanId) {
			t.Errorf("%s is not below %s", child.Name, parent.Name)
		}
	}
	if s := delivered.Status; s.Code != otlp.Status_STATUS_CODE_ERROR || s.Message != "refused" || textsOf(delivered.Attributes)["aka.outcome"] != "dead" {
		t.Errorf("got %v", delivered)
	}
	failed, took := textsOf(r.named("exchange vero")[0].Attributes), textsOf(r.named("exchange vero")[1].Attributes)
	if failed["error.type"] != "timeout" || took["http.response.status_code"] != "200" || took["server.address"] != "api.getvero.com" || took["aka.attempt"] != "2" {
		t.Errorf("got %v and %v", failed, took)
	}
}

func TestAnAnswerThatIsNotTheVendorsIsAnErrorWithAStatus(t *testing.T) {
	r := newReceiver(t)
	tracer := newTracer(t, Options{Endpoint: r.URL, SampleRatio: 1}, zap.NewNop())
	tracer.Exchanged(delivery("m1"), Exchange{Method: "PUT", Server: "api.getvero.com", Status: 200, Error: "not_the_vendor", Attempt: 1, Calls: 1, Start: day, End: day})
	tracer.Shutdown(t.Context())
	got := r.named("exchange vero")[0]
	if said := textsOf(got.Attributes); said["error.type"] != "not_the_vendor" || said["http.response.status_code"] != "200" || got.Status.Code != otlp.Status_STATUS_CODE_ERROR {
		t.Errorf("got %v", got)
	}
}

func TestACallIsTracedEverywhereOrNowhere(t *testing.T) {
	r := newReceiver(t)
	tracer := newTracer(t, Options{Endpoint: r.URL, SampleRatio: 0.25}, zap.NewNop())
	const calls = 1000
	for i := range calls {
		id := fmt.Sprint("m", i)
		tracer.Accepted("website", []segment.Message{message(id)}, day, day)
		tracer.Ended(delivery(id), End{Outcome: "delivered"})
	}
	tracer.Shutdown(t.Context())
	accepted, delivered := map[string]bool{}, map[string]bool{}
	for _, s := range r.named("accept alias") {
		accepted[string(s.TraceId)] = true
	}
	for _, s := range r.named("deliver vero") {
		delivered[string(s.TraceId)] = true
	}
	// It is the same calls each time: their ids decide.
	if n := len(accepted); n < calls/5 || n > calls*3/10 {
		t.Errorf("%d of %d are traced", n, calls)
	}
	if fmt.Sprint(accepted) != fmt.Sprint(delivered) {
		t.Error("some are traced in part")
	}
}

func TestACollectorThatIsAwayHoldsUpNothing(t *testing.T) {
	r := newReceiver(t)
	r.refuse = true
	core, logs := observer.New(zap.DebugLevel)
	tracer := newTracer(t, Options{Endpoint: r.URL, SampleRatio: 1, Headers: []Header{{"api-key", adapter.NewSecret("s3cret")}}}, zap.New(core))
	const calls = 10 * maxQueue
	for range calls {
		tracer.Ended(delivery("m"), End{Outcome: "delivered"})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	tracer.Shutdown(ctx)
	if n := testutil.ToFloat64(tracer.made); n != calls {
		t.Errorf("%v were made", n)
	}
	if logs.Len() != 1 || logs.All()[0].ContextMap()["error"] != "refused" {
		t.Errorf("got %v", logs.All())
	}
	for _, line := range logs.All() {
		if strings.Contains(fmt.Sprint(line.Message, line.ContextMap()), "s3cret") {
			t.Errorf("a secret is in %v", line)
		}
	}
}

func TestWithoutAnEndpointNothingIsTracedAtNoCost(t *testing.T) {
	for _, o := range []Options{DefaultOptions, {Endpoint: "http://localhost:4318"}} {
		tracer := newTracer(t, o, zap.NewNop())
		if tracer != nil {
			t.Fatal("there is a tracer")
		}
		calls := []segment.Message{message("m1")}
		delivery := Delivery{Destination: "vero", Entry: &journal.Entry{Message: calls[0]}}
		if n := testing.AllocsPerRun(1000, func() {
			tracer.Accepted("website", calls, day, day)
			tracer.Exchanged(delivery, Exchange{})
			tracer.Ended(delivery, End{})
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
		tracer.Shutdown(t.Context())
	}
}

func TestACallThatIsNotTracedCostsNoAllocation(t *testing.T) {
	tracer := newTracer(t, Options{Endpoint: "http://localhost:1", SampleRatio: 1e-12}, zap.NewNop())
	defer tracer.Shutdown(t.Context())
	d := delivery("m1")
	if n := testing.AllocsPerRun(1000, func() { tracer.Ended(d, End{Outcome: "delivered"}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	secret := adapter.NewSecret("s3cret")
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{Endpoint: "localhost:4318", SampleRatio: 1}, "endpoint"},
		{Options{Endpoint: "ftp://localhost", SampleRatio: 1}, "endpoint"},
		{Options{Endpoint: "http://user:s3cret@localhost", SampleRatio: 1}, "endpoint"},
		{Options{Endpoint: "http://localhost?key=s3cret", SampleRatio: 1}, "endpoint"},
		{Options{SampleRatio: 1.1}, "sample_ratio"},
		{Options{SampleRatio: -1}, "sample_ratio"},
		{Options{Headers: []Header{{"a b", secret}}}, "headers[0].name"},
		{Options{Headers: []Header{{"a", secret}, {"b", adapter.Secret{}}}}, "headers[1].value"},
		{Options{Headers: []Header{{"a", adapter.NewSecret("a\nb")}}}, "headers[0].value"},
		{DefaultOptions, ""},
		{Options{Endpoint: "https://collector.example/otlp/v1/traces", SampleRatio: 1, Headers: []Header{{"a", secret}}}, ""},
	} {
		var got []string
		c.options.Check(func(key, format string, args ...any) {
			got = append(got, key)
			if strings.Contains(fmt.Sprintf(format, args...), "s3cret") {
				t.Errorf("%s shows a secret", key)
			}
		})
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: got %v, want %s", c.options, got, c.want)
		}
	}
	for endpoint, want := range map[string]string{"http://a:4318": "http://a:4318/v1/traces", "http://a/": "http://a/v1/traces", "https://a/b": "https://a/b"} {
		if got := (Options{Endpoint: endpoint}).url(); got != want {
			t.Errorf("%s: got %s", endpoint, got)
		}
	}
}

func BenchmarkEnded(b *testing.B) {
	for name, ratio := range map[string]float64{"not traced": 1e-12, "traced": 1} {
		b.Run(name, func(b *testing.B) {
			tracer, err := New(Options{Endpoint: "http://localhost:1", SampleRatio: ratio}, zap.NewNop(), prometheus.NewRegistry())
			if err != nil {
				b.Fatal(err)
			}
			d := delivery("6fbdfb3a-4a9e-4f6e-9d0e-2f1f3a0c1b2d")
			b.ReportAllocs()
			for b.Loop() {
				tracer.Ended(d, End{Outcome: "delivered", Entered: day, First: day})
			}
		})
	}
}

// textsOf shows attributes as texts.
func textsOf(attributes []*common.KeyValue) map[string]string {
	texts := map[string]string{}
	for _, a := range attributes {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			texts[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			texts[a.Key] = fmt.Sprint(v.IntValue)
		}
	}
	return texts
}
