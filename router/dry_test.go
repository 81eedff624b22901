package router

import (
	"errors"
	"slices"
	"testing"

	"aka/router/admin"
	"aka/router/deststate"
)

// dryWorld changes the mode of Vero, by reloads or by restarts.
type dryWorld struct {
	*reloadWorld
	byReloads bool
}

// eachWay runs a test with a destination that changes by reloads, and with one that changes by restarts.
func eachWay(t *testing.T, test func(*dryWorld)) {
	for _, how := range []string{"by reloads", "by restarts"} {
		t.Run(how, func(t *testing.T) { test(&dryWorld{newReloadWorld(t, "vero"), how == "by reloads"}) })
	}
}

// become writes Vero's keys, and has them be in effect.
func (w *dryWorld) become(keys string) {
	w.t.Helper()
	w.more = keys
	w.write("", "vero")
	switch {
	case w.router == nil:
		w.start()
	case w.byReloads:
		if _, err := w.router.Reload(); err != nil {
			w.t.Fatal(err)
		}
	default:
		w.router.Stop(w.t.Context())
		w.start()
	}
}

// wantWouldSend waits until so many calls have ended at the dry run in this process.
func (w *dryWorld) wantWouldSend(calls float64) {
	w.t.Helper()
	w.until("so many calls would be sent", func() bool { return w.outcomes("vero~dry", "would_send") == calls })
	if n := w.outcomes("vero~dry", "delivered"); n > 0 {
		w.t.Errorf("a dry run has %v deliveries", n)
	}
}

func (w *dryWorld) outcomes(destination, outcome string) (calls float64) {
	for _, f := range families(w.t, w.router) {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == "aka_outcomes_total" && labels["destination"] == destination && labels["outcome"] == outcome {
				calls += m.GetCounter().GetValue()
			}
		}
	}
	return calls
}

// isKnown reports whether the journal keeps anything of a destination.
func (w *dryWorld) isKnown(name string) bool {
	return slices.Contains(w.router.journal.Destinations(), name)
}

func TestADryDestinationSendsNothingUntilItIsLive(t *testing.T) {
	eachWay(t, func(w *dryWorld) {
		w.become(", mode: dry")
		w.send("dry 1", "dry 2")
		w.wantWouldSend(2)
		if !w.isKnown("vero~dry") || w.isKnown("vero") {
			t.Errorf("the journal keeps something of %v", w.router.journal.Destinations())
		}
		w.become(", mode: live")
		w.send("live 1")
		w.wantEvents("vero", "live 1")
		if w.isKnown("vero~dry") {
			t.Error("the journal keeps something of the dry run")
		}
		w.become(", mode: dry")
		w.send("dry 3")
		w.wantWouldSend(1)
		w.become("")
		w.send("live 2")
		w.wantEvents("vero", "live 1", "live 2")
	})
}

func TestADryDestinationMayKeepItsCallsForTheVendor(t *testing.T) {
	eachWay(t, func(w *dryWorld) {
		w.become(", mode: dry, from_start: true")
		w.send("dry 1", "dry 2")
		w.wantWouldSend(2)
		w.wantState("vero", deststate.Paused)
		w.until("they wait for the vendor, too", func() bool { return w.backlog("vero") == 2 })
		if err := w.router.Pause("vero", false); !errors.Is(err, admin.ErrDry) {
			t.Errorf("it was resumed while it is dry: %v", err)
		}
		w.become(", mode: dry, from_start: true, lenient_names: true") // which begins it anew
		w.send("dry 3")
		w.until("the third waits, too", func() bool { return w.backlog("vero") == 3 })
		if got := w.events("vero"); len(got) > 0 {
			t.Errorf("the vendor got %v", got)
		}
		w.become(", mode: live, from_start: true")
		w.send("live 1")
		w.wantEvents("vero", "dry 1", "dry 2", "dry 3", "live 1")
		w.ended("vero")
	})
}

func TestWhatWaitedWhenADestinationBecameDryGoesOutWhenItIsLive(t *testing.T) {
	eachWay(t, func(w *dryWorld) {
		w.become("")
		w.pause("vero", true)
		w.send("before 1", "before 2")
		w.become(", mode: dry")
		w.send("dry 1")
		w.wantWouldSend(1)
		w.wantState("vero", deststate.Removed)
		if n := w.backlog("vero"); n != 2 {
			t.Errorf("%v calls wait, want 2", n)
		}
		w.become("")
		w.pause("vero", false)
		w.send("live 1")
		w.wantEvents("vero", "before 1", "before 2", "live 1")
	})
}
