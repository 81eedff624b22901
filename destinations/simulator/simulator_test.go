package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestAddRefuses(t *testing.T) {
	sim := startSimulator(t)
	if _, err := sim.Add("crm", "vero", Options{}); err != nil {
		t.Fatal(err)
	}
	for want, try := range map[string][3]string{
		"the name is taken":              {"crm", "vero"},
		"letters, digits":                {"_control", "vero"},
		"underscores":                    {"a/b", "vero"},
		"id_merge \"\" is not one of":    {"a", "mixpanel"},
		"id_merge \"new\" is not one of": {"a", "mixpanel", "new"},
	} {
		_, err := sim.Add(try[0], try[1], Options{IDMerge: try[2]})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", try, err, want)
		}
	}
}

func TestStartRefusesATakenAddress(t *testing.T) {
	sim := startSimulator(t)
	if _, err := Start(strings.TrimPrefix(sim.URL(), "http://")); err == nil {
		t.Error("two simulators have one address")
	}
}

func TestCloseTwice(t *testing.T) {
	sim := startSimulator(t)
	if err := sim.Close(); err != nil {
		t.Error(err)
	}
	if err := sim.Close(); err != nil {
		t.Error(err)
	}
}

func TestAClientThatHasEndedHasNoConnectionOnceWhatItSentWasRead(t *testing.T) {
	sim := startSimulator(t)
	c := addAccount(t, sim, "it", "vero", Options{})
	wantStatus(t, c.do(c.newUser("jane")), 200)
	if n := sim.Connections(); n != 1 {
		t.Errorf("%d connections of one client", n)
	}
	c.fault(Fault{Hang: true, When: After})
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := c.try(c.newUser("bob").WithContext(ctx))
		ended <- err
	}()
	c.await(func() bool { return len(c.Graph()) == 2 })
	end()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c.http.CloseIdleConnections()
	for deadline := time.Now().Add(5 * time.Minute); sim.Connections() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are open", sim.Connections())
		}
	}
}

func TestAccountsAreApart(t *testing.T) {
	sim := startSimulator(t)
	a := addAccount(t, sim, "a", "vero", Options{})
	b := addAccount(t, sim, "b", "vero", Options{})
	a.fault(Fault{Status: 500})
	wantStatus(t, a.do(a.newUser("jane")), 500)
	wantStatus(t, b.do(b.newUser("jane")), 200)
	a.wantGraph(Graph{})
	b.wantPeople("jane -> one person, 0 events")
	if got := a.Name() + a.Vendor() + a.Endpoint(); got != "avero"+sim.URL()+"/a/api/v2" {
		t.Errorf("account %s", got)
	}
	if sim.Account("c") != nil {
		t.Error("there is an account that nobody added")
	}
	for path, want := range map[string]int{"/c/e": http.StatusNotFound, "/healthz": http.StatusOK, "/healthz/e": http.StatusNotFound} {
		response, err := a.http.Get(sim.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, response.StatusCode, want)
		}
	}
}

func TestExchangesShowWhatCameAndNoSecret(t *testing.T) {
	sim := startSimulator(t)
	vero := addAccount(t, sim, "vero", "vero", Options{})
	kiss := addAccount(t, sim, "kiss", "kissmetrics", Options{})
	mix := addAccount(t, sim, "mix", "mixpanel", Options{IDMerge: "original"})
	const token = "s3cr3t-t0ken"
	vero.send("POST", "/users/track?auth_token="+token+"&a=b", object{"id": "jane", "auth_token": token})
	kiss.send("GET", "/e?_k="+token+"&_p=jane&_n=E", nil)
	mix.form("/track", `{"event":"E","properties":{"token":"`+token+`","distinct_id":"jane"}}`)
	mix.send("POST", "/engage", []any{object{"$token": token, "$distinct_id": "jane", "$set": object{}}})
	r := mix.newRequest("POST", "/import", []any{event("E", "jane", "i", object{"token": token})})
	r.SetBasicAuth(token, "")
	r.Header.Set("Cookie", token)
	mix.do(r)
	for _, account := range []*client{vero, kiss, mix} {
		shown, _ := json.Marshal(account.Exchanges())
		records, _ := json.Marshal(account.Records())
		for _, hidden := range []string{token, "czNjcjN0"} { // and its base64, of the Basic credentials
			if strings.Contains(string(shown)+string(records), hidden) {
				t.Errorf("%s shows a secret: %s", account.Name(), shown)
			}
		}
	}
	got := vero.Exchanges()[0]
	if got.At != noon || got.Method != "POST" || got.Path != "/api/v2/users/track" || got.Query.Get("a") != "b" || got.Status != 200 ||
		!reflect.DeepEqual(got.Records, []any{object{"id": "jane", "auth_token": secret}}) || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("exchange %+v", got)
	}
}

