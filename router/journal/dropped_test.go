package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"aka/router/strictyaml"
)

func dropped(destination, reason string, pos Position, e Entry) *DeadLetter {
	now := time.Now()
	return &DeadLetter{Destination: destination, Reason: reason, First: now, Last: now, Position: pos, Entry: e}
}

func droppedIDs(t testing.TB, j *Journal, filter DeadFilter) (ids []uint64) {
	t.Helper()
	must(t, j.DroppedCalls(context.Background(), filter, 0, func(d *DeadLetter) bool {
		ids = append(ids, d.ID)
		return true
	}))
	return ids
}

func keepDropped(t testing.TB, j *Journal, seq uint64, destination string) *DeadLetter {
	t.Helper()
	d := dropped(destination, "blocked_id", Position{Seq: seq}, entry("u", int(seq)))
	must(t, j.KeepDropped(context.Background(), []*DeadLetter{d}))
	return d
}

func TestDroppedCallsAreKeptBesideDeadLetters(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	storeDeadLetter(t, j, 1, "vero", "refused", "website", 1)
	keepDropped(t, j, 2, "vero")
	keepDropped(t, j, 3, "mixpanel")
	storeDeadLetter(t, j, 4, "vero", "refused", "website", 1)
	for range 2 {
		if got := deadLetterIDs(t, j, DeadFilter{}, 0); !slices.Equal(got, []uint64{1, 4}) {
			t.Errorf("dead letters %v", got)
		}
		if got := droppedIDs(t, j, DeadFilter{}); !slices.Equal(got, []uint64{2, 3}) {
			t.Errorf("dropped calls %v", got)
		}
		if got := droppedIDs(t, j, DeadFilter{Destination: "vero", Reason: "blocked_id"}); !slices.Equal(got, []uint64{2}) {
			t.Errorf("dropped calls of vero %v", got)
		}
		counts, err := j.DroppedSummary(t.Context())
		must(t, err)
		if len(counts) != 2 || counts[0].Destination != "mixpanel" || counts[0].Count != 1 || counts[0].Bytes == 0 {
			t.Errorf("counts %+v", counts)
		}
		j.Close()
		j = open(t, options)
	}
	d, err := j.DroppedCall(t.Context(), 2)
	must(t, err)
	if d.Reason != "blocked_id" || d.Entry.MessageID == "" {
		t.Errorf("%+v", d)
	}
	_, err = j.DeadLetter(t.Context(), 2)
	if !errors.Is(err, ErrNoDeadLetter) {
		t.Errorf("a dropped call is no dead letter: %v", err)
	}
	_, err = j.DroppedCall(t.Context(), 1)
	if !errors.Is(err, ErrNoDropped) {
		t.Errorf("a dead letter is no dropped call: %v", err)
	}
	must(t, j.DiscardDropped(t.Context(), 2))
	if err := j.DiscardDropped(t.Context(), 2); !errors.Is(err, ErrNoDropped) {
		t.Errorf("discarded twice: %v", err)
	}
}

// A crash between keeping a dropped call and saving the progress has the call dropped again.
func TestADroppedCallThatIsDroppedAgainAfterACrashIsKeptOnce(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	first := keepDropped(t, j, 1, "vero")
	j.Close()
	j = open(t, options)
	second := keepDropped(t, j, 1, "vero")
	if first.ID != second.ID {
		t.Errorf("kept as %d and %d", first.ID, second.ID)
	}
	if got := droppedIDs(t, j, DeadFilter{}); len(got) != 1 {
		t.Errorf("%v are kept", got)
	}
}

func TestAReplayedDropGoesToItsDestinationAndMayBeDroppedAgain(t *testing.T) {
	j := open(t, testOptions(t))
	appendCalls(t, j, 0, entry("u", 1))
	storeDeadLetter(t, j, 1, "vero", "refused", "website", 1) // id 1, so that the ids differ from the positions
	d := keepDropped(t, j, 1, "vero")
	for n := range 3 {
		must(t, j.ReplayDropped(t.Context(), d.ID))
		if got := droppedIDs(t, j, DeadFilter{}); len(got) != 0 {
			t.Fatalf("%v are left", got)
		}
		frames := readAll(t, j, 1)
		last := frames[len(frames)-1]
		e := last.Entries[0]
		if e.Target != "vero" || e.Replayed == nil || e.Replayed.DeadLetterID != d.ID || e.Replayed.Times != n+1 || e.Replayed.Position != (Position{Seq: 1}) {
			t.Fatalf("replay %d: %+v %+v", n, e, e.Replayed)
		}
		d = dropped("vero", "blocked_id", Position{Seq: last.Seq}, e)
		must(t, j.KeepDropped(t.Context(), []*DeadLetter{d}))
	}
	if calls, _ := j.Head(); calls != 4 {
		t.Errorf("%d calls in the log, want 1 and 3 replays", calls)
	}
	must(t, j.Replay(t.Context(), 1))
	if calls, _ := j.Head(); calls != 5 {
		t.Errorf("%d calls in the log: the dead letter is no repeat of a dropped call's replay", calls)
	}
	if err := j.ReplayDropped(t.Context(), 1); !errors.Is(err, ErrNoDropped) {
		t.Errorf("replayed one that is not there: %v", err)
	}
}

