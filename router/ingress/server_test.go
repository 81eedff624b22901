package ingress

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/segment"
)

const (
	testKey = "k3y-of-the-website"
	call    = `{"type":"alias","messageId":"m1","userId":"new","previousId":"old"}`
)

// memory is a journal in memory.
type memory struct {
	mu      sync.Mutex
	entries []journal.Entry
	seen    map[string]bool
	err     error
	// When set, Append says that it has been called, and waits for hold to be closed.
	called, hold chan struct{}
}

func (m *memory) Append(_ context.Context, entries []journal.Entry) (duplicates int, err error) {
	if m.hold != nil {
		m.called <- struct{}{}
		<-m.hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return 0, m.err
	}
	for _, e := range entries {
		key := e.Source + " " + e.MessageID
		if m.seen[key] {
			duplicates++
			continue
		}
		if m.seen == nil {
			m.seen = map[string]bool{}
		}
		m.seen[key] = true
		m.entries = append(m.entries, e)
	}
	return duplicates, nil
}

func (m *memory) Writable(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// fail makes the journal fail, or nil makes it well.
func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// stand is a running server and a client of it.
type stand struct {
	*memory
	server   *Server
	dial     func() (net.Conn, error)
	registry *prometheus.Registry
	logs     *observer.ObservedLogs
	client   *http.Client
}

func testConfig() Config {
	config := DefaultConfig
	config.Sources = map[string]Source{
		"website": {WriteKey: adapter.NewSecret(testKey)},
		"pages":   {WriteKey: adapter.NewSecret("pages-key"), AllowedOrigins: []string{"https://app.example"}},
		"jitsu":   {WriteKey: adapter.NewSecret("id:s3cret")},
	}
	return config
}

func start(t testing.TB, config Config) *stand {
	t.Helper()
	listener := fasthttputil.NewInmemoryListener()
	return startOn(t, config, listener, listener.Dial)
}

// startTCP is start where what matters is how connections end.
func startTCP(t testing.TB, config Config, adjust ...func(*Server)) *stand {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, config, listener, func() (net.Conn, error) { return net.Dial("tcp", listener.Addr().String()) }, adjust...)
}

// readsOn has a server take all that a client sends behind its answer, however slow the client is.
func readsOn(s *Server) { s.conns.idleLimit = patience }

func startOn(t testing.TB, config Config, listener net.Listener, dial func() (net.Conn, error), adjust ...func(*Server)) *stand {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	s := &stand{memory: &memory{}, dial: dial, registry: prometheus.NewRegistry(), logs: logs}
	var err error
	if s.server, err = New(config, s.memory, zap.New(core), s.registry); err != nil {
		t.Fatal(err)
	}
	for _, change := range adjust {
		change(s.server)
	}
	s.client = clientOf(dial)
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(listener) }()
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := s.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

func clientOf(dial func() (net.Conn, error)) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return dial() },
		DisableCompression: true,
	}}
}

type answer struct {
	*http.Response
	body []byte
}

// send sends a request. Each header is "Name: value".
func (s *stand) send(t testing.TB, method, path, body string, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequest(method, "http://router"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header[name] = []string{value}
	}
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response, content}
}

// post sends a body with the right write key.
func (s *stand) post(t testing.TB, path, body string, headers ...string) answer {
	t.Helper()
	return s.send(t, "POST", path, body, append(headers, "X-Write-Key: "+testKey)...)
}

// code returns the error form's code, after checking the form; "" for a success.
func (a answer) code(t testing.TB) string {
	t.Helper()
	if a.StatusCode == http.StatusNoContent {
		return ""
	}
	var form struct {
		Success              *bool
		Code, Message, Error string
	}
	if err := json.Unmarshal(a.body, &form); err != nil || form.Success == nil {
		t.Fatalf("%d: not the form of an answer: %q", a.StatusCode, a.body)
	}
	if got := a.Header.Get("Content-Type"); got != "application/json" || a.ContentLength != int64(len(a.body)) {
		t.Fatalf("Content-Type %q, Content-Length %d for %d bytes", got, a.ContentLength, len(a.body))
	}
	if *form.Success != (a.StatusCode == 200) || *form.Success != (form.Code == "") || (form.Message == "") != *form.Success || form.Error != form.Message {
		t.Fatalf("%d: %s", a.StatusCode, a.body)
	}
	return form.Code
}

