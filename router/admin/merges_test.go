package admin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"aka/router/journal"
	"aka/router/journal/ledger"
	"aka/router/mergecsv"
	"aka/router/quarantine"
	"aka/router/quarantine/quarantinetest"
	"aka/router/segment"
)

// newMergesFixture has a ledger, and aliases that are held.
func newMergesFixture(t *testing.T) (*fixture, *quarantinetest.Stub) {
	t.Helper()
	f := newFixture(t)
	held := quarantinetest.Some()
	held.ErrNoAutoDecision = journal.ErrNoAutoDecision
	f.server = f.another(func(c *Config) { c.Held, c.Digest = held, testDigest })
	web := httptest.NewServer(f.server.Handler())
	t.Cleanup(web.Close)
	f.url = web.URL
	return f, held
}

// testDigest is the first bytes of an id.
func testDigest(id string) (d journal.Digest) {
	copy(d[:], id)
	return d
}

func (f *fixture) appendLedger(t *testing.T, destination string, entries ...journal.LedgerEntry) {
	t.Helper()
	if err := f.journal.AppendLedger(t.Context(), destination, entries); err != nil {
		t.Fatal(err)
	}
}

func someMerge(n int, from, to string) journal.LedgerEntry {
	return journal.LedgerEntry{
		Time: time.Now().Add(-time.Minute), Source: "website", MessageID: fmt.Sprint("m", n), Type: segment.Alias, Verdict: ledger.Sent, Status: 200, By: ledger.ByNone,
		FromIDs: 1, ToIDs: 2, IDs: 3, From: testDigest(from), To: testDigest(to), Position: journal.Position{Seq: uint64(n), Index: 4},
	}
}

func TestTheLedgerIsListedNewestFirstAndByID(t *testing.T) {
	f, _ := newMergesFixture(t)
	f.want(t, "GET", "/merges", "", 200, `{"merges":[]}`)
	f.appendLedger(t, "vero", someMerge(1, "a", "jane@email.com"), someMerge(2, "b", "joe"))
	dropped := someMerge(3, "c", "joe")
	dropped.Verdict, dropped.Rule, dropped.By, dropped.Source = ledger.Dropped, "known_users", ledger.ByRule, "app"
	f.appendLedger(t, "mixpanel", dropped)
	for query, want := range map[string]string{
		"":                                 "m3 m2 m1",
		"id=jane@email.com":                "m1",
		"id=joe":                           "m3 m2",
		"id=joe&destination=vero":          "m2",
		"destination=mixpanel":             "m3",
		"rule=known_users&verdict=dropped": "m3",
		"source=app":                       "m3",
		"since=1s":                         "",
		"since=1h&until=1s":                "m3 m2 m1",
		"until=1h":                         "",
		"id=stranger":                      "",
	} {
		var page Merges
		if status := f.ask(t, "GET", "/merges?"+query, "", &page); status != 200 {
			t.Fatalf("%s: got %d", query, status)
		}
		got := []string{}
		for _, m := range page.Merges {
			got = append(got, m.MessageID)
		}
		if strings.Join(got, " ") != want || page.Next != 0 {
			t.Errorf("%s: got %s and next %d, want %s", query, got, page.Next, want)
		}
	}
	var all, page Merges
	f.ask(t, "GET", "/merges", "", &all)
	for i, before := 0, ""; i < 3; i++ {
		f.ask(t, "GET", "/merges?limit=1"+before, "", &page)
		if len(page.Merges) != 1 || page.Merges[0].Number != all.Merges[i].Number || (page.Next == 0) != (i == 2) {
			t.Fatalf("page %d: got %+v", i, page)
		}
		before = fmt.Sprint("&before=", page.Next)
		page = Merges{}
	}
}

