package merges

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"aka/destinations/adapter"
	"aka/router/journal/records"
)

// naive is what a Memory must say, in the plainest way: the people as lists of ids.
type naive struct {
	people map[string]*naivePerson // by id
	given  map[string]bool
	known  map[string]bool
	device map[string]bool
	user   map[string]bool
	source map[string]string
	first  map[string]time.Time
}

type naivePerson struct {
	ids    []string
	joins  []time.Time
	since  time.Time
	source string
}

func newNaive() *naive {
	return &naive{map[string]*naivePerson{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]string{}, map[string]time.Time{}}
}

func (n *naive) person(id string) *naivePerson {
	if n.people[id] == nil {
		n.people[id] = &naivePerson{ids: []string{id}}
	}
	return n.people[id]
}

func (n *naive) see(id string, at time.Time, source string) {
	if !n.known[id] {
		n.known[id], n.first[id], n.source[id] = true, at, source
	}
}

func (n *naive) refuses(m adapter.Merge) adapter.Reason {
	a, b := n.person(m.From), n.person(m.To)
	given := m.Rule == adapter.MergeGivesFrom && n.given["from "+m.From] || m.Rule == adapter.MergeGivesTo && n.given["to "+m.To] || m.Rule == adapter.MergeGivesUnkept && len(a.ids) > 1
	switch {
	case m.Rule == adapter.MergeNames && a == b && n.given["name "+m.To]:
		return adapter.AlreadyMerged
	case m.Rule == adapter.MergeNames && n.given["name "+m.To]:
		return adapter.AliasTaken
	case m.Rule == adapter.MergeNames && a == b:
		return adapter.WouldCycle
	case given && a != b:
		return adapter.AliasTaken
	case given, a == b && m.Rule == adapter.MergeJoins:
		return adapter.AlreadyMerged
	case m.Limit > 0 && a != b && len(a.ids)+len(b.ids) >= m.Limit:
		return adapter.ClusterFull
	}
	return ""
}

func (n *naive) add(m adapter.Merge, at time.Time, source string) bool {
	if n.refuses(m) != "" {
		return false
	}
	n.see(m.From, at, source)
	n.see(m.To, at, source)
	switch m.Rule {
	case adapter.MergeGivesFrom:
		n.given["from "+m.From] = true
	case adapter.MergeGivesTo:
		n.given["to "+m.To] = true
	case adapter.MergeNames:
		n.given["name "+m.To] = true
	}
	a, b := n.person(m.From), n.person(m.To)
	if a == b {
		return true
	}
	a.ids = append(a.ids, b.ids...)
	a.joins = append(append(a.joins, b.joins...), at)
	if !b.since.IsZero() && (a.since.IsZero() || b.since.Before(a.since)) {
		a.since, a.source = b.since, b.source
	}
	for _, id := range b.ids {
		n.people[id] = a
	}
	return true
}

func (n *naive) identified(id string, at time.Time, source string) {
	n.see(id, at, source)
	n.user[id] = true
	if p := n.person(id); p.since.IsZero() || at.Before(p.since) {
		p.since, p.source = at, source
	}
}

