package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"text/tabwriter"
)

// Result is what came of a scenario. Lost, Swapped and Repeated are sums over the vendors.
type Result struct {
	Scenario string `json:"scenario"`
	// Runs is how often the fault struck: kills, stops, exchanges that met it.
	Runs int `json:"runs"`
	// Accepted is how many calls were answered 200.
	Accepted int `json:"accepted"`
	// Lost of them were neither delivered nor kept as a dead letter where they should have been.
	Lost int `json:"lost"`
	// Swapped were delivered out of their person's order.
	Swapped int `json:"swapped"`
	// Repeated were delivered again for a reason: a crash, or an exchange that failed.
	Repeated int `json:"repeated"`
	// Dead are kept as dead letters.
	Dead    int     `json:"dead"`
	Seconds float64 `json:"seconds"`
	// NotRun says why the scenario did not run.
	NotRun string `json:"not_run,omitempty"`
	// Wrong is everything that was not as it must be.
	Wrong []string `json:"wrong,omitempty"`
	// Measured are figures, for reading: nothing fails because of them.
	Measured []string `json:"measured,omitempty"`

	unsaid int
}

const mostWrong = 10

func (r *Result) wrong(format string, args ...any) {
	if len(r.Wrong) < mostWrong {
		r.Wrong = append(r.Wrong, fmt.Sprintf(format, args...))
	} else {
		r.unsaid++
	}
}

func (r *Result) measured(format string, args ...any) {
	r.Measured = append(r.Measured, fmt.Sprintf(format, args...))
}

func (r *Result) failed() bool { return len(r.Wrong) > 0 || r.Lost > 0 || r.Swapped > 0 }

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
	for _, r := range results {
		writeDetails(to, r)
	}
}

func writeDetails(to io.Writer, r *Result) {
	if len(r.Wrong)+len(r.Measured) > 0 {
		fmt.Fprintf(to, "\n%s\n", r.Scenario)
	}
	for _, text := range r.Wrong {
		fmt.Fprintf(to, "  WRONG: %s\n", text)
	}
	if r.unsaid > 0 {
		fmt.Fprintf(to, "  WRONG: and %d more\n", r.unsaid)
	}
	for _, text := range r.Measured {
		fmt.Fprintf(to, "  %s\n", text)
	}
}

func writeJSON(path string, o options, results []*Result) error {
	text, err := json.MarshalIndent(map[string]any{
		"seed": o.seed, "rate": o.rate, "short": o.short, "cores": runtime.NumCPU(), "results": results,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
