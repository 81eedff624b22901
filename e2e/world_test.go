package e2e

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/destinations/simulator"
	"aka/router/journal"
)

const writeKey = "e2e-write-key"

// testTimeout bounds one test. None takes a tenth of it on a machine that is idle.
const testTimeout = 2 * time.Minute

// destination is one of a test's config.
type destination struct{ name, vendor, idMerge, settings string }

// destinations are every vendor, and Mixpanel in the modes that merge and that do not.
var destinations = []destination{
	{"kissmetrics", "kissmetrics", "", "api_key: s3cret-key"},
	{"mixpanel", "mixpanel", "simplified", "token: s3cret-token, id_merge: simplified"},
	{"original", "mixpanel", "original", "token: s3cret-token, id_merge: original"},
	{"vero", "vero", "", "auth_token: s3cret-token"},
}

// world is what one test takes place in: simulated vendors, a config that sends to them, and a folder for the journal.
type world struct {
	t       *testing.T
	ctx     context.Context
	sim     *simulator.Simulator
	dir     string
	config  string // the path
	process *served
}

// newWorld has the config go by more, which is YAML. Each aka that runs in it has another port.
func newWorld(t *testing.T, more string) *world { return newWorldWith(t, setting{more: more}) }

// setting is what a test's config says.
type setting struct {
	listen string // the address for SDKs, host:port; another free port for each aka where it is empty
	source string // more of the source, as YAML's key: value
	each   string // more of each destination, as YAML's key: value,
	more   string // more of the config, as YAML
}

// newWorldWith is newWorld for more than one thing.
func newWorldWith(t *testing.T, s setting) *world {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	sim, err := simulator.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	w := &world{t: t, ctx: ctx, sim: sim, dir: t.TempDir()}
	w.config = filepath.Join(w.dir, "config.yaml")
	if err := os.WriteFile(w.config, []byte(w.configText(s)), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) configText(s setting) string {
	var text strings.Builder
	fmt.Fprintf(&text, `listen: %q
admin: { listen: "127.0.0.1:0" }
sources: { test: { write_key: %s, %s } }
journal: { dir: %q }
%s
destinations:
`, cmp.Or(s.listen, "127.0.0.1:0"), writeKey, s.source, w.journal(), s.more)
	for _, d := range destinations {
		// All exchanges are kept, for the tests that count them.
		options := simulator.Options{IDMerge: d.idMerge, MaxExchanges: 1_000_000, MaxExchangeBytes: 1 << 30}
		endpoint, err := w.sim.Add(d.name, d.vendor, options)
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&text, "  %s: { type: %s, %s delivery: { allow_private: true }, settings: { %s, endpoint: %q } }\n", d.name, d.vendor, s.each, d.settings, endpoint)
	}
	return text.String()
}

func (w *world) journal() string { return filepath.Join(w.dir, "data") }

// journaled returns every call in the journal, in order. Nothing may run.
func (w *world) journaled() (all []journal.Entry) {
	w.t.Helper()
	options := journal.DefaultOptions
	options.Dir = w.journal()
	log, err := journal.Open(w.ctx, options, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	_, head := log.Head()
	for reader, seq := log.ReadFrom(1), uint64(1); seq < head.Seq; seq++ {
		frame, err := reader.Next(w.ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, frame.Entries...)
	}
	return all
}

// start starts aka, again after it has ended.
func (w *world) start() {
	w.t.Helper()
	w.startAs(binary)
}

// startAs starts another program than the binary.
func (w *world) startAs(program string) {
	w.t.Helper()
	w.process = startServeAs(w.t, program, "--config", w.config)
}

func (w *world) account(name string) *simulator.Account { return w.sim.Account(name) }

// send posts a body, which must be taken.
func (w *world) send(path, body string) {
	w.t.Helper()
	status, answer, err := post(w.ctx, http.DefaultClient, w.process.api+path, body)
	if err != nil || status != http.StatusOK {
		w.t.Fatalf("POST %s: %d %s %v", path, status, answer, err)
	}
}

// until polls what gives no sign when it changes.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-w.process.Exited:
			w.t.Fatalf("aka ended before %s", what)
		case <-w.ctx.Done():
			w.t.Fatalf("waited until %s: %v", what, w.ctx.Err())
		}
	}
}

// untilAllEnded waits until every call has ended at every destination.
func (w *world) untilAllEnded() {
	w.t.Helper()
	w.until("every call has ended", func() bool { return w.metric("aka_backlog_calls") == 0 })
}

// metric returns the sum of a metric's values, over the series that have all these labels, such as `outcome="dead"`.
func (w *world) metric(name string, labels ...string) float64 {
	w.t.Helper()
	value, err := w.process.Metric(w.ctx, name, labels...)
	if err != nil {
		w.t.Fatal(err)
	}
	return value
}

// took lists what a vendor took as "kind ids event", in order.
func took(a *simulator.Account) []string {
	records := a.Records()
	lines := make([]string, len(records))
	for i := range records {
		lines[i] = lineOf(&records[i])
	}
	return lines
}

func lineOf(r *simulator.Record) string {
	return strings.TrimSpace(r.Kind + " " + strings.Join(r.IDs, " ") + " " + r.Event)
}