// A memory says what the plain model says, through restarts and saves that fail, however small the cache.
func TestAMemoryIsAsAPlainModelThroughRestartsAndFailedSaves(t *testing.T) {
	rules := []adapter.MergeRule{adapter.MergeJoins, adapter.MergeGivesFrom, adapter.MergeGivesTo, adapter.MergeNames, adapter.MergeGivesUnkept}
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 7))
			rule, limit := rules[dice.IntN(len(rules))], []int{0, 6}[dice.IntN(2)]
			if rule == adapter.MergeNames {
				limit = 0
			}
			store, model := &mapStore{}, newNaive()
			m := openMemory(t, store, Options{Account: "a", MaxAge: DefaultMaxAge, MaxBytes: DefaultMaxBytes})
			id := func() string { return fmt.Sprint("id", dice.IntN(60)) }
			source := func() string { return fmt.Sprint("source", dice.IntN(3)) }
			for step := range 1500 {
				time.Sleep(time.Duration(dice.IntN(5000)) * time.Millisecond)
				at := time.Now().Truncate(time.Second)
				switch dice.IntN(11) {
				case 0:
					who, by := id(), source()
					m.Identified(who, at, by)
					model.identified(who, at, by)
				case 1:
					who := id()
					m.SeenWithUser(who, at)
					model.see(who, at, "")
					model.device[who] = true
				case 2:
					store.save(m)
				case 3:
					m.Failed(m.Changes())
				case 4: // out of the cache
					m.young, m.old, m.round = map[digest]*node{}, map[digest]*node{}, m.round+1
				case 5:
					store.save(m)
					m = openMemory(t, store, Options{Account: "a", MaxAge: DefaultMaxAge, MaxBytes: DefaultMaxBytes})
				case 6:
					m.FillFilter(t.Context())
				default:
					merge, by := adapter.Merge{Rule: rule, From: id(), To: id(), Limit: limit}, source()
					if merge.From == merge.To {
						continue
					}
					if got, want := m.Refuses(&merge), model.refuses(merge); got != want {
						t.Fatalf("seed %d, step %d: %+v is refused by %q, want %q", seed, step, merge, got, want)
					}
					if got, want := m.Add(&merge, at, by), model.add(merge, at, by); got != want {
						t.Fatalf("seed %d, step %d: %+v is news: %t, want %t", seed, step, merge, got, want)
					}
				}
				model.compare(t, m, id(), id())
			}
			if m.IsPartial() || m.Len() != len(model.known) || m.Damaged() > 0 {
				t.Errorf("seed %d: %d ids, want %d; partial %t", seed, m.Len(), len(model.known), m.IsPartial())
			}
			store.save(m)
			var bytes int64
			for key, value := range store.facts {
				if key[0] == keyID {
					bytes += sizeOf(value)
				}
			}
			if got := m.meta.total(); got != bytes {
				t.Errorf("seed %d: %d bytes are counted, want %d", seed, got, bytes)
			}
		})
	}
}

// compare compares what is known of two ids.
func (n *naive) compare(t *testing.T, m *Memory, id, other string) {
	t.Helper()
	got, p := m.Person(id), n.person(id)
	joins := slices.SortedFunc(slices.Values(p.joins), func(a, b time.Time) int { return b.Compare(a) })
	same := slices.EqualFunc(got.Joins, joins, time.Time.Equal)
	if got.IDs != len(p.ids) || got.HasUser == p.since.IsZero() || got.HasUser && (!got.UserSince.Equal(p.since) || got.UserSource != p.source) || !same {
		t.Fatalf("%s: the person is %+v, want %+v", id, got, p)
	}
	if got.IsUser != n.user[id] || got.IsDevice != n.device[id] || got.Source != n.source[id] || n.known[id] && !got.FirstSeen.Equal(n.first[id]) || got.Partial {
		t.Fatalf("%s is %+v, want user %t, device %t, source %q, first %s", id, got, n.user[id], n.device[id], n.source[id], n.first[id])
	}
	if same, want := m.IsSame(id, other), n.person(id) == n.person(other); same != want {
		t.Fatalf("%s and %s are one person: %t, want %t", id, other, same, want)
	}
	found, more := m.find(m.get(m.hash.id(id)))
	if len(found) != len(p.ids)-1 || more {
		t.Fatalf("%s: %d others are found, more: %t, want %d", id, len(found), more, len(p.ids)-1)
	}
}

func TestAMemoryForgetsWhatIsTooOldAndKnowsThatItDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &mapStore{}
		o := Options{Account: "a", MaxAge: 32 * 24 * time.Hour}
		m := openMemory(t, store, o)
		add := func(from, to string) bool {
			return m.Add(&adapter.Merge{Rule: adapter.MergeGivesFrom, From: from, To: to}, time.Now(), "s")
		}
		add("old-device", "old")
		add("device", "user")
		for range 40 {
			time.Sleep(24 * time.Hour)
			if add("device", "user") {
				t.Fatal("it was forgotten while it is in use")
			}
			store.save(m)
		}
		m = openMemory(t, store, o)
		if !m.IsPartial() || m.Len() != 2 {
			t.Errorf("partial: %t, %d ids", m.IsPartial(), m.Len())
		}
		if p := m.Person("user"); p.IDs != 2 || p.Partial {
			t.Errorf("what is whole is said to be partial: %+v", p)
		}
		if p := m.Person("old"); p.IDs != 1 || !p.Partial || !m.Person("never seen").Partial {
			t.Errorf("of what may be forgotten it says %+v", p)
		}
		if !add("old-device", "another") {
			t.Error("what was forgotten is refused")
		}
	})
}

