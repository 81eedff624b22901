package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"sort"

	"aka/router/journal/codec"
)

// Progress is how far one destination has come: which calls have ended there. It belongs to one goroutine.
//
// Below the floor every call has ended; above it, those that ended out of order are remembered one by one.
type Progress struct {
	floor  uint64 // the first frame that may have a call that has not ended
	frames []frameProgress
	begun  uint64 // calls of the frames
	ended  uint64 // those of them that have ended

	// callsBelow is how many calls the log had accepted before the floor.
	callsBelow uint64
	// saved and savedRuns are the marks of an earlier run for frames that this run has not begun yet: bits for the calls of
	// a frame, and runs of frames that had ended whole, in order.
	saved     map[uint64][]uint64
	savedRuns []frameRun
	// order is what SetOrder was given.
	order Order
	// crashed tells that the earlier run did not end in order, or left calls possibly delivered.
	crashed bool
}

// frameProgress are the marks of one frame: a bit for each call that has ended. Frames that have ended whole, one after the
// other, share one, so that its size goes with what waits and not with what has ended behind it.
type frameProgress struct {
	frameRun
	calls, ended uint64
	endedAt      []uint64 // nil when all have ended
}

// frameRun is some frames in a row.
type frameRun struct{ seq, frames uint64 }

func (r frameRun) end() uint64 { return r.seq + r.frames }

func (f *frameProgress) whole() bool { return f.ended == f.calls }

// NewProgress is a destination's progress before its first call: it starts at the position, the log having accepted calls
// before.
func NewProgress(from Position, calls uint64) *Progress {
	return &Progress{floor: from.Seq, callsBelow: calls}
}

// Order is where the order of devices' calls goes on after a restart. Its reader knows what it says.
type Order struct {
	// Frame is the frame that comes next, not above the floor; First is the first frame that is needed to go on there.
	Frame, First uint64
	Encoded      []byte
}

// SetOrder has the order saved with the progress.
func (p *Progress) SetOrder(o Order) { p.order = o }

// Order returns what was saved last; it is zero where nothing was.
func (p *Progress) Order() Order { return p.order }

// ForgetOrder has the order begin anew at the floor.
func (p *Progress) ForgetOrder() { p.order = Order{} }

// Needed returns the first frame of the log that is still needed: the floor, or one below it by which the order is found again.
func (p *Progress) Needed() uint64 {
	if p.order.Frame == 0 {
		return p.floor
	}
	return min(p.floor, p.order.First)
}

// Floor returns the sequence of the first frame that may hold a call that has not ended.
func (p *Progress) Floor() uint64 { return p.floor }

// Ended returns how many calls have ended in the log's life.
func (p *Progress) Ended() uint64 { return p.callsBelow + p.ended }

// Begin takes in the next frame that was read. Frames come in order. The calls of frames between that are lost have ended.
func (p *Progress) Begin(f *Frame) {
	lost := p.lostBefore(f)
	if len(p.frames) == 0 {
		p.floor, p.callsBelow = f.Seq, f.Before
	}
	fp := frameProgress{frameRun: frameRun{f.Seq, 1}, calls: uint64(len(f.Entries)), endedAt: make([]uint64, (len(f.Entries)+63)/64)}
	p.recall(&fp)
	fp.calls += lost
	fp.ended += lost
	p.begun += fp.calls
	p.ended += fp.ended
	p.frames = append(p.frames, fp)
	p.settle(len(p.frames) - 1)
}

// lostBefore is how many calls were accepted between the last frame and this one, and are not in the log any more.
func (p *Progress) lostBefore(f *Frame) uint64 {
	if len(p.frames) == 0 {
		return 0
	}
	return f.Before - min(f.Before, p.callsBelow+p.begun)
}

// recall takes over what an earlier run has saved of a frame.
func (p *Progress) recall(f *frameProgress) {
	for len(p.savedRuns) > 0 && p.savedRuns[0].end() <= f.seq {
		p.savedRuns = p.savedRuns[1:]
	}
	if len(p.savedRuns) > 0 && p.savedRuns[0].seq <= f.seq {
		f.ended = f.calls
		return
	}
	saved, ok := p.saved[f.seq]
	if !ok {
		return
	}
	delete(p.saved, f.seq)
	copy(f.endedAt, saved)
	if last := f.calls % 64; last > 0 && len(saved) >= len(f.endedAt) {
		f.endedAt[len(f.endedAt)-1] &= 1<<last - 1
	}
	for _, word := range f.endedAt {
		f.ended += uint64(bits.OnesCount64(word))
	}
}

