package merges

import (
	"bytes"
	"context"
	"time"

	"aka/router/journal/records"
)

// Changes are what is not on disk of a memory: all of it, also what an earlier Changes has that was not saved yet. So a later one
// that is saved makes an earlier one needless, which must not be saved after it.
type Changes struct {
	Facts  []Fact
	number uint64
}

// Number orders Changes: a later one has a higher number.
func (c *Changes) Number() uint64 { return c.number }

// NextNumber is the number that the next Changes has which says something.
func (m *Memory) NextNumber() uint64 { return m.change }

// Changes returns what is not on disk. Now and then it also forgets some of what is too old or too much.
func (m *Memory) Changes() *Changes {
	m.sweep(time.Now())
	c := &Changes{number: m.change}
	if m.waiting() == 0 && m.metaSaved > 0 {
		return c
	}
	m.change++
	c.Facts = make([]Fact, 0, m.waiting()+2)
	block := make([]byte, 0, len(m.unsaved)*usualFact)
	for id, n := range m.unsaved {
		begin := len(block)
		block = append(m.appendPrefix(block), id[:]...)
		fact := Fact{Key: block[begin:len(block):len(block)]}
		if n.exists {
			begin = len(block)
			block = n.record.append(block)
			fact.Value = block[begin:len(block):len(block)]
		}
		m.count(n, fact.Value)
		c.Facts = append(c.Facts, fact)
	}
	for key := range m.strangers {
		c.Facts = append(c.Facts, Fact{Key: []byte(key)})
	}
	for key, fact := range m.underWay {
		c.Facts = append(c.Facts, Fact{Key: []byte(key), Value: fact.value})
	}
	if m.salvaged {
		c.Facts = append(c.Facts, Fact{Key: records.FactsSalvaged})
	}
	if m.metaSaved == 0 {
		m.metaSaved = c.number
	}
	c.Facts = append(c.Facts, Fact{Key: []byte{keyMeta}, Value: m.meta.encode()})
	return c
}

// usualFact is about how long the key and the value of a fact are together.
const usualFact = 96

// waiting is how many facts wait to be saved, beside the meta record.
func (m *Memory) waiting() int { return len(m.unsaved) + len(m.strangers) + len(m.underWay) }

// count has the meta record count a node as it is.
func (m *Memory) count(n *node, value []byte) {
	if n.counted > 0 {
		m.meta.add(n.countedDay, -n.counted)
	}
	n.countedDay, n.counted = 0, 0
	if value != nil {
		n.countedDay, n.counted = n.day, sizeOf(value)
		m.meta.add(n.countedDay, n.counted)
	}
}

// Saved takes in that changes are on disk.
func (m *Memory) Saved(c *Changes) {
	if len(c.Facts) == 0 {
		return
	}
	for id, n := range m.unsaved {
		if n.changed <= c.number {
			delete(m.unsaved, id)
		}
	}
	for key, change := range m.strangers {
		if change <= c.number {
			delete(m.strangers, key)
		}
	}
	for key, fact := range m.underWay {
		if fact.changed <= c.number {
			delete(m.underWay, key)
		}
	}
	m.salvaged = false
}

// Failed takes in that changes may not be on disk: they are in the next ones, too.
func (m *Memory) Failed(c *Changes) {
	if len(c.Facts) > 0 {
		m.metaSaved = 0
	}
}

// IsSaved reports whether there is nothing to save, and nothing to forget.
func (m *Memory) IsSaved() bool {
	return m.waiting() == 0 && m.metaSaved > 0 && !m.salvaged && !m.mustSweep(time.Now())
}

const (
	// sweepEvery is the time between two sweeps, and sweepSlice how many records one looks at. Where there are too many bytes, or
	// another account's facts, it is sweepMore.
	sweepEvery = time.Second
	sweepSlice = 500
	sweepMore  = 4000
)

// mustSweep reports whether it is time to look for what is to be forgotten.
func (m *Memory) mustSweep(now time.Time) bool {
	if now.Sub(m.swept) < sweepEvery {
		return false
	}
	oldest, any := m.meta.oldest()
	return m.meta.stale || any && oldest < m.minDay(now) || m.o.MaxBytes > 0 && m.meta.total() > m.o.MaxBytes
}

func (m *Memory) minDay(now time.Time) uint16 {
	if m.o.MaxAge <= 0 {
		return 0
	}
	return dayOf(now.Add(-m.o.MaxAge))
}

// sweep is one step through the records: it forgets those that are too old, and the oldest of too many. What was changed last
// is not looked at.
func (m *Memory) sweep(now time.Time) {
	if !m.mustSweep(now) || len(m.unsaved)+len(m.strangers) > maxUnsaved/2 {
		return
	}
	m.swept = now
	s := sweeper{m: m, minDay: m.minDay(now), left: sweepSlice}
	if m.o.MaxBytes > 0 {
		if s.over = m.meta.total() - m.o.MaxBytes; s.over > 0 {
			s.full = m.meta.dayThatFits(m.o.MaxBytes)
		}
	}
	if m.meta.stale || s.over > 0 {
		s.left = sweepMore
	}
	from := m.cursor
	if from == nil {
		from = []byte{keyID}
	}
	m.cursor = nil
	if err := m.store.EachFact(context.Background(), from, s.visit); err != nil {
		m.damaged++
		return
	}
	if m.cursor == nil && m.meta.stale { // it has come to this account's
		m.meta.stale, m.metaSaved = false, 0
	}
}

// sweeper is one sweep.
type sweeper struct {
	m            *Memory
	minDay, full uint16
	over         int64 // bytes that are too many
	left         int
}

func (s *sweeper) visit(key, value []byte) bool {
	if len(key) == 0 || key[0] != keyID {
		return false
	}
	if s.left == 0 {
		s.m.cursor = bytes.Clone(key)
		return false
	}
	s.left--
	id, ours := s.m.idIn(key)
	if !ours {
		s.m.strangers[string(key)] = s.m.change
		s.m.metaSaved = 0
		return true
	}
	if n := s.m.known(id); n != nil {
		s.look(n)
		return true
	}
	s.look(s.m.decode(id, bytes.Clone(value)))
	return true
}

// known returns a node that is in memory.
func (m *Memory) known(id digest) *node {
	for _, all := range [...]map[digest]*node{m.young, m.old, m.unsaved} {
		if n := all[id]; n != nil {
			return n
		}
	}
	return nil
}

// look forgets a record that is to go.
func (s *sweeper) look(n *node) {
	tooMany := n.day < s.full || s.over > 0 && n.day == s.full
	if !n.exists || n.day >= s.minDay && !tooMany {
		return
	}
	s.over -= n.counted
	s.m.forget(n)
}

// forget removes a record.
func (m *Memory) forget(n *node) {
	n.record, n.exists = record{}, false
	m.meta.count -= min(m.meta.count, 1)
	m.meta.partial = true
	m.forgotten++
	m.note(n)
}