func (s *stand) count(t testing.TB, metric string, labels ...string) (value float64, there bool) {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "aka_ingress_"+metric {
			continue
		}
		for _, m := range family.Metric {
			var got []string
			for _, l := range m.Label {
				got = append(got, l.GetName()+"="+l.GetValue())
			}
			if slices.Equal(got, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue(), true
			}
		}
	}
	return 0, false
}

func (s *stand) wantCount(t testing.TB, want float64, metric string, labels ...string) {
	t.Helper()
	if got, there := s.count(t, metric, labels...); !there || got != want {
		t.Errorf("%s%v: %v, there %v; not %v", metric, labels, got, there, want)
	}
}

func TestEveryPathOfTheSDKs(t *testing.T) {
	types := map[string][]string{
		"alias": {"alias", "a"}, "identify": {"identify", "i"}, "track": {"track", "t"},
		"page": {"page", "p"}, "screen": {"screen", "s"}, "group": {"group", "g"},
	}
	for kind := range types {
		types[kind] = append(types[kind], "api/s/"+kind, "api/s/s2s/"+kind)
	}
	s := start(t, testConfig())
	for kind, paths := range types {
		for _, path := range paths {
			for _, form := range []string{"/v1/%s", "/%s", "/v1/%s/", "/%s//", "//v1//%s", "/cio/v1/%s", "/cio/%s"} {
				path := fmt.Sprintf(form, path)
				s.entries, s.seen = nil, nil
				got := s.post(t, path, `{"userId":"u","previousId":"p","event":"e"}`)
				if got.StatusCode != 200 || string(got.body) != `{"success":true}` || got.code(t) != "" {
					t.Fatalf("%s: %d %s", path, got.StatusCode, got.body)
				}
				if len(s.entries) != 1 || s.entries[0].Type.String() != kind || s.entries[0].Source != "website" {
					t.Fatalf("%s: %+v", path, s.entries)
				}
			}
		}
	}
	for _, path := range []string{"batch", "import", "b", "batch/b", "beacon/v1/batch", "api/s/batch", "api/s/s2s/batch"} {
		for _, form := range []string{"/v1/%s", "/%s", "/v1/%s/", "/%s/", "/v1//%s"} {
			path := fmt.Sprintf(form, path)
			s.entries, s.seen = nil, nil
			got := s.post(t, path, `{"batch":[`+call+`]}`)
			if got.StatusCode != 200 || string(got.body) != `{"success":true,"accepted":1,"rejected":[]}` || len(s.entries) != 1 {
				t.Fatalf("%s: %d %s", path, got.StatusCode, got.body)
			}
		}
	}
	for _, path := range []string{"/api/s/event", "/v1/api/s/s2s/event/"} {
		s.entries, s.seen = nil, nil
		if got := s.post(t, path, call); got.StatusCode != 200 || len(s.entries) != 1 || s.entries[0].Type != segment.Alias {
			t.Fatalf("%s: %d %s", path, got.StatusCode, got.body)
		}
		if got := s.post(t, path, `{"userId":"u"}`); got.StatusCode != 400 || got.code(t) != "invalid_type" {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
	for _, path := range []string{"/v1/m", "/m", "/m/"} {
		if got := s.send(t, "POST", path, "anything"); got.StatusCode != 200 || got.code(t) != "" {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
}

func TestWhatBrowsersAndPhonesCall(t *testing.T) {
	for path, device := range map[string]bool{
		"b": true, "batch/b": true, "t": true, "a": true, "beacon/v1/batch": true, "api/s/track": true, "api/s/batch": true, "api/s/event": true,
		"batch": false, "import": false, "track": false, "alias": false, "api/s/s2s/track": false, "api/s/s2s/batch": false, "api/s/s2s/event": false,
	} {
		if endpoints[path].serve == nil || endpoints[path].device != device {
			t.Errorf("%s: %+v", path, endpoints[path])
		}
	}
}

func TestHealth(t *testing.T) {
	s := start(t, testConfig())
	for _, path := range []string{"/health", "/", "/?from=a-load-balancer"} {
		expect := func(status int, code string) {
			t.Helper()
			got := s.send(t, "GET", path, "")
			if got.StatusCode != status || got.code(t) != code || got.Header.Get("Cache-Control") != "no-store" || (got.Header.Get("Retry-After") != "") != (status == 503) {
				t.Errorf("%s: %d %s %v", path, got.StatusCode, got.body, got.Header)
			}
			if got := s.send(t, "HEAD", path, ""); got.StatusCode != status || len(got.body) > 0 {
				t.Errorf("HEAD %s: %d %s", path, got.StatusCode, got.body)
			}
		}
		expect(200, "")
		s.fail(fmt.Errorf("%w: 10 of 10 bytes", journal.ErrFull))
		expect(503, "overloaded")
		s.fail(fmt.Errorf("%w: the last write failed", journal.ErrUnavailable))
		expect(503, "unavailable")
		s.server.Drain(true)
		expect(503, "draining")
		s.fail(nil)
		expect(503, "draining")
		s.server.Drain(false)
		expect(200, "")
		if got := s.post(t, path, call); got.StatusCode != 405 || got.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%d %v", got.StatusCode, got.Header)
		}
	}
}

func TestWhatIsNotServed(t *testing.T) {
	s := start(t, testConfig())
	for _, path := range []string{"/v1", "/v1/", "/cio/", "/v2/track", "/v1/delete", "/track/x", "/v1/v1/track", "/../etc/passwd", "/V1/track", "/v1/Track", "/v1/cio/track", "/cio/cio/track", "/api/s", "/api/s/s2s"} {
		if got := s.post(t, path, call); got.StatusCode != 404 || got.code(t) != "not_found" {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
	for _, method := range []string{"GET", "PUT", "DELETE", "PATCH"} {
		got := s.send(t, method, "/v1/track", "")
		if got.StatusCode != 405 || got.code(t) != "method_not_allowed" || got.Header.Get("Allow") != "POST, OPTIONS" {
			t.Errorf("%s: %d %s %v", method, got.StatusCode, got.body, got.Header)
		}
	}
}

func basic(credentials string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}

func TestEveryWayOfGivingTheWriteKey(t *testing.T) {
	s := start(t, testConfig())
	withKey := strings.Replace(call, "{", `{"writeKey":"`+testKey+`",`, 1)
	unpadded := strings.TrimRight(basic(testKey), "=")
	for name, c := range map[string]struct {
		path, body string
		headers    []string
	}{
		"header":               {body: call, headers: []string{"X-Write-Key: " + testKey}},
		"header, any case":     {body: call, headers: []string{"x-write-KEY: " + testKey}},
		"Basic":                {body: call, headers: []string{basic(testKey + ":")}},
		"Basic, no colon":      {body: call, headers: []string{basic(testKey)}},
		"Basic, a password":    {body: call, headers: []string{basic(testKey + ":secret")}},
		"Basic, no padding":    {body: call, headers: []string{unpadded}},
		"Basic, lower case":    {body: call, headers: []string{strings.Replace(basic(testKey), "Basic", "basic", 1)}},
		"query":                {path: "?writeKey=" + testKey, body: call},
		"body":                 {body: withKey},
		"body, a Bearer token": {body: withKey, headers: []string{"Authorization: Bearer t0ken"}},
		"body, an empty user":  {body: withKey, headers: []string{basic(":")}},
		"body, an empty key":   {path: "?writeKey=", body: withKey, headers: []string{"X-Write-Key: "}},
		"query, a Bearer":      {path: "?x=1&writeKey=" + testKey, body: call, headers: []string{"Authorization: Bearer t0ken"}},
		"the first one counts": {path: "?writeKey=wrong", body: strings.Replace(withKey, testKey, "id:***", 1), headers: []string{"X-Write-Key: " + testKey, basic("wrong:")}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := s.send(t, "POST", "/v1/alias"+c.path, c.body, c.headers...); got.StatusCode != 200 {
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
		})
	}
	for _, key := range []string{"X-Write-Key: id:s3cret", basic("id:s3cret"), basic("id:s3cret:")} {
		s.entries, s.seen = nil, nil
		if got := s.send(t, "POST", "/a", call, key); got.StatusCode != 200 || s.entries[0].Source != "jitsu" {
			t.Errorf("%s: %d %+v", key, got.StatusCode, s.entries)
		}
	}
	s.entries, s.seen = nil, nil
	batch := `{"batch":[` + withKey + `]}`
	if got := s.send(t, "POST", "/v1/batch", batch); got.StatusCode != 200 || len(s.entries) != 1 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestAWriteKeyThatIsMissingOrUnknown(t *testing.T) {
	s := start(t, testConfig())
	for name, c := range map[string]struct {
		body, code string
		headers    []string
	}{
		"none":             {call, "missing_write_key", nil},
		"header":           {call, "unknown_write_key", []string{"X-Write-Key: wrong"}},
		"a prefix":         {call, "unknown_write_key", []string{"X-Write-Key: " + testKey[:5]}},
		"Basic":            {call, "unknown_write_key", []string{basic("wrong:" + testKey)}},
		"half of a pair":   {call, "unknown_write_key", []string{basic("id:other")}},
		"body":             {`{"writeKey":"wrong"}`, "unknown_write_key", nil},
		"body, not a call": {`{"writeKey":"wrong","type":"alias"`, "unknown_write_key", nil},
		"a huge one":       {call, "unknown_write_key", []string{"X-Write-Key: " + strings.Repeat("k", 5000)}},
	} {
		got := s.send(t, "POST", "/v1/alias", c.body, c.headers...)
		if got.StatusCode != 401 || got.code(t) != c.code || got.Header.Get("Www-Authenticate") != "" {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
	if len(s.entries) > 0 {
		t.Errorf("kept %+v", s.entries)
	}
	s.wantCount(t, 7, "calls_rejected_total", "code=unknown_write_key", "source=")
	s.wantCount(t, 1, "calls_rejected_total", "code=missing_write_key", "source=")
}

func TestNoCallOfAnUnknownSourceIsLookedAt(t *testing.T) {
	s := start(t, testConfig())
	tooMany := `{"batch":[` + strings.Repeat("{},", 6000) + `{}]}`
	if got := s.send(t, "POST", "/v1/batch", tooMany); got.StatusCode != 401 || got.code(t) != "missing_write_key" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if got := s.send(t, "POST", "/v1/batch", strings.Replace(tooMany, "{}", `{"writeKey":"wrong"}`, 1)); got.StatusCode != 401 || got.code(t) != "unknown_write_key" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if got := s.post(t, "/v1/batch", tooMany); got.StatusCode != 400 || got.code(t) != "too_many_calls" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestAnySingleCallThatIsInvalidIs400(t *testing.T) {
	s := start(t, testConfig())
	for body, code := range map[string]string{
		``:              "invalid_json",
		`{`:             "invalid_json",
		`[]`:            "invalid_call",
		`{}`:            "missing_user_id",
		`{"userId":{}}`: "invalid_user_id",
	} {
		if got := s.post(t, "/v1/page", body); got.StatusCode != 400 || got.code(t) != code {
			t.Errorf("%s: %d %s", body, got.StatusCode, got.body)
		}
	}
	s.wantCount(t, 2, "calls_rejected_total", "code=invalid_json", "source=website")
	s.wantCount(t, 1, "calls_rejected_total", "code=invalid_user_id", "source=website")
}

func TestABatchIs200WhateverItsCalls(t *testing.T) {
	s := start(t, testConfig())
	got := s.post(t, "/v1/batch", `{"batch":[`+call+`,{"type":"page"},{"type":"x","userId":"u"}]}`)
	want := `{"success":true,"accepted":1,"rejected":[` +
		`{"index":1,"code":"missing_user_id","message":"userId: expected a userId or an anonymousId"},` +
		`{"index":2,"code":"invalid_type","message":"type: expected one of alias, identify, track, page, screen, group"}]}`
	if got.StatusCode != 200 || string(got.body) != want {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	s.wantCount(t, 1, "calls_received_total", "source=website", "type=alias")
	s.wantCount(t, 1, "calls_rejected_total", "code=missing_user_id", "source=website")
	for _, empty := range []string{`{"batch":[]}`, `{"batch":[{}]}`} {
		if got := s.post(t, "/v1/batch", empty); got.StatusCode != 200 || got.code(t) != "" {
			t.Errorf("%s: %d %s", empty, got.StatusCode, got.body)
		}
	}
	for body, code := range map[string]string{`{"batch":{}}`: "invalid_batch", `x`: "invalid_json"} {
		if got := s.post(t, "/v1/batch", body); got.StatusCode != 400 || got.code(t) != code {
			t.Errorf("%s: %d %s", body, got.StatusCode, got.body)
		}
	}
}

func TestTheAnswerToABatchListsTheFirstOfManyRejections(t *testing.T) {
	s := start(t, testConfig())
	for calls, unlisted := range map[int]int{100: 0, 101: 1, 5000: 4900} {
		got := s.post(t, "/v1/batch", `{"batch":[`+strings.Repeat("0,", calls-1)+`0]}`)
		var answer struct {
			Success  bool
			Rejected []struct{ Index int }
			Unlisted int `json:"rejected_unlisted"`
		}
		if err := json.Unmarshal(got.body, &answer); err != nil || got.StatusCode != 200 || !answer.Success {
			t.Fatalf("%d %s, %v", got.StatusCode, got.body, err)
		}
		if len(answer.Rejected) != 100 || answer.Rejected[99].Index != 99 || answer.Unlisted != unlisted {
			t.Errorf("%d calls: %d listed, %d not", calls, len(answer.Rejected), answer.Unlisted)
		}
		if len(got.body) > 16<<10 {
			t.Errorf("%d calls: an answer of %d bytes", calls, len(got.body))
		}
	}
	s.wantCount(t, 5201, "calls_rejected_total", "code=invalid_call", "source=website")
}

func TestADuplicateIs200AndCounted(t *testing.T) {
	s := start(t, testConfig())
	for range 3 {
		if got := s.post(t, "/v1/alias", call); got.StatusCode != 200 {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
	}
	s.wantCount(t, 2, "duplicates_total", "source=website")
	if len(s.entries) != 1 {
		t.Errorf("kept %d", len(s.entries))
	}
}

func TestOnlyAJournalThatTookTheCallIs200(t *testing.T) {
	for code, err := range map[string]error{
		"overloaded":  fmt.Errorf("%w: 10 GiB", journal.ErrFull),
		"unavailable": journal.ErrClosed,
	} {
		s := start(t, testConfig())
		s.err = err
		for _, path := range []string{"/v1/alias", "/v1/batch"} {
			body := map[string]string{"/v1/alias": call, "/v1/batch": `{"batch":[` + call + `]}`}[path]
			got := s.post(t, path, body, "Origin: https://a.example")
			if got.StatusCode != 503 || got.code(t) != code || got.Header.Get("Retry-After") != "5" || got.Header.Get("X-Ratelimit-Reset") != "5" {
				t.Errorf("%d %s %v", got.StatusCode, got.body, got.Header)
			}
			if exposed := got.Header.Get("Access-Control-Expose-Headers"); exposed != "Retry-After, X-RateLimit-Reset" {
				t.Errorf("exposed %q", exposed)
			}
		}
		s.wantCount(t, 2, "calls_rejected_total", "code="+code, "source=website")
		s.wantCount(t, 0, "calls_received_total", "source=website", "type=alias")
	}
}

func zipped(body string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = io.WriteString(w, body)
	_ = w.Close()
	return out.String()
}

func TestBodiesAsSDKsSendThem(t *testing.T) {
	s := start(t, testConfig())
	for name, c := range map[string]struct {
		body    string
		headers []string
	}{
		"no type":           {call, nil},
		"text":              {call, []string{"Content-Type: text/plain"}},
		"form":              {zipped(call), []string{"Content-Type: application/x-www-form-urlencoded", "Content-Encoding: gzip"}},
		"multipart":         {call, []string{"Content-Type: multipart/form-data; boundary=x"}},
		"charset":           {call, []string{"Content-Type: application/json; charset=UTF-8"}},
		"gzip in capitals":  {zipped(call), []string{"Content-Encoding: GZIP"}},
		"x-gzip":            {zipped(call), []string{"Content-Encoding: x-gzip"}},
		"identity":          {call, []string{"Content-Encoding: Identity"}},
		"gzip in two parts": {zipped(call[:9]) + zipped(call[9:]), []string{"Content-Encoding: gzip"}},
		"byte order mark":   {"\ufeff" + call, nil},
	} {
		s.entries, s.seen = nil, nil
		got := s.post(t, "/v1/alias", c.body, c.headers...)
		if got.StatusCode != 200 || len(s.entries) != 1 || string(s.entries[0].JSON) != call {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
}

func TestBodiesThatAreNotWhatTheySay(t *testing.T) {
	s := start(t, testConfig())
	for name, c := range map[string]struct{ body, encoding, code string }{
		"not gzip":     {"x" + call, "gzip", "invalid_encoding"},
		"empty":        {"", "gzip", "invalid_json"},
		"cut short":    {zipped(call)[:40], "gzip", "invalid_encoding"},
		"garbage":      {zipped(call) + "garbage", "gzip", "invalid_encoding"},
		"a bad sum":    {zipped(call)[:len(zipped(call))-8] + "\x00\x00\x00\x00\x00\x00\x00\x00", "gzip", "invalid_encoding"},
		"zipped twice": {zipped(zipped(call)), "gzip", "invalid_json"},
		"two":          {zipped(zipped(call)), "gzip, gzip", "unsupported_encoding"},
		"another":      {call, "compress", "unsupported_encoding"},
	} {
		got := s.post(t, "/v1/alias", c.body, "Content-Encoding: "+c.encoding)
		if got.StatusCode != 400 || got.code(t) != c.code && name != "empty" {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
}

func TestLimitsOnTheBody(t *testing.T) {
	config := testConfig()
	config.Limits.CallBytes, config.Limits.WireBytes, config.Limits.DecompressedBytes = 1<<10, 4<<10, 64<<10
	s := startTCP(t, config, readsOn)
	pad := func(size int) string { return call + strings.Repeat(" ", size-len(call)) }
	for name, c := range map[string]struct {
		body, code string
		headers    []string
	}{
		"all of the wire":           {pad(4 << 10), "", nil},
		"one byte more":             {pad(4<<10 + 1), "body_too_large", nil},
		"more than is drained":      {pad(64 << 10), "body_too_large", nil},
		"all of it, decompressed":   {zipped(pad(64 << 10)), "", []string{"Content-Encoding: gzip"}},
		"one more, decompressed":    {zipped(pad(64<<10 + 1)), "body_too_large", []string{"Content-Encoding: gzip"}},
		"a bomb":                    {zipped(strings.Repeat(" ", 8<<20)), "body_too_large", []string{"Content-Encoding: gzip"}},
		"a call that is too large":  {strings.Replace(call, "{", `{"x":"`+strings.Repeat("x", 1<<10)+`",`, 1), "call_too_large", nil},
		"of another encoding, huge": {pad(60 << 10), "body_too_large", []string{"Content-Encoding: compress"}},
	} {
		for _, chunked := range []bool{false, true} {
			got := s.postAs(t, c.body, chunked, c.headers...)
			code := got.code(t)
			if code != c.code && !(chunked && code == "unsupported_encoding") || (code == "") != (got.StatusCode == 200) {
				t.Errorf("%s, chunked %v: %d %s", name, chunked, got.StatusCode, got.body)
			}
		}
	}
}

func (s *stand) postAs(t *testing.T, body string, chunked bool, headers ...string) answer {
	t.Helper()
	if !chunked {
		return s.post(t, "/v1/alias", body, headers...)
	}
	request, err := http.NewRequest("POST", "http://router/v1/alias", io.MultiReader(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Write-Key", testKey)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, _ := io.ReadAll(response.Body)
	return answer{response, content}
}

func TestLargeBodiesShareTheirRoom(t *testing.T) {
	s := start(t, testConfig())
	large := call + strings.Repeat(" ", 100<<10)
	s.server.budget.taken.Store(s.server.budget.size)
	for _, body := range []string{large, zipped(large)} {
		encoding := map[bool]string{true: "identity", false: "gzip"}[body == large]
		got := s.post(t, "/v1/alias", body, "Content-Encoding: "+encoding)
		if got.StatusCode != 503 || got.code(t) != "overloaded" || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", encoding, got.StatusCode, got.body)
		}
	}
	if got := s.post(t, "/v1/alias", call); got.StatusCode != 200 {
		t.Errorf("a single call: %d %s", got.StatusCode, got.body)
	}
	s.server.budget.taken.Store(0)
	if got := s.post(t, "/v1/alias", large); got.StatusCode != 200 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if taken := s.server.budget.taken.Load(); taken != 0 {
		t.Errorf("%d bytes are not given back", taken)
	}
}

func TestWhatIsFreeForEachIsBoundedForAll(t *testing.T) {
	for connections, free := range map[int]int64{1: 64 << 10, 2_048: 64 << 10, 10_000: 128 << 20 / 10_000, 1_000_000: 4 << 10} {
		limits, r := DefaultConfig.Limits, memoryBudget{}
		limits.Connections = connections
		if r.reset(&limits); r.free != free {
			t.Errorf("%d connections: %d bytes each", connections, r.free)
		}
	}
	// What comes slowly counts as it comes.
	s := start(t, testConfig())
	conn := s.connect(t)
	conn.say("POST /v1/alias HTTP/1.1\r\nHost: x\r\nX-Write-Key: " + testKey + "\r\nContent-Length: 60000\r\n\r\n" + call + strings.Repeat(" ", 50_000-len(call)))
	for s.server.budget.taken.Load() < 50_000-s.server.budget.free {
		runtime.Gosched()
	}
	conn.say(strings.Repeat(" ", 10_000))
	conn.hear("200")
	if taken := s.server.budget.taken.Load(); taken != 0 {
		t.Errorf("%d bytes are not given back", taken)
	}
}

func TestWhatWaitsForTheJournalKeepsItsRoom(t *testing.T) {
	s := start(t, testConfig())
	s.server.budget.size = 4 << 20
	s.called, s.hold = make(chan struct{}), make(chan struct{})
	// Some 10 KB, which become a megabyte.
	greedy := `{"context":{"c":"` + strings.Repeat("c", 3000) + `"},"batch":[` + call + strings.Repeat(","+call, 299) + `]}`
	send := func(path, body string) string {
		return s.raw("POST " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Write-Key: " + testKey + "\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body)
	}
	const requests = 50
	answers := make(chan string)
	for range requests {
		go func() { answers <- send("/v1/batch", greedy) }()
	}
	waiting, refused := 0, 0
	for waiting+refused < requests {
		select {
		case <-s.called:
			waiting++
		case got := <-answers:
			if refused++; !strings.HasPrefix(got, "HTTP/1.1 503") || !strings.Contains(got, `"overloaded"`) {
				t.Errorf("%q", got)
			}
		}
	}
	if waiting < 3 || waiting > 4 {
		t.Errorf("%d megabytes wait in 4 MiB", waiting)
	}
	go func() { answers <- send("/v1/alias", call) }()
	<-s.called
	close(s.hold)
	for range waiting + 1 {
		if got := <-answers; !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("%q", got)
		}
	}
	if taken := s.server.budget.taken.Load(); taken != 0 {
		t.Errorf("%d bytes are not given back", taken)
	}
}

func TestStrictLimitsAreSegments(t *testing.T) {
	config := testConfig()
	config.Limits.Strict = true
	s := start(t, config)
	if got := s.post(t, "/v1/alias", call+strings.Repeat(" ", 500_000)); got.code(t) != "body_too_large" {
		t.Errorf("%s", got.body)
	}
	if got := s.post(t, "/v1/alias", strings.Replace(call, "{", `{"x":"`+strings.Repeat("x", 32<<10)+`",`, 1)); got.code(t) != "call_too_large" {
		t.Errorf("%s", got.body)
	}
}

func TestCORSOnEveryAnswer(t *testing.T) {
	s := start(t, testConfig())
	const origin = "https://shop.example"
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/alias", call, 200},
		{"POST", "/v1/alias", "x", 400},
		{"POST", "/v1/nothing", "", 404},
		{"GET", "/v1/alias", "", 405},
		{"GET", "/health", "", 200},
		{"OPTIONS", "/v1/alias", "", 204},
	} {
		got := s.send(t, c.method, c.path, c.body, "Origin: "+origin, "X-Write-Key: "+testKey)
		h := got.Header
		if got.StatusCode != c.status || h.Get("Access-Control-Allow-Origin") != origin || h.Get("Vary") != "Origin" || h.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%s %s: %d %v", c.method, c.path, got.StatusCode, h)
		}
	}
	if got := s.send(t, "POST", "/v1/alias", call, "Origin: "+origin); got.StatusCode != 401 || got.Header.Get("Access-Control-Allow-Origin") != origin {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
	if got := s.post(t, "/v1/alias", call); got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("no Origin, but %v", got.Header)
	}
}

func TestNoErrorIsKeptByCaches(t *testing.T) {
	s := start(t, testConfig())
	for request, status := range map[string]int{
		"GET /nothing":                    404,
		"GET /v1/batch":                   405,
		"GET /v1/projects/wrong/settings": 404,
		"GET /v1/projects/settings":       401,
		"GET /health HTTP/1.1\r\nX: " + strings.Repeat("x", headerBytes): 400,
		"GET /health HTTP/1.1\r\nTransfer-Encoding: x, chunked":          400,
		"GET /health HTTP/1.1\r\n no: header":                            400,
		"GET /v1/projects/wrong/settings HTTP/1.1\r\nOrigin: a://b":      404,
	} {
		if !strings.Contains(request, "HTTP/1.1") {
			request += " HTTP/1.1"
		}
		got := s.raw(request + "\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", status)) || !strings.Contains(got, "\r\nCache-Control: no-store\r\n") {
			t.Errorf("%.60s: %s", request, got)
		}
	}
}

func TestAPreflightAllowsWhatIsAskedFor(t *testing.T) {
	s := start(t, testConfig())
	got := s.send(t, "OPTIONS", "/anything", "", "Origin: https://a.example", "Access-Control-Request-Method: POST",
		"Access-Control-Request-Headers: authorization,x-retry-count", "Access-Control-Request-Private-Network: true")
	h := got.Header
	if got.StatusCode != 204 || len(got.body) > 0 ||
		h.Get("Access-Control-Allow-Methods") != "GET, HEAD, POST, OPTIONS" || h.Get("Access-Control-Allow-Headers") != "authorization,x-retry-count" ||
		h.Get("Access-Control-Max-Age") != "86400" || h.Get("Access-Control-Allow-Private-Network") != "true" {
		t.Errorf("%d %v", got.StatusCode, h)
	}
	if got := s.send(t, "OPTIONS", "/v1/t", ""); got.StatusCode != 204 || got.Header.Get("Access-Control-Allow-Headers") != "" {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
}

func TestASourceMayNameItsOrigins(t *testing.T) {
	s := start(t, testConfig())
	for origin, status := range map[string]int{"": 200, "https://app.example": 200, "https://APP.example": 200, "https://evil.example": 401, "null": 401} {
		headers := []string{"X-Write-Key: pages-key"}
		if origin != "" {
			headers = append(headers, "Origin: "+origin)
		}
		got := s.send(t, "POST", "/v1/alias", call, headers...)
		if got.StatusCode != status || status == 401 && got.code(t) != "origin_not_allowed" || got.Header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("%q: %d %s", origin, got.StatusCode, got.body)
		}
	}
}

func TestMetricsAreThereAtZero(t *testing.T) {
	s := start(t, testConfig())
	s.wantCount(t, 0, "calls_received_total", "source=pages", "type=screen")
	s.wantCount(t, 0, "calls_rejected_total", "code=missing_event", "source=pages")
	s.wantCount(t, 0, "calls_rejected_total", "code=overloaded", "source=pages")
	s.wantCount(t, 0, "calls_rejected_total", "code=invalid_json", "source=")
	s.wantCount(t, 0, "duplicates_total", "source=pages")
	s.wantCount(t, 0, "warnings_total", "code=type_mismatch", "source=pages")
	s.wantCount(t, 0, "warnings_total", "code=missing_previous_id", "source=pages")
	s.wantCount(t, 0, "requests_total", "status=503")
	s.post(t, "/v1/alias", strings.Replace(call, "alias", "identify", 1))
	s.wantCount(t, 1, "warnings_total", "code=type_mismatch", "source=website")
	s.wantCount(t, 1, "requests_total", "status=200")
}

func TestAPanicIs500AndShowsNothing(t *testing.T) {
	s := start(t, testConfig())
	s.server.journal = &panicking{}
	got := s.post(t, "/v1/alias", call, "Origin: https://a.example")
	if got.StatusCode != 500 || got.code(t) != "internal_error" || got.Header.Get("Access-Control-Allow-Origin") == "" || strings.Contains(string(got.body), "old") {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	s.wantCount(t, 1, "requests_total", "status=500")
	if s.logs.Len() != 1 {
		t.Fatalf("%d lines", s.logs.Len())
	}
}

type panicking struct{ memory }

func (*panicking) Append(_ context.Context, entries []journal.Entry) (int, error) {
	panic("with " + entries[0].PreviousID)
}

func TestNothingOfARequestIsLogged(t *testing.T) {
	s := start(t, testConfig())
	const canary = "c4n4ry"
	s.post(t, "/v1/alias?"+canary, `{"userId":"`+canary+`","previousId":"`+canary+`"}`, "Origin: "+canary)
	s.post(t, "/v1/"+canary, canary)
	s.send(t, "POST", "/v1/alias?writeKey="+canary, call)
	s.err = errors.New("disk")
	s.post(t, "/v1/alias", `{"userId":"`+canary+`"}`)
	s.server.journal = &panicking{}
	s.post(t, "/v1/alias", `{"previousId":"`+canary+`"}`)
	s.raw("POST /" + canary + " HTTP/9\r\n" + canary + "\r\n\r\n")
	for _, line := range s.logs.All() {
		if text := fmt.Sprint(line.Message, line.ContextMap()); strings.Contains(text, canary) || strings.Contains(text, testKey) {
			t.Errorf("logged: %s", text)
		}
	}
}

func TestNewRefusesSourcesThatCannotBeToldApart(t *testing.T) {
	for want, sources := range map[string]map[string]Source{
		"sources.a.write_key: required": {"a": {}},
		"sources.b.write_key: the same as that of sources.a": {
			"a": {WriteKey: adapter.NewSecret("k")}, "b": {WriteKey: adapter.NewSecret("k")},
		},
	} {
		config := DefaultConfig
		config.Sources = sources
		if _, err := New(config, &memory{}, zap.NewNop(), prometheus.NewRegistry()); err == nil || err.Error() != want {
			t.Errorf("%v, not %s", err, want)
		}
	}
	registry := prometheus.NewRegistry()
	for i := range 2 {
		if _, err := New(testConfig(), &memory{}, zap.NewNop(), registry); (err != nil) != (i == 1) {
			t.Errorf("%d: %v", i, err)
		}
	}
}
