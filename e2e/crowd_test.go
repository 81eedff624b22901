package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/crowd"
)

// people all do the same at once: something under an old id, an alias, something under the new one. Each of their calls is
// sent alone and again and again until it is answered 200, with the same messageId, as SDKs do.
type people struct {
	w       *world
	number  int
	api     atomic.Pointer[string] // of the process that runs now
	acked   atomic.Int64
	sending sync.WaitGroup
}

const senders = 8

// startCrowd has the people begin.
func startCrowd(w *world, number int) *people {
	c := &people{w: w, number: number}
	c.follow()
	for sender := range senders {
		c.sending.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for person := sender; person < number; person += senders {
				c.live(client, person)
			}
		})
	}
	return c
}

// follow tells the people of the process that runs now.
func (c *people) follow() { c.api.Store(&c.w.process.api) }

func (c *people) live(client *http.Client, person int) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for step := range crowd.Steps {
		for {
			status, _, err := post(c.w.ctx, client, *c.api.Load()+"/v1/batch", `{"batch":[`+crowd.Call(person, step)+`]}`)
			if err == nil && status == http.StatusOK {
				break
			}
			select {
			case <-tick.C:
			case <-c.w.ctx.Done():
				c.w.t.Errorf("a call was not answered 200: %d %v", status, err)
				return
			}
		}
		c.acked.Add(1)
	}
}

// calls is how many calls there are in all.
func (c *people) calls() int64 { return int64(c.number * crowd.Steps) }

// untilAcked waits until so many calls were answered 200.
func (c *people) untilAcked(calls int64) {
	c.w.t.Helper()
	c.w.until(fmt.Sprintf("%d calls are answered", calls), func() bool { return c.acked.Load() >= calls })
}

// untilDone waits until every call was answered 200 and has ended at every destination.
func (c *people) untilDone() {
	c.w.t.Helper()
	c.untilAcked(c.calls())
	c.sending.Wait()
	c.w.untilAllEnded()
}

// deliveries are what an account answered, in order of arrival.
func deliveries(t *testing.T, a *simulator.Account) []crowd.Delivery {
	t.Helper()
	// Nothing was taken of what was not answered: the client had gone.
	all, err := crowd.Deliveries(a.Exchanges(), func(x simulator.Exchange) bool { return x.Status != 0 })
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sendsAlias tells whether a destination is told of aliases of users.
func sendsAlias(d destination) bool { return d.idMerge != "simplified" }

// expectAllDelivered checks that each call reached each destination it was meant for, in the same bytes whenever it did.
func (c *people) expectAllDelivered() {
	c.w.t.Helper()
	for _, d := range destinations {
		all := deliveries(c.w.t, c.w.account(d.name))
		var meant []crowd.Place
		for person := range c.number {
			for step := range crowd.Steps {
				if step != crowd.AliasStep || sendsAlias(d) {
					meant = append(meant, crowd.Place{Person: person, Step: step})
				}
			}
		}
		if lost := crowd.Missing(all, meant); len(lost) > 0 {
			c.w.t.Errorf("%s: %d calls were answered 200 and lost, such as %s", d.name, len(lost), lost[0])
		}
		for _, place := range crowd.Changed(all) {
			c.w.t.Errorf("%s: %s went in different requests", d.name, place)
		}
		for _, got := range all {
			if got.Step == crowd.AliasStep && !sendsAlias(d) {
				c.w.t.Errorf("%s: %s went, and should not", d.name, got.Place)
			}
		}
	}
}

// expectOrder checks that in each run, as the ends of those before it part them, everybody's story was told in order.
func (c *people) expectOrder(ends []time.Time) {
	c.w.t.Helper()
	for _, d := range destinations {
		if !sendsAlias(d) {
			continue // without it, nothing binds what was done under the two ids
		}
		for _, swap := range crowd.Swaps(deliveries(c.w.t, c.w.account(d.name)), ends) {
			c.w.t.Errorf("%s: %s came after step %d", d.name, swap.Place, swap.After)
		}
	}
}

// expectOnePersonEach checks that nobody lives on under the old id.
func (c *people) expectOnePersonEach() {
	c.w.t.Helper()
	for _, d := range destinations {
		if !sendsAlias(d) {
			continue
		}
		if graph := c.w.account(d.name).Graph(); len(graph) != c.number {
			c.w.t.Errorf("to %s they are %d people, not %d", d.name, len(graph), c.number)
		}
	}
}

// expectJournaledOnce checks that each call is in the journal once, however often it was sent. Nothing runs.
func (c *people) expectJournaledOnce() {
	t := c.w.t
	t.Helper()
	times := map[string]int{}
	for _, entry := range c.w.journaled() {
		times[entry.MessageID]++
	}
	if int64(len(times)) != c.calls() {
		t.Errorf("the journal holds %d calls, not %d", len(times), c.calls())
	}
	if most := slices.Max(slices.Collect(maps.Values(times))); most > 1 {
		t.Errorf("a call is in the journal %d times", most)
	}
}
