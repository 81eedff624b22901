package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"aka/router/journal/engine"
	"aka/router/journal/engine/enginetest"
	"aka/router/segment"
)

func park(t testing.TB, j *Journal, destination string, calls ...*Parked) {
	t.Helper()
	must(t, j.Park(t.Context(), destination, calls))
}

// parkRun parks calls of a queue, at positions in a row.
func parkRun(t testing.TB, j *Journal, destination string, queue uint64, first, last int) {
	t.Helper()
	park(t, j, destination, parkedRun(queue, first, last)...)
}

func parkedRun(queue uint64, first, last int) (calls []*Parked) {
	for n := first; n <= last; n++ {
		calls = append(calls, &Parked{Queue: queue, Rank: Position{Seq: uint64(n)}, Position: Position{Seq: uint64(n)}, Entry: entry("u", n)})
	}
	return calls
}

func unpark(t testing.TB, j *Journal, destination string, keys ...ParkedKey) {
	t.Helper()
	must(t, j.Unpark(t.Context(), destination, keys, nil))
}

func keyAt(queue uint64, seq int) ParkedKey {
	return ParkedKey{Queue: queue, Rank: Position{Seq: uint64(seq)}}
}

// parkedKey is the key of a parked call's record: see package records.
func parkedKey(queue, seq uint64, index uint32) []byte {
	key := binary.BigEndian.AppendUint64([]byte("k"), queue)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(key, seq), index)
}

// parkedIn returns a destination's parked calls, each as queue/position, with an x behind those that are dead.
func parkedIn(t testing.TB, j *Journal, destination string) (all []string) {
	t.Helper()
	must(t, j.EachParked(t.Context(), destination, func(p *Parked) error {
		all = append(all, parkedText(p))
		return nil
	}))
	return all
}

func parkedText(p *Parked) string {
	text := fmt.Sprintf("%d/%s", p.Queue, p.Position)
	if p.Dead != "" {
		text += "x"
	}
	return text
}

func queueOf(t testing.TB, j *Journal, queue uint64, from Position) (calls []*Parked) {
	t.Helper()
	must(t, j.ReadQueue(t.Context(), "vero", queue, from, func(p *Parked) bool {
		calls = append(calls, p)
		return true
	}))
	return calls
}

// wantParked compares what is parked, also after a restart, which would refuse an account that is not right.
func wantParked(t *testing.T, options Options, j *Journal, want ...string) *Journal {
	t.Helper()
	for restart := range 2 {
		if got := parkedIn(t, j, "vero"); !slices.Equal(got, want) {
			t.Errorf("after %d restarts %v are parked, want %v", restart, got, want)
		}
		j.Close()
		j = open(t, options)
	}
	return j
}

func TestAParkedCallReadsBackAsItWas(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	replayed := entry("u", 2)
	replayed.Target, replayed.Replayed = "vero", &Replayed{DeadLetterID: 3, Position: Position{Seq: 1}, Times: 2, Attempts: 9, First: time.Unix(5, 0).UTC()}
	want := []*Parked{
		{Destination: "vero", Queue: 1, Rank: Position{Seq: 1 << 40, Index: 70_000}, Position: Position{Seq: 1 << 40, Index: 70_000}, Attempts: 300, Failures: 200, First: time.Unix(1, 2).UTC(),
			FailingSince: time.Unix(3, 4).UTC(), PossiblyDelivered: true, Dead: "refused", DeadLetterID: 1 << 50, Entry: entry("u", 1)},
		{Destination: "vero", Queue: 1<<64 - 1, Rank: Position{Seq: 1}, Position: Position{Seq: 1}, Entry: replayed},
	}
	park(t, j, "vero", want...)
	j.Close()
	j = open(t, options)
	for _, p := range want {
		if got := queueOf(t, j, p.Queue, Position{}); len(got) != 1 || !reflect.DeepEqual(got[0], p) {
			t.Errorf("got %+v\nwant %+v", got, p)
		}
	}
}

