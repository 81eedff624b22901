package records

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"aka/router/journal/engine"
	"aka/router/journal/frame"
	"aka/router/journal/ledger"
)

// Salvager copies records to a new journal. What is derived from others it makes anew.
type Salvager struct {
	// Apply changes the new journal's records.
	Apply func(ctx context.Context, destination string, changes []engine.Change) error
	// Lost counts the records that cannot be read, and Next is the sequence of the first frame of which no record knows.
	Lost, Next uint64

	recordStates map[string]*salvagedState
}

// salvagedState is what was brought over of one destination.
type salvagedState struct {
	change   change
	ledger   ledgerState
	size     int
	progress bool
	state    bool
	facts    bool
}

// salvageBatch is how many bytes of records are written at once.
const salvageBatch = 1 << 20

// Take copies a record.
func (s *Salvager) Take(destination string, key, value []byte) error {
	if len(key) == 0 {
		return nil
	}
	if s.recordStates == nil {
		s.recordStates = map[string]*salvagedState{}
	}
	b := s.recordStates[destination]
	if b == nil {
		b = &salvagedState{}
		s.recordStates[destination] = b
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

func (s *Salvager) take(b *salvagedState, destination string, key, value []byte) error {
	switch key[0] {
	case keyAccount:
		was, err := decodeAccount(value)
		a := &b.change.account
		a.lastDead = max(a.lastDead, was.lastDead)
		return err
	case keyDead:
		return b.takeKept(kindDead, destination, key, value)
	case keyDropped:
		return b.takeKept(kindDropped, destination, key, value)
	case keyParked:
		if _, err := decodeParked(destination, key, value); err != nil {
			return err
		}
		b.change.account.parked++
	case keyFact:
		b.facts = true
	case keyLedger:
		return b.takeEntry(key, value)
	case keyAutoDecisions:
		if _, err := decodeAutoDecisions(value); err != nil {
			return err
		}
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

// takeKept copies a dead letter or a dropped call, and makes its index anew.
func (b *salvagedState) takeKept(k kind, destination string, key, value []byte) error {
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
	index := deadIndex{DeadFilter{destination, d.Reason, entry.Type, entry.Source}, stored, uint64(len(value)) + deadOverhead, d.callKey(k)}
	b.change.set(key, value)
	b.change.set(recordKey(k.keys().index, id), index.encode())
	b.change.set(index.callKey, binary.BigEndian.AppendUint64(nil, id))
	*b.change.account.kept(k)++
	b.change.account.lastDead = max(b.change.account.lastDead, id)
	return nil
}

// takeEntry copies an entry of the ledger, and makes its index anew. Entries come in the order of their numbers.
func (b *salvagedState) takeEntry(key, value []byte) error {
	e, err := ledger.Decode(value)
	if err != nil {
		return err
	}
	e.Number = numberIn(key)
	b.change.set(key, value)
	for _, index := range indexesOf(&e) {
		b.change.set(index, nil)
	}
	if b.ledger.count == 0 {
		b.ledger.first = e.Number
	}
	b.ledger.last = e.Number
	b.ledger.count++
	b.ledger.bytes += entrySize(value)
	return nil
}

func (s *Salvager) write(destination string, b *salvagedState) error {
	list := b.change.list
	b.change.list, b.size = nil, 0
	if len(list) == 0 {
		return nil
	}
	return s.Apply(context.Background(), destination, list)
}

// Finish writes what is known of each destination. known is false where there was nothing of any.
func (s *Salvager) Finish() (known bool, err error) {
	for destination, b := range s.recordStates {
		if b.progress && !b.state {
			b.change.set([]byte{keyState}, destinationState{}.encode())
		}
		if b.facts {
			b.change.set(factKey(FactsSalvaged), []byte{recordVersion})
		}
		known = known || b.progress || b.state
		if b.ledger.count > 0 {
			b.change.set([]byte{keyLedgerState}, b.ledger.encode())
		}
		b.change.set([]byte{keyAccount}, b.change.account.encode())
		if n := b.change.account.dropped; n > 0 {
			b.change.set([]byte{keyDroppedCount}, encodeCount(n))
		}
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
