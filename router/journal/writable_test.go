package journal

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
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
	ghost := entry("u", 1)
	data := endFrame(appendRecord(beginFrame(nil, 0), &ghost))
	if _, err := j.store.js.PublishMsg(t.Context(), &nats.Msg{Subject: callsTopic, Data: data}); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(t.Context(), []Entry{entry("u", 2)}); err == nil {
		t.Fatal("a write behind a frame that we do not know went through")
	}
	wantWritable(t, j, ErrUnavailable)
	appendCalls(t, j, 0, entry("u", 2))
	wantWritable(t, j, nil)
}

func TestAFailedWriteCountsOnlyForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := failedWrite{at: time.Now()}
		if !f.counts() {
			t.Fatal("forgotten at once")
		}
		time.Sleep(failureCounts)
		if f.counts() {
			t.Fatal("remembered for ever")
		}
	})
}

func wantWritable(t *testing.T, j *Journal, want error) {
	t.Helper()
	if err := j.Writable(t.Context()); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}
