package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"aka/router/admin"
	"aka/router/journal"
	"aka/router/journal/ledger"
	"aka/router/quarantine/quarantinetest"
)

// runningMerges is a server with a ledger and held aliases.
type runningMerges struct {
	*running
	held *quarantinetest.Stub
}

func newRunningMerges(t *testing.T) runningMerges {
	t.Helper()
	held := quarantinetest.Some()
	held.ErrNoAutoDecision = journal.ErrNoAutoDecision
	digest := func(id string) (d journal.Digest) {
		copy(d[:], id)
		return d
	}
	return runningMerges{newRunningWith(t, admin.Tokens{}, func(c *admin.Config) { c.Held, c.Digest = held, digest }), held}
}

func (a runningMerges) run(t *testing.T, args ...string) result {
	t.Helper()
	return runAka(t, append(append([]string{"merges"}, args...), "--admin", strings.TrimPrefix(a.url, "http://"))...)
}

func (a runningMerges) want(t *testing.T, args []string, code int, out string) {
	t.Helper()
	if got := a.run(t, args...); got.code != code || got.out != out {
		t.Errorf("%v: exit code %d, errors %q, out\n%swant\n%s", args, got.code, got.errOut, got.out, out)
	}
}

func (a runningMerges) wantError(t *testing.T, args []string, code int, message string) {
	t.Helper()
	if got := a.run(t, args...); got.code != code || got.out != "" || !strings.Contains(got.errOut, message) {
		t.Errorf("%v: exit code %d, out %q, errors\n%swant %d, %s", args, got.code, got.out, got.errOut, code, message)
	}
}

// storeMerges makes two entries. Their times are of today, and so are their numbers.
func (a runningMerges) storeMerges(t *testing.T) {
	t.Helper()
	at := time.Now().Add(-time.Hour)
	err := a.journal.AppendLedger(t.Context(), "vero", []journal.LedgerEntry{
		{Time: at, Source: "website", MessageID: "m1", Verdict: ledger.Sent, Status: 200, From: journal.Digest{'a'}, To: journal.Digest{'j', 'o', 'e'}, FromIDs: 1, ToIDs: 2, IDs: 3},
		{Time: at, Source: "app", MessageID: "m\x1b2", Verdict: ledger.Dropped, Rule: "known_users", By: ledger.ByRule, Reason: "merge_known_users", From: journal.Digest{'b'}, To: journal.Digest{'j', 'o', 'e'}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// columns are the rows of a table without the number and the time.
func columns(out string) (rows []string) {
	for _, line := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
		if cells := strings.Fields(line); len(cells) > 2 {
			rows = append(rows, strings.Join(cells[2:], " "))
		} else {
			rows = append(rows, line)
		}
	}
	return rows
}

func TestTheLedgerIsListed(t *testing.T) {
	a := newRunningMerges(t)
	a.want(t, []string{"list"}, exitDone, "no merges\n")
	a.storeMerges(t)
	head := "DESTINATION VERDICT RULE REASON STATUS IDS FROM TO MESSAGE ID"
	first, second := "vero sent - - 200 3 610000000000 6a6f65000000 m1", `vero dropped known_users merge_known_users - - 620000000000 6a6f65000000 "m\x1b2"`
	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, []string{head, second, first}},
		{[]string{"--id", "joe"}, []string{head, strings.Replace(second, "6a6f65000000", "joe", 1), strings.Replace(first, "6a6f65000000", "joe", 1)}},
		{[]string{"--id", "a"}, []string{head, strings.Replace(first, "610000000000", "a", 1)}},
		{[]string{"--rule", "known_users", "--verdict", "dropped", "--source", "app", "-d", "vero", "--since", "2h", "--until", "1s"}, []string{head, second}},
		{[]string{"--limit", "1"}, []string{head, second, "--limit lists them, aka merges export writes all"}},
	} {
		got := a.run(t, append([]string{"list"}, c.args...)...)
		if got.code != exitDone || !slices.Equal(columns(got.out), c.want) {
			t.Errorf("%v: exit code %d %s\n%s\nwant %q", c.args, got.code, got.errOut, got.out, c.want)
		}
	}
	var list admin.Merges
	if err := json.Unmarshal([]byte(a.run(t, "list", "--id", "joe", "-o", "json").out), &list); err != nil || len(list.Merges) != 2 || list.ID != "joe" || list.Merges[1].IDs != 3 {
		t.Errorf("%v: %+v", err, list)
	}
	a.wantError(t, []string{"list", "--verdict", "sold"}, exitFailed, `verdict: "sold" is not known`)
	a.wantError(t, []string{"list", "--id", ""}, exitFailed, "id: is empty")
	a.wantError(t, []string{"list", "--held", "--id", "joe"}, exitWrongUse, "held")
}

func TestTheLedgerIsListedOverAllPages(t *testing.T) {
	asked := []string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		page := admin.Merges{Merges: make([]admin.Merge, 5), Next: 77}
		if len(asked) == 3 {
			page.Next = 0
		}
		for i := range page.Merges {
			page.Merges[i].Verdict = ledger.Sent
		}
		_ = json.NewEncoder(w).Encode(page)
	}))
	defer server.Close()
	got := runAka(t, "merges", "list", "--limit", "1500", "-o", "json", "-d", "vero", "--admin", server.URL)
	var list admin.Merges
	if err := json.Unmarshal([]byte(got.out), &list); err != nil || len(list.Merges) != 15 || list.Next != 0 {
		t.Errorf("%d listed, %v %s", len(list.Merges), err, got.errOut)
	}
	want := []string{"destination=vero&limit=1000", "before=77&destination=vero&limit=1000", "before=77&destination=vero&limit=1000"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
}