func TestDigestTellsEqualBytes(t *testing.T) {
	c := openVero(t)
	c.do(c.newUser("jane"))
	c.do(c.newUser("jane"))
	c.do(c.newUser("bob"))
	all := c.Exchanges()
	if all[0].Digest != all[1].Digest || all[0].Digest == all[2].Digest || len(all[0].Digest) != 32 {
		t.Errorf("digests %s %s %s", all[0].Digest, all[1].Digest, all[2].Digest)
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	c := openAccount(t, "vero", Options{MaxExchanges: 3, MaxRecords: 2})
	for i := range 5 {
		c.do(c.newUser(fmt.Sprint("u", i)))
	}
	stats := c.Stats()
	if stats.Exchanges != 5 || stats.ExchangesCut != 2 || stats.Records != 5 || stats.RecordsCut != 3 {
		t.Errorf("stats %+v", stats)
	}
	if got := c.Exchanges(); len(got) != 3 || !holds(got[0].Records, "u2") {
		t.Errorf("exchanges %+v, want the last three", got)
	}
	if got := c.Records(); len(got) != 2 || got[1].IDs[0] != "u4" {
		t.Errorf("records %+v, want the last two", got)
	}
	c.wantPeople("u0 -> one person, 0 events", "u1 -> one person, 0 events")
	if stats.GraphCut == 0 {
		t.Error("the graph left people out and does not say so")
	}
}

func TestExchangesAreBoundedInBytes(t *testing.T) {
	c := openAccount(t, "vero", Options{MaxExchangeBytes: 10_000})
	for range 5 {
		c.send("POST", "/users/track", object{"auth_token": "tok", "id": "jane", "data": object{"x": strings.Repeat("x", 3000)}})
	}
	if got := c.Stats(); got.Exchanges != 5 || got.ExchangesCut != 3 {
		t.Errorf("stats %+v, want 2 of 5 kept", got)
	}
	c.send("POST", "/users/track", object{"auth_token": "tok", "id": "jane", "data": object{"x": strings.Repeat("x", 30_000)}})
	if got := len(c.Exchanges()); got != 1 {
		t.Errorf("%d exchanges, want the last one however large", got)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	const most = 10_000
	c := openAccount(t, "vero", Options{MaxBody: most})
	wantStatus(t, c.send("POST", "/users/track", make([]byte, most)), http.StatusBadRequest)
	wantStatus(t, c.send("POST", "/users/track", make([]byte, most+1)), http.StatusRequestEntityTooLarge)
	mix := openAccount(t, "mixpanel", Options{IDMerge: "legacy", MaxBody: most})
	bomb := gzipped(t, make([]byte, most+1))
	r := mix.newRequest("POST", "/import?strict=1", bomb)
	r.Header.Set("Content-Encoding", "gzip")
	r.SetBasicAuth("t", "")
	wantStatus(t, mix.do(r), http.StatusRequestEntityTooLarge)
}

func TestARequestThatStopsHalfwayLeavesNoTrace(t *testing.T) {
	c := openVero(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(c.Endpoint(), "/it/api/v2"), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "POST /it/api/v2/users/track HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"id\":")
	_ = conn.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, conn) // until the simulator has closed
	_ = conn.Close()
	if got := c.Stats(); got.Exchanges != 0 || got.Records != 0 {
		t.Errorf("stats %+v, want nothing", got)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	c := openVero(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Wait(ctx, func() bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want cancelled", err)
	}
	if err := c.Wait(ctx, func() bool { return true }); err != nil {
		t.Errorf("error %v, want none", err)
	}
}

func TestResetForgets(t *testing.T) {
	c := openAccount(t, "mixpanel", Options{IDMerge: "legacy"})
	c.verbs(alias("a", "b"))
	c.imports("t", event("E", "a", "i", nil))
	c.fault(Fault{Status: 500})
	c.Reset()
	if got := c.Stats(); got != (Stats{}) || len(c.Exchanges()) != 0 || len(c.Faults()) != 1 {
		t.Errorf("stats %+v, want nothing but the fault", got)
	}
	c.ClearFaults()
	c.verbs(alias("c", "b")) // b is free again
	c.imports("t", event("E", "a", "i", nil))
	c.wantRefusals()
	c.wantDuplicates(0)
}

// control calls the control API and decodes its answer.
func (c *client) control(method, path, body string, into any) int {
	c.t.Helper()
	base, _, _ := strings.Cut(c.Endpoint(), "/it")
	r, err := http.NewRequest(method, base+"/_control/accounts"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	got := c.do(r)
	if text, ok := into.(*string); ok {
		*text = got.body
	} else if err := json.Unmarshal([]byte(got.body), into); err != nil {
		c.t.Fatalf("%s %s: %q: %v", method, path, got.body, err)
	}
	return got.status
}

func TestControlReads(t *testing.T) {
	c := openAccount(t, "mixpanel", Options{IDMerge: "legacy"})
	var none []Record
	if c.control("GET", "/it/records", "", &none); none == nil {
		t.Error("no records are null, want an empty array")
	}
	c.imports("t", event("Viewed", "anon-1", "i1", nil), alias("anon-1", "jane"), merge("a", "b"))

	var graph Graph
	c.control("GET", "/it/graph", "", &graph)
	c.wantGraph(graph)
	var lines string
	c.control("GET", "/it/graph?format=text", "", &lines)
	if lines != "anon-1 + jane  ->  one person, 1 event\n" {
		t.Errorf("graph %q", lines)
	}
	var exchanges []Exchange
	c.control("GET", "/it/exchanges", "", &exchanges)
	if len(exchanges) != 1 || exchanges[0].Path != "/import" || len(exchanges[0].Records) != 3 || exchanges[0].Status != 200 {
		t.Errorf("exchanges %+v", exchanges)
	}
	var records []Record
	c.control("GET", "/it/records", "", &records)
	if !reflect.DeepEqual(records, c.Records()) || len(records) != 2 {
		t.Errorf("records %+v", records)
	}
	var refusals []Refusal
	c.control("GET", "/it/refusals", "", &refusals)
	if len(refusals) != 1 || refusals[0].Reason != "no_effect_in_legacy" || refusals[0].Kind != "merge" {
		t.Errorf("refusals %+v", refusals)
	}
	var stats Stats
	c.control("GET", "/it/stats", "", &stats)
	if stats != c.Stats() || stats.Records != 2 {
		t.Errorf("stats %+v", stats)
	}
	var accounts []struct{ Name, Vendor, Endpoint string }
	c.control("GET", "", "", &accounts)
	if len(accounts) != 1 || accounts[0].Name != "it" || accounts[0].Vendor != "mixpanel" || accounts[0].Endpoint != c.Endpoint() {
		t.Errorf("accounts %+v", accounts)
	}
	c.control("POST", "/it/reset", "", &stats)
	if stats != (Stats{}) {
		t.Errorf("stats %+v after a reset", stats)
	}
}

func TestControlSaysWhatItDoes(t *testing.T) {
	c := openVero(t)
	base, _, _ := strings.Cut(c.Endpoint(), "/it")
	for _, path := range []string{"/", "/_control", "/_control/"} {
		r, err := http.NewRequest("GET", base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := c.do(r)
		if got.status != 200 || got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: status %d, %s", path, got.status, got.header.Get("Content-Type"))
		}
		for _, want := range []string{
			"GET     /_control/accounts                 every account",
			"GET     /_control/accounts/NAME/graph      the people",
			"GET     /_control/accounts/NAME/exchanges  ",
			"GET     /_control/accounts/NAME/records    ",
			"GET     /_control/accounts/NAME/refusals   ",
			"DELETE  /_control/accounts/NAME/faults     ",
			"POST    /_control/accounts/NAME/reset      ",
			"curl -d '" + faultToTry + "' " + base + "/_control/accounts/it/faults\n",
		} {
			if !strings.Contains(got.body, want) {
				t.Errorf("%s: got\n%s\nwant in it %s", path, got.body, want)
			}
		}
	}
	var shown []map[string]any
	if status := c.control("POST", "/it/faults", faultToTry, &shown); status != 200 || len(shown) != 1 {
		t.Errorf("the fault to try: status %d, faults %v", status, shown)
	}
}

func TestControlSetsFaults(t *testing.T) {
	c := openVero(t)
	var shown []map[string]any
	status := c.control("POST", "/it/faults",
		`[{"status": 429, "header": {"Retry-After": "7"}, "times": 2}, {"hang": true, "when": "after", "delay": "150ms", "drip": "1s"}]`, &shown)
	if status != 200 || len(shown) != 2 || shown[0]["status"] != 429.0 || shown[1]["delay"] != "150ms" || shown[1]["drip"] != "1s" {
		t.Errorf("status %d, faults %v", status, shown)
	}
	if got := c.do(c.newUser("jane")); got.status != 429 || got.header.Get("Retry-After") != "7" {
		t.Errorf("answer %+v, want the fault's", got)
	}
	if c.control("GET", "/it/faults", "", &shown); shown[0]["times"] != 1.0 {
		t.Errorf("faults %v, want one left of the first", shown)
	}
	if c.control("DELETE", "/it/faults", "", &shown); len(shown) != 0 {
		t.Errorf("faults %v, want none", shown)
	}
	if c.control("POST", "/it/faults", `{"reset": true, "when": "after", "times": 1}`, &shown); len(shown) != 1 {
		t.Errorf("faults %v, want one", shown)
	}
}

func TestControlRefuses(t *testing.T) {
	c := openVero(t)
	for _, try := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/other/graph", "", 404, "no such account"},
		{"POST", "/it/faults", `{"status": 500, "time": 2}`, 400, "unknown field"},
		{"POST", "/it/faults", `{"status": 1}`, 400, "status 1"},
		{"POST", "/it/faults", `{}`, 400, "does nothing"},
		{"POST", "/it/faults", `{"delay": "soon"}`, 400, "delay"},
		{"POST", "/it/faults", `{"drip": 5}`, 400, "drip"},
		{"POST", "/it/faults", `{"status": 500} {"status": 500}`, 400, "faults"},
		{"POST", "/it/faults", `[{"status": 500}] []`, 400, "more than one"},
	} {
		var got map[string]string
		if status := c.control(try.method, try.path, try.body, &got); status != try.status || !strings.Contains(got["error"], try.want) {
			t.Errorf("%s %s %s: status %d %v, want %d %s", try.method, try.path, try.body, status, got, try.status, try.want)
		}
	}
	r := c.newRequest("DELETE", "/../../../_control/accounts/it/faults", nil)
	r.URL.Path = "/_control/accounts/it/faults"
	r.Header.Set("Origin", "https://example.com")
	wantStatus(t, c.do(r), http.StatusForbidden)
	if got := c.Faults(); len(got) != 0 {
		t.Errorf("faults %v, want none", got)
	}
}

func TestWindowForgetsByTimeAndNumber(t *testing.T) {
	w := newWindow(2)
	w.span = time.Minute
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	for _, step := range []struct {
		key  string
		at   time.Duration
		want bool
	}{
		{"a", 0, false}, {"a", time.Minute - 1, true}, {"a", time.Minute, false},
		{"b", time.Minute, false}, {"c", time.Minute, false}, {"a", time.Minute, false},
	} {
		if got := w.repeated(step.key, at(step.at)); got != step.want {
			t.Errorf("%+v: %v", step, got)
		}
	}
}
