package cli

import (
	"strings"
	"testing"
	"time"

	"aka/router/journal"
	"aka/router/segment"
)

func (a *running) keepDropped(t *testing.T, destination, reason, messageID string) {
	t.Helper()
	a.stored++
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	must(t, a.journal.KeepDropped(t.Context(), []*journal.DeadLetter{{
		Destination: destination, Reason: reason, First: at, Last: at, Position: journal.Position{Seq: a.stored},
		Entry: journal.Entry{Source: "website", Message: segment.Message{
			Header: segment.Header{Type: segment.Alias, MessageID: messageID, UserID: "b", PreviousID: "null", ReceivedAt: at, Timestamp: at},
			JSON:   []byte(`{"type":"alias","userId":"b","previousId":"null"}`),
		}},
	}}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (a *running) wantDropped(t *testing.T, args string, code int, parts ...string) {
	t.Helper()
	got := runAka(t, append([]string{"dropped"}, append(strings.Fields(args), "--admin", strings.TrimPrefix(a.url, "http://"))...)...)
	if got.code != code {
		t.Errorf("%s: exit code %d, errors %q", args, got.code, got.errOut)
	}
	for _, part := range parts {
		if !strings.Contains(got.out+got.errOut, part) {
			t.Errorf("%s: there is no %q in\n%s%s", args, part, got.out, got.errOut)
		}
	}
}

func TestDroppedCallsAreListedShownReplayedAndDiscarded(t *testing.T) {
	a := newRunning(t)
	a.wantDropped(t, "list", exitDone, "no dropped calls\n")
	a.keepDropped(t, "vero", "blocked_id", "m1")
	a.keepDropped(t, "vero", "alias_taken", "m2")
	a.keepDropped(t, "mixpanel", "blocked_id", "m3")
	a.wantDropped(t, "list --reason blocked_id", exitDone, "1   vero         alias  blocked_id  -       0         2026-01-02T03:04:05Z  m1\n", "m3\n")
	a.wantDropped(t, "list --limit 1", exitDone, "and more; --after 1")
	a.wantDropped(t, "list --output json", exitDone, "{\n  \"dropped_calls\": [", `"message_id": "m2"`)
	a.wantDropped(t, "list --summary", exitDone, "vero         alias_taken  1", "all                       3")
	a.wantDropped(t, "list --summary --output json", exitDone, `"dropped_calls"`, `"count": 3`)
	a.wantDropped(t, "show 2", exitDone, "dropped call 2\n", "alias_taken: the id has a part in", `"previousId": "null"`)
	a.wantDropped(t, "show 9", exitFailed, "dropped call 9: there is no dropped call of this id")
	a.wantDropped(t, "replay", exitWrongUse, "expected ids, or --all")
	a.wantDropped(t, "replay one", exitWrongUse, "expected the id of a dropped call, a number")
	a.wantDropped(t, "replay --all --reason refused", exitFailed, `reason: "refused" is not known`)
	a.wantDropped(t, "replay --all --destination vero --reason blocked_id", exitDone, "replayed 1 dropped call\n")
	a.wantDropped(t, "replay 2", exitDone, "replayed 1 dropped call\n")
	a.wantDropped(t, "discard --all", exitDone, "discarded 1 dropped call\n")
	a.wantDropped(t, "list", exitDone, "no dropped calls\n")
}

func TestTheHelpOfDroppedCallsSpeaksOfThem(t *testing.T) {
	for _, command := range []string{"", "list", "show", "replay", "discard"} {
		help := runAka(t, append([]string{"dropped"}, append(strings.Fields(command), "--help")...)...).out
		text := strings.ReplaceAll(help, "dead_letters.replay_rate", "")
		if strings.Contains(text, "dead") || strings.Contains(text, "refused") || !strings.Contains(text, "dropped") {
			t.Errorf("%s: %s", command, help)
		}
	}
}
