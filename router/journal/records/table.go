package records

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/frame"
)

// The records of a destination, by the first byte of their keys. Numbers in keys are big-endian, so that keys are in the
// numbers' order.
const (
	keyAccount       = 'a'     // what there must be: see account
	keyDead          = 'd'     // + id: a dead letter
	keyDeadIndex     = 'i'     // + id: what dead letters are chosen and counted by: see deadIndex
	keyDeadCall      = 'u'     // + callKey: the id of the dead letter that a call is
	keyParked        = 'k'     // + queue, position: a parked call: see ParkedKey
	keyFact          = KeyFact // + its key: see Fact
	keyProgress      = 'g'     // the encoded Progress
	keyHead          = 'h'     // the end of the log when progress was saved: see head
	keyState         = 's'     // paused, removed: see destinationState
	keyType          = 't'     // whose adapter the destination has: see types.go
	keyLedger        = 'l'     // + number: an entry of the merge ledger
	keyLedgerIndex   = 'j'     // + digest, number: that an entry names the id of that digest
	keyLedgerState   = 'L'     // what there must be of the ledger: see ledgerState
	keyAutoDecisions = 'o'     // the automatic decisions: see autodecisions.go
	keyDropped       = 'x'     // + id: a dropped call that is kept, as a dead letter is
	keyDroppedIndex  = 'y'     // + id: what dropped calls are chosen and counted by: see deadIndex
	keyDroppedCall   = 'z'     // + callKey: the id under which a dropped call is kept
	keyDroppedCount  = 'c'     // how many dropped calls there must be: see account
	keyFence         = 'f'     // never there: its removal is the write that unsure ones do not come after
)

func recordKey(kind byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, number)
}

// numberIn returns the number in a key that recordKey made.
func numberIn(key []byte) uint64 {
	if len(key) != 9 {
		return 0
	}
	return binary.BigEndian.Uint64(key[1:])
}

// allOf are the bounds of a scan over all records of a kind.
func allOf(kind byte) (from, to []byte) { return []byte{kind}, []byte{kind + 1} }

// account is how many records of each kind a destination has, but for facts, of which there may be millions. It is changed
// together with them, so that a start which finds other numbers knows that something is gone.
type account struct {
	dead, parked uint64
	// dropped has a record of its own.
	dropped uint64
	// lastDead is the highest id that was given to a dead letter or a dropped call.
	lastDead uint64
	// unused are numbers that earlier versions of aka counted.
	unused [2]uint64
}

const recordVersion = 1

// kept is how many calls of a kind there are.
func (a *account) kept(k kind) *uint64 {
	if k == kindDropped {
		return &a.dropped
	}
	return &a.dead
}

func (a *account) numbers() [5]*uint64 {
	return [...]*uint64{&a.dead, &a.parked, &a.unused[0], &a.lastDead, &a.unused[1]}
}

func (a *account) encode() []byte {
	out := []byte{recordVersion}
	for _, n := range a.numbers() {
		out = binary.AppendUvarint(out, *n)
	}
	return codec.AppendSum(out)
}

func decodeAccount(data []byte) (a account, err error) {
	r, err := openRecord(data)
	if err != nil {
		return a, err
	}
	for _, n := range a.numbers() {
		*n = r.Uvarint()
	}
	a.unused = [2]uint64{}
	return a, r.Err
}

// table is the records of all destinations, with what is known of them in memory. Changes to one destination follow one another.
type table struct {
	engine engine.Engine
	states *states

	mu           sync.Mutex
	recordStates map[string]*recordState
	lastDead     uint64 // the highest id that was given, to both kinds and at all destinations together
	lastEntry    uint64 // the highest number of a ledger entry, the same
}

// recordState is what is known of one destination's records.
type recordState struct {
	// changing has one place: who has it changes the destination's records. Below belongs to it.
	changing chan struct{}
	account  account
	// stale is set where a change may or may not be stored: the account must be read again before the next.
	stale  bool
	queues queueEnds
	ledger ledgerMemory

	// mu is held for no longer than it takes to look or to count.
	mu   sync.Mutex
	kept [kindCount]map[DeadFilter]*deadSize
	// withdrawn are the parked calls that dead letters became, by their ids, where it is not known whether that is stored.
	withdrawn map[uint64]*Parked
}

func newTable(s *states) *table { return &table{states: s, recordStates: map[string]*recordState{}} }

// load reads the accounts and counts what there is of each kind. Where that is less, or more, it fails and says what.
func (t *table) load(ctx context.Context, view engine.View) error {
	destinations, err := view.Destinations(ctx)
	if err != nil {
		return err
	}
	for _, name := range destinations {
		b := newRecordState()
		if err := b.load(ctx, view, name); err != nil {
			return err
		}
		if err := b.verify(ctx, view, name); err != nil {
			return err
		}
		t.recordStates[name] = b
		t.lastDead = max(t.lastDead, b.account.lastDead)
		t.lastEntry = max(t.lastEntry, b.ledger.state.last)
	}
	return nil
}

func newRecordState() *recordState {
	return &recordState{changing: make(chan struct{}, 1), kept: [kindCount]map[DeadFilter]*deadSize{{}, {}}, withdrawn: map[uint64]*Parked{}}
}

// load reads the account, and counts the dead letters and the dropped calls.
func (b *recordState) load(ctx context.Context, view engine.View, destination string) error {
	data, err := view.Get(ctx, destination, []byte{keyAccount})
	switch {
	case errors.Is(err, engine.ErrNoRecord):
	case err != nil:
		return fmt.Errorf("account of %s: %w", destination, err)
	default:
		if b.account, err = decodeAccount(data); err != nil {
			return fmt.Errorf("account of %s: %w", destination, err)
		}
	}
	if b.account.dropped, err = readDroppedCount(ctx, view, destination); err != nil {
		return err
	}
	for _, k := range kinds {
		if err := b.countKept(ctx, view, destination, k); err != nil {
			return fmt.Errorf("%s of %s: %w", k, destination, err)
		}
	}
	return b.loadLedger(ctx, view, destination)
}

