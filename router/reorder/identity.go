package reorder

import (
	"cmp"
	"container/heap"
)

// identity is what is held of one id: its calls, as they stand in the log.
type identity struct {
	first, last *claim
	calls       int
	// bySource are those of devices, the earliest clock first. It is made once there are many: few are looked through.
	bySource map[uint64]*clockHeap
}

// claim is a call's place among those of one of its ids.
type claim struct {
	call          *call
	before, after *claim
}

// manyCalls is how many calls of an id are kept by their clocks.
const manyCalls = 16

func (i *identity) add(c *call, claim *claim) {
	claim.call, claim.before = c, i.last
	if i.last != nil {
		i.last.after = claim
	} else {
		i.first = claim
	}
	i.last = claim
	i.calls++
	switch {
	case i.bySource != nil:
		i.index(c)
	case i.calls > manyCalls:
		i.bySource = map[uint64]*clockHeap{}
		for c := range i.all {
			i.index(c)
		}
	}
}

func (i *identity) index(c *call) {
	if !c.device {
		return
	}
	devices := i.bySource[c.source]
	if devices == nil {
		devices = new(clockHeap)
		i.bySource[c.source] = devices
	}
	heap.Push(devices, c)
}

func (i *identity) remove(c *claim) {
	if c.before != nil {
		c.before.after = c.after
	} else {
		i.first = c.after
	}
	if c.after != nil {
		c.after.before = c.before
	} else {
		i.last = c.before
	}
	i.calls--
}

// reset makes it ready for another id.
func (i *identity) reset() { *i = identity{} }

// all yields the calls, also those that are being placed.
func (i *identity) all(yield func(*call) bool) {
	for c := i.first; c != nil; c = c.after {
		if !yield(c.call) {
			return
		}
	}
}

// takeEarlier appends the calls of due's device that were made no later than it to group, and marks them as gone.
func (i *identity) takeEarlier(due *call, group []*call) []*call {
	take := func(c *call) {
		c.gone = true
		group = append(group, c)
	}
	if i.bySource == nil {
		for c := range i.all {
			if !c.gone && c.device && c.source == due.source && c.clock <= due.clock {
				take(c)
			}
		}
		return group
	}
	devices := i.bySource[due.source]
	for c := devices.earliest(); c != nil && c.clock <= due.clock; c = devices.earliest() {
		take(c)
	}
	return group
}

// clockHeap is calls of devices, the earliest clock first.
type clockHeap []*call

// earliest returns the call with the earliest clock, or nil.
func (h *clockHeap) earliest() *call {
	if h == nil {
		return nil
	}
	for len(*h) > 0 && (*h)[0].gone {
		heap.Pop(h)
	}
	if len(*h) == 0 {
		return nil
	}
	return (*h)[0]
}

func (h clockHeap) Len() int { return len(h) }

func (h clockHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].clock, h[j].clock), h[i].position.Compare(h[j].position)) < 0
}

func (h clockHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push appends a call.
func (h *clockHeap) Push(c any) { *h = append(*h, c.(*call)) }

// Pop takes the last call off.
func (h *clockHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}
