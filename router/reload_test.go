package router

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"aka/destinations/simulator"
	"aka/router/admin"
	"aka/router/config"
	"aka/router/delivery"
	"aka/router/deststate"
	"aka/router/journal"
	"aka/router/segment"
)

func TestAReloadChangesOnlyWhatIsAnother(t *testing.T) {
	w := newReloadWorld(t, "kissmetrics", "vero", "spare")
	w.write("", "kissmetrics", "vero")
	w.start()
	before := w.router.fleet.all()
	for _, d := range w.router.Config().Destinations {
		d.Route(&segment.Message{Routing: []byte(`{"All":false}`)}) // which it remembers
	}
	w.mustReload(Reloaded{})
	if now := w.router.fleet.all(); !reflect.DeepEqual(now, before) {
		t.Error("a config that says the same has started a destination anew")
	}

	w.write("delivery: { concurrency: 3 }", "kissmetrics", "vero")
	w.mustReload(Reloaded{Replaced: []string{"kissmetrics", "vero"}})
	w.secret = "another"
	w.write("delivery: { concurrency: 3 }", "kissmetrics", "vero")
	w.mustReload(Reloaded{Replaced: []string{"vero"}})
	w.write("delivery: { concurrency: 3 }\nmerges: { known_users: drop }", "kissmetrics", "vero")
	w.mustReload(Reloaded{Replaced: []string{"kissmetrics", "vero"}})
	w.write("delivery: { concurrency: 3 }\nmerges: { known_users: drop, key_file: key }", "kissmetrics", "vero")
	w.mustReload(Reloaded{NeedsRestart: []string{"merges.key_file"}})
	w.write("delivery: { concurrency: 3 }\nmerges: { known_users: drop }", "kissmetrics", "vero")
	w.mustReload(Reloaded{})
	w.write("delivery: { concurrency: 3 }\nmerges: { known_users: drop }\nlimits: { connections: 50 }\nlog: { format: console, level: warn }", "kissmetrics", "spare")
	w.mustReload(Reloaded{Added: []string{"spare"}, Removed: []string{"vero"}, NeedsRestart: []string{"limits", "log.format"}})
}

// The calls wait while the filter and the transform change. They meet the new ones, and the log says so.
func TestReload_CallsThatWaitMeetTheNewFilterAndTransform(t *testing.T) {
	w := newReloadWorld(t, "vero")
	edits := func(text string) {
		w.more = text
		w.write("", "vero")
	}
	edits(`, filter: 'event != "b"', transform: [{ set: { event: '="old " + event' } }]`)
	core, logs := observer.New(zap.InfoLevel)
	w.router = New(w.load(), zap.New(core))
	if err := w.router.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.send("a", "b")
	w.wantEvents("vero", "old a")
	w.ended("vero")
	w.pause("vero", true)
	w.send("c", "d", "e")

	changed := func() int { return logs.FilterMessage("filter or transform changed").Len() }
	edits(`, filter: 'event != "d"', transform: [{ set: { event: '="new " + event' } }]`)
	w.mustReload(Reloaded{Replaced: []string{"vero"}})
	edits(", transform: [ { set: {event: '=\"new \" + event'} } ], filter: 'event != \"d\"'")
	w.mustReload(Reloaded{}) // it says the same
	if changed() != 1 {
		t.Errorf("the log says %d times that they changed", changed())
	}
	w.pause("vero", false)
	w.wantEvents("vero", "old a", "new c", "new e")
	w.ended("vero")
	if got := (&strange{model: &model{t: t, router: w.router}}).count("aka_outcomes_total", "vero", "filtered_by_destination"); got != 2 {
		t.Errorf("%v calls were filtered", got)
	}
	edits("")
	w.mustReload(Reloaded{Replaced: []string{"vero"}})
	w.send("f")
	w.wantEvents("vero", "old a", "new c", "new e", "f")
}

func TestAConfigThatDoesNotLoadChangesNothing(t *testing.T) {
	w := newReloadWorld(t, "vero")
	w.write("", "vero")
	w.start()
	before := w.router.Config()
	w.write("delivery: { concurency: 3 }", "vero")
	_, err := w.router.Reload()
	if mistakes := (*config.Mistakes)(nil); !errors.As(err, &mistakes) || !strings.Contains(err.Error(), "concurency") {
		t.Errorf("got %v", err)
	}
	if w.router.Config() != before {
		t.Error("it goes by another config")
	}
	w.send("still")
	w.wantEvents("vero", "still")
}

