package journal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"aka/router/segment"
	"aka/router/strictyaml"
)

func TestDeadLettersAreChosenWithoutReadingTheOthers(t *testing.T) {
	j := open(t, testOptions(t))
	storeDeadLetter(t, j, 1, "vero", "refused", "website", segment.Track)
	storeDeadLetter(t, j, 2, "vero", "too_old", "website", segment.Alias)
	storeDeadLetter(t, j, 3, "vero_eu", "refused", "app", segment.Alias)
	storeDeadLetter(t, j, 4, "mixpanel", "refused", "app.*", segment.Alias)
	for filter, want := range map[DeadFilter][]uint64{
		{}:                         {1, 2, 3, 4},
		{Destination: "vero"}:      {1, 2},
		{Reason: "refused"}:        {1, 3, 4},
		{Type: segment.Alias}:      {2, 3, 4},
		{Source: "website"}:        {1, 2},
		{Source: "app.*"}:          {4},
		{Destination: "mixpanel2"}: nil,
		{Destination: "vero", Reason: "too_old", Type: segment.Alias, Source: "website"}: {2},
		{Destination: "vero", Reason: "refused", Type: segment.Alias}:                    nil,
	} {
		if got := deadLetterIDs(t, j, filter, 0); !slices.Equal(got, want) {
			t.Errorf("%+v: got %v, want %v", filter, got, want)
		}
	}
	if got := deadLetterIDs(t, j, DeadFilter{Reason: "refused"}, 1); !slices.Equal(got, []uint64{3, 4}) {
		t.Errorf("after 1: %v", got)
	}
}

// A call that dies, is replayed, and dies again is still the call that was accepted once.
func TestACallThatDiesAgainKeepsItsHistory(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	appendCalls(t, j, 0, entry("u", 1))
	first := time.Unix(100, 5).UTC()
	d := &DeadLetter{Destination: "vero", Reason: "refused", Attempts: 3, Status: 400, First: first, Last: first.Add(time.Hour),
		Position: Position{Seq: 1, Index: 0}, Entry: entry("u", 1)}
	for death := range 3 {
		must(t, j.StoreDeadLetters(t.Context(), []*DeadLetter{d}))
		j.Close()
		j = open(t, options)
		kept, err := j.DeadLetter(t.Context(), d.ID)
		must(t, err)
		if kept.Attempts != 3*(death+1) || kept.First != first || kept.Replays() != death || kept.Accepted() != (Position{Seq: 1, Index: 0}) || kept.Position != d.Position {
			t.Fatalf("death %d: %+v, replays %d, accepted at %s", death, kept, kept.Replays(), kept.Accepted())
		}
		must(t, j.Replay(t.Context(), d.ID))
		frames := readAll(t, j, 1)
		last := frames[len(frames)-1]
		d = &DeadLetter{Destination: "vero", Reason: "refused", Attempts: 3, Status: 500, First: first.Add(24 * time.Hour), Last: first.Add(25 * time.Hour),
			Position: Position{Seq: last.Seq, Index: 0}, Entry: last.Entries[0]}
	}
}

// The crash comes between the call's way back into the log and the removal of the dead letter.
func TestAReplayThatACrashInterruptedIsRecognized(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	storeDeadLetter(t, j, 1, "vero", "refused", "website", segment.Track)
	storeDeadLetter(t, j, 2, "mixpanel", "refused", "website", segment.Track)
	kept, err := j.DeadLetter(t.Context(), 1)
	must(t, err)
	must(t, j.Replay(t.Context(), 1))
	must(t, j.StoreDeadLetters(t.Context(), []*DeadLetter{{Destination: "vero", Reason: "refused", Position: Position{Seq: 9, Index: 0}, Entry: kept.Entry}}))
	replayed := readAll(t, j, 1)[0].Entries[0]
	replayed.Replayed.DeadLetterID = 3 // as if that had been what was replayed
	_, err = j.Append(t.Context(), []Entry{replayed})
	must(t, err)
	for range 2 {
		j.Close()
		j = open(t, options)
	}
	before, _ := j.Head()
	must(t, j.Replay(t.Context(), 3))
	if after, _ := j.Head(); after != before {
		t.Errorf("the call went again: %d calls in the log, then %d", before, after)
	}
	if left := deadLetterIDs(t, j, DeadFilter{}, 0); !slices.Equal(left, []uint64{2}) {
		t.Errorf("%v are left", left)
	}
}

// A call may be replayed, and die, and be replayed as often as its operator likes, at each destination on its own.
func TestReplaysOfACallThatDiedAgainAreNoDuplicates(t *testing.T) {
	j := open(t, testOptions(t))
	appendCalls(t, j, 0, entry("u", 1))
	for _, destination := range []string{"vero", "mixpanel"} {
		e := entry("u", 1)
		for n := range 3 {
			d := &DeadLetter{Destination: destination, Reason: "refused", Position: Position{Seq: uint64(n + 1), Index: 0}, Entry: e}
			must(t, j.StoreDeadLetters(t.Context(), []*DeadLetter{d}))
			must(t, j.Replay(t.Context(), d.ID))
			frames := readAll(t, j, 1)
			e = frames[len(frames)-1].Entries[0]
		}
	}
	if calls, _ := j.Head(); calls != 7 {
		t.Errorf("%d calls in the log, want 1 and 6 replays", calls)
	}
	appendCalls(t, j, 1, entry("u", 1))
}

