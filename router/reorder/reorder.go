// Package reorder puts the calls of one device into the order in which the device made them, where they arrive in another.
// Frames of the log go in, and the calls come out in the order in which every destination takes them.
//
// A device's call is held for its window. When its time has come, held calls of the same source go before it that were made
// earlier by the device's clock, and that share an id with it or with one that goes before it. Other calls are not moved: one that
// shares an id with a held call waits behind it, and all others pass at once.
//
// The time is the log's: that of its frames, and of the committer's marks behind the last. So the order depends on the log
// alone, and is the same at each destination and after each restart.
package reorder

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"aka/router/journal"
	"aka/router/segment"
)

// Placed is a call in its place.
type Placed struct {
	Position journal.Position
	// Rank is its place in the order.
	Rank journal.Rank
	// Held reports whether it was held, so that its frame is not the last that was added.
	Held bool
	// Reversed reports whether it is an alias whose ids a browser's SDK has swapped: its previousId is the userId of an identify that
	// the device made after it.
	Reversed bool
}

// Order belongs to one goroutine.
type Order struct {
	// now is the time of the log: that of the last frame or mark.
	now time.Time
	// held are the calls that were not placed, as they stand in the log; those that were placed meanwhile are gone.
	held list
	// devices are those of held that wait for their time. due is when the last of them must go, or had to.
	devices list
	due     time.Time
	ids     map[uint64]*identity
	rank    uint64
	placed  []Placed
	first   int // of placed

	// group are the calls that are being placed, and reversed which of them are reversed.
	group    []*call
	reversed []bool
	free     positionHeap // of those that waited behind them: the next
	slab     []call       // the next calls
	// restoring are the calls that were held when the order was saved, and are still to come.
	restoring []Held
	unused    []*identity
}

// New returns an order that begins with the next frame.
func New() *Order { return &Order{ids: map[uint64]*identity{}} }

// call is a held call.
type call struct {
	position journal.Position
	ids      [3]uint64 // digests of its userId, anonymousId and previousId; 0 is none
	claims   [3]claim
	source   uint64 // digest
	clock    int64
	due      time.Time
	request  int
	kind     segment.Type
	late     time.Duration // how much later it is due than by its window
	device   bool          // it waits for its time; else it waits behind others
	stamped  bool          // aka.js named its ids
	linked   bool          // its previousId is its anonymousId
	gone     bool          // it is being placed, or was
	free     bool          // it waits for nothing any more
}

// Due returns when the oldest call of a device must go, in the log's time; ok is false when none is held.
func (o *Order) Due() (due time.Time, ok bool) {
	if c := o.devices.front(); c != nil {
		return c.due, true
	}
	return time.Time{}, false
}

// Now returns the log's time, as far as it is known.
func (o *Order) Now() time.Time { return o.now }

// IsIdle reports whether nothing is held, and what comes does not depend on what was held.
func (o *Order) IsIdle() bool { return o.held.len == 0 && !o.due.After(o.now) }

// Held is how many calls are held.
func (o *Order) Held() int { return o.held.len }

// Advance moves the log's time on: no frame that comes was written before t.
func (o *Order) Advance(t time.Time) {
	if t.After(o.now) {
		o.now = t
	}
	for c := o.devices.front(); c != nil && !o.now.Before(c.due); c = o.devices.front() {
		o.release(c)
	}
}

// Add takes the next frame in.
func (o *Order) Add(f *journal.Frame) {
	o.rank = max(o.rank, f.Before-min(f.Before, uint64(o.held.len)))
	o.Advance(f.Committed)
	for i := range f.Entries {
		o.add(f, i)
	}
}

// add takes one call in.
func (o *Order) add(f *journal.Frame, i int) {
	e := &f.Entries[i]
	device := isMoved(e)
	if !device && o.held.len == 0 {
		o.place(journal.Position{Seq: f.Seq, Index: i}, false, false)
		return
	}
	c := o.newCall(e, journal.Position{Seq: f.Seq, Index: i}, device)
	switch {
	case device:
		// The oldest is the first to go, whatever the windows of the sources.
		own := f.Committed.Add(e.ReorderWindow)
		c.late = max(0, o.due.Sub(own))
		o.holdDevice(c, own)
	case o.isBehind(c):
		o.hold(c)
	default:
		o.place(c.position, false, false)
	}
}