func TestAMemoryStaysWithinItsBytesAndTheNewestWin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maxBytes = 100_000
		store := &mapStore{}
		m := openMemory(t, store, Options{Account: "a", MaxBytes: maxBytes})
		for day := range 10 {
			for i := range 300 {
				m.Add(&adapter.Merge{Rule: adapter.MergeJoins, From: fmt.Sprint(day, "-", i), To: fmt.Sprint("to ", day, "-", i)}, time.Now(), "s")
				if i%50 == 0 {
					time.Sleep(time.Second)
					store.save(m)
				}
			}
			time.Sleep(24 * time.Hour)
			for range 3 {
				store.save(m)
				time.Sleep(time.Second)
			}
			if total := m.meta.total(); total > maxBytes {
				t.Fatalf("day %d: %d bytes", day, total)
			}
		}
		newest, oldest := 0, 0
		for i := range 300 {
			if m.IsSame(fmt.Sprint(9, "-", i), fmt.Sprint("to ", 9, "-", i)) {
				newest++
			}
			if m.IsSame(fmt.Sprint(0, "-", i), fmt.Sprint("to ", 0, "-", i)) {
				oldest++
			}
		}
		if newest != 300 || oldest != 0 || !m.IsPartial() {
			t.Errorf("%d of the newest and %d of the oldest are remembered", newest, oldest)
		}
	})
}

// A disk that stays full does not fill the memory: what cannot be saved for long is not learned.
func TestAMemoryThatCannotBeSavedStaysSmall(t *testing.T) {
	m := openMemory(t, &mapStore{}, Options{Account: "a"})
	for i := range 2 * maxUnsaved {
		m.Identified(fmt.Sprint(i), time.Now(), "s")
	}
	if len(m.unsaved) > maxUnsaved || !m.IsPartial() || m.Forgotten() != maxUnsaved {
		t.Errorf("%d wait to be saved", len(m.unsaved))
	}
}

// The cache stays within its bound, and is right beyond it.
func TestTheCacheIsBounded(t *testing.T) {
	store := &mapStore{}
	m := openMemory(t, store, Options{Account: "a"})
	const ids = 3 * cacheBytes / nodeBytes
	for i := range ids {
		m.Identified(fmt.Sprint(i), time.Now(), "s")
		if i%1000 == 0 {
			store.save(m)
		}
	}
	if all := len(m.young) + len(m.old); all*nodeBytes > cacheBytes+nodeBytes {
		t.Errorf("%d ids are in memory", all)
	}
	for _, i := range []int{0, 1, ids / 2, ids - 1} {
		if !m.Person(fmt.Sprint(i)).IsUser {
			t.Errorf("%d is not known", i)
		}
	}
}

// What cannot be read is neither believed nor written over.
func TestAStoreThatCannotBeReadTeachesNothing(t *testing.T) {
	store := &mapStore{}
	m := openMemory(t, store, Options{Account: "a"})
	merge := &adapter.Merge{Rule: adapter.MergeGivesFrom, From: "a", To: "b"}
	m.Add(merge, time.Now(), "s")
	store.save(m)
	m = openMemory(t, store, Options{Account: "a"})
	store.err = errors.New("input/output error")
	if m.Refuses(merge) != "" || m.Add(&adapter.Merge{Rule: adapter.MergeGivesFrom, From: "a", To: "c"}, time.Now(), "s") || m.Damaged() == 0 {
		t.Error("it knows what it could not read")
	}
	store.err = nil
	if got := m.Refuses(merge); got != adapter.AlreadyMerged {
		t.Errorf("after it could be read again: %q", got)
	}
}

