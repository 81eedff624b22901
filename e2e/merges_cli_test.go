package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aka/e2e/harness"
	"aka/router/admin"
	"aka/router/quarantine"
)

// A rotated token of Vero is the same project's: who is a user, and which device is whose, is known as before, after a restart
// as after a reload.
func TestARotatedTokenKeepsTheMemoryOfMerges(t *testing.T) {
	for _, restart := range []bool{true, false} {
		t.Run(fmt.Sprintf("restart %t", restart), func(t *testing.T) {
			w := newWorld(t, harness.Setup{Destinations: mergers()[4:], More: noGrace})
			w.Start()
			for n := range 2 {
				w.call("identify", `{"anonymousId":"device-%d","userId":"user-%d","traits":{"plan":"pro"}}`, n, n)
			}
			w.UntilAllEnded()
			w.Destination("vero").Settings = "auth_token: another-s3cret-token"
			w.Configure()
			if restart {
				w.Stop()
				w.Start()
			} else {
				aka(t, "", "reload", "--admin", w.Process.Admin)
			}
			w.call("alias", `{"previousId":"user-0","userId":"user-1"}`)
			w.untilHeld(1, "vero")
			w.call("alias", `{"previousId":"user-2","userId":"device-1"}`)
			w.Until("the swapped alias has ended", func() bool { return w.Metric("aka_backlog_calls") == 1 })
			expectOutcome(w, 1, "vero", "alias", "dropped", "merge_direction")
			w.Stop()
		})
	}
}

// An operator sees what is held, with the evidence, and decides about it. The ledger has all of it.
func TestAnOperatorDecidesAboutHeldAliases(t *testing.T) {
	w := newWorld(t, harness.Setup{Destinations: mergers()[:1], More: noGrace})
	w.Start()
	for n := range 6 {
		w.call("identify", `{"userId":"user-%d","traits":{"plan":"pro"}}`, n)
	}
	w.UntilAllEnded()
	for n := range 3 {
		w.call("alias", `{"messageId":"m%d","previousId":"user-%d","userId":"user-%d"}`, n, 2*n, 2*n+1)
		w.call("track", `{"userId":"user-%d","event":"Waits %d"}`, 2*n+1, n)
	}
	w.untilHeld(3, "kissmetrics")
	w.Until("the calls wait", func() bool { return len(w.held("").Held) == 3 && w.held("").Held[2].Waiting == 1 })

	if got := lastFields(w.merges("list", "--summary"), 0); !slices.Equal(got[:4], []string{"kissmetrics", "known_users", "test", "3"}) {
		t.Errorf("the summary says %q", got)
	}
	list := w.merges("list", "--held", "--rule", "known_users", "--source", "test")
	if strings.Count(list, "\n") != 3 || !strings.Contains(list, "m0") {
		t.Errorf("held are\n%s", list)
	}
	byMessage := map[string]quarantine.Held{}
	for _, held := range w.held("").Held {
		byMessage[held.MessageID] = held
	}
	id := func(message string) string { return fmt.Sprint(byMessage[message].ID) }
	for _, want := range []string{"held alias " + id("m1"), "known_users", "1 id, a user since", "by source test", "calls behind it  1"} {
		if shown := w.merges("show", id("m1")); !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	var shown struct{ Destinations []map[string]any }
	decodeInto(t, w.get("/destinations"), &shown)
	if d := shown.Destinations[0]; d["held"] != 3.0 || d["state"] != "ok" {
		t.Errorf("/destinations shows %v", d)
	}

	if got := w.merges("approve", id("m0")); got != "approved 1 alias" {
		t.Error(got)
	}
	if got := w.merges("refuse", id("m1")); got != "refused 1 alias" {
		t.Error(got)
	}
	if _, err := w.Command("merges", "approve", id("m1"), "--admin", w.Process.Admin); err == nil {
		t.Error("an alias that was refused is approved")
	}
	w.Until("one is left", func() bool { return w.Metric("aka_backlog_calls") == 2 })
	if got := w.merges("refuse", "--rule", "known_users", "--source", "test"); got != "refused 1 alias" {
		t.Error(got)
	}
	w.UntilAllEnded()
	want := []string{"alias user-0 user-1", "event user-1 Waits 0", "event user-3 Waits 1", "event user-5 Waits 2"}
	got := took(w.Account("kissmetrics"))[6:]
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("took %q, want %q", got, want)
	}
	expectOutcome(w, 2, "kissmetrics", "alias", "dropped", "merge_refused")
	w.expectLedger(map[string][]string{"m0": {"held", "approved", "sent"}, "m1": {"held", "refused"}, "m2": {"held", "refused"}})

	// Its ids are looked up, and what was refused is sent once the rule lets it pass.
	if found := w.merges("list", "--id", "user-0"); !strings.Contains(found, "m0") || strings.Contains(found, "m1") {
		t.Errorf("of user-0 there are\n%s", found)
	}
	w.More = "merges: { new_user_grace: 0s, known_users: allow }"
	w.Configure()
	aka(t, "", "reload", "--admin", w.Process.Admin)
	if out := aka(t, "", "dropped", "replay", "--all", "--reason", "merge_refused", "--admin", w.Process.Admin); strings.TrimSpace(out) != "replayed 2 dropped calls" {
		t.Error(out)
	}
	w.UntilAllEnded()
	for _, alias := range []string{"alias user-2 user-3", "alias user-4 user-5"} {
		if !slices.Contains(took(w.Account("kissmetrics")), alias) {
			t.Errorf("%s was not replayed", alias)
		}
	}
	w.Stop()
}

