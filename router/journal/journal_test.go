package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"aka/router/journal/engine/enginetest"
	"aka/router/segment"
	"aka/router/strictyaml"
)

func TestWhatWasAppendedIsReadBackInOrderAfterARestart(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	const requests, callsEach, clients = 40, 3, 8
	var clientsDone sync.WaitGroup
	for client := range clients {
		clientsDone.Go(func() {
			for r := range requests {
				var calls []Entry
				for i := range callsEach {
					calls = append(calls, entry(fmt.Sprintf("c%d", client), r*callsEach+i))
				}
				if _, err := j.Append(t.Context(), calls); err != nil {
					t.Error(err)
				}
			}
		})
	}
	clientsDone.Wait()
	check := func(j *Journal) {
		t.Helper()
		next := map[string]int{}
		var before uint64
		for _, f := range readAll(t, j, 1) {
			if f.Before != before {
				t.Fatalf("frame %d says %d calls stand before it, not %d", f.Seq, f.Before, before)
			}
			before += uint64(len(f.Entries))
			for _, e := range f.Entries {
				if want := fmt.Sprintf("%s-%d", e.UserID, next[e.UserID]); e.MessageID != want {
					t.Fatalf("got %s, want %s: a client's calls are out of order", e.MessageID, want)
				}
				next[e.UserID]++
			}
		}
		if before != requests*callsEach*clients {
			t.Fatalf("%d calls read, %d appended", before, requests*callsEach*clients)
		}
		if calls, _ := j.Head(); calls != before {
			t.Fatalf("Head counts %d calls, not %d", calls, before)
		}
	}
	check(j)
	j.Close()
	j = open(t, options)
	check(j)
}

