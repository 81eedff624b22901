package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
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
		calls, ids := 0, map[string]bool{}
		for _, first := range []int{0, 123_456_700} {
			for _, r := range c.make(somewhere, toNobody).requests {
				body := r.fill(nil, first)[r.head:]
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
	r.Accept, r.Deliver, r.Lag = []Accept{{Name: "a"}}, []Deliver{{Name: "d"}}, []Lag{{Name: "l"}}
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
