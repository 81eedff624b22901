package router

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"aka/router/config"
	"aka/router/tracing"
)

func TestACallIsOneTraceFromItsSDKToEachVendor(t *testing.T) {
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Traceparent") != "" {
			t.Error("a vendor is told of the trace")
		}
	}))
	defer vendor.Close()
	var mu sync.Mutex
	var raw bytes.Buffer
	spans := map[string]string{} // their traces, by their names
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var export collector.ExportTraceServiceRequest
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		content, err := io.ReadAll(unpacked)
		if err != nil || proto.Unmarshal(content, &export) != nil {
			t.Error("not OTLP", err)
		}
		raw.Write(content)
		for _, of := range export.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				for _, span := range scope.Spans {
					spans[span.Name] = fmt.Sprintf("%x", span.TraceId)
				}
			}
		}
	}))
	defer receiver.Close()
	config := load(t, fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: { listen: "127.0.0.1:0" }
journal: { dir: %q }
sources: { test: { write_key: s3cret-key } }
delivery: { allow_private: true }
destinations:
  kissmetrics: { settings: { api_key: s3cret-api, endpoint: %[2]q } }
  vero: { settings: { auth_token: s3cret-token, endpoint: %[2]q } }
otel: { endpoint: %[3]q, sample_ratio: 1 }
`, filepath.Join(t.TempDir(), "data"), vendor.URL, receiver.URL), config.LoadOptions{})
	router := New(config, zap.NewNop())
	if err := router.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	body := `{"userId":"jane@example.com","previousId":"jen","messageId":"jane-1","context":{"ip":"203.0.113.7"}}`
	answer, err := http.Post("http://"+router.Addr()+"/v1/alias?writeKey=s3cret-key", "application/json", strings.NewReader(body))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	_ = answer.Body.Close()
	soon, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	(&model{t: t, ctx: soon}).until("both have it", func() bool { return delivered(t, router) == 2 })
	router.Stop(t.Context())

	mu.Lock()
	defer mu.Unlock()
	want := []string{"accept alias", "journal"}
	for _, name := range []string{"kissmetrics", "vero"} {
		want = append(want, "deliver "+name, "wait "+name, "exchange "+name)
	}
	for _, name := range want {
		if spans[name] != tracing.TraceID("test", "jane-1") {
			t.Errorf("%s is in trace %q", name, spans[name])
		}
	}
	if len(spans) != len(want) {
		t.Errorf("got %v", spans)
	}
	for _, private := range []string{"jane", "jen", "203.0.113", "s3cret", "/v1/", "/a?"} {
		if bytes.Contains(raw.Bytes(), []byte(private)) {
			t.Errorf("the spans have %s", private)
		}
	}
}

func delivered(t *testing.T, r *Router) (calls int) {
	t.Helper()
	for _, family := range families(t, r) {
		for _, metric := range family.Metric {
			if family.GetName() == "aka_outcomes_total" && slices.ContainsFunc(metric.Label, func(l *dto.LabelPair) bool { return l.GetValue() == "delivered" }) {
				calls += int(metric.Counter.GetValue())
			}
		}
	}
	return calls
}
