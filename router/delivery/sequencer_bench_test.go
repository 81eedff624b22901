package delivery

import (
	"fmt"
	"testing"
)

// One operation is one call that comes and one that ends, with a window of calls held between the two.
func BenchmarkSequencer(b *testing.B) {
	const people = 100_000
	distinct := func(i int, ids []string) []string { return append(ids, names100k[i%people]) }
	hot := func(_ int, ids []string) []string { return append(ids, "hot") }
	three := func(i int, ids []string) []string {
		return append(ids, names100k[i%people], names100k[(i+33_333)%people], names100k[(i+66_666)%people])
	}
	always := func(bool) func(int) bool { return func(int) bool { return true } }(true)
	never := func(int) bool { return false }
	for _, window := range []int{16, 10_000} {
		for _, c := range []struct {
			name      string
			ids       func(i int, ids []string) []string
			exclusive func(i int) bool
		}{
			{"distinct", distinct, always},
			{"distinct_three_ids", three, always},
			{"hot_shared", hot, never},
			{"hot_exclusive", hot, always},
			{"hot_mixed", hot, func(i int) bool { return i%10 == 0 }},
		} {
			b.Run(fmt.Sprintf("%s/window=%d", c.name, window), func(b *testing.B) {
				benchmarkWindow(b, window, c.ids, c.exclusive)
			})
		}
	}
}

var names100k = func() []string {
	all := make([]string, 100_000)
	for i := range all {
		all[i] = fmt.Sprintf("507f191e810c19729de8%06d", i)
	}
	return all
}()

func benchmarkWindow(b *testing.B, window int, idsOf func(int, []string) []string, exclusive func(int) bool) {
	s := NewSequencer[*job]()
	jobs := make([]*job, window)
	for i := range jobs {
		jobs[i] = newJob("")
	}
	var ids []string
	var ready []*Ticket[*job]
	next := func(i int) {
		t := &jobs[i%window].Ticket
		ready = s.Release(t, ready[:0])
		ids = idsOf(i, ids[:0])
		s.Add(t, ids, exclusive(i))
	}
	for i := range 2 * max(window, 100_000) {
		next(i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		next(i)
		i++
	}
}
