package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"aka/router/journal/engine"
)

// LoadProgress returns the destination's saved progress. A destination that is new starts at the log's end, which is saved
// before it returns: from then on every call is meant for it. One that was removed goes on with what it had, and gets what is
// accepted from now on. One whose progress is lost starts at the log's beginning: some calls go twice, none is lost.
func (j *Journal) LoadProgress(ctx context.Context, destination string) (*Progress, error) {
	j.retention.registerMetrics(destination)
	p, err := j.savedProgress(ctx, destination)
	if errors.Is(err, engine.ErrNoRecord) {
		return j.firstProgress(ctx, destination)
	}
	if err != nil {
		return nil, err
	}
	if err := j.restore(ctx, destination, p); err != nil {
		return nil, err
	}
	if err := j.skipPurged(ctx, destination, p); err != nil {
		return nil, err
	}
	_, next := j.Head()
	p.cutAt(max(next.Seq, p.floor))
	return p, nil
}

// savedProgress returns engine.ErrNoRecord when there is none.
func (j *Journal) savedProgress(ctx context.Context, destination string) (p *Progress, err error) {
	saved, err := j.records.get(ctx, destination, []byte{keyProgress})
	if err == nil {
		p, err = DecodeProgress(saved)
	}
	if err != nil {
		return nil, fmt.Errorf("load progress of %s: %w", destination, err)
	}
	return p, nil
}

// firstProgress is that of a destination which has none.
func (j *Journal) firstProgress(ctx context.Context, destination string) (*Progress, error) {
	calls, next := j.Head()
	p := NewProgress(next, calls)
	_, hadProgress := j.states.of(destination)
	_, anyMayHave := j.states.of(anyDestination)
	if hadProgress || anyMayHave {
		first, _, err := j.engine.Bounds(ctx)
		if err != nil {
			return nil, fmt.Errorf("load progress of %s: %w", destination, err)
		}
		j.log.Error("progress of a destination is lost", zap.String("destination", destination), zap.Uint64("from", first),
			zap.String("hint", "it starts where the log does, and gets calls again; check the disk"))
		p = NewProgress(Position{Seq: max(first, 1)}, 0)
		p.crashed = true
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := j.records.change(ctx, destination, func(_ *book, c *change) error {
		j.setProgress(c, p.Encode(!p.crashed))
		state, _ := j.states.of(destination)
		j.setState(c, destination, state)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("save progress of %s: %w", destination, err)
	}
	return p, nil
}

// skipPurged moves the floor up to what the log still has.
func (j *Journal) skipPurged(ctx context.Context, destination string, p *Progress) error {
	first, _, err := j.engine.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("load progress of %s: %w", destination, err)
	}
	if p.floor >= first {
		return nil
	}
	j.log.Warn("destination skips calls that were purged", zap.String("destination", destination),
		zap.Uint64("from", p.floor), zap.Uint64("to", first-1), zap.String("hint", "nothing kept them while it was not configured"))
	p.dropBelow(first)
	return nil
}

// SaveProgress keeps a destination's progress on disk, as Encode gave it, and with it where the log ended then.
func (j *Journal) SaveProgress(ctx context.Context, destination string, encoded []byte) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := j.records.change(ctx, destination, func(_ *book, c *change) error {
		j.setProgress(c, encoded)
		return nil
	})
	if err != nil {
		return fmt.Errorf("save progress of %s: %w", destination, err)
	}
	return nil
}

// setProgress puts progress, and the end of the log, into a change.
func (j *Journal) setProgress(c *change, encoded []byte) {
	c.set([]byte{keyProgress}, encoded)
	calls, next := j.Head()
	end := head{next.Seq - 1, calls}
	c.set([]byte{keyHead}, end.encode())
	c.then = append(c.then, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		if end.seq > j.saved.seq {
			j.saved = end
		}
	})
}

// encode is the head as it stands outside the log, so that a start finds out when the log has lost its end.
func (h head) encode() []byte {
	return appendSum(binary.AppendUvarint(binary.AppendUvarint([]byte{recordVersion}, h.seq), h.calls))
}

func decodeHead(data []byte) (h head, err error) {
	r, err := openRecord(data)
	if err != nil {
		return h, err
	}
	h = head{r.uvarint(), r.uvarint()}
	return h, r.err
}

// savedHead returns the latest end of the log that was saved with any progress, and with whose.
func savedHead(ctx context.Context, view engine.View) (latest head, destination string, err error) {
	destinations, err := view.Destinations(ctx)
	if err != nil {
		return latest, "", err
	}
	for _, name := range destinations {
		data, err := view.Get(ctx, name, []byte{keyHead})
		if errors.Is(err, engine.ErrNoRecord) {
			continue
		}
		var h head
		if err == nil {
			h, err = decodeHead(data)
		}
		if err != nil {
			return latest, "", fmt.Errorf("head of %s: %w", name, err)
		}
		if h.seq > latest.seq || destination == "" {
			latest, destination = h, name
		}
	}
	return latest, destination, nil
}
