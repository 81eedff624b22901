package journal

import (
	"context"
	"sync"
	"testing"
	"time"
)

// No frame is written before a mark that was given, and all frames of before have been read by then.
func TestReader_MarksAreNeverOvertaken(t *testing.T) {
	j := open(t, testOptions(t))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for n := range 60 {
				if _, err := j.Append(ctx, []Entry{entry("u", w*1000+n)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	r := j.ReadFrom(1)
	defer r.Close()
	calls := 0
	var last, due time.Time
	for calls < 180 {
		f, mark, err := r.NextBefore(ctx, due, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if f == nil {
			if mark.Before(due) {
				t.Errorf("the mark %v is before %v", mark, due)
			}
			last, due = mark, time.Time{}
			continue
		}
		if f.Committed.Before(last) {
			t.Errorf("frame %d was written at %v, before %v", f.Seq, f.Committed, last)
		}
		if f.Committed.Nanosecond()%int(time.Millisecond) != 0 {
			t.Errorf("frame %d has the time %v", f.Seq, f.Committed)
		}
		last, due = f.Committed, f.Committed.Add(time.Millisecond)
		calls += len(f.Entries)
	}
	writers.Wait()
	due = last.Add(time.Millisecond)
	if f, mark, err := r.NextBefore(ctx, due, time.Millisecond); f != nil || err != nil || mark.Before(due) {
		t.Errorf("in the end: %v, %v, %v", f, mark, err)
	}
}

// A clock that was set back does not hold calls for as long: the wait is that of the log.
func TestReader_GivesAMarkInTimeThoughTheClockWasSetBack(t *testing.T) {
	j := open(t, testOptions(t))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	r := j.ReadFrom(1)
	defer r.Close()
	due := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	f, mark, err := r.NextBefore(ctx, due, 5*time.Millisecond)
	if f != nil || err != nil || mark.Before(due) {
		t.Fatalf("got %v, %v, %v", f, mark, err)
	}
	if _, err := j.Append(ctx, []Entry{entry("u", 1)}); err != nil {
		t.Fatal(err)
	}
	if f, err := r.Next(ctx); err != nil || f.Committed.Before(mark) {
		t.Errorf("a frame was written at %v, before the mark %v: %v", f.Committed, mark, err)
	}
}