func TestAQueueIsReadInTheOrderOfTheLog(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	at := func(queue, seq uint64, index int) *Parked {
		return &Parked{Queue: queue, Rank: Position{Seq: seq, Index: index}, Position: Position{Seq: seq, Index: index}, Entry: entry("u", int(seq))}
	}
	park(t, j, "vero", at(2, 300, 0), at(256, 1, 0), at(2, 7, 256), at(2, 7, 255), at(1, 9, 0))
	park(t, j, "vero", at(2, 7, 3), at(2, 8, 0))
	park(t, j, "mixpanel", at(2, 1, 0))
	j = wantParked(t, options, j, "1/9.0", "2/7.3", "2/7.255", "2/7.256", "2/8.0", "2/300.0", "256/1.0")
	for from, want := range map[Position]string{
		{}:                   "2/7.3 2/7.255 2/7.256 2/8.0 2/300.0",
		{Seq: 7, Index: 255}: "2/7.255 2/7.256 2/8.0 2/300.0",
		{Seq: 7, Index: 257}: "2/8.0 2/300.0",
		{Seq: 301}:           "",
	} {
		var got []string
		for _, p := range queueOf(t, j, 2, from) {
			got = append(got, parkedText(p))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("from %s: %v, want %s", from, got, want)
		}
	}
	visits := 0
	must(t, j.ReadQueue(t.Context(), "vero", 2, Position{}, func(*Parked) bool { visits++; return visits < 2 }))
	if visits != 2 {
		t.Errorf("%d visits, and the second was to be the last", visits)
	}
	stop := errors.New("stop")
	if err := j.EachParked(t.Context(), "vero", func(*Parked) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestACallThatIsParkedAgainIsReplaced(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	parkRun(t, j, "vero", 1, 1, 3)
	again := parkedRun(1, 2, 4)
	again[0].Attempts, again[0].Dead, again[0].DeadLetterID = 7, "refused", 9
	park(t, j, "vero", append(again, again[2])...) // one of them twice
	j = wantParked(t, options, j, "1/1.0", "1/2.0x", "1/3.0", "1/4.0")
	if p := queueOf(t, j, 1, Position{Seq: 2})[0]; p.Attempts != 7 || p.DeadLetterID != 9 {
		t.Errorf("got %+v", p)
	}
}

func TestAnUnparkedCallIsGone(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	for queue := range uint64(3) {
		parkRun(t, j, "vero", 1+queue, 1, 100)
	}
	keys := []ParkedKey{keyAt(3, 100), keyAt(9, 1), keyAt(1, 50), keyAt(1, 101), keyAt(1, 50), keyAt(2, 1)}
	for n := 2; n < 100; n++ {
		keys = append(keys, keyAt(3, n))
	}
	unpark(t, j, "vero", keys...)
	unpark(t, j, "vero", keys...)
	unpark(t, j, "vero")
	unpark(t, j, "nobody", keys...)
	want := map[uint64]int{1: 99, 2: 99, 3: 1}
	for range 2 {
		got := map[uint64]int{}
		for queue := range want {
			for _, p := range queueOf(t, j, queue, Position{}) {
				if slices.Contains(keys, p.Key()) {
					t.Errorf("%v is still there", p.Key())
				}
				got[queue]++
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the queues have %v calls, want %v", got, want)
		}
		j.Close()
		j = open(t, options)
	}
}

func TestWhatOneWriteParksIsBounded(t *testing.T) {
	j := open(t, testOptions(t))
	calls := parkedRun(1, 1, MaxParked+1)
	keys := make([]ParkedKey, len(calls))
	for i, p := range calls {
		keys[i] = p.Key()
	}
	if err := j.Park(t.Context(), "vero", calls); err == nil {
		t.Error("too many were parked")
	}
	if err := j.Park(t.Context(), "vero", []*Parked{{Position: Position{Seq: 1}, Entry: entry("u", 1)}}); err == nil {
		t.Error("one without a queue was parked")
	}
	park(t, j, "vero", calls[1:]...)
	if err := j.Unpark(t.Context(), "vero", keys, nil); err == nil {
		t.Error("too many were unparked")
	}
	if _, err := j.Withdraw(t.Context(), "vero", make([]uint64, MaxParked+1), nil); err == nil {
		t.Error("too many were withdrawn")
	}
	if got := len(parkedIn(t, j, "vero")); got != MaxParked {
		t.Errorf("%d are parked", got)
	}
}

// It is passed over, stays, and is counted and told once, however often its queue is read.
func TestAParkedCallThatCannotBeReadIsPassedOver(t *testing.T) {
	store := enginetest.NewMemory()
	parkRun(t, openOn(t, store), "vero", 1, 1, 4)
	spoilt := parkedKey(1, 2, 0)
	value, err := store.Get(t.Context(), "vero", spoilt)
	must(t, err)
	value[len(value)/2] ^= 1
	must(t, store.Apply(t.Context(), "vero", []engine.Change{{Key: spoilt, Value: value}}))
	store = store.Crash()
	j := openOn(t, store)
	for range 3 {
		if got := parkedIn(t, j, "vero"); !slices.Equal(got, []string{"1/1.0", "1/3.0", "1/4.0"}) {
			t.Fatalf("%v are parked", got)
		}
		if got := queueOf(t, j, 1, Position{Seq: 2}); len(got) != 2 {
			t.Fatalf("%d are behind it", len(got))
		}
	}
	if n := testutil.ToFloat64(j.metrics.damaged); n != 1 {
		t.Errorf("%v are counted", n)
	}
	store = store.Crash()
	j = openOn(t, store)
	unpark(t, j, "vero", keyAt(1, 2))
	j = reopenOn(t, store)
	if got := parkedIn(t, j, "vero"); len(got) != 3 || testutil.ToFloat64(j.metrics.damaged) != 0 {
		t.Errorf("%v are parked; it is still there", got)
	}
}

var faults = map[string]enginetest.Fault{"none": enginetest.None, "lost": enginetest.Lost, "stored": enginetest.Stored, "late": enginetest.Late,
	"no space": enginetest.NoSpace}

// failing makes the next Apply end with a fault, and returns what an attempt at it gives.
func failing(store *enginetest.Memory, fault enginetest.Fault, try func() error) error {
	done := false
	store.FailWrites(func(w enginetest.Write) enginetest.Fault {
		if w != enginetest.ApplyWrite || done && fault != enginetest.NoSpace {
			return enginetest.None
		}
		done = true
		return fault
	})
	err := try()
	store.FailWrites(nil)
	return err
}

// overFaults runs a write that fails in each way, and is then repeated, or is not because of a crash.
func overFaults(t *testing.T, prepare func(t *testing.T, j *Journal), write func(j *Journal) error, check func(t *testing.T, j *Journal, stored bool)) {
	for name, fault := range faults {
		for _, crash := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, crash %t", name, crash), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := enginetest.NewMemory()
					j := openOn(t, store)
					prepare(t, j)
					err := failing(store, fault, func() error { return write(j) })
					if (err == nil) != (fault == enginetest.None) {
						t.Fatalf("got %v", err)
					}
					stored := fault == enginetest.None || fault == enginetest.Stored
					if !crash && err != nil {
						must(t, write(j))
						stored = true
					}
					if !crash {
						check(t, j, stored)
					}
					again, err := OpenOn(t.Context(), store.Crash(), DefaultOptions, zap.NewNop(), prometheus.NewRegistry())
					must(t, err) // the account is right
					check(t, again, stored)
					again.Close()
					j.Close()
				})
			})
		}
	}
}

