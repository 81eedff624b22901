package router

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"aka/destinations"
	"aka/router/config"
	"aka/router/config/configtest"
	"aka/router/logging"
)

// measured is a router that has just started, with a destination of each vendor.
func measured(t *testing.T) *Router {
	t.Helper()
	config := load(t, configtest.Minimal+fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: { listen: "127.0.0.1:0" }
journal: { dir: %q }
`, filepath.Join(t.TempDir(), "data")), config.LoadOptions{})
	router := New(config, logging.New(config.Log, logging.NewWriter(io.Discard)))
	if err := router.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { router.Stop(t.Context()) })
	return router
}

func families(t *testing.T, r *Router) []*dto.MetricFamily {
	t.Helper()
	all, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return !strings.HasPrefix(f.GetName(), "aka_") })
}

func TestMetricsFollowPrometheussConventions(t *testing.T) {
	problems, err := testutil.GatherAndLint(measured(t).registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What a destination costs a Prometheus, before anything has happened to it.
func TestADestinationHasFewSeries(t *testing.T) {
	series := map[string]int{}
	for _, family := range families(t, measured(t)) {
		for _, metric := range family.Metric {
			for _, label := range metric.Label {
				if label.GetName() == "destination" {
					series[label.GetValue()] += 1 + len(metric.GetHistogram().GetBucket())
					if metric.Histogram != nil {
						series[label.GetValue()] += 2 // +Inf, the sum; the count is counted
					}
				}
			}
		}
	}
	for destination, n := range series {
		if n > maxSeries {
			t.Errorf("%s has %d series", destination, n)
		}
	}
	if want := destinations.Types(); len(series) != len(want) {
		t.Errorf("got %v, want one for each of %q", series, want)
	}
}

const maxSeries = 210

const (
	tableBegins = "<!-- The table is made by go test ./router -run Guide -update -->\n"
	tableEnds   = "<!-- The table ends -->\n"
)

func TestTheGuideHasEveryMetric(t *testing.T) {
	const path = "../docs/metrics.md"
	guide, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(guide), tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		t.Fatal("it has no place for the table")
	}
	configtest.CompareGolden(t, path, before+tableBegins+metricsTable(families(t, measured(t)))+tableEnds+after)
}

func metricsTable(all []*dto.MetricFamily) string {
	var table strings.Builder
	table.WriteString("\n| metric | kind | labels | |\n|---|---|---|---|\n")
	for _, family := range all {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", family.GetName(), strings.ToLower(family.GetType().String()), strings.Join(labelsOf(family), ", "), family.GetHelp())
	}
	return table.String() + "\n"
}

func labelsOf(family *dto.MetricFamily) []string {
	names := map[string]bool{}
	for _, metric := range family.Metric {
		for _, label := range metric.Label {
			names["`"+label.GetName()+"`"] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
