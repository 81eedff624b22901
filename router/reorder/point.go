package reorder

import (
	"encoding/binary"
	"errors"
	"time"

	"aka/router/journal"
)

// Point is where an order can go on after a restart: before a frame, with the calls of earlier frames that are held there.
type Point struct {
	// Frame is the sequence of the frame that comes next.
	Frame uint64
	// Due is when the last call that was held had to go.
	Due time.Time
	// Held are the calls that are held, as they stand in the log.
	Held []Held
}

// Held is a call that is held.
type Held struct {
	journal.Position
	// Late is how much later it must go than by its window, in whole milliseconds.
	Late time.Duration
}

// First is the first frame that is needed to go on.
func (p *Point) First() uint64 {
	if len(p.Held) == 0 {
		return p.Frame
	}
	return p.Held[0].Seq
}

// Point returns where the order is, when all frames before next were added.
func (o *Order) Point(next uint64) Point {
	p := Point{Frame: next, Due: o.due}
	for c := range o.held.all {
		p.Held = append(p.Held, Held{c.position, c.late})
	}
	return p
}

// Resume begins at a point. Restore is to be called with each frame from its first to its own, before the first Add.
func Resume(p Point) *Order {
	o := New()
	o.due, o.restoring = p.Due, p.Held
	return o
}

// Restore takes in the calls of an earlier frame that are held, and returns how many there are.
func (o *Order) Restore(f *journal.Frame) (calls int) {
	for len(o.restoring) > 0 && o.restoring[0].Seq <= f.Seq {
		held := o.restoring[0]
		if o.restoring = o.restoring[1:]; held.Seq == f.Seq && held.Index < len(f.Entries) {
			o.restore(f, held)
			calls++
		}
	}
	o.now = f.Committed
	o.rank = f.Before + uint64(len(f.Entries)) - uint64(o.held.len)
	return calls
}

func (o *Order) restore(f *journal.Frame, held Held) {
	e := &f.Entries[held.Index]
	c := o.newCall(e, held.Position, isMoved(e))
	if c.late = held.Late; c.device {
		o.holdDevice(c, f.Committed.Add(e.ReorderWindow))
		return
	}
	o.hold(c)
}

// Encode returns the point as DecodePoint reads it: some bytes for each frame that has held calls.
func (p *Point) Encode() []byte {
	out := binary.AppendUvarint(nil, p.Frame)
	due := int64(0)
	if !p.Due.IsZero() {
		due = p.Due.UnixMilli()
	}
	out = binary.AppendVarint(out, due)
	for i := 0; i < len(p.Held); {
		end := i + 1
		for end < len(p.Held) && p.Held[end] == p.Held[i].next(end-i) {
			end++
		}
		out = binary.AppendUvarint(out, p.Frame-p.Held[i].Seq)
		out = binary.AppendUvarint(out, uint64(p.Held[i].Index))
		out = binary.AppendUvarint(out, uint64(end-i))
		out = binary.AppendUvarint(out, uint64(p.Held[i].Late.Milliseconds()))
		i = end
	}
	return out
}

// next is the call that stands so many calls behind h, as late as it.
func (h Held) next(n int) Held {
	h.Index += n
	return h
}

var errPoint = errors.New("saved order cannot be read")

// What is read is bounded: a frame has no more calls, and no call is later.
const (
	maxHeldInFrame = 1 << 20
	maxLateMillis  = 1 << 32
)

// DecodePoint reads what Encode wrote.
func DecodePoint(data []byte) (p Point, err error) {
	var n int
	var due int64
	if p.Frame, n = binary.Uvarint(data); n <= 0 {
		return Point{}, errPoint
	}
	data = data[n:]
	if due, n = binary.Varint(data); n <= 0 {
		return Point{}, errPoint
	}
	data = data[n:]
	if due != 0 {
		p.Due = time.UnixMilli(due).UTC()
	}
	for len(data) > 0 {
		var run [4]uint64 // frames back, index, calls, late
		for i := range run {
			if run[i], n = binary.Uvarint(data); n <= 0 {
				return Point{}, errPoint
			}
			data = data[n:]
		}
		if run[0] == 0 || run[0] > p.Frame || run[1] > maxHeldInFrame || run[2] > maxHeldInFrame || run[3] > maxLateMillis {
			return Point{}, errPoint
		}
		first := Held{journal.Position{Seq: p.Frame - run[0], Index: int(run[1])}, time.Duration(run[3]) * time.Millisecond}
		for i := range run[2] {
			p.Held = append(p.Held, first.next(int(i)))
		}
	}
	return p, nil
}
