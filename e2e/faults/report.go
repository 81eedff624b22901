package main

import (
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"

	"aka/e2e/harness"
)

// Result is what came of a scenario.
type Result struct {
	Scenario string `json:"scenario"`
	// Runs is how often the fault struck: kills, stops, exchanges that met it.
	Runs int `json:"runs"`
	harness.Counts
	Seconds float64 `json:"seconds"`
	// NotRun says why the scenario did not run.
	NotRun string `json:"not_run,omitempty"`
	// Wrong is everything that was not as it must be.
	Wrong []string `json:"wrong,omitempty"`
	// Measured are figures, for reading: nothing fails because of them.
	Measured []string `json:"measured,omitempty"`
}

func (r *Result) failed() bool { return len(r.Wrong) > 0 }

func (r *Result) verdict() string {
	switch {
	case r.NotRun != "":
		return "not run: " + r.NotRun
	case r.failed():
		return "WRONG"
	}
	return "ok"
}

func writeTable(to io.Writer, o options, results []*Result) {
	fmt.Fprintf(to, "seed %d, %g calls/s, %d cores, %s/%s\n\n", o.seed, o.rate, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "scenario\truns\taccepted\tlost\tswapped\trepeated\tdead\tseconds\t")
	for _, r := range results {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\t%s\n",
			r.Scenario, r.Runs, r.Accepted, r.Lost, r.Swapped, r.Repeated, r.Dead, r.Seconds, r.verdict())
	}
	_ = table.Flush()
	// What went wrong comes last: of a long output, the end is what is read.
	for _, failed := range []bool{false, true} {
		for _, r := range results {
			if r.failed() == failed {
				writeDetails(to, r)
			}
		}
	}
}

func writeDetails(to io.Writer, r *Result) {
	if len(r.Wrong)+len(r.Measured) > 0 {
		fmt.Fprintf(to, "\n%s\n", r.Scenario)
	}
	for _, text := range r.Wrong {
		fmt.Fprintf(to, "  WRONG: %s\n", text)
	}
	for _, text := range r.Measured {
		fmt.Fprintf(to, "  %s\n", text)
	}
}

func (o *options) writeResults(results []*Result) error {
	return o.WriteJSON(map[string]any{"seed": o.seed, "rate": o.rate, "short": o.Short, "cores": runtime.NumCPU(), "results": results})
}