// HasEnded reports whether the call at pos, of a frame that has begun, has ended.
func (p *Progress) HasEnded(pos Position) bool {
	i := p.find(pos.Seq)
	return i < 0 || p.frames[i].has(pos.Index)
}

func (f *frameProgress) has(index int) bool {
	return f.whole() || f.endedAt[index/64]&(1<<(index%64)) != 0
}

// End marks the call at pos as ended. To end a call twice does nothing.
func (p *Progress) End(pos Position) {
	i := p.find(pos.Seq)
	if i < 0 || p.frames[i].has(pos.Index) {
		return
	}
	f := &p.frames[i]
	f.endedAt[pos.Index/64] |= 1 << (pos.Index % 64)
	f.ended++
	p.ended++
	p.settle(i)
}

// settle joins a frame that has ended whole with its neighbours that have, and moves the floor above them.
func (p *Progress) settle(i int) {
	if !p.frames[i].whole() {
		return
	}
	p.frames[i].endedAt = nil
	p.join(i)
	if i > 0 {
		p.join(i - 1)
	}
	for len(p.frames) > 0 && p.frames[0].whole() { // more than one, where frames between them are lost
		first := p.frames[0]
		p.frames = p.frames[1:]
		p.floor = first.end()
		p.callsBelow += first.calls
		p.begun -= first.calls
		p.ended -= first.calls
	}
	if len(p.frames) > 0 {
		p.floor = p.frames[0].seq
	}
}

// join makes one run of two neighbours that have ended whole.
func (p *Progress) join(i int) {
	if i+1 >= len(p.frames) {
		return
	}
	f, next := &p.frames[i], &p.frames[i+1]
	if !f.whole() || !next.whole() || f.end() != next.seq {
		return
	}
	f.frames += next.frames
	f.calls += next.calls
	f.ended += next.ended
	p.frames = slices.Delete(p.frames, i+1, i+2)
}

// find returns the index of the marks of a frame that has begun; -1 when there are none, because it has ended.
func (p *Progress) find(seq uint64) int {
	i := sort.Search(len(p.frames), func(i int) bool { return p.frames[i].end() > seq })
	if i < len(p.frames) && p.frames[i].seq <= seq {
		return i
	}
	return -1
}

const (
	progressVersion = 3
	orderedVersion  = 4 // the order stands before the marks
	flagStopped     = 1
)

// SetCrashed makes it progress whose run did not stop in order.
func (p *Progress) SetCrashed() { p.crashed = true }

// Crashed tells that the run before this one did not stop in order, or could not: calls that have not ended may have been
// sent.
func (p *Progress) Crashed() bool { return p.crashed }

// Encode returns the floor and the marks above it, for SaveProgress. stopped tells that nothing that has not ended is or was
// in flight without an answer, nor will be.
func (p *Progress) Encode(stopped bool) []byte {
	out := []byte{progressVersion, 0}
	if stopped {
		out[1] = flagStopped
	}
	out = binary.AppendUvarint(out, p.floor)
	out = binary.AppendUvarint(out, p.callsBelow)
	if p.order.Frame != 0 {
		out[0] = orderedVersion
		out = binary.AppendUvarint(out, p.order.Frame)
		out = binary.AppendUvarint(out, p.order.First)
		out = binary.AppendUvarint(out, uint64(len(p.order.Encoded)))
		out = append(out, p.order.Encoded...)
	}
	for i := range p.frames {
		switch f := &p.frames[i]; {
		case f.whole():
			out = p.appendRun(out, f.frameRun)
		case f.ended > 0:
			out = p.appendMarks(out, f.seq, f.endedAt)
		}
	}
	for _, run := range p.savedRuns {
		out = p.appendRun(out, run)
	}
	for seq, marks := range p.saved {
		out = p.appendMarks(out, seq, marks)
	}
	return codec.AppendSum(out)
}