func TestParkingOverFaultsIsWholeAndRepeatable(t *testing.T) {
	prepare := func(t *testing.T, j *Journal) { parkRun(t, j, "vero", 1, 1, 3) }
	for name, test := range map[string]struct {
		write         func(j *Journal) error
		before, after string
	}{
		"park": {
			func(j *Journal) error {
				calls := parkedRun(1, 3, 5)
				calls[0].Dead = "refused"
				return j.Park(context.Background(), "vero", calls)
			}, "1/1.0 1/2.0 1/3.0", "1/1.0 1/2.0 1/3.0x 1/4.0 1/5.0"},
		"unpark": {
			func(j *Journal) error {
				return j.Unpark(context.Background(), "vero", []ParkedKey{keyAt(1, 3), keyAt(1, 1), keyAt(1, 8)}, nil)
			}, "1/1.0 1/2.0 1/3.0", "1/2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			overFaults(t, prepare, test.write, func(t *testing.T, j *Journal, stored bool) {
				want := test.before
				if stored {
					want = test.after
				}
				if got := strings.Join(parkedIn(t, j, "vero"), " "); got != want {
					t.Errorf("parked are %s, want %s", got, want)
				}
			})
		})
	}
}

func TestADeadLetterAndItsPlaceAreOneWrite(t *testing.T) {
	prepare := func(t *testing.T, j *Journal) { parkRun(t, j, "vero", 3, 5, 6) }
	deadLetter := func() *DeadLetter {
		place := &Parked{Queue: 3, Rank: Position{Seq: 5}, Position: Position{Seq: 5}, Attempts: 4, Entry: entry("u", 5)}
		return &DeadLetter{Destination: "vero", Reason: "refused", Position: Position{Seq: 5}, Place: place, Entry: entry("u", 5)}
	}
	write := func(j *Journal) error {
		d := deadLetter()
		if err := j.StoreDeadLetters(context.Background(), []*DeadLetter{d}); err != nil {
			return err
		}
		if d.ID == 0 || d.Place.DeadLetterID != d.ID || d.Place.Dead != "refused" || d.Place.Destination != "vero" {
			return fmt.Errorf("dead letter %d has the place %+v", d.ID, d.Place)
		}
		return nil
	}
	overFaults(t, prepare, write, func(t *testing.T, j *Journal, stored bool) {
		deadLetters, queue := deadLetterIDs(t, j, DeadFilter{}, 0), queueOf(t, j, 3, Position{})
		if len(queue) != 2 || queue[0].Position.Seq != 5 || queue[1].Dead != "" {
			t.Fatalf("the queue has %v", parkedIn(t, j, "vero"))
		}
		first := queue[0]
		switch {
		case !stored && (len(deadLetters) > 0 || first.Dead != "" || first.DeadLetterID != 0):
			t.Errorf("dead letters %v, and the place is %+v", deadLetters, first)
		case stored && (len(deadLetters) != 1 || first.Dead != "refused" || first.DeadLetterID != deadLetters[0] || first.Attempts != 4):
			t.Errorf("dead letters %v, and the place is %+v", deadLetters, first)
		}
	})
}