// holdDevice holds a device's call until its time. own is that by its window.
func (o *Order) holdDevice(c *call, own time.Time) {
	c.due = own.Add(c.late)
	if c.due.After(o.due) {
		o.due = c.due
	}
	o.devices.push(c)
	o.hold(c)
}

func (o *Order) hold(c *call) {
	o.slab = o.slab[1:]
	o.held.push(c)
	for i, id := range c.ids {
		if id != 0 {
			o.identity(id).add(c, &c.claims[i])
		}
	}
}

// newCall returns a call that is used again unless it is held.
func (o *Order) newCall(e *journal.Entry, pos journal.Position, device bool) *call {
	if len(o.slab) == 0 {
		o.slab = make([]call, slabCalls)
	}
	c := &o.slab[0]
	c.fill(e, pos, device)
	return c
}

// slabCalls is how many calls are made at once.
const slabCalls = 64

// isMoved reports whether a call takes its place by its device's clock. One that was replayed keeps its place.
func isMoved(e *journal.Entry) bool {
	return e.ReorderWindow > 0 && e.Clock != 0 && e.FromDevice && e.Target == "" && e.Replayed == nil
}

func (c *call) fill(e *journal.Entry, pos journal.Position, device bool) {
	*c = call{
		position: pos, ids: [3]uint64{digest(e.UserID), digest(e.AnonymousID), digest(e.PreviousID)}, kind: e.Type, device: device,
	}
	if c.ids[1] == c.ids[0] {
		c.ids[1] = 0
	}
	if c.ids[2] == c.ids[0] || c.ids[2] == c.ids[1] {
		c.ids[2], c.linked = 0, true
	}
	if device {
		c.source, c.clock, c.request = digest(e.Source), e.Clock, e.Request
		c.stamped = e.UserIDStamped
	}
}

// isBehind reports whether a held call shares an id with c.
func (o *Order) isBehind(c *call) bool {
	return slices.ContainsFunc(c.ids[:], func(id uint64) bool {
		return id != 0 && o.ids[id] != nil
	})
}

func (o *Order) identity(id uint64) *identity {
	found := o.ids[id]
	if found == nil {
		if last := len(o.unused) - 1; last >= 0 {
			found, o.unused = o.unused[last], o.unused[:last]
		} else {
			found = new(identity)
		}
		o.ids[id] = found
	}
	return found
}

// release places a call whose time has come: behind those that its device made before it, and with those of the same moment.
func (o *Order) release(due *call) {
	o.gather(due)
	o.sortGroup()
	o.reversed = o.reversed[:0]
	for _, c := range o.group {
		o.reversed = append(o.reversed, o.isReversed(c))
	}
	for i, c := range o.group {
		o.place(c.position, true, o.reversed[i])
		o.remove(c)
	}
	o.releaseWaiting()
}

// gather collects the call, and those that were made no later and share ids with it or with one of them.
func (o *Order) gather(due *call) {
	due.gone = true
	o.group = append(o.group[:0], due)
	for next := 0; next < len(o.group); next++ {
		for _, id := range o.group[next].ids {
			if id == 0 {
				continue
			}
			o.group = o.ids[id].takeEarlier(due, o.group)
		}
	}
}

// maxTied is how many calls of one moment are put in order around an alias. More than a person makes in a millisecond.
const maxTied = 64

// sortGroup sorts by the device's clock. Calls of one moment stand as they came, unless one of them is an alias.
func (o *Order) sortGroup() {
	if len(o.group) == 1 {
		return
	}
	slices.SortFunc(o.group, func(a, b *call) int {
		return cmp.Or(cmp.Compare(a.clock, b.clock), a.position.Compare(b.position))
	})
	for start := 0; start < len(o.group); {
		end := start + 1
		for end < len(o.group) && o.group[end].clock == o.group[start].clock {
			end++
		}
		sortTied(o.group[start:end])
		start = end
	}
}

// sortTied puts calls of one moment in order. What names an alias's previousId, and not its userId, goes before it; what names
// its userId goes behind it. The calls of one request keep their order, and so do all others.
func sortTied(tied []*call) {
	if len(tied) < 2 || len(tied) > maxTied || !slices.ContainsFunc(tied, func(c *call) bool { return c.kind == segment.Alias }) {
		return
	}
	left := slices.Clone(tied)
	for i := range tied {
		next := slices.IndexFunc(left, func(c *call) bool {
			return !slices.ContainsFunc(left, func(other *call) bool { return other != c && goesBefore(other, c) })
		})
		next = max(next, 0) // a circle: as they came
		tied[i] = left[next]
		left = slices.Delete(left, next, next+1)
	}
}

