package harness

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"aka/destinations/simulator"
)

// WriteKey is what calls identify themselves with.
const WriteKey = "harness-write-key"

// StartTimeout and StopTimeout bound what takes a moment, on a machine that is busy and with the race detector.
const (
	StartTimeout = 5 * time.Minute
	StopTimeout  = 5 * time.Minute
)

// Setup describes a world.
type Setup struct {
	Binary       string
	Env          []string
	Destinations []Destination
	// Listen is the address for SDKs, host:port. When it is empty, each aka listens on another free port.
	Listen string
	// JournalDir is the journal's folder. When it is empty, the journal is in the world's own folder.
	JournalDir string
	// Source, Journal and Delivery are more of these sections of the config, as YAML's key: value. Sources are more sources, with a
	// comma before each, More is more of the config.
	Source, Journal, Delivery, Sources, More string
	// Timeout bounds the whole test; 0 is no bound.
	Timeout time.Duration
}

// Destination is one of the config's. Its vendor is simulated unless it has an endpoint.
type Destination struct {
	Name, Vendor string
	// Settings, Delivery and More are more of these sections of the config, and of the destination, as YAML's key: value.
	Settings, Delivery, More string
	Endpoint                 string
	// Options are the simulated vendor's. Without MaxExchanges all exchanges are kept, to be counted.
	Options simulator.Options
	// NoAlias says that it gets no alias. Then calls under two ids have no order there.
	NoAlias bool
	// Omitted leaves it out of the config.
	Omitted bool
}

// Vendors returns a destination of each vendor. All get aliases.
func Vendors() []Destination {
	return []Destination{
		{Name: "kissmetrics", Vendor: "kissmetrics", Settings: "api_key: s3cret-key"},
		{Name: "mixpanel", Vendor: "mixpanel", Settings: "token: s3cret-token, id_merge: original", Options: simulator.Options{IDMerge: "original"}},
		{Name: "vero", Vendor: "vero", Settings: "auth_token: s3cret-token"},
	}
}

// World is a test's environment: simulated vendors, a config that sends to them, a folder for the journal, and an aka.
type World struct {
	T
	Setup
	// Ctx ends with the test, or when that takes too long.
	Ctx context.Context
	// Dir is a folder of the world's own, Config the path of the config.
	Dir, Config string
	Sim         *simulator.Simulator
	// Process is the aka that runs, or ran last. It is nil before the first start.
	Process *Process
	// People is the number of the next person.
	People atomic.Int64
	// Poll is how often Until looks.
	Poll time.Duration

	started []*Process
}

// NewWorld starts the vendors and writes the config. It does not start aka. All ends with the test.
func NewWorld(t T, s Setup) *World {
	t.Helper()
	w := &World{T: t, Setup: s, Ctx: t.Context(), Dir: t.TempDir(), Poll: 5 * time.Millisecond}
	if s.Timeout > 0 {
		ctx, cancel := context.WithTimeout(w.Ctx, s.Timeout)
		t.Cleanup(cancel)
		w.Ctx = ctx
	}
	w.Config = filepath.Join(w.Dir, "config.yaml")
	w.JournalDir = cmp.Or(s.JournalDir, filepath.Join(w.Dir, "data"))
	w.Destinations = nil
	for _, d := range s.Destinations {
		w.Add(d)
	}
	w.Configure()
	t.Cleanup(w.cleanUp)
	return w
}

// Add adds a destination, which Configure writes to the config.
func (w *World) Add(d Destination) {
	w.Helper()
	if d.Endpoint == "" {
		d.Endpoint = w.simulate(d)
	}
	w.Destinations = append(w.Destinations, d)
}

func (w *World) simulate(d Destination) string {
	w.Helper()
	var err error
	if w.Sim == nil {
		w.Sim, err = simulator.Start("127.0.0.1:0")
		Check(w, err)
		w.Cleanup(func() { _ = w.Sim.Close() })
	}
	if d.Options.MaxExchanges == 0 {
		d.Options.MaxExchanges, d.Options.MaxExchangeBytes = 10_000_000, 8<<30
	}
	endpoint, err := w.Sim.Add(d.Name, d.Vendor, d.Options)
	Check(w, err)
	return endpoint
}

