package journal

import (
	"slices"
	"testing"
	"time"
)

func TestTheKeysOfAFrameAreThoseOfItsCalls(t *testing.T) {
	replayed, again := entry("u", 3), entry("u", 4)
	replayed.Target, replayed.Replayed = "vero", &Replayed{Letter: 70_000, Position: Position{9, 8}, Times: 2, First: time.Now()}
	again.Target = "vero" // as a call for one destination that is no replay
	h := newKeyHasher()
	data := beginFrame(nil, 300)
	var want []messageKey
	for _, e := range []Entry{entry("u", 1), entry("another", 2), replayed, again, entry("u", 5)} {
		data = appendRecord(data, &e)
		if e.isOnce() {
			want = append(want, h.entry(&e))
		}
	}
	data = endFrame(data)
	var got []messageKey
	collect := func(k messageKey) { got = append(got, k) }
	if h.each(data, collect); !slices.Equal(got, want) {
		t.Errorf("%d keys, want those of %d calls", len(got), len(want))
	}
	got = nil
	for i := range data {
		damaged := slices.Clone(data)
		damaged[i] ^= 1
		h.each(damaged, collect)
		h.each(data[:i], collect)
	}
	if len(got) > 0 {
		t.Errorf("%d keys of damaged frames", len(got))
	}
}

func TestEveryIDOfTheWindowIsKnownAfterARestart(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	for i := range 30 {
		appendCalls(t, j, 0, entry("u", i), large(100+i))
	}
	for range 2 {
		j.Close()
		j = open(t, options)
		for i := range 30 {
			appendCalls(t, j, 2, entry("u", i), large(100+i))
		}
	}
	if calls, _ := j.Head(); calls != 60 {
		t.Errorf("%d calls, want 60", calls)
	}
	if start := j.commits.windowStart(); start != 1 {
		t.Errorf("the window starts at %d", start)
	}
}

// Whoever sends a call again that is lost must not be told that it is there.
func TestAnIDWhoseFrameIsGoneIsNotRemembered(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	for i := range 4 {
		appendCalls(t, j, 0, entry("u", i))
	}
	must(t, j.store().calls.DeleteMsg(t.Context(), 3)) // the engine does not have it any more, its file does
	j.Close()
	j = open(t, options)
	for i := range 4 {
		appendCalls(t, j, [...]int{1, 1, 0, 1}[i], entry("u", i))
	}
}

func TestWhatIsOlderThanTheWindowIsNotReadBack(t *testing.T) {
	c := newRecollection(time.Minute, time.Now())
	c.note(record{seq: 1, at: c.now.Add(-61 * time.Second).UnixNano(), payload: oneCall(1)})
	c.note(record{seq: 2, at: c.now.Add(-59 * time.Second).UnixNano(), payload: oneCall(2)})
	if c.seen.current.count != 1 || !c.inOrder || c.last != 2 {
		t.Errorf("%d ids, in order: %v, last %d", c.seen.current.count, c.inOrder, c.last)
	}
	if c.note(record{seq: 2, at: c.now.UnixNano(), payload: oneCall(3)}); c.inOrder {
		t.Error("a sequence that was there twice went unnoticed")
	}
}

func oneCall(n int) []byte {
	e := entry("u", n)
	return endFrame(appendRecord(beginFrame(nil, 0), &e))
}
