package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"aka/e2e/crowd"
	"aka/router/segment"
)

var somewhere = &url.URL{Scheme: "http", Host: "127.0.0.1:1", Path: "/proxied"}

func TestEveryRequestIsTheCallsItSays(t *testing.T) {
	for name, c := range map[string]struct {
		make  trafficMaker
		calls int // in all of a story's requests
	}{
		"aliases": {aliases, 1}, "alias batches": {aliasBatches, 100}, "mixed": {mixed, 10}, "mixed batches": {mixedBatches, 100},
	} {
		calls, bytes, ids := 0, 0, map[string]bool{}
		made := c.make(somewhere, toNobody)
		for _, first := range []int{0, 123_456_700} {
			for _, r := range made.requests {
				body := r.fill(nil, first)[r.head:]
				bytes += len(body)
				result, err := segment.Parse(body, segment.Options{Batch: r.calls > 1})
				if err != nil || len(result.Rejected) > 0 || len(result.Messages) != r.calls {
					t.Fatalf("%s: %v, %d calls and not %d:\n%.500s", name, err, len(result.Messages), r.calls, body)
				}
				for _, m := range result.Messages {
					ids[m.MessageID] = true
					if segment.Route(m.Routing, []string{"Vero"}, false).Enabled {
						t.Errorf("%s: somebody wants %s", name, m.MessageID)
					}
				}
				calls += r.calls
			}
		}
		if calls != 2*c.calls || len(ids) != calls {
			t.Errorf("%s: %d calls with %d ids, not %d", name, calls, len(ids), 2*c.calls)
		}
		if storyBytes, storyCalls := made.size(); bytes != 2*storyBytes || calls != 2*storyCalls {
			t.Errorf("%s: two stories are %d calls of %d bytes, and one is said to be %d of %d", name, calls, bytes, storyCalls, storyBytes)
		}
	}
}

func TestAZippedRequestIsTheSameInLess(t *testing.T) {
	r := zippedBatches(somewhere, "").requests[0]
	head, body, _ := bytes.Cut(r.zip(70), []byte("\r\n\r\n"))
	if !bytes.Contains(head, []byte("\r\nContent-Encoding: gzip\r\n")) || !bytes.HasPrefix(head, []byte("POST /proxied/v1/batch HTTP/1.1\r\n")) {
		t.Errorf("the head is\n%s", head)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(unzipped)
	if err != nil || !bytes.Equal(plain, r.fill(nil, 70)[r.head:]) {
		t.Errorf("%v; the body is\n%s", err, plain)
	}
}

func TestASinkFindsCallsInAnyVendorsWords(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []crowd.Place
	}{
		"a track":             {`{"data":{"place":"~000000012-3~"}}`, []crowd.Place{{Person: 12, Step: 3}}},
		"a batch":             {`[{"p":"~000000012-3~","x":"~"},{"p":"~000000013-0~"}]`, []crowd.Place{{Person: 12, Step: 3}, {Person: 13, Step: 0}}},
		"a query":             {`/kissmetrics/e?_n=Order&place=~000000014-9~&_t=1`, []crowd.Place{{Person: 14, Step: 9}}},
		"an alias":            {`{"id":"000000015-old","new_id":"000000015-new"}`, []crowd.Place{{Person: 15, Step: aliasStep}}},
		"nothing of anybody":  {`{"id":"x-old"} ~12345678~ ~000000012-3`, nil},
		"an end after a sign": {`~`, nil},
	} {
		a := &account{aliasStep: aliasStep, tally: crowd.NewTally(mixedRanks, 100)}
		if !a.count([]byte(c.text), 0) {
			a.countAlias([]byte(c.text), 0)
		}
		for _, p := range c.want {
			a.tally.Add(p)
		}
		if a.tally.Repeated != len(c.want) || a.tally.Delivered != len(c.want) {
			t.Errorf("%s: %d of %d calls, %d in all", name, a.tally.Repeated, len(c.want), a.tally.Delivered)
		}
	}
}

func TestASinkLeavesOutPeopleOfNoInterest(t *testing.T) {
	a := &account{tally: crowd.NewTally(aliasRanks, maxPeople)}
	a.add(crowd.Place{Person: elsewhere}, 0)
	a.add(crowd.Place{Person: maxPeople}, 0)
	if a.tally.Delivered != 0 || a.tally.Unknown != 1 {
		t.Errorf("%+v", a.tally)
	}
}

func TestResultsAreWrittenAsJSON(t *testing.T) {
	r := newReport()
	r.Accept, r.Deliver, r.Lag, r.Disk = []Accept{{Name: "a"}}, []Deliver{{Name: "d"}}, []Lag{{Name: "l"}}, []Disk{{Name: "k"}}
	path := t.TempDir() + "/results.json"
	if err := r.writeJSON(path); err != nil {
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
	for name, c := range map[string]struct {
		options options
		want    int
		large   bool
	}{
		"nothing is said":  {options{}, len(scenarios) - 1, false},
		"the short form":   {options{short: true}, len(scenarios), true},
		"its name":         {options{only: "start-large"}, 1, true},
		"another name":     {options{only: "start"}, 1, false},
		"a beginning":      {options{only: "accept"}, 4, false},
		"no scenario":      {options{only: "accept,nothing"}, -1, false},
		"a beside target":  {options{beside: "aka", target: "http://127.0.0.1:1"}, -1, false},
		"a beside profile": {options{beside: "aka", profile: "profiles"}, -1, false},
	} {
		chosen, err := c.options.choose()
		large := slices.ContainsFunc(chosen, func(s scenario) bool { return s.name == "start-large" })
		if (err != nil) != (c.want < 0) || err == nil && (len(chosen) != c.want || large != c.large) {
			t.Errorf("%s: %d scenarios, %v", name, len(chosen), err)
		}
	}
}

func TestTheBytesOfAFolderAreThoseOfAllItsFiles(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"a": 3, "below/b": 4} {
		if err := os.WriteFile(filepath.Join(folder, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := folderBytes(folder); err != nil || got != 7 {
		t.Errorf("got %d, %v", got, err)
	}
	if got, err := folderBytes(filepath.Join(folder, "none")); err != nil || got != 0 {
		t.Errorf("of a folder that is gone: %d, %v", got, err)
	}
}
