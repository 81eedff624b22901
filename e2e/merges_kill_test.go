package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// homes is how many homes have a browser that two people share, and tellers how many clients tell of them.
const homes, tellers = 24, 3

// ofHome are a home's calls: two people sign up in one browser, a third user is known, and pages merge what they must not. The
// alias hold-n is held, with what comes behind it.
func ofHome(n int) []string {
	calls := []string{
		`"type":"track","anonymousId":"device-%02d","event":"Visited"`,
		`"type":"alias","previousId":"device-%02d","userId":"first-%02[1]d"`,
		`"type":"identify","userId":"first-%02d","traits":{"plan":"pro"}`,
		`"type":"track","userId":"first-%02d","event":"Bought"`,
		`"type":"alias","previousId":"device-%02d","userId":"second-%02[1]d"`,
		`"type":"identify","anonymousId":"device-%02d","userId":"second-%02[1]d","traits":{"plan":"pro"}`,
		`"type":"track","userId":"second-%02d","event":"Sold"`,
		`"type":"identify","userId":"third-%02d","traits":{"plan":"pro"}`,
		`"type":"alias","messageId":"hold-%02d","previousId":"first-%02[1]d","userId":"third-%02[1]d"`,
		`"type":"track","userId":"third-%02d","event":"Waited"`,
		`"type":"alias","previousId":"second-%02d","userId":"device-%02[1]d"`,
		`"type":"alias","previousId":"second-%02d","userId":"nobody-%02[1]d"`,
		`"type":"track","userId":"second-%02d","event":"Left"`,
	}
	for i := range calls {
		call := fmt.Sprintf(calls[i], n)
		if !strings.Contains(call, "messageId") {
			call = fmt.Sprintf(`"messageId":"%02d-%02d",%s`, n, i, call)
		}
		calls[i] = "{" + call + "}"
	}
	return calls
}

// teller is a client that tells of some homes. A call that was not answered 200 is sent again.
type teller struct{ calls []string }

// tell sends so many calls, one after the other, unless aka is gone.
func (c *teller) tell(w *world, api string, n int, acked *atomic.Int64) {
	for range min(n, len(c.calls)) {
		if status, _, err := post(w.Ctx, http.DefaultClient, api+"/v1/batch", `{"batch":[`+c.calls[0]+`]}`); err != nil || status != http.StatusOK {
			return
		}
		c.calls = c.calls[1:]
		acked.Add(1)
	}
}

// Aka is killed at random moments while two people sign up in each of many shared browsers, aliases are held, and operators decide.
// No vendor merges then what a rule forbids or an operator has refused, and gets all that was accepted, what waited behind a held alias
// too.
func TestKilledAmidSharedBrowsersNoVendorGetsAForbiddenMerge(t *testing.T) {
	w := newWorld(t, harness.Setup{
		Destinations: mergers(), Delivery: "concurrency: 4, retry: { initial: 5ms, max: 50ms }",
		More: `merges: { new_user_grace: 0s, blocked_ids: ["nobody-*"] }`,
	})
	w.Destination("legacy").Settings += ", settle: 0s" // or it takes a second for each alias
	w.Configure()
	for _, d := range mergers() {
		w.AddFaults(d.Name,
			simulator.Fault{Delay: 2 * time.Millisecond},
			simulator.Fault{Status: http.StatusServiceUnavailable, Probability: 0.05},
			simulator.Fault{Reset: true, When: simulator.After, Probability: 0.05},
		)
	}
	clients := make([]*teller, tellers)
	for i := range clients {
		clients[i] = &teller{}
	}
	for n := range homes {
		c := clients[n%tellers]
		c.calls = append(c.calls, ofHome(n)...)
	}
	share := len(clients[0].calls) / (*kills + 1)
	w.Start()
	for range *kills {
		w.killAmid(clients, share)
		w.Start()
		w.decideHomes(2)
	}
	w.tellAll(clients, homes*len(ofHome(0)), &atomic.Int64{}).Wait()
	w.Until("every call has ended", func() bool {
		w.decideHomes(1)
		return w.Metric("aka_backlog_calls") == 0
	})
	for _, c := range clients {
		if len(c.calls) > 0 {
			t.Errorf("%d calls were not accepted", len(c.calls))
		}
	}
	for _, name := range namesOf(mergers()) {
		w.expectHomes(name)
	}
	w.Stop()
}

