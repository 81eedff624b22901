package router

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"aka/destinations/simulator"
	"aka/router/journal"
)

// storyOf sends a call of each type for so many people, one of them an alias.
func (s *strange) storyOf(people int) {
	var items []string
	for n := range people {
		items = append(items, fmt.Sprintf(`{"type":"identify","messageId":"i%d","userId":"jen%d@email.com","traits":{"plan":"free"}}`, n, n),
			fmt.Sprintf(`{"type":"track","messageId":"t%d","userId":"jen%d@email.com","event":"Before"}`, n, n),
			fmt.Sprintf(`{"type":"alias","messageId":"a%d","previousId":"jen%d@email.com","userId":"50%df191e81"}`, n, n, n))
	}
	s.postBatch(items)
}

// deadLetters returns how many dead letters there are.
func (s *strange) deadLetters() (n int) {
	err := s.router.journal.DeadLetters(s.ctx, journal.DeadFilter{}, 0, func(*journal.DeadLetter) bool { n++; return true })
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// A vendor whose billing has stopped, or whose route is gone, costs no call: not one becomes a dead letter in the end, and each
// alias is done in its place.
func TestAVendorThatRefusesEverythingCostsNoCall(t *testing.T) {
	for _, status := range []int{402, 404} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s := newStrange(t, "30s")
			s.fault(simulator.Fault{Status: status, Body: `{"error":"no such account"}`}, false)
			const people = 60
			s.storyOf(people)
			for _, d := range strangeDestinations {
				s.until(d.name+" counts as refusing", func() bool { return s.gauge("aka_destination_state", d.name, "refusing") == 1 })
			}
			s.until("their dead letters are withdrawn", func() bool { return s.deadLetters() == 0 })
			s.clear()
			s.waitUntilAllEnded()
			for _, d := range strangeDestinations {
				graph := s.sim.Account(d.name).Graph()
				whole := 0
				for _, person := range graph {
					if slices.ContainsFunc(person.IDs, func(id string) bool { return strings.HasSuffix(id, "f191e81") }) && slices.Contains(person.Events, "Before") {
						whole++
					}
				}
				if whole != people || len(graph) != people {
					t.Errorf("%s knows %d people, %d of them whole, of %d", d.name, len(graph), whole, people)
				}
				died := s.count("aka_outcomes_total", d.name, "dead")
				if withdrawn := s.count("aka_dead_letters_withdrawn_total", d.name); withdrawn != died || s.count("aka_outcomes_total", d.name, "delivered") != 3*people {
					t.Errorf("%s: %v died, %v were withdrawn", d.name, died, withdrawn)
				}
			}
			if n := s.deadLetters(); n != 0 {
				t.Errorf("%d dead letters are left", n)
			}
		})
	}
}

// One person whose calls the vendor cannot take, with many behind, takes nothing from others, on a real journal and over a restart.
func TestOnePersonsFailingCallsWaitOnDisk(t *testing.T) {
	s := newStrangeWith(t, "30s", "window: 60")
	s.fault(simulator.Fault{Status: 503, ID: "jane@email.com"}, false)
	const behind = 200
	items := []string{`{"type":"identify","messageId":"jane","userId":"jane@email.com","traits":{"plan":"free"}}`}
	for n := range behind {
		items = append(items, fmt.Sprintf(`{"type":"identify","messageId":"j%d","userId":"jane@email.com","traits":{"n":%d}}`, n, n))
	}
	s.postBatch(items)
	const people = 40
	s.storyOf(people)
	for _, d := range strangeDestinations {
		s.until(d.name+" has all others", func() bool { return s.count("aka_outcomes_total", d.name, "delivered") == 3*people })
		s.until(d.name+" has parked the calls", func() bool { return s.gauge("aka_parked_calls", d.name) > behind-60 })
	}
	s.stop()
	s.start(s.config)
	s.clear()
	s.waitUntilAllEnded()
	for _, d := range strangeDestinations {
		if n := s.count("aka_outcomes_total", d.name, "delivered"); n != behind+1 {
			t.Errorf("%s: %v of %d calls were delivered after the restart", d.name, n, behind+1)
		}
		if n := s.gauge("aka_parked_calls", d.name); n != 0 {
			t.Errorf("%s: %v calls are still parked", d.name, n)
		}
	}
}