func TestAnEntryOfTheLedgerIsShown(t *testing.T) {
	a := newRunningMerges(t)
	a.storeMerges(t)
	page, err := a.journal.Ledger(t.Context(), "", journal.LedgerFilter{}, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	number := jsonNumber(page.Entries[0].Number)
	got := a.run(t, "show", number)
	for _, want := range []string{"merge " + number + "\n", "  verdict      dropped\n", "  decided by   rule\n", "  from         62000000000000000000000000000000\n", "  message id   \"m\\x1b2\"\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in\n%s%s", want, got.out, got.errOut)
		}
	}
	err = a.journal.AppendLedger(t.Context(), "vero~dry", []journal.LedgerEntry{{Time: time.Now(), MessageID: "m3", Verdict: ledger.Sent, Dry: true}})
	if err != nil {
		t.Fatal(err)
	}
	if page, err = a.journal.Ledger(t.Context(), "vero~dry", journal.LedgerFilter{}, 0, 1); err != nil || len(page.Entries) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	if got := a.run(t, "show", jsonNumber(page.Entries[0].Number)); !strings.Contains(got.out, "  dry          yes: nothing was sent\n") || strings.Contains(a.run(t, "show", number).out, "  dry ") {
		t.Errorf("a dry one is\n%s%s", got.out, got.errOut)
	}
	a.wantError(t, []string{"show", "1000000000000001"}, exitFailed, "1000000000000001: the ledger has no entry of this number")
}

func jsonNumber(n uint64) string {
	text, _ := json.Marshal(n)
	return string(text)
}

func TestHeldAliasesAreListedAndShown(t *testing.T) {
	a := newRunningMerges(t)
	a.want(t, []string{"list", "--held", "--rule", "known_users", "--destination", "vero"}, exitDone, `ID  DESTINATION  RULE         SOURCE   HELD SINCE            VERDICT AT            WAITING  IDS  MESSAGE ID
1   vero         known_users  website  2026-01-02T03:04:05Z  2026-01-03T03:04:05Z  7        1+3  m1
2   vero         known_users  website  2026-01-02T04:04:05Z  2026-01-03T04:04:05Z  7        1+3  m2
`)
	a.want(t, []string{"list", "--summary"}, exitDone, `DESTINATION  RULE         SOURCE   COUNT  OLDEST
mixpanel     known_users  app      1      2026-01-02T06:04:05Z
vero         known_users  website  2      2026-01-02T03:04:05Z
vero         max_ids      app      1      2026-01-02T05:04:05Z
all                                4      
`)
	a.want(t, []string{"show", "3"}, exitDone, `held alias 3
  destination      vero
  rule             max_ids
  source           app
  type             alias
  message id       m3
  held since       2026-01-02T05:04:05Z
  verdict at       2026-01-03T05:04:05Z
  calls behind it  7
  like it          2 in the last hour
  from             01000000000000000000000000000000, 1 id
  to               02000000000000000000000000000000, 3 ids, a user since 2026-01-02T02:04:05Z, by source app
`)
	a.wantError(t, []string{"show", "9"}, exitFailed, "9: there is no held alias of this id")
	a.held.Aliases = nil
	a.want(t, []string{"list", "--held"}, exitDone, "no aliases are held\n")
	a.want(t, []string{"list", "--summary"}, exitDone, "no aliases are held\n")
}