// tellAll has all clients send so many calls each.
func (w *world) tellAll(clients []*teller, n int, acked *atomic.Int64) *sync.WaitGroup {
	var telling sync.WaitGroup
	for _, c := range clients {
		telling.Go(func() { c.tell(w, w.Process.API, n, acked) })
	}
	return &telling
}

// killAmid kills aka at a random moment while the clients send so many calls each.
func (w *world) killAmid(clients []*teller, n int) {
	w.t.Helper()
	var acked atomic.Int64
	telling := w.tellAll(clients, n, &acked)
	at := 1 + rand.Int64N(int64(n*len(clients)))
	w.Until("some calls are accepted", func() bool { return acked.Load() >= at })
	w.Kill()
	telling.Wait()
}

// decideHomes decides about one in so many of the held aliases: those of even homes are approved.
func (w *world) decideHomes(oneIn int) {
	w.t.Helper()
	ids := map[string][]string{}
	for _, held := range w.held("").Held {
		var n int
		if _, err := fmt.Sscanf(held.MessageID, "hold-%02d", &n); err != nil {
			w.t.Fatalf("%s holds %s by %s", held.Destination, held.MessageID, held.Rule)
		}
		verb := []string{"approve", "refuse"}[n%2]
		if rand.IntN(oneIn) == 0 {
			ids[held.Destination+" "+verb] = append(ids[held.Destination+" "+verb], fmt.Sprint(held.ID))
		}
	}
	for what, of := range ids {
		_, verb, _ := strings.Cut(what, " ")
		// After a start aka may still read them back, and says so. Then they are listed the next time, too.
		_, _ = w.Command(append(append([]string{"merges", verb}, of...), "--admin", w.Process.Admin)...)
	}
}

// expectHomes checks what a vendor has of all homes.
func (w *world) expectHomes(name string) {
	w.t.Helper()
	graph, lines := w.Account(name).Graph(), took(w.Account(name))
	areOne := func(n int, a, b string) bool {
		person, _ := graph.Person(fmt.Sprintf("%s-%02d", a, n))
		return slices.Contains(person.IDs, fmt.Sprintf("%s-%02d", b, n))
	}
	for n := range homes {
		for _, pair := range [][2]string{{"first", "second"}, {"device", "second"}, {"second", "third"}, {"second", "nobody"}} {
			if areOne(n, pair[0], pair[1]) {
				w.t.Errorf("%s takes %s and %s of home %d for one person:\n%s", name, pair[0], pair[1], n, ofLines(lines, n))
			}
		}
		switch isJoined := areOne(n, "first", "third"); {
		case n%2 == 1 && isJoined:
			w.t.Errorf("%s merged users of home %d, which was refused", name, n)
		case n%2 == 0 && !isJoined && slices.Contains(namesOf(joinersOfUsers()), name):
			w.t.Errorf("%s did not merge users of home %d, which was approved", name, n)
		}
		for _, event := range []string{"first-%02d Bought", "second-%02d Sold", "third-%02d Waited", "second-%02d Left"} {
			if line := "event " + fmt.Sprintf(event, n); !slices.Contains(lines, line) {
				w.t.Errorf("%s lost %q", name, line)
			}
		}
	}
}

// ofLines are the lines of a home.
func ofLines(lines []string, n int) string {
	of := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !strings.Contains(line, fmt.Sprintf("-%02d", n)) })
	return strings.Join(of, "\n")
}