func TestADestinationThatIsTakenOutKeepsItsBacklogUntilItIsBack(t *testing.T) {
	for _, how := range []string{"by reloads", "by restarts"} {
		t.Run(how, func(t *testing.T) {
			w := newReloadWorld(t, "kissmetrics", "vero")
			change := func(destinations ...string) {
				w.write("", destinations...)
				if how == "by reloads" {
					if _, err := w.router.Reload(); err != nil {
						t.Fatal(err)
					}
					return
				}
				w.router.Stop(t.Context())
				w.start()
			}
			w.write("", "kissmetrics", "vero")
			w.start()
			w.pause("vero", true)
			w.send("before 1", "before 2")
			change("kissmetrics")
			w.send("meanwhile 1", "meanwhile 2")
			w.wantEvents("kissmetrics", "before 1", "before 2", "meanwhile 1", "meanwhile 2")
			if n := w.backlog("vero"); n != 2 {
				t.Errorf("%v calls wait for what was taken out, want 2", n)
			}
			w.wantState("vero", deststate.Removed)
			w.router.Stop(t.Context()) // it outlives that, too
			w.start()
			if n := w.backlog("vero"); n != 2 {
				t.Errorf("after a restart %v calls wait for what was taken out, want 2", n)
			}
			change("kissmetrics", "vero")
			w.send("after")
			if got := w.events("vero"); len(got) > 0 {
				t.Errorf("it was paused, and the vendor got %v", got)
			}
			w.pause("vero", false)
			w.wantEvents("vero", "before 1", "before 2", "after")
		})
	}
}

func TestADestinationThatIsForgottenHasNoBacklog(t *testing.T) {
	w := newReloadWorld(t, "kissmetrics", "vero")
	w.write("", "kissmetrics", "vero")
	w.start()
	w.pause("vero", true)
	w.send("before 1", "before 2")
	if _, err := w.router.Forget(t.Context(), "vero"); !errors.Is(err, admin.ErrConfigured) {
		t.Errorf("a configured one: %v", err)
	}
	w.write("", "kissmetrics")
	w.mustReload(Reloaded{Removed: []string{"vero"}})
	if n, err := w.router.Forget(t.Context(), "vero"); n != 2 || err != nil {
		t.Errorf("%d calls were let go, %v", n, err)
	}
	if _, err := w.router.Forget(t.Context(), "vero"); !errors.Is(err, admin.ErrNoDestination) {
		t.Errorf("a second time: %v", err)
	}
	if n := testutil.ToFloat64(w.router.fleet.forgotten); n != 2 {
		t.Errorf("%v calls are counted as forgotten", n)
	}
	if n := w.backlog("vero"); n != 0 {
		t.Errorf("%v calls wait still", n)
	}
	w.write("", "kissmetrics", "vero")
	w.mustReload(Reloaded{Added: []string{"vero"}})
	w.send("after")
	w.wantEvents("vero", "after")
}

func TestWhatARemovedDestinationHasBecomesDeadLettersWhenItIsTooOld(t *testing.T) {
	w := newReloadWorld(t, "kissmetrics", "vero")
	w.write("", "kissmetrics", "vero")
	w.start()
	w.pause("vero", true)
	w.send("before 1", "before 2")
	w.write("", "kissmetrics")
	w.mustReload(Reloaded{Removed: []string{"vero"}})
	w.send("meanwhile")
	w.router.Stop(t.Context())
	config := w.load()
	config.Delivery.MaxBacklogAge = time.Nanosecond
	w.startWith(config)
	w.until("nothing waits", func() bool { return w.backlog("vero") == 0 })
	summary, err := w.router.journal.DeadSummary(t.Context())
	if err != nil || len(summary) != 1 || summary[0].Destination != "vero" || summary[0].Reason != "too_old" || summary[0].Count != 2 {
		t.Errorf("the dead letters are %+v, %v", summary, err)
	}
	if floor := w.router.fleet.orphans["vero"].Floor(); floor != ^uint64(0) {
		t.Errorf("it keeps the log from %d on", floor)
	}
}