// Destination returns the destination of that name, which may be changed before Configure.
func (w *World) Destination(name string) *Destination {
	w.Helper()
	i := slices.IndexFunc(w.Destinations, func(d Destination) bool { return d.Name == name })
	if i < 0 {
		w.Fatalf("there is no destination %s", name)
	}
	return &w.Destinations[i]
}

// Account returns the simulated vendor of a destination.
func (w *World) Account(name string) *simulator.Account { return w.Sim.Account(name) }

// AddFaults adds faults to a simulated vendor.
func (w *World) AddFaults(name string, faults ...simulator.Fault) {
	w.Helper()
	Check(w, w.Account(name).AddFaults(faults...))
}

// Configure writes the config. It replaces the file at once, because aka may be reading it.
func (w *World) Configure() {
	w.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, `listen: %q
admin: { listen: "127.0.0.1:0" }
sources: { test: { write_key: %s, %s }%s }
journal: { dir: %q, %s }
delivery: { allow_private: true, %s }
%s
destinations:
`, cmp.Or(w.Listen, "127.0.0.1:0"), WriteKey, w.Source, w.Sources, w.JournalDir, w.Journal, w.Delivery, w.More)
	for _, d := range w.Destinations {
		if !d.Omitted {
			fmt.Fprintf(&text, "  %s: { type: %s, %s delivery: { %s }, settings: { %s, endpoint: %q } }\n", d.Name, d.Vendor, d.More, d.Delivery, d.Settings, d.Endpoint)
		}
	}
	next := w.Config + ".new"
	Check(w, os.WriteFile(next, []byte(text.String()), 0o600))
	Check(w, os.Rename(next, w.Config))
}

// Launch starts aka with more arguments, and does not wait until it is ready.
func (w *World) Launch(args ...string) {
	w.Helper()
	process, err := Launch(w.Binary, w.Env, append([]string{"--config", w.Config}, args...)...)
	Check(w, err)
	w.Process = process
	w.started = append(w.started, process)
}

// Start starts aka, waits until it is ready, and returns how long that took.
func (w *World) Start(args ...string) (took time.Duration) {
	w.Helper()
	begin := time.Now()
	w.Launch(args...)
	w.Must(w.Process.Ready(StartTimeout))
	return time.Since(begin)
}

// StartUnread is Start of an aka whose log only the test reads, from the line on that says that aka is ready.
func (w *World) StartUnread() (log *os.File) {
	w.Helper()
	log, end, err := os.Pipe()
	Check(w, err)
	w.Cleanup(func() { _ = log.Close() })
	process, err := LaunchUnread(w.Binary, end, w.Env, "--config", w.Config)
	_ = end.Close()
	Check(w, err)
	w.Process = process
	w.started = append(w.started, process)
	w.Must(process.ReadUntilReady(bufio.NewScanner(log)))
	return log
}

// Must ends the test when there is an error, with the end of aka's log.
func (w *World) Must(err error) {
	w.Helper()
	Check(w, w.Process.Explained(err))
}

func (w *World) cleanUp() {
	for _, p := range w.started {
		p.Kill()
		if strings.Contains(p.Log.String(), "DATA RACE") {
			w.Errorf("aka found a data race in itself:\n%s", p.Log.String())
		}
	}
	if w.Failed() && w.Process != nil {
		w.Logf("the log of process %d:\n%s", w.Process.PID(), w.Process.Log.String())
	}
}

// Terminate asks aka to stop, and returns its exit code and how long it took.
func (w *World) Terminate() (code int, took time.Duration) {
	w.Helper()
	code, took, err := w.Process.Terminate(StopTimeout)
	w.Must(err)
	return code, took
}

// Stop stops aka in order, and returns how long that took.
func (w *World) Stop() (took time.Duration) {
	w.Helper()
	code, took := w.Terminate()
	if code != 0 {
		w.Must(fmt.Errorf("aka ended with the exit code %d", code))
	}
	return took
}

// Kill ends aka as a crash does, and returns when it has no effect any more.
func (w *World) Kill() time.Time {
	w.Helper()
	w.Process.Kill()
	return w.Gone()
}

// Gone waits until the simulated vendors have read all that an aka which has ended had written, and returns when that was. No other aka
// may run.
func (w *World) Gone() time.Time {
	w.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for w.Sim != nil && w.Sim.Connections() > 0 {
		select {
		case <-tick.C:
		case <-w.Ctx.Done():
			w.Must(fmt.Errorf("%d connections of an aka that has ended are open: %w", w.Sim.Connections(), context.Cause(w.Ctx)))
		}
	}
	return time.Now()
}

