//go:build sdks

package e2e

import (
	"slices"
	"strings"
	"time"

	"aka/destinations/simulator"
	"aka/router/journal"
)

// person is somebody whose story an SDK tells.
type person struct {
	before, after string // the ids before and after the alias
	story         []chapter
	reports       [][]report // by chapter
}

// heard adds what the SDK said of the next chapter.
func (p *person) heard(reports []report) { p.reports = append(p.reports, reports) }

// failed returns the chapters of which the SDK says that a call is not delivered.
func (p *person) failed() (chapters []int) {
	for i, reports := range p.reports {
		if slices.ContainsFunc(reports, func(r report) bool { return r.Error != "" }) {
			chapters = append(chapters, i)
		}
	}
	return chapters
}

// chapter is calls that go in one batch, and what each vendor takes of them. Within a step the order is free: nothing in it
// changes who is who.
type chapter struct {
	calls                       []call
	kissmetrics, original, vero [][]string
	mixpanel                    []string // to its simplified mode the ids are two people, in no order
}

// chapterSize is how many calls each chapter of a person has.
const chapterSize = 3

// newPerson signs up and gets a userId, as in signUp, in calls that can go in several batches.
func newPerson(before, after string) *person {
	return &person{before: before, after: after, story: []chapter{
		{
			calls: []call{
				{"type": "identify", "userId": before, "traits": call{"email": before}},
				{"type": "track", "userId": before, "event": "Signed Up", "properties": call{"plan": "free"}},
				{"type": "page", "userId": before, "name": "Prices"},
			},
			kissmetrics: [][]string{{"profile " + before}, {"event " + before + " Signed Up", "event " + before + " Viewed Prices Page"}},
			original:    [][]string{{"profile " + before}, {"event " + before + " Signed Up", "event " + before + " Loaded a Page"}},
			vero:        [][]string{{"profile " + before}, {"event " + before + " Signed Up"}, {"event " + before + " Viewed Prices Page"}},
			mixpanel:    []string{"profile " + before, "event " + before + " Signed Up", "event " + before + " Loaded a Page"},
		},
		{
			calls: []call{
				{"type": "alias", "previousId": before, "userId": after,
					"integrations": call{"All": false, "Kissmetrics": true, "Vero": true, "original": true}},
				{"type": "identify", "userId": after, "traits": call{"plan": "pro"},
					"integrations": call{"Vero": call{"tags": call{"add": []string{"customer"}}}}},
				{"type": "screen", "userId": after, "name": "Home"},
			},
			kissmetrics: [][]string{{"alias " + before + " " + after}, {"profile " + after}, {"event " + after + " Viewed Home Screen"}},
			original:    [][]string{{"create_alias " + before + " " + after}, {"profile " + after}, {"event " + after + " Loaded a Screen"}},
			vero:        [][]string{{"reidentify " + before + " " + after}, {"profile " + after}, {"tags " + after}, {"event " + after + " Viewed Home Screen"}},
			mixpanel:    []string{"profile " + after, "event " + after + " Loaded a Screen"},
		},
		{
			calls: []call{
				{"type": "track", "userId": after, "event": "Opened", "integrations": call{"All": false, "Vero": true}},
				{"type": "track", "userId": after, "event": "Bought", "integrations": call{"Mixpanel": false}},
				{"type": "track", "userId": after, "event": "Paid"},
			},
			kissmetrics: [][]string{{"event " + after + " Bought", "event " + after + " Paid"}},
			original:    [][]string{{"event " + after + " Paid"}},
			vero:        [][]string{{"event " + after + " Opened"}, {"event " + after + " Bought"}, {"event " + after + " Paid"}},
			mixpanel:    []string{"event " + after + " Paid"},
		},
		{
			calls: []call{
				{"type": "group", "userId": after, "groupId": "acme", "traits": call{"name": "Acme"}},
				{"type": "track", "userId": after, "event": "Invited"},
				{"type": "track", "userId": after, "event": "Left"},
			},
			kissmetrics: [][]string{{"profile " + after}, {"event " + after + " Invited", "event " + after + " Left"}},
			original:    [][]string{{"event " + after + " Invited", "event " + after + " Left"}},
			vero:        [][]string{{"profile " + after}, {"event " + after + " Invited"}, {"event " + after + " Left"}},
			mixpanel:    []string{"event " + after + " Invited", "event " + after + " Left"},
		},
	}}
}

