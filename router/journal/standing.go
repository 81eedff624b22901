package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// A destination that leaves the config keeps what it has waiting, until it is forgotten or comes back. What is accepted in the
// meantime is not meant for it. That, and whether its operator has paused it, stands in the folder's stamp.

// Known returns the destinations whose progress the journal keeps, whether they are configured or not.
func (j *Journal) Known() []string {
	j.stampMu.Lock()
	defer j.stampMu.Unlock()
	var names []string
	for _, d := range j.stamp.destinations {
		if d.name != anyDestination {
			names = append(names, d.name)
		}
	}
	return names
}

// Paused tells whether a destination was paused, by this process or one before.
func (j *Journal) Paused(destination string) bool {
	j.stampMu.Lock()
	defer j.stampMu.Unlock()
	d := j.stamp.find(destination)
	return d != nil && d.paused
}

// Pause notes that a destination is paused, or no longer is, and returns once that is safe on disk.
func (j *Journal) Pause(destination string, paused bool) error {
	return j.restamp(func(s *stamp) bool {
		d := s.find(destination)
		if d == nil || d.paused == paused {
			return false
		}
		d.paused = paused
		return true
	})
}

// Remove notes that a destination is not configured any more: what is accepted from now on is not meant for it. To remove it
// again changes nothing. It returns the destination's end of the log, as Head does.
func (j *Journal) Remove(destination string) (calls uint64, next Position, err error) {
	j.meant.Lock()
	defer j.meant.Unlock()
	calls, next = j.Head()
	err = j.restamp(func(s *stamp) bool {
		d := s.find(destination)
		if d == nil {
			return false
		}
		if d.removedAt > 0 {
			calls, next = d.callsBefore, Position{Seq: d.removedAt}
			return false
		}
		d.removedAt, d.callsBefore = next.Seq, calls
		return true
	})
	return calls, next, err
}

// isRemoved tells whether a destination was removed.
func (j *Journal) isRemoved(destination string) bool {
	j.stampMu.Lock()
	defer j.stampMu.Unlock()
	d := j.stamp.find(destination)
	return d != nil && d.removedAt > 0
}

// Kept returns the progress of a destination that was removed. It does not make it a configured one.
func (j *Journal) Kept(ctx context.Context, destination string) (*Progress, error) {
	p, err := j.savedProgress(ctx, destination)
	if errors.Is(err, jetstream.ErrKeyNotFound) && j.isBeingForgotten(destination) {
		calls, next := j.Head()
		return NewProgress(next, calls), nil
	}
	if err != nil {
		return nil, err
	}
	return p, j.skipPurged(ctx, destination, p)
}

// restore takes a destination back that was removed: it goes on behind what was accepted meanwhile.
func (j *Journal) restore(ctx context.Context, destination string, p *Progress) error {
	j.stampMu.Lock()
	said := j.stamp.find(destination)
	if said == nil || said.removedAt == 0 {
		j.stampMu.Unlock()
		return nil
	}
	from := said.removedAt
	j.stampMu.Unlock()
	calls, next := j.Head()
	p.skip(from, next.Seq, calls)
	if err := j.SaveProgress(ctx, destination, p.Encode(!p.crashed)); err != nil {
		return err
	}
	j.log.Info("journal: a destination that had been removed is back; it goes on with what it had, without what was accepted meanwhile",
		zap.String("destination", destination))
	return j.restamp(func(s *stamp) bool {
		d := s.find(destination)
		d.removedAt, d.callsBefore = 0, 0
		return true
	})
}

// Forget lets go of everything that the journal keeps for a destination, but its dead letters. It must not be running. One
// of that name is a new one afterwards. What a crash or an error interrupts is carried on by the next Open, by asking again, or
// when there is to be one of that name.
func (j *Journal) Forget(ctx context.Context, destination string) error {
	err := j.restamp(func(s *stamp) bool {
		d := s.find(destination)
		if d == nil || d.forgotten {
			return false
		}
		d.forgotten = true
		return true
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	// The key's own way, which leaves a mark: what was only purged may be found in the files again.
	err = j.store().kv.Delete(ctx, destination)
	if err == nil {
		err = j.store().parked.Purge(ctx, jetstream.WithPurgeSubject(parkedTopic+destination))
	}
	if err == nil {
		err = j.store().merged.Purge(ctx, jetstream.WithPurgeSubject(mergesTopic+destination+".*"))
	}
	if err != nil {
		return fmt.Errorf("forget %s: %w", destination, err)
	}
	// Last: until then it is known that there may be something left.
	return j.restamp(func(s *stamp) bool {
		before := len(s.destinations)
		s.destinations = slices.DeleteFunc(s.destinations, func(d standing) bool { return d.name == destination })
		return len(s.destinations) < before
	})
}

// isBeingForgotten tells whether a destination is, by this process or one before.
func (j *Journal) isBeingForgotten(destination string) bool {
	j.stampMu.Lock()
	defer j.stampMu.Unlock()
	d := j.stamp.find(destination)
	return d != nil && d.forgotten
}

// forgetTheRest forgets those that were being forgotten when the run before ended.
func (j *Journal) forgetTheRest(ctx context.Context) {
	for _, name := range j.Known() {
		if !j.isBeingForgotten(name) {
			continue
		}
		if err := j.Forget(ctx, name); err != nil {
			j.log.Warn("journal: a destination could not be forgotten to the end; the next start tries again: is the disk full?", zap.String("destination", name), zap.Error(err))
		}
	}
}

// isForgotten tells whether a record of progress is the mark that Forget leaves.
func isForgotten(progress []byte) bool { return len(progress) == 0 }
