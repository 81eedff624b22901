package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/router/delivery"
	"aka/router/journal"
	"aka/router/live"
	"aka/router/segment"
)

func TestHealthIsAnsweredWhileTheProcessLives(t *testing.T) {
	f := newFixture(t)
	f.journal.Close()
	f.want(t, "GET", "/healthz", "", 200, `{"healthy":true}`)
}

func TestReadinessSaysWhatIsNotReady(t *testing.T) {
	f := newFixture(t)
	f.want(t, "GET", "/readyz", "", 200, `{"ready":true,"checks":{"journal":"ok","started":"ok"}}`)
	f.started = errors.New("vero: loading its progress")
	f.want(t, "GET", "/readyz", "", 503, `{"ready":false,"checks":{"journal":"ok","started":"vero: loading its progress"}}`)
	f.started = nil
	f.journal.Close()
	var answer readiness
	if status := f.ask(t, "GET", "/readyz", "", &answer); status != 503 || !strings.Contains(answer.Checks["journal"], "unavailable") {
		t.Fatalf("got %d %+v", status, answer)
	}
}

func TestMetricsAreThoseOfTheRegistry(t *testing.T) {
	f := newFixture(t)
	status, body, _ := f.do(t, "GET", "/metrics", "")
	if status != 200 || !strings.Contains(body, "aka_journal_frames_total 0") {
		t.Fatalf("got %d %s", status, body)
	}
}

func TestTheIndexNamesEveryPath(t *testing.T) {
	f := newFixture(t)
	status, body, header := f.do(t, "GET", "/", "")
	if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Fatalf("got %d %v", status, header)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/dead-letters/{id}/replay", "/dead-letters/discard", "/explain", "/log/level", "/access", "/login", "/logout"} {
		if !strings.Contains(body, path) {
			t.Errorf("%s is missing", path)
		}
	}
}

func TestEveryErrorHasTheSameForm(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/nothing", 404, "not_found"},
		{"GET", "/dead-letters/", 404, "not_found"},
		{"GET", "/dead-letters/7", 404, "not_found"},
		{"GET", "/dead-letters/x", 400, "invalid_id"},
		{"GET", "/dead-letters/-1", 400, "invalid_id"},
		{"DELETE", "/dead-letters/7", 404, "not_found"},
		{"POST", "/dead-letters/7/replay", 404, "not_found"},
		{"POST", "/dead-letters/x/replay", 400, "invalid_id"},
		{"POST", "/dead-letters/7/replay?all=1", 400, "unknown_parameter"},
		{"POST", "/healthz", 405, "method_not_allowed"},
		{"OPTIONS", "/dead-letters", 405, "method_not_allowed"},
	} {
		var body errorBody
		status := f.ask(t, c.method, c.path, "", &body)
		if status != c.status || body.Code != c.code || body.Success || body.Message == "" || body.Error != body.Message {
			t.Errorf("%s %s: got %d %+v, want %d %s", c.method, c.path, status, body, c.status, c.code)
		}
	}
}

func TestAWrongMethodIsToldTheRightOnes(t *testing.T) {
	f := newFixture(t)
	for path, want := range map[string]string{
		"/": "GET, HEAD", "/healthz": "GET, HEAD", "/readyz": "GET, HEAD", "/metrics": "GET, HEAD", "/dead-letters": "GET, HEAD",
		"/dead-letters/1": "DELETE, GET, HEAD", "/dead-letters/1/replay": "POST", "/dead-letters/replay": "POST",
		"/dead-letters/discard": "POST", "/explain": "POST", "/access": "GET, HEAD", "/login": "GET, POST, HEAD", "/logout": "POST",
		"/destinations": "GET, HEAD", "/destinations/vero": "DELETE, GET, HEAD", "/destinations/vero/pause": "POST",
		"/destinations/vero/resume": "POST", "/reload": "POST", "/drain": "DELETE, GET, POST, HEAD",
		"/live": "GET, HEAD", "/live/calls": "GET, HEAD", "/live/calls/1.0": "GET, HEAD", "/live/events": "GET, HEAD",
	} {
		if status, _, header := f.do(t, "PUT", path, ""); status != 405 || header.Get("Allow") != want {
			t.Errorf("%s: got %d, Allow: %s; want %s", path, status, header.Get("Allow"), want)
		}
	}
}

