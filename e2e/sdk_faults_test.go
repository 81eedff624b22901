//go:build sdks

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"aka/e2e/harness"
)

// failings are what SDKs get over, some of them twice in a row.
var failings = []failing{
	{name: "429", status: http.StatusTooManyRequests, times: 2},
	{name: "503", status: http.StatusServiceUnavailable, times: 1},
	{name: "reset", times: 1},
	{name: "reset after it was taken", late: true, times: 2},
}

// What stands before aka refuses, or breaks connections, while somebody's alias is sent. Each SDK sends the batch again, and
// each vendor hears the whole story in order, once, whether aka had the batch before or not.
func TestEachSDKGetsOverFailures(t *testing.T) {
	for _, s := range sdks {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness.Setup{})
			w.Start()
			f := newFront(w)
			c := s.start(w, f.url, chapterSize)
			var people []*person
			for i, how := range failings {
				p := newPerson(fmt.Sprintf("p%d-old", i), fmt.Sprintf("p%d-new", i))
				people = append(people, p)
				c.send(p.story[0].calls)
				p.heard(c.reports())
				f.fail(how)
				c.send(p.story[1].calls)
				p.heard(c.reports())
				expectPatience(t, s, how, f.requests())
				for _, chapter := range p.story[2:] {
					c.send(chapter.calls)
					p.heard(c.reports())
				}
			}
			c.close()
			w.UntilAllEnded()
			if got := w.Metric("aka_ingress_duplicates_total"); got != 2*chapterSize {
				t.Errorf("%v calls came again, want the batch that was taken and not answered, twice", got)
			}
			w.Stop()

			for i, p := range people {
				if failed := p.failed(); len(failed) > 0 {
					t.Errorf("over %s the SDK gave up %v", failings[i].name, failed)
				}
				expectTold(w, p, p.story)
			}
			expectNothingTwice(w)
			expectJournaledOnce(w, people)
		})
	}
}

// expectPatience checks that the SDK tried until it got through, and waited for the Retry-After where it follows that.
func expectPatience(t *testing.T, s sdk, how failing, requests []time.Time) {
	t.Helper()
	if len(requests) != how.times+1 {
		t.Errorf("over %s the SDK tried %d times, want %d", how.name, len(requests), how.times+1)
	}
	if !slices.Contains(s.waits, how.status) {
		return
	}
	for i := 1; i < len(requests); i++ {
		if waited := requests[i].Sub(requests[i-1]); waited < 950*time.Millisecond {
			t.Errorf("told by a %s to wait a second it waited %s", how.name, waited)
		}
	}
}

// A source may send a call in two seconds, over time. What comes before its time is answered 429, and SDKs that go by that, or
// have the patience, deliver everything all the same.
func TestAnSDKIsHeldToItsSourcesRate(t *testing.T) {
	for _, s := range sdks {
		if !s.outlasts() && !slices.Contains(s.waits, http.StatusTooManyRequests) {
			continue // they give up in less time than a chapter's calls take
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness.Setup{Source: "rate: 0.5"})
			w.Start()
			c := s.start(w, w.Process.API, chapterSize)
			p := newPerson("jen@email.com", "507f191e81")
			p.story = p.story[:2]
			for _, chapter := range p.story {
				c.send(chapter.calls)
				p.heard(c.reports())
			}
			c.close()
			w.UntilAllEnded()
			if got := w.Metric("aka_ingress_requests_total", `status="429"`); got == 0 {
				t.Error("nothing was answered 429")
			}
			w.Stop()

			if failed := p.failed(); len(failed) > 0 {
				t.Errorf("the SDK gave up %v", failed)
			}
			expectTold(w, p, p.story)
			expectNothingTwice(w)
			expectJournaledOnce(w, []*person{p})
		})
	}
}

