// Command faults runs the aka that is shipped under every fault that it is made to get over, and counts what came of it:
//
//	go run ./e2e/faults                   everything; see docs/reliability.md
//	go run ./e2e/faults -short            a minute of it, as .ci/run does
//	go run ./e2e/faults -only sigkill -runs 200 -seed 7
//
// It builds aka, starts it on loopback beside simulated vendors, sends it calls as SDKs do, and does to it what the scenario
// says. It stops by itself, and leaves nothing behind. The exit code is 1 when a call that was answered 200 was lost, when
// anything was out of order or not as it must be, and never because something was slow.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"aka/e2e/harness"
)

// scenario is one thing that goes wrong.
type scenario = harness.Scenario[*trial]

// scenarios are all there are, in the order in which they run.
var scenarios = slices.Concat([]scenario{
	{Name: "sigkill", Does: "aka is killed at random moments, while it starts too, and started again", Run: sigkill},
	{Name: "sigterm", Does: "aka is asked to stop under load, and started again", Run: sigterm},
}, controlScenarios, diskScenarios, failingScenarios, []scenario{
	{Name: "inodes-at-start", Does: "aka is started where no inode is left", Run: onDiskOf(disk{inodes: fewInodes}, inodesAtStart)},
	{Name: "flip-at-start", Does: "a bit of a file of the journal flips while aka is stopped", Run: flipAtStart},
	{Name: "old-folder", Does: "aka is started on the journal of an aka before the segment log", Run: oldFolder},
}, vendorScenarios(), []scenario{
	{Name: "isolation", Does: "one vendor hangs and one fails, and the third is measured", Run: isolation},
	{Name: "backlog", Does: "a million calls wait for vendors that are away", LongOnly: true, Run: backlog},
})

// options are the flags.
type options struct {
	harness.Program
	runs  int
	seed  uint64
	rate  float64
	calls int
	old   string
}

func main() { os.Exit(run()) }

func run() int {
	var o options
	o.Flags(harness.Names(scenarios))
	flag.IntVar(&o.runs, "runs", 0, "how often aka is killed; a fifth of it is how often it is stopped (default 50, with -short 5)")
	flag.Uint64Var(&o.seed, "seed", 1, "what the random moments come from")
	flag.Float64Var(&o.rate, "rate", 600, "calls per second, however fast they are answered")
	flag.IntVar(&o.calls, "calls", 1_000_000, "how many calls are the backlog")
	flag.StringVar(&o.old, "old-aka", "", "an aka before the segment log, which makes the folder of old-folder (default: one that looks like it)")
	flag.Parse()
	if o.runs == 0 {
		o.runs = 50
		if o.Short {
			o.runs = 5
		}
	}
	chosen, err := harness.Choose(scenarios, o.Only, o.Short)
	if err != nil || flag.NArg() > 0 || o.rate <= 0 || o.runs < 1 || o.calls < 1 {
		fmt.Fprintln(os.Stderr, "faults:", errors.Join(err, errors.New("see -help")))
		return 2
	}
	return o.Main("", func() (ok bool, err error) {
		if err := o.Build(); err != nil {
			return false, err
		}
		var results []*Result
		for _, s := range chosen {
			fmt.Fprintf(os.Stderr, "%s: %s\n", s.Name, s.Does)
			results = append(results, o.try(s))
			if o.Ctx.Err() != nil {
				break // what was counted until then is shown
			}
		}
		writeTable(os.Stdout, o, results)
		return !slices.ContainsFunc(results, (*Result).failed), o.writeResults(results)
	})
}

// trial is one run of a scenario.
type trial struct {
	*harness.Case
	*Result
	options
	dice *rand.Rand
}

// timeout bounds a scenario on any machine; none takes a third of it on one with two cores.
const timeout = 30 * time.Minute

// try runs a scenario, each with the same dice whatever ran before.
func (o *options) try(s scenario) *Result {
	ctx, cancel := context.WithTimeout(o.Ctx, timeout)
	defer cancel()
	r := &Result{Scenario: s.Name}
	start := time.Now()
	c := harness.RunCase(ctx, o.Dir, func(c *harness.Case) {
		s.Run(&trial{Case: c, Result: r, options: *o, dice: rand.New(rand.NewPCG(o.seed, 0))})
	})
	r.Wrong, r.Measured, r.Seconds = c.Failures, c.Notes, time.Since(start).Seconds()
	return r
}
