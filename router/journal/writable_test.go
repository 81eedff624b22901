package journal

import (
	"errors"
	"strings"
	"testing"
)

func TestAJournalIsWritableUntilItIsClosed(t *testing.T) {
	j := open(t, testOptions(t))
	wantWritable(t, j, nil)
	appendCalls(t, j, 0, entry("u", 1))
	wantWritable(t, j, nil)
	j.Close()
	wantWritable(t, j, ErrUnavailable)
}

func TestAFullJournalIsNotWritableUntilThereIsRoom(t *testing.T) {
	options := testOptions(t)
	options.MaxBytes = 8 << 20
	options.Dedupe = 0
	j := open(t, options)
	var err error
	for n := 0; err == nil; n++ {
		e := entry("u", n)
		e.JSON = []byte(`{"pad":"` + strings.Repeat("x", 100<<10) + `"}`)
		_, err = j.Append(t.Context(), []Entry{e})
	}
	wantWritable(t, j, ErrFull)
	_, next := j.Head()
	if err := j.Purge(t.Context(), next.Seq); err != nil {
		t.Fatal(err)
	}
	wantWritable(t, j, nil)
}

func TestAFailedWriteCountsUntilOneLands(t *testing.T) {
	j := open(t, testOptions(t))
	j.writeFailed(errors.New("input/output error"))
	wantWritable(t, j, ErrUnavailable)
	appendCalls(t, j, 0, entry("u", 2))
	wantWritable(t, j, nil)
}

func wantWritable(t *testing.T, j *Journal, want error) {
	t.Helper()
	if err := j.Writable(t.Context()); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}
