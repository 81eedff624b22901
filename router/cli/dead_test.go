package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/router/admin"
	"aka/router/journal"
	"aka/router/segment"
)

func TestDeadLettersAreListed(t *testing.T) {
	a := newRunning(t)
	a.storeDeadLetter(t, "vero", "refused", 400, "m1")
	a.storeDeadLetter(t, "mixpanel", "too_old", 0, "m\x1b[2J2")
	a.storeDeadLetter(t, "vero", "refused", 422, "m3")
	table := `ID  DESTINATION  TYPE   REASON   STATUS  ATTEMPTS  LAST                  MESSAGE ID
1   vero         alias  refused  400     3         2026-01-02T03:04:05Z  m1
2   mixpanel     alias  too_old  -       3         2026-01-02T03:04:05Z  "m\x1b[2J2"
3   vero         alias  refused  422     3         2026-01-02T03:04:05Z  m3
`
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, table},
		{[]string{"--destination", "mixpanel"}, `ID  DESTINATION  TYPE   REASON   STATUS  ATTEMPTS  LAST                  MESSAGE ID
2   mixpanel     alias  too_old  -       3         2026-01-02T03:04:05Z  "m\x1b[2J2"
`},
		{[]string{"--reason", "too_old", "--destination", "vero"}, "no dead letters\n"},
		{[]string{"--since", "1h"}, "no dead letters\n"},
		{[]string{"--before", "2026-01-01T00:00:00Z"}, "no dead letters\n"},
		{[]string{"--type", "alias", "--source", "website", "--id", "a", "--status", "0", "--message-id", "m\x1b[2J2"}, `ID  DESTINATION  TYPE   REASON   STATUS  ATTEMPTS  LAST                  MESSAGE ID
2   mixpanel     alias  too_old  -       3         2026-01-02T03:04:05Z  "m\x1b[2J2"
`},
		{[]string{"--after", "1", "--until", "1"}, "no dead letters\n"},
		{[]string{"--since", "2026-01-01T00:00:00Z", "--limit", "0"}, table},
		{[]string{"--limit", "1"}, `ID  DESTINATION  TYPE   REASON   STATUS  ATTEMPTS  LAST                  MESSAGE ID
1   vero         alias  refused  400     3         2026-01-02T03:04:05Z  m1
and more; --after 1 lists the next, --limit 0 all
`},
	} {
		a.want(t, append([]string{"list"}, c.args...), exitDone, c.want)
	}
}

func TestDeadLettersAreListedOverAllPages(t *testing.T) {
	asked := []string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		page := admin.DeadLetters{DeadLetters: make([]admin.DeadLetter, admin.MaxList)}
		if len(asked) == 1 {
			page.Next = 1700
		} else {
			page.DeadLetters = page.DeadLetters[:7]
		}
		_ = json.NewEncoder(w).Encode(page)
	}))
	defer server.Close()
	got := runAka(t, "dead", "list", "--limit", "0", "--output", "json", "--destination", "vero", "--admin", server.URL)
	var list admin.DeadLetters
	if err := json.Unmarshal([]byte(got.out), &list); err != nil || len(list.DeadLetters) != admin.MaxList+7 || list.Next != 0 {
		t.Errorf("%d listed, next %d: %v %s", len(list.DeadLetters), list.Next, err, got.errOut)
	}
	if want := "[destination=vero&limit=1000 after=1700&destination=vero&limit=1000]"; fmt.Sprint(asked) != want {
		t.Errorf("asked %s, want %s", asked, want)
	}
}

