package adapter

import (
	"strings"
	"testing"

	"aka/router/segment"
)

func TestAliasIsCheckedInOrder(t *testing.T) {
	long := strings.Repeat("x", MaxIDLength+1)
	guard := NewGuard([]string{"guest"})
	for _, c := range []struct {
		user, previous string
		want           Reason
	}{
		{"new", "old", ""},
		{"", "", MissingUserID},
		{"", "null", MissingUserID},
		{"null", "", MissingPreviousID},
		{long, "", MissingPreviousID},
		{"null", "null", SameIDs},
		{long, long, SameIDs},
		{"null", "old", BlockedID},
		{"new", "null", BlockedID},
		{"guest", long, BlockedID},
		{long, "guest", BlockedID},
		{long, "old", IDTooLong},
		{"new", long, IDTooLong},
		{"New", "new", ""}, // ids are case-sensitive; only the blocked ones are not
	} {
		h := &segment.Header{Type: segment.Alias, UserID: c.user, PreviousID: c.previous}
		if got := guard.Check(h); got != c.want {
			t.Errorf("alias of %.10q to %.10q: got %q, want %q", c.previous, c.user, got, c.want)
		}
	}
}

func TestIDsThatStandForNobodyAreBlockedInAnyCase(t *testing.T) {
	guard := NewGuard(nil)
	ids := []string{
		"00000000-0000-0000-0000-000000000000", "anon", "Anonymous", "NIL", "none", "Null", "N/A", "na", "undefined", "Unknown",
		"<nil>", "0", "-1", "True", "false", "[]", "{}", "MISSING",
	}
	for _, id := range ids {
		for _, kind := range segment.Types {
			h := segment.Header{Type: kind, UserID: id, AnonymousID: "a", PreviousID: "p"}
			if got := guard.Check(&h); got != BlockedID {
				t.Errorf("%s of user %q: got %q", kind, id, got)
			}
			h.UserID, h.AnonymousID = "u", id
			if got := guard.Check(&h); got != BlockedID {
				t.Errorf("%s with anonymousId %q: got %q", kind, id, got)
			}
		}
	}
	for _, id := range []string{"00", "1", "-10", "nullable", "anonymous-1", "anna"} {
		if got := guard.Check(&segment.Header{Type: segment.Track, UserID: id}); got != "" {
			t.Errorf("%q: got %q", id, got)
		}
	}
}

func TestBlockedIDsOfTheConfig(t *testing.T) {
	guard := NewGuard([]string{" Guest ", "", "ÅSE"})
	for id, want := range map[string]Reason{"guest": BlockedID, "GUEST": BlockedID, "guests": "", "": "", "åse": BlockedID} {
		if got := guard.Check(&segment.Header{Type: segment.Identify, UserID: id, AnonymousID: "a"}); got != want {
			t.Errorf("%q: got %q, want %q", id, got, want)
		}
	}
}

func TestIDLengthCountsBytes(t *testing.T) {
	guard := NewGuard(nil)
	for _, kind := range segment.Types {
		h := segment.Header{Type: kind, UserID: strings.Repeat("é", MaxIDLength/2), PreviousID: "p"}
		if got := guard.Check(&h); got != "" {
			t.Errorf("%s of %d bytes: got %q", kind, len(h.UserID), got)
		}
		h.UserID += "é"
		if got := guard.Check(&h); got != IDTooLong {
			t.Errorf("%s of %d bytes: got %q", kind, len(h.UserID), got)
		}
	}
}

func TestMissingIDsMatterToAliasOnly(t *testing.T) {
	guard := NewGuard(nil)
	for _, kind := range segment.Types {
		got := guard.Check(&segment.Header{Type: kind, AnonymousID: "a"})
		if (got != "") != (kind == segment.Alias) {
			t.Errorf("%s without userId: got %q", kind, got)
		}
	}
}

func TestNoAdapterSeesWhatTheGuardDrops(t *testing.T) {
	guard, spy := NewGuard(nil), &spyAdapter{}
	got := guard.Translate(spy, &segment.Call{Header: segment.Header{Type: segment.Track, UserID: "null"}})
	if got.Dropped != BlockedID || spy.calls != 0 {
		t.Errorf("got %+v, the adapter was asked %d times", got, spy.calls)
	}
	got = guard.Translate(spy, &segment.Call{Header: segment.Header{Type: segment.Track, UserID: "bob"}})
	if got.Dropped != NothingToSend || spy.calls != 1 {
		t.Errorf("got %+v, the adapter was asked %d times", got, spy.calls)
	}
}

type spyAdapter struct {
	Common
	calls int
}

func (s *spyAdapter) Translate(*segment.Call) Outcome {
	s.calls++
	return Drop(NothingToSend)
}

func FuzzGuard(f *testing.F) {
	f.Add("new", "old", "anon-1")
	f.Add("NULL", " null", "")
	f.Fuzz(func(t *testing.T, user, previous, anonymous string) {
		guard := NewGuard([]string{previous})
		reason := guard.Check(&segment.Header{Type: segment.Alias, UserID: user, PreviousID: previous, AnonymousID: anonymous})
		if reason == "" && (user == "" || previous == "" || user == previous || len(user) > MaxIDLength || blockedIDs[strings.ToLower(user)]) {
			t.Errorf("alias of %q to %q passed", previous, user)
		}
	})
}
