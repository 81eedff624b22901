package router

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"aka/router/config"
	"aka/router/journal"
	"aka/router/segment"
)

// Five destinations that are down hold no more than they may, and that is what it says it is.
func TestWhatDestinationsThatAreDownHoldIsCountedAndBounded(t *testing.T) {
	const share = 6 << 20
	// unshared is what does not grow with what is held: the newest frames, which all readers share, and what each reads ahead.
	const unshared = 32 << 20
	config := load(t, fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: { listen: "127.0.0.1:0" }
journal: { dir: %q }
buffer_bytes: 30MiB
delivery: { allow_private: true }
sources: { test: { write_key: key } }
destinations:
  kissmetrics: { settings: { api_key: k, endpoint: "http://127.0.0.1:1" } }
  legacy: { type: mixpanel, settings: { token: t, id_merge: legacy, endpoint: "http://127.0.0.1:1" } }
  original: { type: mixpanel, settings: { token: t, id_merge: original, endpoint: "http://127.0.0.1:1" } }
  simplified: { type: mixpanel, settings: { token: t, id_merge: simplified, endpoint: "http://127.0.0.1:1" } }
  vero: { settings: { auth_token: t, endpoint: "http://127.0.0.1:1" } }
`, filepath.Join(t.TempDir(), "data")), config.LoadOptions{})
	r := New(config, zap.NewNop())
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := heap()
	for i := range 480 {
		if _, err := r.journal.Append(t.Context(), trackCalls(t, i, 50)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	m := &model{t: t, ctx: ctx, router: r}
	gauge := func(name string, labels ...string) float64 { return sumOf(t, r, name, labels...) }
	m.until("every window has calls to try with", func() bool { return gauge("aka_window_bytes") >= 5*share/5 })
	m.until("all count as down", func() bool {
		return gauge("aka_destination_state", "down")+gauge("aka_destination_state", "probing") == 5
	})
	for _, name := range slices.Sorted(maps.Keys(config.Destinations)) {
		if n := gauge("aka_window_bytes", name); n < share/5 || n > share+10<<10 {
			t.Errorf("%s holds %v bytes, its share is %d and a fourth of it is enough", name, n, share)
		}
	}
	// A moment after it is down, what waits for a destination is held by copies of its own.
	m.until("no more is held than is counted", func() bool {
		return float64(heap()-before) <= 1.25*gauge("aka_window_bytes")+unshared
	})
	r.Stop(t.Context())
}

// sumOf adds up a gauge's values, over the series that have one of the label values, or all.
func sumOf(t *testing.T, r *Router, name string, labels ...string) (sum float64) {
	families, err := r.registry.Gather()
	if err != nil {
		t.Error(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, l := range metric.GetLabel() {
				if len(labels) == 0 || slices.Contains(labels, l.GetValue()) {
					sum += metric.GetGauge().GetValue()
					break
				}
			}
		}
	}
	return sum
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func trackCalls(t *testing.T, batch, n int) (entries []journal.Entry) {
	for i := range n {
		body := fmt.Sprintf(`{"type":"track","userId":"user-%d-%d@example.com","anonymousId":"507f191e810c19729de860ea%d","event":"Order Completed","properties":{"order":"%d","total":12.5,"currency":"EUR","products":["a","b"]},"context":{"ip":"192.0.2.1","userAgent":"Mozilla/5.0"}}`, batch, i, i, i)
		parsed, err := segment.Parse([]byte(body), segment.Options{Type: segment.Track, ReceivedAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range parsed.Messages {
			entries = append(entries, journal.Entry{Source: "test", Message: m})
		}
	}
	return entries
}