// expectLedger checks the verdicts of each message in an export, oldest first.
func (w *world) expectLedger(want map[string][]string) {
	w.t.Helper()
	w.Until(fmt.Sprintf("the ledger says %q", want), func() bool { // it is saved with the progress
		got := w.ledger()
		for id, verdicts := range want {
			if !slices.Equal(got[id], verdicts) {
				return false
			}
		}
		return true
	})
}

// ledger returns the verdicts of the ledger, by the messageIds.
func (w *world) ledger() map[string][]string {
	w.t.Helper()
	got := map[string][]string{}
	for line := range strings.Lines(w.merges("export")) {
		var e admin.Merge
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.t.Fatalf("%v: %s", err, line)
		}
		if strings.Contains(line, "user-") {
			w.t.Errorf("it names an id: %s", line)
		}
		got[e.MessageID] = append(got[e.MessageID], fmt.Sprint(e.Verdict))
	}
	return got
}

// lastFields are the words of a table's row, the head not counted.
func lastFields(table string, row int) []string {
	lines := strings.Split(table, "\n")
	return strings.Fields(lines[min(row+1, len(lines)-1)])
}

// What was merged before aka is taken in from a file, and the rules know it.
func TestMergesFromBeforeAreKnownToTheRules(t *testing.T) {
	w := newWorld(t, harness.Setup{Destinations: mergers()[:1], More: "merges: { max_ids: 3 }"})
	w.Start()
	path := filepath.Join(t.TempDir(), "merged.csv")
	harness.Check(t, os.WriteFile(path, []byte("previousId,userId\na,b\nb,c\n"), 0o600))
	if got := w.merges("import", "--destination", "kissmetrics", path); got != "imported 2 pairs into the memory of kissmetrics" {
		t.Error(got)
	}
	w.call("alias", `{"previousId":"a","userId":"c"}`)
	w.call("alias", `{"messageId":"m1","previousId":"d","userId":"c"}`)
	w.untilHeld(1, "kissmetrics")
	held := w.held("").Held[0]
	if held.Rule != "max_ids" || held.MessageID != "m1" || held.To.IDs != 3 {
		t.Errorf("held is %+v", held)
	}
	w.Kill()
	w.Start()
	w.untilHeld(1, "kissmetrics")
	if again := w.held("").Held[0]; again.ID != held.ID {
		t.Errorf("after a crash it is %+v", again)
	}
	w.Stop()
}
