package records

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/frame"
)

// Parked is a call that waits in one of its destination's queues on disk: it keeps failing while others pass, waits behind
// such a one, or is a dead letter that blocks those behind it. It holds up neither the progress nor the purge.
type Parked struct {
	Destination string
	// Vendor is the destination's type when the call was parked, noted when it is stored; "" where that is not known.
	Vendor string
	// Queue names the queue, from 1. Rank is the call's place in the order of all calls, and so in the queue; Position is its place
	// in the log.
	Queue    uint64
	Rank     frame.Rank
	Position frame.Position
	// Attempts and Failures count its tries so far; First is the time of the first, FailingSince of the first failure that
	// counts against it.
	Attempts, Failures  int
	First, FailingSince time.Time
	// PossiblyDelivered tells that the vendor may have acted on it.
	PossiblyDelivered bool
	// Dead is why it became a dead letter, for a call that waits for its operator and holds up those behind it.
	// DeadLetterID is that dead letter's id; it stays when the call is tried again.
	Dead         string
	DeadLetterID uint64
	// Hold is what is known of an alias that a merge rule holds, or that was held and was decided about, as bytes that say nothing
	// to the journal; nil for any other call.
	Hold []byte
	// Since is when an alias began to wait in the queue; zero for one that has not waited, and for any other call.
	Since time.Time
	// Anew tells that its operator has it tried again, and that it was not since.
	Anew  bool
	Entry frame.Entry
}

// ParkedKey names a parked call among its destination's.
type ParkedKey struct {
	Queue uint64
	Rank  frame.Rank
}

// Key names the call among its destination's.
func (p *Parked) Key() ParkedKey { return ParkedKey{p.Queue, p.Rank} }

// parkedKeySize is the length of a parked call's key.
const parkedKeySize = 1 + 8 + 8 + 4

// encode returns the key in the engine. Scanned in order, each queue's calls stand together, in their order.
func (k ParkedKey) encode() []byte {
	key := append(make([]byte, 0, parkedKeySize), keyParked)
	key = binary.BigEndian.AppendUint64(key, k.Queue)
	key = binary.BigEndian.AppendUint64(key, k.Rank.Seq)
	return binary.BigEndian.AppendUint32(key, uint32(min(k.Rank.Index, math.MaxUint32)))
}

func decodeParkedKey(key []byte) (k ParkedKey, err error) {
	if len(key) != parkedKeySize {
		return k, fmt.Errorf("%w: key of %d bytes", codec.ErrDamaged, len(key))
	}
	k.Queue = binary.BigEndian.Uint64(key[1:])
	k.Rank.Seq = binary.BigEndian.Uint64(key[9:])
	k.Rank.Index = int(binary.BigEndian.Uint32(key[17:]))
	return k, nil
}

// Flags in the first byte behind the version.
const (
	flagPossiblyDelivered = 1
	flagPosition          = 2 // the place in the log stands behind the flags; else it is the rank
	flagHold              = 4 // Hold stands behind the vendor
	flagSince             = 8 // Since stands behind that
	flagAnew              = 16
)

// encode returns the call as it is stored under its key.
func (p *Parked) encode() []byte {
	meta := make([]byte, 0, 64)
	flags := byte(flagPosition)
	if p.PossiblyDelivered {
		flags |= flagPossiblyDelivered
	}
	if p.Hold != nil {
		flags |= flagHold
	}
	if !p.Since.IsZero() {
		flags |= flagSince
	}
	if p.Anew {
		flags |= flagAnew
	}
	meta = append(meta, recordVersion, flags)
	meta = binary.AppendUvarint(meta, p.Position.Seq)
	meta = binary.AppendUvarint(meta, uint64(p.Position.Index))
	meta = binary.AppendUvarint(meta, uint64(max(p.Attempts, 0)))
	meta = binary.AppendUvarint(meta, uint64(max(p.Failures, 0)))
	meta = codec.AppendTime(meta, p.First)
	meta = codec.AppendTime(meta, p.FailingSince)
	meta = binary.AppendUvarint(meta, p.DeadLetterID)
	meta = binary.AppendUvarint(meta, uint64(len(p.Vendor)))
	meta = append(meta, p.Vendor...)
	if p.Hold != nil {
		meta = binary.AppendUvarint(meta, uint64(len(p.Hold)))
		meta = append(meta, p.Hold...)
	}
	if !p.Since.IsZero() {
		meta = codec.AppendTime(meta, p.Since)
	}
	return frame.WithMeta(append(meta, p.Dead...), &p.Entry)
}

