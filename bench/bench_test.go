package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"aka/e2e/harness"
	"aka/router/segment"
)

var somewhere = &url.URL{Scheme: "http", Host: "127.0.0.1:1"}

func TestEveryRequestIsTheCallsItSays(t *testing.T) {
	for name, c := range map[string]struct {
		make  trafficMaker
		calls int // in all requests
	}{
		"aliases": {aliases, 1}, "alias batches": {aliasBatches, 100}, "mixed": {mixed, 10}, "mixed batches": {mixedBatches, 100},
	} {
		calls, bytes, ids := 0, 0, map[string]bool{}
		made := c.make(somewhere, toNoVendor)
		for _, first := range []int{0, 123_456_700} {
			for _, r := range made.Requests {
				body := r.Body(first)
				bytes += len(body)
				result, err := segment.Parse(body, segment.Options{Batch: len(r.Steps) > 1})
				if err != nil || len(result.Rejected) > 0 || len(result.Messages) != len(r.Steps) {
					t.Fatalf("%s: %v, %d calls and not %d:\n%.500s", name, err, len(result.Messages), len(r.Steps), body)
				}
				for i, m := range result.Messages {
					ids[m.MessageID] = true
					if want := (harness.Step{Person: first + r.Steps[i].Person, Index: r.Steps[i].Index}); m.MessageID != want.String() {
						t.Errorf("%s: %s is not the messageId of %s", name, m.MessageID, want)
					}
					if segment.Route(m.Routing, []string{"Vero"}, false).Enabled {
						t.Errorf("%s: somebody wants %s", name, m.MessageID)
					}
				}
				calls += len(r.Steps)
			}
		}
		if calls != 2*c.calls || len(ids) != calls {
			t.Errorf("%s: %d calls with %d ids, not %d", name, calls, len(ids), 2*c.calls)
		}
		if oneBytes, oneCalls := made.Size(); bytes != 2*oneBytes || calls != 2*oneCalls {
			t.Errorf("%s: both times are %d calls of %d bytes, and once is said to be %d of %d", name, calls, bytes, oneCalls, oneBytes)
		}
	}
}

func TestASinkLeavesOutPeopleOfNoInterest(t *testing.T) {
	a := newAccount(aliasWorkload(""))
	a.add(harness.Step{Person: elsewhere}, 0)
	a.add(harness.Step{Person: maxPeople}, 0)
	if a.checker.Delivered != 0 || a.checker.Unknown != 1 {
		t.Errorf("%+v", a.checker)
	}
}

func TestResultsAreWrittenAsJSON(t *testing.T) {
	r := newReport()
	r.Accept, r.Deliver, r.Lag, r.Disk, r.Blocked = []Accept{{Name: "a"}}, []Deliver{{Name: "d"}}, []Lag{{Name: "l"}}, []Disk{{Name: "k"}}, []Blocked{{Name: "b"}}
	r.TLS, r.Facts, r.Commands = []TLS{{Name: "t"}}, []Facts{{Name: "f"}}, []Command{{Name: "c"}}
	r.Preflights = []Preflight{{Name: "p"}}
	p := harness.Program{JSON: t.TempDir() + "/results.json"}
	if err := p.WriteJSON(r); err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	r.write(&table)
	if text, err := json.Marshal(r); err != nil || !json.Valid(text) || !bytes.Contains(table.Bytes(), []byte("lost 0, out of order 0, delivered twice 0")) {
		t.Errorf("%v; the table is\n%s", err, table.String())
	}
}

func TestARowIsFollowedByTheOthersAndByTheirRatio(t *testing.T) {
	r := newReport()
	r.Disk = []Disk{{Name: "batches", Calls: 100, Bytes: 2 << 20, Written: 3 << 20, PerByte: 1.5}, {Name: "singles", Calls: 7}}
	r.Beside = &Report{Aka: "/old/aka", Disk: []Disk{{Name: "batches", Calls: 200, Bytes: 2 << 20, Written: 6 << 20}}, Lost: 4}
	var table bytes.Buffer
	r.write(&table)
	_, lines, _ := strings.Cut(table.String(), "\ndisk ")
	var got []string
	for line := range strings.Lines(lines) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"calls MiB of calls written MiB per byte largest folder MiB folder MiB after s",
		"batches 100 2.0 3.0 1.50 0.0 0.0 0.0",
		"/old/aka 200 2.0 6.0 - 0.0 0.0 0.0",
		"ratio 0.50 1.00 0.50 - - - -",
		"singles 7 0.0 0.0 - 0.0 0.0 0.0",
		"",
		"lost 0, out of order 0, delivered twice 0",
		"",
		"/old/aka: lost 4, out of order 0, delivered twice 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table is\n%s", table.String())
	}
}

func TestAScenarioThatTakesMinutesRunsWhenItIsNamedAndInTheShortForm(t *testing.T) {
	of := func(only string, short bool) options {
		return options{Program: harness.Program{Only: only, Short: short}}
	}
	for name, c := range map[string]struct {
		options options
		want    int
		large   bool
	}{
		"nothing is said":  {of("", false), len(scenarios) - 3, false},
		"the short form":   {of("", true), len(scenarios) - 10, true},
		"its name":         {of("start-large", false), 1, true},
		"another name":     {of("start", false), 1, false},
		"a beginning":      {of("accept", false), 4, false},
		"no scenario":      {of("accept,nothing", false), -1, false},
		"a beside target":  {options{beside: "aka", target: "http://127.0.0.1:1"}, -1, false},
		"a beside profile": {options{beside: "aka", profile: "profiles"}, -1, false},
	} {
		chosen, err := c.options.choose()
		large := slices.Contains(harness.Names(chosen), "start-large")
		if (err != nil) != (c.want < 0) || err == nil && (len(chosen) != c.want || large != c.large) {
			t.Errorf("%s: %d scenarios, %v", name, len(chosen), err)
		}
	}
}
