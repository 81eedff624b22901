package adapter

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

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
		{"jane", "jane\u200b", SameIDs},
		{"\ufeffjane", "ja\u00adne", SameIDs},
		{"jane", "\u200b jane", SameIDs},
		{"jane", "jane\x00", SameIDs},
		{"null", "null\u200b", SameIDs},
		{"\u200b", "\u2060", SameIDs},
		{"jane doe", "janedoe", ""}, // a space is seen
		{"New", "new", ""},          // ids are case-sensitive; only the blocked ones are not
	} {
		h := &segment.Header{Type: segment.Alias, UserID: c.user, PreviousID: c.previous}
		if got := guard.Check(h); got != c.want {
			t.Errorf("alias of %.10q to %.10q: got %q, want %q", c.previous, c.user, got, c.want)
		}
	}
}

func TestIDsThatManyPeopleShareAreBlockedInAnyCase(t *testing.T) {
	guard := NewGuard(nil)
	ids := []string{
		"00000000-0000-0000-0000-000000000000", "anon", "Anonymous", "NIL", "none", "Null", "N/A", "na", "undefined", "Unknown",
		"<nil>", "0", "-1", "True", "false", "[]", "{}", "MISSING",
		"NaN", "[object Object]", "[object Undefined]", "(null)", "<null>", "(None)", "<NA>",
		"0.0", "0.", ".0", "00", "-0", "+0", "-0.00", "0,0", "(0)",
		"{00000000-0000-0000-0000-000000000000}", "(00000000-0000-0000-0000-000000000000)", "00000000000000000000000000000000",
		"null\u200b", "\ufeffnull", "n\u00adull", "\u2060undefined", "null\ufe0f", "n u l l", "\u00a0null", "null\u3000", "\u202enull",
		"[object\u00a0Object]", "0\u200b", "0\u2009000",
		"\u200b", "\u2060\ufeff", "\u3164", "\u00ad", " ", "\u2003",
		"\x00", "null\x00", "jane\x00", "jane\tdoe", "jane\u0085", "\x1b[0m", "\x7fjane",
		"J\ufffdrg", "J\xf6rg",
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
	for _, id := range []string{
		"1", "-10", "nullable", "anonymous-1", "anna", "guest", "jane doe", "0.1", "100", "0e12345", "00000000-0000-0000-0000-000000000001",
		"می\u200cخواهم", "👩\u200d🚀", "❤\ufe0f", "-", "()", "{a}",
	} {
		if got := guard.Check(&segment.Header{Type: segment.Track, UserID: id}); got != "" {
			t.Errorf("%q: got %q", id, got)
		}
	}
}

func TestBlockedIDsOfTheConfig(t *testing.T) {
	guard := NewGuard([]string{" Guest ", "", "Å\u200bSE"})
	for id, want := range map[string]Reason{"gu\u200best": BlockedID, "guest": BlockedID, "GUEST": BlockedID, "guests": "", "": "", "åse": BlockedID} {
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
	f.Add("jane", "jane\u200b", "\x00")
	f.Add("J\xf6rg", "{0-0}", "n\u00a0a")
	f.Fuzz(func(t *testing.T, user, previous, anonymous string) {
		guard := NewGuard(nil)
		reason := guard.Check(&segment.Header{Type: segment.Alias, UserID: user, PreviousID: previous, AnonymousID: anonymous})
		if reason == "" && (user == "" || previous == "" || user == previous) {
			t.Errorf("alias of %q to %q passed", previous, user)
		}
		for _, id := range []string{user, previous, anonymous} {
			mustGuard(t, id, reason == "")
		}
	})
}

// mustGuard checks what must hold of any id.
func mustGuard(t *testing.T, id string, passed bool) {
	t.Helper()
	if passed && id != "" && (len(id) > MaxIDLength || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl) || isPlaceholder(strings.ToLower(id))) {
		t.Errorf("%q passed", id)
	}
	if id == "" {
		return
	}
	if NewGuard([]string{id}).Check(&segment.Header{Type: segment.Track, UserID: strings.ToLower(id)}) == "" {
		t.Errorf("%q passed where it is blocked by the settings", id)
	}
	disguised := "\u200b" + id + "\u2060"
	if got := NewGuard(nil).Check(&segment.Header{Type: segment.Alias, UserID: id, PreviousID: disguised}); got != SameIDs {
		t.Errorf("alias of %q to %q: got %q", disguised, id, got)
	}
}

// What is passed over quickly is in no table, and follows no rule.
func TestOrdinaryIDsAreNoPlaceholders(t *testing.T) {
	for word := range placeholderWords {
		if len(word) > longestWord {
			t.Errorf("%q is longer than longestWord", word)
		}
	}
	for _, words := range []map[string]bool{prefixes, absent} {
		for word := range words {
			if strings.ContainsAny(word, "123456789") {
				t.Errorf("%q has a digit", word)
			}
		}
	}
	guard := NewGuard([]string{"507F191E810C19729DE860EA"})
	if !guard.Blocks("507f191e810c19729de860ea") || guard.Blocks("507f191e810c19729de860eb") {
		t.Error("the ids that the settings block do not count")
	}
}
