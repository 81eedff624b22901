package crowd

// Tally is what became of everybody at one vendor, in two bytes each: for when too many come to keep what they brought. It is
// not safe for concurrent use.
type Tally struct {
	// Delivered are the calls that came, each counted once. Swapped came after one that belongs behind them, Repeated had come
	// before, Unknown are nobody's.
	Delivered, Swapped, Repeated, Unknown int

	later  []uint16 // by step, the steps that belong behind it
	steps  []uint16 // by person, the steps that came
	people int
}

// Ranks are the places of the story's steps in its order: those with one rank have no order among themselves.
var Ranks = []int{0, 1, 2, 3, 4, freeSteps, freeSteps}

// NewTally counts calls of so many people at most, whose stories have a step for each of these ranks, up to sixteen.
func NewTally(ranks []int, people int) *Tally {
	t := &Tally{later: make([]uint16, len(ranks)), people: people}
	for step, rank := range ranks {
		for other, behind := range ranks {
			if behind > rank {
				t.later[step] |= 1 << other
			}
		}
	}
	return t
}

// Add counts one delivery.
func (t *Tally) Add(p Place) {
	if p.Person < 0 || p.Person >= t.people || p.Step < 0 || p.Step >= len(t.later) {
		t.Unknown++
		return
	}
	for len(t.steps) <= p.Person {
		t.steps = append(t.steps, 0)
	}
	before, step := t.steps[p.Person], uint16(1)<<p.Step
	switch {
	case before&step != 0:
		t.Repeated++
		return
	case before&t.later[p.Step] != 0:
		t.Swapped++
	}
	t.Delivered++
	t.steps[p.Person] |= step
}

// Lost counts what never came of the first so many people's stories.
func (t *Tally) Lost(people int) (lost int) {
	for person := range people {
		for step := range t.later {
			if person >= len(t.steps) || t.steps[person]&(1<<step) == 0 {
				lost++
			}
		}
	}
	return lost
}
