package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aka/router/journal"
	"aka/router/segment"
)

func TestTheListShowsEverythingButTheCall(t *testing.T) {
	f := newFixture(t)
	f.want(t, "GET", "/dead-letters", "", 200, `{"dead_letters":[]}`)
	f.storeDeadLetter(t, deadLetter{destination: "vero"})
	var page DeadLetters
	f.ask(t, "GET", "/dead-letters", "", &page)
	got := page.DeadLetters[0]
	if since := got.Last.Sub(got.First); since != time.Hour || time.Since(got.Last) > time.Minute {
		t.Errorf("first %s, last %s", got.First, got.Last)
	}
	got.First, got.Last = time.Time{}, time.Time{}
	want := DeadLetter{ID: 1, Destination: "vero", Type: "alias", Reason: "refused", Detail: "not a user", Status: 400, Attempts: 3,
		Source: "website", MessageID: "m1", ReceivedAt: day, UserID: "b", PreviousID: "a"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestTheListMasksIDsForATokenThatOnlyReads(t *testing.T) {
	f, g := newFixture(t), &guarded{dir: t.TempDir()}
	f.storeDeadLetter(t, deadLetter{destination: "vero", userID: "507f191e81", previousID: "zoë@email.com"}, deadLetter{destination: "vero", userID: "joe", previousID: "7654321"})
	g.write(t, "full", fullToken)
	g.write(t, "read", readToken)
	g.Server = f.another(func(c *Config) { c.Tokens = Tokens{TokenFile: g.path("full"), ReadTokenFile: g.path("read")} })
	for token, want := range map[string]string{
		fullToken: "507f191e81 zoë@email.com false, joe 7654321 false, ",
		readToken: "50…81 zo…om true, … … true, ",
	} {
		for form, credentials := range map[string]string{"a token": bearer(token), "a cookie": g.signIn(t, token)} {
			answer := g.ask("GET /dead-letters", credentials)
			var page DeadLetters
			if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil {
				t.Fatalf("%d %s: %v", answer.Code, answer.Body, err)
			}
			got := ""
			for _, d := range page.DeadLetters {
				got += fmt.Sprintf("%s %s%s %v, ", d.UserID, d.PreviousID, d.AnonymousID, d.Masked)
			}
			if got != want {
				t.Errorf("%s, %s: got %s\nwant %s", token, form, got, want)
			}
		}
	}
	// A filter by a whole id finds a letter whose id is masked.
	if answer := g.ask("GET /dead-letters?id=joe", bearer(readToken)); !strings.Contains(answer.Body.String(), `"id":2,`) {
		t.Errorf("no letter: %s", answer.Body)
	}
}

func TestTheListIsFiltered(t *testing.T) {
	f := newFixture(t)
	f.storeDeadLetter(t,
		deadLetter{destination: "vero", age: 50 * time.Hour},
		deadLetter{destination: "mixpanel", age: 3 * time.Hour},
		deadLetter{destination: "vero", reason: "too_old", age: 2 * time.Hour, status: -1},
		deadLetter{destination: "vero", age: time.Hour, source: "app", userID: "someone"},
		deadLetter{destination: "gone", age: 0, kind: segment.Track, previousID: "someone", status: 422},
	)
	for query, want := range map[string][]uint64{
		"":                                {1, 2, 3, 4, 5},
		"destination=vero":                {1, 3, 4},
		"destination=mixpanel":            {2},
		"reason=refused":                  {1, 2, 4, 5},
		"reason=max_attempts":             {},
		"destination=vero&reason=too_old": {3},
		"since=150m":                      {3, 4, 5},
		"since=2d":                        {2, 3, 4, 5},
		"since=2d1h&destination=vero":     {3, 4},
		"since=" + url.QueryEscape(time.Now().Add(-90*time.Minute).Format(time.RFC3339)): {4, 5},
		"since=2000-01-01T00:00:00%2B02:00&limit=2":                                      {1, 2},
		"before=150m":                      {1, 2},
		"since=4h&before=90m":              {2, 3},
		"destination=gone":                 {5},
		"type=track":                       {5},
		"type=alias&destination=vero":      {1, 3, 4},
		"source=app":                       {4},
		"source=elsewhere":                 {},
		"id=someone":                       {4, 5},
		"id=some":                          {},
		"message_id=m2":                    {2},
		"status=0":                         {3},
		"status=422":                       {5},
		"status=400&source=website":        {1, 2},
		"until=2":                          {1, 2},
		"after=1&until=4&reason=refused":   {2, 4},
		"after=3":                          {4, 5},
		"after=9":                          {},
		"after=1&destination=vero&limit=1": {3},
	} {
		if got := f.ids(t, query); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
}

func TestTheListComesInPages(t *testing.T) {
	f := newFixture(t)
	for range 5 {
		f.storeDeadLetter(t, deadLetter{destination: "vero"}, deadLetter{destination: "mixpanel"})
	}
	var pages []string
	for after := uint64(0); ; {
		var page DeadLetters
		f.ask(t, "GET", fmt.Sprintf("/dead-letters?destination=vero&limit=2&after=%d", after), "", &page)
		ids := ""
		for _, d := range page.DeadLetters {
			ids += fmt.Sprint(d.ID, " ")
		}
		pages = append(pages, ids)
		if after = page.Next; after == 0 {
			break
		}
	}
	if want := []string{"1 3 ", "5 7 ", "9 "}; !slices.Equal(pages, want) {
		t.Fatalf("got %q, want %q", pages, want)
	}
}

func TestAPageIsBoundedByWhatItTakesToFindIt(t *testing.T) {
	f := newFixture(t)
	for i := range 10 {
		f.storeDeadLetter(t, deadLetter{destination: "vero", userID: []string{"u", "v"}[i/7]})
	}
	s := f.another(func(*Config) {})
	s.dead.maxScanned = 3
	var pages []string
	for after := uint64(0); ; {
		answer := httptest.NewRecorder()
		s.Handler().ServeHTTP(answer, httptest.NewRequest("GET", fmt.Sprintf("http://localhost/dead-letters?id=v&limit=2&after=%d", after), nil))
		var page DeadLetters
		if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		ids := ""
		for _, d := range page.DeadLetters {
			ids += fmt.Sprint(d.ID, " ")
		}
		pages = append(pages, fmt.Sprint(ids, "next ", page.Next))
		if after = page.Next; after == 0 {
			break
		}
	}
	if want := []string{"next 3", "next 6", "8 9 next 9", "10 next 0"}; !slices.Equal(pages, want) {
		t.Fatalf("got %q, want %q", pages, want)
	}
}

func TestAFilterThatMeansNothingIsRefusedEverywhere(t *testing.T) {
	f := newFixture(t)
	f.storeDeadLetter(t, deadLetter{destination: "vero"})
	for query, want := range map[string]string{
		"destination=acme":               `unknown_destination destination: "acme" is not known; there are mixpanel, vero`,
		"destination=":                   `unknown_destination destination: "" is not known; there are mixpanel, vero`,
		"destination=vero&destination=x": `invalid_destination destination: given more than once`,
		"reason=bad":                     `unknown_reason reason: "bad" is not known; there are expired, max_attempts, refused, rejected, too_large, too_old, undecodable`,
		"type=aliases":                   `unknown_type type: "aliases" is not known; there are alias, group, identify, page, screen, track; did you mean alias?`,
		"source=":                        `invalid_source source: is empty`,
		"id=":                            `invalid_id id: is empty`,
		"message_id=":                    `invalid_message_id message_id: is empty`,
		"status=4xx":                     `invalid_status status: expected an HTTP status, or 0 for no answer, not "4xx"`,
		"status=-1":                      `invalid_status status: expected an HTTP status, or 0 for no answer, not "-1"`,
		"since=yesterday":                `invalid_since since: expected a duration such as 24h or 7d, or a time such as 2026-01-02T15:04:05Z, not "yesterday"`,
		"since=-1h":                      `invalid_since since: expected a duration such as 24h or 7d, or a time such as 2026-01-02T15:04:05Z, not "-1h"`,
		"since=":                         `invalid_since since: expected a duration such as 24h or 7d, or a time such as 2026-01-02T15:04:05Z, not ""`,
		"before=":                        `invalid_before before: expected a duration such as 24h or 7d, or a time such as 2026-01-02T15:04:05Z, not ""`,
		"after=-1":                       `invalid_after after: expected the id of a dead letter, a number, not "-1"`,
		"after=99999999999999999999":     `invalid_after after: expected the id of a dead letter, a number, not "99999999999999999999"`,
		"until=x":                        `invalid_until until: expected the id of a dead letter, a number, not "x"`,
		"limit=0":                        `invalid_limit limit: expected 1 to MOST, not "0"`,
		"limit=100001":                   `invalid_limit limit: expected 1 to MOST, not "100001"`,
		"limit=many":                     `invalid_limit limit: expected 1 to MOST, not "many"`,
		"destinaton=vero":                `unknown_parameter query: "destinaton" is no parameter here; there are destination, reason, type, source, id, message_id, status, since, before, after, until, limitRATE`,
		"reason=%":                       `invalid_query query: invalid URL escape "%"`,
	} {
		for request, most := range map[string]string{"GET /dead-letters": "1000", "POST /dead-letters/replay": "100000", "POST /dead-letters/discard": "100000"} {
			method, path, _ := strings.Cut(request, " ")
			rate := ""
			if path == "/dead-letters/replay" {
				rate = ", rate"
			}
			var body errorBody
			status := f.ask(t, method, path+"?"+query, "", &body)
			if got := body.Code + " " + body.Message; status != 400 || got != strings.NewReplacer("MOST", most, "RATE", rate).Replace(want) {
				t.Errorf("%s?%s: got %d %s", request, query, status, got)
			}
		}
	}
	for _, query := range []string{"rate=0", "rate=-1", "rate=NaN", "rate=Inf", "rate=", "rate=0.01"} {
		var body errorBody
		if status := f.ask(t, "POST", "/dead-letters/replay?"+query, "", &body); status != 400 || body.Code != "invalid_rate" {
			t.Errorf("%s: got %d %+v", query, status, body)
		}
	}
	if left := f.ids(t, ""); len(left) != 1 {
		t.Fatal("a refused request took the dead letter")
	}
}

func TestTheSummaryCountsByDestinationAndReason(t *testing.T) {
	f := newFixture(t)
	f.want(t, "GET", "/dead-letters/summary", "", 200, `{"dead_letters":[],"count":0,"bytes":0}`)
	f.storeDeadLetter(t,
		deadLetter{destination: "vero"}, deadLetter{destination: "vero", kind: segment.Track}, deadLetter{destination: "vero", source: "app"},
		deadLetter{destination: "vero", reason: "too_old"}, deadLetter{destination: "gone"}, deadLetter{destination: "mixpanel"},
	)
	f.want(t, "DELETE", "/dead-letters/6", "", 200, `{"success":true,"count":1}`)
	for query, want := range map[string]string{
		"":                                "gone refused 1, vero refused 3, vero too_old 1, = 5",
		"destination=vero":                "vero refused 3, vero too_old 1, = 4",
		"type=track":                      "vero refused 1, = 1",
		"source=website&reason=refused":   "gone refused 1, vero refused 2, = 3",
		"destination=gone&reason=too_old": "= 0",
	} {
		var summary DeadSummary
		if status := f.ask(t, "GET", "/dead-letters/summary?"+query, "", &summary); status != 200 {
			t.Fatalf("%s: got %d", query, status)
		}
		got, bytes := "", uint64(0)
		for _, row := range summary.DeadLetters {
			got += fmt.Sprint(row.Destination, " ", row.Reason, " ", row.Count, ", ")
			bytes += row.Bytes
		}
		if got += fmt.Sprint("= ", summary.Count); got != want || bytes != summary.Bytes || bytes < 100*summary.Count {
			t.Errorf("%s: got %s of %d bytes, want %s", query, got, summary.Bytes, want)
		}
	}
}

func TestOneIsShownWithItsCall(t *testing.T) {
	f := newFixture(t)
	f.storeDeadLetter(t,
		deadLetter{destination: "vero", call: `{"type":"alias","userId":"<b>","n":12345678901234567890}`},
		deadLetter{destination: "vero", reason: "undecodable", call: `{"type":`},
	)
	for path, want := range map[string]string{
		"/dead-letters/1": `"message_id":"m1","received_at":"2026-01-02T00:00:00Z","user_id":"b","previous_id":"a","call":{"type":"alias","userId":"<b>","n":12345678901234567890}}`,
		"/dead-letters/2": `"call":"{\"type\":"}`,
	} {
		if status, body, _ := f.do(t, "GET", path, ""); status != 200 || !strings.HasSuffix(strings.TrimSpace(body), want) {
			t.Errorf("%s: got %d %s", path, status, body)
		}
	}
}

func TestOneIsReplayedOnce(t *testing.T) {
	f := newFixture(t)
	f.storeDeadLetter(t, deadLetter{destination: "vero"}, deadLetter{destination: "mixpanel"})
	f.want(t, "POST", "/dead-letters/1/replay", "", 200, `{"success":true,"count":1}`)
	if status, _, _ := f.do(t, "POST", "/dead-letters/1/replay", ""); status != 404 {
		t.Errorf("got %d for the second time", status)
	}
	if got := f.log(t); !slices.Equal(got, []string{"vero m1"}) {
		t.Errorf("the log has %v", got)
	}
	if got := f.ids(t, ""); !slices.Equal(got, []uint64{2}) {
		t.Errorf("%v are left", got)
	}
}

func TestOneIsReplayedOnceHoweverManyAsk(t *testing.T) {
	f := newFixture(t)
	f.storeDeadLetter(t, deadLetter{destination: "vero"})
	var done atomic.Int32
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			if status, _, _ := f.do(t, "POST", "/dead-letters/1/replay", ""); status == 200 {
				done.Add(1)
			}
		})
	}
	asking.Wait()
	if got := f.log(t); len(got) != 1 || done.Load() != 1 {
		t.Fatalf("replayed %d times, and %d were told so", len(got), done.Load())
	}
}

