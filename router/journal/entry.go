// Package journal is the durable, ordered log of accepted calls. Append returns once the calls are safe on disk; readers
// get them back in order, from any position, as often as they like.
package journal

import (
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

// Replayed is what a call went through before it was replayed.
type Replayed struct {
	// Letter is the id of the dead letter that it was.
	Letter uint64
	// Position is its place in the log when it was accepted.
	Position Position
	// Times counts its replays, this one included, and Attempts its exchanges before. First is the time of the first.
	Times, Attempts int
	First           time.Time
}
