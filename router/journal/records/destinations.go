package records

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

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/frame"
)

// A destination that leaves the config keeps what it has waiting, until it is forgotten or comes back. What is accepted in the
// meantime is not meant for it. That, and whether its operator has paused it, is the destination's state.

// destinations are the progress and the states of all.
type destinations struct {
	t   *table
	log *zap.Logger
	// retentions are those of each kind of kept calls.
	retentions [kindCount]*retention
	end        func() (calls uint64, next frame.Position)

	// removing is held by those who write calls that are meant for one destination, and by who takes one out.
	removing sync.RWMutex

	mu    sync.Mutex
	saved Head // the latest end of the log that was saved
}

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
	return codec.AppendSum(append([]byte{recordVersion}, data...))
}

// decodeState refuses what it does not know: a newer version wrote it, and it must not be misread.
func decodeState(data []byte) (s destinationState, err error) {
	r, err := openRecord(data)
	if err != nil {
		return s, err
	}
	d := json.NewDecoder(bytes.NewReader(r.Data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%w: %w", ErrOtherVersion, err)
	}
	return s, nil
}

// states are the states and the types of all destinations, as they are on disk.
type states struct {
	mu    sync.Mutex
	known map[string]destinationState
	types map[string]string
}

func newStates() *states {
	return &states{known: map[string]destinationState{}, types: map[string]string{}}
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

// read takes over a destination's state and type as they are stored.
func (s *states) read(ctx context.Context, view engine.View, name string) error {
	if err := s.readType(ctx, view, name); err != nil {
		return err
	}
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
func (s *destinations) setState(c *change, destination string, state destinationState) {
	c.set([]byte{keyState}, state.encode())
	c.then = append(c.then, func() { s.t.states.set(destination, state) })
}

// Destinations returns the destinations whose progress the journal keeps, whether they are configured or not, sorted.
func (s *destinations) Destinations() []string {
	return slices.DeleteFunc(s.t.states.names(), func(name string) bool { return name == anyDestination })
}

// registerMetrics makes a destination's metrics visible at zero.
func (s *destinations) registerMetrics(destination string) {
	for _, r := range s.retentions {
		r.registerMetrics(destination)
	}
}

// Paused reports whether a destination was paused, by this process or one before.
func (s *destinations) Paused(destination string) bool {
	state, _ := s.t.states.of(destination)
	return state.Paused
}

// Pause notes that a destination is paused, or no longer is, and returns once that is safe on disk.
func (s *destinations) Pause(destination string, paused bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	err := s.t.change(ctx, destination, func(_ *recordState, c *change) error {
		state, known := s.t.states.of(destination)
		if known && state.Paused != paused {
			state.Paused = paused
			s.setState(c, destination, state)
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
func (s *destinations) Remove(destination string) (calls uint64, next frame.Position, err error) {
	s.removing.Lock()
	defer s.removing.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	calls, next = s.end()
	err = s.t.change(ctx, destination, func(_ *recordState, c *change) error {
		state, known := s.t.states.of(destination)
		switch {
		case !known:
		case state.RemovedAt > 0:
			calls, next = state.CallsBefore, frame.Position{Seq: state.RemovedAt}
		default:
			state.RemovedAt, state.CallsBefore = next.Seq, calls
			s.setState(c, destination, state)
		}
		return nil
	})
	return calls, next, err
}

// WhileConfigured calls do, unless the destination was removed: then it returns ErrRemoved. It is not removed meanwhile.
func (s *destinations) WhileConfigured(destination string, do func() error) error {
	s.removing.RLock()
	defer s.removing.RUnlock()
	if s.isRemoved(destination) {
		return fmt.Errorf("%w: %s", ErrRemoved, destination)
	}
	return do()
}

// Saved returns the latest end of the log that was saved with any progress.
func (s *destinations) Saved() Head {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saved
}

// isRemoved reports whether a destination was removed.
func (s *destinations) isRemoved(destination string) bool {
	state, _ := s.t.states.of(destination)
	return state.RemovedAt > 0
}

// RemovedProgress returns the progress of a destination that was removed. It does not make it a configured one.
func (s *destinations) RemovedProgress(ctx context.Context, destination string) (*frame.Progress, error) {
	p, err := s.savedProgress(ctx, destination)
	if err != nil {
		return nil, err
	}
	return p, s.skipPurged(ctx, destination, p)
}

// restore takes a destination back that was removed: it goes on behind what was accepted meanwhile.
func (s *destinations) restore(ctx context.Context, destination string, p *frame.Progress) error {
	state, _ := s.t.states.of(destination)
	if state.RemovedAt == 0 {
		return nil
	}
	calls, next := s.end()
	p.Skip(state.RemovedAt, next.Seq, calls)
	state.RemovedAt, state.CallsBefore = 0, 0
	err := s.t.change(ctx, destination, func(_ *recordState, c *change) error {
		s.setProgress(c, p.Encode(!p.Crashed()))
		s.setState(c, destination, state)
		return nil
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", destination, err)
	}
	s.log.Info("removed destination is back", zap.String("destination", destination),
		zap.String("hint", "it goes on with what it had, without what was accepted meanwhile"))
	return nil
}

// Forget removes everything that the journal keeps for a destination, but its dead letters. It must not be running. One of that
// name is a new one afterwards. The parked calls, the facts and the merge ledger go first, some at a time, and then the rest at once: when it fails, the
// destination is known still, and can be forgotten again.
func (s *destinations) Forget(ctx context.Context, destination string) error {
	err := s.forgetEach(ctx, destination, keyParked)
	if err == nil {
		err = s.forgetEach(ctx, destination, keyFact)
	}
	if err == nil {
		err = s.forgetLedger(ctx, destination)
	}
	if err == nil {
		err = s.forgetRest(ctx, destination)
	}
	if err != nil {
		return fmt.Errorf("forget %s: %w", destination, err)
	}
	return nil
}

// forgetBatch is how many records are forgotten by one write.
const forgetBatch = 4096

func (s *destinations) forgetEach(ctx context.Context, destination string, kind byte) error {
	from, to := allOf(kind)
	for n := forgetBatch; n == forgetBatch; {
		err := s.changeInTime(ctx, destination, func(ctx context.Context, c *change) error {
			n = 0
			err := s.t.engine.Scan(ctx, destination, from, to, func(key, _ []byte) (bool, error) {
				from = bytes.Clone(key)
				c.remove(from)
				n++
				return n < forgetBatch, nil
			})
			if kind == keyParked {
				c.account.parked -= uint64(n)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *destinations) changeInTime(ctx context.Context, destination string, build func(ctx context.Context, c *change) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return s.t.change(ctx, destination, func(_ *recordState, c *change) error { return build(ctx, c) })
}

func (s *destinations) forgetRest(ctx context.Context, destination string) error {
	return s.changeInTime(ctx, destination, func(ctx context.Context, c *change) error {
		for _, kind := range []byte{keyLedgerState, keyAutoDecisions, keyProgress, keyHead, keyState, keyType} {
			from, to := allOf(kind)
			err := s.t.engine.Scan(ctx, destination, from, to, func(key, _ []byte) (bool, error) {
				c.remove(bytes.Clone(key))
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		c.then = append(c.then, func() {
			s.t.states.remove(destination)
			s.t.states.setType(destination, "")
		})
		return nil
	})
}