// Command runs a command of aka that ends by itself, and returns what it printed.
func (w *World) Command(args ...string) ([]byte, error) {
	return Command(w.Ctx, w.Binary, "", args...)
}

// Until polls until done returns true. It ends the test when aka ends before.
func (w *World) Until(what string, done func() bool) {
	w.Helper()
	tick := time.NewTicker(w.Poll)
	defer tick.Stop()
	var exited chan struct{}
	if w.Process != nil {
		exited = w.Process.Exited
	}
	for !done() {
		select {
		case <-tick.C:
		case <-exited:
			w.Must(fmt.Errorf("aka ended before %s", what))
		case <-w.Ctx.Done():
			w.Must(fmt.Errorf("waited until %s: %w", what, context.Cause(w.Ctx)))
		}
	}
}

// Metric returns the sum of a metric's values, over the series that have all these labels, such as `outcome="dead"`.
func (w *World) Metric(name string, labels ...string) float64 {
	w.Helper()
	value, err := w.Process.Metric(w.Ctx, name, labels...)
	Check(w, err)
	return value
}

// Of returns the label of a destination's series.
func Of(destination string) string { return fmt.Sprintf("destination=%q", destination) }

// UntilAllEnded waits until every call has ended at these destinations, or at all.
func (w *World) UntilAllEnded(names ...string) {
	w.Helper()
	w.Until(fmt.Sprintf("every call has ended at %v", names), func() bool {
		if len(names) == 0 {
			return w.Metric("aka_backlog_calls") == 0
		}
		return !slices.ContainsFunc(names, func(name string) bool { return w.Metric("aka_backlog_calls", Of(name)) > 0 })
	})
}

// API returns the URL of aka's API, with the write key as its user.
func (w *World) API() *url.URL {
	w.Helper()
	api, err := url.Parse(w.Process.API)
	Check(w, err)
	api.User = url.User(WriteKey)
	return api
}

// maxPeople bounds the people of a paced load who send at the same time.
const maxPeople = 5000

// StartPaced starts a load of so many calls a second, whether aka answers or not, until End. One person in four sends the calls in two
// batches, from a browser.
func (w *World) StartPaced(callsPerSecond float64) *Load {
	w.Helper()
	singles := Basic.Singles(w.API())
	batches := Basic.DeviceBatches(w.API(), 1, []int{0, 1, 2, 3}, []int{4, 5, 6})
	every := time.Duration(float64(time.Second) * float64(Basic.Steps()) / callsPerSecond)
	return w.StartLoad(&Load{Traffic: []Traffic{singles, singles, singles, batches}, Connections: maxPeople, Every: every})
}

// StartPeople starts a load of so many people, a few at the same time.
func (w *World) StartPeople(people int) *Load {
	w.Helper()
	return w.StartLoad(&Load{Traffic: []Traffic{Basic.Singles(w.API())}, Connections: 8, MaxPeople: int64(people)})
}

// StartLoad starts a persistent load that keeps all acknowledgements.
func (w *World) StartLoad(l *Load) *Load {
	w.Helper()
	l.Next, l.Persistent, l.Sample = &w.People, true, 1
	Check(w, l.Start(w.Ctx, w.API().Host))
	w.Cleanup(l.Finish)
	return l
}

// Follow sends a load to the aka that runs now.
func (w *World) Follow(l *Load) { l.Follow(w.API().Host) }

// UntilAcked waits until so many calls were answered 200.
func (w *World) UntilAcked(l *Load, calls int64) {
	w.Helper()
	w.Until(fmt.Sprintf("%d calls are answered", calls), func() bool { return l.Acked.Load() >= calls })
}

// End starts no other person, and waits until those who have started have sent all their calls.
func (w *World) End(l *Load) {
	w.Helper()
	l.Finish()
	w.Await(l)
}

// Await waits until all calls are answered, or aka has ended.
func (w *World) Await(l *Load) {
	w.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := l.Wait()
		ended <- err
	}()
	w.Until("all calls are sent", func() bool {
		select {
		case err := <-ended:
			Check(w, err)
			return true
		default:
			return false
		}
	})
}
