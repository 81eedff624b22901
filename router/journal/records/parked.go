package records

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/frame"
)

// Parked is a call that keeps failing at one destination while others pass. It is kept aside, so that it holds up neither
// the progress nor the purge.
type Parked struct {
	// ID names it among its destination's; 0 until it is stored.
	ID          uint64         `json:"-"`
	Destination string         `json:"destination"`
	Position    frame.Position `json:"position"`
	// Attempts and Failures count its tries so far; First is the time of the first, FailingSince of the first failure that
	// counts against it.
	Attempts     int       `json:"attempts"`
	Failures     int       `json:"failures"`
	First        time.Time `json:"first"`
	FailingSince time.Time `json:"failing_since"`
	// Ambiguous tells that the vendor may have acted on it.
	Ambiguous bool `json:"ambiguous"`
	// Dead is why it became a dead letter, for a call that waits for its operator and holds up those behind it. Letter is
	// that dead letter's id; it stays when the call is tried again.
	Dead   string      `json:"dead,omitempty"`
	Letter uint64      `json:"letter,omitempty"`
	Entry  frame.Entry `json:"-"`
}

// parkedCalls are those of all destinations.
type parkedCalls struct {
	t       *table
	log     *zap.Logger
	damaged func() // counts one that cannot be read
}

// Park stores a call aside and returns its id, among its destination's, once it is safe on disk. To park a call again, as
// after a crash, gives the id that it has; but one that has become a dead letter meanwhile, or is tried again after that, gets
// a new and higher one.
func (s *parkedCalls) Park(ctx context.Context, p *Parked) (id uint64, err error) {
	meta, err := json.Marshal(p)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	key := callKey(keyParkedCall, p.Position, callHash(&p.Entry, p.Dead, p.Letter))
	err = s.t.change(ctx, p.Destination, func(_ *book, c *change) error {
		if id, err = storedID(ctx, s.t, p.Destination, key); err != nil || id != 0 {
			return err
		}
		c.account.lastParked++
		c.account.parked++
		id = c.account.lastParked
		c.set(recordKey(keyParked, id), append(slices.Clone(key), frame.WithMeta(meta, &p.Entry)...))
		c.set(key, binary.BigEndian.AppendUint64(nil, id))
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("park a call of %s: %w", p.Destination, err)
	}
	return id, nil
}

// parkedKeySize is the length of the key with which the value of a parked call begins.
const parkedKeySize = 1 + 8 + 4 + 8

// splitParked returns the key of a parked call and the call.
func splitParked(value []byte) (key, call []byte, err error) {
	if len(value) < parkedKeySize {
		return nil, nil, fmt.Errorf("%w: %d bytes", codec.ErrDamaged, len(value))
	}
	return value[:parkedKeySize], value[parkedKeySize:], nil
}

// Unpark removes a parked call that has ended. One that is gone already is no error.
func (s *parkedCalls) Unpark(ctx context.Context, destination string, id uint64) error {
	return s.unpark(ctx, destination, func() ([]uint64, error) { return []uint64{id}, nil })
}

// UnparkAt removes a destination's parked call by its position, where its id is not known.
func (s *parkedCalls) UnparkAt(ctx context.Context, destination string, pos frame.Position) error {
	return s.unpark(ctx, destination, func() (ids []uint64, err error) {
		prefix := callPrefix(keyParkedCall, pos)
		end := callPrefix(keyParkedCall, frame.Position{Seq: pos.Seq, Index: pos.Index + 1})
		err = s.t.engine.Scan(ctx, destination, prefix, end, func(_, value []byte) (bool, error) {
			if len(value) != 8 {
				return false, fmt.Errorf("%w: id of %d bytes", codec.ErrDamaged, len(value))
			}
			ids = append(ids, binary.BigEndian.Uint64(value))
			return true, nil
		})
		return ids, err
	})
}

func (s *parkedCalls) unpark(ctx context.Context, destination string, which func() ([]uint64, error)) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := s.t.change(ctx, destination, func(_ *book, c *change) error {
		ids, err := which()
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := s.removeParked(ctx, c, destination, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove a parked call of %s: %w", destination, err)
	}
	return nil
}

func (s *parkedCalls) removeParked(ctx context.Context, c *change, destination string, id uint64) error {
	value, err := s.t.get(ctx, destination, recordKey(keyParked, id))
	if errors.Is(err, engine.ErrNoRecord) {
		return nil
	}
	if err != nil {
		return err
	}
	key, _, err := splitParked(value)
	if err != nil {
		return err
	}
	c.remove(recordKey(keyParked, id))
	c.remove(key)
	c.account.parked--
	return nil
}

// Parked calls visit for a destination's parked calls, in the order in which they were parked. What cannot be read is counted,
// logged and passed over: one call must not keep a destination from all others. It stays on disk.
func (s *parkedCalls) Parked(ctx context.Context, destination string, visit func(*Parked)) error {
	return s.t.each(ctx, destination, keyParked, 0, func(id uint64, value []byte) (bool, error) {
		p := &Parked{}
		_, call, err := splitParked(value)
		if err == nil {
			p.Entry, err = frame.ReadMeta(bytes.Clone(call), p)
		}
		if err != nil {
			s.damaged()
			s.log.Error("parked call is unreadable and lost", zap.String("destination", destination), zap.Uint64("id", id), zap.Error(err),
				zap.String("hint", "check the disk"))
			return true, nil
		}
		p.ID = id
		visit(p)
		return true, nil
	})
}
