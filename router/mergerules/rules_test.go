package mergerules

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"aka/destinations/adapter"
)

const (
	laptop = "7f0cc7a7-7ce2-4b44-9d8b-0d6a2a3c9e51"
	phone  = "0b6a7c1e-2f6f-4a0e-8a0c-51c1c9d0a4b7"
	email  = "jen@example.com"
)

// step is one call of a flow.
type step func(*world) []Finding

func identify(user, device string) step {
	return func(w *world) []Finding { w.identify(user, device); return nil }
}

func alias(from, to string) step { return func(w *world) []Finding { return w.alias(from, to) } }

func aliasOf(from, to, device string) step {
	return func(w *world) []Finding { return w.aliasOf(from, to, device) }
}

func visit(device string) step { return func(w *world) []Finding { w.visit(device); return nil } }

func wait(by time.Duration) step { return func(w *world) []Finding { w.later(by); return nil } }

// rules are what a vendor may make of an alias.
var rules = map[string]adapter.MergeRule{"joins": adapter.MergeJoins, "renames": adapter.MergeRenames}

func TestTheFlowsOfTheVendorsPagesPass(t *testing.T) {
	const month = 30 * day
	flows := map[string][]step{
		"an e-mail becomes an id, which comes first":             {identify(email, ""), wait(month), identify("507f", ""), wait(month), alias(email, "507f")},
		"an e-mail becomes an id, which comes last":              {identify(email, ""), wait(month), alias(email, "507f"), wait(month), identify("507f", "")},
		"an id gets an e-mail":                                   {identify("507f", ""), wait(month), alias("507f", email)},
		"an e-mail with a device becomes an id":                  {visit(laptop), aliasOf(laptop, email, laptop), wait(month), identify("507f", ""), wait(month), alias(email, "507f")},
		"a device becomes a user":                                {visit(laptop), wait(month), aliasOf(laptop, "507f", laptop), identify("507f", laptop)},
		"a device becomes a user who was identified":             {visit(laptop), wait(month), identify("507f", laptop), wait(month), aliasOf(laptop, "507f", laptop)},
		"a server names the device":                              {visit(laptop), wait(month), identify("507f", laptop), wait(month), alias(laptop, "507f")},
		"a second device of one user":                            {aliasOf(laptop, "507f", laptop), wait(month), visit(phone), aliasOf(phone, "507f", phone)},
		"a second device of one user by e-mail":                  {aliasOf(laptop, email, laptop), wait(month), visit(phone), aliasOf(phone, email, phone)},
		"a device that has two aliases":                          {visit(laptop), aliasOf(laptop, email, laptop), wait(month), aliasOf(laptop, "507f", laptop)},
		"one device of a person takes another":                   {aliasOf(laptop, "507f", laptop), wait(month), visit(phone), aliasOf(phone, laptop, phone)},
		"somebody without an account whose userId is his device": {identify(laptop, laptop), wait(month), aliasOf(laptop, "507f", laptop)},
		"somebody without an account, who signs up":              {identify("cart-1", ""), wait(month), alias("cart-1", "507f")},
		"somebody without an account, who buys at once":          {identify("507f", ""), wait(month), identify("cart-1", ""), wait(time.Minute), alias("cart-1", "507f")},
		"a rename and back":                                      {identify("u-1", ""), wait(month), alias("u-1", "u-2"), wait(month), alias("u-2", "u-1"), wait(month), alias("u-1", "u-2")},
		"a repetition":                                           {aliasOf(laptop, "507f", laptop), wait(month), aliasOf(laptop, "507f", laptop), aliasOf(laptop, "507f", laptop)},
		"a sign-up that names its id before the alias":           {identify("u-1", ""), wait(month), identify("u-2", laptop), wait(time.Second), alias("u-1", "u-2")},
	}
	for vendor, rule := range rules {
		for name, steps := range flows {
			t.Run(vendor+"/"+name, func(t *testing.T) {
				w := newWorld(rule)
				for i, step := range steps {
					if found := step(w); len(found) > 0 {
						t.Fatalf("step %d: %+v", i, found)
					}
				}
			})
		}
	}
}

