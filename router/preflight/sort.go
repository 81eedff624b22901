package preflight

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"
	"time"

	"aka/router/journal"
	"aka/router/journal/frame"
	"aka/router/reorder"
)

// runBytes is how many bytes of calls are sorted at once. Sorted runs are merged when they are read.
const runBytes = 32 << 20

// sorter sorts calls by the time at which they were received. Calls of one time stay as they came.
type sorter struct {
	disk  *disk
	asIs  bool
	bytes []byte
	items []sortItem
	runs  []*blocks
	calls int
}

// sortItem is a call in the run that is being filled.
type sortItem struct {
	key      int64
	from, to int
	at       place
}

func newSorter(d *disk, asIs bool) *sorter { return &sorter{disk: d, asIs: asIs} }

func (s *sorter) add(key int64, at place, e *journal.Entry) error {
	from := len(s.bytes)
	s.bytes = frame.AppendRecord(s.bytes, e)
	s.items = append(s.items, sortItem{key, from, len(s.bytes), at})
	s.calls++
	if len(s.bytes) < runBytes {
		return nil
	}
	return s.flush()
}

// flush sorts the run and puts it away.
func (s *sorter) flush() error {
	if len(s.items) == 0 {
		return nil
	}
	if !s.asIs {
		slices.SortStableFunc(s.items, func(a, b sortItem) int { return cmp.Compare(a.key, b.key) })
	}
	run := newBlocks(s.disk)
	for _, item := range s.items {
		if err := run.addRecord(item.at, s.bytes[item.from:item.to]); err != nil {
			return err
		}
	}
	s.runs = append(s.runs, run)
	s.bytes, s.items = s.bytes[:0], s.items[:0]
	return run.end()
}

// end puts the last run away.
func (s *sorter) end() error {
	err := s.flush()
	s.bytes, s.items = nil, nil
	return err
}

// each visits all calls in order.
func (s *sorter) each(visit func(at place, e *journal.Entry) error) error {
	if s.asIs || len(s.runs) == 1 {
		for _, run := range s.runs {
			if err := run.each(visit); err != nil {
				return err
			}
		}
		return nil
	}
	return s.merge(visit)
}

// merge visits the calls of several sorted runs.
func (s *sorter) merge(visit func(at place, e *journal.Entry) error) error {
	var heads runHeap
	for i, run := range s.runs {
		h := &runHead{cursor: run.open(), run: i}
		defer h.cursor.close()
		if err := h.next(); err != nil {
			return err
		}
		if h.entry != nil {
			heads = append(heads, h)
		}
	}
	heap.Init(&heads)
	for len(heads) > 0 {
		h := heads[0]
		if err := visit(h.at, h.entry); err != nil {
			return err
		}
		if err := h.next(); err != nil {
			return err
		}
		if h.entry == nil {
			heap.Pop(&heads)
			continue
		}
		heap.Fix(&heads, 0)
	}
	return nil
}

// runHead is the next call of a run.
type runHead struct {
	cursor *cursor
	run    int
	at     place
	entry  *journal.Entry
}

func (h *runHead) next() (err error) {
	h.at, h.entry, err = h.cursor.next()
	return err
}

type runHeap []*runHead

func (h runHeap) Len() int { return len(h) }
func (h runHeap) Less(i, j int) bool {
	return cmp.Or(h[i].entry.ReceivedAt.Compare(h[j].entry.ReceivedAt), cmp.Compare(h[i].run, h[j].run)) < 0
}
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)   { *h = append(*h, x.(*runHead)) }
func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// deviceOrder puts a device's calls in the order in which the device made them, as aka does with calls that arrive.
type deviceOrder struct {
	give  func(at place, e *journal.Entry) error
	order *reorder.Order
	held  map[uint64]heldCall // by their frames
	seq   uint64
	now   time.Time
}

type heldCall struct {
	at    place
	entry *journal.Entry
}

func newDeviceOrder(give func(place, *journal.Entry) error) *deviceOrder {
	return &deviceOrder{give: give, order: reorder.New(), held: map[uint64]heldCall{}}
}

func (o *deviceOrder) add(at place, e *journal.Entry) error {
	if e.ReceivedAt.After(o.now) {
		o.now = e.ReceivedAt
	}
	if e.ReorderWindow == 0 && len(o.held) == 0 {
		return o.give(at, e)
	}
	o.seq++
	o.held[o.seq] = heldCall{at, e}
	o.order.Add(frame.NewDecodedPerReader(o.seq, 0, o.now, []journal.Entry{*e}, 0))
	return o.placed()
}

// placed hands on the calls that have their place.
func (o *deviceOrder) placed() error {
	for p, ok := o.order.Next(); ok; p, ok = o.order.Next() {
		c := o.held[p.Position.Seq]
		delete(o.held, p.Position.Seq)
		if p.Reversed {
			c.at = c.at.withReversed()
		}
		if err := o.give(c.at, c.entry); err != nil {
			return err
		}
	}
	return nil
}

// end hands on all that is held.
func (o *deviceOrder) end() error {
	o.order.Advance(o.now.Add(time.Hour)) // longer than any window
	if err := o.placed(); err != nil {
		return err
	}
	for _, seq := range slices.Sorted(maps.Keys(o.held)) {
		if err := o.give(o.held[seq].at, o.held[seq].entry); err != nil {
			return err
		}
	}
	return nil
}