// decodeParked reads a record. The call shares its bytes.
func decodeParked(destination string, key, value []byte) (*Parked, error) {
	k, err := decodeParkedKey(key)
	if err != nil {
		return nil, err
	}
	meta, entry, err := frame.SplitMeta(value)
	if err != nil {
		return nil, err
	}
	r := codec.Reader{Data: meta}
	if version := r.Byte(); version != recordVersion {
		r.Fail("version %d, this program reads %d", version, recordVersion)
	}
	p := &Parked{Destination: destination, Queue: k.Queue, Rank: k.Rank, Position: k.Rank, Entry: entry}
	flags := r.Byte()
	p.PossiblyDelivered, p.Anew = flags&flagPossiblyDelivered != 0, flags&flagAnew != 0
	if flags&flagPosition != 0 {
		p.Position = frame.Position{Seq: r.Uvarint(), Index: int(min(r.Uvarint(), math.MaxInt32))}
	}
	p.Attempts, p.Failures = int(r.Uvarint()), int(r.Uvarint())
	p.First, p.FailingSince = r.Time(), r.Time()
	p.DeadLetterID = r.Uvarint()
	p.Vendor = string(r.Bytes(r.Uvarint()))
	if flags&flagHold != 0 {
		p.Hold = bytes.Clone(r.Bytes(r.Uvarint()))
	}
	if flags&flagSince != 0 {
		p.Since = r.Time()
	}
	p.Dead = string(r.Data)
	return p, r.Err
}

// parkedCalls are those of all destinations.
type parkedCalls struct {
	t          *table
	log        *zap.Logger
	unreadable unreadable
}

// MaxParked is how many calls one write parks or removes at the most.
const MaxParked = 256

// Park stores calls of a destination in its queues, all or none, and returns once they are safe on disk. A call replaces what
// is stored under its key: after a failure, to park them again is right whether they were stored or not.
func (s *parkedCalls) Park(ctx context.Context, destination string, calls []*Parked) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := checkParked(len(calls))
	if err == nil {
		err = s.t.change(ctx, destination, func(b *recordState, c *change) error { return s.t.park(ctx, destination, b, c, calls) })
	}
	if err != nil {
		return fmt.Errorf("park calls of %s: %w", destination, err)
	}
	return nil
}

// Unpark removes parked calls that have ended, all or none, and returns once that is safe on disk. Those that are gone already
// are no error. What the destination remembers of their merges is changed by the same write.
func (s *parkedCalls) Unpark(ctx context.Context, destination string, keys []ParkedKey, facts []Fact) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := checkParked(len(keys))
	if err == nil {
		err = s.t.change(ctx, destination, func(_ *recordState, c *change) error {
			c.setFacts(facts)
			return s.t.unpark(ctx, destination, c, keys)
		})
	}
	if err != nil {
		return fmt.Errorf("remove parked calls of %s: %w", destination, err)
	}
	return nil
}

func checkParked(n int) error {
	if n > MaxParked {
		return fmt.Errorf("%d at once, and %d are the most", n, MaxParked)
	}
	return nil
}

// park puts calls into a change, in place of what is stored under their keys.
func (t *table) park(ctx context.Context, destination string, b *recordState, c *change, calls []*Parked) error {
	keys := make([][]byte, len(calls))
	for i, p := range calls {
		if p.Queue == 0 {
			return fmt.Errorf("the call at %s has no queue", p.Position)
		}
		p.Vendor = t.states.typeOf(destination)
		keys[i] = p.Key().encode()
		c.set(keys[i], p.encode())
	}
	keys = sortedKeys(keys)
	c.account.parked += uint64(len(keys))
	if keys = b.queues.addTo(keys); len(keys) == 0 {
		return nil
	}
	stored, err := t.storedOf(ctx, destination, keys)
	c.account.parked -= uint64(len(stored))
	return err
}

func (t *table) unpark(ctx context.Context, destination string, c *change, parked []ParkedKey) error {
	keys := make([][]byte, len(parked))
	for i, k := range parked {
		keys[i] = k.encode()
	}
	stored, err := t.storedOf(ctx, destination, sortedKeys(keys))
	for _, key := range stored {
		c.remove(key)
	}
	c.account.parked -= uint64(len(stored))
	return err
}

