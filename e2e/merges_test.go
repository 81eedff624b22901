package e2e

import (
	"slices"
	"strings"
	"testing"

	"aka/e2e/harness"
)

// Two people sign up in one browser, and the page sends an alias of its device for each. The first one gets the device, and what
// the second one does later arrives under his own id.
func TestTwoSignUpsInOneBrowserAreTwoPeopleByAlias(t *testing.T) {
	joiners := mergers()[:4] // Vero has no devices: see TestADeviceIsRenamedOnceAtVero
	w := newWorld(t, harness.Setup{Destinations: joiners})
	w.Start()
	w.call("track", `{"anonymousId":"device-1","event":"Visited"}`)
	w.call("alias", `{"previousId":"device-1","userId":"user-1"}`)
	w.call("track", `{"userId":"user-1","event":"Bought"}`)
	w.call("alias", `{"previousId":"device-1","userId":"user-2"}`)
	w.call("identify", `{"userId":"user-2","traits":{"plan":"pro"}}`)
	w.call("track", `{"userId":"user-2","event":"Sold"}`)
	w.UntilAllEnded()
	for _, name := range namesOf(joiners) {
		w.expectApart(name, "user-1", "user-2")
		w.expectEvents(name, "user-2", "Sold")
		expectOutcome(w, 1, name, "alias", "delivered", "")
		expectOutcome(w, 1, name, "alias", "dropped", "merge_device_of_another_user")
		expectOutcome(w, 1, name, "identify", "delivered", "")
		if got := w.Metric("aka_merge_verdicts_total", harness.Of(name), `rule="device_of_another_user"`, `verdict="drop"`); got != 1 {
			t.Errorf("%s: %v verdicts are counted", name, got)
		}
	}
	w.Stop()
}

// Vero renames, and knows a device only where it was a userId before. The first user who signs up gets the device's history. No person has
// the device's id then: Vero refuses the second alias, and what the second user does arrives under his own id.
func TestADeviceIsRenamedOnceAtVero(t *testing.T) {
	w := newWorld(t, harness.Setup{Destinations: mergers()[4:]})
	w.Start()
	w.call("identify", `{"userId":"device-1","traits":{"plan":"free"}}`)
	w.call("track", `{"userId":"device-1","event":"Visited"}`)
	w.call("alias", `{"previousId":"device-1","userId":"user-1"}`)
	w.call("track", `{"userId":"user-1","event":"Bought"}`)
	w.call("alias", `{"previousId":"device-1","userId":"user-2"}`)
	w.call("identify", `{"userId":"user-2","traits":{"plan":"pro"}}`)
	w.call("track", `{"userId":"user-2","event":"Sold"}`)
	w.UntilAllEnded()
	w.expectApart("vero", "user-1", "user-2")
	w.expectEvents("vero", "user-1", "Bought", "Visited")
	w.expectEvents("vero", "user-2", "Sold")
	expectOutcome(w, 1, "vero", "alias", "delivered", "")
	expectOutcome(w, 1, "vero", "alias", "dead", "refused")
	w.Stop()
}

// A rename of 300 people to one e-mail succeeds once at Vero: the e-mail is taken then, and the others keep their ids. None of them is
// held, as each is new to its own source.
func TestVeroRenamesOneOfThreeHundredPeopleToASharedEmail(t *testing.T) {
	const people = 300
	w := newWorld(t, harness.Setup{Destinations: mergers()[4:]})
	w.Start()
	for n := range people {
		w.call("identify", `{"userId":"user-%d","traits":{"plan":"pro"}}`, n)
		w.call("alias", `{"previousId":"user-%d","userId":"all@example.com"}`, n)
	}
	w.UntilAllEnded()
	expectOutcome(w, 1, "vero", "alias", "delivered", "")
	expectOutcome(w, people-1, "vero", "alias", "dead", "refused")
	expectOutcome(w, people, "vero", "identify", "delivered", "")
	graph := w.Account("vero").Graph()
	if len(graph) != people {
		t.Errorf("Vero has %d people:\n%s", len(graph), graph)
	}
	w.expectApart("vero", "all@example.com", "user-1", "user-299")
	w.Stop()
}

// The SDK tells of the same two people by identifies with both ids. Where an identify merges, its merge is left out for the
// second one, and the rest arrives.
func TestTwoSignUpsInOneBrowserAreTwoPeopleByIdentify(t *testing.T) {
	w := newWorld(t, harness.Setup{Destinations: mergers()})
	w.Start()
	w.call("track", `{"anonymousId":"device-1","event":"Visited"}`)
	for _, n := range []int{1, 2} {
		w.call("identify", `{"anonymousId":"device-1","userId":"user-%d","traits":{"plan":"pro"}}`, n)
		w.call("track", `{"anonymousId":"device-1","userId":"user-%d","event":"Bought %d"}`, n, n)
	}
	w.UntilAllEnded()
	for _, name := range namesOf(mergers()) {
		w.expectApart(name, "user-1", "user-2")
		w.expectEvents(name, "user-2", "Bought 2")
		expectOutcome(w, 2, name, "identify", "delivered", "")
	}
	if got := took(w.Account("kissmetrics-aliases")); !slices.Contains(got, "alias device-1 user-1") || slices.Contains(got, "alias device-1 user-2") {
		t.Errorf("kissmetrics-aliases took %q", got)
	}
	w.Stop()
}

