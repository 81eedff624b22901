package main

import (
	"net/http"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

const (
	backlogSenders = 8
	// groupSize is how many people's calls go in one batch, 350 calls.
	groupSize = 50
)

// backlog has every vendor away while a million calls come, starts aka anew in order and after a crash, and has the vendors
// come back.
func backlog(t *trial) {
	vendors := harness.Vendors()
	for i := range vendors {
		o := &vendors[i].Options
		o.MaxExchanges, o.MaxExchangeBytes, o.MaxRecords = 100, 1<<20, 2*t.calls
	}
	w := newWorld(t, harness.Setup{Delivery: usual, Destinations: vendors})
	way := startFront(w, nil)
	groupCalls := groupSize * harness.Basic.Steps()
	people := (t.calls + groupCalls - 1) / groupCalls * groupSize
	checkers := map[string]*harness.OrderChecker{}
	for i := range w.Destinations {
		d := &w.Destinations[i]
		d.Endpoint = way.through(w, d.Endpoint)
		checkers[d.Name] = harness.NewOrderChecker(harness.Basic, people)
		w.AddFaults(d.Name, watch(checkers[d.Name]))
	}
	w.Configure()
	way.close()
	w.Start()
	w.fillBacklog(people)
	w.restarts()
	harness.Check(w, way.reopen())
	w.drain()
	for _, d := range w.Destinations {
		t.Add(verifyChecker(w, d.Name, checkers[d.Name], people))
		if graph := w.Account(d.Name).Graph(); len(graph) != people {
			w.Errorf("to %s they are %d people, not %d", d.Name, len(graph), people)
		}
	}
	w.Stop()
	if _, err := w.Command("journal", "check", w.JournalDir); err != nil {
		w.Errorf("the journal is not sound: %v", err)
	}
}

// fillBacklog sends the calls as fast as they are taken.
func (w *world) fillBacklog(people int) {
	l := &harness.Load{
		Traffic: []harness.Traffic{harness.Basic.Batches(w.API(), groupSize)}, Connections: backlogSenders, MaxPeople: int64(people), Persistent: true, Next: &w.People,
	}
	m, err := l.Run(w.Ctx, w.API().Host)
	w.Must(err)
	w.t.Accepted = m.Calls
	w.Logf("%d calls were accepted in batches of %d, %.0f/s, with no vendor there", m.Calls, groupSize*harness.Basic.Steps(), m.CallRate())
	if waiting := w.Metric("aka_backlog_calls", harness.Of(third)); int(waiting) != m.Calls {
		w.Errorf("%d calls were accepted, and %v wait", m.Calls, waiting)
	}
	bytes, err := harness.FolderBytes(w.JournalDir)
	harness.Check(w, err)
	w.Logf("they take %s on disk", harness.Mebibytes(bytes))
	w.logMemory("with the backlog")
}

// restarts stops aka with its backlog in both ways and measures how long it takes to be ready again.
func (w *world) restarts() {
	took := w.Stop()
	ready := w.Start()
	w.Logf("stopped in order in %s, and ready again after %s", took.Round(time.Millisecond), ready.Round(time.Millisecond))
	w.Kill()
	ready = w.Start()
	w.t.Runs = 2
	w.Logf("killed, and ready again after %s", ready.Round(time.Millisecond))
	w.logMemory("after that start")
}

// drain waits until all vendors have everything.
func (w *world) drain() {
	begin, done := time.Now(), map[string]bool{}
	w.Until("every call has ended", func() bool {
		for _, d := range w.Destinations {
			if !done[d.Name] && w.Metric("aka_backlog_calls", harness.Of(d.Name)) == 0 {
				done[d.Name] = true
				w.Logf("%s has everything %s after the vendors came back", d.Name, time.Since(begin).Round(100*time.Millisecond))
			}
		}
		return len(done) == len(w.Destinations)
	})
	took := time.Since(begin).Seconds()
	w.Logf("delivered were %.0f calls/s over all destinations", float64(len(w.Destinations)*w.t.Accepted)/took)
	w.logMemory("when it is drained")
}

func (w *world) logMemory(when string) {
	rss, err := harness.Memory(w.Process.PID())
	harness.Check(w, err)
	if rss.Now > 0 {
		w.Logf("aka's memory %s: %s now, %s at its highest", when, harness.Mebibytes(rss.Now), harness.Mebibytes(rss.Highest))
	}
}

// watch is a fault that nothing meets, and that sees everything.
func watch(c *harness.OrderChecker) simulator.Fault {
	return simulator.Fault{Status: http.StatusTeapot, Match: func(x simulator.Exchange) bool {
		all, err := harness.Deliveries([]simulator.Exchange{x}, func(simulator.Exchange) bool { return true })
		if err != nil {
			c.Unknown++
		}
		for _, d := range all {
			c.Add(d.Step, d.At)
		}
		return false
	}}
}

// verifyChecker checks what one vendor got of so many people's calls.
func verifyChecker(t harness.T, name string, c *harness.OrderChecker, people int) harness.Counts {
	lost := c.Lost(people)
	if lost+c.Swapped+c.Repeated+c.Unknown > 0 {
		t.Errorf("%s: %d calls were lost, %d out of order, %d delivered again without a reason, and %d were never sent", name, lost, c.Swapped, c.Repeated, c.Unknown)
	}
	return harness.Counts{Lost: lost, Swapped: c.Swapped, Repeated: c.Repeated}
}
