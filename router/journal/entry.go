// Package journal is the durable, ordered log of accepted calls. Append returns once the calls are safe on disk; readers
// get them back in order, from any position, as often as they like.
package journal

import "aka/router/segment"

// Entry is one call in the journal.
type Entry struct {
	// Source is the name of the source that sent the call.
	Source string
	// Target is the only destination that the call is for: set when a dead letter is replayed. "" is every destination.
	Target string
	segment.Message
}
