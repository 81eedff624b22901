package journal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/router/journal/engine/enginetest"
)

var (
	storyCount = flag.Int("journal.stories", 60, "random stories over an engine whose writes are not atomic over log and records")
	storySeed  = flag.Uint64("journal.seed", 1, "seed of the stories")
)

// story is a journal over an engine that fails and crashes at random, with what was promised of it so far.
type story struct {
	t           *testing.T
	rng         *rand.Rand
	store       *enginetest.Memory
	j           *Journal
	steps       []string
	next        int
	logged      []string        // calls whose Append succeeded, in order
	maybe       map[string]bool // calls whose Append failed: the log may have them
	deadLetters map[uint64]string
	parked      map[ParkedKey]string
	gone        map[string]bool // what was removed, or may have been
	paused      map[string]bool
}

var storyDestinations = []string{"vero", "mixpanel"}

// Whatever fails, and wherever a crash comes: what was acknowledged is there, in order, once; what was not is there once or
// not at all; and the journal opens.
func TestJournal_KeepsWhatItPromisesOverAnEngineThatFails(t *testing.T) {
	for n := range *storyCount {
		seed := *storySeed + uint64(n)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := &story{t: t, rng: rand.New(rand.NewPCG(seed, 7)), store: enginetest.NewMemory(), maybe: map[string]bool{},
				deadLetters: map[uint64]string{}, parked: map[ParkedKey]string{}, gone: map[string]bool{}, paused: map[string]bool{}}
			s.open()
			for range 120 {
				s.step()
			}
			s.check()
		})
	}
}

func (s *story) note(format string, args ...any) {
	s.steps = append(s.steps, fmt.Sprintf(format, args...))
}

func (s *story) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s\nafter %v", fmt.Sprintf(format, args...), s.steps)
}

func (s *story) open() {
	o := DefaultOptions
	o.Dir = ""
	o.DeadLetters.MaxAge = 0 // or what enforces it writes beside the story
	j, err := OpenOn(s.t.Context(), s.store, o, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		s.fail("the journal does not open: %v", err)
	}
	s.j = j
	for _, name := range storyDestinations {
		if _, err := j.LoadProgress(s.t.Context(), name); err != nil {
			s.fail("progress of %s: %v", name, err)
		}
	}
	s.store.FailWrites(func(enginetest.Write) enginetest.Fault {
		switch s.rng.IntN(12) {
		case 0:
			return enginetest.Lost
		case 1:
			return enginetest.Stored
		case 2:
			return enginetest.Late
		}
		return enginetest.None
	})
}

func (s *story) crash() {
	s.store.FailWrites(nil)
	store := s.store.Crash()
	s.j.Close()
	s.store = store
	s.open()
}

func (s *story) step() {
	name := storyDestinations[s.rng.IntN(2)]
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	switch s.rng.IntN(10) {
	case 0, 1, 2:
		s.append(ctx)
	case 3:
		s.saveProgress(ctx, name)
	case 4, 5:
		s.storeDeadLetter(ctx, name)
	case 6:
		s.park(ctx, name)
	case 7:
		s.remove(ctx, name)
	case 8:
		paused := s.rng.IntN(2) == 0
		err := s.j.Pause(name, paused)
		s.note("pause %s %t: %v", name, paused, err)
		if delete(s.paused, name); err == nil {
			s.paused[name] = paused
		}
	case 9:
		if s.rng.IntN(3) == 0 {
			s.note("crash")
			s.crash()
			s.check()
		}
	}
}

func (s *story) call() Entry {
	s.next++
	return entry("u", s.next)
}

func (s *story) append(ctx context.Context) {
	e := s.call()
	_, err := s.j.Append(ctx, []Entry{e})
	s.note("append %s: %v", e.MessageID, err)
	switch {
	case err == nil:
		s.logged = append(s.logged, e.MessageID)
	case errors.Is(err, ErrUnavailable):
		s.maybe[e.MessageID] = true
	default:
		s.fail("append: %v", err)
	}
}

