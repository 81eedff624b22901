package records

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/ledger"
)

// The ledger is one list of entries per destination. An entry's number is about the time of its write, so that old entries, and
// those of a time, are found without an index. Each entry has two index records, by the digests of its ids.

// LedgerLimits bound the ledger of one destination. The oldest entries go first.
type LedgerLimits struct {
	// MaxAge is how long an entry is kept, MaxBytes what all take on disk. 0 is no limit.
	MaxAge   time.Duration
	MaxBytes uint64
}

// DefaultLedgerLimits are those of a destination for which none were set.
var DefaultLedgerLimits = LedgerLimits{MaxAge: 400 * 24 * time.Hour, MaxBytes: 1 << 30}

// MaxLedgerEntries is how many entries one write appends at the most.
const MaxLedgerEntries = 4096

// ledgers are those of all destinations.
type ledgers struct {
	t   *table
	log *zap.Logger

	mu     sync.Mutex
	limits map[string]LedgerLimits
}

// SetLedgerLimits sets how much is kept of a destination's ledger from now on.
func (s *ledgers) SetLedgerLimits(destination string, limits LedgerLimits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits[destination] = limits
}

func (s *ledgers) limitsOf(destination string) LedgerLimits {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limits, ok := s.limits[destination]; ok {
		return limits
	}
	return DefaultLedgerLimits
}

// AppendLedger appends entries to a destination's ledger, and returns once they are safe on disk. It cuts long texts. An entry
// that is among the newest few hundred already, as when a crash has repeated its call, is left out.
func (s *ledgers) AppendLedger(ctx context.Context, destination string, entries []ledger.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for len(entries) > 0 {
		n := min(len(entries), MaxLedgerEntries)
		err := s.t.change(ctx, destination, func(b *recordState, c *change) error {
			return s.t.ledgerWrites(ctx, destination, b, c, entries[:n])
		})
		if err != nil {
			return fmt.Errorf("append to the ledger of %s: %w", destination, err)
		}
		entries = entries[n:]
	}
	return nil
}

// ledgerState is what is known of a destination's ledger. It is stored with each change of that: see keyLedgerState.
type ledgerState struct {
	// first and last are the numbers of the oldest entry and of the newest that ever was; first is 0 when there is none.
	first, last uint64
	// count is how many entries there are, bytes their size on disk.
	count, bytes uint64
}

func (l *ledgerState) numbers() [4]*uint64 {
	return [...]*uint64{&l.first, &l.last, &l.count, &l.bytes}
}

func (l *ledgerState) encode() []byte {
	out := []byte{recordVersion}
	for _, n := range l.numbers() {
		out = binary.AppendUvarint(out, *n)
	}
	return codec.AppendSum(out)
}

func decodeLedgerState(data []byte) (l ledgerState, err error) {
	r, err := openRecord(data)
	if err != nil {
		return l, err
	}
	for _, n := range l.numbers() {
		*n = r.Uvarint()
	}
	return l, r.Err
}

// ledgerMemory is a destination's ledgerState, and what its newest entries are known by. It belongs to who has the record
// state's changing.
type ledgerMemory struct {
	state ledgerState
	// recent has the newest entries, to leave out doubled ones; nil until it is needed. order has their keys, oldest first.
	recent map[ledgerKey]struct{}
	order  []ledgerKey
}

// maxRecentEntries is how many of the newest entries a new one is compared with.
const maxRecentEntries = 512

// ledgerKey is by what a doubled entry is recognized.
type ledgerKey struct {
	seq       uint64
	index     int
	messageID string
	verdict   ledger.Verdict
	from, to  ledger.Digest
}

func keyOfEntry(e *ledger.Entry) ledgerKey {
	return ledgerKey{e.Position.Seq, e.Position.Index, e.MessageID, e.Verdict, e.From, e.To}
}

// note remembers an entry, and reports whether it is a new one. One without a position is always new.
func (m *ledgerMemory) note(e *ledger.Entry) bool {
	if e.Position.Seq == 0 {
		return true
	}
	key := keyOfEntry(e)
	if _, doubled := m.recent[key]; doubled {
		return false
	}
	if len(m.order) == maxRecentEntries {
		delete(m.recent, m.order[0])
		m.order = m.order[1:]
	}
	m.recent[key] = struct{}{}
	m.order = append(m.order, key)
	return true
}

// loadLedger reads the state of a destination's ledger. It does not count the entries, of which there may be millions: it looks
// whether the oldest and the newest are there.
func (b *recordState) loadLedger(ctx context.Context, view engine.View, destination string) error {
	b.ledger = ledgerMemory{}
	data, err := view.Get(ctx, destination, []byte{keyLedgerState})
	if errors.Is(err, engine.ErrNoRecord) {
		return nil
	}
	if err == nil {
		b.ledger.state, err = decodeLedgerState(data)
	}
	if err != nil {
		return fmt.Errorf("ledger of %s: %w", destination, err)
	}
	return nil
}

// verifyLedger compares what there is with the state.
func (b *recordState) verifyLedger(ctx context.Context, view engine.View, destination string) error {
	if b.ledger.state.count == 0 {
		return nil
	}
	for _, number := range []uint64{b.ledger.state.first, b.ledger.state.last} {
		_, err := view.Get(ctx, destination, recordKey(keyLedger, number))
		if errors.Is(err, engine.ErrNoRecord) {
			return fmt.Errorf("%w: entry %d of the ledger of %s is missing", ErrBroken, number, destination)
		}
		if err != nil && !errors.Is(err, engine.ErrDamaged) {
			return err
		}
	}
	return nil
}

