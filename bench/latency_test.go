package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestGoalsThatAreMissedAreNamed(t *testing.T) {
	r := newReport()
	r.Latency = []Latency{
		{Name: "fast", Concurrency: "16", Rate: 100, Goal: 90},
		{Name: "slow", Concurrency: "16", Rate: 80, Goal: 90},
		{Name: "cap", Concurrency: "adaptive", Throttled: .02, ThrottledGoal: .01, Overloaded: .01, OverloadedGoal: .02, Mean: 300, MeanGoal: 200},
		{Name: "no goal", Concurrency: "16", Throttled: .5},
	}
	var table bytes.Buffer
	r.write(&table)
	var got []string
	for line := range strings.Lines(table.String()) {
		if missed, ok := strings.CutPrefix(line, "goal missed: "); ok {
			got = append(got, strings.TrimSpace(missed))
		}
	}
	want := []string{
		"slow, concurrency 16: 80 deliveries/s, at least 90",
		"cap, concurrency adaptive: 2.0 % of 429, less than 1.0 %",
		"cap, concurrency adaptive: 300 ms to answer, at most 200",
	}
	if !slices.Equal(got, want) || len(r.Wrong) > 0 {
		t.Errorf("the table is\n%s", table.String())
	}
}

func TestTheChartHasTheRatesOfFixedLatency(t *testing.T) {
	r := newReport()
	path := filepath.Join(t.TempDir(), "chart.svg")
	if err := r.writeChart(path); !errors.Is(err, errChart) {
		t.Errorf("without rows: %v", err)
	}
	r.Latency = []Latency{
		{Name: fixedLatency + " 100ms", Concurrency: "adaptive", Answer: 100, Rate: 21_000, Bare: 30_000},
		{Name: fixedLatency + " 100ms", Concurrency: "16", Answer: 100, Rate: 479},
		{Name: fixedLatency + " 20ms", Concurrency: "16", Answer: 20, Rate: 2345},
		{Name: "8 workers", Concurrency: "16", Answer: 300, Rate: 77},
	}
	if err := r.writeChart(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(text)); err == nil; _, err = d.Token() {
	}
	if err != io.EOF {
		t.Errorf("the chart is no XML: %v", err)
	}
	for _, want := range []string{">21000<", ">479<", ">2345<", ">20 ms<", ">100 ms<", "30000/s"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	if bytes.Contains(text, []byte("300 ms")) || bytes.Contains(text, []byte(">77<")) {
		t.Errorf("another shape is drawn in\n%s", text)
	}
}

func TestLatenciesAreAFlag(t *testing.T) {
	var d durations
	if err := d.Set("20ms,1s"); err != nil || !slices.Equal(d, durations{20 * time.Millisecond, time.Second}) || d.String() != "20ms,1s" {
		t.Errorf("%v: %v", d, err)
	}
	for _, text := range []string{"", "20", "-1s", "1s,"} {
		if err := d.Set(text); err == nil {
			t.Errorf("%q is read as %v", text, d)
		}
	}
}