func TestFalseMergesAreStopped(t *testing.T) {
	const month = 30 * day
	flows := map[string]struct {
		steps   []step
		rule    Rule
		verdict Verdict
	}{
		"a second sign-up in one browser": {[]step{
			aliasOf(laptop, "user-1", laptop), aliasOf(laptop, "user-2", laptop),
		}, DeviceOfAnotherUser, Drop},
		"a second sign-up in one browser, by a server": {[]step{
			identify("user-1", laptop), alias(laptop, "user-1"), wait(month), alias(laptop, "user-2"),
		}, DeviceOfAnotherUser, Drop},
		"a second sign-up in one browser, by e-mail": {[]step{
			aliasOf(laptop, email, laptop), wait(month), aliasOf(laptop, "tom@example.com", laptop),
		}, DeviceOfAnotherUser, Drop},
		"two users by their devices": {[]step{
			aliasOf(laptop, "user-1", laptop), aliasOf(phone, "user-2", phone), visit(laptop), visit(phone), aliasOf(phone, laptop, phone),
		}, DeviceOfAnotherUser, Drop},
		"two identified users": {[]step{
			identify("user-1", ""), identify("user-2", ""), wait(month), alias("user-1", "user-2"),
		}, KnownUsers, Hold},
		"a shared e-mail": {[]step{
			identify("user-1", ""), alias("user-1", email), wait(month), identify("user-2", ""), wait(month), alias("user-2", email),
		}, KnownUsers, Hold},
		"swapped arguments": {[]step{
			identify("user-1", laptop), wait(month), aliasOf("user-1", laptop, laptop),
		}, Direction, Drop},
		"swapped arguments, by a server": {[]step{
			visit(laptop), identify("user-1", ""), wait(month), alias("user-1", laptop),
		}, Direction, Drop},
		"swapped arguments with an e-mail": {[]step{
			visit(laptop), wait(month), alias(email, laptop),
		}, Direction, Drop},
	}
	for name, flow := range flows {
		t.Run(name, func(t *testing.T) {
			w := newWorld(adapter.MergeJoins)
			last := len(flow.steps) - 1
			for i, step := range flow.steps[:last] {
				if found := step(w); len(found) > 0 {
					t.Fatalf("step %d: %+v", i, found)
				}
			}
			f, ok := Decide(flow.steps[last](w))
			if !ok || f.Rule != flow.rule || f.Verdict != flow.verdict || f.Reason != flow.rule.Reason() {
				t.Errorf("got %+v, want %s by %s", f, flow.verdict, flow.rule)
			}
		})
	}
}

func TestAPersonStopsGrowingAtMaxIDs(t *testing.T) {
	w := newWorld(adapter.MergeJoins)
	for i := 1; i <= 300; i++ {
		user := fmt.Sprintf("user-%d", i)
		w.identify(user, "").later(time.Second)
		f, ok := Decide(w.alias(user, email))
		if full := i >= w.rules.MaxIDs; ok != full || full && (f.Rule != MaxIDs || f.Verdict != Hold) {
			t.Fatalf("alias %d: %+v", i, f)
		}
	}
	if ids := w.Person(email).IDs; ids != w.rules.MaxIDs {
		t.Errorf("the person has %d ids, want %d", ids, w.rules.MaxIDs)
	}
}

func TestOnlyIDsWithinTheWindowCountForMaxIDs(t *testing.T) {
	w := newWorld(adapter.MergeJoins)
	for i := range 200 {
		if found := w.later(w.rules.MaxIDsPer/20).alias(fmt.Sprintf("a-%d", i), email); len(found) > 0 {
			t.Fatalf("alias %d: %+v", i, found)
		}
	}
	for i := range 60 { // a second person, just as slowly
		w.later(w.rules.MaxIDsPer/20).alias(fmt.Sprintf("b-%d", i), "tom@example.com")
	}
	w.rules.KnownUsers = Allow
	f, ok := Decide(w.later(400*day).alias("tom@example.com", email))
	if !ok || f.Rule != MaxIDs || f.From.IDs != 61 || f.To.IDs != 201 {
		t.Errorf("two large people: %+v", f)
	}
	if found := w.alias("one-more", email); len(found) > 0 {
		t.Errorf("one id more after a long time: %+v", found)
	}
}

