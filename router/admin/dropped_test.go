package admin

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"aka/router/journal"
	"aka/router/segment"
)

func (f *fixture) keepDropped(t testing.TB, calls ...*journal.DeadLetter) {
	t.Helper()
	for i, d := range calls {
		d.Position = journal.Position{Seq: uint64(i + 1)}
		d.First, d.Last = time.Now(), time.Now()
		d.Entry.JSON = []byte(`{"type":"alias"}`)
		d.Entry.ReceivedAt = day
	}
	if err := f.journal.KeepDropped(t.Context(), calls); err != nil {
		t.Fatal(err)
	}
}

func droppedAlias(destination, reason, messageID, from, to string) *journal.DeadLetter {
	return &journal.DeadLetter{Destination: destination, Reason: reason, Entry: journal.Entry{Source: "website",
		Message: segment.Message{Header: segment.Header{Type: segment.Alias, MessageID: messageID, PreviousID: from, UserID: to}}}}
}

func TestDroppedCallsAreListedCountedShownReplayedAndDiscarded(t *testing.T) {
	f := newFixture(t)
	f.want(t, "GET", "/dropped", "", 200, `{"dropped_calls":[]}`)
	f.want(t, "GET", "/dropped/summary", "", 200, `{"dropped_calls":[],"count":0,"bytes":0}`)
	f.keepDropped(t, droppedAlias("vero", "blocked_id", "m1", "null", "jane"), droppedAlias("vero", "alias_taken", "m2", "a", "b"), droppedAlias("vero", "blocked_id", "m3", "null", "joe"))
	f.keepDropped(t, droppedAlias("mixpanel", "blocked_id", "m1", "null", "jane"))
	for query, want := range map[string]string{
		"": "m1 m2 m3 m1 ", "?destination=vero&reason=blocked_id": "m1 m3 ", "?type=alias&limit=1": "m1 ", "?source=website&message_id=m2": "m2 ", "?since=1h&id=joe": "m3 ", "?before=1h": "",
	} {
		var page DroppedCalls
		f.ask(t, "GET", "/dropped"+query, "", &page)
		got := ""
		for _, d := range page.DeadLetters {
			got += d.MessageID + " "
		}
		if got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	var summary DroppedSummary
	f.ask(t, "GET", "/dropped/summary", "", &summary)
	if got := fmt.Sprint(len(summary.DeadLetters), summary.Count, summary.DeadLetters[2].Count); got != "3 4 2" {
		t.Errorf("summary %s", got)
	}
	var one DeadLetter
	f.ask(t, "GET", "/dropped/2", "", &one)
	if one.Reason != "alias_taken" || string(one.Call) != `{"type":"alias"}` || one.Blocking {
		t.Errorf("%+v", one)
	}
	f.want(t, "POST", "/dropped/2/replay", "", 200, `{"success":true,"count":1}`)
	f.want(t, "POST", "/dropped/replay?destination=vero&reason=blocked_id", "", 200, `{"success":true,"count":2}`)
	f.want(t, "DELETE", "/dropped/4", "", 200, `{"success":true,"count":1}`)
	f.want(t, "POST", "/dropped/discard", "", 200, `{"success":true,"count":0}`)
	if calls, _ := f.journal.Head(); calls != 3 {
		t.Errorf("%d calls were put back, want 3", calls)
	}
}

func TestWhatIsNotUnderstoodOfDroppedCallsIsRefused(t *testing.T) {
	f := newFixture(t)
	f.storeDeadLetter(t, deadLetter{destination: "vero"})
	for path, want := range map[string][2]any{
		"/dropped?reason=refused": {400, "unknown_reason"},
		"/dropped?after=x":        {400, "invalid_after"},
		"/dropped/1":              {404, "not_found"},
	} {
		var body errorBody
		if status := f.ask(t, "GET", path, "", &body); status != want[0] || body.Code != want[1] {
			t.Errorf("%s: %d %+v", path, status, body)
		}
	}
}

func TestTheListOfDroppedCallsMasksIDsForATokenThatOnlyReads(t *testing.T) {
	f, g := newFixture(t), &guarded{dir: t.TempDir()}
	f.keepDropped(t, droppedAlias("vero", "blocked_id", "m1", "zoë@email.com", "507f191e81"))
	g.write(t, "full", fullToken)
	g.write(t, "read", readToken)
	g.Server = f.another(func(c *Config) { c.Tokens = Tokens{TokenFile: g.path("full"), ReadTokenFile: g.path("read")} })
	var page DroppedCalls
	if err := json.Unmarshal(g.ask("GET /dropped", bearer(readToken)).Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	if d := page.DeadLetters[0]; d.UserID != "50…81" || d.PreviousID != "zo…om" || !d.Masked {
		t.Errorf("%+v", d)
	}
}