// A dead letter that is stored again has one place, of the same id.
func TestADeadLetterThatIsStoredAgainHasItsPlaceOnce(t *testing.T) {
	j := open(t, testOptions(t))
	for range 2 {
		place := &Parked{Queue: 1, Rank: Position{Seq: 1}, Position: Position{Seq: 1}, Entry: entry("u", 1)}
		other := &DeadLetter{Destination: "vero", Reason: "refused", Position: Position{Seq: 2}, Entry: entry("u", 2)}
		must(t, j.StoreDeadLetters(t.Context(), []*DeadLetter{other, {Destination: "vero", Reason: "refused", Position: Position{Seq: 1}, Place: place, Entry: entry("u", 1)}}))
	}
	if got := queueOf(t, j, 1, Position{}); len(got) != 1 || got[0].DeadLetterID != 2 {
		t.Errorf("the queue has %+v", got)
	}
	if ids := deadLetterIDs(t, j, DeadFilter{}, 0); !slices.Equal(ids, []uint64{1, 2}) {
		t.Errorf("the dead letters are %v", ids)
	}
}

// Within the time in which a repeated write is recognized, a call may die, be tried again in its place, and die again.
func TestACallThatDiesAgainIsStoredAgain(t *testing.T) {
	j := open(t, testOptions(t))
	place := func() *Parked {
		return &Parked{Queue: 1, Rank: Position{Seq: 1}, Position: Position{Seq: 1}, Entry: entry("u", 1)}
	}
	deadLetter := &DeadLetter{Destination: "vero", Reason: "refused", Position: Position{Seq: 1}, Place: place(), Entry: entry("u", 1)}
	must(t, j.StoreDeadLetters(t.Context(), []*DeadLetter{deadLetter}))
	first := deadLetter.ID
	again := place()
	again.DeadLetterID = first
	park(t, j, "vero", again)
	must(t, j.Discard(t.Context(), first))
	second := &DeadLetter{Destination: "vero", Reason: "refused", Position: Position{Seq: 1}, Earlier: first, Place: place(), Entry: entry("u", 1)}
	must(t, j.StoreDeadLetters(t.Context(), []*DeadLetter{second}))
	if stored, err := j.DeadLetter(t.Context(), second.ID); err != nil || second.ID == first || stored.Earlier != first {
		t.Errorf("the second dead letter is %d, after %d: %+v, %v", second.ID, first, stored, err)
	}
	if got := queueOf(t, j, 1, Position{}); len(got) != 1 || got[0].Dead != "refused" || got[0].DeadLetterID != second.ID {
		t.Errorf("the queue has %+v", got)
	}
}