func TestTheNewUserGrace(t *testing.T) {
	tests := map[string]struct {
		second string // the source of the second user
		wait   time.Duration
		want   bool
	}{
		"within":                      {"website", 9 * time.Minute, false},
		"at its end":                  {"website", 10 * time.Minute, true},
		"after":                       {"website", time.Hour, true},
		"another source named it":     {"server", time.Minute, true},
		"the alias is a little older": {"website", -9 * time.Minute, false},
		"the alias is much older":     {"website", -11 * time.Minute, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(adapter.MergeJoins)
			w.identify("user-1", "").later(30 * day)
			w.source = test.second
			w.identify("user-2", "").later(test.wait)
			w.source = "website"
			if f, ok := Decide(w.alias("user-1", "user-2")); ok != test.want || ok && f.Rule != KnownUsers {
				t.Errorf("got %+v, want it to fire: %v", f, test.want)
			}
		})
	}
}

func TestAUserOfUnknownAgeIsNotNew(t *testing.T) {
	old := people{"user-1": {IDs: 1, HasUser: true}, "user-2": {IDs: 1, HasUser: true, Partial: true}}
	m := Merge{From: "user-1", To: "user-2", FromName: "user-1", ToName: "user-2", At: time.Now()}
	f, ok := Decide(DefaultOptions.Judge(m, nil, old, nil))
	if !ok || f.Rule != KnownUsers || !f.Partial {
		t.Errorf("got %+v", f)
	}
}

// people are a People by their ids.
type people map[string]Person

func (p people) IsSame(a, b string) bool { return a == b }
func (p people) Person(id string) Person { return p[id] }

func TestTheVerdicts(t *testing.T) {
	for _, verdict := range Verdicts {
		w := newWorld(adapter.MergeJoins)
		w.rules.DeviceOfAnotherUser = verdict
		w.aliasOf(laptop, "user-1", laptop)
		found := w.aliasOf(laptop, "user-2", laptop)
		if verdict == Allow {
			if len(found) > 0 {
				t.Errorf("allow: %+v", found)
			}
			continue
		}
		if f, ok := Decide(found); !ok || f.Verdict != verdict {
			t.Errorf("%s: %+v", verdict, f)
		}
		if merged := w.IsSame("user-1", "user-2"); merged != (verdict == Observe) {
			t.Errorf("%s: merged is %v", verdict, merged)
		}
	}
}

func TestDecide(t *testing.T) {
	observe, hold, drop := Finding{Verdict: Observe}, Finding{Verdict: Hold, Rule: Direction}, Finding{Verdict: Drop, Rule: MaxIDs}
	for _, test := range []struct {
		found []Finding
		want  Verdict
		ok    bool
	}{
		{nil, "", false},
		{[]Finding{observe}, Observe, true},
		{[]Finding{observe, hold}, Hold, true},
		{[]Finding{hold, observe, drop, {Verdict: Drop}}, Drop, true},
	} {
		f, ok := Decide(test.found)
		if f.Verdict != test.want || ok != test.ok || ok && test.want == Drop && f.Rule != MaxIDs {
			t.Errorf("%+v: got %+v", test.found, f)
		}
	}
}

func TestEachRuleHasItsReasonAndTheOrderIsFixed(t *testing.T) {
	for _, rule := range All {
		if reason := rule.Reason(); reason.Explain() == "" || !slices.Contains(adapter.DropReasons, reason) {
			t.Errorf("%s: the reason %q is none", rule, reason)
		}
	}
	if Rule("other").Reason() != "" {
		t.Error("a word that is no rule has a reason")
	}
	all := DefaultOptions.Rules
	all.BlockedIDs, all.MaxIDs = Patterns{"user-*"}, 1
	device := Person{IDs: 2, HasUser: true, IsDevice: true}
	m := Merge{From: "user-1", To: laptop, FromName: "user-1", ToName: laptop}
	var order []Rule
	for _, f := range all.Judge(m, nil, people{"user-1": {IDs: 1, HasUser: true}, laptop: device}, nil) {
		order = append(order, f.Rule)
	}
	if !slices.Equal(order, All) {
		t.Errorf("got %v, want %v", order, All)
	}
}

func TestOnePersonAlreadyIsNoMerge(t *testing.T) {
	w := newWorld(adapter.MergeJoins)
	w.rules.BlockedIDs = Patterns{"*"}
	w.merged("user-1", "user-2", w.source, w.now)
	if found := w.alias("user-1", "user-2"); found != nil {
		t.Errorf("got %+v", found)
	}
	if found := w.alias("user-1", "user-1"); found != nil {
		t.Errorf("an id and itself: %+v", found)
	}
}

