package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aka/destinations/simulator"
)

// crowd is people who all do the same at once: something under an old id, an alias, something under the new one. Each of
// their calls is sent alone and again and again until it is answered 200, with the same messageId, as SDKs do.
type crowd struct {
	w       *world
	people  int
	api     atomic.Pointer[string] // of the process that runs now
	acked   atomic.Int64
	sending sync.WaitGroup
}

// story is what each of the people does: %[1]d is the person.
var story = []string{
	`{"type":"track","messageId":"p%[1]d-0","userId":"p%[1]d-old","event":"p%[1]d step 0"}`,
	`{"type":"identify","messageId":"p%[1]d-1","userId":"p%[1]d-old","traits":{"plan":"free"}}`,
	`{"type":"track","messageId":"p%[1]d-2","userId":"p%[1]d-old","event":"p%[1]d step 2"}`,
	`{"type":"alias","messageId":"p%[1]d-3","previousId":"p%[1]d-old","userId":"p%[1]d-new"}`,
	`{"type":"identify","messageId":"p%[1]d-4","userId":"p%[1]d-new","traits":{"plan":"pro"}}`,
	`{"type":"track","messageId":"p%[1]d-5","userId":"p%[1]d-new","event":"p%[1]d step 5"}`,
	`{"type":"track","messageId":"p%[1]d-6","userId":"p%[1]d-new","event":"p%[1]d step 6"}`,
}

const (
	aliasStep = 3
	// freeSteps begins the steps that have no order among themselves.
	freeSteps = 5
	senders   = 8
)

// startCrowd has the people begin.
func startCrowd(w *world, people int) *crowd {
	c := &crowd{w: w, people: people}
	c.follow()
	for sender := range senders {
		c.sending.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for person := sender; person < people; person += senders {
				c.live(client, person)
			}
		})
	}
	return c
}

// follow tells the people of the process that runs now.
func (c *crowd) follow() { c.api.Store(&c.w.process.api) }

func (c *crowd) live(client *http.Client, person int) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for _, call := range story {
		for {
			status, _, err := post(c.w.ctx, client, *c.api.Load()+"/v1/batch", fmt.Sprintf(`{"batch":[`+call+`]}`, person))
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
func (c *crowd) calls() int64 { return int64(c.people * len(story)) }

// untilAcked waits until so many calls were answered 200.
func (c *crowd) untilAcked(calls int64) {
	c.w.t.Helper()
	c.w.until(fmt.Sprintf("%d calls are answered", calls), func() bool { return c.acked.Load() >= calls })
}

// untilDone waits until every call was answered 200 and has ended at every destination.
func (c *crowd) untilDone() {
	c.w.t.Helper()
	c.untilAcked(c.calls())
	c.sending.Wait()
	c.w.untilAllEnded()
}

// delivery is one record that a vendor got, whatever it made of it.
type delivery struct {
	at           time.Time
	content      string // the request's method, path and record, byte for byte
	person, step int
}

var (
	stepText = regexp.MustCompile(`p(\d+) step (\d)`)
	oldID    = regexp.MustCompile(`"p(\d+)-old"`)
	newID    = regexp.MustCompile(`"p(\d+)-new"`)
)

// deliveries are what an account answered, in order of arrival.
func deliveries(t *testing.T, a *simulator.Account) []delivery {
	t.Helper()
	var all []delivery
	for _, exchange := range a.Exchanges() {
		if exchange.Status == 0 {
			continue // nothing of it was taken: the client had gone
		}
		for _, record := range exchange.Records {
			text, err := json.Marshal(record)
			if err != nil {
				t.Fatal(err)
			}
			d := delivery{at: exchange.At, content: exchange.Method + " " + exchange.Path + " " + string(text)}
			d.person, d.step = whatItIs(t, text)
			all = append(all, d)
		}
	}
	return all
}

// whatItIs finds a record's place in the story, in any vendor's words.
func whatItIs(t *testing.T, record []byte) (person, step int) {
	t.Helper()
	number := func(digits []byte) int {
		n, err := strconv.Atoi(string(digits))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	event, old, renamed := stepText.FindSubmatch(record), oldID.FindSubmatch(record), newID.FindSubmatch(record)
	switch {
	case event != nil:
		return number(event[1]), number(event[2])
	case old != nil && renamed != nil:
		return number(old[1]), aliasStep
	case old != nil:
		return number(old[1]), aliasStep - 2
	case renamed != nil:
		return number(renamed[1]), aliasStep + 1
	}
	t.Fatalf("a record is of nobody: %s", record)
	return 0, 0
}

// sendsAlias tells whether a destination is told of aliases of users.
func sendsAlias(d destination) bool { return d.idMerge != "simplified" }

// expectAllDelivered checks that each call reached each destination it was meant for, in the same bytes whenever it did.
func (c *crowd) expectAllDelivered() {
	c.w.t.Helper()
	for _, d := range destinations {
		contents := map[[2]int]map[string]bool{}
		for _, got := range deliveries(c.w.t, c.w.account(d.name)) {
			place := [2]int{got.person, got.step}
			if contents[place] == nil {
				contents[place] = map[string]bool{}
			}
			contents[place][got.content] = true
		}
		lost := 0
		for person := range c.people {
			for step := range story {
				meant := step != aliasStep || sendsAlias(d)
				switch got := len(contents[[2]int{person, step}]); {
				case meant && got == 0:
					lost++
				case meant && got > 1:
					c.w.t.Errorf("%s: step %d of person %d went in %d different requests", d.name, step, person, got)
				case !meant && got > 0:
					c.w.t.Errorf("%s: step %d of person %d went, and should not", d.name, step, person)
				}
			}
		}
		if lost > 0 {
			c.w.t.Errorf("%s: %d calls were answered 200 and lost", d.name, lost)
		}
	}
}

// expectOrder checks that in each run, as the ends of those before it part them, everybody's story was told in order.
func (c *crowd) expectOrder(ends []time.Time) {
	c.w.t.Helper()
	for _, d := range destinations {
		if !sendsAlias(d) {
			continue // without it, nothing binds what was done under the two ids
		}
		last := map[[2]int]int{} // step by run and person
		for _, got := range deliveries(c.w.t, c.w.account(d.name)) {
			place := [2]int{runOf(got.at, ends), got.person}
			step := min(got.step, freeSteps)
			if step < last[place] {
				c.w.t.Errorf("%s: step %d of person %d came after step %d", d.name, step, got.person, last[place])
			}
			last[place] = max(last[place], step)
		}
	}
}

// runOf tells how many runs had ended at a time.
func runOf(at time.Time, ends []time.Time) int {
	run := 0
	for _, end := range ends {
		if at.After(end) {
			run++
		}
	}
	return run
}

// expectOnePersonEach checks that nobody lives on under the old id.
func (c *crowd) expectOnePersonEach() {
	c.w.t.Helper()
	for _, d := range destinations {
		if !sendsAlias(d) {
			continue
		}
		if graph := c.w.account(d.name).Graph(); len(graph) != c.people {
			c.w.t.Errorf("to %s they are %d people, not %d", d.name, len(graph), c.people)
		}
	}
}

// expectJournaledOnce checks that each call is in the journal once, however often it was sent. Nothing runs.
func (c *crowd) expectJournaledOnce() {
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
