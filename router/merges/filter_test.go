package merges

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"aka/destinations/adapter"
)

func TestAnIDThatHasNoRecordIsNotLookedUp(t *testing.T) {
	const known, asked = 20_000, 10_000
	store := &mapStore{}
	m := openMemory(t, store, Options{Account: "a"})
	for i := range known {
		m.Identified("user-"+strconv.Itoa(i), time.Now(), "website")
	}
	store.save(m)

	m = openMemory(t, store, Options{Account: "a"})
	looksUp := func(prefix string) int {
		store.reads = 0
		for i := range asked {
			if got := m.Person(prefix + strconv.Itoa(i)); got.IsUser != (prefix == "user-") {
				t.Fatalf("%s%d: %+v", prefix, i, got)
			}
		}
		return store.reads
	}
	if reads := looksUp("early-"); reads != asked {
		t.Errorf("before the filter is full: %d look-ups", reads)
	}
	m.FillFilter(context.Background())
	if reads := looksUp("new-"); reads > asked/50 {
		t.Errorf("%d look-ups of %d ids that have no record", reads, asked)
	}
	if reads := looksUp("user-"); reads != asked {
		t.Errorf("%d look-ups of %d ids that have one", reads, asked)
	}
}

func TestAFilterThatCouldNotBeFilledSaysNothing(t *testing.T) {
	store := &mapStore{}
	m := openMemory(t, store, Options{Account: "a"})
	m.Identified("user", time.Now(), "website")
	store.save(m)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, fill := range map[string]func(*Memory){
		"damaged": func(m *Memory) {
			store.err = errors.New("damaged")
			m.FillFilter(context.Background())
			store.err = nil
		},
		"ended early": func(m *Memory) { m.FillFilter(ended) },
	} {
		m := openMemory(t, store, Options{Account: "a"})
		fill(m)
		if !m.Person("user").IsUser {
			t.Errorf("%s: a user is not known", name)
		}
	}
}

// What is learned meanwhile is not on disk when that is read.
func TestWhatIsLearnedWhileTheFilterIsFilledIsKnown(t *testing.T) {
	store := &mapStore{}
	m := openMemory(t, store, Options{Account: "a"})
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.FillFilter(context.Background())
	}()
	for i := range 1000 {
		m.Identified("user-"+strconv.Itoa(i), time.Now(), "website")
	}
	<-done
	store.save(m)
	m.young, m.old, m.round = map[digest]*node{}, nil, m.round+1
	for i := range 1000 {
		if !m.Person("user-" + strconv.Itoa(i)).IsUser {
			t.Fatalf("user %d is not known", i)
		}
	}
}

func TestTheFilterStaysSmall(t *testing.T) {
	for ids, mib := range map[uint64]int{0: 1, 100_000: 1, 1_000_000: 3, 1 << 40: 4} {
		if bytes := len(newFilter(ids).lines) * lineBits / 8; bytes > mib<<20+mib<<16 {
			t.Errorf("%d ids: %d bytes", ids, bytes)
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	m := openMemory(b, &mapStore{}, Options{Account: "a"})
	m.FillFilter(context.Background())
	id := m.id("somebody")
	for b.Loop() {
		m.filter.lacks(id)
	}
}

func BenchmarkID(b *testing.B) {
	m := openMemory(b, &mapStore{}, Options{Account: "a"})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			m.id("507f191e810c19729de860ea")
		}
	})
	b.Run("hashed", func(b *testing.B) {
		for b.Loop() {
			m.hash.id("507f191e810c19729de860ea")
		}
	})
}

// BenchmarkNewPerson is what a new person costs: an identify, and the alias of his device, as a pipeline asks and learns them.
func BenchmarkNewPerson(b *testing.B) {
	store := &mapStore{}
	m := openMemory(b, store, Options{Account: "a", MaxAge: DefaultMaxAge})
	m.FillFilter(context.Background())
	now := time.Now()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := strconv.Itoa(i)
		user, device := "user-"+n, "device-"+n
		merge := &adapter.Merge{Rule: adapter.MergeGivesFrom, From: device, To: user, Limit: 500}
		for range 2 { // the identify, and the alias
			m.Refuses(merge)
			m.IsSame(device, user)
			m.PersonOf(device)
			m.PersonOf(user)
			m.Person(device)
			m.Person(user)
			m.Add(merge, now, "website")
			m.Identified(user, now, "website")
			m.SeenWithUser(device, now)
			m.Person(user)
		}
		if i%2000 == 1999 {
			c := m.Changes()
			m.Saved(c)
		}
	}
}
