package cli

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aka/destinations/simulator"
	"aka/router/delivery"
	"aka/router/deststate"
)

func TestAFailureIsShownByTheVendorsStatusAndWords(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		failure delivery.Failure
		ago     time.Duration
		want    string
	}{
		{delivery.Failure{Kind: "never", Status: 400, Detail: "userId is required", Calls: 12}, 3*time.Minute + 20*time.Second,
			`400 Bad Request: "userId is required" x12, last 3m ago`},
		{delivery.Failure{Kind: "later", Status: 503, Calls: 1}, 2500 * time.Millisecond, "503 Service Unavailable x1, last 2s ago"},
		{delivery.Failure{Kind: "operator", Status: 401, Detail: `{"message":"bad token"}`, Calls: 2}, 5 * time.Hour,
			`401 Unauthorized: {"message":"bad token"} x2, last 5h ago`},
		{delivery.Failure{Kind: "split", Status: 413, Calls: 2}, -time.Second, "413 Request Entity Too Large x2, last 0s ago"},
		{delivery.Failure{Kind: "later", Status: 599, Calls: 2}, 49 * time.Hour, "599 x2, last 2d ago"},
		{delivery.Failure{Kind: "never", Status: 200, Detail: "no such property", Calls: 2}, 0, `200 OK, refused: "no such property" x2, last 0s ago`},
		{delivery.Failure{Kind: "not_the_vendor", Status: 200, Detail: "<html>Sign in</html>", Calls: 7}, time.Minute,
			`200 OK, not the vendor's answer: "<html>Sign in</html>" x7, last 1m ago`},
		{delivery.Failure{Kind: "timeout", Calls: 3}, time.Second, "no answer, timeout x3, last 1s ago"},
		{delivery.Failure{Kind: "private_address", Calls: 3}, time.Second, "no answer, private address x3, last 1s ago"},
		{delivery.Failure{Kind: "never", Status: 400, Detail: "two\n  lines\tof words", Calls: 1}, 0, `400 Bad Request: "two lines of words" x1, last 0s ago`},
		{delivery.Failure{Kind: "never", Status: 400, Detail: "\x1b[31mred", Calls: 1}, 0, `400 Bad Request: "\x1b[31mred" x1, last 0s ago`},
		{delivery.Failure{Kind: "never", Status: 400, Detail: strings.Repeat("é", 500), Calls: 1}, 0,
			`400 Bad Request: "` + strings.Repeat("é", mostWords) + `…" x1, last 0s ago`},
	} {
		c.failure.Last = now.Add(-c.ago)
		if got := lastFailure(&c.failure, now); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestTheStatusOfOneDestinationSaysHowManyRequestsItGets(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	spent := now.Add(90 * time.Second)
	for want, pace := range map[string]delivery.Pace{
		"in flight: up to 16 requests (concurrency: adaptive); last change 5m0s ago: start": {
			Concurrency: "adaptive", Limit: 16, Why: "start", Changed: now.Add(-5 * time.Minute)},
		"in flight: up to 44 requests (concurrency: adaptive, 2 to 64); last change 3s ago: 429; answers at a low load take 105ms; " +
			"learned rate: 48.5 requests per second; its quota is spent for 1m30s": {
			Concurrency: "adaptive, 2 to 64", Limit: 44, Why: "429", Changed: now.Add(-3 * time.Second), Latency: 0.105, LearnedRate: 48.5, QuotaSpent: &spent},
	} {
		var shown strings.Builder
		writeStatus(&shown, &delivery.Status{Name: "vero", Pace: pace}, now)
		if !strings.HasSuffix(shown.String(), "\n\n"+want+"\n") {
			t.Errorf("got %s\nwant %s", shown.String(), want)
		}
	}
}

func TestTheStatusOfOneDestinationListsItsLastFailures(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	vero := delivery.Status{Name: "vero", Vendor: "vero", DestinationState: delivery.StateOf(deststate.OK), Failures: []delivery.Failure{
		{Kind: "never", Status: 400, Detail: "userId is required", Calls: 12, Last: now.Add(-time.Minute)},
		{Kind: "timeout", Calls: 1, Last: now.Add(-time.Hour)},
	}}
	table := `DESTINATION  VENDOR  STATE  BACKLOG  OLDEST  PARKED  IN FLIGHT  LAST FAILURE
vero         vero    ok     0        -       0       0          400 Bad Request: "userId is required" x12, last 1m ago
`
	var all, one strings.Builder
	writeStatuses(&all, []delivery.Status{vero}, now)
	writeStatus(&one, &vero, now)
	if all.String() != table {
		t.Errorf("of all:\n%s", all.String())
	}
	want := table + `
last failures:
  400 Bad Request: "userId is required" x12, last 1m ago
  no answer, timeout x1, last 1h ago
`
	if one.String() != want {
		t.Errorf("of one:\n%s", one.String())
	}
}

func TestDestinationStatusNamesTheAnswerAndNoSecret(t *testing.T) {
	vendors := newSimulation(t, "vero")
	account := vendors.Account("vero")
	const token = "the-token-of-vero"
	if err := account.AddFaults(simulator.Fault{Status: 400, Body: "no account has the token " + token}); err != nil {
		t.Fatal(err)
	}
	ready := startProcess(t, "serve", "--config", writeConfig(t, `listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
sources: { website: { write_key: dev } }
destinations: { vero: { delivery: { allow_private: true }, settings: { auth_token: `+token+`, endpoint: "`+account.Endpoint()+`" } } }
journal: { dir: "`+filepath.Join(t.TempDir(), "data")+`" }
`)).line(t, "ready")
	post(t, ready.Listen, "dev", aliasOfJen)
	if err := account.Wait(t.Context(), func() bool { return len(account.Exchanges()) == 1 }); err != nil {
		t.Fatal(err)
	}
	var got result
	for deadline := time.Now().Add(5 * time.Minute); !strings.Contains(got.out, "400 Bad Request") && time.Now().Before(deadline); {
		got = runAka(t, "destination", "status", "vero", "--admin", ready.Admin)
	}
	for _, want := range []string{`400 Bad Request: "no account has the token <secret>" x1, last `, "last failures:\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not in\n%s%s", want, got.out, got.errOut)
		}
	}
	if json := runAka(t, "destination", "status", "vero", "--output", "json", "--admin", ready.Admin); !strings.Contains(json.out, `"kind": "never"`) || strings.Contains(json.out, token) {
		t.Errorf("as JSON it is\n%s%s", json.out, json.errOut)
	}
}

func TestDestinationStatusSaysWhatIsDry(t *testing.T) {
	dry := delivery.Status{Name: "vero~dry", Dry: true, Outcomes: []delivery.OutcomeCount{
		{Type: "track", Outcome: "would_send", Count: 2}, {Type: "alias", Outcome: "would_send", Count: 1}, {Type: "alias", Outcome: "dropped", Count: 4},
	}}
	var shown strings.Builder
	writeStatuses(&shown, []delivery.Status{dry, {Name: "mixpanel"}}, time.Now())
	if want := "\nvero~dry is dry: nothing is sent; since the start 3 calls would have been\n"; !strings.HasSuffix(shown.String(), want) || strings.Count(shown.String(), "is dry") != 1 {
		t.Errorf("it says %s", shown.String())
	}
}