func TestWhatASourceSentBeforeItWasTakenOutGoesWhereItWasMeantToGo(t *testing.T) {
	w := newReloadWorld(t, "kissmetrics", "vero")
	tight := "delivery: { concurrency: 1, window: 1 }"
	w.sources = "{ test: { write_key: key, destinations: [kissmetrics] }, other: { write_key: other } }"
	w.write(tight, "kissmetrics", "vero")
	w.start()
	w.pause("kissmetrics", true)
	w.pause("vero", true)
	w.key = "other"
	before := []string{"before 1", "before 2", "before 3", "before 4", "before 5"}
	w.send(before...) // they fill the windows and what is read ahead of them
	w.key = "key"
	w.send("restricted")
	w.sources = "{ other: { write_key: other } }"
	for range 2 {
		w.write(tight, "kissmetrics", "vero")
		w.mustReload(Reloaded{})
	}
	w.key = "other"
	w.send("second")
	w.pause("kissmetrics", false)
	w.pause("vero", false)
	w.wantEvents("kissmetrics", append(before, "restricted", "second")...)
	w.wantEvents("vero", append(before, "second")...)
}

// A destination is replaced only when nothing of it is in flight, and others do not wait for that.
func TestAReloadWaitsForWhatIsInFlightOfThatDestinationOnly(t *testing.T) {
	w := newReloadWorld(t, "kissmetrics", "vero")
	w.write("", "kissmetrics", "vero")
	w.start()
	if err := w.sim.Account("vero").AddFaults(simulator.Fault{Times: 1, Hang: true}); err != nil {
		t.Fatal(err)
	}
	w.send("first")
	w.until("it is in flight", func() bool { return w.metric("aka_exchanges_in_flight", "vero") == 1 })
	w.write("delivery: { concurrency: 2 }", "kissmetrics", "vero")
	var done atomic.Bool
	reloaded := make(chan error)
	go func() {
		_, err := w.router.Reload()
		done.Store(true)
		reloaded <- err
	}()
	w.until("the other is replaced", func() bool {
		return w.router.fleet.all()["kissmetrics"].Options().Concurrency == delivery.Fixed(2)
	})
	if s := w.router.fleet.status(t.Context()); len(s) != 2 || s[1].Name != "vero" || s[1].InFlight != 1 {
		t.Errorf("meanwhile their status is %+v", s)
	}
	w.send("second")
	w.wantEvents("kissmetrics", "first", "second")
	if done.Load() {
		t.Error("the reload has ended while an exchange was in flight")
	}
	w.sim.Account("vero").ClearFaults()
	if err := <-reloaded; err != nil {
		t.Error(err)
	}
	w.wantEvents("vero", "first", "second")
}

func TestAStopInTheMidstOfAReloadWaitsForWhatIsInFlight(t *testing.T) {
	w := newReloadWorld(t, "vero")
	w.write("", "vero")
	w.start()
	if err := w.sim.Account("vero").AddFaults(simulator.Fault{Times: 1, Hang: true}); err != nil {
		t.Fatal(err)
	}
	w.send("first")
	w.until("it is in flight", func() bool { return w.metric("aka_exchanges_in_flight", "vero") == 1 })
	w.write("delivery: { concurrency: 2 }", "vero")
	reloaded, stopped := make(chan bool), make(chan bool)
	go func() {
		_, _ = w.router.Reload()
		close(reloaded)
	}()
	w.until("it is reloading", func() bool { return w.router.Config().Delivery.Concurrency == delivery.Fixed(2) })
	go func() {
		w.router.Stop(t.Context())
		close(stopped)
	}()
	<-reloaded
	w.sim.Account("vero").ClearFaults()
	<-stopped
	w.start()
	w.send("second")
	w.wantEvents("vero", "first", "second")
	if n := len(w.sim.Account("vero").Exchanges()); n != 2 {
		t.Errorf("it was sent %d requests for 2 calls", n)
	}
}

func TestAConfigThatCannotBeReadToItsEndDelaysNoStop(t *testing.T) {
	w := newReloadWorld(t, "vero")
	w.write("", "vero")
	w.start()
	if err := errors.Join(os.Remove(w.path), syscall.Mkfifo(w.path, 0o600)); err != nil {
		t.Fatal(err)
	}
	reloaded := make(chan error)
	go func() {
		_, err := w.router.Reload()
		reloaded <- err
	}()
	pipe, err := os.OpenFile(w.path, os.O_WRONLY, 0) // once it is being read
	if err != nil {
		t.Fatal(err)
	}
	w.send("still")
	w.wantEvents("vero", "still")
	w.router.Stop(t.Context())
	_ = pipe.Close()
	if err := <-reloaded; err == nil {
		t.Error("an empty config was reloaded by a router that is stopped")
	}
}

