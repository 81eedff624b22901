package router

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"aka/destinations/simulator"
	"aka/router/config"
)

// cioStory is calls that go to Customer.io one request after the other, and what the workspace has then.
type cioStory struct {
	workspace simulator.CustomerIO
	settings  string // beside the credentials
	requests  [][]string
	people    []string
	refusals  []string       // what the workspace threw away without a word
	outcomes  map[string]int // of aliases: by the outcome, or the reason
}

const (
	cioOld     = `{"type":"track","userId":"jen@email.com","event":"Before"}`
	cioAlias   = `{"type":"alias","previousId":"jen@email.com","userId":"u-1"}`
	cioNew     = `{"type":"identify","userId":"u-1","traits":{"plan":"pro"}}`
	cioLater   = `{"type":"track","userId":"u-1","event":"Later"}`
	cioVisit   = `{"type":"track","anonymousId":"a-1","event":"Visit"}`
	cioPerson  = "jen@email.com + u-1 -> one person, 2 events"
	cioDevice  = `{"type":"alias","anonymousId":"a-1","userId":"u-1"}`
	cioSignIn  = `{"type":"identify","userId":"u-1","anonymousId":"a-1"}`
	cioAnother = `{"type":"identify","userId":"u-2","anonymousId":"a-1"}`
)

var cioStories = map[string]cioStory{
	"an alias before its identify": {
		requests: [][]string{{cioOld}, {cioAlias, cioNew, cioLater}},
		people:   []string{cioPerson},
		outcomes: map[string]int{"delivered": 1},
	},
	"an alias after its identify": {
		requests: [][]string{{cioOld}, {cioNew, cioAlias, cioLater}},
		people:   []string{cioPerson},
	},
	"an alias is all that is known of the new id": {
		requests: [][]string{{cioOld}, {cioAlias}},
		people:   []string{"jen@email.com + u-1 -> one person, 1 event"},
	},
	"a merge alone before its identify is lost": {
		settings: ", alias: merge",
		requests: [][]string{{cioOld}, {cioAlias, cioNew, cioLater}},
		people:   []string{"jen@email.com -> one person, 1 event", "u-1 -> one person, 1 event"},
		refusals: []string{"merge_without_primary"},
		outcomes: map[string]int{"delivered": 1},
	},
	"a merge alone after its identify": {
		settings: ", alias: merge",
		requests: [][]string{{cioOld}, {cioNew, cioAlias, cioLater}},
		people:   []string{cioPerson},
	},
	"a person is found after a moment, and the wait is longer": {
		workspace: simulator.CustomerIO{FindableAfter: 20 * time.Millisecond},
		settings:  ", merge_wait: 21ms",
		requests:  [][]string{{cioOld}, {cioAlias, cioNew, cioLater}},
		people:    []string{cioPerson},
	},
	"a person is found after a moment, and nothing waits": {
		workspace: simulator.CustomerIO{FindableAfter: time.Hour},
		settings:  ", merge_wait: 0s",
		requests:  [][]string{{cioOld}, {cioAlias, cioNew, cioLater}},
		people:    []string{"jen@email.com -> one person, 1 event", "u-1 -> one person, 1 event"},
		refusals:  []string{"merge_too_early"},
	},
	"a merged id that is used again makes another person, who is merged by the next alias": {
		workspace: simulator.CustomerIO{MergedIdentifiers: "free"},
		requests:  [][]string{{cioOld}, {cioAlias}, {cioOld}, {cioAlias}, {cioAlias}},
		people:    []string{"u-1 -> one person, 2 events"},
		outcomes:  map[string]int{"delivered": 2, "already_merged": 1},
	},
	"or is an e-mail of the merged person": {
		requests: [][]string{{cioOld}, {cioAlias}, {cioOld}, {cioAlias}, {cioAlias}},
		people:   []string{cioPerson},
		outcomes: map[string]int{"delivered": 2, "already_merged": 1},
		refusals: []string{"merge_with_itself"},
	},
	"e-mails have no case": {
		requests: [][]string{{cioOld}, {`{"type":"alias","previousId":"Jen@Email.com","userId":"jen@email.com"}`}, {`{"type":"alias","previousId":"JEN@EMAIL.COM","userId":"u-1"}`}, {cioLater}},
		people:   []string{cioPerson},
		outcomes: map[string]int{"same_ids": 1, "delivered": 1},
	},
	"an identify joins what was anonymous": {
		requests: [][]string{{cioVisit, cioVisit, cioSignIn, cioLater}},
		people:   []string{"a-1 + u-1 -> one person, 3 events"},
	},
	"so does an alias of the device": {
		requests: [][]string{{cioVisit, cioDevice, cioLater}},
		people:   []string{"a-1 + u-1 -> one person, 2 events"},
		outcomes: map[string]int{"delivered": 1},
	},
	"neither does where the settings say so": {
		settings: ", anonymous_merge: false",
		requests: [][]string{{cioVisit, cioDevice, cioSignIn, cioLater}},
		people:   []string{"a-1 -> one person, 1 event", "u-1 -> one person, 1 event"},
		outcomes: map[string]int{"previous_id_is_anonymous": 1},
	},
	"a device stays its first user's": {
		requests: [][]string{{cioVisit, cioSignIn}, {cioAnother, cioVisit}},
		people:   []string{"a-1 + u-1 -> one person, 2 events", "u-2 -> one person, 0 events"},
		refusals: []string{"anonymous_id_taken"},
	},
	"or becomes the next user's": {
		workspace: simulator.CustomerIO{TakenAnonymousID: "moved"},
		requests:  [][]string{{cioVisit, cioSignIn}, {cioAnother, cioVisit}},
		people:    []string{"a-1 + u-2 -> one person, 1 event", "u-1 -> one person, 1 event"},
	},
	"an alias of a device that is another user's is not sent": {
		workspace: simulator.CustomerIO{TakenAnonymousID: "moved"},
		requests:  [][]string{{cioVisit, cioDevice}, {`{"type":"alias","anonymousId":"a-1","userId":"u-2"}`}},
		people:    []string{"a-1 + u-1 -> one person, 1 event"},
		outcomes:  map[string]int{"delivered": 1, "alias_taken": 1},
	},
	"an id became an e-mail's person by the trait, and the alias has nothing to do": {
		requests: [][]string{{cioOld}, {`{"type":"identify","userId":"u-1","traits":{"email":"jen@email.com"}}`}, {cioAlias, cioLater}},
		people:   []string{cioPerson},
		refusals: []string{"merge_with_itself"},
		outcomes: map[string]int{"delivered": 1},
	},
	"or is refused": {
		workspace: simulator.CustomerIO{SelfMerge: "refused"},
		requests:  [][]string{{cioOld}, {`{"type":"identify","userId":"u-1","traits":{"email":"jen@email.com"}}`}, {cioAlias, cioLater}},
		people:    []string{cioPerson},
		outcomes:  map[string]int{"refused": 1},
	},
	"ids that are too long are not sent": {
		requests: [][]string{{longID("one"), longID("other")}, {cioLater}},
		people:   []string{"u-1 -> one person, 1 event"},
	},
	"also where Customer.io would cut them": {
		workspace: simulator.CustomerIO{LongIDs: "cut"},
		requests:  [][]string{{longID("one"), longID("other")}, {cioLater}},
		people:    []string{"u-1 -> one person, 1 event"},
	},
	"a group relates a person, and a device": {
		requests: [][]string{{`{"type":"group","userId":"u-1","groupId":"g-9","traits":{"name":"Acme"}}`, `{"type":"group","anonymousId":"a-1","groupId":"g-9"}`}, {cioLater}},
		people:   []string{"u-1 -> one person, 1 event"},
	},
}

