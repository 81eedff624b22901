// Package frame is what the journal stores: calls, in the frames that one write commits, and how far a destination has come
// with them.
package frame

import (
	"cmp"
	"fmt"
	"time"

	"aka/router/segment"
)

// Entry is one call in the journal.
type Entry struct {
	// Source is the name of the source that sent the call.
	Source string
	// Target is the only destination that the call is for: set when a dead letter is replayed. "" is every destination.
	Target string
	// Replayed is what the call went through before it was replayed; nil for one that never was.
	Replayed *Replayed
	// Request is the number of the request that brought the call, among those of its frame, from 0. It is set by reading.
	Request int
	segment.Message

	fields []byte // tagged fields that this program does not know: see appendFields
}

// IsOnce reports whether a second call with its key is a duplicate.
func (e *Entry) IsOnce() bool { return e.Target == "" || e.Replayed != nil }

// Replayed is what a call went through before it was replayed.
type Replayed struct {
	// DeadLetterID is the id of the dead letter that it was.
	DeadLetterID uint64
	// Position is its place in the log when it was accepted.
	Position Position
	// Times counts its replays, this one included, and Attempts its exchanges before. First is the time of the first.
	Times, Attempts int
	First           time.Time
}

// Position is a call's place in the log. Positions are ordered as the calls were accepted.
type Position struct {
	// Seq is the frame's sequence, Index the call's place in it.
	Seq   uint64
	Index int
}

// Rank is a call's place in the order in which the destinations take the calls of the log. It is not the place in the log where
// calls of a device came in another order than it made them. Seq counts the calls up to it, from 1; Index tells calls of
// one Seq apart.
type Rank = Position

// Before reports whether p stands before q.
func (p Position) Before(q Position) bool {
	return p.Seq < q.Seq || p.Seq == q.Seq && p.Index < q.Index
}

// Compare orders positions as the calls were accepted.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Seq, q.Seq), cmp.Compare(p.Index, q.Index))
}

// String returns "seq.index".
func (p Position) String() string { return fmt.Sprintf("%d.%d", p.Seq, p.Index) }
