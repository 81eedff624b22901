package main

import (
	"fmt"
	"time"
)

// awayDelivery has aka see soon that vendors are back.
const awayDelivery = "breaker: { cooldown: 500ms, max_cooldown: 2s }"

// backlogDestinations are one of each kind.
const backlogDestinations = 3

// newBacklog is a world whose vendors are away, and the row that reports on so many calls behind.
func newBacklog(b *bench, calls int) (*world, *Backlog) {
	w := startWorld(b, setup{destinations: backlogDestinations, delivery: awayDelivery})
	w.sink.stop()
	calls = calls / batchCalls * batchCalls
	return w, &Backlog{Name: fmt.Sprintf("%d calls behind", calls), Calls: calls, Destinations: backlogDestinations}
}

// backlog measures so many calls that wait for vendors which are away: what it costs to take them, to have them, and to deliver
// them once the vendors are back.
func backlog(calls func(*bench) int) func(*bench) {
	return func(b *bench) {
		w, row := newBacklog(b, calls(b))
		w.takeAway(row)
		if row.Calls >= b.calls {
			row.RSSGoal = b.goalBehind(row.Calls)
			w.acceptBehind()
			row.Calls = int(w.People.Load())
		}
		w.restarts(row)
		w.drain(row)
		people := w.People.Load()
		if row.Left > 0 {
			people = 0 // what is left is not lost
		}
		w.verify(people)
		b.report.Backlog = append(b.report.Backlog, *row)
		w.Stop()
	}
}

// takeAway fills the backlog.
func (w *world) takeAway(row *Backlog) {
	before := w.cpu()
	m := w.fill(aliasBatches(w.base, ""), row.Calls)
	row.AcceptRate, row.AcceptCPU = m.CallRate(), per100k(w.cpu()-before, m.Calls)
	memory := w.memory()
	row.RSS, row.Peak = memory.Now>>20, memory.Highest>>20
	row.DiskPerMillion = float64(w.folderBytes()) / float64(m.Calls) * 1_000_000 / (1 << 20)
}

// acceptBehind compares taking calls with the backlog to taking them without, side by side. Those that are taken here join
// the backlog.
func (w *world) acceptBehind() {
	// What fills the memory of a destination that is away is taken before.
	none, row := newBacklog(w.b, min(awayCalls, w.b.calls))
	none.fill(aliasBatches(none.base, ""), row.Calls)
	w.b.race(work{traffic: aliases, connections: 256},
		none.contender(fmt.Sprintf("alias, 256 connections, %d calls behind", none.People.Load()), ""),
		w.contender(fmt.Sprintf("alias, 256 connections, %d calls behind", w.People.Load()), ""))
	none.close()
}

// awayCalls is more than a destination holds in memory.
const awayCalls = 20_000

// restarts stops aka in order, and kills it, and has it start again.
func (w *world) restarts(row *Backlog) {
	w.Stop()
	row.Start = w.start().Seconds()
	w.Kill()
	row.StartAfterCrash = w.start().Seconds()
	row.RSSAfterStart = w.memory().Now >> 20
}

// drain brings the vendors back and waits until they have everything, or long enough. It begins with the first delivery.
func (w *world) drain(row *Backlog) {
	w.startSink(w.Destinations)
	got, all := 0, row.Calls*backlogDestinations
	w.Until("something is delivered", func() bool {
		got = w.delivered()
		return got > 0
	})
	begin, first, before := time.Now(), got, w.cpu()
	w.profiled("drain "+row.Name, func() {
		w.Until("the drain ends", func() bool {
			got = w.delivered()
			return got == all || w.b.drain > 0 && time.Since(begin) > w.b.drain
		})
	})
	took := time.Since(begin)
	row.Left, row.Drained = all-got, got-first
	row.DrainRate, row.DrainCPU = float64(row.Drained)/took.Seconds(), per100k(w.cpu()-before, row.Drained)
	row.PeakAfterStart = w.memory().Highest >> 20
}

// startLarge measures how long aka takes to be ready with ten times the backlog. None of it is delivered.
func startLarge(b *bench) {
	w, row := newBacklog(b, 10*b.calls)
	w.takeAway(row)
	w.restarts(row)
	row.Left = row.Calls * backlogDestinations
	if waiting := w.Metric("aka_backlog_calls"); int(waiting) != row.Left {
		b.Errorf("after a crash, %.0f deliveries wait, and not %d", waiting, row.Left)
	}
	b.report.Backlog = append(b.report.Backlog, *row)
}

// start measures how long aka takes to be ready with nothing in its journal.
func start(b *bench) {
	w := newWorld(b, setup{destinations: backlogDestinations})
	took := w.start()
	b.report.Backlog = append(b.report.Backlog, Backlog{
		Name: "an empty journal", Destinations: backlogDestinations, Start: took.Seconds(), RSSAfterStart: w.memory().Now >> 20, RSSAfterStartGoal: b.goal(idleGoal),
	})
}