func TestOneIsDiscarded(t *testing.T) {
	f := newFixture(t)
	f.storeDeadLetter(t, deadLetter{destination: "vero"}, deadLetter{destination: "gone"})
	f.want(t, "DELETE", "/dead-letters/1", "", 200, `{"success":true,"count":1}`)
	f.want(t, "DELETE", "/dead-letters/2", "", 200, `{"success":true,"count":1}`)
	if got, left := f.log(t), f.ids(t, ""); len(got) != 0 || len(left) != 0 {
		t.Errorf("the log has %v, and %v are left", got, left)
	}
}

func TestADeadLetterOfADestinationThatIsGoneStays(t *testing.T) {
	f := newFixture(t)
	f.storeDeadLetter(t, deadLetter{destination: "gone"}, deadLetter{destination: "vero"}, deadLetter{destination: "gone"})
	var body errorBody
	if status := f.ask(t, "POST", "/dead-letters/1/replay", "", &body); status != 409 || body.Code != "destination_gone" {
		t.Errorf("got %d %+v", status, body)
	}
	f.want(t, "POST", "/dead-letters/replay?limit=1", "", 200, `{"success":true,"count":1,"skipped":2}`)
	if got := f.ids(t, ""); !slices.Equal(got, []uint64{1, 3}) {
		t.Errorf("%v are left", got)
	}
}