func TestWithdrawnDeadLettersAreParkedOverFaults(t *testing.T) {
	prepare := func(t *testing.T, j *Journal) {
		for n := range uint64(6) {
			storeDeadLetter(t, j, n+1, "vero", "refused", "website", segment.Track)
		}
		must(t, j.Discard(t.Context(), 2))
		parkRun(t, j, "vero", 7, 3, 3)
	}
	withdraw := []uint64{5, 1, 2, 3, 99, 5, 6}
	write := func(j *Journal) error {
		put, err := j.Withdraw(context.Background(), "vero", withdraw, func(d *DeadLetter) *Parked {
			if d.ID == 6 {
				return nil
			}
			return d.Parked(7)
		})
		if err != nil {
			return err
		}
		var got []string
		for _, p := range put {
			got = append(got, p.Destination+" "+parkedText(p)+" "+p.Entry.MessageID)
		}
		if want := []string{"vero 7/5.0 u-5", "vero 7/1.0 u-1", "vero 7/3.0 u-3"}; !slices.Equal(got, want) {
			return fmt.Errorf("%v were put back, want %v", got, want)
		}
		return nil
	}
	overFaults(t, prepare, write, func(t *testing.T, j *Journal, stored bool) {
		wantDeadLetters, want := []uint64{1, 3, 4, 5, 6}, []string{"7/3.0"}
		if stored {
			wantDeadLetters, want = []uint64{4, 6}, []string{"7/1.0", "7/3.0", "7/5.0"}
		}
		if got := deadLetterIDs(t, j, DeadFilter{}, 0); !slices.Equal(got, wantDeadLetters) {
			t.Errorf("the dead letters are %v, want %v", got, wantDeadLetters)
		}
		if got := parkedIn(t, j, "vero"); !slices.Equal(got, want) {
			t.Errorf("%v are parked, want %v", got, want)
		}
		counts, err := j.DeadSummary(t.Context())
		must(t, err)
		if len(counts) != 1 || counts[0].Count != uint64(len(wantDeadLetters)) || counts[0].Bytes == 0 {
			t.Errorf("the summary is %+v", counts)
		}
	})
}

// What a withdrawn dead letter took of dead_letters.max_bytes is free again, and its call may die again, as another.
func TestAWithdrawnDeadLetterIsGoneFromTheRetention(t *testing.T) {
	options := testOptions(t)
	j, registry, _ := openWatched(t, options)
	load(t, j, "vero")
	first := time.Unix(100, 0).UTC()
	e := entry("u", 1)
	e.Target, e.Replayed = "vero", &Replayed{DeadLetterID: 77, Position: Position{Seq: 1}, Times: 1, Attempts: 10, First: first}
	d := &DeadLetter{Destination: "vero", Reason: "refused", Attempts: 3, First: first.Add(time.Hour), Last: first.Add(2 * time.Hour),
		Position: Position{Seq: 9}, Entry: e}
	must(t, j.StoreDeadLetters(t.Context(), []*DeadLetter{d}))
	put, err := j.Withdraw(t.Context(), "vero", []uint64{d.ID}, func(d *DeadLetter) *Parked { return d.Parked(1) })
	must(t, err)
	if len(put) != 1 || put[0].Attempts != 3 || put[0].Failures != 0 || !reflect.DeepEqual(put[0].Entry, e) {
		t.Errorf("put back %+v", put)
	}
	if got := queueOf(t, j, 1, Position{}); len(got) != 1 || !reflect.DeepEqual(got[0], put[0]) {
		t.Errorf("stored is %+v", got)
	}
	if bytes := deadBytes(t, j); bytes != 0 {
		t.Errorf("dead letters take %d bytes", bytes)
	}
	wantMetric(t, registry, "aka_dead_letters", "\naka_dead_letters{destination=\"vero\"} 0\n")
	second := &DeadLetter{Destination: "vero", Reason: "refused", Attempts: 4, Position: Position{Seq: 9}, Place: put[0], Entry: e}
	must(t, j.StoreDeadLetters(t.Context(), []*DeadLetter{second}))
	kept, err := j.DeadLetter(t.Context(), second.ID)
	must(t, err)
	if second.ID == d.ID || kept.Attempts != 14 || kept.First != first {
		t.Errorf("it died again as %d after %d: %+v", second.ID, d.ID, kept)
	}
	j.Close()
	open(t, options)
}

