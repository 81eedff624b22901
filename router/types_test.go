package router

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"aka/destinations/simulator"
	"aka/router/admin"
	"aka/router/config"
	"aka/router/journal"
)

// writeCRM writes a config with one destination, crm, of a type.
func (w *reloadWorld) writeCRM(vendorType, more string) { w.writeCRMWith("continue", vendorType, more) }

func (w *reloadWorld) writeCRMWith(onDead, vendorType, more string) {
	w.t.Helper()
	settings := map[string]string{"vero": "auth_token: t", "kissmetrics": "api_key: k"}[vendorType]
	text := fmt.Sprintf(`listen: "127.0.0.1:0"
admin: { listen: "127.0.0.1:0" }
journal: { dir: %q }
sources: { test: { write_key: key } }
destinations:
  crm:
    type: %s
    %s
    delivery: { allow_private: true, on_dead: %s }
    settings: { %s, endpoint: %q }
`, w.data, vendorType, more, onDead, settings, w.sim.Account(vendorType).Endpoint())
	if err := os.WriteFile(w.path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// refused is what the config is refused with, by a reload and by a restart.
func (w *reloadWorld) refused(by string) error {
	w.t.Helper()
	if by == "reload" {
		_, err := w.router.Reload()
		return err
	}
	w.router.Stop(w.t.Context())
	err := New(w.load(), zaptest.NewLogger(w.t)).Start(w.t.Context())
	return err
}

func newTypesWorld(t *testing.T) *reloadWorld {
	w := newReloadWorld(t, "vero", "kissmetrics", "spare")
	w.writeCRM("vero", "")
	w.start()
	return w
}

func (w *reloadWorld) wantRefused(by, waiting string) {
	w.t.Helper()
	want := w.path + ":7: destinations.crm.type: the type was vero, and " + waiting + ": add was_type: vero to send what waits to kissmetrics, " +
		"or take crm out of the config and run aka destination forget crm to drop it"
	err := w.refused(by)
	if mistakes := (*config.Mistakes)(nil); !errors.As(err, &mistakes) || err.Error() != want {
		w.t.Errorf("%s: got %v\nwant %s", by, err, want)
	}
}

func TestAnotherTypeUnderTheSameNameIsRefusedWhileCallsWait(t *testing.T) {
	for _, by := range []string{"reload", "restart"} {
		t.Run(by, func(t *testing.T) {
			w := newTypesWorld(t)
			w.send("delivered")
			w.wantEvents("vero", "delivered")
			w.ended("crm")
			w.pause("crm", true)
			w.send("before 1", "before 2")
			w.writeCRM("kissmetrics", "")
			w.wantRefused(by, "2 calls wait")
			w.writeCRM("kissmetrics", "was_type: kissmetrics")
			w.wantRefused(by, "2 calls wait")

			w.writeCRM("vero", "")
			if by == "restart" {
				w.start()
			} else {
				w.mustReload(Reloaded{})
			}
			w.pause("crm", false)
			w.wantEvents("vero", "delivered", "before 1", "before 2")
			if got := w.events("kissmetrics"); len(got) > 0 {
				t.Errorf("another vendor got %v", got)
			}
		})
	}
}

func TestWasTypeSendsWhatWaitsToTheNewTypeAndDoesNoHarmLater(t *testing.T) {
	for _, by := range []string{"reload", "restart"} {
		t.Run(by, func(t *testing.T) {
			w := newTypesWorld(t)
			change := func() {
				t.Helper()
				if err := w.refused(by); err != nil {
					t.Fatal(err)
				}
			}
			if by == "restart" {
				change = func() {
					t.Helper()
					w.router.Stop(t.Context())
					w.start()
				}
			}
			w.pause("crm", true)
			w.send("before")
			w.writeCRM("kissmetrics", "was_type: vero")
			change()
			w.pause("crm", false)
			w.send("after")
			w.wantEvents("kissmetrics", "after", "before")
			w.ended("crm")
			w.pause("crm", true)
			w.send("waits")
			change()
			w.pause("crm", false)
			w.wantEvents("kissmetrics", "after", "before", "waits")
			w.ended("crm")

			w.pause("crm", true)
			w.send("waits again")
			w.writeCRM("vero", "was_type: vero") // it was kissmetrics
			if err := w.refused(by); err == nil || !strings.Contains(err.Error(), "the type was kissmetrics, and 1 call waits: add was_type: kissmetrics") {
				t.Errorf("got %v", err)
			}
			if got := w.events("vero"); len(got) > 0 {
				t.Errorf("the vendor from before got %v", got)
			}
		})
	}
}

func TestAnotherTypeIsTakenWhenNothingWaits(t *testing.T) {
	w := newTypesWorld(t)
	w.send("first")
	w.wantEvents("vero", "first")
	w.ended("crm")
	w.writeCRM("kissmetrics", "")
	w.mustReload(Reloaded{Replaced: []string{"crm"}})
	w.send("second")
	w.wantEvents("kissmetrics", "second")
	w.ended("crm")
	w.router.Stop(t.Context())
	w.writeCRM("vero", "")
	w.start()
	w.send("third")
	w.wantEvents("vero", "first", "third")
}

// The way out by forgetting, and what was taken out and comes back as another.
func TestATakenOutDestinationComesBackAsAnotherTypeOnceItIsForgotten(t *testing.T) {
	for _, by := range []string{"reload", "restart"} {
		t.Run(by, func(t *testing.T) {
			w := newTypesWorld(t)
			w.pause("crm", true)
			w.send("before 1", "before 2")
			w.until("both are taken in", func() bool {
				status, err := w.router.fleet.all()["crm"].Status(t.Context())
				return err == nil && status.Window == 2
			})
			w.write("", "spare")
			w.mustReload(Reloaded{Added: []string{"spare"}, Removed: []string{"crm"}})
			w.send("meanwhile")
			w.writeCRM("kissmetrics", "")
			w.wantRefused(by, "2 calls wait")
			if by == "restart" {
				w.write("", "spare")
				w.start()
			}
			if n, err := w.router.Forget(t.Context(), "crm"); n != 2 || err != nil {
				t.Fatalf("%d calls were let go, %v", n, err)
			}
			w.writeCRM("kissmetrics", "")
			w.mustReload(Reloaded{Added: []string{"crm"}, Removed: []string{"spare"}})
			w.send("after")
			w.wantEvents("kissmetrics", "after")
		})
	}
}

// Calls that are parked have ended in the log, and wait all the same; so does a dead letter that others wait for.
func TestParkedCallsKeepTheTypeToo(t *testing.T) {
	for _, dead := range []string{"", "refused"} {
		for _, by := range []string{"reload", "restart"} {
			t.Run(strings.TrimSpace(by+" "+dead), func(t *testing.T) {
				w := newTypesWorld(t)
				w.send("aside")
				w.wantEvents("vero", "aside")
				w.ended("crm")
				frame, err := w.router.journal.ReadFrom(1).Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				w.pause("crm", true)
				deadLetter := &journal.DeadLetter{Destination: "crm", Reason: "refused", Position: journal.Position{Seq: 1}, Entry: frame.Entries[0]}
				if err := w.router.journal.StoreDeadLetters(t.Context(), []*journal.DeadLetter{deadLetter}); err != nil {
					t.Fatal(err)
				}
				parked := &journal.Parked{Queue: 1, Position: journal.Position{Seq: 1}, Dead: dead, DeadLetterID: deadLetter.ID, Entry: frame.Entries[0]}
				if err := w.router.journal.Park(t.Context(), "crm", []*journal.Parked{parked}); err != nil {
					t.Fatal(err)
				}
				w.writeCRMWith("block", "vero", "")
				w.mustReload(Reloaded{Replaced: []string{"crm"}}) // which takes it up
				w.until("it is taken up", func() bool { return w.metric("aka_parked_calls", "crm") == 1 })
				w.writeCRMWith("block", "kissmetrics", "")
				w.wantRefused(by, "1 call waits")
			})
		}
	}
}

func TestADeadLetterIsReplayedToAnotherTypeOnlyWhenTheConfigSaysSo(t *testing.T) {
	w := newTypesWorld(t)
	if err := w.sim.Account("vero").AddFaults(simulator.Fault{Times: 1, Status: 400}); err != nil {
		t.Fatal(err)
	}
	w.send("refused")
	w.until("it is a dead letter", func() bool { return len(w.deadLetters()) == 1 && w.backlog("crm") == 0 })
	w.writeCRM("kissmetrics", "")
	w.mustReload(Reloaded{Replaced: []string{"crm"}})
	const refused = "dead letter 1 was stored when the type of crm was vero, and that is kissmetrics now: add was_type: vero to its config to send it there, or discard it"
	for path, want := range map[string]string{
		"/dead-letters/1/replay": refused, "/dead-letters/replay": `"count":0,"skipped":1`,
	} {
		if got := w.admin(path); !strings.Contains(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
	if len(w.deadLetters()) != 1 || len(w.events("kissmetrics")) > 0 {
		t.Errorf("%v are left, and the other vendor got %v", w.deadLetters(), w.events("kissmetrics"))
	}
	w.writeCRM("kissmetrics", "was_type: vero")
	w.mustReload(Reloaded{})
	if got := w.admin("/dead-letters/replay"); !strings.Contains(got, `"count":1`) {
		t.Errorf("with was_type: %s", got)
	}
	w.wantEvents("kissmetrics", "refused")
}

// admin asks the operator's server to do something.
func (w *reloadWorld) admin(path string) string {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.router.AdminAddr()+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set(admin.ProofHeader, "1")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(body)
}

func (w *reloadWorld) deadLetters() (all []uint64) {
	w.t.Helper()
	err := w.router.journal.DeadLetters(w.t.Context(), journal.DeadFilter{}, 0, func(d *journal.DeadLetter) bool {
		all = append(all, d.ID)
		return true
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}