func TestHeldAliasesAreDecidedAbout(t *testing.T) {
	a := newRunningMerges(t)
	a.want(t, []string{"approve", "3"}, exitDone, "approved 1 alias\n")
	a.want(t, []string{"approve", "--rule", "known_users", "--source", "website"}, exitDone, "approved 2 aliases\n")
	a.want(t, []string{"refuse", "--all"}, exitDone, "refused 1 alias\n")
	got := a.run(t, "refuse", "3")
	if got.code != exitFailed || !strings.Contains(got.errOut, "held alias 3: there is no held alias of this id") {
		t.Errorf("%+v", got)
	}
	if !slices.Equal(a.held.Approved, []uint64{3, 1, 2}) || !slices.Equal(a.held.Refused, []uint64{4}) {
		t.Errorf("approved %d, refused %d", a.held.Approved, a.held.Refused)
	}
	for _, args := range [][]string{{"approve"}, {"approve", "1", "--all"}, {"refuse", "1", "--rule", "max_ids"}, {"approve", "x"}, {"approve", "--all", "--rule", "max_ids"}, {"approve", "--until", "1h", "--all"},
		{"refuse", "--until", "1h", "--all"}, {"refuse", "--until", "1h"}, {"show"}, {"revoke", "vero"}, {"import"}, {"import", "file.csv"}} {
		if got := a.run(t, args...); got.code != exitWrongUse || got.out != "" {
			t.Errorf("%v: %+v", args, got)
		}
	}
	a.wantError(t, []string{"approve", "--rule", ""}, exitFailed, "rule: is empty")
}

// The command goes on until none is left, however few one request decides about.
func TestAllHeldAliasesAreDecidedAboutByManyRequests(t *testing.T) {
	a := newRunningMerges(t)
	a.held.AtOnce = 1
	a.want(t, []string{"refuse", "--all"}, exitDone, "refused 4 aliases\n")
	a.held.Aliases = quarantinetest.Some().Aliases
	a.want(t, []string{"approve", "--rule", "known_users", "-o", "json"}, exitDone, "{\n  \"success\": true,\n  \"count\": 3\n}\n")
	if !slices.Equal(a.held.Refused, []uint64{1, 2, 3, 4}) || !slices.Equal(a.held.Approved, []uint64{1, 2, 4}) {
		t.Errorf("refused %d, approved %d", a.held.Refused, a.held.Approved)
	}
}

func TestDecisionsInAdvanceAreListedAndRevoked(t *testing.T) {
	a := newRunningMerges(t)
	a.want(t, []string{"decisions"}, exitDone, "no decisions in advance\n")
	table := `DESTINATION  NUMBER  VERDICT   RULE         SOURCE   UNTIL
vero         1       approved  known_users  website  ` + time.Now().AddDate(0, 0, 7).UTC().Format("2006-01-02") + "T00:00:00Z\n"
	until := time.Now().AddDate(0, 0, 7).UTC().Format("2006-01-02") + "T00:00:00Z"
	a.want(t, []string{"approve", "--rule", "known_users", "--source", "website", "--until", until}, exitDone, table+"approved 2 aliases\n")
	a.want(t, []string{"decisions"}, exitDone, table)
	refusal := "vero         2       refused   max_ids      all      " + until + "\n"
	if got := a.run(t, "refuse", "--rule", "max_ids", "--until", until); got.code != exitDone || !strings.HasSuffix(got.out, "\nrefused 1 alias\n") {
		t.Errorf("%+v", got)
	}
	a.want(t, []string{"decisions"}, exitDone, table+refusal)
	a.want(t, []string{"revoke", "vero", "1"}, exitDone, "revoked decision 1 of vero\n")
	a.wantError(t, []string{"revoke", "vero", "1"}, exitFailed, "there is no automatic decision of this number")
}

func TestTheLedgerIsExported(t *testing.T) {
	a := newRunningMerges(t)
	a.storeMerges(t)
	got := a.run(t, "export", "--verdict", "dropped")
	if got.code != exitDone || strings.Count(got.out, "\n") != 1 || !strings.Contains(got.out, `"reason":"merge_known_users"`) {
		t.Errorf("%+v", got)
	}
	a.wantError(t, []string{"export", "--verdict", "sold"}, exitFailed, `verdict: "sold" is not known`)
}

func TestAnExportThatIsCutShortFails(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("{}\n"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	if got := runAka(t, "merges", "export", "--admin", server.URL); got.code != exitFailed || got.out != "{}\n" || !strings.Contains(got.errOut, "the export is not whole") {
		t.Errorf("%+v", got)
	}
}

func TestMergesFromBeforeAreImported(t *testing.T) {
	a := newRunningMerges(t)
	path := filepath.Join(t.TempDir(), "merged.csv")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("userId,previousId\nb,a\n,\nd,c\n")
	a.want(t, []string{"import", "--destination", "vero", path}, exitDone, `imported 2 pairs into the memory of vero
left out 1 bad rows:
  row 3 has an empty id
`)
	if !slices.Equal(a.held.Pairs, []string{"vero a>b", "vero c>d"}) {
		t.Errorf("imported %q", a.held.Pairs)
	}
	write("from,to\na,b\n\"" + strings.Repeat("x", 1<<20))
	a.wantError(t, []string{"import", "--destination", "vero", path}, exitFailed, "is a quotation mark missing? (1 pairs were taken before)")
	a.wantError(t, []string{"import", "--destination", "vero", path + ".gone"}, exitFailed, "no such file")
}
