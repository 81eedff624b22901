// Package crowd is people who all do the same, under one id and, after an alias, under another; and what became of that at a
// vendor: what is lost, what is out of order, what came twice. For the end-to-end tests and the fault harness.
package crowd

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"aka/destinations/simulator"
)

// story is what each of the people does: %[1]d is the person.
var story = []string{
	`{"type":"track","messageId":"p%[1]d-0","userId":"p%[1]d-old","event":"p%[1]d step 0"}`,
	`{"type":"identify","messageId":"p%[1]d-1","userId":"p%[1]d-old","traits":{"plan":"free"}}`,
	`{"type":"track","messageId":"p%[1]d-2","userId":"p%[1]d-old","event":"p%[1]d step 2"}`,
	`{"type":"alias","messageId":"p%[1]d-3","previousId":"p%[1]d-old","userId":"p%[1]d-new"}`,
	`{"type":"identify","messageId":"p%[1]d-4","userId":"p%[1]d-new","traits":{"plan":"pro"}}`,
	`{"type":"track","messageId":"p%[1]d-5","userId":"p%[1]d-new","event":"p%[1]d step 5"}`,
	`{"type":"track","messageId":"p%[1]d-6","userId":"p%[1]d-new","event":"p%[1]d step 6"}`,
}

const (
	// Steps is how many calls a person's story has.
	Steps = 7
	// AliasStep is the one that changes the id.
	AliasStep = 3
	// freeSteps begins the steps that have no order among themselves.
	freeSteps = 5
)

// Call is one step of a person's story, as JSON.
func Call(person, step int) string { return fmt.Sprintf(story[step], person) }

// Place is one step of one person's story.
type Place struct{ Person, Step int }

// String returns the messageId of the place's call.
func (p Place) String() string { return fmt.Sprintf("p%d-%d", p.Person, p.Step) }

var messageID = regexp.MustCompile(`^p(\d+)-(\d)$`)

// PlaceOf is the place of a call, by its messageId.
func PlaceOf(id string) (Place, error) {
	parts := messageID.FindStringSubmatch(id)
	if parts == nil {
		return Place{}, fmt.Errorf("%w: messageId %s", ErrNobody, id)
	}
	return place(parts[1], parts[2])
}

// Delivery is one record that a vendor got.
type Delivery struct {
	Place
	At time.Time
	// Content is the request's method, path and record, byte for byte.
	Content string
	// Faulty tells that the exchange met a fault.
	Faulty bool
}

// Deliveries are the records of those exchanges that count, in order of arrival.
func Deliveries(exchanges []simulator.Exchange, counts func(simulator.Exchange) bool) ([]Delivery, error) {
	var all []Delivery
	for _, exchange := range exchanges {
		if !counts(exchange) {
			continue
		}
		for _, record := range exchange.Records {
			text, err := json.Marshal(record)
			if err != nil {
				return nil, err
			}
			d := Delivery{At: exchange.At, Content: exchange.Method + " " + exchange.Path + " " + string(text), Faulty: exchange.Fault != ""}
			if d.Place, err = whatItIs(text); err != nil {
				return nil, err
			}
			all = append(all, d)
		}
	}
	return all, nil
}

var (
	stepText = regexp.MustCompile(`p(\d+) step (\d)`)
	oldID    = regexp.MustCompile(`"p(\d+)-old"`)
	newID    = regexp.MustCompile(`"p(\d+)-new"`)
)

// ErrNobody tells that something is in nobody's story.
var ErrNobody = errors.New("in nobody's story")

// whatItIs finds a record's place in the story, in any vendor's words.
func whatItIs(record []byte) (Place, error) {
	event, old, renamed := stepText.FindSubmatch(record), oldID.FindSubmatch(record), newID.FindSubmatch(record)
	switch {
	case event != nil:
		return place(string(event[1]), string(event[2]))
	case old != nil && renamed != nil:
		return place(string(old[1]), strconv.Itoa(AliasStep))
	case old != nil:
		return place(string(old[1]), strconv.Itoa(AliasStep-2))
	case renamed != nil:
		return place(string(renamed[1]), strconv.Itoa(AliasStep+1))
	}
	return Place{}, fmt.Errorf("%w: %s", ErrNobody, record)
}

func place(person, step string) (Place, error) {
	p, err := strconv.Atoi(person)
	if err != nil {
		return Place{}, err
	}
	s, err := strconv.Atoi(step)
	return Place{p, s}, err
}

// Missing returns the places, of all that are meant, that were not delivered.
func Missing(all []Delivery, meant []Place) (lost []Place) {
	got := map[Place]bool{}
	for _, d := range all {
		got[d.Place] = true
	}
	for _, p := range meant {
		if !got[p] {
			lost = append(lost, p)
		}
	}
	return lost
}

// Changed returns the places that were delivered in more than one way.
func Changed(all []Delivery) (changed []Place) {
	first := map[Place]string{}
	for _, d := range all {
		if content, again := first[d.Place]; !again {
			first[d.Place] = d.Content
		} else if content != d.Content {
			changed = append(changed, d.Place)
		}
	}
	return changed
}

// Swap is a delivery that came too late.
type Swap struct {
	Delivery
	// After is the step that had come before it.
	After int
}

// Swaps returns what was out of order. The ends part the runs of aka from each other: within a run everybody's story goes
// forward, and whatever is delivered for the first time comes after all that was before it.
func Swaps(all []Delivery, ends []time.Time) (swaps []Swap) {
	seen := map[Place]bool{}
	furthest := map[int]int{} // step by person, over all runs
	last := map[[2]int]int{}  // step by run and person
	for _, d := range all {
		run := [2]int{RunOf(d.At, ends), d.Person}
		step := min(d.Step, freeSteps)
		before := last[run]
		if !seen[d.Place] {
			before = furthest[d.Person]
		}
		if step < before {
			swaps = append(swaps, Swap{Delivery: d, After: before})
		}
		seen[d.Place] = true
		last[run] = max(last[run], step)
		furthest[d.Person] = max(furthest[d.Person], step)
	}
	return swaps
}

// Repeat is a delivery that was made before.
type Repeat struct {
	Delivery
	// Before is the last one before it.
	Before Delivery
}

// Repeats returns what was delivered more than once.
func Repeats(all []Delivery) (repeats []Repeat) {
	before := map[string]Delivery{}
	for _, d := range all {
		if first, again := before[d.Content]; again {
			repeats = append(repeats, Repeat{Delivery: d, Before: first})
		}
		before[d.Content] = d
	}
	return repeats
}

// RunOf tells how many runs had ended at a time.
func RunOf(at time.Time, ends []time.Time) int {
	run := 0
	for _, end := range ends {
		if at.After(end) {
			run++
		}
	}
	return run
}