// longID is an event of an id of over 150 bytes that differs from others at its end only.
func longID(end string) string {
	return fmt.Sprintf(`{"type":"track","userId":"%s%s","event":"E"}`, strings.Repeat("x", 150), end)
}

func TestCustomerIOHasThePeopleOfTheCalls(t *testing.T) {
	for name, story := range cioStories {
		for _, order := range []string{"given", "reversed"} {
			t.Run(name+", a batch is taken as "+order, func(t *testing.T) {
				story.workspace.BatchOrder = order
				w := newCIOWorld(t, story.workspace, story.settings)
				for _, calls := range story.requests {
					w.postBatch(calls)
					w.waitUntilAllEnded()
				}
				w.wantPeople(story.people...)
				w.wantRefusals(story.refusals...)
				for word, want := range story.outcomes {
					if got := w.count("aka_outcomes_total", "customerio", "alias", word); int(got) != want {
						t.Errorf("%v aliases ended as %s, want %d", got, word, want)
					}
				}
			})
		}
	}
}

// What Customer.io refuses of a batch is a dead letter, and the rest of it is delivered.
func TestWhatCustomerIORefusesOfABatchIsADeadLetter(t *testing.T) {
	w := newCIOWorld(t, simulator.CustomerIO{}, ", identifiers: id")
	calls := []string{`{"type":"identify","userId":"u-0","traits":{"tags":["` + strings.Repeat("x", 1000) + `"]}}`}
	people := []string{}
	for i := range 20 {
		calls = append(calls, fmt.Sprintf(`{"type":"track","userId":"person-%02d","event":"Bought"}`, i))
		people = append(people, fmt.Sprintf("person-%02d -> one person, 1 event", i))
	}
	w.postBatch(calls)
	w.waitUntilAllEnded()
	w.wantPeople(people...)
	if delivered, dead := w.count("aka_outcomes_total", "customerio", "delivered"), w.count("aka_outcomes_total", "customerio", "refused"); delivered != 20 || dead != 1 {
		t.Errorf("%v calls were delivered, and %v refused", delivered, dead)
	}
}

