package records

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/frame"
)

// The type of a destination says whose adapter it has. What is kept for it was accepted for that vendor, and is not to go to
// another one because the config has another type under the same name. The type has a record of its own: a program that knows
// nothing of types passes it over.

func encodeType(vendorType string) []byte {
	return codec.AppendSum(append([]byte{recordVersion}, vendorType...))
}

func decodeType(data []byte) (vendorType string, err error) {
	r, err := openRecord(data)
	if err != nil {
		return "", err
	}
	return string(r.Data), nil
}

// readType takes over a destination's type as it is stored.
func (s *states) readType(ctx context.Context, view engine.View, name string) error {
	data, err := view.Get(ctx, name, []byte{keyType})
	if errors.Is(err, engine.ErrNoRecord) {
		s.setType(name, "")
		return nil
	}
	var vendorType string
	if err == nil {
		vendorType, err = decodeType(data)
	}
	if err != nil {
		return fmt.Errorf("type of destination %s: %w", name, err)
	}
	s.setType(name, vendorType)
	return nil
}

func (s *states) typeOf(destination string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.types[destination]
}

// setType takes "" for unknown.
func (s *states) setType(destination, vendorType string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if vendorType == "" {
		delete(s.types, destination)
		return
	}
	s.types[destination] = vendorType
}

// TypeOf returns the type that a destination had when it ran last; "" where that is not known.
func (s *destinations) TypeOf(destination string) string { return s.t.states.typeOf(destination) }

// SetType notes a destination's type, and returns once that is safe on disk. It must not be running. Where it had another one,
// nothing of what waits was ever sent to the new vendor, so none of it is possibly delivered. What is remembered of merges names its account.
func (s *destinations) SetType(ctx context.Context, destination, vendorType string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	before := ""
	err := s.t.change(ctx, destination, func(_ *recordState, c *change) error {
		before = s.t.states.typeOf(destination)
		if before == vendorType {
			return nil
		}
		c.set([]byte{keyType}, encodeType(vendorType))
		c.then = append(c.then, func() { s.t.states.setType(destination, vendorType) })
		if before == "" {
			return nil
		}
		return s.clearPossiblyDelivered(ctx, c, destination)
	})
	if err != nil {
		return fmt.Errorf("set the type of %s: %w", destination, err)
	}
	if before != "" && before != vendorType {
		s.log.Info("destination has another type", zap.String("destination", destination), zap.String("was_type", before), zap.String("type", vendorType))
	}
	return nil
}

// clearPossiblyDelivered makes progress whose run crashed that of one which stopped in order. What is parked says itself for which vendor it
// was tried.
func (s *destinations) clearPossiblyDelivered(ctx context.Context, c *change, destination string) error {
	p, err := s.savedProgress(ctx, destination)
	if errors.Is(err, engine.ErrNoRecord) {
		return nil
	}
	if err == nil {
		c.set([]byte{keyProgress}, p.Encode(true))
	}
	return err
}

// Pending returns what a destination that does not run has of the log: its progress, and the first frame that is not meant for
// it. The progress is nil where it has nothing.
func (s *destinations) Pending(ctx context.Context, destination string) (p *frame.Progress, end uint64, err error) {
	state, known := s.t.states.of(destination)
	_, anyMayHave := s.t.states.of(anyDestination)
	_, next := s.end()
	end = next.Seq
	if state.RemovedAt > 0 {
		end = state.RemovedAt
	}
	p, err = s.savedProgress(ctx, destination)
	switch {
	case !errors.Is(err, engine.ErrNoRecord):
		return p, end, err
	case known || anyMayHave: // it is lost: see firstProgress
		return frame.NewProgress(frame.Position{Seq: 1}, 0), end, nil
	}
	return nil, 0, nil
}