// appendMarks writes a frame's distance from the floor, the number of its words, and these.
func (p *Progress) appendMarks(out []byte, seq uint64, marks []uint64) []byte {
	out = binary.AppendUvarint(out, seq-p.floor)
	out = binary.AppendUvarint(out, uint64(len(marks)))
	for _, word := range marks {
		out = binary.LittleEndian.AppendUint64(out, word)
	}
	return out
}

// appendRun writes a run's distance from the floor, no words, and the number of its frames.
func (p *Progress) appendRun(out []byte, run frameRun) []byte {
	out = binary.AppendUvarint(out, run.seq-p.floor)
	out = binary.AppendUvarint(out, 0)
	return binary.AppendUvarint(out, run.frames)
}

var errProgress = errors.New("saved progress cannot be read")

// DecodeProgress reads what Encode wrote.
func DecodeProgress(data []byte) (*Progress, error) {
	data, sound := codec.CutSum(data)
	if !sound || len(data) < 2 {
		return nil, fmt.Errorf("%w: checksum", errProgress)
	}
	version, flags, data := data[0], data[1], data[2:]
	if version != progressVersion && version != orderedVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads %d and %d", errProgress, version, progressVersion, orderedVersion)
	}
	bad := false
	next := func() uint64 {
		v, n := binary.Uvarint(data)
		if n <= 0 {
			bad, data = true, nil
			return 0
		}
		data = data[n:]
		return v
	}
	p := &Progress{floor: next(), callsBelow: next(), saved: map[uint64][]uint64{}, crashed: flags&flagStopped == 0}
	if version == orderedVersion {
		p.order = Order{Frame: next(), First: next()}
		length := next()
		if length > uint64(len(data)) {
			return nil, errProgress
		}
		p.order.Encoded, data = bytes.Clone(data[:length]), data[length:]
	}
	for len(data) > 0 {
		seq, words := p.floor+next(), next()
		if words == 0 {
			p.savedRuns = append(p.savedRuns, frameRun{seq, next()})
			continue
		}
		if words > uint64(len(data))/8 {
			return nil, errProgress
		}
		marks := make([]uint64, words)
		for i := range marks {
			marks[i] = binary.LittleEndian.Uint64(data)
			data = data[8:]
		}
		p.saved[seq] = marks
	}
	if bad {
		return nil, errProgress
	}
	return p, nil
}

// DropBelow moves the floor up to first: what stands below is not in the log any more.
func (p *Progress) DropBelow(first uint64) {
	p.floor = first
	if p.order.First < first {
		p.ForgetOrder()
	}
	maps.DeleteFunc(p.saved, func(saved uint64, _ []uint64) bool { return saved < first })
	p.savedRuns = slices.DeleteFunc(p.savedRuns, func(r frameRun) bool { return r.end() <= first })
	if len(p.savedRuns) > 0 && p.savedRuns[0].seq < first {
		p.savedRuns[0] = frameRun{first, p.savedRuns[0].end() - first}
	}
}

// Skip takes the frames from one up to another, where calls were accepted in all by then, for ended. Nothing that is saved lies
// behind the first of them.
func (p *Progress) Skip(from, to, calls uint64) {
	switch {
	case from >= to:
	case p.floor >= from:
		p.floor, p.callsBelow = to, calls
		p.ForgetOrder()
	default:
		p.savedRuns = append(p.savedRuns, frameRun{from, to - from})
	}
}

// Reached returns the last frame of which saved progress says that a call has ended; 0 when there is none.
func (p *Progress) Reached() uint64 {
	last := max(p.floor, 1) - 1
	for seq := range p.saved {
		last = max(last, seq)
	}
	for _, run := range p.savedRuns {
		last = max(last, run.end()-1)
	}
	return last
}

// CutAt forgets everything at seq and after: those frames are not in the log, and others will take their places.
func (p *Progress) CutAt(seq uint64) {
	p.floor = min(p.floor, seq)
	if p.order.Frame > p.floor {
		p.ForgetOrder()
	}
	maps.DeleteFunc(p.saved, func(saved uint64, _ []uint64) bool { return saved >= seq })
	p.savedRuns = slices.DeleteFunc(p.savedRuns, func(r frameRun) bool { return r.seq >= seq })
	if n := len(p.savedRuns); n > 0 && p.savedRuns[n-1].end() > seq {
		p.savedRuns[n-1].frames = seq - p.savedRuns[n-1].seq
	}
}