func TestAnEntryIsShownWithDigestsAndWithoutIDs(t *testing.T) {
	f, _ := newMergesFixture(t)
	f.appendLedger(t, "vero", someMerge(9, "device-1", "jane@email.com"))
	_, answer, _ := f.do(t, "GET", "/merges?id=jane@email.com", "")
	for _, want := range []string{`"id":"jane@email.com"`, `"digest":"6a616e6540656d61696c2e636f6d0000"`, `"to":"6a616e6540656d61696c2e636f6d0000"`, `"verdict":"sent"`, `"type":"alias"`,
		`"frame":9,"index":4`, `"status":200`, `"from_ids":1,"to_ids":2,"ids":3`} {
		if !strings.Contains(answer, want) {
			t.Errorf("no %s in %s", want, answer)
		}
	}
	_, answer, _ = f.do(t, "GET", "/merges", "")
	if strings.Contains(answer, "jane@") || strings.Contains(answer, "device-1") {
		t.Errorf("there is an id in %s", answer)
	}
	var page Merges
	f.ask(t, "GET", "/merges", "", &page)
	var one Merge
	if status := f.ask(t, "GET", fmt.Sprint("/merges/", page.Merges[0].Number), "", &one); status != 200 || !reflect.DeepEqual(one, page.Merges[0]) {
		t.Errorf("got %d %+v", status, one)
	}
	var body errorBody
	if status := f.ask(t, "GET", "/merges/7", "", &body); status != 404 || body.Code != "not_found" {
		t.Errorf("got %d %+v", status, body)
	}
}

func TestTheLedgerIsExportedOldestFirst(t *testing.T) {
	f, _ := newMergesFixture(t)
	var entries []journal.LedgerEntry
	for n := range 1500 {
		entries = append(entries, someMerge(n+1, fmt.Sprint("d", n), "jane"))
	}
	f.appendLedger(t, "vero", entries...)
	f.appendLedger(t, "mixpanel", someMerge(7777, "x", "y"))
	status, answer, header := f.do(t, "GET", "/merges/export", "")
	if status != 200 || header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("got %d %v", status, header)
	}
	lines, last := bufio.NewScanner(strings.NewReader(answer)), uint64(0)
	n := 0
	for ; lines.Scan(); n++ {
		var m Merge
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil || m.Number <= last {
			t.Fatalf("line %d: %v, %s", n, err, lines.Text())
		}
		last = m.Number
	}
	if n != 1501 {
		t.Errorf("%d lines", n)
	}
	if _, answer, _ := f.do(t, "GET", "/merges/export?id=d700", ""); strings.Count(answer, "\n") != 1 || !strings.Contains(answer, `"message_id":"m701"`) {
		t.Errorf("of one id: %s", answer)
	}
	f.want(t, "GET", "/merges/export?limit=1", "", 400, `{"success":false,"code":"unknown_parameter","message":"query: \"limit\" is no parameter here; there are id, destination, rule, verdict, source, since, until","error":"query: \"limit\" is no parameter here; there are id, destination, rule, verdict, source, since, until"}`)
}

func TestHeldAliasesAreListedCountedAndShown(t *testing.T) {
	f, held := newMergesFixture(t)
	all := slices.Clone(held.Aliases)
	for query, want := range map[string][]uint64{
		"": {1, 2, 3, 4}, "?destination=vero": {1, 2, 3}, "?rule=known_users&source=app": {4}, "?before=2026-01-02T04:04:05Z": {1, 2}, "?source=nowhere": {},
	} {
		var list HeldList
		f.ask(t, "GET", "/merges/held"+query, "", &list)
		got := []uint64{}
		for _, h := range list.Held {
			got = append(got, h.ID)
		}
		if !slices.Equal(got, want) || list.More {
			t.Errorf("%s: got %d, want %d", query, got, want)
		}
	}
	var list HeldList
	if f.ask(t, "GET", "/merges/held?limit=3", "", &list); len(list.Held) != 3 || !list.More {
		t.Errorf("got %+v", list)
	}
	var summary HeldSummary
	f.ask(t, "GET", "/merges/held/summary", "", &summary)
	if summary.Count != 4 || len(summary.Held) != 3 || summary.Held[1] != (quarantine.Count{Destination: "vero", Rule: "known_users", Source: "website", Count: 2, Oldest: quarantinetest.Start}) {
		t.Errorf("got %+v", summary)
	}
	var one quarantine.Held
	if f.ask(t, "GET", "/merges/held/3", "", &one); !reflect.DeepEqual(one, all[2]) {
		t.Errorf("got %+v", one)
	}
	var body errorBody
	if status := f.ask(t, "GET", "/merges/held/9", "", &body); status != 404 || body.Code != "not_found" {
		t.Errorf("got %d %+v", status, body)
	}
}

