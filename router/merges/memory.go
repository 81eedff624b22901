// Package merges remembers which ids were merged at a vendor, says which aliases would change nothing or be thrown away there, and
// knows the people that the ids are. What it knows is on disk, by digests of the ids; a part of it is in memory.
package merges

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"aka/router/journal/engine"
	"aka/router/journal/records"
)

// Fact is a record of a memory: see Store. A nil Value removes it.
type Fact = records.Fact

// Store is where a memory keeps its facts: the records of one destination in the journal.
type Store interface {
	// Fact returns a fact's value, nil where there is none.
	Fact(ctx context.Context, key []byte) ([]byte, error)
	// EachFact calls visit for the facts in the order of their keys, beginning with from, until it returns false. Key and value
	// are valid during the visit only.
	EachFact(ctx context.Context, from []byte, visit func(key, value []byte) (more bool)) error
}

// Options are what a memory needs beside its store.
type Options struct {
	// Key is the secret of the digests, of 32 bytes or more. Under another key a memory begins anew.
	Key []byte
	// Account names the vendor's account. For another account a memory begins anew. "" remembers nothing: what is left of an
	// earlier memory is removed.
	Account string
	// MaxAge and MaxBytes bound what is kept: what was touched last in the longest time goes first. 0 is no bound.
	MaxAge   time.Duration
	MaxBytes int64
}

// The usual bounds of what is kept.
const (
	DefaultMaxAge         = 400 * 24 * time.Hour
	DefaultMaxBytes int64 = 1 << 30
)

// Bounds of what a memory holds in RAM.
const (
	// cacheBytes is how much it keeps of what is on disk.
	cacheBytes = 8 << 20
	// maxUnsaved is how many records may wait to be saved. What comes then is not learned: the disk is full.
	maxUnsaved = 1 << 15
	// nodeBytes is about what a record takes in RAM.
	nodeBytes = 240
	// MinKey is how many bytes a key must have.
	MinKey = 32
)

// The first byte of a fact's key.
const (
	keyMeta = 0 // the meta record
	keyID   = 1 // + generation of the account, digest: one id
)

// Memory is what a destination knows of the merges that were delivered there. It belongs to one goroutine, but for
// NameThem and FillFilter. What it says is true of the vendor as far as the vendor keeps its own rules: a merge is permanent, whether it is
// remembered or not.
type Memory struct {
	store Store
	o     Options
	hash  *hasher
	ids   recentIDs
	meta  meta
	// filter knows which ids have no record.
	filter *filter
	// young and old are what was looked up last, also that there is nothing. When young is half of the cache, old is dropped.
	young, old map[digest]*node
	youngBytes int
	round      uint64 // how often old was dropped
	unsaved    map[digest]*node
	// strangers are keys of other accounts that are to be removed, with the change that removes them.
	strangers map[string]uint64
	// underWay are facts about merges under way that are not on disk, by their keys.
	underWay map[string]waitingFact

	change    uint64 // the number of the next Changes
	metaSaved uint64 // the number of the Changes that saves the meta record as it is, 0 for none
	salvaged  bool   // the mark of a salvage is to be removed
	beganNew  bool

	swept              time.Time
	cursor             []byte
	forgotten, damaged int
}

// node is a record in memory.
type node struct {
	record
	id         digest
	exists     bool
	unreadable bool   // the store could not be read: nothing is to be written
	changed    uint64 // the Changes that it is in for the first time as it is
	// countedDay and counted are where and how its bytes are in the meta record.
	countedDay uint16
	counted    int64
}

// Open returns the memory that a store holds. It reads one small record.
func Open(ctx context.Context, s Store, o Options) (*Memory, error) {
	if len(o.Key) < MinKey {
		return nil, fmt.Errorf("key of merges: %d bytes, expected %d or more", len(o.Key), MinKey)
	}
	m := &Memory{
		store: s, o: o, hash: newHasher(o.Key), ids: recentIDs{seed: maphash.MakeSeed()}, change: 1,
		young: map[digest]*node{}, unsaved: map[digest]*node{}, strangers: map[string]uint64{}, underWay: map[string]waitingFact{},
	}
	m.o.Key = nil // the hasher has it
	data, err := s.Fact(ctx, []byte{keyMeta})
	if err != nil {
		return nil, err
	}
	mark, err := s.Fact(ctx, records.FactsSalvaged)
	if err != nil {
		return nil, err
	}
	m.salvaged = mark != nil
	m.begin(data)
	m.filter = newFilter(m.meta.count)
	return m, nil
}

// begin takes over the meta record, or begins anew where it is another account's.
func (m *Memory) begin(data []byte) {
	account := m.hash.sum(ofAccount, m.o.Account)
	var is meta
	switch err := is.decode(data); {
	case data == nil && !m.salvaged && m.o.Account == "": // there is nothing, and nothing is to be kept
		m.meta = meta{account: account, bytes: map[uint16]int64{}}
		m.metaSaved = 1
		return
	case data == nil && !m.salvaged:
		m.meta = meta{account: account, generation: 1, bytes: map[uint16]int64{}}
		return
	case err == nil && is.account == account:
		m.meta, m.metaSaved = is, 1
		if m.salvaged {
			m.meta.partial, m.metaSaved = true, 0
		}
		return
	case err != nil:
		m.damaged++
		// The number of its accounts is lost with it: the time is above all that were counted.
		is.generation = uint32(time.Now().Unix())
	}
	m.beganNew = m.o.Account != ""
	m.meta = meta{account: account, generation: is.generation + 1, partial: true, stale: true, bytes: map[uint16]int64{}}
}