func TestTheJSONOfAListIsWholeHoweverManyPagesItHas(t *testing.T) {
	a := newRunning(t)
	a.want(t, []string{"list", "--output", "json"}, exitDone, "{\n  \"dead_letters\": []\n}\n")
	for i := range 3 {
		a.storeDeadLetter(t, "vero", "refused", 400, fmt.Sprint("<m", i, ">"))
	}
	for limit, next := range map[int]uint64{0: 0, 2: 2, 3: 0} {
		got := a.run(t, "list", "--output", "json", "--limit", fmt.Sprint(limit))
		var list admin.DeadLetters
		if err := json.Unmarshal([]byte(got.out), &list); err != nil || list.Next != next || list.DeadLetters[1].MessageID != "<m1>" {
			t.Errorf("limit %d: %v %+v", limit, err, list)
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, []byte(got.out), "", "  "); err != nil || indented.String() != got.out {
			t.Errorf("limit %d: got %s", limit, got.out)
		}
	}
}

func TestDeadLettersAreCounted(t *testing.T) {
	a := newRunning(t)
	a.want(t, []string{"list", "--summary"}, exitDone, "no dead letters\n")
	a.storeDeadLetter(t, "vero", "refused", 400, "m1")
	a.storeDeadLetter(t, "mixpanel", "too_old", 0, "m2")
	a.storeDeadLetter(t, "vero", "refused", 422, "m3")
	var summary admin.DeadSummary
	if err := json.Unmarshal([]byte(a.run(t, "list", "--summary", "-o", "json").out), &summary); err != nil || summary.Count != 3 {
		t.Fatalf("%v: %+v", err, summary)
	}
	size := []uint64{summary.DeadLetters[0].Bytes, summary.DeadLetters[1].Bytes, summary.Bytes}
	a.want(t, []string{"list", "--summary"}, exitDone, fmt.Sprintf(`DESTINATION  REASON   COUNT  BYTES
mixpanel     too_old  1      %d
vero         refused  2      %d
all                   3      %d
`, size[0], size[1], size[2]))
	a.want(t, []string{"list", "--summary", "-d", "vero"}, exitDone, fmt.Sprintf(`DESTINATION  REASON   COUNT  BYTES
vero         refused  2      %d
all                   2      %d
`, size[1], size[1]))
}

func TestADeadLetterIsShown(t *testing.T) {
	a := newRunning(t)
	a.storeDeadLetter(t, "vero", "refused", 400, "m\u202e1")
	a.want(t, []string{"show", "1"}, exitDone, `dead letter 1
  destination  vero
  type         alias
  reason       refused: the vendor's answer says that it will never take this call: correct what the answer names, then replay or discard it
  detail       not a user
  status       400
  attempts     3
  first        2026-01-02T03:03:05Z
  last         2026-01-02T03:04:05Z
  received     2026-01-02T03:03:05Z
  source       website
  message id   "m\u202e1"
  call  {
    "type": "alias",
    "userId": "b\u202e\udb40\udc01",
    "n": 12345678901234567890
  }
`)
	got := a.run(t, "show", "1", "--output", "json")
	var deadLetter explainedDeadLetter
	if err := json.Unmarshal([]byte(got.out), &deadLetter); err != nil || deadLetter.Reason != "refused" || !strings.HasPrefix(deadLetter.Why, "the vendor's answer") || deadLetter.MessageID != "m\u202e1" || !strings.Contains(string(deadLetter.Call), `12345678901234567890`) {
		t.Errorf("%v: %+v", err, deadLetter)
	}
	a.wantError(t, []string{"show", "9"}, exitFailed, "dead letter 9: there is no dead letter of this id")
}

func TestDeadLettersAreReplayedById(t *testing.T) {
	a := newRunning(t)
	a.storeDeadLetter(t, "vero", "refused", 400, "m1")
	a.storeDeadLetter(t, "vero", "refused", 400, "m2")
	a.storeDeadLetter(t, "gone", "refused", 400, "m3")
	a.want(t, []string{"replay", "2"}, exitDone, "replayed 1 dead letter\n")
	got := a.run(t, "replay", "1", "2", "3")
	if got.code != exitFailed || got.out != "replayed 1 dead letter\n" || !strings.HasPrefix(got.errOut, "aka: dead letter 2: there is no") {
		t.Errorf("%+v", got)
	}
	a.wantError(t, []string{"replay", "3"}, exitFailed, "dead letter 3 is for gone, which is not configured any more")
	if calls, _ := a.journal.Head(); calls != 2 {
		t.Errorf("%d calls in the journal, want 2", calls)
	}
}

