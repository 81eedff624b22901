package journal

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
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
	options.MaxBytes = 1 << 20
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
	j.writeFailed(errors.New("input/output error"), 0)
	wantWritable(t, j, ErrUnavailable)
	appendCalls(t, j, 0, entry("u", 2))
	wantWritable(t, j, nil)
}

// JetStream shuts itself down when the disk is full, and does not come back by itself.
func TestServiceComesBackAfterTheEngineHasShutDown(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	r := j.ReadFrom(1)
	accepted := []string{}
	for i := range 5 {
		e := entry("u", i)
		appendCalls(t, j, 0, e)
		accepted = append(accepted, e.MessageID)
	}
	if err := j.store().server.ShutdownJetStream(); err != nil {
		t.Fatal(err)
	}
	e := entry("u", 9)
	for deadline := time.Now().Add(time.Minute); ; {
		_, err := j.Append(t.Context(), []Entry{e})
		if err == nil {
			break
		}
		if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrFull) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	accepted = append(accepted, e.MessageID)
	wantWritable(t, j, nil)
	if err := j.SaveProgress(t.Context(), "vero", NewProgress(Position{Seq: 1}, 0).Encode(true)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) < len(accepted) {
		f, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range f.Entries {
			got = append(got, e.MessageID)
		}
	}
	j.Close()
	again := []string{}
	for _, f := range readAll(t, open(t, options), 1) {
		for _, e := range f.Entries {
			again = append(again, e.MessageID)
		}
	}
	if !slices.Equal(got, accepted) || !slices.Equal(again, accepted) {
		t.Fatalf("accepted %v\nread %v\nread after a restart %v", accepted, got, again)
	}
}

func wantWritable(t *testing.T, j *Journal, want error) {
	t.Helper()
	if err := j.Writable(t.Context()); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}