func TestNoAnswerIsCachedOrOpenToOtherSites(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/", "/healthz", "/metrics", "/dead-letters", "/nothing", "/dead-letters/7"} {
		_, _, header := f.do(t, "GET", path, "", "Origin: https://evil.example")
		if header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", path)
		}
		for name := range header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s", path, name)
			}
		}
	}
}

func TestNothingIsChangedForAnotherSitesPage(t *testing.T) {
	f := newFixture(t)
	id := f.storeDeadLetter(t, deadLetter{destination: "vero"})
	foreign := [][]string{
		{"Origin: https://evil.example"},
		{"Origin: null"},
		{"Origin: http://127.0.0.1:1"},
		{"Sec-Fetch-Site: cross-site"},
		{"Sec-Fetch-Site: same-site"},
	}
	for _, headers := range foreign {
		for _, request := range changing(id) {
			var body errorBody
			if status := f.ask(t, request[0], request[1], "", &body, headers...); status != 403 || body.Code != "cross_origin" {
				t.Errorf("%s with %s: got %d %+v", request, headers, status, body)
			}
		}
	}
	f.want(t, "POST", fmt.Sprintf("/dead-letters/%d/replay", id), "", 200, `{"success":true,"count":1}`, "Origin: "+f.url)
}

func TestNothingIsLoadedIntoAnotherSitesPage(t *testing.T) {
	f := newFixture(t)
	for _, site := range []string{"cross-site", "same-site"} {
		for _, path := range []string{"/", "/live/events", "/metrics", "/login"} {
			var body errorBody
			if status := f.ask(t, "GET", path, "", &body, "Sec-Fetch-Site: "+site, "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"); status != 403 || body.Code != "cross_origin" {
				t.Errorf("%s from %s: got %d %+v", path, site, status, body)
			}
		}
		var live Live
		if status := f.ask(t, "GET", "/live", "", &live, "Sec-Fetch-Site: "+site, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"); status != 200 {
			t.Errorf("a link is not followed: %d", status)
		}
	}
}

func changing(id uint64) [][2]string {
	return [][2]string{
		{"POST", fmt.Sprintf("/dead-letters/%d/replay", id)},
		{"DELETE", fmt.Sprintf("/dead-letters/%d", id)},
		{"POST", "/dead-letters/replay"},
		{"POST", "/dead-letters/discard"},
		{"POST", "/explain"},
	}
}

func TestANameThatOthersCanOwnIsRefused(t *testing.T) {
	f := newFixture(t)
	id := f.storeDeadLetter(t, deadLetter{destination: "vero"})
	private := append(changing(id), [2]string{"GET", "/metrics"}, [2]string{"GET", "/"}, [2]string{"GET", "/dead-letters"}, [2]string{"GET", fmt.Sprintf("/dead-letters/%d", id)})
	for _, host := range []string{"evil.example", "evil.example:9090", "127.0.0.1.evil.example", "localhost.evil.example:9090", "notadmin.internal"} {
		for _, request := range private {
			var body errorBody
			if status := f.ask(t, request[0], request[1], "", &body, "Host: "+host); status != 403 || body.Code != "unknown_host" {
				t.Errorf("%s at %s: got %d %+v", request, host, status, body)
			}
		}
		for _, path := range openPaths {
			if status, _, _ := f.do(t, "GET", path, "", "Host: "+host); status != 200 {
				t.Errorf("%s at %s: got %d: probes come by any name", path, host, status)
			}
		}
	}
	for _, host := range []string{"localhost", "LOCALHOST:9090", "127.0.0.1", "10.0.0.7:80", "[::1]", "[::1]:9090", "Admin.Internal:9090", "aka.example:443"} {
		if status, body, _ := f.do(t, "GET", "/dead-letters", "", "Host: "+host); status != 200 {
			t.Errorf("%s: got %d %s", host, status, body)
		}
	}
}

func TestAServerWithoutAHostOfItsOwnTakesNoEmptyOne(t *testing.T) {
	s := New(Config{Listen: ":9090", Metrics: prometheus.NewRegistry(), Logger: zap.NewNop()})
	if s.guard.isOurs("") || s.guard.isOurs(":9090") {
		t.Fatal("an empty host is taken")
	}
}

