package main

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/crowd"
)

const (
	backlogSenders = 8
	// groupSize is how many people's stories go in one batch, 350 calls.
	groupSize = 50
)

// backlog has every vendor away while a million calls come, starts aka anew in order and after a crash, and has the vendors
// come back.
func backlog(h *harness, r *Result) error {
	kept := simulator.Options{MaxExchanges: 100, MaxExchangeBytes: 1 << 20, MaxRecords: 2 * h.calls}
	p := plan{delivery: usual, options: kept}
	w, err := newWorld(h, p)
	if err != nil {
		return err
	}
	defer w.close()
	way, err := startFront(w, nil)
	if err != nil {
		return err
	}
	groups := (h.calls + groupSize*crowd.Steps - 1) / (groupSize * crowd.Steps)
	tallies := map[string]*tally{}
	for _, d := range destinations {
		w.endpoints[d.name] = way.through(w, w.endpoints[d.name])
		tallies[d.name] = &tally{steps: make([]uint8, groups*groupSize)}
		if err := w.account(d.name).AddFaults(tallies[d.name].watch()); err != nil {
			return err
		}
	}
	if err := w.configure(p); err != nil {
		return err
	}
	way.close()
	if _, err := w.start(); err != nil {
		return err
	}
	if err := w.fillBacklog(r, groups); err != nil {
		return err
	}
	if err := w.restarts(r); err != nil {
		return err
	}
	if err := way.reopen(); err != nil {
		return err
	}
	if err := w.drain(r); err != nil {
		return err
	}
	for _, d := range destinations {
		tallies[d.name].verify(r, d.name)
		if graph := w.account(d.name).Graph(); len(graph) != groups*groupSize {
			r.wrong("to %s they are %d people, not %d", d.name, len(graph), groups*groupSize)
		}
	}
	if _, err := w.stop(); err != nil {
		return err
	}
	if _, err := w.aka("journal", "check", w.journal); err != nil {
		r.wrong("the journal is not sound: %v", err)
	}
	return nil
}

// fillBacklog sends the calls as fast as they are taken.
func (w *world) fillBacklog(r *Result, groups int) error {
	l := &load{ctx: w.ctx, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: backlogSenders}}}
	l.follow(w)
	begin := time.Now()
	var next atomic.Int64
	var senders sync.WaitGroup
	for range backlogSenders {
		senders.Go(func() {
			for group := int(next.Add(1) - 1); group < groups; group = int(next.Add(1) - 1) {
				body := groupBody(group)
				for !l.send(body) && w.ctx.Err() == nil {
					time.Sleep(patience)
				}
			}
		})
	}
	senders.Wait()
	if w.ctx.Err() != nil {
		return w.ctx.Err()
	}
	r.Accepted = groups * groupSize * crowd.Steps
	r.measured("%d calls were accepted in batches of %d, %.0f/s, with no vendor there",
		r.Accepted, groupSize*crowd.Steps, float64(r.Accepted)/time.Since(begin).Seconds())
	waiting, err := w.metric("aka_backlog_calls", of(third))
	if err != nil {
		return err
	}
	if int(waiting) != r.Accepted {
		r.wrong("%d calls were accepted, and %v wait", r.Accepted, waiting)
	}
	bytes, err := w.metric("aka_journal_bytes")
	if err != nil {
		return err
	}
	r.measured("they take %s on disk", mebibytes(int64(bytes)))
	return w.measureMemory(r, "with the backlog")
}

func groupBody(group int) string {
	calls := make([]string, 0, groupSize*crowd.Steps)
	for person := group * groupSize; person < (group+1)*groupSize; person++ {
		for step := range crowd.Steps {
			calls = append(calls, crowd.Call(person, step))
		}
	}
	return `{"batch":[` + strings.Join(calls, ",") + `]}`
}

// restarts stops aka with its backlog in both ways and measures how long it takes to be ready again.
func (w *world) restarts(r *Result) error {
	took, err := w.stop()
	if err != nil {
		return err
	}
	ready, err := w.start()
	if err != nil {
		return err
	}
	r.measured("stopped in order in %s, and ready again after %s", took.Round(time.Millisecond), ready.Round(time.Millisecond))
	w.process.Kill()
	if ready, err = w.start(); err != nil {
		return err
	}
	r.Runs = 2
	r.measured("killed, and ready again after %s", ready.Round(time.Millisecond))
	return w.measureMemory(r, "after that start")
}

// drain waits until all vendors have everything.
func (w *world) drain(r *Result) error {
	begin, done := time.Now(), map[string]bool{}
	err := w.until("every call has ended", func() (bool, error) {
		for _, d := range destinations {
			if done[d.name] {
				continue
			}
			waiting, err := w.metric("aka_backlog_calls", of(d.name))
			if err != nil {
				return false, err
			}
			if done[d.name] = waiting == 0; done[d.name] {
				r.measured("%s has everything %s after the vendors came back", d.name, time.Since(begin).Round(100*time.Millisecond))
			}
		}
		return len(done) == len(destinations) && !slices.Contains(slices.Collect(maps.Values(done)), false), nil
	})
	if err != nil {
		return err
	}
	took := time.Since(begin).Seconds()
	r.measured("delivered were %.0f calls/s over all destinations", float64(len(destinations)*r.Accepted)/took)
	return w.measureMemory(r, "when it is drained")
}

func (w *world) measureMemory(r *Result, when string) error {
	rss, err := memory(w.process.PID())
	if err == nil && rss.now > 0 {
		r.measured("aka's memory %s: %s now, %s at its highest", when, mebibytes(rss.now), mebibytes(rss.highest))
	}
	return err
}

// tally is what became of everybody at one vendor, in a byte each: too many came to keep what they brought.
type tally struct {
	steps                      []uint8 // a bit per step, by person
	swapped, repeated, unknown int
}

// watch is a fault that nothing meets, and that sees everything.
func (t *tally) watch() simulator.Fault {
	return simulator.Fault{Status: http.StatusTeapot, Match: func(x simulator.Exchange) bool {
		all, err := crowd.Deliveries([]simulator.Exchange{x}, func(simulator.Exchange) bool { return true })
		if err != nil {
			t.unknown++
		}
		for _, d := range all {
			t.add(d.Place)
		}
		return false
	}}
}

// free are the steps that have no order among themselves.
const free = 1<<5 | 1<<6

func (t *tally) add(p crowd.Place) {
	if p.Person >= len(t.steps) {
		t.unknown++
		return
	}
	before, step := t.steps[p.Person], uint8(1)<<p.Step
	later := before &^ (step<<1 - 1)
	if step&free != 0 {
		later = 0
	}
	switch {
	case before&step != 0:
		t.repeated++
	case later != 0:
		t.swapped++
	}
	t.steps[p.Person] |= step
}

func (t *tally) verify(r *Result, name string) {
	lost := 0
	for _, steps := range t.steps {
		for step := range crowd.Steps {
			if steps&(1<<step) == 0 {
				lost++
			}
		}
	}
	r.Lost += lost
	r.Swapped += t.swapped
	r.Repeated += t.repeated
	if t.repeated > 0 || t.unknown > 0 {
		r.wrong("%s: %d calls were delivered again without a reason, and %d of nobody", name, t.repeated, t.unknown)
	}
}
