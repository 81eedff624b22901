package main

import (
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/crowd"
	"aka/e2e/harness"
)

const (
	backlogSenders = 8
	// groupSize is how many people's stories go in one batch, 350 calls.
	groupSize = 50
)

// backlog has every vendor away while a million calls come, starts aka anew in order and after a crash, and has the vendors
// come back.
func backlog(h *suite, r *Result) error {
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
	tallies := map[string]*crowd.Tally{}
	for _, d := range destinations {
		w.endpoints[d.name] = way.through(w, w.endpoints[d.name])
		tallies[d.name] = crowd.NewTally(crowd.Ranks, groups*groupSize)
		if err := w.account(d.name).AddFaults(watch(tallies[d.name])); err != nil {
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
		verifyTally(r, d.name, tallies[d.name], groups*groupSize)
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
	bytes, err := folderBytes(w.journal)
	if err != nil {
		return err
	}
	r.measured("they take %s on disk", harness.Mebibytes(bytes))
	return w.measureMemory(r, "with the backlog")
}

// folderBytes is the size of all files in a folder.
func folderBytes(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was trimmed meanwhile
		}
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
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
	rss, err := harness.Memory(w.process.PID())
	if err == nil && rss.Now > 0 {
		r.measured("aka's memory %s: %s now, %s at its highest", when, harness.Mebibytes(rss.Now), harness.Mebibytes(rss.Highest))
	}
	return err
}

// watch is a fault that nothing meets, and that sees everything.
func watch(t *crowd.Tally) simulator.Fault {
	return simulator.Fault{Status: http.StatusTeapot, Match: func(x simulator.Exchange) bool {
		all, err := crowd.Deliveries([]simulator.Exchange{x}, func(simulator.Exchange) bool { return true })
		if err != nil {
			t.Unknown++
		}
		for _, d := range all {
			t.Add(d.Place)
		}
		return false
	}}
}

func verifyTally(r *Result, name string, t *crowd.Tally, people int) {
	r.Lost += t.Lost(people)
	r.Swapped += t.Swapped
	r.Repeated += t.Repeated
	if t.Repeated > 0 || t.Unknown > 0 {
		r.wrong("%s: %d calls were delivered again without a reason, and %d of nobody", name, t.Repeated, t.Unknown)
	}
}
