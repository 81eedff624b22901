package router

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"aka/router/admin"
	"aka/router/deststate"
	"aka/router/journal"
	"aka/router/journal/ledger"
	"aka/router/mergerules"
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

func TestDecisionsInAdvanceMayBeAboutADryRun(t *testing.T) {
	w := &dryWorld{newReloadWorld(t, "vero"), true}
	w.become(", mode: dry, from_start: true")
	held := heldAliases{w.router}
	about := journal.AutoDecision{Verdict: ledger.Approved, Rule: string(mergerules.MaxIDs), Until: time.Now().Add(time.Hour)}
	added, err := held.AddAutoDecision(t.Context(), about)
	if err != nil || len(added) != 2 || added[0].Destination != "vero" || added[1].Destination != "vero~dry" {
		t.Fatalf("added %+v, %v", added, err)
	}
	if all, err := held.AutoDecisions(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("listed are %+v, %v", all, err)
	}
	w.become(", mode: live")
	if all, err := held.AutoDecisions(t.Context()); err != nil || len(all) != 1 || all[0].Destination != "vero" {
		t.Errorf("once it is live, listed are %+v, %v", all, err)
	}
}

// What a dry run remembers is of merges that the vendor does not have.
func TestADryRunLeavesNoMemoryOfMerges(t *testing.T) {
	eachWay(t, func(w *dryWorld) {
		w.become(", mode: dry, from_start: true")
		w.postTo("identify", `{"userId":"ann"}`) // Vero renames none that it does not know
		for range 2 {
			w.merge("ann", "jane")
		}
		w.until("the second is known to be merged", func() bool { return w.outcomes("vero~dry", "dropped") == 1 })
		if n := w.outcomes("vero~dry", "would_send"); n != 2 {
			t.Errorf("%v calls would be sent", n)
		}
		page, err := w.router.journal.Ledger(t.Context(), "", journal.LedgerFilter{}, 0, 10)
		w.until("the ledger has it", func() bool {
			page, err = w.router.journal.Ledger(t.Context(), "vero~dry", journal.LedgerFilter{}, 0, 10)
			return err != nil || len(page.Entries) == 2
		})
		for _, e := range page.Entries {
			if !e.Dry {
				t.Errorf("in the ledger is %+v", e)
			}
		}
		w.become(", mode: live")
		w.ended("vero")
		if sent, dropped := w.outcomes("vero", "delivered"), w.outcomes("vero", "dropped"); sent != 2 || dropped != 1 {
			t.Errorf("once live, %v calls are sent and %v dropped", sent, dropped)
		}
	})
}

func (w *dryWorld) merge(from, to string) {
	w.t.Helper()
	if status := w.postTo("alias", fmt.Sprintf(`{"previousId":%q,"userId":%q}`, from, to)); status != http.StatusOK {
		w.t.Fatalf("status %d", status)
	}
}
