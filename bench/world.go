package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"aka/e2e/harness"
)

// startTimeout, stopTimeout and endTimeout bound what takes seconds at most, on any machine.
const (
	startTimeout = time.Minute
	stopTimeout  = time.Minute
	endTimeout   = 10 * time.Minute
)

// vendors are the types in the order in which destinations get them, with the settings of each. All take an alias.
var vendors = []struct{ kind, settings string }{
	{"vero", "auth_token: bench"},
	{"kissmetrics", "api_key: bench"},
	{"mixpanel", "token: bench, id_merge: original, alias_strategy: create_alias"},
}

// world is an aka with its journal, and the sink that it sends to; or another server, and its sink.
type world struct {
	b     *bench
	setup setup
	dir   string
	sink  *child
	// address is where the sink listens, or has.
	address string
	names   []string // of the destinations
	config  string
	aka     *harness.Process
	base    *url.URL
	people  atomic.Int64
	pprof   string
}

// setup is what a world is like.
type setup struct {
	destinations int
	// delays are how long the first of them take to answer; the others take no time.
	delays []time.Duration
	// mixed tells that people tell the story of mixed traffic, and not of an alias alone.
	mixed bool
	// delivery and journal are more of the config's sections, as YAML's key: value, with a comma behind.
	delivery, journal string
}

// newWorld starts the sink and writes a config. The world must be closed.
func newWorld(b *bench, s setup) (w *world, err error) {
	w = &world{b: b, setup: s}
	if w.dir, err = os.MkdirTemp(b.dir, "world-"); err != nil {
		return nil, err
	}
	for i := range s.destinations {
		w.names = append(w.names, fmt.Sprintf("%s-%d", vendors[i%len(vendors)].kind, i))
	}
	if err := w.startSink("127.0.0.1:0"); err != nil {
		w.close()
		return nil, err
	}
	return w, w.configure()
}

// startWorld starts aka in it too.
func startWorld(b *bench, s setup) (*world, error) {
	w, err := newWorld(b, s)
	if err != nil {
		return nil, err
	}
	if _, err := w.start(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// startSink starts the vendors, with an account "bare" beside the destinations' own.
func (w *world) startSink(address string) (err error) {
	args := []string{"-listen", address}
	if w.setup.mixed {
		args = append(args, "-mixed")
	}
	for i, name := range w.names {
		if i < len(w.setup.delays) {
			name += "=" + w.setup.delays[i].String()
		}
		args = append(args, name)
	}
	if w.sink, err = startChild("sink", append(args, "bare")...); err != nil {
		return err
	}
	w.address = strings.TrimPrefix(w.sink.said, "http://")
	return nil
}

func (w *world) configure() error {
	var text strings.Builder
	fmt.Fprintf(&text, `listen: "127.0.0.1:0"
admin: { listen: "127.0.0.1:0" }
sources: { bench: { write_key: %s } }
journal: { %s dir: %q }
delivery: { %s allow_private: true }
destinations:
`, writeKey, w.setup.journal, w.folder(), w.setup.delivery)
	for i, name := range w.names {
		v := vendors[i%len(vendors)]
		fmt.Fprintf(&text, "  %s: { type: %s, settings: { %s, endpoint: %q } }\n", name, v.kind, v.settings, w.sink.said+"/"+name)
	}
	w.config = filepath.Join(w.dir, "config.yaml")
	return os.WriteFile(w.config, []byte(text.String()), 0o600)
}

// folder is the journal's.
func (w *world) folder() string { return filepath.Join(w.dir, "data") }

func (w *world) close() {
	if w.aka != nil {
		w.aka.Kill()
	}
	if w.sink != nil {
		w.sink.stop()
	}
	_ = os.RemoveAll(w.dir)
}

// start starts aka and returns how long that took.
func (w *world) start() (took time.Duration, err error) {
	var env []string
	if w.b.profile != "" {
		if w.pprof, err = freeAddress(); err != nil {
			return 0, err
		}
		env = append(env, "AKA_PROFILE="+w.pprof)
	}
	begin := time.Now()
	if w.aka, err = harness.Launch(w.b.binary, env, "--config", w.config); err != nil {
		return 0, err
	}
	if err := w.aka.Ready(startTimeout); err != nil {
		return 0, w.aka.Explained(err)
	}
	took = time.Since(begin)
	w.base, err = url.Parse(w.aka.API)
	return took, err
}

// stop stops aka in order.
func (w *world) stop() (took time.Duration, err error) {
	code, took, err := w.aka.Terminate(stopTimeout)
	if err == nil && code != 0 {
		err = fmt.Errorf("aka stopped with the exit code %d", code)
	}
	return took, w.aka.Explained(err)
}

func (w *world) metric(name string, labels ...string) (float64, error) {
	return w.aka.Metric(w.b.ctx, name, labels...)
}

func (w *world) akaCPU() (time.Duration, error) { return harness.CPU(w.aka.PID()) }

// load is one with the world's own people.
func (w *world) load(t traffic, connections int) *load {
	return &load{base: w.base, traffic: t, connections: connections, people: &w.people}
}

var errTimeout = errors.New("it takes too long")

// until polls what gives no sign when it changes.
func (w *world) until(what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(w.b.ctx, endTimeout, errTimeout)
	defer cancel()
	return w.aka.Until(ctx, what, 20*time.Millisecond, done)
}

// untilEnded waits until every call has ended, as aka says. It asks seldom: to tell all its metrics costs aka time.
func (w *world) untilEnded() error {
	asked := time.Time{}
	return w.until("every call has ended", func() (bool, error) {
		if time.Since(asked) < 250*time.Millisecond {
			return false, nil
		}
		asked = time.Now()
		waiting, err := w.metric("aka_backlog_calls")
		return waiting == 0, err
	})
}

// delivered is how much the sink has got, over all destinations.
func (w *world) delivered() (n int, err error) {
	all, err := w.askAll(0)
	for _, a := range all {
		n += a.Delivered
	}
	return n, err
}

// ask asks the sink about an account. With a number of people it tells all it knows.
func (w *world) ask(name string, people int64) (report accountReport, err error) {
	text, err := fetch(w.b.ctx, fmt.Sprintf("%s/report?account=%s&people=%d", w.sink.said, name, people))
	if err != nil {
		return report, err
	}
	err = json.Unmarshal(text, &report)
	return report, err
}

// askAll asks about every destination.
func (w *world) askAll(people int64) (all []accountReport, err error) {
	for _, name := range w.names {
		report, err := w.ask(name, people)
		if err != nil {
			return nil, err
		}
		all = append(all, report)
	}
	return all, nil
}

// verify holds what the sink got against what was answered 200: the whole story of the first so many people. With none, all
// may still be on its way.
func (w *world) verify(r *Report, scenario string, people int64) ([]accountReport, error) {
	all, err := w.askAll(people)
	for i, a := range all {
		r.Lost += a.Lost
		r.Swapped += a.Swapped
		r.Repeated += a.Repeated
		if a.Lost+a.Swapped+a.Repeated+a.Unknown > 0 {
			r.wrong("%s: %s: %d lost, %d out of order, %d delivered twice, %d of nobody", scenario, w.names[i], a.Lost, a.Swapped, a.Repeated, a.Unknown)
		}
	}
	return all, err
}
