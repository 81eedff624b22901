package delivery

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aka/router/httpclient"
	"aka/router/journal"
	"aka/router/live"
)

// watched is a world at which somebody looks.
func watched(t *testing.T, o Options) *world {
	w := newWorld(t, o)
	w.watch = live.New(live.Config{
		Read: func(from uint64) live.Frames { return &testReader{w.log, from} }, Head: w.log.Head, OnStart: func(context.Context) {}, IdleTimeout: 10 * time.Hour,
	})
	w.watch.Activate()
	return w
}

// steps returns what happened to a call: its states, with the reason or what it waits for.
func (w *world) steps(messageID string) string {
	w.t.Helper()
	calls := w.watch.Calls(live.Filter{ID: messageID}, 1)
	if len(calls) == 0 {
		return ""
	}
	d, _ := w.watch.Call(calls[0].ID)
	var steps []string
	for _, s := range d.Steps {
		text := string(s.State)
		if s.Reason != "" {
			text += " " + s.Reason
		}
		if s.Behind != nil {
			text += " behind " + s.Behind.MessageID
		}
		steps = append(steps, text)
	}
	return strings.Join(steps, ", ")
}

func (w *world) expectSteps(messageID, want string) {
	w.t.Helper()
	if got := w.steps(messageID); got != want {
		w.t.Errorf("%s: %s\nwant %s", messageID, got, want)
	}
}

func TestWhoLooksSeesEveryStepOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watched(t, Options{Retry: RetryOptions{MaxAttempts: 3}})
		w.answer = func(id string, attempt int) httpclient.Response {
			switch {
			case id == "jane-1" && attempt < 3:
				return httpclient.Response{Status: 503}
			case id == "joe-1":
				return httpclient.Response{Status: 400}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(track("jane", 1), alias("jane", "anna", 2), track("joe", 1), track("sue", 1))
		w.run()
		time.Sleep(time.Minute)
		w.expectSteps("jane-1", "queued, sending, retrying, queued, sending, retrying, queued, sending, delivered")
		w.expectSteps("anna-2", "waiting behind jane-1, queued, sending, delivered")
		w.expectSteps("joe-1", "queued, sending, dead refused")
		w.expectSteps("sue-1", "queued, sending, delivered")
		calls := w.watch.Calls(live.Filter{ID: "joe-1"}, 1)
		if s := calls[0].Destinations[0]; s.Status != 400 || s.DeadLetter == 0 || s.Attempt != 1 {
			t.Errorf("the dead letter is shown as %+v", s)
		}
		w.stop()
		w.watch.Close()
	})
}

func TestWhoLooksSeesWhatIsDroppedAndWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watched(t, Options{OnDead: OnDeadBlock})
		w.allowed = []string{"vendor"}
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "jane-1" {
				return httpclient.Response{Status: 400}
			}
			return httpclient.Response{Status: 200}
		}
		dropped := track("sue", 1)
		dropped.Routing = []byte(`{"All":false}`)
		w.accept(identify("jane", 1), track("jane", 2), dropped)
		w.run()
		time.Sleep(5 * time.Minute)
		w.expectSteps("jane-1", "queued, sending, dead refused, blocking refused")
		w.expectSteps("jane-2", "waiting behind jane-1, parked behind jane-1")
		w.expectSteps("sue-1", "dropped filtered_by_integrations")
		w.stop()
		w.watch.Close()
	})
}

func TestWhoBeginsToLookIsToldWhereCallsStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "jane-1" {
				return httpclient.Response{Status: 503}
			}
			return httpclient.Response{Status: 200}
		}
		w.watch = live.New(live.Config{
			Read: func(from uint64) live.Frames { return &testReader{w.log, from} }, Head: w.log.Head,
			OnStart: func(ctx context.Context) { _ = w.pipeline.Snapshot(ctx) },
		})
		w.accept(track("sue", 1), identify("jane", 1), track("jane", 2))
		w.run()
		time.Sleep(10 * time.Second)
		w.watch.Activate()
		synctest.Wait()
		if got := w.steps("jane-1"); !strings.HasPrefix(got, "retrying") {
			t.Errorf("jane-1: %q", got)
		}
		w.expectSteps("jane-2", "waiting behind jane-1")
		w.expectSteps("sue-1", "")
		w.stop()
		w.watch.Close()
	})
}

func TestADestinationSaysHowItDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		w.answer = func(id string, _ int) httpclient.Response {
			if id == "jane-1" {
				return httpclient.Response{Status: 503, Body: []byte("s3cr3t is away")}
			}
			return httpclient.Response{Status: 200}
		}
		w.accept(identify("jane", 1), track("jane", 2), track("sue", 1))
		w.run()
		time.Sleep(10 * time.Second)
		s, err := w.pipeline.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.State != "ok" || s.Backlog != 2 || s.Window != 2 || s.Waiting != 1 || s.Oldest == nil || s.LastDelivery == nil || s.Retries == 0 {
			t.Errorf("got %+v", s)
		}
		if want := (OutcomeCount{Type: "track", Outcome: "delivered", Count: 1}); !slices.Equal(s.Outcomes, []OutcomeCount{want}) {
			t.Errorf("got %+v", s.Outcomes)
		}
		if len(s.Failures) != 1 || s.Failures[0].Status != 503 || s.Failures[0].Calls < 2 || strings.Contains(s.Failures[0].Detail, "s3cr3t") {
			t.Errorf("got %+v", s.Failures)
		}
		w.stop()
		if _, err := w.pipeline.Status(t.Context()); err == nil {
			t.Error("it says how it does although it has stopped")
		}
	})
}

func TestTelemetry_CostsNothingWithoutViewers(t *testing.T) {
	w := newWorld(t, Options{})
	w.watch = live.New(live.Config{})
	w.run()
	defer w.stop()
	p := w.pipeline
	e := track("jane", 1)
	j := &job{entry: &e, pos: journal.Position{Seq: 1}}
	if n := testing.AllocsPerRun(1000, func() {
		j.state = waitingForIDs
		for _, to := range []state{waitingForIDs, queued, inFlight, retryWait, parkPending, parked} {
			p.transition(j, to)
		}
		j.state, j.ending = inFlight, ending{outcome: outcomeDelivered}
		p.transition(j, settled)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
