package sequencer

import (
	"fmt"
	"testing"
)

// sequencerLoad is a kind of traffic: which ids the i-th call names, appended to dst, and whether it changes identity.
type sequencerLoad struct {
	name      string
	ids       func(i int, dst []string) []string
	exclusive func(i int) bool
}

// One operation is one call that ends and one that comes, with a window of calls held between the two.
func BenchmarkSequencer(b *testing.B) {
	for _, load := range sequencerLoads() {
		for _, window := range []int{16, 10_000} {
			b.Run(fmt.Sprintf("%s/held=%d", load.name, window), func(b *testing.B) {
				benchmarkSequencer(b, load, window)
			})
		}
	}
}

func sequencerLoads() []sequencerLoad {
	people := make([]string, 100_000)
	for i := range people {
		people[i] = fmt.Sprintf("507f191e810c19729de8%06d", i)
	}
	person := func(i int) string { return people[i%len(people)] }

	one := func(i int, dst []string) []string { return append(dst, person(i)) }
	three := func(i int, dst []string) []string { return append(dst, person(3*i), person(3*i+1), person(3*i+2)) }
	hot := func(_ int, dst []string) []string { return append(dst, "hot") }

	every := func(int) bool { return true }
	none := func(int) bool { return false }
	tenth := func(i int) bool { return i%10 == 0 }
	return []sequencerLoad{
		{"distinct", one, every},
		{"distinct_three_ids", three, every},
		{"hot_shared", hot, none},
		{"hot_exclusive", hot, every},
		{"hot_mixed", hot, tenth},
	}
}

func benchmarkSequencer(b *testing.B, load sequencerLoad, window int) {
	s := New[*namedJob]()
	jobs := make([]*namedJob, window)
	for i := range jobs {
		jobs[i] = newNamedJob("")
	}
	var ids []string
	var ready []*Ticket[*namedJob]
	step := func(i int) {
		t := &jobs[i%window].Ticket
		ready = s.Release(t, ready[:0])
		ids = load.ids(i, ids[:0])
		s.Add(t, ids, load.exclusive(i))
	}
	for i := range 100_000 {
		step(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		step(i)
	}
}