func TestDeadLettersAreReplayedByFilters(t *testing.T) {
	a := newRunning(t)
	for i := range 5 {
		a.storeDeadLetter(t, "vero", "refused", 400, fmt.Sprint("v", i))
	}
	a.storeDeadLetter(t, "mixpanel", "refused", 400, "m")
	a.storeDeadLetter(t, "gone", "refused", 400, "g")
	a.want(t, []string{"replay", "--all", "--destination", "vero", "--limit", "2"}, exitDone,
		"replayed 2 dead letters\nthere are more that match; run it again for those, with --until 5 to leave alone what was stored since\n")
	a.want(t, []string{"replay", "--all", "-d", "vero", "--until", "5", "--rate", "100", "-o", "json"}, exitDone, "{\n  \"success\": true,\n  \"count\": 3\n}\n")
	a.want(t, []string{"replay", "--all"}, exitDone,
		"replayed 1 dead letter\nkept 1 dead letter of destinations that are not configured any more, or are of another type now\n")
	if calls, _ := a.journal.Head(); calls != 6 {
		t.Errorf("%d calls in the journal, want 6", calls)
	}
}

func TestDeadLettersAreDiscarded(t *testing.T) {
	a := newRunning(t)
	for i := range 4 {
		a.storeDeadLetter(t, "vero", "refused", 400, fmt.Sprint("v", i))
	}
	a.storeDeadLetter(t, "gone", "too_old", 0, "g")
	a.want(t, []string{"discard", "1", "3"}, exitDone, "discarded 2 dead letters\n")
	a.want(t, []string{"discard", "--all", "--reason", "too_old"}, exitDone, "discarded 1 dead letter\n")
	a.want(t, []string{"discard", "--all"}, exitDone, "discarded 2 dead letters\n")
	a.want(t, []string{"discard", "--all"}, exitDone, "discarded 0 dead letters\n")
	if calls, _ := a.journal.Head(); calls != 0 {
		t.Errorf("%d calls in the journal, want none", calls)
	}
}