func TestHeldAliasesAreApprovedAndRefused(t *testing.T) {
	f, held := newMergesFixture(t)
	f.want(t, "POST", "/merges/held/3/approve", "", 200, `{"success":true,"count":1}`)
	f.want(t, "POST", "/merges/approve?rule=known_users&source=website", "", 200, `{"success":true,"count":2}`)
	f.want(t, "POST", "/merges/refuse?destination=vero", "", 200, `{"success":true,"count":0}`)
	f.want(t, "POST", "/merges/refuse?all=true", "", 200, `{"success":true,"count":1}`)
	if !slices.Equal(held.Approved, []uint64{3, 1, 2}) || !slices.Equal(held.Refused, []uint64{4}) {
		t.Errorf("approved %d, refused %d", held.Approved, held.Refused)
	}
	for _, path := range []string{"/merges/held/3/approve", "/merges/held/99/refuse"} {
		var body errorBody
		if status := f.ask(t, "POST", path, "", &body); status != 404 || body.Code != "not_found" {
			t.Errorf("%s: got %d %+v", path, status, body)
		}
	}
}

// A request decides about so many aliases only, and says how to go on with the others.
func TestADecisionAboutManySaysHowManyAreLeft(t *testing.T) {
	f, held := newMergesFixture(t)
	held.AtOnce = 3
	var done Decided
	asked := time.Now()
	if status := f.ask(t, "POST", "/merges/refuse?all=true", "", &done); status != 200 || done.Count != 3 || done.Left != 1 || done.Before == nil || done.Before.Before(asked) {
		t.Fatalf("got %d %+v", status, done)
	}
	later := held.Aliases[0]
	later.ID, later.HeldAt = 9, time.Now()
	held.Aliases = append(held.Aliases, later)
	f.want(t, "POST", "/merges/refuse?before="+url.QueryEscape(done.Before.Format(time.RFC3339Nano)), "", 200, `{"success":true,"count":1}`)
	if !slices.Equal(held.Refused, []uint64{1, 2, 3, 4}) {
		t.Errorf("refused %d", held.Refused)
	}
}

// No filter at all is an error, and so is an empty one: a script's empty variable must not mean everything.
func TestADecisionAboutAllSaysSo(t *testing.T) {
	f, held := newMergesFixture(t)
	for path, code := range map[string]string{
		"/merges/approve":                                      "missing_filter",
		"/merges/refuse":                                       "missing_filter",
		"/merges/approve?rule=":                                "invalid_rule",
		"/merges/approve?all=false":                            "invalid_all",
		"/merges/approve?all=true&rule=max_ids":                "missing_filter",
		"/merges/refuse?ids=1":                                 "unknown_parameter",
		"/merges/refuse?before=yesterday":                      "invalid_before",
		"/merges/held/x/approve":                               "invalid_id",
		"/merges/held/1/approve?rule=known_users":              "unknown_parameter",
		"/merges/decisions":                                    "missing_filter",
		"/merges/decisions?rule=max_ids":                       "missing_filter",
		"/merges/decisions?until=1h":                           "missing_filter",
		"/merges/decisions?rule=max_ids&until=1h":              "missing_filter",
		"/merges/decisions?rule=max_ids&until=1h&verdict=held": "unknown_verdict",
		"/merges/decisions?rule=max_ids&until=" + url.QueryEscape("2020-01-01T00:00:00Z"): "invalid_until",
		"/merges/decisions?rule=max_ids&until=9999d":                                      "invalid_until",
		"/merges/decisions?rule=max_ids&until=1h&destination=nowhere":                     "unknown_destination",
	} {
		var body errorBody
		if status := f.ask(t, "POST", path, "", &body); status != 400 || body.Code != code {
			t.Errorf("%s: got %d %+v, want %s", path, status, body, code)
		}
	}
	for path, code := range map[string]string{
		"/merges?verdict=sold": "unknown_verdict", "/merges?id=": "invalid_id", "/merges?limit=0": "invalid_limit", "/merges?before=x": "invalid_before",
		"/merges/x": "invalid_number", "/merges/held?limit=100000": "invalid_limit",
	} {
		var body errorBody
		if status := f.ask(t, "GET", path, "", &body); status != 400 || body.Code != code {
			t.Errorf("%s: got %d %+v, want %s", path, status, body, code)
		}
	}
	if len(held.Approved)+len(held.Refused) > 0 {
		t.Errorf("approved %d, refused %d", held.Approved, held.Refused)
	}
}

