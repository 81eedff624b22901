package main

import (
	"fmt"
	"net/url"

	"aka/e2e/harness"
)

// failing numbers the calls of failing people, each of which has a number of its own.
const failing = 600_000_000

// chains check the order of failing people's calls, which may be thousands for each. All calls of the first person have the first
// numbers, those of the second the next.
type chains struct {
	chainCounts
	length int
	seen   map[int]bool
	newest map[int]int // by person
}

// chainCounts are what has come: calls that came once, after a later one, and again.
type chainCounts struct{ Delivered, Swapped, Repeated int }

func newChains(length int) *chains {
	return &chains{length: length, seen: map[int]bool{}, newest: map[int]int{}}
}

func (c *chains) add(number int) {
	person := number / c.length
	switch newest, any := c.newest[person]; {
	case c.seen[number]:
		c.Repeated++
		return
	case any && number < newest:
		c.Swapped++
	default:
		c.newest[person] = number
	}
	c.seen[number] = true
	c.Delivered++
}

// chainBatches are calls of people of one name, so many of each, from one of these people on. They are identifies, so many in a request.
func chainBatches(base *url.URL, name string, person, length, calls int) harness.Traffic {
	w := &harness.Workload{Kinds: []string{"identify"}, Ranks: []int{0}, Call: func(number, step int) string {
		return fmt.Sprintf(`{"type":"identify","messageId":"%s","userId":"%s-%d","traits":{"step":%q,"plan":"pro"},"context":%s}`,
			harness.MessageID(number, step), name, person+number/length, harness.Mark(number, step), contextJSON)
	}}
	return w.Batches(base, calls)
}
