package journal

import (
	"slices"
	"strings"
	"testing"
	"time"

	"aka/router/journal/engine/enginetest"
	"aka/router/journal/frame"
)

func TestKeyHasher_FindsTheKeysOfAFramesCalls(t *testing.T) {
	replayed, again := entry("u", 3), entry("u", 4)
	replayed.Target, replayed.Replayed = "vero", &Replayed{DeadLetterID: 70_000, Position: Position{Seq: 9, Index: 8}, Times: 2, First: time.Now()}
	again.Target = "vero" // as a call for one destination that is no replay
	h := newKeyHasher()
	data := frame.Begin(nil, 300)
	var want []messageKey
	for _, e := range []Entry{entry("u", 1), entry("another", 2), replayed, again, entry("u", 5)} {
		data = frame.AppendRecord(data, &e)
		if e.IsOnce() {
			want = append(want, h.entry(&e))
		}
	}
	_, records, _, err := frame.Unpack(frame.End(data, frame.Fields{}))
	must(t, err)
	var got []messageKey
	collect := func(k messageKey) { got = append(got, k) }
	if h.each(records, collect); !slices.Equal(got, want) {
		t.Errorf("%d keys, want those of %d calls", len(got), len(want))
	}
	for i := range records {
		damaged := slices.Clone(records)
		damaged[i] ^= 1
		h.each(damaged, collect) // never panics
		h.each(records[:i], collect)
	}
}

func TestOpen_KnowsEveryIDOfTheWindow(t *testing.T) {
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

// The window may be the log's last frame alone: the first of a new log, or the first after a quiet time.
func TestOpen_KnowsTheIDsOfAWindowOfOneFrame(t *testing.T) {
	store := enginetest.NewMemory()
	j := openOn(t, store)
	j.commits.now = func() time.Time { return time.Now().Add(-time.Hour) }
	appendCalls(t, j, 0, entry("u", 1))
	store = store.Crash()
	j = openOn(t, store)
	appendCalls(t, j, 0, entry("u", 2))
	j = reopenOn(t, store)
	appendCalls(t, j, 1, entry("u", 2))

	store = enginetest.NewMemory()
	j = openOn(t, store)
	appendCalls(t, j, 0, entry("u", 3))
	j = reopenOn(t, store)
	appendCalls(t, j, 1, entry("u", 3))
}

// A call that is lost and sent again must not count as a duplicate.
func TestOpen_ForgetsAnIDWhoseFrameIsGone(t *testing.T) {
	store := enginetest.NewMemory()
	j := openOn(t, store)
	for i := range 4 {
		appendCalls(t, j, 0, entry("u", i))
	}
	store.DamageFrame(3)
	j = reopenOn(t, store)
	for i := range 4 {
		appendCalls(t, j, [...]int{1, 1, 0, 1}[i], entry("u", i))
	}
}

// What is older than the window is not read; nor is what more calls follow than are remembered.
func TestOpen_ReadsNoMoreThanTheWindow(t *testing.T) {
	store := enginetest.NewMemory()
	j := openOn(t, store)
	start := time.Now()
	for i := range 100 {
		j.commits.now = func() time.Time { return start.Add(time.Duration(i-99) * time.Minute) }
		appendCalls(t, j, 0, entry("u", i), entry("v", i))
	}
	c := newCommitter(j)
	must(t, c.recoverWindow(t.Context(), 1, 100))
	if n := c.seen.current.count; n != 20 && n != 22 { // 10 minutes, as the clock is read once more
		t.Errorf("%d ids of the last 10 minutes, want 20", n)
	}
	if c.committed.Sub(start).Abs() > time.Second {
		t.Errorf("the last frame was written at %s, want %s", c.committed, start)
	}
	c = newCommitter(j)
	c.seen.maxKeys = 7
	must(t, c.recoverWindow(t.Context(), 1, 100))
	if n := c.seen.current.count + c.seen.old.count; n < 6 || n > 8 {
		t.Errorf("%d ids, want those of the last frames with 7 calls", n)
	}
}

// The clock may be set back: the time of a frame's commit never decreases.
func TestAppend_CommitTimesNeverDecrease(t *testing.T) {
	store := enginetest.NewMemory()
	j := openOn(t, store)
	now := time.Now()
	for i, at := range []time.Time{now, now.Add(-time.Hour), now.Add(time.Minute)} {
		j.commits.now = func() time.Time { return at }
		appendCalls(t, j, 0, entry("u", i))
	}
	j = reopenOn(t, store)
	appendCalls(t, j, 0, entry("u", 9))
	frames := readAll(t, j, 1)
	for i := range frames[1:] {
		if frames[i+1].Committed.Before(frames[i].Committed) {
			t.Errorf("frame %d was written at %s, the one before at %s", i+2, frames[i+1].Committed, frames[i].Committed)
		}
	}
}

// large is a call that fills a frame by itself.
func large(n int) Entry {
	e := entry("large", n)
	e.JSON = []byte(`{"pad":"` + strings.Repeat("x", 500<<10) + `"}`)
	return e
}