func TestWhatIsNoConfigFileChangesNothing(t *testing.T) {
	w := newReloadWorld(t, "vero")
	w.write("", "vero")
	w.start()
	for name, put := range map[string]func() error{
		"nothing":  func() error { return nil },
		"a folder": func() error { return os.Mkdir(w.path, 0o700) },
		"endless":  func() error { return os.Symlink("/dev/zero", w.path) },
		"a loop":   func() error { return os.Symlink(w.path, w.path) },
		"empty":    func() error { return os.WriteFile(w.path, nil, 0o600) },
		"huge":     func() error { return os.WriteFile(w.path, make([]byte, 1<<20+1), 0o600) },
	} {
		if err := errors.Join(os.RemoveAll(w.path), put()); err != nil {
			t.Fatal(err)
		}
		var mistakes *config.Mistakes
		if _, err := w.router.Reload(); !errors.As(err, &mistakes) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.send("still")
	w.wantEvents("vero", "still")
}

// However a pause and a reload of the same destination fall together, what is said is what is done.
func TestAPauseInTheMidstOfAReloadHolds(t *testing.T) {
	w := newReloadWorld(t, "vero")
	w.write("", "vero")
	w.start()
	for i := range 60 {
		w.write(fmt.Sprintf("delivery: { concurrency: %d }", 1+i%2), "vero")
		var pausing sync.WaitGroup
		pausing.Go(func() {
			if _, err := w.router.Reload(); err != nil {
				t.Error(err)
			}
		})
		for n := range 3 {
			w.pause("vero", (i+n)%2 == 0)
		}
		pausing.Wait()
		if paused := w.router.fleet.all()["vero"].Paused(); paused != (i%2 == 0) || paused != w.router.journal.Paused("vero") {
			t.Fatalf("after %d reloads: paused %t, in the journal %t", i+1, paused, w.router.journal.Paused("vero"))
		}
	}
}

func TestADrainThatWasCancelledDoesNotEnd(t *testing.T) {
	w := newReloadWorld(t, "vero")
	w.write("", "vero")
	w.start()
	w.router.draining.Store(true)
	if err := w.router.CancelDrain(); err != nil {
		t.Fatal(err)
	}
	if w.router.endDrain() {
		t.Error("it ends all the same")
	}
	w.send("taken")
	w.router.draining.Store(true)
	if !w.router.endDrain() || w.router.endDrain() {
		t.Error("it does not end, or twice")
	}
	if err := w.router.CancelDrain(); err == nil {
		t.Error("it was cancelled when it had ended")
	}
}

func TestParkedCallsOfARemovedDestinationWaitToo(t *testing.T) {
	w := newReloadWorld(t, "kissmetrics", "vero")
	w.write("", "kissmetrics", "vero")
	w.start()
	w.send("aside 1", "aside 2")
	w.wantEvents("vero", "aside 1", "aside 2")
	w.until("they have ended", func() bool { return w.backlog("vero") == 0 })
	w.pause("vero", true)
	w.send("before 1")
	w.until("it is read", func() bool { return w.metric("aka_window_calls", "vero") == 1 })
	for seq := range uint64(2) {
		frame, err := w.router.journal.ReadFrom(1 + seq).Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at := journal.Position{Seq: 1 + seq}
		calls := []*journal.Parked{
			{Queue: 1, Rank: at, Position: at, Entry: frame.Entries[0]},
			{Queue: 2, Rank: at, Position: at, Dead: "refused", DeadLetterID: 1, Entry: frame.Entries[0]}, // has ended, and is not among those that wait
		}
		for range 2 { // the second time as after a crash
			if err := w.router.journal.Park(t.Context(), "vero", calls); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.write("", "kissmetrics")
	w.mustReload(Reloaded{Removed: []string{"vero"}})
	if n := w.metric("aka_window_calls", "vero"); n != 0 {
		t.Errorf("%v calls are in the window of what does not run", n)
	}
	if n, err := w.router.Forget(t.Context(), "vero"); n != 3 || err != nil {
		t.Errorf("%d calls were let go, %v", n, err)
	}
}

func TestAnotherAgeOfTheBacklogIsThatOfTakenOutDestinationsToo(t *testing.T) {
	w := newReloadWorld(t, "kissmetrics", "vero")
	w.write("", "kissmetrics", "vero")
	w.start()
	w.write("delivery: { max_backlog_age: 0s }", "kissmetrics")
	w.mustReload(Reloaded{Replaced: []string{"kissmetrics"}, Removed: []string{"vero"}})
	w.write("delivery: { max_backlog_age: 2h }", "kissmetrics")
	w.mustReload(Reloaded{Replaced: []string{"kissmetrics"}})
	if age := w.router.fleet.orphans["vero"].maxAge; age != 2*time.Hour {
		t.Errorf("it goes by %s", age)
	}
}

// What was to come last is damaged: nothing will ever tell that it has ended.
func TestADamagedFrameDoesNotKeepTheLogForATakenOutDestination(t *testing.T) {
	w := newReloadWorld(t, "kissmetrics", "vero")
	w.write("", "kissmetrics", "vero")
	w.start()
	w.pause("vero", true)
	w.send("before 1", "before 2")
	w.write("", "kissmetrics")
	w.mustReload(Reloaded{Removed: []string{"vero"}})
	w.send("meanwhile")
	w.wantEvents("kissmetrics", "before 1", "before 2", "meanwhile")
	w.router.Stop(t.Context())
	w.damage("before 2")
	config := w.load()
	config.Delivery.MaxBacklogAge = time.Nanosecond
	w.startWith(config)
	w.until("nothing is kept", func() bool { return w.router.fleet.orphans["vero"].Floor() == ^uint64(0) && w.backlog("vero") == 0 })
}

func TestADrainEndsWhenEverythingIsDelivered(t *testing.T) {
	w := newReloadWorld(t, "vero")
	w.write("", "vero")
	w.start()
	w.pause("vero", true)
	w.send("first", "second")
	if err := w.router.Drain(); err != nil {
		t.Fatal(err)
	}
	if err := w.router.Drain(); err != nil {
		t.Errorf("once more: %v", err)
	}
	if status := w.post("refused"); status != http.StatusServiceUnavailable {
		t.Errorf("a call was answered %d", status)
	}
	want := admin.Draining{Draining: true, Waiting: map[string]uint64{"vero": 2}, Paused: []string{"vero"}}
	if got := w.router.Draining(); !reflect.DeepEqual(got, want) {
		t.Errorf("it says %+v, want %+v", got, want)
	}
	if err := w.router.CancelDrain(); err != nil {
		t.Fatal(err)
	}
	w.send("third")
	if err := w.router.Drain(); err != nil {
		t.Fatal(err)
	}
	w.pause("vero", false)
	select {
	case <-w.router.Drained():
	case <-t.Context().Done():
	}
	w.wantEvents("vero", "first", "second", "third")
	if d := w.router.Draining(); !d.Done || len(d.Waiting) > 0 {
		t.Errorf("it says %+v", d)
	}
	if err := w.router.CancelDrain(); err == nil {
		t.Error("it was cancelled when it had ended")
	}
}

// reloadWorld is a router whose config can be written anew, and its vendors.
type reloadWorld struct {
	t      *testing.T
	sim    *simulator.Simulator
	path   string
	data   string
	secret string
	// sources is the section of that name, key the write key to send with.
	sources, key string
	// more are more keys of each destination.
	more   string
	router *Router
}

func newReloadWorld(t *testing.T, destinations ...string) *reloadWorld {
	sim, err := simulator.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	w := &reloadWorld{t: t, sim: sim, path: filepath.Join(t.TempDir(), "config.yaml"), data: filepath.Join(t.TempDir(), "data"), secret: "t", sources: "{ test: { write_key: key } }", key: "key"}
	for _, name := range destinations {
		if _, err := sim.Add(name, vendorOf(name), simulator.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if w.router != nil {
			w.router.Stop(t.Context())
		}
	})
	return w
}

func vendorOf(name string) string {
	if name == "kissmetrics" {
		return name
	}
	return "vero"
}

// write writes the config's file with some destinations, and more lines.
func (w *reloadWorld) write(more string, destinations ...string) {
	w.t.Helper()
	text := fmt.Sprintf("listen: \"127.0.0.1:0\"\nadmin: { listen: \"127.0.0.1:0\" }\njournal: { dir: %q }\nsources: %s\n%s\ndestinations:\n", w.data, w.sources, more)
	for _, name := range destinations {
		settings := "api_key: k"
		if vendorOf(name) == "vero" {
			settings = "auth_token: " + w.secret
		}
		text += fmt.Sprintf("  %s: { type: %s, delivery: { allow_private: true }, settings: { %s, endpoint: %q }%s }\n",
			name, vendorOf(name), settings, w.sim.Account(name).Endpoint(), w.more)
	}
	if err := os.WriteFile(w.path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// addLines adds to the file's end.
func (w *reloadWorld) addLines(text string) {
	w.t.Helper()
	content, err := os.ReadFile(w.path)
	if err == nil {
		err = os.WriteFile(w.path, append(content, text...), 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// damage changes a text wherever it stands in the journal's files of calls.
func (w *reloadWorld) damage(text string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.data, "log", "*.seg"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("there are no files: %v", err)
	}
	found := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		found += strings.Count(string(content), text)
		content = []byte(strings.ReplaceAll(string(content), text, strings.ToUpper(text)))
		if err := os.WriteFile(file, content, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	if found == 0 {
		w.t.Fatalf("%s stands nowhere", text)
	}
}

func (w *reloadWorld) start() {
	w.t.Helper()
	w.startWith(w.load())
}

func (w *reloadWorld) load() *config.Config {
	w.t.Helper()
	config, err := config.Load(w.path, config.LoadOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return config
}

func (w *reloadWorld) startWith(config *config.Config) {
	w.t.Helper()
	w.router = New(config, zaptest.NewLogger(w.t))
	if err := w.router.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *reloadWorld) mustReload(want Reloaded) {
	w.t.Helper()
	for _, names := range []*[]string{&want.Added, &want.Replaced, &want.Removed, &want.NeedsRestart} {
		if *names == nil {
			*names = []string{}
		}
	}
	got, err := w.router.Reload()
	if err != nil || !reflect.DeepEqual(*got, want) {
		w.t.Fatalf("it did %+v, want %+v; %v", got, want, err)
	}
}

func (w *reloadWorld) pause(name string, paused bool) {
	w.t.Helper()
	if err := w.router.Pause(name, paused); err != nil {
		w.t.Fatal(err)
	}
}

func (w *reloadWorld) send(events ...string) {
	w.t.Helper()
	for _, event := range events {
		if status := w.post(event); status != http.StatusOK {
			w.t.Fatalf("%s: %d", event, status)
		}
	}
}

func (w *reloadWorld) post(event string) (status int) {
	w.t.Helper()
	return w.postTo("track", fmt.Sprintf(`{"userId":"jane","event":%q,"messageId":%q,"timestamp":"2026-01-02T03:04:05Z"}`, event, event))
}

func (w *reloadWorld) postTo(endpoint, body string) (status int) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.router.Addr()+"/v1/"+endpoint, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	request.SetBasicAuth(w.key, "")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// events are what the vendor got, in order where it needs that.
func (w *reloadWorld) events(name string) (events []string) {
	for _, r := range w.sim.Account(name).Records() {
		events = append(events, r.Event)
	}
	if vendorOf(name) == "kissmetrics" { // which orders by time itself
		slices.Sort(events)
	}
	return events
}

func (w *reloadWorld) wantEvents(name string, want ...string) {
	w.t.Helper()
	w.until(fmt.Sprintf("%s has %v, and not %v", name, want, w.events(name)), func() bool { return len(w.events(name)) >= len(want) })
	if got := w.events(name); !slices.Equal(got, want) {
		w.t.Errorf("%s got %v, want %v", name, got, want)
	}
}

// ended waits until a destination has nothing left: what a vendor has got may be in flight still.
func (w *reloadWorld) ended(name string) {
	w.t.Helper()
	w.until(name+" has nothing left", func() bool { return w.backlog(name) == 0 })
}

func (w *reloadWorld) backlog(name string) float64 { return w.metric("aka_backlog_calls", name) }

// wantState expects that the metric has every state of the destination, and 1 for one of them.
func (w *reloadWorld) wantState(destination string, want deststate.State) {
	w.t.Helper()
	got := map[deststate.State]float64{}
	for _, f := range families(w.t, w.router) {
		for _, m := range f.GetMetric() {
			if labels := m.GetLabel(); f.GetName() == "aka_destination_state" && labels[0].GetValue() == destination {
				got[deststate.State(labels[1].GetValue())] = m.GetGauge().GetValue()
			}
		}
	}
	for _, s := range deststate.All() {
		if value, found := got[s]; !found || (value == 1) != (s == want) {
			w.t.Errorf("%s: the metric of the state %s is %v (there: %t), want only %s to be 1", destination, s, value, found, want)
		}
	}
}

func (w *reloadWorld) metric(family, destination string) float64 {
	w.t.Helper()
	families, err := w.router.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == family && m.GetLabel()[0].GetValue() == destination {
				return m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// until polls what gives no sign when it changes.
func (w *reloadWorld) until(what string, done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited until %s", what)
		}
	}
}
