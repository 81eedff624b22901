package records

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/ledger"
)

// MaxAutoDecisions is how many automatic decisions a destination has at the most.
const MaxAutoDecisions = 100

var (
	// ErrTooManyAutoDecisions means that a destination has MaxAutoDecisions already.
	ErrTooManyAutoDecisions = fmt.Errorf("a destination has at most %d automatic decisions", MaxAutoDecisions)
	// ErrNoAutoDecision means that there is no automatic decision of that number.
	ErrNoAutoDecision = errors.New("no such automatic decision")
)

// decisions are the automatic decisions of all destinations: one record of each destination.
type decisions struct{ t *table }

func encodeAutoDecisions(list []ledger.AutoDecision) []byte {
	data, err := json.Marshal(list)
	if err != nil {
		panic(err) // texts, numbers and times
	}
	return codec.AppendSum(append([]byte{recordVersion}, data...))
}

func decodeAutoDecisions(data []byte) (list []ledger.AutoDecision, err error) {
	r, err := openRecord(data)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(r.Data, &list); err != nil {
		return nil, fmt.Errorf("%w: %w", codec.ErrDamaged, err)
	}
	for i := range list {
		list[i].Verdict = cmp.Or(list[i].Verdict, ledger.Approved) // at first all were approvals
	}
	return list, nil
}

// AddAutoDecision keeps an automatic decision of its destination, with those that have not ended, and returns it with its number
// once that is safe on disk.
func (s *decisions) AddAutoDecision(ctx context.Context, a ledger.AutoDecision, now time.Time) (ledger.AutoDecision, error) {
	a.Made = now.UTC().Truncate(time.Second)
	a.Verdict = cmp.Or(a.Verdict, ledger.Approved)
	err := s.changeAutoDecisions(ctx, a.Destination, func(list []ledger.AutoDecision) ([]ledger.AutoDecision, error) {
		last := uint64(0)
		for i := range list {
			last = max(last, list[i].Number)
		}
		list = slices.DeleteFunc(list, func(one ledger.AutoDecision) bool { return !now.Before(one.Until) })
		if len(list) >= MaxAutoDecisions {
			return nil, ErrTooManyAutoDecisions
		}
		a.Number = last + 1
		return append(list, a), nil
	})
	return a, err
}

// RemoveAutoDecision removes an automatic decision, or returns ErrNoAutoDecision.
func (s *decisions) RemoveAutoDecision(ctx context.Context, destination string, number uint64) error {
	return s.changeAutoDecisions(ctx, destination, func(list []ledger.AutoDecision) ([]ledger.AutoDecision, error) {
		fewer := slices.DeleteFunc(slices.Clone(list), func(one ledger.AutoDecision) bool { return one.Number == number })
		if len(fewer) == len(list) {
			return nil, ErrNoAutoDecision
		}
		return fewer, nil
	})
}

// AutoDecisions returns a destination's automatic decisions that have not ended, in the order of their numbers.
func (s *decisions) AutoDecisions(ctx context.Context, destination string, now time.Time) ([]ledger.AutoDecision, error) {
	list, err := s.stored(ctx, destination)
	if err != nil {
		return nil, fmt.Errorf("automatic decisions of %s: %w", destination, err)
	}
	return slices.DeleteFunc(list, func(one ledger.AutoDecision) bool { return !now.Before(one.Until) }), nil
}

func (s *decisions) stored(ctx context.Context, destination string) ([]ledger.AutoDecision, error) {
	data, err := s.t.get(ctx, destination, []byte{keyAutoDecisions})
	if errors.Is(err, engine.ErrNoRecord) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeAutoDecisions(data)
}

func (s *decisions) changeAutoDecisions(ctx context.Context, destination string, edit func([]ledger.AutoDecision) ([]ledger.AutoDecision, error)) error {
	err := s.t.changeLedger(ctx, destination, func(ctx context.Context, _ *recordState, c *change) error {
		list, err := s.stored(ctx, destination)
		if err != nil {
			return err
		}
		if list, err = edit(list); err != nil {
			return err
		}
		c.set([]byte{keyAutoDecisions}, encodeAutoDecisions(list))
		return nil
	})
	if err != nil {
		return fmt.Errorf("automatic decisions of %s: %w", destination, err)
	}
	return nil
}
