package blocked

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"aka/router/journal"
)

// claims is a waiting call, as the model knows it.
type claims struct {
	ids       []string
	exclusive bool
}

func (h claims) blocks(ids []string, exclusive bool) bool {
	return (h.exclusive || exclusive) && slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(h.ids, id) })
}

// A call waits exactly when one that waits shares an id with it, and one of the two needs it for itself.
func TestIdentities_BlockWhatSharesAnId(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	someIDs := func() (ids []string) {
		for range 1 + random.IntN(3) {
			ids = append(ids, fmt.Sprint("u", random.IntN(12)))
		}
		return ids
	}
	for round := range 200 {
		s, waiting := NewIdentities(), []claims{}
		for range 60 {
			if len(waiting) > 0 && random.IntN(2) == 0 {
				i := random.IntN(len(waiting))
				s.Remove(waiting[i].ids, waiting[i].exclusive)
				waiting = slices.Delete(waiting, i, i+1)
				continue
			}
			h := claims{someIDs(), random.IntN(2) == 0}
			want := slices.ContainsFunc(waiting, func(o claims) bool { return o.blocks(h.ids, h.exclusive) })
			if got := s.Block(h.ids, h.exclusive); got != want {
				t.Fatalf("round %d: %v waits: %v, want %v", round, h, got, want)
			}
			q := s.Behind(h.ids, h.exclusive)
			if (q != nil) != want {
				t.Fatalf("round %d: the queue of %v is %v", round, h, q)
			}
			if q == nil {
				q = NewQueue(uint64(round + 1))
			}
			s.Add(q, h.ids, h.exclusive)
			waiting = append(waiting, h)
		}
		for _, h := range waiting {
			s.Remove(h.ids, h.exclusive)
		}
		if s.Len() != 0 {
			t.Fatalf("round %d: %d ids are blocked by nothing", round, s.Len())
		}
	}
}

// Queues that were joined are one, whatever the order in which they were.
func TestJoin_MakesOneOfAll(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		var all []*Queue
		for n := range 10 {
			q := NewQueue(uint64(n + 1))
			q.Put(journal.ParkedKey{Queue: uint64(n + 1), Rank: journal.Rank{Seq: uint64(n)}}, time.Unix(int64(100-n), 0))
			all = append(all, q)
		}
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, q := range all[1:] {
			Join(all[random.IntN(len(all))], q)
			Join(all[0], q)
		}
		root := all[0].Root()
		for _, q := range all {
			if q.Root() != root {
				t.Fatal("they are not one")
			}
		}
		if root.Waiting != 10 || !root.Oldest.Equal(time.Unix(91, 0)) || len(root.parts) != 10 {
			t.Errorf("it has %d calls in %d parts, the oldest of %v", root.Waiting, len(root.parts), root.Oldest)
		}
	}
}

// disk is what the journal has of a queue's calls.
type disk map[uint64][]*journal.Parked

func (d disk) visit(queue uint64, from journal.Rank, visit func(*journal.Parked) bool) error {
	for _, call := range d[queue] {
		if !call.Rank.Before(from) && !visit(call) {
			return nil
		}
	}
	return nil
}