func callsOf(chapters []chapter) (calls []call) {
	for _, c := range chapters {
		calls = append(calls, c.calls...)
	}
	return calls
}

// expectTold checks that each vendor took these chapters of the person's story, in order, and nothing else of it: each call
// once, but for what was delivered shortly before aka was killed.
func expectTold(w *world, p *person, chapters []chapter, kills ...kill) {
	w.t.Helper()
	want := map[string][][]string{}
	for _, c := range chapters {
		want["kissmetrics"] = joined(want["kissmetrics"], c.kissmetrics)
		want["original"] = joined(want["original"], c.original)
		want["vero"] = slices.Concat(want["vero"], c.vero)
		want["mixpanel"] = [][]string{slices.Concat(slices.Concat(want["mixpanel"]...), c.mixpanel)}
	}
	for _, d := range destinations {
		expectLines(w.t, d.Name, p.linesOf(firsts(w.Account(d.Name).Records(), kills)), want[d.Name])
	}
}

// joined puts steps behind others. Where events meet events they become one step.
func joined(steps, more [][]string) [][]string {
	if len(steps) == 0 || !isEvents(steps[len(steps)-1]) || !isEvents(more[0]) {
		return slices.Concat(steps, more)
	}
	last := len(steps) - 1
	return slices.Concat(steps[:last], [][]string{slices.Concat(steps[last], more[0])}, more[1:])
}

func isEvents(step []string) bool {
	return !slices.ContainsFunc(step, func(line string) bool { return !strings.HasPrefix(line, "event ") })
}

// linesOf returns what of the records is the person's.
func (p *person) linesOf(records []simulator.Record) (lines []string) {
	for i := range records {
		if ids := records[i].IDs; slices.Contains(ids, p.before) || slices.Contains(ids, p.after) {
			lines = append(lines, lineOf(&records[i]))
		}
	}
	return lines
}

// kill is when aka was killed, and how long before it what was delivered may be delivered again.
type kill struct {
	at         time.Time
	repeatable time.Duration
}

// firsts leaves out what was delivered again because aka was killed in between. Of one person the story says nothing twice
// in the same words before its last chapter.
func firsts(records []simulator.Record, kills []kill) (kept []simulator.Record) {
	seen := map[string]time.Time{} // when each line was delivered last
	for _, r := range records {
		line := lineOf(&r)
		first, repeated := seen[line]
		if repeated && slices.ContainsFunc(kills, func(k kill) bool {
			return first.Before(k.at) && r.At.After(k.at) && k.at.Sub(first) <= k.repeatable
		}) {
			continue
		}
		seen[line] = r.At
		kept = append(kept, r)
	}
	return kept
}

// expectNothingTwice checks that nothing was sent that a vendor knew already, or threw away.
func expectNothingTwice(w *world) {
	w.t.Helper()
	for _, d := range destinations {
		if stats := w.Account(d.Name).Stats(); stats.Duplicates > 0 || stats.Refusals > 0 {
			w.t.Errorf("%s: %d duplicates, %d refusals", d.Name, stats.Duplicates, stats.Refusals)
		}
	}
}

// expectJournaledOnce returns the chapters of each person that are in the journal. It checks that they are there whole, once
// and in order, and that what the SDK believes delivered is among them. Nothing may run.
func expectJournaledOnce(w *world, people []*person) (kept [][]chapter) {
	w.t.Helper()
	all := w.journaled()
	for _, p := range people {
		var chapters []chapter
		for i, c := range p.story[:len(p.reports)] {
			first := p.reports[i][0].MessageID
			at := slices.IndexFunc(all, func(e journal.Entry) bool { return e.MessageID == first })
			if at < 0 && !slices.Contains(p.failed(), i) {
				w.t.Errorf("the SDK believes chapter %d of %s delivered, and the journal has nothing of it", i, p.after)
			}
			if at < 0 {
				continue
			}
			chapters = append(chapters, c)
			for j, r := range p.reports[i] {
				if at+j >= len(all) || all[at+j].MessageID != r.MessageID {
					w.t.Errorf("in the journal, call %d of chapter %d of %s is not behind those before it", j, i, p.after)
				}
			}
		}
		kept = append(kept, chapters)
	}
	if want := len(callsOf(slices.Concat(kept...))); len(all) != want {
		w.t.Errorf("the journal has %d calls, want %d", len(all), want)
	}
	return kept
}
