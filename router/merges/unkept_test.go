package merges

import (
	"testing"
	"time"

	"aka/destinations/adapter"
)

// An id that a merge has kept is given to no other, and neither is any id of that person.
func TestGivesUnkept(t *testing.T) {
	store := &mapStore{}
	m := openMemory(t, store, Options{Account: "a"})
	for _, c := range []struct {
		from, to string
		want     adapter.Reason
	}{
		{"a", "b", ""},
		{"a", "b", adapter.AlreadyMerged},
		{"b", "a", adapter.AlreadyMerged},
		{"a", "c", adapter.AliasTaken}, // it was given
		{"b", "c", adapter.AliasTaken}, // it was kept
		{"c", "b", ""},                 // to an id that was kept
		{"c", "d", adapter.AliasTaken},
		{"e", "f", ""},
		{"e", "a", adapter.AliasTaken},
		{"f", "b", adapter.AliasTaken},
		{"d", "e", ""},
	} {
		merge := &adapter.Merge{Rule: adapter.MergeGivesUnkept, From: c.from, To: c.to}
		if got := m.Refuses(merge); got != c.want {
			t.Errorf("%s to %s is refused by %q, want %q", c.from, c.to, got, c.want)
		}
		if news := m.Add(merge, time.Now(), "website"); news != (c.want == "") {
			t.Errorf("%s to %s is news: %t", c.from, c.to, news)
		}
		store.save(m)
		m = openMemory(t, store, Options{Account: "a"})
	}
}