// The server does only so much per request, and in the end an error comes.
func TestManyAreDecidedInManyRequestsAndWhatWasDoneBeforeAnErrorIsTold(t *testing.T) {
	asked := []string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		if len(asked) < 3 {
			_, _ = w.Write([]byte(`{"success":true,"count":1000,"skipped":3,"more":true,"until":4711}`))
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"success":false,"code":"stopped","message":"stopped before all was done","error":"…","count":7}`))
	}))
	defer server.Close()
	got := runAka(t, "dead", "replay", "--all", "--limit", "2500", "--message-id", "m", "--admin", server.URL)
	if got.code != exitFailed || !strings.HasPrefix(got.out, "replayed 2007 dead letters\n") || !strings.Contains(got.out, "--until 4711") {
		t.Errorf("%+v", got)
	}
	if want := "replayed 1000 dead letters so far\nreplayed 2000 dead letters so far\naka: stopped before all was done\n"; got.errOut != want {
		t.Errorf("got %s", got.errOut)
	}
	if want := "[limit=2500&message_id=m limit=1500&message_id=m&until=4711 limit=500&message_id=m&until=4711]"; fmt.Sprint(asked) != want {
		t.Errorf("asked %s, want %s", asked, want)
	}
}

func TestNothingIsChosenByMistake(t *testing.T) {
	a := newRunning(t)
	a.storeDeadLetter(t, "vero", "refused", 400, "m1")
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"discard", exitWrongUse, "expected ids, or --all for all that match the filters"},
		{"discard --destination vero", exitWrongUse, "expected ids, or --all for all that match the filters"},
		{"discard 1 --all", exitWrongUse, "expected ids, or --all and filters, not both"},
		{"discard 1 --reason refused", exitWrongUse, "expected ids, or --all and filters, not both"},
		{"discard 1 --limit 1", exitWrongUse, "expected ids, or --all and filters, not both"},
		{"discard one", exitWrongUse, `expected the id of a dead letter, a number, not "one"`},
		{"discard --all --limit -1", exitWrongUse, "invalid argument"},
		{"replay 1 --rate 5", exitWrongUse, "expected ids, or --all and filters, not both"},
		{"replay --all --rate 0", exitFailed, "rate: expected dead letters per second, at least 0.1"},
		{"discard --all --rate 5", exitWrongUse, "unknown flag: --rate"},
		{"discard --all --id=", exitFailed, "id: is empty"},
		{"discard --all --message-id=", exitFailed, "message_id: is empty"},
		{"discard --all --status bad", exitFailed, "status: expected an HTTP status"},
		{"list --summary --id u", exitWrongUse, "[id summary]"},
		{"discard --all --destination=", exitFailed, `destination: "" is not known; there are mixpanel, vero`},
		{"discard --all --since=", exitFailed, "since: expected a duration"},
		{"discard --all --reason bad", exitFailed, `reason: "bad" is not known; there are expired,`},
		{"show", exitWrongUse, "expected the id of a dead letter; aka dead list shows them"},
		{"list 1", exitWrongUse, "aka dead list takes no argument"},
		{"list --output xml", exitWrongUse, "expected one of table, json"},
	} {
		a.wantError(t, strings.Fields(c.args), c.code, c.want)
	}
	if _, err := a.journal.DeadLetter(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

func TestDeadAloneShowsItsCommands(t *testing.T) {
	if got := runAka(t, "dead"); got.code != exitDone || !strings.Contains(got.out, "aka dead replay --all") {
		t.Errorf("%+v", got)
	}
	if got := runAka(t, "dead", "lst"); got.code != exitWrongUse || !strings.Contains(got.errOut, `unknown command "lst" for "aka dead"`) {
		t.Errorf("%+v", got)
	}
}

func TestTheAdminAddressAndItsTokenAreTheConfigs(t *testing.T) {
	a := newRunningWithTokens(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, listen := range []string{"127.0.0.1:" + port, ":" + port, "0.0.0.0:" + port} {
		// The secrets are those of the server's environment, not of this shell's.
		path := writeConfig(t, fmt.Sprintf(`
sources: { website: { write_key: "${A_KEY_THAT_IS_NOT_HERE}" } }
destinations: { vero: { settings: { auth_token_file: /nowhere/token } } }
admin: { listen: %q, token_file: %q }
`, listen, a.tokens.TokenFile))
		got := runAka(t, "dead", "list", "--config", path)
		if got.code != exitDone || got.out != "no dead letters\n" {
			t.Errorf("%s: %+v", listen, got)
		}
	}
}

func TestTheTokenIsTakenFromWhereItIsGiven(t *testing.T) {
	a := newRunningWithTokens(t)
	a.storeDeadLetter(t, "vero", "refused", 400, "m1")
	full, read := a.tokens.TokenFile, a.tokens.ReadTokenFile
	const missing = "aka: token: required"
	config := func(text string) string {
		return writeConfig(t, "sources: { website: { write_key: k } }\ndestinations: { vero: { settings: { auth_token: t } } }\n"+
			"admin: { listen: \""+strings.TrimPrefix(a.url, "http://")+"\", "+text+" }\n")
	}
	for name, c := range map[string]struct {
		variable string
		args     []string
		code     int
		want     string
	}{
		"nowhere":                       {"", []string{"list", "--admin", a.url}, exitFailed, missing},
		"a flag":                        {"", []string{"list", "--admin", a.url, "--token-file", read}, exitDone, ""},
		"a variable":                    {readToken, []string{"list", "--admin", a.url}, exitDone, ""},
		"a flag before a variable":      {"wrong-token-for-sure", []string{"list", "--admin", a.url, "--token-file", full}, exitDone, ""},
		"a wrong variable":              {"wrong-token-for-sure", []string{"list", "--admin", a.url}, exitFailed, "aka: token: neither"},
		"a variable and a newline":      {readToken + "\n", []string{"list", "--admin", a.url}, exitFailed, "aka: $AKA_ADMIN_TOKEN: expected"},
		"an odd variable":               {"a\x01b", []string{"list", "--admin", a.url}, exitFailed, "aka: $AKA_ADMIN_TOKEN: expected"},
		"a file that is not there":      {"", []string{"list", "--admin", a.url, "--token-file", "/nowhere/token"}, exitFailed, "aka: --token-file /nowhere/token: no such file"},
		"the config":                    {"", []string{"list", "--config", config("token_file: " + full)}, exitDone, ""},
		"the config, to look":           {"", []string{"list", "--config", config("token_file: /nowhere/token, read_token_file: " + read)}, exitDone, ""},
		"the config, and may not":       {"", []string{"discard", "1", "--config", config("read_token_file: " + read)}, exitFailed, "aka: dead letter 1: token: it allows to read only"},
		"the config, but not there":     {"", []string{"list", "--config", config("token_file: /nowhere/token")}, exitFailed, "aka: the config's admin token, /nowhere/token: no such file"},
		"the config, another's address": {"", []string{"list", "--admin", a.url, "--config", config("token_file: " + full)}, exitFailed, missing},
		"a flag, to change":             {"", []string{"discard", "1", "--admin", a.url, "--token-file", full}, exitDone, ""},
	} {
		t.Setenv(tokenVariable, c.variable)
		got := runAka(t, append([]string{"dead"}, c.args...)...)
		if got.code != c.code || !strings.HasPrefix(got.errOut, c.want) || strings.Contains(got.errOut, "for-sure") {
			t.Errorf("%s: exit code %d, errors %q, want %d %s", name, got.code, got.errOut, c.code, c.want)
		}
	}
}

func TestAnAddressThatCannotBeAskedIsTold(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unused := closed.Addr().String()
	_ = closed.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	free := writeConfig(t, "sources: { website: { write_key: k } }\ndestinations: { vero: { settings: { auth_token: t } } }\nadmin: { listen: \"127.0.0.1:0\" }\n")
	broken := writeConfig(t, "admin: wrong\n")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--admin", unused}, exitFailed, "nothing listens at http://" + unused + ": aka must be running"},
		{[]string{"--admin", other.URL}, exitFailed, other.URL + " answers (404 Not Found), but not as aka's admin server does"},
		{[]string{"--admin", "9090"}, exitWrongUse, `--admin: expected host:port or a URL, not "9090"`},
		{[]string{"--admin", "ftp://a:1"}, exitWrongUse, `--admin: expected host:port or a URL, not "ftp://a:1"`},
		{[]string{"--admin", "a:http"}, exitWrongUse, `--admin: expected a port that can be asked, not "http"`},
		{[]string{"--config", free}, exitFailed, `admin.listen: expected a port that can be asked, not "0"; name the address with --admin`},
		{[]string{"--config", broken}, exitFailed, "no --admin, and no address in the config: " + broken + ":1: admin: expected a section of keys"},
	} {
		got := runAka(t, append([]string{"dead", "list"}, c.args...)...)
		if got.code != c.code || got.out != "" || !strings.HasPrefix(got.errOut, "aka: "+c.want) {
			t.Errorf("%v: exit code %d, out %q, errors %q, want %q", c.args, got.code, got.out, got.errOut, c.want)
		}
	}
}

func TestAnAddressToListenAtBecomesOneToAsk(t *testing.T) {
	for listen, want := range map[string]string{
		":9090":                       "http://127.0.0.1:9090",
		"0.0.0.0:9090":                "http://127.0.0.1:9090",
		"[::]:9090":                   "http://[::1]:9090",
		"10.1.2.3:9090":               "http://10.1.2.3:9090",
		"localhost:9090":              "http://localhost:9090",
		"https://aka.internal/admin/": "https://aka.internal/admin",
	} {
		if got, err := adminURL(listen); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", listen, got, err, want)
		}
	}
}

// running is an admin server over a real journal.
type running struct {
	journal *journal.Journal
	url     string
	tokens  admin.Tokens
	stored  uint64
}

func newRunning(t *testing.T) *running {
	return newRunningWith(t, admin.Tokens{}, func(*admin.Config) {})
}

const readToken = "read-token-of-admin"

func newRunningWithTokens(t *testing.T) *running {
	t.Helper()
	dir := t.TempDir()
	tokens := admin.Tokens{TokenFile: filepath.Join(dir, "full"), ReadTokenFile: filepath.Join(dir, "read")}
	for path, token := range map[string]string{tokens.TokenFile: "full-token-of-admin\n", tokens.ReadTokenFile: readToken} {
		if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return newRunningWith(t, tokens, func(*admin.Config) {})
}

func newRunningWith(t *testing.T, tokens admin.Tokens, change func(*admin.Config)) *running {
	t.Helper()
	registry := prometheus.NewRegistry()
	options := journal.DefaultOptions
	options.Dir = t.TempDir()
	j, err := journal.Open(t.Context(), options, zap.NewNop(), registry)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	config := admin.Config{
		Listen: "127.0.0.1:9090", Tokens: tokens, Destinations: func() []string { return []string{"mixpanel", "vero"} }, Journal: j, Metrics: registry, Logger: zap.NewNop(),
	}
	change(&config)
	server := httptest.NewServer(admin.New(config).Handler())
	t.Cleanup(server.Close)
	return &running{journal: j, url: server.URL, tokens: tokens}
}

// storeDeadLetter makes the next dead letter; the first one's id is 1.
func (a *running) storeDeadLetter(t *testing.T, destination, reason string, status int, messageID string) {
	t.Helper()
	a.stored++
	last := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	received := last.Add(-time.Minute)
	err := a.journal.StoreDeadLetters(t.Context(), []*journal.DeadLetter{{
		Destination: destination, Reason: reason, Detail: "not a user", Attempts: 3, Status: status,
		First: received, Last: last, Position: journal.Position{Seq: a.stored},
		Entry: journal.Entry{Source: "website", Message: segment.Message{
			Header: segment.Header{Type: segment.Alias, MessageID: messageID, UserID: "b", PreviousID: "a", ReceivedAt: received, Timestamp: received},
			JSON:   []byte("{\"type\":\"alias\",\"userId\":\"b\u202e\U000e0001\",\"n\":12345678901234567890}"),
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// run runs aka dead against the server.
func (a *running) run(t *testing.T, args ...string) result {
	t.Helper()
	args = append([]string{"dead"}, args...)
	return runAka(t, append(args, "--admin", strings.TrimPrefix(a.url, "http://"))...)
}

func (a *running) want(t *testing.T, args []string, code int, out string) {
	t.Helper()
	if got := a.run(t, args...); got.code != code || got.out != out {
		t.Errorf("%v: exit code %d, errors %q, out\n%swant\n%s", args, got.code, got.errOut, got.out, out)
	}
}

func (a *running) wantError(t *testing.T, args []string, code int, message string) {
	t.Helper()
	got := a.run(t, args...)
	if got.code != code || got.out != "" || !strings.Contains(got.errOut, message) {
		t.Errorf("%v: exit code %d, out %q, errors\n%swant %d, %s", args, got.code, got.out, got.errOut, code, message)
	}
}
