package preflight

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const shop = `
sources: { website: { write_key: write-key-of-the-test } }
destinations:
  kissmetrics: { settings: { api_key: k } }
  mixpanel: { settings: { token: t, id_merge: original } }
  vero: { settings: { auth_token: v } }
`

// story is the calls of some people: each at its own times, and mixed with those of the others.
type story struct {
	dice  *rand.Rand
	calls []storyCall
	next  int
}

type storyCall struct {
	at   time.Time
	text string
}

var storyBegin = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func newStory(seed uint64) *story { return &story{dice: rand.New(rand.NewPCG(seed, 2))} }

// add adds calls in their order, with some hours between them. What they have in place of # is unique in the story.
func (s *story) add(calls ...string) (unique string) {
	s.next++
	unique = fmt.Sprintf("%d%05d", s.dice.IntN(9), s.next)
	at := storyBegin.Add(time.Duration(s.dice.IntN(3600*24*20)) * time.Second)
	for _, call := range calls {
		at = at.Add(time.Duration(11*60+s.dice.IntN(3600*5)) * time.Second) // later than new_user_grace
		s.next++
		text := fmt.Sprintf(`{"messageId":"m-%d","receivedAt":%q,%s}`, s.next, at.Format(time.RFC3339), strings.ReplaceAll(call, "#", unique))
		s.calls = append(s.calls, storyCall{at, text})
	}
	return unique
}

// lines are the calls of all, shuffled: they come from several files.
func (s *story) lines() string {
	s.dice.Shuffle(len(s.calls), func(i, j int) { s.calls[i], s.calls[j] = s.calls[j], s.calls[i] })
	lines := make([]string, len(s.calls))
	for i, c := range s.calls {
		lines[i] = c.text
	}
	return strings.Join(lines, "\n") + "\n"
}

// clean adds people without a mistake, in three shapes: a visitor who signs up, somebody who checks out as a guest first, and
// somebody who is known by an e-mail before an id.
func (s *story) clean(n int) {
	for range n {
		s.add(
			`"type":"track","event":"Seen","anonymousId":"#aaaaaa-0000-4000-8000-000000000000"`,
			`"type":"alias","previousId":"#aaaaaa-0000-4000-8000-000000000000","anonymousId":"#aaaaaa-0000-4000-8000-000000000000","userId":"user-#"`,
			`"type":"identify","userId":"user-#","anonymousId":"#aaaaaa-0000-4000-8000-000000000000","traits":{"plan":"pro"}`,
			`"type":"track","event":"Bought","userId":"user-#"`)
		s.add(
			`"type":"track","event":"Bought","userId":"guest-#"`,
			`"type":"alias","previousId":"guest-#","userId":"user-#"`,
			`"type":"track","event":"Bought","userId":"user-#"`)
		s.add(
			`"type":"identify","userId":"mail#@example.com","traits":{"name":"N"}`,
			`"type":"alias","previousId":"mail#@example.com","userId":"user-#"`,
			`"type":"identify","userId":"user-#","traits":{"plan":"pro"}`)
	}
}

// named are the first ids of each kind's cases.
func named(r *Report) map[Kind][]string {
	all := map[Kind][]string{}
	for _, f := range r.Findings {
		for _, c := range f.Cases {
			all[f.Kind] = append(all[f.Kind], c.IDs[0])
		}
		slices.Sort(all[f.Kind])
	}
	return all
}