// sortedKeys sorts keys, each once.
func sortedKeys(keys [][]byte) [][]byte {
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal)
}

// passAtMost is how many records a scan for some keys passes in a row before it is begun again at the next key.
const passAtMost = 16

// storedOf returns those of sorted keys under which something is stored. Keys that stand together cost one scan.
func (t *table) storedOf(ctx context.Context, destination string, keys [][]byte) (stored [][]byte, err error) {
	for len(keys) > 0 {
		if len(keys) == 1 || queueIn(keys[0]) != queueIn(keys[1]) {
			_, err := t.get(ctx, destination, keys[0])
			if err == nil {
				stored = append(stored, keys[0])
			} else if !errors.Is(err, engine.ErrNoRecord) {
				return stored, err
			}
			keys = keys[1:]
			continue
		}
		passed := 0
		end := append(slices.Clone(keys[len(keys)-1]), 0)
		err := t.engine.Scan(ctx, destination, keys[0], end, func(key, _ []byte) (bool, error) {
			for len(keys) > 0 && bytes.Compare(keys[0], key) < 0 {
				keys = keys[1:]
			}
			if len(keys) > 0 && bytes.Equal(keys[0], key) {
				stored, keys, passed = append(stored, keys[0]), keys[1:], 0
			} else {
				passed++
			}
			return len(keys) > 0 && passed < passAtMost, nil
		})
		if err != nil || passed < passAtMost {
			return stored, err
		}
	}
	return stored, nil
}

// ReadQueue calls visit for the calls of a queue from a rank on, that one included, in their order, until visit
// returns false. What cannot be read is counted, logged and passed over: one call must not keep a destination from all
// others. It stays on disk until it is unparked. visit must not wait for long: meanwhile the disk keeps what is replaced.
func (s *parkedCalls) ReadQueue(ctx context.Context, destination string, queue uint64, from frame.Rank, visit func(*Parked) bool) error {
	_, end := allOf(keyParked)
	if queue < math.MaxUint64 {
		end = ParkedKey{Queue: queue + 1}.encode()
	}
	err := s.read(ctx, destination, ParkedKey{queue, from}.encode(), end, func(p *Parked) (bool, error) { return visit(p), nil })
	if err != nil {
		return fmt.Errorf("read parked calls of %s: %w", destination, err)
	}
	return nil
}

// EachParked calls visit for all of a destination's parked calls, queue by queue, each in its order, one at a time
// in memory. It treats what cannot be read as ReadQueue does. An error of visit ends it.
func (s *parkedCalls) EachParked(ctx context.Context, destination string, visit func(*Parked) error) error {
	from, to := allOf(keyParked)
	err := s.read(ctx, destination, from, to, func(p *Parked) (bool, error) {
		err := visit(p)
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("read parked calls of %s: %w", destination, err)
	}
	return nil
}

func (s *parkedCalls) read(ctx context.Context, destination string, from, to []byte, visit func(*Parked) (bool, error)) error {
	return s.t.engine.Scan(ctx, destination, from, to, func(key, value []byte) (bool, error) {
		p, err := decodeParked(destination, key, bytes.Clone(value))
		if err == nil {
			return visit(p)
		}
		if s.unreadable.first(destination, key) {
			k, _ := decodeParkedKey(key)
			s.log.Error("parked call is unreadable and lost", zap.String("destination", destination), zap.Uint64("queue", k.Queue),
				zap.Stringer("rank", k.Rank), zap.Error(err), zap.String("hint", "check the disk"))
		}
		return true, nil
	})
}

// unreadable are the parked calls that could not be read: a queue is read again and again, and each is counted and told once.
type unreadable struct {
	count func()

	mu   sync.Mutex
	told map[string]bool
}

// maxCounted bounds how many are remembered.
const maxCounted = 10_000

// first counts a call that cannot be read, and reports whether it was not told yet.
func (u *unreadable) first(destination string, key []byte) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	name := destination + "\x00" + string(key)
	if u.told[name] || len(u.told) >= maxCounted {
		return false
	}
	if u.told == nil {
		u.told = map[string]bool{}
	}
	u.told[name] = true
	u.count()
	return true
}
