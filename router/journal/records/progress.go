package records

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/frame"
	"aka/router/journal/ledger"
)

// LoadProgress returns the destination's saved progress. A destination that is new starts at the log's end, which is saved
// before it returns: from then on every call is meant for it. One that was removed goes on with what it had, and gets what is
// accepted from now on. One whose progress is lost starts at the log's beginning: some calls go twice, none is lost.
func (s *destinations) LoadProgress(ctx context.Context, destination string) (*frame.Progress, error) {
	s.registerMetrics(destination)
	p, err := s.savedProgress(ctx, destination)
	if errors.Is(err, engine.ErrNoRecord) {
		return s.firstProgress(ctx, destination)
	}
	if err != nil {
		return nil, err
	}
	if err := s.restore(ctx, destination, p); err != nil {
		return nil, err
	}
	if err := s.skipPurged(ctx, destination, p); err != nil {
		return nil, err
	}
	_, next := s.end()
	p.CutAt(max(next.Seq, p.Floor()))
	return p, nil
}

// savedProgress returns engine.ErrNoRecord when there is none.
func (s *destinations) savedProgress(ctx context.Context, destination string) (p *frame.Progress, err error) {
	saved, err := s.t.get(ctx, destination, []byte{keyProgress})
	if err == nil {
		p, err = frame.DecodeProgress(saved)
	}
	if err != nil {
		return nil, fmt.Errorf("load progress of %s: %w", destination, err)
	}
	return p, nil
}

// firstProgress is that of a destination which has none.
func (s *destinations) firstProgress(ctx context.Context, destination string) (*frame.Progress, error) {
	calls, next := s.end()
	p := frame.NewProgress(next, calls)
	_, hadProgress := s.t.states.of(destination)
	_, anyMayHave := s.t.states.of(anyDestination)
	if hadProgress || anyMayHave {
		first, _, err := s.t.engine.Bounds(ctx)
		if err != nil {
			return nil, fmt.Errorf("load progress of %s: %w", destination, err)
		}
		s.log.Error("progress of a destination is lost", zap.String("destination", destination), zap.Uint64("from", first),
			zap.String("hint", "it starts where the log does, and gets calls again; check the disk"))
		p = frame.NewProgress(frame.Position{Seq: max(first, 1)}, 0)
		p.SetCrashed()
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := s.t.change(ctx, destination, func(_ *recordState, c *change) error {
		s.setProgress(c, p.Encode(!p.Crashed()))
		state, _ := s.t.states.of(destination)
		s.setState(c, destination, state)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("save progress of %s: %w", destination, err)
	}
	return p, nil
}

// skipPurged moves the floor up to what the log still has.
func (s *destinations) skipPurged(ctx context.Context, destination string, p *frame.Progress) error {
	first, _, err := s.t.engine.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("load progress of %s: %w", destination, err)
	}
	if p.Order().First < first {
		p.ForgetOrder()
	}
	if p.Floor() >= first {
		return nil
	}
	s.log.Warn("destination skips calls that were purged", zap.String("destination", destination),
		zap.Uint64("from", p.Floor()), zap.Uint64("to", first-1), zap.String("hint", "nothing kept them while it was not configured"))
	p.DropBelow(first)
	return nil
}

// SaveProgress keeps a destination's progress on disk, as Encode gave it, and with it where the log ended then. What
// it remembers of the merges that ended is changed by the same write, which appends their entries to the ledger, too.
func (s *destinations) SaveProgress(ctx context.Context, destination string, encoded []byte, facts []Fact, entries []ledger.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := s.t.change(ctx, destination, func(b *recordState, c *change) error {
		s.setProgress(c, encoded)
		c.setFacts(facts)
		return s.t.ledgerWrites(ctx, destination, b, c, entries)
	})
	if err != nil {
		return fmt.Errorf("save progress of %s: %w", destination, err)
	}
	return nil
}

// setProgress puts progress, and the end of the log, into a change.
func (s *destinations) setProgress(c *change, encoded []byte) {
	c.set([]byte{keyProgress}, encoded)
	calls, next := s.end()
	end := Head{next.Seq - 1, calls}
	c.set([]byte{keyHead}, end.encode())
	c.then = append(c.then, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if end.Seq > s.saved.Seq {
			s.saved = end
		}
	})
}

// encode is the head as it stands outside the log, so that a start finds out when the log has lost its end.
func (h Head) encode() []byte {
	return codec.AppendSum(binary.AppendUvarint(binary.AppendUvarint([]byte{recordVersion}, h.Seq), h.Calls))
}

func decodeHead(data []byte) (h Head, err error) {
	r, err := openRecord(data)
	if err != nil {
		return h, err
	}
	h = Head{r.Uvarint(), r.Uvarint()}
	return h, r.Err
}

// savedHead returns the latest end of the log that was saved with any progress, and with whose.
func savedHead(ctx context.Context, view engine.View) (latest Head, destination string, err error) {
	destinations, err := view.Destinations(ctx)
	if err != nil {
		return latest, "", err
	}
	for _, name := range destinations {
		data, err := view.Get(ctx, name, []byte{keyHead})
		if errors.Is(err, engine.ErrNoRecord) {
			continue
		}
		var h Head
		if err == nil {
			h, err = decodeHead(data)
		}
		if err != nil {
			return latest, "", fmt.Errorf("head of %s: %w", name, err)
		}
		if h.Seq > latest.Seq || destination == "" {
			latest, destination = h, name
		}
	}
	return latest, destination, nil
}
