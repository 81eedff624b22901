package records

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
)

// kind is what a call is that is kept after it has ended: a dead letter, or a dropped call. Both are stored, bounded, listed
// and replayed in the same way, each kind beside the other. They share the numbers that are their ids.
type kind uint8

const (
	kindDead kind = iota
	kindDropped

	kindCount = int(kindDropped) + 1
)

var kinds = [kindCount]kind{kindDead, kindDropped}

// kindKeys are the first bytes of a kind's keys.
type kindKeys struct{ body, index, call byte }

func (k kind) keys() kindKeys {
	return [kindCount]kindKeys{{keyDead, keyDeadIndex, keyDeadCall}, {keyDropped, keyDroppedIndex, keyDroppedCall}}[k]
}

// String returns the kind's calls, for errors.
func (k kind) String() string { return k.one() + "s" }

// one returns one of the kind's calls, for errors.
func (k kind) one() string { return [kindCount]string{"dead letter", "dropped call"}[k] }

// section is the section of the config that has the kind's limits.
func (k kind) section() string { return [kindCount]string{"dead_letters", "dropped"}[k] }

// ErrNoDropped tells that no dropped call is kept under that id.
var ErrNoDropped = errors.New("no such dropped call")

// missing is the error of an id that the kind does not have.
func (k kind) missing() error { return [kindCount]error{ErrNoDeadLetter, ErrNoDropped}[k] }

func encodeCount(n uint64) []byte {
	return codec.AppendSum(binary.AppendUvarint([]byte{recordVersion}, n))
}

func decodeCount(data []byte) (n uint64, err error) {
	r, err := openRecord(data)
	if err != nil {
		return 0, err
	}
	n = r.Uvarint()
	return n, r.Err
}

// readDroppedCount reads how many dropped calls must be there; 0 where none was ever kept.
func readDroppedCount(ctx context.Context, view engine.View, destination string) (n uint64, err error) {
	data, err := view.Get(ctx, destination, []byte{keyDroppedCount})
	if errors.Is(err, engine.ErrNoRecord) {
		return 0, nil
	}
	if err == nil {
		n, err = decodeCount(data)
	}
	if err != nil {
		return 0, fmt.Errorf("count of the dropped calls of %s: %w", destination, err)
	}
	return n, nil
}

// droppedCalls are the calls that were dropped and are kept all the same.
type droppedCalls struct{ kept deadLetters }

// KeepDropped stores dropped calls, in order, and returns once all are safe on disk, with their ids. In all else it is
// StoreDeadLetters. They have no Place.
func (s *droppedCalls) KeepDropped(ctx context.Context, calls []*DeadLetter) error {
	return s.kept.StoreDeadLetters(ctx, calls)
}

// DroppedCalls calls visit for the dropped calls after the id that match, as DeadLetters does.
func (s *droppedCalls) DroppedCalls(ctx context.Context, filter DeadFilter, after uint64, visit func(*DeadLetter) bool) error {
	return s.kept.DeadLetters(ctx, filter, after, visit)
}

// DroppedSummary returns the counts of all kinds of dropped calls, by destination, reason, type and source.
func (s *droppedCalls) DroppedSummary(ctx context.Context) ([]DeadCount, error) {
	return s.kept.DeadSummary(ctx)
}

// DroppedCall returns the one of that id, or ErrNoDropped.
func (s *droppedCalls) DroppedCall(ctx context.Context, id uint64) (*DeadLetter, error) {
	return s.kept.DeadLetter(ctx, id)
}

// DiscardDropped removes a dropped call for good, or returns ErrNoDropped.
func (s *droppedCalls) DiscardDropped(ctx context.Context, id uint64) error {
	return s.kept.Discard(ctx, id)
}
