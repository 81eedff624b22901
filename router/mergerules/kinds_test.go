package mergerules

import (
	"strings"
	"testing"
)

func TestTheKindOfAnID(t *testing.T) {
	kinds := NewKinds(
		IDs{User: Patterns{"usr_*", "both-*"}, Device: Patterns{"anon-*", "both-*"}},
		map[string]IDs{
			"shop":  {User: Patterns{"*@*"}},
			"plain": {User: Patterns{}, Email: Patterns{"mail:*"}}, // an empty list changes nothing
		},
	)
	tests := []struct {
		name, source, id string
		kinds            *Kinds
		person           Person
		same             bool // the call's own anonymousId
		seen             bool // in the filter
		want             Kind
	}{
		{name: "nothing is known", id: "507f", want: User},
		{name: "a UUID alone is no evidence", id: laptop, want: User},
		{name: "the shape of an e-mail", id: email, want: Email},
		{name: "an e-mail as anonymousId", id: email, same: true, want: Email},
		{name: "the call's own anonymousId", id: laptop, same: true, want: Device},
		{name: "the memory", id: laptop, person: Person{IsDevice: true}, want: Device},
		{name: "the filter", id: laptop, seen: true, want: Device},
		{name: "a user is no device for the filter", id: "507f", person: Person{IsUser: true}, seen: true, want: User},
		{name: "a pattern of devices", kinds: kinds, id: "anon-1", want: Device},
		{name: "a pattern of users beats evidence", kinds: kinds, id: "usr_1", same: true, seen: true, person: Person{IsDevice: true}, want: User},
		{name: "two patterns, without evidence", kinds: kinds, id: "both-1", want: User},
		{name: "two patterns, with evidence", kinds: kinds, id: "both-1", seen: true, want: Device},
		{name: "a source's e-mails are users", kinds: kinds, source: "shop", id: email, want: User},
		{name: "a source keeps the other keys", kinds: kinds, source: "shop", id: "anon-1", want: Device},
		{name: "a source's users replace all others", kinds: kinds, source: "shop", id: "usr_1", same: true, want: Device},
		{name: "an empty list says nothing", kinds: kinds, source: "plain", id: "usr_1", same: true, want: User},
		{name: "patterns of e-mails replace their shape", kinds: kinds, source: "plain", id: email, want: User},
		{name: "a pattern of e-mails", kinds: kinds, source: "plain", id: "mail:jen", want: Email},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			j := &judge{merge: Merge{Source: test.source}, kinds: test.kinds, devices: set{test.id: test.seen}}
			if test.same {
				j.merge.AnonymousID = test.id
			}
			if got, _, unsure := j.kindOf(test.id, test.person); got != test.want || unsure {
				t.Errorf("got %s (unsure %v), want %s", got, unsure, test.want)
			}
		})
	}
}

func TestWhatCountsAsAUser(t *testing.T) {
	kinds := NewKinds(IDs{User: Patterns{"usr_*"}, Device: Patterns{"anon-*"}}, map[string]IDs{"shop": {User: Patterns{"*@*"}}})
	for _, test := range []struct {
		source, id, anonymous string
		kinds                 *Kinds
		want                  bool
	}{
		{id: "507f", want: true},
		{id: "507f", anonymous: laptop, want: true},
		{id: laptop, anonymous: laptop},
		{id: email},
		{id: "usr_1", anonymous: "usr_1", kinds: kinds, want: true},
		{id: "anon-1", kinds: kinds},
		{source: "shop", id: email, kinds: kinds, want: true},
	} {
		if got := test.kinds.CountsAsUser(test.source, test.id, test.anonymous); got != test.want {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}

func TestAUserByPatternIsAUserSinceItWasSeen(t *testing.T) {
	kinds := NewKinds(IDs{User: Patterns{"usr_*"}}, nil)
	w := newWorld(0)
	w.kinds = kinds
	w.note("usr_1", w.source, w.now)
	w.note("usr_2", w.source, w.now)
	w.later(day)
	if f, ok := Decide(w.alias("usr_1", "usr_2")); !ok || f.Rule != KnownUsers {
		t.Errorf("got %+v", f)
	}
}

func TestTheShapeOfAnEmail(t *testing.T) {
	for id, want := range map[string]bool{
		email: true, "a.b+c@x.co": true, "jen@localhost": false, "@x.co": false, "jen@": false, "jen@.": false, "jen@x.": false,
		"a@b@x.co": false, "jen @x.co": false, "jen": false, "": false, "@": false,
	} {
		if got := isEmail(id); got != want {
			t.Errorf("%q: got %v", id, got)
		}
	}
}

func TestTheBoundsOfPatterns(t *testing.T) {
	many := make(Patterns, MaxPatterns+1)
	for i := range many {
		many[i] = "x"
	}
	var keys []string
	ids := IDs{User: many, Email: Patterns{"ok", ""}, Device: Patterns{Pattern(strings.Repeat("x", MaxPatternLength+1))}}
	ids.Check(func(key, _ string, _ ...any) { keys = append(keys, key) })
	if got := strings.Join(keys, " "); got != "user email[1] device[0]" {
		t.Errorf("got %s", got)
	}
}
