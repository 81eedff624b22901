package journal

import (
	"aka/router/journal/codec"
	"aka/router/journal/frame"
	"aka/router/journal/records"
)

// What the journal is made of, under the names that its users know.
type (
	// Entry is one call in the journal.
	Entry = frame.Entry
	// Replayed is what a call went through before it was replayed.
	Replayed = frame.Replayed
	// Frame is a run of calls that were committed together.
	Frame = frame.Frame
	// Position is a call's place in the log.
	Position = frame.Position
	// Progress is how far one destination has come.
	Progress = frame.Progress
	// DeadLetter is a call that a destination has given up on.
	DeadLetter = records.DeadLetter
	// DeadFilter chooses dead letters.
	DeadFilter = records.DeadFilter
	// DeadCount is how many dead letters there are of one kind.
	DeadCount = records.DeadCount
	// Parked is a call that waits in a queue on disk.
	Parked = records.Parked
	// ParkedKey names a parked call among its destination's.
	ParkedKey = records.ParkedKey
)

// MaxEntry is the largest call, header and JSON together, that the journal takes.
const MaxEntry = frame.MaxEntry

// MaxParked is how many calls one write parks or removes at the most.
const MaxParked = records.MaxParked

var (
	// ErrDamaged is what a frame or a record is that fails its checks.
	ErrDamaged = codec.ErrDamaged
	// ErrNoDeadLetter means that there is no dead letter of that id.
	ErrNoDeadLetter = records.ErrNoDeadLetter
	// ErrRemoved means that a dead letter's destination is not configured any more.
	ErrRemoved = records.ErrRemoved
)

// NewProgress is a destination's progress before its first call: see frame.NewProgress.
func NewProgress(from Position, calls uint64) *Progress { return frame.NewProgress(from, calls) }

// DecodeProgress reads what Progress.Encode wrote.
func DecodeProgress(data []byte) (*Progress, error) { return frame.DecodeProgress(data) }

// NewFrame makes a frame that is in no log, for tests of what reads frames.
func NewFrame(seq, before uint64, entries []Entry) *Frame { return frame.New(seq, before, entries, 0) }

// NewSizedFrame is NewFrame for a frame that takes so many bytes.
func NewSizedFrame(seq, before uint64, entries []Entry, size int) *Frame {
	return frame.New(seq, before, entries, size)
}
