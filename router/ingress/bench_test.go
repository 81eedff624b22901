package ingress

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/journal"
)

// benchAlias is some 400 bytes.
const benchAlias = `{"type":"alias","messageId":"ajs-next-1767323045000-4b3c2a1d-5e6f-4a7b-8c9d-0e1f2a3b4c5d","timestamp":"2026-01-02T03:04:03.000Z","sentAt":"2026-01-02T03:04:04.000Z","userId":"507f191e810c19729de860ea","previousId":"jen@email.com","integrations":{"All":true,"Vero":false},"context":{"ip":"198.51.100.7","library":{"name":"analytics.js","version":"2.11.1"},"userAgent":"Mozilla/5.0","locale":"en-US"}}`

func benchBatch(calls int) string {
	return `{"batch":[` + strings.Repeat(benchAlias+",", calls-1) + benchAlias + `],"sentAt":"2026-01-02T03:04:04.000Z"}`
}

// instant is a journal that has kept the calls as soon as they come.
type instant struct{}

func (instant) Append(context.Context, []journal.Entry) (duplicates int, err error) { return 0, nil }
func (instant) Writable(context.Context) error                                      { return nil }

// accepting returns what has a server answer one and the same request again and again.
func accepting(t testing.TB, path, body string) func() {
	t.Helper()
	config := DefaultConfig
	config.Sources = map[string]Source{"website": {WriteKey: adapter.NewSecret(testKey)}}
	s, err := New(config, instant{}, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: aka.example\r\nX-Write-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, testKey, len(body))
	var ctx fasthttp.RequestCtx
	sent, content := bufio.NewReader(nil), strings.NewReader("")
	return func() {
		ctx.Request.Reset()
		ctx.Response.Reset()
		sent.Reset(strings.NewReader(head))
		if err := ctx.Request.Header.Read(sent); err != nil {
			t.Fatal(err)
		}
		content.Reset(body)
		ctx.Request.SetBodyStream(content, len(body))
		s.handle(&ctx)
		if status := ctx.Response.StatusCode(); status != fasthttp.StatusOK || !bytes.Contains(ctx.Response.Body(), []byte(`"success":true`)) {
			t.Fatalf("%d %s", status, ctx.Response.Body())
		}
	}
}

func TestAcceptingAllocatesLittle(t *testing.T) {
	for _, c := range []struct {
		name, path, body string
		most             float64
	}{
		{"a single call", "/v1/alias", benchAlias, 4},
		{"a batch of 100", "/v1/batch", benchBatch(100), 120},
	} {
		if underRaceDetector() {
			c.most *= 2 // it makes pools forget now and then
		}
		if allocs := testing.AllocsPerRun(100, accepting(t, c.path, c.body)); allocs > c.most {
			t.Errorf("%s: %.0f allocations, more than %.0f", c.name, allocs, c.most)
		}
	}
}

func underRaceDetector() bool {
	build, _ := debug.ReadBuildInfo()
	return build != nil && slices.Contains(build.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// BenchmarkAccept is what a request costs beside the network and the journal.
func BenchmarkAccept(b *testing.B) {
	for name, c := range map[string]struct{ path, body string }{
		"alias":    {"/v1/alias", benchAlias},
		"batch100": {"/v1/batch", benchBatch(100)},
	} {
		b.Run(name, func(b *testing.B) {
			accept := accepting(b, c.path, c.body)
			b.ReportAllocs()
			for b.Loop() {
				accept()
			}
		})
	}
}