func TestBlockedIDsNeedNoMemory(t *testing.T) {
	r := DefaultOptions.Rules
	r.BlockedIDs = Patterns{"test-*"}
	for id, want := range map[string]bool{"test-1": true, "TEST-1": false, "a-test-1": false} {
		for _, m := range []Merge{{From: id, To: "u", FromName: id, ToName: "u"}, {From: "u", To: id, FromName: "u", ToName: id}} {
			f, ok := Decide(r.Judge(m, nil, nil, nil))
			if ok != want || want && (f.Verdict != Drop || f.Reason != adapter.MergeBlockedPattern) {
				t.Errorf("%+v: got %+v", m, f)
			}
		}
	}
}

func TestAGuessOnlyObserves(t *testing.T) {
	r := DefaultOptions.Rules
	m := Merge{From: "user-1", To: laptop, FromName: "user-1", ToName: laptop}
	f, ok := Decide(r.Judge(m, nil, nil, guess{laptop: true}))
	if !ok || f.Rule != Direction || f.Verdict != Observe {
		t.Errorf("the filter guesses: %+v", f)
	}
	m.AnonymousID = laptop
	if f, _ = Decide(r.Judge(m, nil, nil, guess{laptop: true})); f.Verdict != Drop {
		t.Errorf("the same call says so: %+v", f)
	}
}

func TestOtherCallsAreJudgedToo(t *testing.T) {
	w := newWorld(adapter.MergeJoins)
	w.aliasOf(laptop, "user-1", laptop)
	m := Merge{From: laptop, To: "user-2", AnonymousID: laptop, FromName: laptop, ToName: "user-2", Source: w.source, At: w.now}
	if f, ok := Decide(w.rules.Judge(m, nil, w, w.devices)); !ok || f.Rule != DeviceOfAnotherUser {
		t.Errorf("an identify with both ids: %+v", f)
	}
}

func BenchmarkJudge(b *testing.B) {
	w := newWorld(adapter.MergeJoins)
	w.identify("user-1", laptop)
	w.aliasOf(laptop, "user-1", laptop)
	w.rules.BlockedIDs = Patterns{"test-*", "*@example.org"}
	m := Merge{Alias: true, From: phone, To: "user-1", FromName: phone, ToName: "user-1", AnonymousID: phone, Source: w.source, At: w.now}
	b.ReportAllocs()
	for b.Loop() {
		if found := w.rules.Judge(m, nil, w, w.devices); len(found) > 0 {
			b.Fatal(found)
		}
	}
}

// renamed is a user who was renamed to his e-mail, as the memory tells it: the e-mail has the user, and was never named as one.
type renamed struct{ NoPeople }

func (renamed) Person(string) Person {
	return Person{IDs: 1, HasUser: true, UserSince: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func TestAUserWhoWasRenamedToAnEmailIsStillAUser(t *testing.T) {
	m := Merge{Alias: true, From: email, FromName: email, To: "507f", ToName: "507f", At: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}
	if f, ok := Decide(DefaultOptions.Judge(m, nil, renamed{}, nil)); !ok || f.Rule != KnownUsers || f.Verdict != Hold {
		t.Errorf("got %+v", f)
	}
}

// A device that a user was renamed to, by swapped arguments, and that was named as a user for that, has the user all the same.
func TestAUserWhoWasRenamedToADeviceIsStillAUser(t *testing.T) {
	for _, took := range []bool{true, false} {
		people := peopleOf(func(id string) Person {
			p := Person{IDs: 1, HasUser: true, IsUser: true, UserSince: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
			if id == laptop {
				p.IsDevice, p.TookUser = true, took
			}
			return p
		})
		m := Merge{Alias: true, From: laptop, FromName: laptop, To: "507f", ToName: "507f", AnonymousID: laptop, At: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}
		if _, fires := Decide(DefaultOptions.Judge(m, nil, people, nil)); fires != took {
			t.Errorf("a rule fires: %t, want %t", fires, took)
		}
	}
}

type peopleOf func(id string) Person

func (peopleOf) IsSame(a, b string) bool { return a == b }

func (p peopleOf) Person(id string) Person { return p(id) }
