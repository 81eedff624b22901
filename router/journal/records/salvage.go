package records

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/frame"
)

// Salvager copies records to a new journal. What is derived from others it makes anew.
type Salvager struct {
	// Apply changes the new journal's records.
	Apply func(ctx context.Context, destination string, changes []engine.Change) error
	// Lost counts the records that cannot be read, and Next is the sequence of the first frame of which no record knows.
	Lost, Next uint64

	books map[string]*salvagedBook
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

// Take copies a record.
func (s *Salvager) Take(destination string, key, value []byte) error {
	if len(key) == 0 {
		return nil
	}
	if s.books == nil {
		s.books = map[string]*salvagedBook{}
	}
	b := s.books[destination]
	if b == nil {
		b = &salvagedBook{}
		s.books[destination] = b
	}
	key, value = bytes.Clone(key), bytes.Clone(value)
	if err := s.take(b, destination, key, value); err != nil {
		s.Lost++
		return nil
	}
	if b.size += len(key) + len(value); b.size < salvageBatch {
		return nil
	}
	return s.write(destination, b)
}

func (s *Salvager) take(b *salvagedBook, destination string, key, value []byte) error {
	switch key[0] {
	case keyAccount:
		was, err := decodeAccount(value)
		a := &b.change.account
		a.lastDead, a.lastMerge = max(a.lastDead, was.lastDead), max(a.lastMerge, was.lastMerge)
		return err
	case keyDead:
		return b.takeDead(destination, key, value)
	case keyParked:
		if _, err := decodeParked(destination, key, value); err != nil {
			return err
		}
		b.change.account.parked++
	case keyMerges:
		if len(value) < 8 {
			return codec.ErrDamaged
		}
		b.change.account.merges++
		b.change.account.lastMerge = max(b.change.account.lastMerge, binary.BigEndian.Uint64(value))
	case keyProgress:
		p, err := frame.DecodeProgress(value)
		if err != nil {
			return err
		}
		b.progress = true
		s.Next = max(s.Next, p.Reached()+1)
	case keyHead:
		h, err := decodeHead(value)
		if err != nil {
			return err
		}
		s.Next = max(s.Next, h.Seq+1)
	case keyState:
		if _, err := decodeState(value); err != nil {
			return err
		}
		b.state = true
	case keyType:
		if _, err := decodeType(value); err != nil {
			return err
		}
	default: // an index
		return nil
	}
	b.change.set(key, value)
	return nil
}

// takeDead copies a dead letter, and makes its index anew.
func (b *salvagedBook) takeDead(destination string, key, value []byte) error {
	d := &DeadLetter{}
	entry, err := frame.ReadMeta(value, d)
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

func (s *Salvager) write(destination string, b *salvagedBook) error {
	list := b.change.list
	b.change.list, b.size = nil, 0
	if len(list) == 0 {
		return nil
	}
	return s.Apply(context.Background(), destination, list)
}

// Finish writes what is known of each destination. known is false where there was nothing of any.
func (s *Salvager) Finish() (known bool, err error) {
	for destination, b := range s.books {
		if b.progress && !b.state {
			b.change.set([]byte{keyState}, destinationState{}.encode())
		}
		known = known || b.progress || b.state
		b.change.set([]byte{keyAccount}, b.change.account.encode())
		if err := s.write(destination, b); err != nil {
			return known, err
		}
	}
	return known, nil
}

// FinishUnknown makes every destination begin where the log does: each may have lost its progress.
func (s *Salvager) FinishUnknown() error {
	return s.Apply(context.Background(), anyDestination, []engine.Change{{Key: []byte{keyState}, Value: destinationState{}.encode()}})
}
