package reorder

// positionHeap is calls, the first of the log first.
type positionHeap []*call

func (h positionHeap) Len() int { return len(h) }

func (h positionHeap) Less(i, j int) bool { return h[i].position.Before(h[j].position) }

func (h positionHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push appends a call.
func (h *positionHeap) Push(c any) { *h = append(*h, c.(*call)) }

// Pop takes the last call off.
func (h *positionHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}

// list is calls as they stand in the log. Those that are gone are passed over.
type list struct {
	calls []*call
	first int
	len   int // that are not gone
}

func (l *list) push(c *call) {
	if l.first > len(l.calls)/2 {
		n := copy(l.calls, l.calls[l.first:])
		clear(l.calls[n:])
		l.calls, l.first = l.calls[:n], 0
	}
	l.calls = append(l.calls, c)
	l.len++
}

// front returns the first call that is not gone, or nil.
func (l *list) front() *call {
	for l.first < len(l.calls) && l.calls[l.first].gone {
		l.calls[l.first] = nil
		l.first++
	}
	if l.first == len(l.calls) {
		l.calls, l.first = l.calls[:0], 0
		return nil
	}
	return l.calls[l.first]
}

// all yields the calls that are not gone.
func (l *list) all(yield func(*call) bool) {
	for _, c := range l.calls[l.first:] {
		if !c.gone && !yield(c) {
			return
		}
	}
}