func TestServeEndsWithShutdown(t *testing.T) {
	f := newFixture(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- f.server.Serve(listener) }()
	answer, err := http.Get("http://" + listener.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if err := f.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

func TestShutdownEndsAReplayOfManyBetweenTwo(t *testing.T) {
	f := newFixture(t)
	f.storeDeadLetter(t, deadLetter{destination: "vero"}, deadLetter{destination: "vero"}, deadLetter{destination: "vero"})
	stopping := &hooked{Journal: f.journal}
	server := f.another(func(c *Config) { c.Journal = stopping })
	stopping.beforeReplay = func() { server.stop() }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	own := f.url
	f.url = "http://" + listener.Addr().String()
	f.want(t, "POST", "/dead-letters/replay", "", 503,
		`{"success":false,"code":"stopped","message":"stopped before all was done","error":"stopped before all was done","count":1}`)
	if err := server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	f.url = own
	if left := f.ids(t, ""); len(left) != 2 {
		t.Fatalf("%v are left", left)
	}
}

func TestExplainShowsWhatTheRouterSays(t *testing.T) {
	f := newFixture(t)
	f.want(t, "POST", "/explain?source=website", `{"type":"alias"}`, 200, `{"body":"{\"type\":\"alias\"}","source":"website"}`)
	f.want(t, "POST", "/explain?source=website&device=true", `{}`, 200, `{"body":"{}","device":"yes","source":"website"}`)
	for query, want := range map[string]string{
		"source=shop":                   "unknown_source",
		"from=website":                  "unknown_parameter",
		"device=phone":                  "unknown_device",
		"source=website&source=website": "invalid_source",
		"source=%zz":                    "invalid_query",
	} {
		var body errorBody
		if status := f.ask(t, "POST", "/explain?"+query, "{}", &body); status != 400 || body.Code != want {
			t.Errorf("%s: got %d %+v, want %s", query, status, body, want)
		}
	}
	var body errorBody
	if status := f.ask(t, "POST", "/explain", "{", &body); status != 400 || body.Code != "invalid_json" {
		t.Errorf("got %d %+v", status, body)
	}
	if status := f.ask(t, "POST", "/explain", strings.Repeat(" ", maxBody+1), &body); status != 413 || body.Code != "body_too_large" {
		t.Errorf("got %d %+v", status, body)
	}
}

// fixture is a server over a real journal.
type fixture struct {
	journal  *journal.Journal
	registry *prometheus.Registry
	server   *Server
	url      string
	started  error
	stored   int
	live     *live.Recorder
	status   []delivery.Status
	// destinations are the names of the configured ones.
	destinations atomic.Pointer[[]string]
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{registry: prometheus.NewRegistry()}
	f.destinations.Store(&[]string{"mixpanel", "vero"})
	options := journal.DefaultOptions
	options.Dir = t.TempDir()
	var err error
	if f.journal, err = journal.Open(t.Context(), options, zap.NewNop(), f.registry); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.journal.Close)
	f.live = live.New(live.Config{
		Read: func(from uint64) live.Frames { return f.journal.ReadFrom(from) }, Head: f.journal.Head, OnStart: func(context.Context) {},
	})
	t.Cleanup(f.live.Close)
	f.server = f.another(func(c *Config) { c.Metrics = f.registry })
	web := httptest.NewServer(f.server.Handler())
	t.Cleanup(web.Close)
	f.url = web.URL
	return f
}

// another returns another server over the same journal.
func (f *fixture) another(change func(*Config)) *Server {
	config := Config{
		Listen:       "admin.internal:9090",
		Hosts:        []string{"Aka.Example"},
		Destinations: func() []string { return *f.destinations.Load() },
		Journal:      f.journal,
		Operations:   &operated{},
		Started:      func() error { return f.started },
		Explain:      explain,
		Live:         f.live,
		Status:       func(context.Context) []delivery.Status { return f.status },
		Merges:       func(context.Context, string, []string) []MergesAt { return []MergesAt{} },
		ExplainEntry: func(e *journal.Entry) any { return []string{"explained " + e.MessageID} },
		Sources:      func() []string { return []string{"shop", "website"} },
		Metrics:      prometheus.NewRegistry(),
		Logger:       zap.NewNop(),
	}
	change(&config)
	return New(config)
}

func explain(body []byte, source string, device bool) (any, error) {
	if source == "shop" {
		return nil, errors.New(`no source is named "shop"`)
	}
	if _, err := segment.Parse(body, segment.Options{Type: segment.Alias}); string(body) == "{" {
		return nil, err
	}
	explained := map[string]string{"source": source, "body": string(body)}
	if device {
		explained["device"] = "yes"
	}
	return explained, nil
}

// hooked is a journal at which something happens just before a call is replayed.
type hooked struct {
	*journal.Journal
	beforeReplay func()
}

func (h *hooked) Replay(ctx context.Context, id uint64) error {
	h.beforeReplay()
	return h.Journal.Replay(ctx, id)
}

// do sends a request with headers such as "Origin: null" and returns the answer.
func (f *fixture) do(t testing.TB, method, path, body string, headers ...string) (status int, answer string, header http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(ProofHeader, "1")
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
		if name == "Host" {
			request.Host = value
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content), response.Header
}

// ask does, and decodes the answer.
func (f *fixture) ask(t testing.TB, method, path, body string, answer any, headers ...string) (status int) {
	t.Helper()
	status, content, header := f.do(t, method, path, body, headers...)
	if got := header.Get("Content-Type"); got != "application/json" {
		t.Fatalf("%s %s: got %d of type %s: %s", method, path, status, got, content)
	}
	if err := json.Unmarshal([]byte(content), answer); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, content)
	}
	return status
}