// goesBefore reports whether a must stand before b, both of one moment.
func goesBefore(a, b *call) bool {
	if a.position.Seq == b.position.Seq && a.request == b.request {
		return a.position.Index < b.position.Index
	}
	if b.kind == segment.Alias && a.kind != segment.Alias {
		return a.names(b.previous()) && !a.names(b.ids[0])
	}
	return a.kind == segment.Alias && b.kind != segment.Alias && b.names(a.ids[0])
}

// previous is the digest of an alias's previousId.
func (c *call) previous() uint64 {
	if c.linked {
		return c.ids[1]
	}
	return c.ids[2]
}

func (c *call) names(id uint64) bool { return id != 0 && slices.Contains(c.ids[:], id) }

// maxSearched bounds how many calls of an id are looked at for an identify.
const maxSearched = 1000

// isReversed reports whether c is an alias that a browser's SDK has reversed.
func (o *Order) isReversed(c *call) bool {
	previous := c.previous()
	if c.kind != segment.Alias || c.stamped || c.linked || previous == 0 {
		return false
	}
	searched := 0
	for other := range o.ids[previous].all {
		if searched++; searched > maxSearched {
			break
		}
		if other.device && other.kind == segment.Identify && other.source == c.source && other.ids[0] == previous && other.isAfter(c) {
			return true
		}
	}
	return false
}

// isAfter reports whether the device made c after the other.
func (c *call) isAfter(other *call) bool {
	sameRequest := c.position.Seq == other.position.Seq && c.request == other.request
	return c.clock > other.clock || c.clock == other.clock && sameRequest && c.position.Index > other.position.Index
}

// releaseWaiting places the calls that waited behind those of the group, as they stand in the log.
func (o *Order) releaseWaiting() {
	for _, c := range o.group {
		o.freed(c)
	}
	for len(o.free) > 0 {
		next := heap.Pop(&o.free).(*call)
		o.place(next.position, true, false)
		next.gone = true
		o.remove(next)
		o.freed(next)
	}
	o.held.front() // so that what was placed leaves memory
}

// freed notes which calls are the first of all their ids, now that one before them was placed.
func (o *Order) freed(placed *call) {
	for _, id := range placed.ids {
		held := o.ids[id]
		if held == nil {
			continue
		}
		if c := held.first.call; !c.device && !c.free && o.isFirst(c) {
			c.free = true
			heap.Push(&o.free, c)
		}
	}
}

// isFirst reports whether c is the first held call of each of its ids.
func (o *Order) isFirst(c *call) bool {
	return !slices.ContainsFunc(c.ids[:], func(id uint64) bool { return id != 0 && o.ids[id].first.call != c })
}

// remove forgets a call that was placed.
func (o *Order) remove(c *call) {
	o.held.len--
	if c.device {
		o.devices.len--
	}
	for i, id := range c.ids {
		if id == 0 {
			continue
		}
		held := o.ids[id]
		if held.remove(&c.claims[i]); held.first == nil {
			delete(o.ids, id)
			held.reset()
			o.unused = append(o.unused, held)
		}
	}
}

func (o *Order) place(pos journal.Position, held, reversed bool) {
	o.rank++
	o.placed = append(o.placed, Placed{Position: pos, Rank: journal.Rank{Seq: o.rank, Index: mark(pos)}, Held: held, Reversed: reversed})
}

// mark is a number that tells calls of one rank apart. They are rare: an order that begins anew, as where the log has lost what it
// needs, may give a rank again that a parked call has.
func mark(pos journal.Position) int {
	return int((pos.Seq*0x9e3779b97f4a7c15 + uint64(pos.Index)*0xbf58476d1ce4e5b9) >> 33)
}

// Next returns the next call that is in its place.
func (o *Order) Next() (p Placed, ok bool) {
	if o.first == len(o.placed) {
		o.placed, o.first = o.placed[:0], 0
		return Placed{}, false
	}
	p = o.placed[o.first]
	o.first++
	return p, true
}

// digest is FNV-1a of an id, the same in each run: an order that depends on it must not change with a restart. Two ids of one
// digest count as one; that costs a wait. No id has 0.
func digest(id string) uint64 {
	if id == "" {
		return 0
	}
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	return max(h, 1)
}
