package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/nats-io/nats.go/jetstream"
)

// Progress is how far one destination has come: which calls have ended there. It belongs to one goroutine.
//
// Below the floor every call has ended; above it, those that ended out of order are remembered one by one.
type Progress struct {
	floor  uint64 // the first frame that may have a call that has not ended
	frames []frameProgress
	ended  uint64 // calls that ended above the floor

	// callsBelow is how many calls the log had accepted before the floor.
	callsBelow uint64
	// saved are the marks of an earlier run for frames that this run has not begun yet.
	saved map[uint64][]uint64
	// crashed tells that the earlier run did not end in order, or left something in doubt.
	crashed bool
}

// frameProgress are the marks of one frame: a bit for each call that has ended.
type frameProgress struct {
	seq     uint64
	calls   int
	ended   int
	endedAt []uint64
}

// NewProgress is a destination's progress before its first call: it starts at the position, the log having accepted calls
// before.
func NewProgress(from Position, calls uint64) *Progress {
	return &Progress{floor: from.Seq, callsBelow: calls}
}

// Floor returns the sequence of the first frame that may hold a call that has not ended.
func (p *Progress) Floor() uint64 { return p.floor }

// Ended returns how many calls have ended in the log's life.
func (p *Progress) Ended() uint64 { return p.callsBelow + p.ended }

// Begin takes in the next frame that was read. Frames come in order.
func (p *Progress) Begin(f *Frame) {
	if len(p.frames) == 0 {
		p.floor, p.callsBelow = f.Seq, f.Before
	}
	fp := frameProgress{seq: f.Seq, calls: len(f.Entries), endedAt: make([]uint64, (len(f.Entries)+63)/64)}
	if saved, ok := p.saved[f.Seq]; ok {
		copy(fp.endedAt, saved)
		if last := fp.calls % 64; last > 0 && len(saved) >= len(fp.endedAt) {
			fp.endedAt[len(fp.endedAt)-1] &= 1<<last - 1
		}
		for _, word := range fp.endedAt {
			fp.ended += bits.OnesCount64(word)
		}
		p.ended += uint64(fp.ended)
		delete(p.saved, f.Seq)
	}
	p.frames = append(p.frames, fp)
	p.raise()
}

// HasEnded tells whether the call at pos, of a frame that has begun, has ended.
func (p *Progress) HasEnded(pos Position) bool {
	f := p.frame(pos.Seq)
	return f == nil || f.endedAt[pos.Index/64]&(1<<(pos.Index%64)) != 0
}

// End marks the call at pos as ended. To end a call twice does nothing.
func (p *Progress) End(pos Position) {
	if p.HasEnded(pos) {
		return
	}
	f := p.frame(pos.Seq)
	f.endedAt[pos.Index/64] |= 1 << (pos.Index % 64)
	f.ended++
	p.ended++
	p.raise()
}

// raise moves the floor above the frames that have ended whole.
func (p *Progress) raise() {
	for len(p.frames) > 0 && p.frames[0].ended == p.frames[0].calls {
		done := p.frames[0]
		p.frames = p.frames[1:]
		p.floor = done.seq + 1
		p.callsBelow += uint64(done.calls)
		p.ended -= uint64(done.calls)
	}
	if len(p.frames) > 0 {
		p.floor = p.frames[0].seq
	}
}

// frame finds the marks of a frame that has begun and not ended whole; nil when there are none.
func (p *Progress) frame(seq uint64) *frameProgress {
	low, high := 0, len(p.frames)
	for low < high {
		middle := (low + high) / 2
		if p.frames[middle].seq < seq {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(p.frames) && p.frames[low].seq == seq {
		return &p.frames[low]
	}
	return nil
}

const (
	progressVersion = 1
	flagStopped     = 1
)

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
	for i := range p.frames {
		if f := &p.frames[i]; f.ended > 0 {
			out = appendMarks(out, f.seq-p.floor, f.endedAt)
		}
	}
	for seq, marks := range p.saved {
		out = appendMarks(out, seq-p.floor, marks)
	}
	return out
}

func appendMarks(out []byte, delta uint64, marks []uint64) []byte {
	out = binary.AppendUvarint(out, delta)
	out = binary.AppendUvarint(out, uint64(len(marks)))
	for _, word := range marks {
		out = binary.AppendUvarint(out, word)
	}
	return out
}

var errProgress = errors.New("saved progress cannot be read")

// DecodeProgress reads what Encode wrote.
func DecodeProgress(data []byte) (*Progress, error) {
	if len(data) < 2 || data[0] != progressVersion {
		return nil, errProgress
	}
	flags, data := data[1], data[2:]
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
	for len(data) > 0 {
		seq, words := p.floor+next(), next()
		if words > uint64(len(data)) {
			return nil, errProgress
		}
		marks := make([]uint64, words)
		for i := range marks {
			marks[i] = next()
		}
		p.saved[seq] = marks
	}
	if bad {
		return nil, errProgress
	}
	return p, nil
}

// LoadProgress returns the destination's saved progress. A destination that is new starts at the log's end, which is saved
// before it returns: from then on every call is meant for it.
func (j *Journal) LoadProgress(ctx context.Context, destination string) (*Progress, error) {
	saved, err := j.store.kv.Get(ctx, destination)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		calls, next := j.Head()
		p := NewProgress(next, calls)
		return p, j.SaveProgress(ctx, destination, p.Encode(true))
	}
	if err != nil {
		return nil, fmt.Errorf("load progress of %s: %w", destination, err)
	}
	p, err := DecodeProgress(saved.Value())
	if err != nil {
		return nil, fmt.Errorf("load progress of %s: %w", destination, err)
	}
	return p, nil
}

// SaveProgress keeps a destination's progress on disk, as Encode gave it.
func (j *Journal) SaveProgress(ctx context.Context, destination string, encoded []byte) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := j.store.kv.Put(ctx, destination, encoded); err != nil {
		return fmt.Errorf("save progress of %s: %w", destination, err)
	}
	return nil
}
