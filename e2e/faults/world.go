package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

const writeKey = "faults-write-key"

// startTimeout and stopTimeout bound what takes a moment, on any machine.
const (
	startTimeout = time.Minute
	stopTimeout  = time.Minute
)

// destination is one of the config, named as its vendor. All are told of aliases.
type destination struct{ name, idMerge, settings string }

var destinations = []destination{
	{"kissmetrics", "", "api_key: s3cret-key"},
	{"mixpanel", "original", "token: s3cret-token, id_merge: original"},
	{"vero", "", "auth_token: s3cret-token"},
}

// quick is a delivery section that makes what would take minutes take moments. Its timeout is that of the default: a vendor
// that is merely slow, because the machine is busy, is no fault.
const quick = `concurrency: 4, batch: { max_items: 20, max_wait: 20ms }, retry: { initial: 50ms, max: 500ms },
  breaker: { failures: 5, cooldown: 200ms, max_cooldown: 400ms }`

// usual is one as in earnest, but for the waits after a failure.
const usual = `batch: { max_items: 200 }, breaker: { cooldown: 500ms, max_cooldown: 2s }`

// world is what a scenario takes place in: simulated vendors, a config that sends to them, and a folder for the journal.
type world struct {
	h       *suite
	ctx     context.Context
	sim     *simulator.Simulator
	dir     string
	journal string
	config  string // the path
	env     []string
	process *harness.Process // the one that runs, or ran last
	// endpoints are the vendors' own addresses.
	endpoints map[string]string
	cleanUps  []func()
}

// plan is what a world is like.
type plan struct {
	delivery string // the section for all destinations, as YAML's key: value
	// endpoint and own are what one destination has of its own: an address, and a delivery section.
	endpoint, own map[string]string
	// more are further destinations, sources further sources, and source what is said of the one that is used, as YAML.
	more, sources, source string
	// journal is where it goes; a folder of the world's own where it is empty.
	journal string
	env     []string
	options simulator.Options
}

// newWorld makes a world. It must be closed.
func newWorld(h *suite, p plan) (*world, error) {
	dir, err := os.MkdirTemp(h.dir, "world-")
	if err != nil {
		return nil, err
	}
	w := &world{h: h, ctx: h.ctx, dir: dir, journal: p.journal, env: p.env, endpoints: map[string]string{}}
	w.cleanUp(func() { _ = os.RemoveAll(dir) })
	if w.journal == "" {
		w.journal = filepath.Join(dir, "data")
	}
	if err := w.startVendors(p); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) startVendors(p plan) error {
	var err error
	if w.sim, err = simulator.Start("127.0.0.1:0"); err != nil {
		return err
	}
	w.cleanUp(func() { _ = w.sim.Close() })
	for _, d := range destinations {
		options := p.options
		options.IDMerge = d.idMerge
		if options.MaxExchanges == 0 { // all are kept, to be counted
			options.MaxExchanges, options.MaxExchangeBytes = 10_000_000, 8<<30
		}
		if w.endpoints[d.name], err = w.sim.Add(d.name, d.name, options); err != nil {
			return err
		}
	}
	w.config = filepath.Join(w.dir, "config.yaml")
	return w.configure(p)
}

// configure writes the config.
func (w *world) configure(p plan) error {
	var text strings.Builder
	fmt.Fprintf(&text, `listen: "127.0.0.1:0"
admin: { listen: "127.0.0.1:0" }
sources: { test: { write_key: %s%s }%s }
journal: { dir: %q }
delivery: { allow_private: true, %s }
destinations:
`, writeKey, p.source, p.sources, w.journal, p.delivery)
	for _, d := range destinations {
		endpoint := w.endpoints[d.name]
		if other := p.endpoint[d.name]; other != "" {
			endpoint = other
		}
		fmt.Fprintf(&text, "  %s: { settings: { %s, endpoint: %q }, delivery: { %s } }\n", d.name, d.settings, endpoint, p.own[d.name])
	}
	text.WriteString(p.more)
	// As a whole: aka may be reading it.
	if err := os.WriteFile(w.config+".new", []byte(text.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(w.config+".new", w.config)
}

func (w *world) cleanUp(f func()) { w.cleanUps = append(w.cleanUps, f) }

// close ends what the world has begun, the last first.
func (w *world) close() {
	if w.process != nil {
		w.process.Kill()
	}
	for i := len(w.cleanUps) - 1; i >= 0; i-- {
		w.cleanUps[i]()
	}
}

func (w *world) account(name string) *simulator.Account { return w.sim.Account(name) }

// launch begins to start aka.
func (w *world) launch() (err error) {
	w.process, err = harness.Launch(w.h.binary, w.env, "--config", w.config)
	return err
}

// start starts aka and returns how long that took.
func (w *world) start() (took time.Duration, err error) {
	begin := time.Now()
	if err := w.launch(); err != nil {
		return 0, err
	}
	err = w.process.Ready(startTimeout)
	return time.Since(begin), w.process.Explained(err)
}

// lastLine is the last thing that aka wrote, if it is not long.
func (w *world) lastLine() string {
	lines := strings.Split(strings.TrimSpace(w.process.Log.String()), "\n")
	last := lines[len(lines)-1]
	return last[:min(len(last), 300)]
}

// errExitCode tells that aka did not stop as it should.
var errExitCode = errors.New("aka stopped with another exit code than 0")

// stop stops aka in order and returns how long that took.
func (w *world) stop() (time.Duration, error) {
	code, took, err := w.process.Terminate(stopTimeout)
	if err == nil && code != 0 {
		err = fmt.Errorf("%w: %d", errExitCode, code)
	}
	return took, w.process.Explained(err)
}

// until polls what gives no sign when it changes.
func (w *world) until(what string, done func() (bool, error)) error {
	return w.process.Until(w.ctx, what, 5*time.Millisecond, done)
}

func (w *world) metric(name string, labels ...string) (float64, error) {
	return w.process.Metric(w.ctx, name, labels...)
}

func of(destination string) string { return fmt.Sprintf("destination=%q", destination) }

// untilAllEnded waits until every call has ended at these destinations, or at all.
func (w *world) untilAllEnded(names ...string) error {
	return w.until(fmt.Sprintf("every call has ended at %v", names), func() (bool, error) {
		if len(names) == 0 {
			backlog, err := w.metric("aka_backlog_calls")
			return backlog == 0, err
		}
		for _, name := range names {
			if backlog, err := w.metric("aka_backlog_calls", of(name)); backlog > 0 || err != nil {
				return false, err
			}
		}
		return true, nil
	})
}
