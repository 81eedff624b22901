package merges

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"testing"
)

// mapStore is a Store in memory.
type mapStore struct {
	facts map[string][]byte
	err   error // of reading
	reads int
}

func (s *mapStore) Fact(_ context.Context, key []byte) ([]byte, error) {
	s.reads++
	return bytes.Clone(s.facts[string(key)]), s.err
}

func (s *mapStore) EachFact(_ context.Context, from []byte, visit func(key, value []byte) bool) error {
	for _, key := range slices.Sorted(maps.Keys(s.facts)) {
		if key >= string(from) && !visit([]byte(key), s.facts[key]) {
			break
		}
	}
	return s.err
}

// apply writes changes as a journal does.
func (s *mapStore) apply(facts []Fact) {
	if s.facts == nil {
		s.facts = map[string][]byte{}
	}
	for _, f := range facts {
		if f.Value == nil {
			delete(s.facts, string(f.Key))
			continue
		}
		s.facts[string(f.Key)] = bytes.Clone(f.Value)
	}
}

// save has all that is not saved of a memory saved.
func (s *mapStore) save(m *Memory) {
	c := m.Changes()
	s.apply(c.Facts)
	m.Saved(c)
}

var testKey = bytes.Repeat([]byte("k"), MinKey)

func openMemory(t testing.TB, s Store, o Options) *Memory {
	t.Helper()
	if o.Key == nil {
		o.Key = testKey
	}
	m, err := Open(context.Background(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