func TestDeadLettersAreCountedByKind(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	for i := range 600 {
		storeDeadLetter(t, j, uint64(i+1), []string{"vero", "mixpanel"}[i%2], []string{"refused", "too_old", "expired"}[i%3], "website", segment.Track)
	}
	check := func(want string) {
		t.Helper()
		counts, err := j.DeadSummary(t.Context())
		must(t, err)
		got, bytes := "", uint64(0)
		for _, c := range counts {
			got += fmt.Sprint(c.Destination, " ", c.Reason, " ", c.Type, " ", c.Source, " ", c.Count, "\n")
			bytes += c.Bytes
		}
		if got != want || bytes == 0 {
			t.Errorf("got %d bytes and\n%swant\n%s", bytes, got, want)
		}
	}
	check(`mixpanel expired track website 100
mixpanel refused track website 100
mixpanel too_old track website 100
vero expired track website 100
vero refused track website 100
vero too_old track website 100
`)
	for _, id := range deadLetterIDs(t, j, DeadFilter{Destination: "mixpanel", Reason: "refused"}, 0) {
		must(t, j.Discard(t.Context(), id))
	}
	must(t, j.Replay(t.Context(), 1))
	after := `mixpanel expired track website 100
mixpanel too_old track website 100
vero expired track website 100
vero refused track website 99
vero too_old track website 100
`
	check(after)
	j.Close()
	j = open(t, options)
	check(after)
}

func TestDeadLettersThatAreTooOldGoAndAreCounted(t *testing.T) {
	options := testOptions(t)
	options.DeadLetters.MaxAge = time.Hour
	j, registry, logs := openWatched(t, options)
	for i := range 500 {
		storeDeadLetter(t, j, uint64(i+1), "vero", "refused", "website", segment.Track)
	}
	storeDeadLetter(t, j, 501, "mixpanel", "too_old", "website", segment.Track)
	must(t, j.Enforce(t.Context(), time.Now().Add(59*time.Minute)))
	if left := deadLetterIDs(t, j, DeadFilter{}, 0); len(left) != 501 {
		t.Fatalf("%d are left before their time", len(left))
	}
	must(t, j.Enforce(t.Context(), time.Now().Add(61*time.Minute)))
	if left := deadLetterIDs(t, j, DeadFilter{}, 0); len(left) != 0 {
		t.Fatalf("%d are left", len(left))
	}
	wantMetric(t, registry, "aka_dead_letters_lost_total", `
aka_dead_letters_lost_total{destination="mixpanel",limit="max_age"} 1
aka_dead_letters_lost_total{destination="vero",limit="max_age"} 500
`)
	wantMetric(t, registry, "aka_dead_letters", `
aka_dead_letters{destination="mixpanel"} 0
aka_dead_letters{destination="vero"} 0
`)
	told := map[string]int64{}
	for _, entry := range logs.FilterMessage("dead letters removed, their calls are lost").All() {
		fields := entry.ContextMap()
		if fields["limit"] != "dead_letters.max_age" {
			t.Errorf("%v", fields)
		}
		told[fmt.Sprint(fields["destination"], " ", fields["reason"])] += fields["count"].(int64)
	}
	if want := map[string]int64{"vero refused": 500, "mixpanel too_old": 1}; fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("the log says %v", told)
	}
}

func TestDeadLettersNeverTakeMoreThanTheirRoomAndTheOldestGoCounted(t *testing.T) {
	options := testOptions(t)
	options.DeadLetters.MaxBytes = strictyaml.MiB
	j, registry, logs := openWatched(t, options)
	load(t, j, "vero")
	wantMetric(t, registry, "aka_dead_letters_lost_total", `
aka_dead_letters_lost_total{destination="vero",limit="max_age"} 0
aka_dead_letters_lost_total{destination="vero",limit="max_bytes"} 0
`)
	const stored = 64
	e := entry("u", 0)
	e.JSON = []byte(`{"type":"track","event":"` + strings.Repeat("x", 50_000) + `"}`)
	for i := 0; i < stored; i += 8 {
		var deadLetters []*DeadLetter
		for n := range 8 {
			deadLetters = append(deadLetters, &DeadLetter{Destination: "vero", Reason: "refused", Position: Position{Seq: uint64(i + 1), Index: n}, Entry: e})
		}
		must(t, j.StoreDeadLetters(t.Context(), deadLetters))
		if deadLetters[7].ID != uint64(i+8) {
			t.Fatalf("the id is %d", deadLetters[7].ID)
		}
		if bytes := deadBytes(t, j); bytes > uint64(strictyaml.MiB) {
			t.Fatalf("%d bytes after %d", bytes, i)
		}
		must(t, j.Enforce(t.Context(), time.Now()))
	}
	left := deadLetterIDs(t, j, DeadFilter{}, 0)
	if len(left) < 16 || left[len(left)-1] != stored || left[0] != stored-uint64(len(left))+1 {
		t.Errorf("%v are left: want the newest", left)
	}
	wantMetric(t, registry, "aka_dead_letters_lost_total", fmt.Sprintf(`
aka_dead_letters_lost_total{destination="vero",limit="max_age"} 0
aka_dead_letters_lost_total{destination="vero",limit="max_bytes"} %d
`, stored-len(left)))
	var percents []any
	for _, entry := range logs.FilterMessageSnippet("much of their room").All() {
		percents = append(percents, entry.ContextMap()["percent_of_max_bytes"])
	}
	if n := len(percents); n < 2 || n > 3 || percents[0] != int64(50) || percents[n-1] != int64(95) {
		t.Errorf("warned at %v percent", percents)
	}
}

