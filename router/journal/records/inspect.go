package records

import (
	"context"
	"errors"
	"fmt"

	"aka/router/journal/frame"
	"aka/router/journal/ledger"
)

// Reader is what an inspection needs of an engine's reading half.
type Reader interface {
	Destinations(ctx context.Context) ([]string, error)
	Scan(ctx context.Context, destination string, from, to []byte, visit func(key, value []byte) (more bool, err error)) error
}

// Summary is what is kept for a destination, as far as it can be read.
type Summary struct {
	Name string
	// Type says whose adapter it had when it ran last; "" where that is not known.
	Type string
	// Floor is the first frame that may hold a call that has not ended.
	Floor uint64
	// Lost means that there was progress once.
	Lost bool
	// RemovedProgress is false for a destination that was forgotten, of which only an account is left.
	RemovedProgress bool
	// Remembered is how many facts there are of its merges: see Fact.
	DeadLetters, Parked, Remembered uint64
	Dropped                         uint64
	// Ledger counts the entries of the merge ledger.
	Ledger                uint64
	Unreadable            uint64
	Paused, Removed       bool
	Head                  Head // the end of the log when its progress was saved
	hasProgress, hasState bool
	account               account
	ledger                ledgerState
}

// IsAny reports whether it is an account of destinations of any name: see the wildcard that salvage writes.
func (d *Summary) IsAny() bool { return d.Name == anyDestination }

// Inspect reads all records of a destination. The error says what is missing; the summary is of use all the same.
func Inspect(ctx context.Context, records Reader, destination string) (*Summary, error) {
	d := &Summary{Name: destination}
	err := records.Scan(ctx, destination, nil, nil, func(key, value []byte) (bool, error) {
		if len(key) > 0 && d.take(key, value) != nil {
			d.Unreadable++
		}
		return true, nil
	})
	d.Lost = d.hasState && !d.hasProgress && !d.IsAny()
	there := d.DeadLetters + d.Dropped + d.Parked + d.Unreadable
	if want := d.account; there < want.dead+want.dropped+want.parked {
		err = errors.Join(err, fmt.Errorf("%d dead letters, %d dropped calls and %d parked calls are there; %d, %d and %d were",
			d.DeadLetters, d.Dropped, d.Parked, want.dead, want.dropped, want.parked))
	}
	if d.Ledger < d.ledger.count {
		err = errors.Join(err, fmt.Errorf("%d ledger entries are there; %d were", d.Ledger, d.ledger.count))
	}
	d.RemovedProgress = d.hasState || there+d.Remembered+d.Ledger > 0
	return d, err
}

// take takes in one record.
func (d *Summary) take(key, value []byte) (err error) {
	switch key[0] {
	case keyAccount:
		dropped := d.account.dropped
		d.account, err = decodeAccount(value)
		d.account.dropped = dropped
	case keyDroppedCount:
		d.account.dropped, err = decodeCount(value)
	case keyDropped:
		_, err = frame.ReadMeta(value, &DeadLetter{})
		count(&d.Dropped, err)
	case keyDead:
		_, err = frame.ReadMeta(value, &DeadLetter{})
		count(&d.DeadLetters, err)
	case keyParked:
		_, err = decodeParked(d.Name, key, value)
		count(&d.Parked, err)
	case keyFact:
		d.Remembered++
	case keyLedger:
		_, err = ledger.Decode(value)
		count(&d.Ledger, err)
	case keyLedgerState:
		d.ledger, err = decodeLedgerState(value)
	case keyAutoDecisions:
		_, err = decodeAutoDecisions(value)
	case keyProgress:
		var p *frame.Progress
		if p, err = frame.DecodeProgress(value); err == nil {
			d.Floor, d.hasProgress = p.Floor(), true
		}
	case keyHead:
		d.Head, err = decodeHead(value)
	case keyState:
		var state destinationState
		state, err = decodeState(value)
		d.Paused, d.Removed, d.hasState = state.Paused, state.RemovedAt > 0, true
	case keyType:
		d.Type, err = decodeType(value)
	}
	return err
}

func count(n *uint64, err error) {
	if err == nil {
		*n++
	}
}