// verify compares what there is with the account.
func (b *recordState) verify(ctx context.Context, view engine.View, destination string) error {
	for _, kind := range []struct {
		name string
		key  byte
		want uint64
		note func(key []byte)
	}{
		{kindDead.String(), keyDeadIndex, b.account.dead, noteNothing},
		{kindDropped.String(), keyDroppedIndex, b.account.dropped, noteNothing},
		{"parked calls", keyParked, b.account.parked, b.queues.found},
	} {
		found, err := countOf(ctx, view, destination, kind.key, kind.note)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", kind.name, destination, err)
		}
		if found != kind.want {
			return fmt.Errorf("%w: destination %s has %d %s, and had %d", ErrBroken, destination, found, kind.name, kind.want)
		}
	}
	return b.verifyLedger(ctx, view, destination)
}

func noteNothing([]byte) {}

func countOf(ctx context.Context, view engine.View, destination string, kind byte, note func(key []byte)) (n uint64, err error) {
	from, to := allOf(kind)
	err = view.Scan(ctx, destination, from, to, func(key, _ []byte) (bool, error) {
		note(key)
		n++
		return true, nil
	})
	return n, err
}

// recordState returns what is known of a destination.
func (t *table) recordState(destination string) *recordState {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.recordStates[destination]
	if b == nil {
		b = newRecordState()
		t.recordStates[destination] = b
	}
	return b
}

// names returns the destinations that have a record state.
func (t *table) names() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := make([]string, 0, len(t.recordStates))
	for name := range t.recordStates {
		names = append(names, name)
	}
	return names
}

// nextDead gives the id of a new dead letter or dropped call. No two have the same, so that a replay is recognized by it.
func (t *table) nextDead() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastDead++
	return t.lastDead
}

// change is one change of a destination's records on its way.
type change struct {
	account account
	list    []engine.Change
	// then is called once it is stored.
	then []func()
}

// grow makes room for n changes more.
func (c *change) grow(n int) { c.list = slices.Grow(c.list, n) }

func (c *change) set(key, value []byte) {
	c.list = append(c.list, engine.Change{Key: key, Value: value})
}

func (c *change) remove(key []byte) {
	c.list = append(c.list, engine.Change{Key: key, Delete: true})
}

// change has build say what to change, with no other change of the destination in between, and returns once that is stored.
// Where there is nothing to change, nothing is written.
func (t *table) change(ctx context.Context, destination string, build func(b *recordState, c *change) error) error {
	b := t.recordState(destination)
	select {
	case b.changing <- struct{}{}:
		defer func() { <-b.changing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if b.stale {
		if err := t.reload(ctx, destination, b); err != nil {
			return err
		}
	}
	c := &change{account: b.account}
	if err := build(b, c); err != nil || len(c.list) == 0 {
		return err
	}
	if c.account != b.account {
		c.set([]byte{keyAccount}, c.account.encode())
	}
	if c.account.dropped != b.account.dropped {
		c.set([]byte{keyDroppedCount}, encodeCount(c.account.dropped))
	}
	if err := t.engine.Apply(ctx, destination, c.list); err != nil {
		b.stale = errors.Is(err, engine.ErrUnsure)
		return err
	}
	b.account = c.account
	for _, then := range c.then {
		then()
	}
	return nil
}

// reload reads what is known of a destination in memory again. Before that it makes a write that changes nothing: no unsure
// one can appear after it. It does not go through the parked calls, of which there may be millions: they are what the account
// says, which was changed with them.
func (t *table) reload(ctx context.Context, destination string, b *recordState) error {
	if err := t.engine.Apply(ctx, destination, []engine.Change{{Key: []byte{keyFence}, Delete: true}}); err != nil {
		return err
	}
	fresh := newRecordState()
	if err := fresh.load(ctx, t.engine, destination); err != nil {
		return err
	}
	if err := t.states.read(ctx, t.engine, destination); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.account, b.kept, b.ledger, b.stale = fresh.account, fresh.kept, fresh.ledger, false
	return nil
}

// each visits the records of a kind from a number on, with copies of their values no longer good than the visit.
func (t *table) each(ctx context.Context, destination string, kind byte, from uint64, visit func(number uint64, value []byte) (bool, error)) error {
	_, to := allOf(kind)
	return t.engine.Scan(ctx, destination, recordKey(kind, from), to, func(key, value []byte) (bool, error) {
		return visit(numberIn(key), value)
	})
}

// get returns a record's value, or engine.ErrNoRecord.
func (t *table) get(ctx context.Context, destination string, key []byte) ([]byte, error) {
	return t.engine.Get(ctx, destination, key)
}

// callKey names what is kept of a call beside the log, so that a second time is recognized: kind, position, and a hash of
// what tells calls at one position apart. After frames were lost from the log's end, others take their places; and what is
// stored anew after a dead letter of the same call is another.
func callKey(kind byte, pos frame.Position, hash [8]byte) []byte {
	return append(callPrefix(kind, pos), hash[:]...)
}

func callPrefix(kind byte, pos frame.Position) []byte {
	key := binary.BigEndian.AppendUint64([]byte{kind}, pos.Seq)
	return binary.BigEndian.AppendUint32(key, uint32(min(pos.Index, math.MaxUint32)))
}
