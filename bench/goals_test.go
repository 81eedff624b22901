package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"aka/e2e/harness"
)

// missedGoals are those that the table names.
func missedGoals(r *Report) (all []string, table string) {
	var out bytes.Buffer
	r.write(&out)
	for line := range strings.Lines(out.String()) {
		if missed, ok := strings.CutPrefix(line, "goal missed: "); ok {
			all = append(all, strings.TrimSpace(missed))
		}
	}
	return all, out.String()
}

func TestEachTableNamesTheGoalsThatAreMissed(t *testing.T) {
	r := newReport()
	r.Accept = []Accept{{Name: "reached", OfEmpty: .6, OfEmptyGoal: .6, P50: .3, P50Goal: .3}, {Name: "missed", OfEmpty: .3, OfEmptyGoal: .35, P50: .4, P50Goal: .35}, {Name: "no goal", P50: 9}}
	r.Deliver = []Deliver{{Name: "reached", OfBare: 1.5, OfBareGoal: 1.5}, {Name: "missed", OfBare: 1.6, OfBareGoal: 1.5}, {Name: "no goal", OfBare: 9}}
	r.TLS = []TLS{{Name: "reached", Full: 3, Resumed: 3, HasGoal: true}, {Name: "missed", Full: 4, LateFull: 1, Settle: 5, Measured: 40, HasGoal: true}, {Name: "no goal", LateFull: 9}}
	r.Backlog = []Backlog{{Name: "reached", RSS: 150, RSSGoal: 150}, {Name: "missed", RSS: 151, RSSGoal: 150, RSSAfterStart: 33, RSSAfterStartGoal: 30}, {Name: "no goal", RSS: 999}}
	r.Blocked = []Blocked{{Name: "missed", RSS: 160, RSSGoal: 150}, {Name: "no goal", RSS: 999}}
	r.Facts = []Facts{{Name: "reached", Start: 1, StartGoal: 1, LoadRSS: 120, LoadRSSGoal: 120}, {Name: "missed", Start: 1.25, StartGoal: 1, LoadRSS: 130, LoadRSSGoal: 120}}
	r.Commands = []Command{{Name: "reached", Median: 20, Goal: 20, Largest: 90}, {Name: "missed", Median: 20.5, Goal: 20}}
	r.Preflights = []Preflight{{Name: "reached", Seconds: 60, Goal: 60, Peak: 500, PeakGoal: 500}, {Name: "missed", Seconds: 61, Goal: 60, Peak: 501, PeakGoal: 500}, {Name: "no goal", Seconds: 99}}
	want := []string{
		"missed: 30 % of the empty handler's requests, at least 35 %",
		"missed: p50 0.40 ms, at most 0.35",
		"missed: 1.60 times the bare client's processors' time, at most 1.50",
		"missed: 1 full handshakes after the first 5 s, expected none",
		"missed: 0 resumed handshakes in 40 s, expected some",
		"missed: 151 MiB with the calls behind, at most 150",
		"missed: 33 MiB after the start, at most 30",
		"missed: 160 MiB, at most 150",
		"missed: 1.25 s to start, at most 1.00",
		"missed: 130 MiB at the load, at most 120",
		"missed: 20.5 ms, at most 20",
		"missed: 61 s, at most 60",
		"missed: 501 MiB, at most 500",
	}
	if got, table := missedGoals(r); !slices.Equal(got, want) || len(r.Wrong) > 0 {
		t.Errorf("%q\nthe table is\n%s", got, table)
	}
}

func TestTheShortFormHasNoGoals(t *testing.T) {
	of := func(short bool) *bench {
		return &bench{options: &options{Program: harness.Program{Short: short}}}
	}
	if long, short := of(false), of(true); long.goal(idleGoal) != idleGoal || short.goal(idleGoal) != 0 || short.goalBehind(goalCalls) != 0 {
		t.Error("a goal of the long form is in the short one, or not in its own")
	}
	if b := of(false); b.goalBehind(goalCalls) != behindGoal || b.goalBehind(goalCalls+1) != 0 {
		t.Error("the goal of a million calls is that of more, or of none")
	}
}