// A queue of several parts is read back in their order, each call once, whatever is read at once. What waits for a blocker stays.
func TestRead_GivesCallsInLogOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for round := range 200 {
		q, d := NewQueue(1), disk{}
		for part := range uint64(4) {
			q = Join(q, NewQueue(part+2))
		}
		blockers := NewIdentities()
		if random.IntN(2) == 0 {
			blockers.Add(q, []string{"u0"}, true)
		}
		of := func(c *journal.Parked) ([]string, bool) { return c.Entry.IDs(nil), true }
		var want []uint64
		for seq := range uint64(100) {
			key := journal.ParkedKey{Queue: 1 + random.Uint64N(5), Rank: journal.Rank{Seq: seq}}
			call := &journal.Parked{Queue: key.Queue, Rank: key.Rank}
			call.Entry.UserID = fmt.Sprint("u", random.IntN(5))
			d[key.Queue] = append(d[key.Queue], call)
			q.Put(key, time.Unix(int64(seq), 0))
			if ids, exclusive := of(call); !blockers.Block(ids, exclusive) {
				want = append(want, seq)
			}
		}
		var got []uint64
		for reads := 0; q.Waiting > 0 && !q.Stuck; reads++ {
			if reads > 300 {
				t.Fatalf("round %d: the reads do not end", round)
			}
			r := q.Begin(1 + random.IntN(20))
			if err := r.Run(d.visit); err != nil {
				t.Fatal(err)
			}
			for _, c := range q.Finish(r, 1+random.IntN(10), blockers, of, allWritten) {
				got = append(got, c.Rank.Seq)
				if random.IntN(2) == 0 { // it ends at once
					q.End(c.Rank)
					d[c.Queue] = slices.DeleteFunc(d[c.Queue], func(o *journal.Parked) bool { return o == c })
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: read %v, want %v", round, got, want)
		}
		if q.Waiting != 100-len(want) {
			t.Errorf("round %d: %d calls wait", round, q.Waiting)
		}
	}
}

// What leaves memory again is read again, in its place; and a read that was under way meanwhile is not taken in.
func TestRead_AfterCallsWereGivenBack(t *testing.T) {
	q, d := NewQueue(1), disk{}
	for seq := range uint64(10) {
		key := journal.ParkedKey{Queue: 1, Rank: journal.Rank{Seq: seq}}
		d[1] = append(d[1], &journal.Parked{Queue: 1, Rank: key.Rank})
		q.Put(key, time.Unix(int64(seq), 0))
	}
	of := func(*journal.Parked) ([]string, bool) { return nil, false }
	take := func(limit int) (seqs []uint64) {
		r := q.Begin(limit)
		if err := r.Run(d.visit); err != nil {
			t.Fatal(err)
		}
		for _, c := range q.Finish(r, limit, nil, of, allWritten) {
			seqs = append(seqs, c.Rank.Seq)
		}
		return seqs
	}
	if got := take(4); !slices.Equal(got, []uint64{0, 1, 2, 3}) {
		t.Fatalf("read %v", got)
	}
	under := q.Begin(4)
	q.PutBack(journal.ParkedKey{Queue: 1, Rank: journal.Rank{Seq: 2}}, time.Unix(2, 0))
	if q.IsCurrent(under) {
		t.Error("a read from before is taken in")
	}
	if got := take(3); !slices.Equal(got, []uint64{2, 4, 5}) {
		t.Errorf("read %v", got)
	}
	if !slices.IsSortedFunc(d[1], func(a, b *journal.Parked) int { return cmp.Compare(a.Rank.Seq, b.Rank.Seq) }) {
		t.Error("the disk was changed")
	}
}

func BenchmarkIdentities(b *testing.B) {
	s, q := NewIdentities(), NewQueue(1)
	for n := range 100_000 {
		s.Add(q, []string{fmt.Sprint("blocked", n)}, true)
	}
	ids := []string{"one", "two", "three"}
	b.Run("a call that may go", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Behind(ids, true)
		}
	})
	b.Run("a call that waits", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Add(q, ids, true)
			s.Remove(ids, true)
		}
	})
}

// A call that is set aside behind the front of a queue is read in its place, although a read has passed it.
func TestRead_OfACallThatCameInBetween(t *testing.T) {
	q, d := NewQueue(1), disk{}
	put := func(seq uint64, how func(journal.ParkedKey, time.Time)) {
		call := &journal.Parked{Queue: 1, Rank: journal.Rank{Seq: seq}}
		d[1] = append(d[1], call)
		slices.SortFunc(d[1], func(a, b *journal.Parked) int { return cmp.Compare(a.Rank.Seq, b.Rank.Seq) })
		how(call.Key(), time.Unix(int64(seq), 0))
	}
	of := func(*journal.Parked) ([]string, bool) { return nil, false }
	for _, seq := range []uint64{1, 2, 8, 9} {
		put(seq, q.Put)
	}
	under := q.Begin(2)
	if err := under.Run(d.visit); err != nil {
		t.Fatal(err)
	}
	q.Finish(under, 2, nil, of, allWritten)
	late := q.Begin(2)
	if err := late.Run(d.visit); err != nil { // it reads 8 and 9
		t.Fatal(err)
	}
	put(5, q.PutBack)
	if q.IsCurrent(late) {
		t.Fatal("a read that has passed it is taken in")
	}
	next := q.Begin(2)
	if err := next.Run(d.visit); err != nil {
		t.Fatal(err)
	}
	if got := q.Finish(next, 2, nil, of, allWritten); len(got) != 2 || got[0].Rank.Seq != 5 || got[1].Rank.Seq != 8 {
		t.Errorf("read %v", got)
	}
}

