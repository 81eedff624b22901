package journal

import (
	"aka/router/journal/codec"
	"aka/router/journal/frame"
	"aka/router/journal/ledger"
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
	// Order is where the order of devices' calls goes on after a restart.
	Order = frame.Order
	// Rank is a call's place in the order in which the destinations take the calls.
	Rank = frame.Rank
	// Progress is how far one destination has come.
	Progress = frame.Progress
	// DeadLetter is a call that a destination has given up on, or a dropped call that is kept.
	DeadLetter = records.DeadLetter
	// DeadFilter chooses dead letters.
	DeadFilter = records.DeadFilter
	// DeadCount is how many dead letters there are of one kind.
	DeadCount = records.DeadCount
	// Parked is a call that waits in a queue on disk.
	Parked = records.Parked
	// Fact is one record of what a destination remembers of its merges.
	Fact = records.Fact
	// ParkedKey names a parked call among its destination's.
	ParkedKey = records.ParkedKey
	// LedgerEntry is what is kept of one merge.
	LedgerEntry = ledger.Entry
	// LedgerFilter chooses entries of the ledger.
	LedgerFilter = ledger.Filter
	// LedgerPage is some entries, newest first.
	LedgerPage = ledger.Page
	// LedgerLimits bound the ledger of a destination.
	LedgerLimits = records.LedgerLimits
	// Digest is an id's keyed hash.
	Digest = ledger.Digest
	// AutoDecision is an automatic decision of what a rule would hold.
	AutoDecision = ledger.AutoDecision
)

// MaxEntry is the largest call, header and JSON together, that the journal takes.
const MaxEntry = frame.MaxEntry

// MaxParked is how many calls one write parks or removes at the most.
const MaxParked = records.MaxParked

// MaxLedgerEntries is how many entries one write appends to a ledger at the most.
const MaxLedgerEntries = records.MaxLedgerEntries

// MaxLedgerPage is the largest page of a ledger.
const MaxLedgerPage = records.MaxLedgerPage

var (
	// ErrDamaged is what a frame or a record is that fails its checks.
	ErrDamaged = codec.ErrDamaged
	// ErrNoDeadLetter means that there is no dead letter of that id.
	ErrNoDeadLetter = records.ErrNoDeadLetter
	// ErrNoDropped means that no dropped call is kept under that id.
	ErrNoDropped = records.ErrNoDropped
	// ErrRemoved means that a dead letter's destination is not configured any more.
	ErrRemoved = records.ErrRemoved
	// ErrNoAutoDecision means that there is no automatic decision of that number.
	ErrNoAutoDecision = records.ErrNoAutoDecision
	// ErrTooManyAutoDecisions means that a destination has as many as it may have.
	ErrTooManyAutoDecisions = records.ErrTooManyAutoDecisions
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
