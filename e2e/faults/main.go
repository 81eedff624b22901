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
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"aka/e2e/harness"
)

// scenario is one thing that goes wrong.
type scenario struct {
	name, does string
	// longOnly leaves it out of the short form.
	longOnly bool
	run      func(h *suite, r *Result) error
}

// scenarios are all there are, in the order in which they run.
var scenarios = slices.Concat([]scenario{
	{name: "sigkill", does: "aka is killed at random moments, while it starts too, and started again", run: sigkill},
	{name: "sigterm", does: "aka is asked to stop under load, and started again", run: sigterm},
}, steerScenarios(), diskScenarios(), failingScenarios(), []scenario{
	{name: "inodes-at-start", does: "aka is started where no inode is left", run: onDiskOf(disk{inodes: fewInodes}, inodesAtStart)},
	{name: "flip-at-start", does: "a bit of a file of the journal flips while aka is stopped", run: flipAtStart},
	{name: "old-folder", does: "aka is started on the journal of an aka before the segment log", run: oldFolder},
}, vendorScenarios(), []scenario{
	{name: "isolation", does: "one vendor hangs and one fails, and the third is measured", run: isolation},
	{name: "backlog", does: "a million calls wait for vendors that are away", longOnly: true, run: backlog},
})

// options are the flags.
type options struct {
	runs  int
	seed  uint64
	rate  float64
	short bool
	calls int
	aka   string
	old   string
	json  string
	only  string
}

func main() { os.Exit(run()) }

func run() int {
	var o options
	flag.IntVar(&o.runs, "runs", 0, "how often aka is killed; a fifth of it is how often it is stopped (default 50, with -short 5)")
	flag.Uint64Var(&o.seed, "seed", 1, "what the random moments come from")
	flag.Float64Var(&o.rate, "rate", 600, "calls per second, however fast they are answered")
	flag.BoolVar(&o.short, "short", false, "the short form: about a minute")
	flag.IntVar(&o.calls, "calls", 1_000_000, "how many calls are the backlog")
	flag.StringVar(&o.aka, "aka", "", "the aka to run (default: the one whose source this is)")
	flag.StringVar(&o.old, "old-aka", "", "an aka before the segment log, which makes the folder of old-folder (default: one that looks like it)")
	flag.StringVar(&o.json, "json", "", "a file to write the results to, as JSON")
	flag.StringVar(&o.only, "only", "", "the scenarios to run, with commas between: "+strings.Join(names(), ", "))
	flag.Parse()
	if o.runs == 0 {
		o.runs = 50
		if o.short {
			o.runs = 5
		}
	}
	chosen, err := o.choose()
	if err != nil || flag.NArg() > 0 || o.rate <= 0 || o.runs < 1 || o.calls < 1 {
		fmt.Fprintln(os.Stderr, "faults:", errors.Join(err, errors.New("see -help")))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := runAll(ctx, o, chosen)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
	}
	if failed || err != nil {
		return 1
	}
	return 0
}

func names() []string {
	all := make([]string, len(scenarios))
	for i, s := range scenarios {
		all[i] = s.name
	}
	return all
}

// choose returns the scenarios that are asked for. A name that ends in a dash stands for all that begin so.
func (o *options) choose() ([]scenario, error) {
	var chosen []scenario
	if o.only == "" {
		for _, s := range scenarios {
			if !s.longOnly || !o.short {
				chosen = append(chosen, s)
			}
		}
		return chosen, nil
	}
	for _, name := range strings.Split(o.only, ",") {
		before := len(chosen)
		for _, s := range scenarios {
			if s.name == name || strings.HasSuffix(name, "-") && strings.HasPrefix(s.name, name) {
				chosen = append(chosen, s)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("-only: there is no scenario %q", name)
		}
	}
	return chosen, nil
}

// suite is what all scenarios share.
type suite struct {
	options
	ctx    context.Context
	dir    string // everything is below it
	binary string
	dice   *rand.Rand
}

// timeout bounds a scenario on any machine; none takes a third of it on one with two cores.
func (o *options) timeout() time.Duration {
	if o.short {
		return 3 * time.Minute
	}
	return 20 * time.Minute
}

func runAll(ctx context.Context, o options, chosen []scenario) (failed bool, err error) {
	dir, err := os.MkdirTemp("", "aka-faults-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	binary := o.aka
	if binary == "" {
		binary = filepath.Join(dir, "aka")
		if err := harness.BuildHere(binary); err != nil {
			return false, err
		}
	}
	var results []*Result
	for _, s := range chosen {
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, s.does)
		results = append(results, runOne(ctx, o, s, dir, binary))
		if ctx.Err() != nil {
			break // what was counted until then is shown
		}
	}
	writeTable(os.Stdout, o, results)
	if o.json != "" {
		err = writeJSON(o.json, o, results)
	}
	return slices.ContainsFunc(results, (*Result).failed), cmp.Or(ctx.Err(), err)
}

// runOne runs a scenario, each with the same dice whatever ran before.
func runOne(ctx context.Context, o options, s scenario, dir, binary string) *Result {
	ctx, cancel := context.WithTimeout(ctx, o.timeout())
	defer cancel()
	r := &Result{Scenario: s.name}
	h := &suite{options: o, ctx: ctx, dir: dir, binary: binary, dice: rand.New(rand.NewPCG(o.seed, 0))}
	start := time.Now()
	if err := s.run(h, r); err != nil {
		r.wrong("%v", err)
	}
	r.Seconds = time.Since(start).Seconds()
	return r
}
