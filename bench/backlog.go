package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"aka/e2e/harness"
)

// awayDelivery has aka see soon that vendors are back.
const awayDelivery = "breaker: { cooldown: 500ms, max_cooldown: 2s },"

// backlogDestinations are one of each kind.
const backlogDestinations = 3

// backlog measures so many calls that wait for vendors which are away: what it costs to take them, to have them, and to deliver
// them once the vendors are back.
func backlog(calls func(*bench) int) func(*bench, *Report) error {
	return func(b *bench, r *Report) error {
		w, err := startWorld(b, setup{destinations: backlogDestinations, delivery: awayDelivery})
		if err != nil {
			return err
		}
		defer w.close()
		row := &Backlog{Calls: calls(b) / batchCalls * batchCalls, Destinations: backlogDestinations}
		row.Name = fmt.Sprintf("%d calls behind", row.Calls)
		w.sink.stop()
		if err := w.takeAway(row); err != nil {
			return err
		}
		if row.Calls >= b.calls {
			if err := w.acceptBehind(r); err != nil {
				return err
			}
			row.Calls = int(w.people.Load())
		}
		if err := w.restarts(row); err != nil {
			return err
		}
		if err := w.drain(row); err != nil {
			return err
		}
		people := w.people.Load()
		if row.Left > 0 {
			people = 0 // what is left is not lost
		}
		if _, err := w.verify(r, row.Name, people); err != nil {
			return err
		}
		r.Backlog = append(r.Backlog, *row)
		_, err = w.stop()
		return err
	}
}

// takeAway fills the backlog.
func (w *world) takeAway(row *Backlog) error {
	before, err := w.akaCPU()
	if err != nil {
		return err
	}
	m, err := w.fill(aliasBatches(w.base, ""), row.Calls)
	if err != nil {
		return err
	}
	after, err := w.akaCPU()
	if err != nil {
		return err
	}
	memory, err := harness.Memory(w.aka.PID())
	if err != nil {
		return err
	}
	bytes, err := folderBytes(w.folder())
	row.AcceptRate, row.AcceptCPU = m.callRate(), per100k(after-before, m.calls)
	row.RSS, row.Peak = memory.Now>>20, memory.Highest>>20
	row.DiskPerMillion = float64(bytes) / float64(m.calls) * 1_000_000 / (1 << 20)
	return err
}

// acceptBehind compares taking calls with the backlog to taking them without, side by side. Those that are taken here join
// the backlog.
func (w *world) acceptBehind(r *Report) error {
	none, err := startWorld(w.b, setup{destinations: backlogDestinations, delivery: awayDelivery})
	if err != nil {
		return err
	}
	defer none.close()
	none.sink.stop()
	// What fills the memory of a destination that is away is taken before.
	if _, err := none.fill(aliasBatches(none.base, ""), min(awayCalls, w.b.calls)); err != nil {
		return err
	}
	return w.b.race(r, work{"", aliases, 256},
		none.contender(fmt.Sprintf("alias, 256 connections, %d calls behind", none.people.Load()), ""),
		w.contender(fmt.Sprintf("alias, 256 connections, %d calls behind", w.people.Load()), ""))
}

// awayCalls is more than a destination holds in memory.
const awayCalls = 20_000

// restarts stops aka in order, and kills it, and has it start again.
func (w *world) restarts(row *Backlog) error {
	if _, err := w.stop(); err != nil {
		return err
	}
	ready, err := w.start()
	if err != nil {
		return err
	}
	row.Start = ready.Seconds()
	w.aka.Kill()
	if ready, err = w.start(); err != nil {
		return err
	}
	row.StartAfterCrash = ready.Seconds()
	memory, err := harness.Memory(w.aka.PID())
	row.RSSAfterStart = memory.Now >> 20
	return err
}

// drain brings the vendors back and waits until they have everything, or long enough. It begins with the first delivery.
func (w *world) drain(row *Backlog) error {
	if err := w.startSink(w.address); err != nil {
		return err
	}
	got := 0
	all := row.Calls * backlogDestinations
	wait := func() (bool, error) {
		var err error
		got, err = w.delivered()
		return got > 0, err
	}
	if err := w.until("something is delivered", wait); err != nil {
		return err
	}
	begin, first := time.Now(), got
	before, err := w.akaCPU()
	if err != nil {
		return err
	}
	err = w.profiled("drain "+row.Name, func() error {
		return w.until("the drain ends", func() (bool, error) {
			_, err := wait()
			return got == all || w.b.drain > 0 && time.Since(begin) > w.b.drain, err
		})
	})
	if err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := w.akaCPU()
	if err != nil {
		return err
	}
	row.Left, row.Drained = all-got, got-first
	row.DrainRate, row.DrainCPU = float64(row.Drained)/took.Seconds(), per100k(after-before, row.Drained)
	memory, err := harness.Memory(w.aka.PID())
	row.PeakAfterStart = memory.Highest >> 20
	return err
}

// folderBytes is how much the files below a folder hold. Files may go meanwhile.
func folderBytes(folder string) (bytes int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				bytes += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return bytes, err
}

// startLarge measures how long aka takes to be ready with ten times the backlog. None of it is delivered.
func startLarge(b *bench, r *Report) error {
	w, err := startWorld(b, setup{destinations: backlogDestinations, delivery: awayDelivery})
	if err != nil {
		return err
	}
	defer w.close()
	row := &Backlog{Calls: 10 * b.calls / batchCalls * batchCalls, Destinations: backlogDestinations}
	row.Name = fmt.Sprintf("%d calls behind", row.Calls)
	w.sink.stop()
	if err := w.takeAway(row); err != nil {
		return err
	}
	if err := w.restarts(row); err != nil {
		return err
	}
	row.Left = row.Calls * backlogDestinations
	waiting, err := w.metric("aka_backlog_calls")
	if int(waiting) != row.Left {
		r.wrong("%s: after a crash, %.0f deliveries wait, and not %d", row.Name, waiting, row.Left)
	}
	r.Backlog = append(r.Backlog, *row)
	return err
}

// start measures how long aka takes to be ready with nothing in its journal.
func start(b *bench, r *Report) error {
	w, err := newWorld(b, setup{destinations: backlogDestinations})
	if err != nil {
		return err
	}
	defer w.close()
	took, err := w.start()
	if err != nil {
		return err
	}
	memory, err := harness.Memory(w.aka.PID())
	r.Backlog = append(r.Backlog, Backlog{Name: "an empty journal", Destinations: backlogDestinations, Start: took.Seconds(), RSSAfterStart: memory.Now >> 20})
	return err
}