func TestOneCallIsNotWithdrawnTwice(t *testing.T) {
	j := open(t, testOptions(t))
	for _, earlier := range []uint64{0, 1} {
		must(t, j.StoreDeadLetters(t.Context(), []*DeadLetter{{Destination: "vero", Reason: "refused", Position: Position{Seq: 1}, Earlier: earlier, Entry: entry("u", 1)}}))
	}
	put, err := j.Withdraw(t.Context(), "vero", []uint64{1, 2}, func(d *DeadLetter) *Parked { return d.Parked(1) })
	must(t, err)
	if ids := deadLetterIDs(t, j, DeadFilter{}, 0); len(put) != 1 || !slices.Equal(ids, []uint64{2}) {
		t.Errorf("%d were put back, and %v are left", len(put), ids)
	}
}

// An unsure write must not have millions of parked calls read again before the next one.
func TestAnUnsureWriteHasNoQueueReadAgain(t *testing.T) {
	store := &scanCounter{Memory: enginetest.NewMemory()}
	j, err := OpenOn(t.Context(), store, DefaultOptions, zap.NewNop(), prometheus.NewRegistry())
	must(t, err)
	defer j.Close()
	for n := range 10 {
		parkRun(t, j, "vero", 1, 1+n*MaxParked, (n+1)*MaxParked)
	}
	if err := failing(store.Memory, enginetest.Lost, func() error { return j.Unpark(t.Context(), "vero", []ParkedKey{keyAt(1, 5)}, nil) }); err == nil {
		t.Fatal("it did not fail")
	}
	store.reads = 0
	unpark(t, j, "vero", keyAt(1, 5))
	if store.reads > 10 {
		t.Errorf("%d records were read", store.reads)
	}
}

func TestWhatIsParkedAtTheEndsOfQueuesIsNotLookedFor(t *testing.T) {
	store := &scanCounter{Memory: enginetest.NewMemory()}
	j, err := OpenOn(t.Context(), store, DefaultOptions, zap.NewNop(), prometheus.NewRegistry())
	must(t, err)
	store.reads = 0
	var all []*Parked
	for n := range uint64(3 * MaxParked) {
		all = append(all, &Parked{Queue: 1 + n%100, Rank: Position{Seq: 1 + n}, Position: Position{Seq: 1 + n}, Entry: entry("u", int(n))})
	}
	for calls := range slices.Chunk(all, MaxParked) {
		park(t, j, "vero", calls...)
	}
	if store.reads > 0 {
		t.Errorf("%d records were read", store.reads)
	}
	j.Close()
	store = &scanCounter{Memory: store.Crash()}
	j, err = OpenOn(t.Context(), store, DefaultOptions, zap.NewNop(), prometheus.NewRegistry())
	must(t, err)
	defer j.Close()
	store.reads = 0
	park(t, j, "vero", &Parked{Queue: 7, Rank: Position{Seq: 1000}, Position: Position{Seq: 1000}, Entry: entry("u", 1)}, &Parked{Queue: 101, Rank: Position{Seq: 1}, Position: Position{Seq: 1}, Entry: entry("u", 1)})
	if store.reads > 0 {
		t.Errorf("after a restart, %d records were read", store.reads)
	}
}

// scanCounter counts the records that are read.
type scanCounter struct {
	*enginetest.Memory
	reads int
}

func (s *scanCounter) Get(ctx context.Context, destination string, key []byte) ([]byte, error) {
	s.reads++
	return s.Memory.Get(ctx, destination, key)
}

func (s *scanCounter) Scan(ctx context.Context, destination string, from, to []byte, visit func(key, value []byte) (bool, error)) error {
	return s.Memory.Scan(ctx, destination, from, to, func(key, value []byte) (bool, error) {
		s.reads++
		return visit(key, value)
	})
}
