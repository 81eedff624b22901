package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// pairs is how many pairs of known users an alias would join, and waiting how many calls of each user wait behind it.
const pairs, waiting = 12, 20

// joinersOfUsers are two destinations that take an alias of two users.
func joinersOfUsers() []harness.Destination { return mergers()[:2] }

// holdPairs has an alias of each pair held, with calls of both users behind it.
func (w *world) holdPairs() {
	w.t.Helper()
	for n := range pairs {
		for _, side := range []string{"old", "new"} {
			w.call("identify", `{"userId":"%s-%02d","traits":{"plan":"pro"}}`, side, n)
		}
	}
	w.UntilAllEnded()
	for n := range pairs {
		w.call("alias", `{"messageId":"%d","previousId":"old-%02d","userId":"new-%02d"}`, n, n, n)
	}
	for i := range waiting {
		for n := range pairs {
			w.call("track", `{"userId":"new-%02d","event":"Step %02d"}`, n, i)
		}
	}
	w.untilHeld(pairs, namesOf(joinersOfUsers())...)
}

// ofPair lists what a vendor took of a pair from the alias on, the first time of each.
func ofPair(lines []string, n int) (seen []string) {
	name := fmt.Sprintf("new-%02d", n)
	for _, line := range lines {
		if strings.Contains(line, name) && !strings.HasPrefix(line, "profile") && !slices.Contains(seen, line) {
			seen = append(seen, line)
		}
	}
	return seen
}

// expectPairs checks that the vendors took the aliases of those pairs only that are approved, and all calls behind each.
func (w *world) expectPairs(approved func(n int) bool) {
	w.t.Helper()
	for _, d := range joinersOfUsers() {
		lines := took(w.Account(d.Name))
		for n := range pairs {
			var want []string
			if approved(n) {
				want = append(want, fmt.Sprintf("alias old-%02d new-%02d", n, n))
			}
			for i := range waiting {
				want = append(want, fmt.Sprintf("event new-%02d Step %02d", n, i))
			}
			got := ofPair(lines, n)
			slices.Sort(got[min(len(want)-waiting, len(got)):]) // tracks of one person are in no order there
			if !slices.Equal(got, want) {
				w.t.Errorf("%s took of pair %d\n  %s\nwant\n  %s", d.Name, n, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
		}
	}
}

// decidePairs approves or refuses the held aliases of even pairs, where from is 0, or of odd ones.
func (w *world) decidePairs(verb string, from int, name string) {
	w.t.Helper()
	var ids []string
	for _, held := range w.held(name).Held {
		if n, err := strconv.Atoi(held.MessageID); err == nil && n%2 == from {
			ids = append(ids, fmt.Sprint(held.ID))
		}
	}
	if len(ids) != pairs/2 {
		w.t.Fatalf("%d of the pairs can be decided about: %+v\n%s\n%s", len(ids), w.held(name), w.merges("list"), strings.Join(took(w.Account(name)), "\n"))
	}
	w.merges(append([]string{verb}, ids...)...)
}

// Aka is killed while aliases are held: they are held after it, with all that waits. What was decided is safe at once.
func TestKilledAroundADecisionItSendsNothingThatWasRefused(t *testing.T) {
	w := newWorld(t, harness.Setup{Destinations: joinersOfUsers(), More: noGrace})
	for _, d := range joinersOfUsers() {
		w.AddFaults(d.Name, simulator.Fault{Delay: 2 * time.Millisecond})
	}
	names := namesOf(joinersOfUsers())
	w.Start()
	w.holdPairs()
	w.Kill()

	w.Start()
	w.untilHeld(pairs, names...)
	w.call("track", `{"userId":"new-00","event":"Step %02d"}`, waiting-1) // a repeat, which must wait, too
	for _, name := range names {
		for _, held := range w.held(name).Held {
			if held.Waiting < waiting {
				t.Errorf("%s: %d calls wait behind %s", name, held.Waiting, held.MessageID)
			}
		}
		w.decidePairs("refuse", 1, name)
	}
	w.Kill()

	w.Start()
	w.untilHeld(pairs/2, names...)
	for _, name := range names {
		if got := w.merges("approve", "--destination", name); got != fmt.Sprintf("approved %d aliases", pairs/2) {
			t.Errorf("%s: %s", name, got)
		}
	}
	w.Kill()

	w.Start()
	w.UntilAllEnded()
	w.expectPairs(func(n int) bool { return n%2 == 0 })
	for _, name := range names {
		if w.heldAt(name) != 0 {
			t.Errorf("%s holds %d", name, w.heldAt(name))
		}
	}
	w.Stop()
}

// Aka is killed again and again while it reads back and sends what waited.
func TestKilledWhileAQueueIsReadBackItKeepsTheOrder(t *testing.T) {
	w := newWorld(t, harness.Setup{Destinations: joinersOfUsers(), More: noGrace, Delivery: "window: 40"})
	w.Start()
	w.holdPairs()
	names := namesOf(joinersOfUsers())
	for _, name := range names {
		w.AddFaults(name, simulator.Fault{Delay: 5 * time.Millisecond})
	}
	sent := func(name string) int { return w.Account(name).Stats().Exchanges }
	before := sent(names[0])
	for _, name := range names {
		w.decidePairs("approve", 0, name)
		w.merges("refuse", "--destination", name)
	}
	for range *kills {
		w.Until("some of it is sent", func() bool { return sent(names[0]) >= before+20 || w.Metric("aka_backlog_calls") == 0 })
		before = sent(names[0])
		w.Kill()
		w.Start()
	}
	w.UntilAllEnded()
	w.expectPairs(func(n int) bool { return n%2 == 0 })
	w.Stop()
}

// Aliases that waited for a vendor which was down meet the rules after a crash, too.
func TestACrashLetsNoBacklogPassTheRules(t *testing.T) {
	w := newWorld(t, harness.Setup{Destinations: mergers()[:1]})
	w.Start()
	w.call("track", `{"anonymousId":"device-1","event":"Visited"}`)
	w.UntilAllEnded()
	down := simulator.Fault{Status: 503}
	w.AddFaults("kissmetrics", down)
	w.call("alias", `{"anonymousId":"device-1","previousId":"device-1","userId":"user-1"}`)
	w.call("alias", `{"anonymousId":"device-1","previousId":"device-1","userId":"user-2"}`)
	w.call("track", `{"userId":"user-2","event":"Bought"}`)
	w.Until("it is tried", func() bool { return w.Account("kissmetrics").Stats().Exchanges > 1 })
	w.Kill()
	w.Account("kissmetrics").ClearFaults()
	w.Start()
	w.UntilAllEnded()
	w.expectApart("kissmetrics", "user-1", "user-2")
	w.expectEvents("kissmetrics", "user-2", "Bought")
	expectOutcome(w, 1, "kissmetrics", "alias", "dropped", "merge_device_of_another_user")
	w.Stop()
}