func TestDecisionsInAdvanceAreAddedListedAndRemoved(t *testing.T) {
	f, _ := newMergesFixture(t)
	f.want(t, "GET", "/merges/decisions", "", 200, `{"decisions":[]}`)
	var added, listed AutoDecisions
	if status := f.ask(t, "POST", "/merges/decisions?rule=known_users&source=website&until=24h&verdict=refused", "", &added); status != 200 || len(added.AutoDecisions) != 1 {
		t.Fatalf("got %d %+v", status, added)
	}
	a := added.AutoDecisions[0]
	if left := time.Until(a.Until); a.Verdict != ledger.Refused || a.Rule != "known_users" || a.Source != "website" || left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("got %+v", a)
	}
	if f.ask(t, "GET", "/merges/decisions", "", &listed); !reflect.DeepEqual(listed, added) {
		t.Errorf("got %+v", listed)
	}
	f.want(t, "DELETE", "/merges/decisions/vero/1", "", 200, `{"success":true,"count":1}`)
	var body errorBody
	if status := f.ask(t, "DELETE", "/merges/decisions/vero/1", "", &body); status != 404 || body.Code != "not_found" {
		t.Errorf("got %d %+v", status, body)
	}
}

func TestMergesAreImportedFromCSV(t *testing.T) {
	f, held := newMergesFixture(t)
	var done Imported
	if status := f.ask(t, "POST", "/merges/import?destination=vero", "previousId,userId\na,b\nbad\nc,d\n", &done); status != 200 {
		t.Fatalf("got %d %+v", status, done)
	}
	want := Imported{Success: true, Destination: "vero", Count: 2, Skipped: 1, BadRows: []mergecsv.Bad{{Row: 3, Problem: "has 1 columns, expected 2"}}}
	if !reflect.DeepEqual(done, want) || !slices.Equal(held.Pairs, []string{"vero a>b", "vero c>d"}) {
		t.Errorf("got %+v, %q", done, held.Pairs)
	}
	for _, c := range []struct {
		query, body, code string
		count             int
	}{
		{"", "from,to\n", "missing_destination", 0},
		{"?destination=nowhere", "from,to\n", "unknown_destination", 0},
		{"?destination=vero", "a,b\n", "invalid_csv", 0},
		{"?destination=vero", "", "invalid_csv", 0},
		{"?destination=vero", "from,to\na,b\n\"" + strings.Repeat("x", 1<<20), "invalid_csv", 1},
		{"?destination=vero", "from,to\na,b\nc,d\n" + strings.Repeat("x\n", 2000), "invalid_csv", 2},
	} {
		var body errorBody
		if status := f.ask(t, "POST", "/merges/import"+c.query, c.body, &body); status != 400 || body.Code != c.code || body.Count != c.count {
			t.Errorf("%s with %.30q: got %d %+v, want %s", c.query, c.body, status, body, c.code)
		}
	}
}

// An import may be larger than other bodies: it is read row by row.
func TestAnImportMayBeLarge(t *testing.T) {
	f, _ := newMergesFixture(t)
	row := strings.Repeat("d", 500) + "," + strings.Repeat("u", 500) + "\n"
	var done Imported
	if status := f.ask(t, "POST", "/merges/import?destination=vero", "from,to\n"+strings.Repeat(row, 2*maxBody/len(row)), &done); status != 200 || done.Count != 2*maxBody/len(row) {
		t.Errorf("got %d %+v", status, done)
	}
}

func TestATokenThatOnlyReadsDecidesNothing(t *testing.T) {
	f, g := newFixture(t), &guarded{dir: t.TempDir()}
	held := quarantinetest.Some()
	g.write(t, "full", fullToken)
	g.write(t, "read", readToken)
	g.Server = f.another(func(c *Config) {
		c.Tokens, c.Held = Tokens{TokenFile: g.path("full"), ReadTokenFile: g.path("read")}, held
	})
	for _, request := range []string{"POST /merges/approve?all=true", "POST /merges/refuse?all=true", "POST /merges/held/1/approve", "POST /merges/held/1/refuse", "POST /merges/decisions?rule=max_ids&until=1h",
		"DELETE /merges/decisions/vero/1", "POST /merges/import?destination=vero from,to"} {
		g.want(t, request, 403, "read_only", bearer(readToken))
		g.want(t, request, 401, "token_required", ProofHeader+": 1")
	}
	g.want(t, "GET /merges/held", 200, "", bearer(readToken))
	g.want(t, "GET /merges", 200, "", bearer(readToken))
	if len(held.Approved)+len(held.Refused)+len(held.Pairs) > 0 {
		t.Errorf("decided: %+v", held)
	}
}
