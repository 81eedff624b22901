package journal

import (
	"context"
	"errors"

	"aka/router/journal/engine"
)

// Waiting returns how many calls wait for a destination that does not run: those of the log that have not ended, if they are
// wanted there, and those that are parked, dead letters that block others among them. It reads all of its backlog.
func (j *Journal) Waiting(ctx context.Context, destination string, wanted func(*Entry) bool) (calls uint64, err error) {
	if err := j.EachParked(ctx, destination, func(*Parked) error { calls++; return nil }); err != nil {
		return 0, err
	}
	p, end, err := j.Pending(ctx, destination)
	if p == nil || err != nil {
		return calls, err
	}
	reader := j.engine.Reader(max(p.Floor(), 1))
	defer reader.Close()
	for {
		raw, err := reader.Next(ctx)
		switch {
		case errors.Is(err, engine.ErrEnd), err == nil && raw.Seq >= end:
			return calls, nil
		case err != nil:
			return 0, err
		}
		f, err := decoded(raw)
		if err != nil {
			continue // its calls are lost
		}
		p.Begin(f)
		for i := range f.Entries {
			e, pos := &f.Entries[i], Position{Seq: f.Seq, Index: i}
			if !p.HasEnded(pos) && (e.Target == "" || e.Target == destination) && wanted(e) {
				calls++
			}
			p.End(pos) // it is not looked at again
		}
	}
}