// All were received in the same instant.
func TestAllThatMatchAreReplayedInTheOrderOfTheirCalls(t *testing.T) {
	f := newFixture(t)
	f.storeDeadLetter(t,
		deadLetter{destination: "vero", position: journal.Position{Seq: 9, Index: 1}},
		deadLetter{destination: "mixpanel", position: journal.Position{Seq: 1}},
		deadLetter{destination: "vero", position: journal.Position{Seq: 20}, replayed: &journal.Replayed{DeadLetterID: 77, Position: journal.Position{Seq: 3}}},
		deadLetter{destination: "vero", position: journal.Position{Seq: 4}},
		deadLetter{destination: "vero", position: journal.Position{Seq: 2}, reason: "too_old"},
		deadLetter{destination: "vero", position: journal.Position{Seq: 9}},
	)
	f.want(t, "POST", "/dead-letters/replay?destination=vero&reason=refused&limit=2", "", 200, `{"success":true,"count":2,"more":true,"until":6}`)
	f.want(t, "POST", "/dead-letters/replay?destination=vero&reason=refused&limit=2", "", 200, `{"success":true,"count":2}`)
	f.want(t, "POST", "/dead-letters/replay?destination=vero&reason=refused&limit=2", "", 200, `{"success":true,"count":0}`)
	if got, want := f.log(t), []string{"vero m3", "vero m4", "vero m6", "vero m1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := f.ids(t, ""); !slices.Equal(got, []uint64{2, 5}) {
		t.Errorf("%v are left", got)
	}
}