// allWritten says that nothing is still to be written.
func allWritten(uint64) (journal.Rank, bool) { return journal.Rank{}, false }

// A call that is counted, and that is written only after a read has looked for it, is found by a later one: also in a part that
// was read to its end, and before a call of the same part that was taken.
func TestRead_FindsWhatIsWrittenAfterARead(t *testing.T) {
	for _, late := range []uint64{150, 220, 300} {
		q, d := NewQueue(9), disk{}
		put := func(queue, seq uint64) *journal.Parked {
			call := &journal.Parked{Queue: queue, Rank: journal.Rank{Seq: seq}}
			q.Put(call.Key(), time.Unix(int64(seq), 0))
			return call
		}
		q = Join(q, NewQueue(11))
		for _, call := range []*journal.Parked{put(9, 238), put(11, 156), put(11, 250)} {
			d[call.Queue] = append(d[call.Queue], call)
		}
		unwritten := put(11, late)
		of := func(*journal.Parked) ([]string, bool) { return nil, true }
		read := func(unwritten Unwritten) (got []uint64) {
			r := q.Begin(10)
			if err := r.Run(d.visit); err != nil {
				t.Fatal(err)
			}
			for _, c := range q.Finish(r, 10, nil, of, unwritten) {
				got = append(got, c.Rank.Seq)
			}
			return got
		}
		if got := read(func(queue uint64) (journal.Rank, bool) { return unwritten.Rank, queue == 11 }); len(got) != 3 {
			t.Fatalf("read %v", got)
		}
		d[11] = append(d[11], unwritten)
		if got := read(allWritten); !slices.Equal(got, []uint64{late}) {
			t.Errorf("then read %v, want %d", got, late)
		}
	}
}

// A scan that goes on must not leave a call behind that came to its place in the midst of it, and was written only then.
func TestRead_FindsWhatIsWrittenInTheMidstOfAScan(t *testing.T) {
	for name, limits := range map[string]struct{ read, take int }{"few are taken": {10, 2}, "few are read": {2, 10}} {
		t.Run(name, func(t *testing.T) {
			q, d := NewQueue(1), disk{}
			put := func(seq uint64, how func(journal.ParkedKey, time.Time)) *journal.Parked {
				call := &journal.Parked{Queue: 1, Rank: journal.Rank{Seq: seq}}
				how(call.Key(), time.Unix(int64(seq), 0))
				return call
			}
			for _, seq := range []uint64{10, 30, 40, 50} {
				d[1] = append(d[1], put(seq, q.Put))
			}
			unwritten := put(20, q.PutBack)
			of := func(*journal.Parked) ([]string, bool) { return nil, true }
			read := func(unwritten Unwritten) (got []uint64) {
				r := q.Begin(limits.read)
				if err := r.Run(d.visit); err != nil {
					t.Fatal(err)
				}
				for _, c := range q.Finish(r, limits.take, nil, of, unwritten) {
					got = append(got, c.Rank.Seq)
					q.End(c.Rank)
					d[1] = slices.DeleteFunc(d[1], func(stored *journal.Parked) bool { return stored.Rank == c.Rank })
				}
				return got
			}
			all := read(func(uint64) (journal.Rank, bool) { return unwritten.Rank, true })
			d[1] = append([]*journal.Parked{unwritten}, d[1]...)
			for range 5 {
				all = append(all, read(allWritten)...)
			}
			if slices.Sort(all); !slices.Equal(all, []uint64{10, 20, 30, 40, 50}) {
				t.Errorf("read %v", all)
			}
		})
	}
}
