package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"go.uber.org/zap"

	"aka/router/journal/engine"
)

// A destination that leaves the config keeps what it has waiting, until it is forgotten or comes back. What is accepted in the
// meantime is not meant for it. That, and whether its operator has paused it, is the destination's state.

// destinationState is what the journal knows of a destination beside its progress. A destination that has one had progress.
type destinationState struct {
	Paused bool `json:"paused,omitempty"`
	// RemovedAt is the first frame that was written after the destination left the config, and CallsBefore how many calls the
	// log had accepted by then; 0 while it is configured.
	RemovedAt   uint64 `json:"removed_at,omitempty"`
	CallsBefore uint64 `json:"calls_before,omitempty"`
}

// anyDestination is a wildcard whose state salvage writes when it cannot tell which destinations had progress: each may
// have lost its own.
const anyDestination = "*"

func (s destinationState) encode() []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // numbers and a bool
	}
	return appendSum(append([]byte{recordVersion}, data...))
}

// decodeState refuses what it does not know: a newer version wrote it, and it must not be misread.
func decodeState(data []byte) (s destinationState, err error) {
	r, err := openRecord(data)
	if err != nil {
		return s, err
	}
	d := json.NewDecoder(bytes.NewReader(r.data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%w: %w", ErrOtherVersion, err)
	}
	return s, nil
}

// states are the states of all destinations, as they are on disk.
type states struct {
	mu    sync.Mutex
	known map[string]destinationState
}

func (s *states) load(ctx context.Context, view engine.View) error {
	destinations, err := view.Destinations(ctx)
	if err != nil {
		return err
	}
	for _, name := range destinations {
		if err := s.read(ctx, view, name); err != nil {
			return err
		}
	}
	return nil
}

// read takes over a destination's state as it is stored.
func (s *states) read(ctx context.Context, view engine.View, name string) error {
	data, err := view.Get(ctx, name, []byte{keyState})
	if errors.Is(err, engine.ErrNoRecord) {
		s.remove(name)
		return nil
	}
	var state destinationState
	if err == nil {
		state, err = decodeState(data)
	}
	if err != nil {
		return fmt.Errorf("state of destination %s: %w", name, err)
	}
	s.set(name, state)
	return nil
}

func (s *states) of(destination string) (state destinationState, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, known = s.known[destination]
	return state, known
}

func (s *states) set(destination string, state destinationState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[destination] = state
}

func (s *states) remove(destination string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, destination)
}

func (s *states) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.known))
}

// setState puts a new state into a change.
func (j *Journal) setState(c *change, destination string, state destinationState) {
	c.set([]byte{keyState}, state.encode())
	c.then = append(c.then, func() { j.states.set(destination, state) })
}

// Known returns the destinations whose progress the journal keeps, whether they are configured or not, sorted.
func (j *Journal) Known() []string {
	return slices.DeleteFunc(j.states.names(), func(name string) bool { return name == anyDestination })
}

// Paused reports whether a destination was paused, by this process or one before.
func (j *Journal) Paused(destination string) bool {
	state, _ := j.states.of(destination)
	return state.Paused
}

// Pause notes that a destination is paused, or no longer is, and returns once that is safe on disk.
func (j *Journal) Pause(destination string, paused bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	err := j.records.change(ctx, destination, func(_ *book, c *change) error {
		state, known := j.states.of(destination)
		if known && state.Paused != paused {
			state.Paused = paused
			j.setState(c, destination, state)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("pause %s: %w", destination, err)
	}
	return nil
}

// Remove notes that a destination is not configured any more: what is accepted from now on is not meant for it. To remove it
// again changes nothing. It returns the destination's end of the log, as Head does.
func (j *Journal) Remove(destination string) (calls uint64, next Position, err error) {
	j.removing.Lock()
	defer j.removing.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	calls, next = j.Head()
	err = j.records.change(ctx, destination, func(_ *book, c *change) error {
		state, known := j.states.of(destination)
		switch {
		case !known:
		case state.RemovedAt > 0:
			calls, next = state.CallsBefore, Position{Seq: state.RemovedAt}
		default:
			state.RemovedAt, state.CallsBefore = next.Seq, calls
			j.setState(c, destination, state)
		}
		return nil
	})
	return calls, next, err
}

// isRemoved reports whether a destination was removed.
func (j *Journal) isRemoved(destination string) bool {
	state, _ := j.states.of(destination)
	return state.RemovedAt > 0
}

// Kept returns the progress of a destination that was removed. It does not make it a configured one.
func (j *Journal) Kept(ctx context.Context, destination string) (*Progress, error) {
	p, err := j.savedProgress(ctx, destination)
	if err != nil {
		return nil, err
	}
	return p, j.skipPurged(ctx, destination, p)
}

// restore takes a destination back that was removed: it goes on behind what was accepted meanwhile.
func (j *Journal) restore(ctx context.Context, destination string, p *Progress) error {
	state, _ := j.states.of(destination)
	if state.RemovedAt == 0 {
		return nil
	}
	calls, next := j.Head()
	p.skip(state.RemovedAt, next.Seq, calls)
	state.RemovedAt, state.CallsBefore = 0, 0
	err := j.records.change(ctx, destination, func(_ *book, c *change) error {
		j.setProgress(c, p.Encode(!p.crashed))
		j.setState(c, destination, state)
		return nil
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", destination, err)
	}
	j.log.Info("removed destination is back", zap.String("destination", destination),
		zap.String("hint", "it goes on with what it had, without what was accepted meanwhile"))
	return nil
}

// Forget removes everything that the journal keeps for a destination, but its dead letters, at once. It must not be running.
// One of that name is a new one afterwards.
func (j *Journal) Forget(ctx context.Context, destination string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := j.records.change(ctx, destination, func(_ *book, c *change) error {
		for _, kind := range []byte{keyParked, keyParkedCall, keyMerges, keyProgress, keyHead, keyState} {
			from, to := allOf(kind)
			err := j.records.engine.Scan(ctx, destination, from, to, func(key, _ []byte) (bool, error) {
				c.remove(bytes.Clone(key))
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		c.account.parked, c.account.merges = 0, 0
		c.then = append(c.then, func() { j.states.remove(destination) })
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget %s: %w", destination, err)
	}
	return nil
}
