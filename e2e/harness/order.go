package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"aka/destinations/simulator"
)

// OrderChecker counts a workload's calls at one vendor. It takes two bytes for each person, and is not safe for concurrent use.
type OrderChecker struct {
	// Delivered counts the calls that came, each once. Swapped counts those that came after a later step, Repeated those that had
	// come before, Unknown those that are not in the workload.
	Delivered, Swapped, Repeated, Unknown int

	later  []uint16 // by step, the steps of a higher rank
	steps  []uint16 // by person, the steps that came
	people int
	ends   []time.Time
	inRun  map[personRun]uint16 // the steps that came within a run; not used where there is one run only
}

type personRun struct{ person, run int }

// NewOrderChecker checks the calls of so many people at most. The ends are the times of aka's crashes. Between two of them no step may
// come after a later one, and a step that comes for the first time may not come after a later one of any time.
func NewOrderChecker(w *Workload, people int, ends ...time.Time) *OrderChecker {
	c := &OrderChecker{later: make([]uint16, len(w.Ranks)), people: people, ends: ends, inRun: map[personRun]uint16{}}
	for step, rank := range w.Ranks {
		for other, behind := range w.Ranks {
			if behind > rank {
				c.later[step] |= 1 << other
			}
		}
	}
	return c
}

// Add counts one delivery. When it is out of order, after is the last step that came too early.
func (c *OrderChecker) Add(s Step, at time.Time) (after int, swapped bool) {
	if s.Person < 0 || s.Person >= c.people || s.Index < 0 || s.Index >= len(c.later) {
		c.Unknown++
		return 0, false
	}
	for len(c.steps) <= s.Person {
		c.steps = append(c.steps, 0)
	}
	before, step := c.steps[s.Person], uint16(1)<<s.Index
	c.steps[s.Person] |= step
	inRun := before
	if len(c.ends) > 0 {
		run := personRun{s.Person, RunOf(at, c.ends)}
		inRun = c.inRun[run]
		c.inRun[run] |= step
	}
	if before&step != 0 {
		c.Repeated++
		before = inRun
	} else {
		c.Delivered++
	}
	overtaken := before & c.later[s.Index]
	if overtaken == 0 {
		return 0, false
	}
	c.Swapped++
	return bits.Len16(overtaken) - 1, true
}

// Lost counts the calls of the first so many people that have not come.
func (c *OrderChecker) Lost(people int) (lost int) {
	for person := range people {
		lost += len(c.later)
		if person < len(c.steps) {
			lost -= bits.OnesCount16(c.steps[person])
		}
	}
	return lost
}

// Delivery is one record that a vendor got.
type Delivery struct {
	Step
	At time.Time
	// Content is the request's method, path and record, byte for byte.
	Content string
	// Faulty says that the exchange met a fault.
	Faulty bool
}

// ErrUnknown says that something is no step of the workload.
var ErrUnknown = errors.New("no step of the workload")

// Deliveries are the records of those exchanges that count, in order of arrival. They are calls of the Basic workload.
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
			if !Basic.Find(text, func(s Step) { d.Step = s }) {
				return nil, fmt.Errorf("%w: %s", ErrUnknown, text)
			}
			all = append(all, d)
		}
	}
	return all, nil
}

// Missing returns the steps, of all that are expected, that were not delivered.
func Missing(all []Delivery, expected []Step) (lost []Step) {
	got := map[Step]bool{}
	for _, d := range all {
		got[d.Step] = true
	}
	for _, s := range expected {
		if !got[s] {
			lost = append(lost, s)
		}
	}
	return lost
}

// Changed returns the steps that were delivered in more than one way.
func Changed(all []Delivery) (changed []Step) {
	first := map[Step]string{}
	for _, d := range all {
		if content, again := first[d.Step]; !again {
			first[d.Step] = d.Content
		} else if content != d.Content {
			changed = append(changed, d.Step)
		}
	}
	return changed
}

// Swap is a delivery that came too late.
type Swap struct {
	Delivery
	// After is a step that came before it, and belongs behind it.
	After int
}

// Swaps returns what was out of order. The ends are those of NewOrderChecker.
func Swaps(all []Delivery, ends []time.Time) (swaps []Swap) {
	people := 0
	for _, d := range all {
		people = max(people, d.Person+1)
	}
	checker := NewOrderChecker(Basic, people, ends...)
	for _, d := range all {
		if after, swapped := checker.Add(d.Step, d.At); swapped {
			swaps = append(swaps, Swap{d, after})
		}
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

// RunOf returns how many runs had ended at a time.
func RunOf(at time.Time, ends []time.Time) int {
	run := 0
	for _, end := range ends {
		if at.After(end) {
			run++
		}
	}
	return run
}