func reportOf(t *testing.T, config, text string) *Report {
	t.Helper()
	report, err := Run(t.Context(), loadText(t, config), []Input{textInput("calls.ndjson", text)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if report.Unusable() {
		t.Fatal(report.Problem())
	}
	return report
}

func TestItNamesExactlyTheMistakes(t *testing.T) {
	for _, seed := range seeds(t, 3) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			s := newStory(seed)
			s.clean(60)
			browser := s.add(
				`"type":"identify","userId":"first-#","anonymousId":"#bbbbbb-0000-4000-8000-000000000000"`,
				`"type":"alias","previousId":"#bbbbbb-0000-4000-8000-000000000000","anonymousId":"#bbbbbb-0000-4000-8000-000000000000","userId":"first-#"`,
				`"type":"identify","userId":"second-#","anonymousId":"#bbbbbb-0000-4000-8000-000000000000"`,
				`"type":"alias","previousId":"#bbbbbb-0000-4000-8000-000000000000","anonymousId":"#bbbbbb-0000-4000-8000-000000000000","userId":"second-#"`)
			for range 25 {
				s.add(`"type":"track","event":"Seen","userId":"user-#"`, `"type":"alias","previousId":"user-#","userId":"office@example.com"`)
				s.add(`"type":"track","event":"Bought","userId":"guest"`, `"type":"alias","previousId":"guest","userId":"user-#"`)
			}
			s.add(`"type":"alias","previousId":"undefined","userId":"user-#"`)
			swapped := s.add(
				`"type":"track","event":"Seen","anonymousId":"#cccccc-0000-4000-8000-000000000000"`,
				`"type":"identify","userId":"user-#","traits":{"plan":"pro"}`,
				`"type":"alias","previousId":"user-#","userId":"#cccccc-0000-4000-8000-000000000000"`)
			known := s.add(
				`"type":"identify","userId":"one-#","traits":{"plan":"pro"}`,
				`"type":"identify","userId":"two-#","traits":{"plan":"pro"}`,
				`"type":"alias","previousId":"one-#","userId":"two-#"`)
			got := named(reportOf(t, shop, s.lines()))
			want := map[Kind][]string{
				SharedID:         {"guest", "office@example.com"},
				DeviceOfTwoUsers: {browser + "bbbbbb-0000-4000-8000-000000000000"},
				Placeholder:      {"undefined"},
				SwappedAlias:     {"user-" + swapped},
				KnownUsers:       {"one-" + known},
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %q\nwant %q", got, want)
			}
		})
	}
}

// The report does not depend on the parts in which the calls run, nor on what is on disk meanwhile.
func TestTheReportDoesNotDependOnTheParts(t *testing.T) {
	s := newStory(1)
	s.clean(100)
	for range 30 {
		s.add(`"type":"track","event":"Seen","userId":"user-#"`, `"type":"alias","previousId":"user-#","userId":"office@example.com"`, `"type":"page","userId":"null"`)
		s.add(`"type":"identify","userId":"one-#","traits":{}`, `"type":"identify","userId":"two-#","traits":{}`, `"type":"alias","previousId":"one-#","userId":"two-#"`)
		// At Customer.io these meet by an e-mail alone.
		s.add(`"type":"identify","userId":"Mail-#@example.com"`, `"type":"identify","userId":"three-#","traits":{"email":"mail-#@example.com"}`)
		s.add(`"type":"identify","userId":"post-#@example.com"`, `"type":"identify","userId":"four-#","context":{"traits":{"email":"POST-#@example.com"}}`)
	}
	lines := s.lines()
	config := shop + "  customerio: { settings: { site_id: s, api_key: k } }\n"
	report := func(partCalls, memory int) string {
		r := newPreflight(loadText(t, config), Options{Now: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)})
		r.partCalls, r.disk.free = partCalls, memory
		report, err := r.do(t.Context(), []Input{textInput("calls", lines)})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.MarshalIndent(report, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	whole := report(1<<30, 1<<30)
	for _, memory := range []int{1 << 30, 0} {
		if got := report(10, memory); got != whole {
			t.Errorf("in parts, with %d bytes of memory:\n%s\nwhole:\n%s", memory, got, whole)
		}
	}
	if !strings.Contains(whole, `"placeholder"`) || !strings.Contains(whole, `"shared_id"`) || !strings.Contains(whole, `"known_users"`) {
		t.Error(whole)
	}
}

func TestACallWithTheMessageIDOfAnEarlierOneIsLeftOut(t *testing.T) {
	call := `{"type":"track","event":"E","messageId":"m1","userId":"usr_1","receivedAt":"2026-01-01T10:00:00Z"}` + "\n"
	report := reportOf(t, shop, call+call)
	if d := report.Destinations[0]; report.Input.Calls != 2 || report.Input.Duplicates != 1 || d.Delivered != 1 {
		t.Errorf("%+v", report)
	}
}

func TestACleanLogHasNoFinding(t *testing.T) {
	for _, seed := range seeds(t, 3) {
		s := newStory(seed)
		s.clean(100)
		report := reportOf(t, shop, s.lines())
		if !report.Clean || len(report.Findings) > 0 {
			text, _ := json.MarshalIndent(report.Findings, "", " ")
			t.Errorf("seed %d: %s", seed, text)
		}
		if d := report.Destinations[0]; d.Name != "kissmetrics" || d.People != 300 || d.PeopleBefore != 600 || d.Merges != 300 {
			t.Errorf("seed %d: %+v", seed, d)
		}
	}
}