// A 400 does not name the call at fault: the batch goes again in halves.
func TestABatchThatCustomerIOCannotReadIsDeliveredButForOneCall(t *testing.T) {
	w := newCIOWorld(t, simulator.CustomerIO{}, "")
	bad := func(e simulator.Exchange) bool { return strings.Contains(fmt.Sprint(e.Records), "person-07") }
	if err := w.sim.Account("customerio").AddFaults(simulator.Fault{Status: 400, Body: `{"errors":[{"reason":"parse_error"}]}`, Match: bad}); err != nil {
		t.Fatal(err)
	}
	var calls, people []string
	for i := range 20 {
		calls = append(calls, fmt.Sprintf(`{"type":"track","userId":"person-%02d","event":"Bought"}`, i))
		if i != 7 {
			people = append(people, fmt.Sprintf("person-%02d -> one person, 1 event", i))
		}
	}
	w.postBatch(calls)
	w.waitUntilAllEnded()
	w.wantPeople(people...)
	if dead := w.count("aka_outcomes_total", "customerio", "refused"); dead != 1 {
		t.Errorf("%v calls were refused", dead)
	}
}

// A person's calls come one at a time, also while the batch holds others'.
func TestNoBatchForCustomerIOHoldsAPersonTwice(t *testing.T) {
	w := newCIOWorld(t, simulator.CustomerIO{}, "")
	var calls []string
	for i := range 60 {
		calls = append(calls, fmt.Sprintf(`{"type":"track","userId":"person-%d","event":"Bought"}`, i%6))
	}
	w.postBatch(calls)
	w.waitUntilAllEnded()
	for _, exchange := range w.sim.Account("customerio").Exchanges() {
		seen := map[string]bool{}
		for _, record := range exchange.Records {
			if who := fmt.Sprint(record.(map[string]any)["identifiers"]); seen[who] {
				t.Errorf("one request has %s twice", who)
			} else {
				seen[who] = true
			}
		}
	}
	if people := w.sim.Account("customerio").Graph(); len(people) != 6 {
		t.Errorf("Customer.io knows\n%s", people)
	}
}

// newCIOWorld starts aka before a simulated workspace. A merge there finds people at once, unless the workspace says otherwise.
func newCIOWorld(t *testing.T, workspace simulator.CustomerIO, settings string) *strange {
	t.Helper()
	sim, err := simulator.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	if workspace.FindableAfter == 0 {
		workspace.FindableAfter = -1
	}
	if !strings.Contains(settings, "merge_wait") {
		settings += ", merge_wait: 1ms"
	}
	endpoint, err := sim.Add("customerio", "customerio", simulator.Options{CustomerIO: workspace})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: { listen: "127.0.0.1:0" }
journal: { dir: %q }
sources: { test: { write_key: key } }
delivery: { allow_private: true, batch: { max_wait: 1ms }, retry: { initial: 2ms, max: 20ms } }
destinations: { customerio: { settings: { site_id: s, api_key: k, endpoint: %q%s } } }
`, filepath.Join(t.TempDir(), "data"), endpoint, settings)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	s := &strange{&model{t: t, ctx: ctx, log: zap.NewNop()}, sim, load(t, text, config.LoadOptions{})}
	s.start(s.config)
	t.Cleanup(func() { s.router.Stop(t.Context()) })
	return s
}

func (s *strange) wantPeople(want ...string) {
	s.t.Helper()
	graph := s.sim.Account("customerio").Graph()
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(graph.String()), "\n") {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("Customer.io knows\n%s\nwant\n%s", graph, strings.Join(want, "\n"))
	}
}

func (s *strange) wantRefusals(want ...string) {
	s.t.Helper()
	var got []string
	for _, refusal := range s.sim.Account("customerio").Refusals() {
		got = append(got, refusal.Reason)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("Customer.io threw away %q, want %q", got, want)
	}
}