func TestADuplicateIsNotWrittenAgain(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	a, b := entry("u", 1), entry("u", 2)
	otherSource := a
	otherSource.Source = "shop"
	appendCalls(t, j, 0, a)
	appendCalls(t, j, 1, a, b)
	appendCalls(t, j, 2, b, b)
	appendCalls(t, j, 0, otherSource)
	j.Close()

	j = open(t, options)
	appendCalls(t, j, 2, a, b)
	var got []string
	for _, f := range readAll(t, j, 1) {
		for _, e := range f.Entries {
			got = append(got, e.Source+"/"+e.MessageID)
		}
	}
	if want := []string{"website/u-1", "website/u-2", "shop/u-1"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestADuplicateInOneRequestIsWrittenOnce(t *testing.T) {
	j := open(t, testOptions(t))
	appendCalls(t, j, 2, entry("u", 1), entry("u", 1), entry("u", 1))
	if calls, _ := j.Head(); calls != 1 {
		t.Fatalf("%d calls in the log, want 1", calls)
	}
}

func TestDedupeForgetsAfterTheWindowAndNotBefore(t *testing.T) {
	now := time.Unix(0, 0)
	d := newDedupe(time.Minute, now)
	key := newKeyHasher().key("s", "m")
	if !d.add(key, now) || d.add(key, now.Add(59*time.Second)) {
		t.Fatal("forgotten within the window")
	}
	if d.add(key, now.Add(61*time.Second)) {
		t.Fatal("forgotten when the generations turned once")
	}
	if !d.add(key, now.Add(4*time.Minute)) {
		t.Fatal("remembered for ever")
	}
}

func TestALargeBatchIsSplitIntoFramesAndAllOfItIsKept(t *testing.T) {
	j := open(t, testOptions(t))
	var calls []Entry
	for i := range 30 {
		e := entry("u", i)
		e.JSON = []byte(`{"pad":"` + strings.Repeat("x", 100<<10) + `"}`)
		calls = append(calls, e)
	}
	appendCalls(t, j, 0, calls...)
	frames := readAll(t, j, 1)
	if len(frames) < 4 {
		t.Fatalf("3 MB in %d frames", len(frames))
	}
	total := 0
	for _, f := range frames {
		total += len(f.Entries)
	}
	if total != len(calls) {
		t.Fatalf("%d calls, want %d", total, len(calls))
	}
}

func TestAFullJournalRefusesAndTakesCallsAgainAfterAPurge(t *testing.T) {
	options := testOptions(t)
	options.MaxBytes = 8 << 20
	options.Dedupe = 0
	j := open(t, options)
	var err error
	accepted := 0
	for ; err == nil; accepted++ {
		e := entry("u", accepted)
		e.JSON = []byte(`{"pad":"` + strings.Repeat("x", 100<<10) + `"}`)
		_, err = j.Append(t.Context(), []Entry{e})
	}
	accepted--
	if !errors.Is(err, ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if got := len(readAll(t, j, 1)); got != accepted {
		t.Fatalf("%d calls read, %d accepted", got, accepted)
	}
	_, next := j.Head()
	if err := j.Purge(t.Context(), next.Seq); err != nil {
		t.Fatal(err)
	}
	appendCalls(t, j, 0, entry("v", 1))
	if calls, _ := j.Head(); calls != uint64(accepted)+1 {
		t.Fatalf("Head counts %d calls after the purge, want %d", calls, accepted+1)
	}
	j.Close()
	j = open(t, options)
	if calls, _ := j.Head(); calls != uint64(accepted)+1 {
		t.Fatalf("Head counts %d calls after purge and restart, want %d", calls, accepted+1)
	}
}

func TestPurgeKeepsTheDedupeWindow(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	for i := range 5 {
		appendCalls(t, j, 0, entry("u", i))
	}
	if err := j.Purge(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	j.Close()
	j = open(t, options)
	appendCalls(t, j, 1, entry("u", 0))
}

func TestAppend_TakesInAFrameWhoseWriteSeemedToFail(t *testing.T) {
	for name, fault := range map[string]enginetest.Fault{"stored": enginetest.Stored, "lost": enginetest.Lost} {
		t.Run(name, func(t *testing.T) {
			store := enginetest.NewMemory()
			j := openOn(t, store)
			appendCalls(t, j, 0, entry("u", 1))
			failNext(store, enginetest.AppendWrite, fault)
			ghost := entry("u", 2)
			if _, err := j.Append(t.Context(), []Entry{ghost}); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("got %v, want ErrUnavailable", err)
			}
			duplicates := 0
			if fault == enginetest.Stored {
				duplicates = 1
			}
			appendCalls(t, j, duplicates, ghost, entry("u", 3))
			if got, want := messageIDs(readAll(t, j, 1)), []string{"u-1", "u-2", "u-3"}; !slices.Equal(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
			if n := testutil.ToFloat64(j.metrics.calls); n != 3 {
				t.Errorf("%v calls are counted", n)
			}
			if calls, _ := j.Head(); calls != 3 {
				t.Errorf("Head counts %d calls", calls)
			}
		})
	}
}

func TestReader_CountsADamagedFrameAndPassesOverIt(t *testing.T) {
	store := enginetest.NewMemory()
	j := openOn(t, store)
	for i := range 3 {
		appendCalls(t, j, 0, entry("u", i+1))
	}
	store.DamageFrame(2)
	j = reopenOn(t, store)
	if got, want := messageIDs(readAll(t, j, 1)), []string{"u-1", "u-3"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if got := testutil.ToFloat64(j.metrics.damaged); got != 1 {
		t.Fatalf("%v frames counted as damaged, want 1", got)
	}
}

// Whatever is lost, where the rest has ended nothing waits: a drain comes to its end.
func TestReader_DamageLeavesNothingWaiting(t *testing.T) {
	for _, damaged := range [][]uint64{{1}, {3}, {5}, {2, 3}, {4, 5}, {1, 2, 3, 4, 5}} {
		for _, name := range []string{"each as it comes", "all at the end"} {
			store := enginetest.NewMemory()
			j := openOn(t, store)
			load(t, j, "vero")
			for i := range 5 {
				appendCalls(t, j, 0, entry("u", i), entry("v", i))
			}
			must(t, j.SaveProgress(t.Context(), "vero", NewProgress(Position{Seq: 1}, 0).Encode(true), nil, nil))
			for _, seq := range damaged {
				store.DamageFrame(seq)
			}
			j = reopenOn(t, store)
			p, r := load(t, j, "vero"), j.ReadFrom(1)
			var late []Position
			for f, _, err := r.tryNext(t.Context()); f != nil; f, _, err = r.tryNext(t.Context()) {
				must(t, err)
				p.Begin(f)
				for i := range f.Entries {
					if pos := (Position{Seq: f.Seq, Index: i}); name == "all at the end" {
						late = append(late, pos)
					} else {
						p.End(pos)
					}
				}
			}
			for _, pos := range late {
				p.End(pos)
			}
			if calls, next := j.Head(); p.Ended() != calls || p.Floor() != next.Seq {
				t.Errorf("%v damaged, %s: %d of %d calls have ended, the floor is %d of %d", damaged, name, p.Ended(), calls, p.Floor(), next.Seq)
			}
			again, err := DecodeProgress(p.Encode(true))
			if calls, _ := j.Head(); err != nil || again.Ended() != calls {
				t.Errorf("%v damaged, %s: it reads back with %d calls, %v", damaged, name, again.Ended(), err)
			}
		}
	}
}

func TestHead_SurvivesADamagedEndOfTheLog(t *testing.T) {
	store := enginetest.NewMemory()
	j := openOn(t, store)
	for i := range 5 {
		appendCalls(t, j, 0, entry("u", i), entry("v", i))
	}
	store.DamageFrame(5)
	j = reopenOn(t, store)
	if calls, next := j.Head(); calls != 8 || next.Seq != 6 {
		t.Fatalf("Head counts %d calls, next %v: the last frame's calls are not known", calls, next)
	}
	load(t, j, "vero") // saves the head
	appendCalls(t, j, 0, entry("u", 6))
	must(t, j.SaveProgress(t.Context(), "vero", NewProgress(Position{Seq: 1}, 0).Encode(true), nil, nil))
	store = j.engine.(*enginetest.Memory)
	store.DamageFrame(6)
	if calls, _ := reopenOn(t, store).Head(); calls != 9 {
		t.Fatalf("Head counts %d calls, and 9 were saved with the progress", calls)
	}
}

func TestADestinationThatWasNotConfiguredGoesOnBehindWhatWasPurged(t *testing.T) {
	j := openOn(t, enginetest.NewMemory())
	j.options.Dedupe = 0
	if _, err := j.LoadProgress(t.Context(), "vero"); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		appendCalls(t, j, 0, entry("u", i))
	}
	if err := j.Purge(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	p, err := j.LoadProgress(t.Context(), "vero")
	if err != nil {
		t.Fatal(err)
	}
	if p.Floor() != 5 {
		t.Fatalf("the floor is %d, want 5", p.Floor())
	}
	if again, err := DecodeProgress(p.Encode(true)); err != nil || again.Floor() != 5 {
		t.Fatalf("does not read back: %v", err)
	}
	readAll(t, j, p.Floor())
	if got := testutil.ToFloat64(j.metrics.missing); got != 0 {
		t.Fatalf("%v frames counted as missing", got)
	}
}

func TestTooManyBytesInTheQueueAreRefused(t *testing.T) {
	j := open(t, testOptions(t))
	j.commits.queued.Store(queueBytes - 10)
	if _, err := j.Append(t.Context(), []Entry{entry("u", 1)}); !errors.Is(err, ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	j.commits.queued.Store(0)
	appendCalls(t, j, 0, entry("u", 1))
	if left := j.commits.queued.Load(); left != 0 {
		t.Fatalf("%d bytes are counted as waiting in an empty queue", left)
	}
}

func TestAppend_AnAbandonedRequestIsNotWritten(t *testing.T) {
	j := open(t, testOptions(t))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	r := &request{entries: []Entry{entry("u", 1)}, done: make(chan error, 1)}
	r.answered.Store(true)
	if err := j.commits.enqueue(r); err != nil {
		t.Fatal(err)
	}
	appendCalls(t, j, 0, entry("u", 2))
	if frames := readAll(t, j, 1); len(frames) != 1 || frames[0].Entries[0].MessageID != "u-2" {
		t.Fatalf("%d frames", len(frames))
	}
	if _, err := j.Append(cancelled, []Entry{entry("u", 3)}); err != nil && !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
}

func TestAppendGivesUpOnADiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCommitter(&Journal{}) // which does not run
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for ctx, want := range map[context.Context]time.Duration{t.Context(): appendTimeout, context.Background(): appendTimeout, impatient: time.Second} {
			start := time.Now()
			if _, err := c.append(ctx, []Entry{entry("u", 1)}); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
			if waited := time.Since(start); waited > want {
				t.Fatalf("%s, not %s", waited, want)
			}
		}
		close(c.queue)
		seen := map[*request]bool{}
		for r := range c.queue {
			if seen[r] {
				t.Fatal("a request is used again although the committer has it")
			}
			seen[r] = true
			c.take(r)
			r.answer(nil) // too late, its caller has gone
		}
		if len(seen) != 3 || len(c.frame.waiting) > 0 {
			t.Fatalf("%d requests, %d of them would be written", len(seen), len(c.frame.waiting))
		}
	})
}

func TestTheSecondProcessOnAFolderIsRefusedWithTheFirstOnesPID(t *testing.T) {
	options := testOptions(t)
	open(t, options)
	_, err := Open(t.Context(), options, zap.NewNop(), prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Fatalf("got %v, want an error naming process %d", err, os.Getpid())
	}
}

func TestAReaderWaitsForWhatComes(t *testing.T) {
	j := open(t, testOptions(t))
	r := j.ReadFrom(1)
	got := make(chan string)
	go func() {
		f, err := r.Next(t.Context())
		if err != nil {
			got <- err.Error()
			return
		}
		got <- f.Entries[0].MessageID
	}()
	appendCalls(t, j, 0, entry("u", 1))
	if id := <-got; id != "u-1" {
		t.Fatal(id)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(cancelled); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the context's error", err)
	}
}

func TestDeadLettersAreKeptListedReplayedAndDiscarded(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	appendCalls(t, j, 0, entry("u", 1), entry("u", 2))
	for i, destination := range []string{"vero", "vero", "mixpanel"} {
		d := &DeadLetter{Destination: destination, Reason: "refused", Detail: "no", Attempts: 3, Status: 400,
			First: time.Unix(1, 0).UTC(), Last: time.Unix(2, 0).UTC(), Position: Position{Seq: 1, Index: i}, Entry: entry("u", i)}
		for range 2 { // the second time as after a crash
			if err := j.StoreDeadLetters(t.Context(), []*DeadLetter{d}); err != nil {
				t.Fatal(err)
			}
		}
	}
	j.Close()
	j = open(t, options)
	list := func(destination string) (found []*DeadLetter) {
		t.Helper()
		if err := j.DeadLetters(t.Context(), DeadFilter{Destination: destination}, 0, func(d *DeadLetter) bool {
			found = append(found, d)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		return found
	}
	vero := list("vero")
	if len(vero) != 2 || len(list("")) != 3 || len(list("kissmetrics")) != 0 {
		t.Fatalf("listed %d for vero, %d in all", len(vero), len(list("")))
	}
	if d := vero[0]; d.Reason != "refused" || d.Attempts != 3 || d.Status != 400 || d.Entry.MessageID != "u-0" || d.Last != time.Unix(2, 0).UTC() {
		t.Fatalf("got %+v", d)
	}
	if err := j.Replay(t.Context(), vero[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := j.Discard(t.Context(), vero[1].ID); err != nil {
		t.Fatal(err)
	}
	if err := j.Discard(t.Context(), vero[1].ID); !errors.Is(err, ErrNoDeadLetter) {
		t.Fatalf("discarded twice: %v", err)
	}
	if err := j.Replay(t.Context(), 99); !errors.Is(err, ErrNoDeadLetter) {
		t.Fatalf("got %v", err)
	}
	frames := readAll(t, j, 1)
	if last := frames[len(frames)-1].Entries[0]; last.Target != "vero" || last.MessageID != "u-0" || len(list("")) != 1 {
		t.Fatalf("replayed %+v, %d left", last, len(list("")))
	}
}

func TestAppendAfterCloseIsRefused(t *testing.T) {
	j := open(t, testOptions(t))
	j.Close()
	if _, err := j.Append(t.Context(), []Entry{entry("u", 1)}); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

func TestARecentFrameKeepsNothingOfARequestButItsCalls(t *testing.T) {
	j := open(t, testOptions(t))
	body := make([]byte, 1<<20)
	whole := weak.Make(&body[0])
	e := entry("u", 1)
	e.JSON, e.Routing = append(body[:0], `{"a":1}`...), append(body[100:100], `{"All":true}`...)
	appendCalls(t, j, 0, e)
	body, e = nil, Entry{}
	// The goroutine that wrote it may be at its last lines yet.
	for deadline := time.Now().Add(time.Minute); whole.Value() != nil; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatal("the body of the request is in memory still")
		}
	}
	frame, _, _ := j.lookup(1)
	if got := frame.Entries[0]; string(got.JSON) != `{"a":1}` || string(got.Routing) != `{"All":true}` {
		t.Errorf("got %s, %s", got.JSON, got.Routing)
	}
}

func openOn(t *testing.T, store *enginetest.Memory) *Journal {
	t.Helper()
	o := DefaultOptions
	o.Dir = ""
	j, err := OpenOn(t.Context(), store, o, zap.NewNop(), prometheus.NewRegistry())
	must(t, err)
	t.Cleanup(j.Close)
	return j
}

// reopenOn opens the journal again after a crash.
func reopenOn(t *testing.T, store *enginetest.Memory) *Journal {
	t.Helper()
	return openOn(t, store.Crash())
}

// failNext makes the next write of a kind end in a fault.
func failNext(store *enginetest.Memory, kind enginetest.Write, fault enginetest.Fault) {
	done := false
	store.FailWrites(func(w enginetest.Write) enginetest.Fault {
		if done || w != kind {
			return enginetest.None
		}
		done = true
		return fault
	})
}

func messageIDs(frames []*Frame) (ids []string) {
	for _, f := range frames {
		for _, e := range f.Entries {
			ids = append(ids, e.MessageID)
		}
	}
	return ids
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testOptions(t testing.TB) Options {
	o := DefaultOptions
	o.Dir = t.TempDir()
	o.MaxBytes = strictyaml.GiB
	return o
}

func open(t testing.TB, o Options) *Journal {
	t.Helper()
	j, err := Open(t.Context(), o, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
}

func entry(user string, n int) Entry {
	at := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)
	return Entry{Source: "website", Message: segment.Message{
		Header: segment.Header{Type: segment.Track, MessageID: fmt.Sprintf("%s-%d", user, n), UserID: user, Timestamp: at, ReceivedAt: at},
		JSON:   []byte(`{"type":"track","event":"Clicked"}`),
	}}
}

func appendCalls(t testing.TB, j *Journal, duplicates int, entries ...Entry) {
	t.Helper()
	got, err := j.Append(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	if got != duplicates {
		t.Fatalf("%d duplicates, want %d", got, duplicates)
	}
}

func readAll(t testing.TB, j *Journal, from uint64) (frames []*Frame) {
	t.Helper()
	r := j.ReadFrom(from)
	defer r.Close()
	for {
		f, _, err := r.tryNext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if f == nil {
			return frames
		}
		if len(f.Entries) > 0 {
			frames = append(frames, f)
		}
	}
}