// 300 people are aliased into one e-mail. No vendor makes a person of more than 50 ids of them, and what waits can be seen.
func TestThreeHundredPeopleDoNotBecomeOneByASharedEmail(t *testing.T) {
	const people, most = 300, 50
	all := mergers()
	for i := range all {
		all[i].Settings += ", settle: 0s" // or the legacy mode takes a second for each alias
	}
	for _, c := range []struct {
		name, body string
		names      []string
	}{
		{"from the e-mail", `{"previousId":"all@example.com","userId":"user-%d"}`, []string{"kissmetrics", "kissmetrics-aliases", "legacy", "original"}},
		{"to the e-mail", `{"previousId":"user-%d","userId":"all@example.com"}`, []string{"kissmetrics", "kissmetrics-aliases"}}, // the others take an e-mail once
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, harness.Setup{Destinations: slices.DeleteFunc(slices.Clone(all), func(d harness.Destination) bool { return !slices.Contains(c.names, d.Name) })})
			w.Start()
			for n := range people {
				w.call("identify", `{"userId":"user-%d","traits":{"plan":"pro"}}`, n)
				w.call("alias", c.body, n)
			}
			w.untilHeld(1, c.names...)
			for _, name := range c.names {
				w.Until("all others are sent", func() bool { return w.Metric("aka_backlog_calls", harness.Of(name)) == people-(most-1) })
				w.Until("the rest waits", func() bool { held := w.held(name).Held; return len(held) != 1 || held[0].Waiting == people-most })
				largest := 0
				for _, person := range w.Account(name).Graph() {
					largest = max(largest, len(person.IDs))
				}
				if largest != most {
					t.Errorf("%s takes %d ids for one person", name, largest)
				}
				held := w.held(name).Held
				if len(held) != 1 || held[0].Rule != "max_ids" || held[0].Waiting != people-most || max(held[0].From.IDs, held[0].To.IDs) != most {
					t.Errorf("%s: held are %+v", name, held)
				}
				if got := w.Metric("aka_person_ids_max", harness.Of(name)); got != most {
					t.Errorf("%s: the largest person has %v ids", name, got)
				}
			}
			w.Stop()
		})
	}
}

// Two users that a server has named are joined by one alias of the website: it is held, and no other is. The grace of new users is for the
// source that named them.
func TestAnAliasOfTwoKnownUsersIsHeld(t *testing.T) {
	w := newWorld(t, harness.Setup{Destinations: mergers(), Sources: ", server: { write_key: server-key }"})
	w.Start()
	for n := range 3 {
		w.call("batch", `{"batch":[{"type":"identify","writeKey":"server-key","userId":"user-%d","traits":{"plan":"pro"}}]}`, n)
	}
	w.UntilAllEnded()
	w.call("alias", `{"previousId":"user-1","userId":"user-2"}`)
	w.call("track", `{"userId":"user-2","event":"Waits"}`)
	w.call("track", `{"userId":"user-0","event":"Goes"}`)
	names := namesOf(mergers())
	w.untilHeld(1, names...)
	w.Until("others go on", func() bool {
		return !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(took(w.Account(name)), "event user-0 Goes") })
	})
	for _, name := range names {
		w.expectApart(name, "user-1", "user-2")
		w.expectEvents(name, "user-2")
	}
	w.Stop()
}

// The arguments are swapped: the userId of the alias is a device that was seen before.
func TestAnAliasWithSwappedArgumentsIsDropped(t *testing.T) {
	w := newWorld(t, harness.Setup{Destinations: mergers()})
	w.Start()
	w.call("track", `{"anonymousId":"device-1","event":"Visited"}`)
	w.call("alias", `{"previousId":"user-1","userId":"device-1"}`)
	w.call("track", `{"userId":"user-1","event":"Bought"}`)
	w.UntilAllEnded()
	for _, name := range namesOf(mergers()) {
		expectOutcome(w, 1, name, "alias", "dropped", "merge_direction")
		w.expectEvents(name, "user-1", "Bought")
		for _, line := range took(w.Account(name)) {
			if strings.Contains(line, "alias") || strings.Contains(line, "reidentify") {
				t.Errorf("%s took %q", name, line)
			}
		}
	}
	w.Stop()
}