func (s *story) saveProgress(ctx context.Context, name string) {
	p := NewProgress(Position{Seq: 1}, 0)
	s.note("save %s: %v", name, s.j.SaveProgress(ctx, name, p.Encode(true), nil, nil))
}

func (s *story) storeDeadLetter(ctx context.Context, name string) {
	e := s.call()
	d := &DeadLetter{Destination: name, Reason: "refused", Position: Position{Seq: uint64(s.next)}, Entry: e}
	if name == "vero" && s.rng.IntN(2) == 0 {
		d.Place = &Parked{Queue: 5, Rank: d.Position, Position: d.Position, Entry: e}
	}
	var err error
	for range 1 + s.rng.IntN(3) { // as callers do, again until it succeeds
		if err = s.j.StoreDeadLetters(ctx, []*DeadLetter{d}); err == nil {
			break
		}
	}
	s.note("store dead letter %s: %v", e.MessageID, err)
	if err == nil {
		if other, taken := s.deadLetters[d.ID]; taken {
			s.fail("the id of %s is also that of %s", e.MessageID, other)
		}
		s.deadLetters[d.ID] = e.MessageID
	} else {
		s.gone[e.MessageID] = true
	}
	if d.Place != nil {
		s.keepParked(d.Place, err)
	}
}

func (s *story) park(ctx context.Context, name string) {
	if name != "vero" {
		return // keys are those of one destination
	}
	var calls []*Parked
	for range 1 + s.rng.IntN(4) {
		e := s.call()
		calls = append(calls, &Parked{Queue: 1 + s.rng.Uint64N(3), Rank: Position{Seq: uint64(s.next)}, Position: Position{Seq: uint64(s.next)}, Entry: e})
	}
	var err error
	for range 1 + s.rng.IntN(3) {
		if err = s.j.Park(ctx, name, calls); err == nil {
			break
		}
	}
	s.note("park %s and %d more: %v", calls[0].Entry.MessageID, len(calls)-1, err)
	for _, p := range calls {
		s.keepParked(p, err)
	}
}

func (s *story) keepParked(p *Parked, err error) {
	if err == nil {
		s.parked[p.Key()] = p.Entry.MessageID
	} else {
		s.gone[p.Entry.MessageID] = true
	}
}

// withdraw takes dead letters back, and repeats that until it knows which.
func (s *story) withdraw(ctx context.Context) {
	var ids []uint64
	for _, id := range slices.Sorted(maps.Keys(s.deadLetters)) {
		if s.rng.IntN(2) == 0 {
			ids = append(ids, id)
		}
	}
	var put []*Parked
	err := errors.New("not tried")
	for err != nil {
		put, err = s.j.Withdraw(ctx, "vero", ids, func(d *DeadLetter) *Parked { return d.Parked(4) })
	}
	s.note("withdraw %v: %d were put back", ids, len(put))
	for _, p := range put {
		s.parked[p.Key()] = p.Entry.MessageID
	}
	for _, id := range ids {
		if slices.ContainsFunc(put, func(p *Parked) bool { return p.Entry.MessageID == s.deadLetters[id] }) {
			s.gone[s.deadLetters[id]] = true // as a dead letter
			delete(s.deadLetters, id)
		}
	}
}

// remove discards a dead letter, or unparks a call, or takes dead letters back.
func (s *story) remove(ctx context.Context, name string) {
	switch {
	case s.rng.IntN(4) == 0:
		s.withdraw(ctx)
	case name == "vero":
		s.unpark(ctx)
	default:
		s.discard(ctx)
	}
}

func (s *story) discard(ctx context.Context) {
	if len(s.deadLetters) == 0 {
		return
	}
	id := slices.Sorted(maps.Keys(s.deadLetters))[s.rng.IntN(len(s.deadLetters))]
	err := s.j.Discard(ctx, id)
	s.note("discard %s: %v", s.deadLetters[id], err)
	if errors.Is(err, ErrNoDeadLetter) {
		s.fail("%s is not there", s.deadLetters[id])
	}
	s.gone[s.deadLetters[id]] = true
	delete(s.deadLetters, id)
}

