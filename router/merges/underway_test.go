package merges

import (
	"context"
	"testing"

	"aka/destinations/adapter"
	"aka/router/journal/frame"
)

func (m *Memory) underWayOf(t *testing.T) []UnderWay {
	t.Helper()
	found, err := m.UnderWay(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What began is known to the next run with its people, until its end is saved.
func TestAMergeUnderWayIsKnownUntilItsEndIsSaved(t *testing.T) {
	store := &mapStore{}
	m := openMemory(t, store, Options{Account: "a"})
	at := frame.Position{Seq: 1 << 40, Index: 7}
	merge := &adapter.Merge{Rule: adapter.MergeJoins, From: "ann", To: "bob"}
	if number := m.Begins(m.At(at, merge)); number != m.Changes().Number() {
		t.Errorf("it is saved with %d", number)
	}
	if m.IsSaved() {
		t.Error("there is nothing to save")
	}
	store.save(m)
	if !m.IsSaved() {
		t.Error("it is not saved")
	}

	m = openMemory(t, store, Options{Account: "a"})
	found := m.underWayOf(t)
	if len(found) != 1 || found[0] != m.At(at, merge) {
		t.Fatalf("under way are %+v", found)
	}
	if people := m.PeopleOf(found[0]); people != [2][16]byte{m.PersonOf("ann"), m.PersonOf("bob")} {
		t.Errorf("its people are %x", people)
	}
	m.Ends(at)
	if again := openMemory(t, store, Options{Account: "a"}).underWayOf(t); len(again) != 1 {
		t.Errorf("before its end is saved, %+v are under way", again)
	}
	store.save(m)
	if again := openMemory(t, store, Options{Account: "a"}).underWayOf(t); len(again) != 0 {
		t.Errorf("after its end, %+v are under way", again)
	}
}

// Changes that could not be saved are in the next ones.
func TestAMergeUnderWayIsSavedByTheNextChanges(t *testing.T) {
	store := &mapStore{}
	m := openMemory(t, store, Options{Account: "a"})
	m.Begins(m.At(frame.Position{Seq: 3}, &adapter.Merge{Rule: adapter.MergeJoins, From: "ann", To: "bob"}))
	m.Failed(m.Changes())
	store.save(m)
	if found := openMemory(t, store, Options{Account: "a"}).underWayOf(t); len(found) != 1 {
		t.Errorf("under way are %+v", found)
	}
}

// Another account's merges, and what cannot be read, are removed.
func TestAMergeUnderWayOfAnotherAccountIsRemoved(t *testing.T) {
	store := &mapStore{}
	m := openMemory(t, store, Options{Account: "a"})
	m.Begins(m.At(frame.Position{Seq: 3}, &adapter.Merge{Rule: adapter.MergeJoins, From: "ann", To: "bob"}))
	store.save(m)
	store.facts[string([]byte{keyUnderWay, 1})] = []byte("x")
	other := openMemory(t, store, Options{Account: "b"})
	if found := other.underWayOf(t); len(found) != 0 {
		t.Errorf("under way are %+v", found)
	}
	store.save(other)
	for key := range store.facts {
		if key[0] == keyUnderWay {
			t.Errorf("%x is left", key)
		}
	}
}

func FuzzUnderWay(f *testing.F) {
	store := &mapStore{}
	m := openMemory(f, store, Options{Account: "a"})
	at := m.At(frame.Position{Seq: 3}, &adapter.Merge{Rule: adapter.MergeJoins, From: "ann", To: "bob"})
	m.Begins(at)
	store.save(m)
	key := m.underWayKey(at.At)
	f.Add([]byte(key), store.facts[key])
	f.Fuzz(func(t *testing.T, key, value []byte) {
		u, ok := m.decodeUnderWay(key, value)
		if !ok {
			return
		}
		m.Begins(u)
		if again, ok := m.decodeUnderWay(key, m.underWay[string(key)].value); !ok || again != u {
			t.Fatalf("%x reads back as %+v", key, again)
		}
	})
}