func TestDroppedCallsNeverTakeMoreThanTheirRoomAndDeadLettersStay(t *testing.T) {
	options := testOptions(t)
	options.Dropped.MaxBytes = strictyaml.MiB
	j, registry, logs := openWatched(t, options)
	load(t, j, "vero")
	storeDeadLetter(t, j, 1, "vero", "refused", "website", 1)
	e := entry("u", 0)
	e.JSON = []byte(`{"type":"track","event":"` + strings.Repeat("x", 50_000) + `"}`)
	const stored = 64
	for i := range stored {
		must(t, j.KeepDropped(t.Context(), []*DeadLetter{dropped("vero", "blocked_id", Position{Seq: uint64(i + 1)}, e)}))
	}
	must(t, j.Enforce(t.Context(), time.Now()))
	left := droppedIDs(t, j, DeadFilter{})
	if len(left) < 16 || len(left) > 21 || left[len(left)-1] != stored+1 {
		t.Errorf("%v are left: want the newest", left)
	}
	if got := deadLetterIDs(t, j, DeadFilter{}, 0); len(got) != 1 {
		t.Errorf("dead letters %v", got)
	}
	wantMetric(t, registry, "aka_dropped_removed_total", fmt.Sprintf(`
aka_dropped_removed_total{destination="vero",limit="max_age"} 0
aka_dropped_removed_total{destination="vero",limit="max_bytes"} %d
`, stored-len(left)))
	wantMetric(t, registry, "aka_dropped_kept", fmt.Sprintf("\naka_dropped_kept{destination=\"vero\"} %d\n", len(left)))
	wantMetric(t, registry, "aka_dead_letters_lost_total", `
aka_dead_letters_lost_total{destination="vero",limit="max_age"} 0
aka_dead_letters_lost_total{destination="vero",limit="max_bytes"} 0
`)
	if n := logs.FilterMessageSnippet("removed").Len() + logs.FilterMessageSnippet("room").Len(); n != 0 {
		t.Errorf("%d lines about what is dropped anyway", n)
	}
}

func TestDroppedCallsGoAtTheirOwnAge(t *testing.T) {
	options := testOptions(t)
	options.Dropped.MaxAge, options.DeadLetters.MaxAge = time.Hour, 2*time.Hour
	j := open(t, options)
	storeDeadLetter(t, j, 1, "vero", "refused", "website", 1)
	keepDropped(t, j, 2, "vero")
	must(t, j.Enforce(t.Context(), time.Now().Add(59*time.Minute)))
	if got := droppedIDs(t, j, DeadFilter{}); len(got) != 1 {
		t.Errorf("%v are kept before their time", got)
	}
	must(t, j.Enforce(t.Context(), time.Now().Add(61*time.Minute)))
	if got := droppedIDs(t, j, DeadFilter{}); len(got) != 0 {
		t.Errorf("%v are kept after their time", got)
	}
	if got := deadLetterIDs(t, j, DeadFilter{}, 0); len(got) != 1 {
		t.Errorf("dead letters %v", got)
	}
}

func TestCheckSalvageAndBackupKnowDroppedCalls(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	appendCalls(t, j, 0, entry("u", 1))
	load(t, j, "vero")
	storeDeadLetter(t, j, 1, "vero", "refused", "website", 1)
	keepDropped(t, j, 2, "vero")
	last := keepDropped(t, j, 3, "vero")
	backup := t.TempDir() + "/backup"
	must(t, j.Backup(t.Context(), backup))
	j.Close()
	report, err := Check(options.Dir)
	must(t, err)
	if d := report.Destinations[0]; !report.Sound || d.Dropped != 2 || d.DeadLetters != 1 {
		t.Errorf("%+v", report)
	}
	salvaged := t.TempDir() + "/salvaged"
	_, err = Salvage(options.Dir, salvaged)
	must(t, err)
	for _, dir := range []string{backup, salvaged} {
		options.Dir = dir
		j := open(t, options)
		if got := droppedIDs(t, j, DeadFilter{}); !slices.Equal(got, []uint64{2, 3}) {
			t.Errorf("%s has %v", dir, got)
		}
		keepDropped(t, j, 3, "vero")
		if d := keepDropped(t, j, 9, "vero"); d.ID <= last.ID {
			t.Errorf("%s gives the id %d again", dir, d.ID)
		}
		j.Close()
	}
}

const benchDropped = 256

// BenchmarkKeepDropped256 keeps 256 dropped calls of 500 B by one write.
func BenchmarkKeepDropped256(b *testing.B) {
	q := newBenchQueue(b)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		calls := make([]*DeadLetter, benchDropped)
		for i, p := range q.batch(1)[:benchDropped] {
			calls[i] = dropped("vero", "blocked_id", p.Position, p.Entry)
		}
		b.StartTimer()
		if err := q.j.KeepDropped(context.Background(), calls); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*benchDropped)/b.Elapsed().Seconds(), "calls/s")
}