// Else a vendor that refuses them again would get them without end.
func TestWhatDiesDuringAReplayIsLeftAlone(t *testing.T) {
	f := newFixture(t)
	f.storeDeadLetter(t, deadLetter{destination: "vero"}, deadLetter{destination: "vero"}, deadLetter{destination: "vero"})
	f.want(t, "POST", "/dead-letters/replay?limit=2", "", 200, `{"success":true,"count":2,"more":true,"until":3}`)
	f.storeDeadLetter(t, deadLetter{destination: "vero"}, deadLetter{destination: "vero"})
	f.want(t, "POST", "/dead-letters/replay?limit=2&until=3", "", 200, `{"success":true,"count":1}`)
	if got := f.ids(t, ""); !slices.Equal(got, []uint64{4, 5}) {
		t.Errorf("%v are left", got)
	}
}

func TestReplays_KeepTheirRateOverAllClients(t *testing.T) {
	for name, c := range map[string]struct {
		rate  float64
		query string
	}{
		"the config's":     {40, ""},
		"a lower one":      {0, "?rate=40"},
		"not a higher one": {40, "?rate=4000"},
	} {
		f := newFixture(t)
		for range 9 {
			f.storeDeadLetter(t, deadLetter{destination: "vero"})
		}
		s := f.another(func(config *Config) { config.ReplayRate = c.rate })
		start := time.Now()
		var count atomic.Int64
		var asking sync.WaitGroup
		for range 3 {
			asking.Go(func() {
				answer := httptest.NewRecorder()
				request := httptest.NewRequest("POST", "http://localhost/dead-letters/replay"+c.query, nil)
				request.Header.Set(ProofHeader, "1")
				s.Handler().ServeHTTP(answer, request)
				var done Done
				if err := json.Unmarshal(answer.Body.Bytes(), &done); err != nil || answer.Code != 200 {
					t.Errorf("%s: %d %v", name, answer.Code, err)
				}
				count.Add(int64(done.Count))
			})
			if c.rate == 0 {
				asking.Wait() // a rate of its own holds for one who asks
			}
		}
		asking.Wait()
		if took := time.Since(start); took < 8*time.Second/40 || count.Load() != 9 {
			t.Errorf("%s: replayed %d in %s", name, count.Load(), took)
		}
		want := []string{"vero m1", "vero m2", "vero m3", "vero m4", "vero m5", "vero m6", "vero m7", "vero m8", "vero m9"}
		if got := f.log(t); !slices.Equal(got, want) {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestARequestTakesOnNoMoreThanItCanDoInItsTime(t *testing.T) {
	for _, c := range []struct {
		rates []float64
		want  int
	}{{nil, MaxBulk}, {[]float64{0}, MaxBulk}, {[]float64{100}, 1000}, {[]float64{100, 7}, 70}, {[]float64{0.1}, 1}, {[]float64{1e9}, MaxBulk}} {
		var p pace
		for _, r := range c.rates {
			p = append(p, newLimiter(r))
		}
		if got := p.within(10 * time.Second); got != c.want {
			t.Errorf("%v: got %d, want %d", c.rates, got, c.want)
		}
	}
}

func TestAllThatMatchAreDiscarded(t *testing.T) {
	f := newFixture(t)
	f.storeDeadLetter(t, deadLetter{destination: "vero"}, deadLetter{destination: "gone"}, deadLetter{destination: "vero", age: 48 * time.Hour}, deadLetter{destination: "mixpanel"})
	f.want(t, "POST", "/dead-letters/discard?since=24h&after=1", "", 200, `{"success":true,"count":2}`)
	if got := f.ids(t, ""); !slices.Equal(got, []uint64{1, 3}) {
		t.Errorf("%v are left", got)
	}
	f.want(t, "POST", "/dead-letters/discard", "", 200, `{"success":true,"count":2}`)
	if got, left := f.log(t), f.ids(t, ""); len(got) != 0 || len(left) != 0 {
		t.Errorf("the log has %v, and %v are left", got, left)
	}
}

func TestAnErrorHalfwayTellsHowManyWereDone(t *testing.T) {
	f := newFixture(t)
	f.storeDeadLetter(t, deadLetter{destination: "vero"}, deadLetter{destination: "vero"}, deadLetter{destination: "vero"})
	failing := &hooked{Journal: f.journal}
	failing.beforeReplay = func() {
		if len(f.log(t)) == 2 {
			f.journal.Close()
		}
	}
	answer := httptest.NewRecorder()
	request := httptest.NewRequest("POST", "http://localhost/dead-letters/replay", nil)
	request.Header.Set(ProofHeader, "1")
	f.another(func(c *Config) { c.Journal = failing }).Handler().ServeHTTP(answer, request)
	if body := answer.Body.String(); answer.Code < 500 || !strings.Contains(body, `"count":2`) {
		t.Fatalf("got %d %s", answer.Code, body)
	}
}

func TestTheJournalsErrorsKeepTheirMeaning(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{journal.ErrNoDeadLetter, 404, "not_found"},
		{fmt.Errorf("read dead letter 7: %w: checksum", journal.ErrDamaged), 500, "damaged"},
		{fmt.Errorf("%w: no room", journal.ErrFull), 503, "journal_full"},
		{journal.ErrClosed, 503, "journal_unavailable"},
		{fmt.Errorf("%w: why", journal.ErrUnavailable), 503, "journal_unavailable"},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), 503, "journal_unavailable"},
		{fmt.Errorf("read: %w", context.Canceled), 503, "stopped"},
		{errors.New("what else"), 500, "internal"},
	} {
		if p := problemOf(c.err); p.status != c.status || p.code != c.code {
			t.Errorf("%v: got %d %s, want %d %s", c.err, p.status, p.code, c.status, c.code)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"", "destination=vero&reason=refused&since=24h&after=7&limit=10", "since=2026-01-02T15:04:05Z", "since=1d12h", "type=alias&source=s&id=u&message_id=m&status=0&before=1h&until=9&rate=5", "rate=NaN", "limit=-1", "a=%zz;b"} {
		f.Add(seed)
	}
	s := newFixture(f).another(func(*Config) {})
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", "http://localhost/", nil)
		r.URL.RawQuery = query
		got, err := s.dead.filter(r, replayFilters, listLimits)
		if err != nil {
			if p := (*problem)(nil); !errors.As(err, &p) || p.status != 400 {
				t.Fatalf("%q: %v", query, err)
			}
			return
		}
		if got.limit < 1 || got.limit > listLimits.most || got.Destination != "" && !s.dead.isConfigured(got.Destination) || got.rate != 0 && !(got.rate >= MinRate) {
			t.Fatalf("%q: %+v", query, got)
		}
	})
}

// log lists the calls that were replayed, by destination and message id.
func (f *fixture) log(t testing.TB) (calls []string) {
	t.Helper()
	_, end := f.journal.Head()
	reader := f.journal.ReadFrom(1)
	for seq := uint64(1); seq < end.Seq; {
		frame, err := reader.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range frame.Entries {
			calls = append(calls, e.Target+" "+e.MessageID)
		}
		seq = frame.Seq + 1
	}
	return calls
}