func TestAFloodOfDeadLettersTakesNoRoomFromTheOthers(t *testing.T) {
	options := testOptions(t)
	options.DeadLetters.MaxBytes = strictyaml.MiB
	j, _, _ := openWatched(t, options)
	e := entry("u", 0)
	e.JSON = []byte(`{"type":"track","event":"` + strings.Repeat("x", 50_000) + `"}`)
	storeDeadLetter := func(destination string, seq int) {
		t.Helper()
		must(t, j.StoreDeadLetters(t.Context(), []*DeadLetter{{Destination: destination, Reason: "refused", Position: Position{Seq: uint64(seq), Index: 0}, Entry: e}}))
		must(t, j.Enforce(t.Context(), time.Now()))
	}
	for i := range 4 {
		storeDeadLetter("mixpanel", i+1)
	}
	for i := range 40 {
		storeDeadLetter("vero", i+1)
	}
	if got := deadLetterIDs(t, j, DeadFilter{Destination: "mixpanel"}, 0); len(got) != 4 {
		t.Errorf("of the others, %v are left", got)
	}
	if got := deadLetterIDs(t, j, DeadFilter{Destination: "vero"}, 0); len(got) < 10 || got[len(got)-1] != 44 {
		t.Errorf("of the flood, %v are left: want the newest", got)
	}
}

// Less room after a restart is no reason to lose any without a word.
func TestALowerLimitIsCountedToo(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	e := entry("u", 0)
	e.JSON = []byte(`{"type":"track","event":"` + strings.Repeat("x", 500_000) + `"}`)
	for i := range 4 {
		must(t, j.StoreDeadLetters(t.Context(), []*DeadLetter{{Destination: "vero", Reason: "refused", Position: Position{Seq: uint64(i + 1), Index: 0}, Entry: e}}))
	}
	j.Close()
	options.DeadLetters.MaxBytes = strictyaml.MiB
	j, registry, _ := openWatched(t, options)
	must(t, j.Enforce(t.Context(), time.Now()))
	if left := deadLetterIDs(t, j, DeadFilter{}, 0); !slices.Equal(left, []uint64{3, 4}) {
		t.Errorf("%v are left", left)
	}
	wantMetric(t, registry, "aka_dead_letters_lost_total", "\naka_dead_letters_lost_total{destination=\"vero\",limit=\"max_bytes\"} 2\n")
}

func deadBytes(t *testing.T, j *Journal) (bytes uint64) {
	t.Helper()
	counts, err := j.DeadSummary(t.Context())
	must(t, err)
	for _, c := range counts {
		bytes += c.Bytes
	}
	return bytes
}

func storeDeadLetter(t testing.TB, j *Journal, seq uint64, destination, reason, source string, kind segment.Type) {
	t.Helper()
	e := entry("u", int(seq))
	e.Source, e.Type = source, kind
	must(t, j.StoreDeadLetters(t.Context(), []*DeadLetter{{Destination: destination, Reason: reason, Position: Position{Seq: seq, Index: 0}, Entry: e}}))
}

func deadLetterIDs(t testing.TB, j *Journal, filter DeadFilter, after uint64) (ids []uint64) {
	t.Helper()
	must(t, j.DeadLetters(context.Background(), filter, after, func(d *DeadLetter) bool {
		ids = append(ids, d.ID)
		return true
	}))
	return ids
}

func openWatched(t *testing.T, o Options) (*Journal, *prometheus.Registry, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	registry := prometheus.NewRegistry()
	j, err := Open(t.Context(), o, zap.New(core), registry)
	must(t, err)
	t.Cleanup(j.Close)
	return j, registry, logs
}

func wantMetric(t *testing.T, registry *prometheus.Registry, name, want string) {
	t.Helper()
	kind := "gauge"
	if strings.HasSuffix(name, "_total") {
		kind = "counter"
	}
	help := ""
	families, err := registry.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == name {
			help = f.GetHelp()
		}
	}
	header := fmt.Sprintf("# HELP %s %s\n# TYPE %s %s", name, help, name, kind)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(header+want), name); err != nil {
		t.Error(err)
	}
}