// An SDK that gives a batch up says so, and nothing of it reaches anybody; what comes after it does.
func TestAnSDKThatGivesUpSaysSo(t *testing.T) {
	for _, s := range sdks {
		if s.outlasts() {
			continue // their last try comes minutes later
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness.Setup{})
			w.Start()
			f := newFront(w)
			c := s.start(w, f.url, chapterSize)
			p := newPerson("jen@email.com", "507f191e81")
			c.send(p.story[0].calls)
			p.heard(c.reports())
			f.fail(failing{times: s.tries})
			c.send(p.story[1].calls)
			p.heard(c.reports())
			w.UntilAllEnded() // without the alias, nothing else binds what comes before it and after it
			c.send(p.story[2].calls)
			p.heard(c.reports())
			c.close()
			w.UntilAllEnded()
			w.Stop()

			if failed := p.failed(); !slices.Equal(failed, []int{1}) {
				t.Errorf("the SDK gave up the chapters %v, want only the one that met the failures", failed)
			}
			expectTold(w, p, []chapter{p.story[0], p.story[2]})
			expectJournaledOnce(w, []*person{p})
		})
	}
}

// Jitsu's SDK sends a call once. One that is not answered 200 is reported, and lost unless aka had it.
func TestJitsusSDKReportsWhatItLoses(t *testing.T) {
	w := newWorld(t, harness.Setup{})
	w.Start()
	f := newFront(w)
	c := jitsu.start(w, f.url, 1)
	for i, how := range failings {
		how.times = 1
		f.fail(how)
		c.send([]call{{"type": "track", "event": fmt.Sprintf("Failed %d", i)}})
		if got := c.reports(); got[0].Error == "" {
			t.Errorf("of %s the SDK says nothing", how.name)
		}
		c.send([]call{{"type": "track", "event": fmt.Sprintf("Passed %d", i)}})
		if got := c.reports(); got[0].Error != "" {
			t.Errorf("after %s the SDK says %s", how.name, got[0].Error)
		}
	}
	c.close()
	w.UntilAllEnded()
	w.Stop()
	var events []string
	for _, r := range w.Account("kissmetrics").Records() {
		events = append(events, r.Event)
	}
	slices.Sort(events)
	if want := []string{"Failed 3", "Passed 0", "Passed 1", "Passed 2", "Passed 3"}; !slices.Equal(events, want) {
		t.Errorf("kissmetrics took %q, want %q", events, want)
	}
}

// restarts are the ways in which aka goes away and comes back while a batch is on its way.
var restarts = []struct {
	name        string
	kills       bool
	sendsBefore bool
}{
	{name: "stopped, then sent to"},
	{name: "stopped while it is sent to", sendsBefore: true},
	{name: "killed, then sent to", kills: true},
	{name: "killed while it is sent to", kills: true, sendsBefore: true},
}

// Aka is stopped and killed around the batch that holds an alias, and started again at the same address. What an SDK
// believes delivered reaches every vendor, in order; SDKs that outlast the restart deliver everything. Only what was
// delivered just before a kill goes out twice.
func TestEachSDKGetsOverARestart(t *testing.T) {
	for _, s := range sdks {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, harness.Setup{Listen: freeAddress(t)})
			w.Start()
			stalls := w.WatchStalls()
			c := s.start(w, w.Process.API, chapterSize)
			var people []*person
			var kills []kill
			for i, restart := range restarts {
				p := newPerson(fmt.Sprintf("p%d-old", i), fmt.Sprintf("p%d-new", i))
				p.story = p.story[:3]
				people = append(people, p)
				c.send(p.story[0].calls)
				p.heard(c.reports())
				if restart.sendsBefore {
					c.send(p.story[1].calls)
				}
				if restart.kills {
					kills = append(kills, kill{at: w.Kill()})
				} else {
					w.Stop()
				}
				if !restart.sendsBefore {
					c.send(p.story[1].calls)
				}
				w.Start()
				p.heard(c.reports())
				w.UntilAllEnded() // where the alias was given up, nothing else binds what comes before it and after it
				c.send(p.story[2].calls)
				p.heard(c.reports())
			}
			c.close()
			w.UntilAllEnded()
			w.Stop()

			within := repeatable + 4*stalls()
			for i := range kills {
				kills[i].repeatable = within
			}
			kept := expectJournaledOnce(w, people)
			for i, p := range people {
				failed := p.failed()
				if len(failed) > 0 {
					t.Logf("%s: the SDK gave up %v", restarts[i].name, failed)
				}
				if s.outlasts() && len(failed) > 0 || slices.ContainsFunc(failed, func(chapter int) bool { return chapter != 1 }) {
					t.Errorf("%s: the SDK gave up %v", restarts[i].name, failed)
				}
				expectTold(w, p, kept[i], kills...)
			}
		})
	}
}