func (f *fixture) want(t testing.TB, method, path, body string, status int, answer string, headers ...string) {
	t.Helper()
	gotStatus, got, _ := f.do(t, method, path, body, headers...)
	if gotStatus != status || strings.TrimSpace(got) != answer {
		t.Errorf("%s %s: got %d %s\nwant %d %s", method, path, gotStatus, got, status, answer)
	}
}

// deadLetter is a dead letter to be stored; what it leaves out is filled in.
type deadLetter struct {
	destination, reason string
	age                 time.Duration // of the last attempt
	call                string
	status              int // -1 is none
	kind                segment.Type
	source              string
	userID, previousID  string
	position            journal.Position
	replayed            *journal.Replayed
}

// storeDeadLetter returns the last one's id. The first of a fixture is 1.
func (f *fixture) storeDeadLetter(t testing.TB, deadLetters ...deadLetter) uint64 {
	t.Helper()
	for _, l := range deadLetters {
		f.stored++
		if l.reason == "" {
			l.reason = "refused"
		}
		if l.call == "" {
			l.call = `{"type":"alias","previousId":"a","userId":"b"}`
		}
		if l.position == (journal.Position{}) {
			l.position = journal.Position{Seq: uint64(f.stored)}
		}
		l.kind, l.status = cmp.Or(l.kind, segment.Alias), max(cmp.Or(l.status, 400), 0)
		l.source, l.userID, l.previousID = cmp.Or(l.source, "website"), cmp.Or(l.userID, "b"), cmp.Or(l.previousID, "a")
		last := time.Now().Add(-l.age).UTC()
		d := &journal.DeadLetter{
			Destination: l.destination, Reason: l.reason, Detail: "not a user", Attempts: 3, Status: l.status,
			First: last.Add(-time.Hour), Last: last, Position: l.position,
			Entry: journal.Entry{Source: l.source, Replayed: l.replayed, Message: segment.Message{
				Header: segment.Header{Type: l.kind, MessageID: fmt.Sprintf("m%d", f.stored), UserID: l.userID, PreviousID: l.previousID, ReceivedAt: day, Timestamp: day},
				JSON:   []byte(l.call),
			}},
		}
		if err := f.journal.StoreDeadLetters(t.Context(), []*journal.DeadLetter{d}); err != nil {
			t.Fatal(err)
		}
	}
	return uint64(f.stored)
}

var day = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)

// ids lists the dead letters that match a query.
func (f *fixture) ids(t testing.TB, query string) []uint64 {
	t.Helper()
	var page DeadLetters
	if status := f.ask(t, "GET", "/dead-letters?"+query, "", &page); status != 200 {
		t.Fatalf("%s: got %d", query, status)
	}
	ids := make([]uint64, len(page.DeadLetters))
	for i, d := range page.DeadLetters {
		ids[i] = d.ID
	}
	return ids
}
