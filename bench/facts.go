package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"aka/e2e/harness"
)

const (
	factsDestinations = 3
	// factsIdle is how long aka does nothing after its start, before its memory is looked at.
	factsIdle = 2 * time.Second
	// The goals of so many ids: seconds to start, and MiB at most.
	goalFacts      = 1_000_000
	factsStartGoal = 1
	factsLoadGoal  = 120
)

// facts measures an aka whose destinations remember many ids: how long it takes to start, and its memory then and with deliveries.
func facts(b *bench) {
	w := startWorld(b, setup{destinations: factsDestinations})
	row := Facts{Name: fmt.Sprintf("%d ids, %d destinations", b.facts/2*2, factsDestinations)}
	if b.facts <= goalFacts {
		row.StartGoal, row.LoadRSSGoal = b.goal(factsStartGoal), b.goal(factsLoadGoal)
	}
	begin := time.Now()
	w.importPairs(b.facts / 2)
	row.Import = time.Since(begin).Seconds()
	w.Stop()
	row.Start = w.start().Seconds()
	if !b.Short {
		time.Sleep(factsIdle)
	}
	row.Facts, row.Bytes, row.RSS = int(w.Metric("aka_merges_remembered")), w.folderBytes(), w.memory().Now>>20
	if all := b.facts / 2 * 2 * factsDestinations; row.Facts != all {
		b.Errorf("%d ids are remembered after the restart, not %d", row.Facts, all)
	}
	calls := max(b.deliveries/factsDestinations/batchCalls, 1) * batchCalls
	w.profiled("facts", func() {
		sent := w.flood(aliasBatches(w.base, ""), calls, calls*factsDestinations)
		row.Rate = float64(sent.behind) / sent.drain.Seconds()
	})
	memory := w.memory()
	row.LoadRSS, row.Peak = memory.Now>>20, memory.Highest>>20
	w.verify(w.People.Load())
	b.report.Facts = append(b.report.Facts, row)
	w.Stop()
}

// importPairs has every destination remember so many pairs of ids, which none of the calls has.
func (w *world) importPairs(pairs int) {
	path := filepath.Join(w.Dir, "pairs.csv")
	harness.Check(w, writePairs(path, pairs))
	for _, d := range w.Destinations {
		_, err := w.Command("merges", "import", "--destination", d.Name, "--admin", w.Process.Admin, path)
		w.Must(err)
	}
	harness.Check(w, os.Remove(path))
}

func writePairs(path string, pairs int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	fmt.Fprintln(out, "previousId,userId")
	for n := range pairs {
		fmt.Fprintf(out, "visitor-%d,member-%d\n", n, n)
	}
	return out.Flush()
}
