package logging

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
)

// output is what was written. It is safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// take returns what was written since it was taken before.
func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.text.Reset()
	return o.text.String()
}

// lines takes what was written and decodes it.
func lines(t *testing.T, out *output) (all []map[string]any) {
	t.Helper()
	for text := range strings.Lines(out.take()) {
		line := map[string]any{}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	return all
}

func TestALineThatRepeatsIsLeftOutAndThatIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out output
		log := New(Options{Level: "info"}, &out)
		vero, mixpanel := log.With(zap.String("destination", "vero")), log.With(zap.String("destination", "mixpanel"))
		for range 1000 {
			vero.Warn("it failed")
		}
		mixpanel.Warn("it failed")
		vero.Info("it failed")
		time.Sleep(time.Second)
		vero.Warn("it failed")
		if got := len(lines(t, &out)); got != writtenFirst+(1000-writtenFirst)/writtenEach+3 {
			t.Errorf("%d lines", got)
		}
		left := 1000 - writtenFirst - (1000-writtenFirst)/writtenEach
		time.Sleep(reportInterval)
		synctest.Wait()
		got := lines(t, &out)
		if len(got) != 1 || got[0]["line"] != "it failed" || got[0]["destination"] != "vero" || got[0]["count"] != float64(left) || got[0]["level"] != "warn" {
			t.Errorf("got %v", got)
		}
		if n := testutil.ToFloat64(Of(log).leftOut.WithLabelValues("warn")); n != float64(left) {
			t.Errorf("%v are counted, not %d", n, left)
		}
		time.Sleep(10 * reportInterval)
		if again := out.take(); again != "" {
			t.Errorf("it is said again: %s", again)
		}
	})
}

func TestWhatWasLeftOutIsSaidAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out output
		log := New(Options{Level: "info"}, &out)
		for range writtenFirst + 7 {
			log.Warn("it failed")
		}
		_ = log.Sync()
		all := lines(t, &out)
		if last := all[len(all)-1]; len(all) != writtenFirst+1 || last["count"] != 7.0 {
			t.Errorf("%d lines, the last is %v", len(all), last)
		}
	})
}

func TestNothingIsLeftOutAtLevelDebug(t *testing.T) {
	var out output
	log := New(Options{Level: "debug"}, &out)
	for range 1000 {
		log.Debug("call ended")
	}
	if got := len(lines(t, &out)); got != 1000 {
		t.Errorf("%d lines", got)
	}
}

func TestTheLevelChangesForAWhileOrForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out output
		log := New(Options{Level: "warn"}, &out)
		below := log.With(zap.String("destination", "vero"))
		s := Of(log)
		written := func() bool {
			out.take()
			below.Debug("call ended")
			return out.take() != ""
		}
		if written() || s.State() != (State{Level: "warn", Usual: "warn"}) {
			t.Errorf("got %+v", s.State())
		}
		if err := s.SetLevel("debug", time.Minute); err != nil {
			t.Fatal(err)
		}
		if state := s.State(); !written() || state.Level != "debug" || state.Until == nil || !state.Until.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("got %+v", state)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := lines(t, &out); len(got) != 1 || got[0]["msg"] != "log level changed" || got[0]["to"] != "warn" {
			t.Errorf("got %v", got)
		}
		if written() || s.State() != (State{Level: "warn", Usual: "warn"}) {
			t.Errorf("got %+v", s.State())
		}
		// What is said later counts, not what was to come.
		if err := s.SetLevel("debug", time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := s.SetLevel("debug", 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if !written() || s.State() != (State{Level: "debug", Usual: "warn"}) {
			t.Errorf("got %+v", s.State())
		}
		if err := s.SetLevel("loud", 0); err == nil {
			t.Error("a level that there is none of is taken")
		}
	})
}

func TestAMessageIDIsShownAsFarAsItIsRandom(t *testing.T) {
	const uuid = "6fbdfb3a-4a9e-4f6e-9d0e-2f1f3a0c1b2d"
	for id, want := range map[string]string{
		uuid:                              uuid,
		strings.ReplaceAll(uuid, "-", ""): strings.ReplaceAll(uuid, "-", ""),
		"ajs-next-1700000000000-" + uuid:  "…" + uuid,
		"jane@example.com-" + uuid:        "…" + uuid,
		"jane@example.com":                "sha256:8c87b489ce35cf2e",
		"+491511234567":                   MessageID("+491511234567"),
		uuid + "-jane":                    MessageID(uuid + "-jane"),
	} {
		got := MessageID(id)
		if got != want || strings.Contains(got, "jane") || strings.Contains(got, "49151") {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
	var out output
	New(Options{Level: "info"}, &out).With(zap.String("message_id", "jane@example.com")).Info("ended", zap.Int("status", 200), zap.String("message_id", "jane@example.com"))
	if got := out.take(); strings.Contains(got, "jane") || strings.Count(got, "sha256:8c87b489ce35cf2e") != 2 {
		t.Errorf("got %s", got)
	}
}

func TestLinesThatAreNotWrittenCostNothing(t *testing.T) {
	log := New(Options{Level: "info"}, &bytes.Buffer{})
	if n := testing.AllocsPerRun(1000, func() {
		if ce := log.Check(zap.DebugLevel, "call ended"); ce != nil {
			ce.Write()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestControl_ChangesNoOtherLog(t *testing.T) {
	if Of(zap.NewNop()) != nil {
		t.Error("there is something")
	}
	var out output
	New(Options{Level: "debug", Format: "console"}, &out).Info("ready", zap.String("listen", ":8080"))
	if got := out.take(); !strings.Contains(got, "\tinfo\tready\t{\"listen\": \":8080\"}") {
		t.Errorf("got %s", got)
	}
}
