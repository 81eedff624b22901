package main

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"aka/e2e/harness"
)

const (
	// commandRuns is how often each command runs, and shortRuns in the short form.
	commandRuns = 20
	shortRuns   = 2
	// commandGoal is what a command takes at most, in milliseconds.
	commandGoal = 20
)

// commands measures what operators wait for: commands that end by themselves, with a config of three destinations.
func commands(b *bench) {
	w := newWorld(b, setup{destinations: 3})
	call := filepath.Join(w.Dir, "call.json")
	harness.Check(w, os.WriteFile(call, []byte(aliasWorkload("").Call(0, 0)), 0o600))
	for _, args := range [][]string{{"version"}, {"check", "--config", w.Config}, {"explain", "--config", w.Config, call}} {
		b.report.Commands = append(b.report.Commands, w.timed(args...))
	}
}

// timed runs a command again and again.
func (w *world) timed(args ...string) Command {
	row := Command{Name: "aka " + args[0], Runs: commandRuns, Goal: w.b.goal(commandGoal)}
	if w.b.Short {
		row.Runs = shortRuns
	}
	m := harness.Measured{}
	for range row.Runs {
		begin := time.Now()
		_, err := w.Command(args...)
		harness.Check(w, err)
		m.Latencies = append(m.Latencies, time.Since(begin))
	}
	slices.Sort(m.Latencies)
	row.Median, row.Largest = ms(m.Quantile(.5)), ms(m.Latencies[row.Runs-1])
	return row
}