// ledgerWrites adds entries to a change, so that they are stored together with what else is in it.
func (t *table) ledgerWrites(ctx context.Context, destination string, b *recordState, c *change, entries []ledger.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := t.loadRecent(ctx, destination, b); err != nil {
		return err
	}
	state := b.ledger.state
	c.grow(3*len(entries) + 1)
	for i := range entries {
		e := ledger.Bounded(entries[i])
		if e.Time.IsZero() {
			e.Time = time.Now()
		}
		if !b.ledger.note(&e) {
			continue
		}
		e.Number = t.nextEntry(state.last, time.Now())
		body := ledger.Encode(&e)
		c.set(recordKey(keyLedger, e.Number), body)
		for _, index := range indexesOf(&e) {
			c.set(index, nil)
		}
		if state.count == 0 {
			state.first = e.Number
		}
		state.last = e.Number
		state.count++
		state.bytes += entrySize(body)
	}
	c.setLedger(b, state)
	// What is noted is not stored when the write fails. It is read anew then.
	recent, order := b.ledger.recent, b.ledger.order
	b.ledger.recent, b.ledger.order = nil, nil
	c.then = append(c.then, func() { b.ledger.recent, b.ledger.order = recent, order })
	return nil
}

// setLedger puts a new state of the ledger into a change.
func (c *change) setLedger(b *recordState, state ledgerState) {
	if state == b.ledger.state {
		return
	}
	c.set([]byte{keyLedgerState}, state.encode())
	c.then = append(c.then, func() { b.ledger.state = state })
}

// entryOverhead is about what an entry takes beside its body: its key, and two index records.
const entryOverhead = 96

func entrySize(body []byte) uint64 { return uint64(len(body)) + entryOverhead }

// nextEntry gives the number of a new entry: the time in microseconds, but higher than any number before.
func (t *table) nextEntry(last uint64, now time.Time) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastEntry = max(t.lastEntry+1, last+1, uint64(max(now.UnixMicro(), 1)))
	return t.lastEntry
}

// indexesOf returns the keys of an entry's index records.
func indexesOf(e *ledger.Entry) [][]byte {
	keys := [][]byte{ledgerIndexKey(e.From, e.Number)}
	if e.To != e.From {
		keys = append(keys, ledgerIndexKey(e.To, e.Number))
	}
	return keys
}

func ledgerIndexKey(digest ledger.Digest, number uint64) []byte {
	return binary.BigEndian.AppendUint64(ledgerIndexPrefix(digest), number)
}

func ledgerIndexPrefix(digest ledger.Digest) []byte {
	key := make([]byte, 0, 1+len(digest)+8) // with room for a number
	return append(append(key, keyLedgerIndex), digest[:]...)
}

// loadRecent reads what the newest entries are known by, once.
func (t *table) loadRecent(ctx context.Context, destination string, b *recordState) error {
	if b.ledger.recent != nil {
		return nil
	}
	m := ledgerMemory{recent: map[ledgerKey]struct{}{}}
	var newest []ledger.Entry
	err := backwards(ctx, t.engine, destination, []byte{keyLedger}, b.ledger.state.first, b.ledger.state.last+1, func(_ uint64, value []byte) (bool, error) {
		if e, err := ledger.Decode(value); err == nil {
			newest = append(newest, e)
		}
		return len(newest) < maxRecentEntries, nil
	})
	if err != nil {
		return err
	}
	for i := range newest {
		m.note(&newest[len(newest)-1-i])
	}
	b.ledger.recent, b.ledger.order = m.recent, m.order
	return nil
}

// The windows in which backwards reads: an engine reads forward only.
const (
	firstSpan = uint64(time.Minute / time.Microsecond)
	// maxSpanRecords bounds what one window holds in memory, fewSpanRecords is when the next may be longer.
	maxSpanRecords, fewSpanRecords = 2048, 256
	spanGrowth                     = 16
)

// backwards visits the records whose keys are the prefix and a number from first up to, but without, before: highest numbers
// first. The values are no longer good than the visit.
func backwards(ctx context.Context, view Reader, destination string, prefix []byte, first, before uint64, visit func(number uint64, value []byte) (more bool, err error)) error {
	type record struct {
		number uint64
		value  []byte
	}
	key := func(number uint64) []byte { return binary.BigEndian.AppendUint64(bytes.Clone(prefix), number) }
	span := firstSpan
	for before > first {
		from := first
		if before-first > span {
			from = before - span
		}
		var found []record
		err := view.Scan(ctx, destination, key(from), key(before), func(key, value []byte) (bool, error) {
			found = append(found, record{binary.BigEndian.Uint64(key[len(key)-8:]), bytes.Clone(value)})
			return len(found) <= maxSpanRecords, nil
		})
		if err != nil {
			return err
		}
		if len(found) > maxSpanRecords { // numbers are unique, so that a short window has fewer
			span = max((before-from)/spanGrowth, maxSpanRecords)
			continue
		}
		for i := range found {
			r := found[len(found)-1-i]
			if more, err := visit(r.number, r.value); err != nil || !more {
				return err
			}
		}
		before = from
		if len(found) < fewSpanRecords && span < 1<<60 {
			span *= spanGrowth
		}
	}
	return nil
}