func TestAnotherAccountOrKeyIsAnotherMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &mapStore{}
		m := openMemory(t, store, Options{Account: "a"})
		for i := range 3 * sweepMore {
			m.Identified(fmt.Sprint(i), time.Now(), "s")
		}
		store.save(m)
		for _, o := range []Options{{Account: "b"}, {Account: "a"}, {Account: "a", Key: slices.Repeat([]byte("x"), MinKey)}, {Account: ""}} {
			m = openMemory(t, store, o)
			if m.BeganAnew() != (o.Account != "") || m.Len() > 0 || m.Person("7").IsUser || !m.IsPartial() {
				t.Errorf("%q: anew %t, %d ids", o.Account, m.BeganAnew(), m.Len())
			}
			m.Identified("only", time.Now(), "s")
			store.save(m)
			if again := openMemory(t, store, o); again.BeganAnew() || again.Len() != 1 {
				t.Errorf("%q: anew at each start", o.Account)
			}
		}
		for range 8 {
			time.Sleep(time.Second)
			store.save(m)
		}
		if len(store.facts) != 2 || !m.IsSaved() {
			t.Errorf("%d facts are left", len(store.facts))
		}
	})
}

func FuzzRecord(f *testing.F) {
	r := record{flags: hasParent | hasNext | hasFirst | isUser, first: 7, source: 2}
	f.Add(r.append(nil))
	r = record{flags: isPerson | personUser | isRenamed, size: 3, joins: []uint32{9, 9, 4}, since: 5}
	f.Add(r.append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r, again record
		if r.decode(data) != nil {
			return
		}
		if err := again.decode(r.append(nil)); err != nil || fmt.Sprint(r) != fmt.Sprint(again) {
			t.Fatalf("%+v reads back as %+v, %v", r, again, err)
		}
	})
}

func FuzzMeta(f *testing.F) {
	m := meta{generation: 3, count: 5, bytes: map[uint16]int64{1: 2, 300: 4}, sources: []string{"website", "app"}}
	f.Add(m.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		var m, again meta
		if m.decode(data) != nil {
			return
		}
		if err := again.decode(m.encode()); err != nil || fmt.Sprint(m) != fmt.Sprint(again) {
			t.Fatalf("%+v reads back as %+v, %v", m, again, err)
		}
	})
}

// Records that no memory wrote lead nowhere without an end, nor does one of them end the process.
func FuzzStoredFacts(f *testing.F) {
	store := &mapStore{}
	m := openMemory(f, store, Options{Account: "a"})
	for _, rule := range []adapter.MergeRule{adapter.MergeJoins, adapter.MergeRenames, adapter.MergeNames} {
		m.Add(&adapter.Merge{Rule: rule, From: "a", To: "b"}, time.Now(), "s")
	}
	store.save(m)
	head := store.facts["\x00"]
	f.Add(store.facts[string(m.key(m.hash.id("a")))], store.facts[string(m.key(m.hash.id("b")))], head)
	f.Fuzz(func(t *testing.T, a, b, head []byte) {
		store := &mapStore{facts: map[string][]byte{"\x00": head}}
		m := openMemory(t, store, Options{Account: "a", MaxAge: time.Hour, MaxBytes: 10})
		store.facts[string(m.key(m.hash.id("a")))] = a
		store.facts[string(m.key(m.hash.id("b")))] = b
		for rule := adapter.MergeJoins; rule <= adapter.MergeUsesDevice; rule++ {
			merge := &adapter.Merge{Rule: rule, From: "a", To: "b", Limit: 5}
			m.Refuses(merge)
			m.Add(merge, time.Now(), "s")
		}
		m.Identified("a", time.Now(), "s")
		m.Person("a")
		m.IsSame("a", "b")
		m.Find("a")
		store.save(m)
	})
}

// After a salvage some facts may be lost, which the memory then knows.
func TestASalvagedMemoryIsPartial(t *testing.T) {
	store := &mapStore{}
	m := openMemory(t, store, Options{Account: "a"})
	m.Identified("jane", time.Now(), "s")
	store.save(m)
	store.apply([]Fact{{Key: records.FactsSalvaged, Value: []byte{1}}})
	for range 2 {
		m = openMemory(t, store, Options{Account: "a"})
		if !m.IsPartial() || !m.Person("jane").IsUser || m.BeganAnew() {
			t.Errorf("partial: %t, %+v", m.IsPartial(), m.Person("jane"))
		}
		store.save(m)
	}
	if len(store.facts) != 2 {
		t.Errorf("the mark stays: %d facts", len(store.facts))
	}
}