// BeganAnew reports whether the store holds facts of another account or key, which are not used and removed bit by bit.
func (m *Memory) BeganAnew() bool { return m.beganNew }

func (m *Memory) key(id digest) []byte { return append(m.prefix(), id[:]...) }

// prefix is what the keys of all ids begin with.
func (m *Memory) prefix() []byte { return m.appendPrefix(make([]byte, 0, keyBytes)) }

func (m *Memory) appendPrefix(key []byte) []byte {
	return binary.BigEndian.AppendUint32(append(key, keyID), m.meta.generation)
}

// keyBytes is the length of an id's key; recordBytes is what the store adds to a record, about.
const (
	keyBytes    = 1 + 4 + len(digest{})
	recordBytes = 12
)

// idIn returns the id in a key that m.key made.
func (m *Memory) idIn(key []byte) (id digest, ok bool) {
	if len(key) != keyBytes || binary.BigEndian.Uint32(key[1:]) != m.meta.generation {
		return id, false
	}
	return digest(key[5:]), true
}

// get returns what is known of an id, a node without a record where that is nothing.
func (m *Memory) get(id digest) *node {
	if n := m.young[id]; n != nil {
		return n
	}
	n := m.old[id]
	if n == nil {
		n = m.unsaved[id]
	}
	if n == nil && m.filter.lacks(id) {
		n = &node{id: id}
	}
	if n == nil {
		n = m.read(id)
	}
	if !n.unreadable {
		m.keep(n)
	}
	return n
}

// read reads an id's record from the store.
func (m *Memory) read(id digest) *node {
	value, err := m.store.Fact(context.Background(), m.key(id))
	switch {
	case err == nil:
		return m.decode(id, value)
	case errors.Is(err, engine.ErrDamaged):
		return m.decode(id, []byte{})
	}
	m.damaged++
	return &node{id: id, unreadable: true}
}

// decode makes a node of a stored value. One that cannot be read is as one that was forgotten.
func (m *Memory) decode(id digest, value []byte) *node {
	n := &node{id: id}
	if value == nil {
		return n
	}
	if err := n.record.decode(value); err != nil {
		m.damaged++
		m.meta.partial, m.metaSaved = true, 0
		return n
	}
	n.exists, n.countedDay, n.counted = true, n.day, sizeOf(value)
	return n
}

func sizeOf(value []byte) int64 { return int64(keyBytes + recordBytes + len(value)) }

// keep has a node stay in memory for a while.
func (m *Memory) keep(n *node) {
	m.young[n.id] = n
	m.youngBytes += nodeBytes + 4*cap(n.joins)
	if m.youngBytes >= cacheBytes/2 {
		m.young, m.old, m.youngBytes = make(map[digest]*node, len(m.young)), m.young, 0
		m.round++
	}
}

// canLearn reports whether the nodes may be changed. Where they may not, that is forgotten which would have been learned.
func (m *Memory) canLearn(nodes ...*node) bool {
	for _, n := range nodes {
		if n.unreadable {
			m.lose()
			return false
		}
	}
	if len(m.unsaved) >= maxUnsaved {
		m.lose()
		return false
	}
	return true
}

func (m *Memory) lose() {
	m.forgotten++
	m.meta.partial, m.metaSaved = true, 0
}

// touch notes that a node was changed.
func (m *Memory) touch(n *node) {
	if !n.exists {
		n.exists = true
		m.meta.count++
		if !m.meta.partial {
			n.set(isWhole)
		}
	}
	n.day = dayOf(time.Now())
	m.note(n)
}

func (m *Memory) note(n *node) {
	n.changed = m.change
	m.unsaved[n.id] = n
	m.filter.add(n.id)
	m.metaSaved = 0
}

// refreshes is how many times an id that is seen again and again is touched while max_age passes.
const refreshes = 16

// refresh touches an id, and the root of its person, where that is due: what is in use is not to be forgotten.
func (m *Memory) refresh(n *node) {
	if !n.exists || m.o.MaxAge <= 0 {
		return
	}
	every := max(m.o.MaxAge/refreshes/(24*time.Hour), 1)
	if today := dayOf(time.Now()); today < n.day+uint16(min(every, maxDays/2)) || len(m.unsaved) >= maxUnsaved {
		return
	}
	m.touch(n)
	if root := m.root(n); root.exists && root != n {
		m.touch(root)
	}
}

// first notes when an id came first.
func (m *Memory) first(n *node, at time.Time, source string) {
	if n.has(hasFirst) {
		return
	}
	n.set(hasFirst)
	n.record.first, n.source = secondsOf(at), m.meta.sourceIndex(source)
}

// Len is how many ids are remembered.
func (m *Memory) Len() int { return int(m.meta.count) }

// Forgotten is how many were forgotten since it was last asked.
func (m *Memory) Forgotten() int {
	forgotten := m.forgotten
	m.forgotten = 0
	return forgotten
}

// Damaged is how many records could not be read since it was last asked.
func (m *Memory) Damaged() int {
	damaged := m.damaged
	m.damaged = 0
	return damaged
}

// IsPartial reports whether it has held what it holds no longer.
func (m *Memory) IsPartial() bool { return m.meta.partial }
