package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"aka/router/journal/embedded"
	"aka/router/journal/engine"
)

// Salvaged is what Salvage has brought over.
type Salvaged struct {
	// From is what was found, and To what the new journal holds.
	From *Report `json:"from"`
	To   *Report `json:"to"`
	// ProgressLost means that it is not known any more which destinations had progress: every destination begins where the log
	// does.
	ProgressLost bool `json:"progress_lost"`
	// Lost counts the records beside the log that cannot be read: dead letters, parked calls, progress, merges.
	Lost uint64 `json:"lost"`
	// Problems are what could not be read, each with its file.
	Problems []string `json:"problems,omitempty"`
}

// Salvage writes what can be read of the journal in dir into a new one in target, which must not exist or be empty. dir is
// only read. Calls keep their places in the log, those that are lost leave theirs empty, so that progress means the same
// calls as before: what had ended at a destination does not go again, unless its progress is lost too.
func Salvage(dir, target string) (*Salvaged, error) {
	from, err := Check(dir)
	if err != nil {
		return nil, err
	}
	s := &salvager{salvaged: Salvaged{From: from}, books: map[string]*salvagedBook{}, next: from.Calls.Last + 1}
	first := max(from.Calls.First, 1)
	if from.Calls.Frames == 0 {
		first = s.next
	}
	if s.target, err = embedded.CreateTarget(target, first); err != nil {
		return nil, err
	}
	i, err := embedded.Inspect(dir, s.frame)
	if err != nil {
		return nil, err
	}
	i.Close()
	if s.err != nil {
		return nil, s.err
	}
	if s.salvaged.Problems, err = embedded.EachRecord(dir, s.record); err != nil {
		return nil, err
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	s.salvaged.To, err = Check(target)
	return &s.salvaged, err
}

// salvager writes a new journal.
type salvager struct {
	salvaged Salvaged
	target   *embedded.Target
	books    map[string]*salvagedBook
	next     uint64
	err      error
}

// salvagedBook is what was brought over of one destination.
type salvagedBook struct {
	change   change
	size     int
	progress bool
	state    bool
}

// salvageBatch is how many bytes of records are written at once.
const salvageBatch = 1 << 20

// frame copies a frame. One that cannot be decoded is left out.
func (s *salvager) frame(raw engine.Frame) {
	if s.err != nil {
		return
	}
	if _, err := decoded(raw); err == nil {
		s.err = s.target.Frame(raw.Seq, raw.Data)
	}
}

// record copies a record. What is derived from others is made anew.
func (s *salvager) record(destination string, key, value []byte) error {
	if len(key) == 0 {
		return nil
	}
	b := s.books[destination]
	if b == nil {
		b = &salvagedBook{}
		s.books[destination] = b
	}
	key, value = bytes.Clone(key), bytes.Clone(value)
	if err := s.take(b, destination, key, value); err != nil {
		s.salvaged.Lost++
		return nil
	}
	if b.size += len(key) + len(value); b.size < salvageBatch {
		return nil
	}
	return s.write(destination, b)
}

func (s *salvager) take(b *salvagedBook, destination string, key, value []byte) error {
	switch key[0] {
	case keyAccount:
		was, err := decodeAccount(value)
		a := &b.change.account
		a.lastDead, a.lastParked, a.lastMerge = max(a.lastDead, was.lastDead), max(a.lastParked, was.lastParked), max(a.lastMerge, was.lastMerge)
		return err
	case keyDead:
		return b.takeDead(destination, key, value)
	case keyParked:
		return b.takeParked(key, value)
	case keyMerges:
		if len(value) < 8 {
			return ErrDamaged
		}
		b.change.account.merges++
		b.change.account.lastMerge = max(b.change.account.lastMerge, binary.BigEndian.Uint64(value))
	case keyProgress:
		p, err := DecodeProgress(value)
		if err != nil {
			return err
		}
		b.progress = true
		s.next = max(s.next, p.reached()+1)
	case keyHead:
		h, err := decodeHead(value)
		if err != nil {
			return err
		}
		s.next = max(s.next, h.seq+1)
	case keyState:
		if _, err := decodeState(value); err != nil {
			return err
		}
		b.state = true
	default: // an index
		return nil
	}
	b.change.set(key, value)
	return nil
}

// takeDead copies a dead letter, and makes its index anew.
func (b *salvagedBook) takeDead(destination string, key, value []byte) error {
	d := &DeadLetter{}
	entry, err := readMeta(value, d)
	if err != nil {
		return err
	}
	d.Entry = entry
	id, stored := numberIn(key), d.Last
	if stored.IsZero() {
		stored = time.Now()
	}
	index := deadIndex{DeadFilter{destination, d.Reason, entry.Type, entry.Source}, stored, uint64(len(value)) + deadOverhead, d.callKey()}
	b.change.set(key, value)
	b.change.set(recordKey(keyDeadIndex, id), index.encode())
	b.change.set(index.callKey, binary.BigEndian.AppendUint64(nil, id))
	b.change.account.dead++
	b.change.account.lastDead = max(b.change.account.lastDead, id)
	return nil
}

func (b *salvagedBook) takeParked(key, value []byte) error {
	callKey, call, err := splitParked(value)
	if err != nil {
		return err
	}
	if _, err := readMeta(call, &Parked{}); err != nil {
		return err
	}
	id := numberIn(key)
	b.change.set(key, value)
	b.change.set(slices.Clone(callKey), binary.BigEndian.AppendUint64(nil, id))
	b.change.account.parked++
	b.change.account.lastParked = max(b.change.account.lastParked, id)
	return nil
}

func (s *salvager) write(destination string, b *salvagedBook) error {
	list := b.change.list
	b.change.list, b.size = nil, 0
	if len(list) == 0 {
		return nil
	}
	return s.target.Apply(context.Background(), destination, list)
}

// finish writes what is known of each destination, and completes the new journal.
func (s *salvager) finish() error {
	known := false
	for destination, b := range s.books {
		if b.progress && !b.state {
			b.change.set([]byte{keyState}, destinationState{}.encode())
		}
		known = known || b.progress || b.state
		b.change.set([]byte{keyAccount}, b.change.account.encode())
		if err := s.write(destination, b); err != nil {
			return err
		}
	}
	if !known && len(s.salvaged.From.Problems) > 0 {
		s.salvaged.ProgressLost = true
		if err := s.target.Apply(context.Background(), anyDestination, []engine.Change{{Key: []byte{keyState}, Value: destinationState{}.encode()}}); err != nil {
			return err
		}
	}
	return s.target.Finish(s.next)
}