func (s *story) unpark(ctx context.Context) {
	keys := slices.SortedFunc(maps.Keys(s.parked), func(a, b ParkedKey) int { return a.Rank.Compare(b.Rank) })
	s.rng.Shuffle(len(keys), func(i, k int) { keys[i], keys[k] = keys[k], keys[i] })
	keys = keys[:min(len(keys), 1+s.rng.IntN(3))]
	err := s.j.Unpark(ctx, "vero", keys, nil)
	s.note("unpark %v: %v", keys, err)
	for _, key := range keys {
		s.gone[s.parked[key]] = true
		delete(s.parked, key)
	}
}

// check compares the journal with what was promised.
func (s *story) check() {
	s.t.Helper()
	s.store.FailWrites(nil)
	s.checkCalls()
	for _, name := range storyDestinations { // what is known in memory is read again with the next change
		must(s.t, s.j.SaveProgress(s.t.Context(), name, NewProgress(Position{Seq: 1}, 0).Encode(true), nil, nil))
	}
	deadLetters := map[uint64]string{}
	must(s.t, s.j.DeadLetters(s.t.Context(), DeadFilter{}, 0, func(d *DeadLetter) bool {
		deadLetters[d.ID] = d.Entry.MessageID
		return true
	}))
	checkKept(s, "dead letter", deadLetters, s.deadLetters)
	parked := map[ParkedKey]string{}
	must(s.t, s.j.EachParked(s.t.Context(), "vero", func(p *Parked) error {
		parked[p.Key()] = p.Entry.MessageID
		return nil
	}))
	checkKept(s, "parked call", parked, s.parked)
	for queue := range uint64(6) {
		s.checkQueue(queue, parked)
	}
	counts, err := s.j.DeadSummary(s.t.Context())
	must(s.t, err)
	counted := uint64(0)
	for _, c := range counts {
		counted += c.Count
	}
	if counted != uint64(len(deadLetters)) {
		s.fail("%d dead letters are counted, and %d are there", counted, len(deadLetters))
	}
	for name, paused := range s.paused {
		if s.j.Paused(name) != paused {
			s.fail("%s: paused is %t", name, !paused)
		}
	}
}

func (s *story) checkCalls() {
	s.t.Helper()
	if _, err := s.j.Append(s.t.Context(), []Entry{s.call()}); err != nil {
		s.fail("the journal does not take calls again: %v", err)
	}
	s.logged = append(s.logged, entry("u", s.next).MessageID)
	var certain []string
	seen := map[string]bool{}
	for _, id := range messageIDs(readAll(s.t, s.j, 1)) {
		if seen[id] {
			s.fail("%s is there twice", id)
		}
		seen[id] = true
		if !s.maybe[id] {
			certain = append(certain, id)
		}
	}
	if !slices.Equal(certain, s.logged) {
		s.fail("the log has %v\nand accepted %v", certain, s.logged)
	}
	if calls, _ := s.j.Head(); calls != uint64(len(seen)) {
		s.fail("Head counts %d calls, and %d are there", calls, len(seen))
	}
}

// checkQueue compares a queue with what is parked in all.
func (s *story) checkQueue(queue uint64, parked map[ParkedKey]string) {
	s.t.Helper()
	last := Position{}
	must(s.t, s.j.ReadQueue(s.t.Context(), "vero", queue, Position{}, func(p *Parked) bool {
		if parked[p.Key()] != p.Entry.MessageID || p.Queue != queue || !last.Before(p.Position) {
			s.fail("queue %d has %v behind %s", queue, p.Key(), last)
		}
		last = p.Position
		delete(parked, p.Key())
		return true
	}))
	for key := range parked {
		if key.Queue == queue {
			s.fail("queue %d lacks %v", queue, key)
		}
	}
}

func checkKept[K comparable](s *story, what string, found, promised map[K]string) {
	s.t.Helper()
	for id, messageID := range promised {
		if found[id] != messageID {
			s.fail("%s %v is %q, and %s was stored", what, id, found[id], messageID)
		}
	}
	for id, messageID := range found {
		if promised[id] == "" && !s.gone[messageID] {
			s.fail("%s %v is there, and was removed", what, id)
		}
	}
}
