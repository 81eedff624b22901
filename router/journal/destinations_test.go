package journal

import (
	"errors"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/router/journal/codec"
	"aka/router/journal/engine"
	"aka/router/journal/engine/enginetest"
	"aka/router/segment"
)

func TestADestinationThatWasRemovedGoesOnWithWhatItHadAndNotWithWhatCameMeanwhile(t *testing.T) {
	for _, tc := range []struct {
		name  string
		ended int // of the calls before the removal, the first ones
	}{{"with a backlog", 2}, {"with none", 5}} {
		t.Run(tc.name, func(t *testing.T) {
			options := testOptions(t)
			j := open(t, options)
			p := load(t, j, "vero")
			appendEach(t, j, 1, 5)
			for _, f := range readAll(t, j, 1)[:tc.ended] {
				p.Begin(f)
				p.End(Position{Seq: f.Seq})
			}
			must(t, j.SaveProgress(t.Context(), "vero", p.Encode(true), nil, nil))
			calls, next, err := j.Remove("vero")
			must(t, err)
			if calls != 5 || next.Seq != 6 {
				t.Fatalf("removed behind %d calls, at %v", calls, next)
			}
			appendEach(t, j, 6, 8)
			j.Close()

			j = open(t, options)
			if calls, next, err = j.Remove("vero"); calls != 5 || next.Seq != 6 || err != nil {
				t.Fatalf("removed again behind %d calls, at %v (%v): the first time counts", calls, next, err)
			}
			kept, err := j.RemovedProgress(t.Context(), "vero")
			must(t, err)
			if kept.Ended() != uint64(tc.ended) {
				t.Errorf("%d calls have ended, %d had when it was removed", kept.Ended(), tc.ended)
			}
			appendEach(t, j, 9, 9)
			load(t, j, "vero")
			appendEach(t, j, 10, 11)
			j.Close()

			j = open(t, options)
			p = load(t, j, "vero")
			var waiting []string
			for _, f := range readAll(t, j, p.Floor()) {
				p.Begin(f)
				if !p.HasEnded(Position{Seq: f.Seq}) {
					waiting = append(waiting, f.Entries[0].MessageID)
				}
			}
			want := []string{"u-1", "u-2", "u-3", "u-4", "u-5"}[tc.ended:]
			if want = append(want, "u-10", "u-11"); !slices.Equal(waiting, want) {
				t.Errorf("%v wait, want %v", waiting, want)
			}
			if want := 11 - uint64(len(waiting)); p.Ended() != want {
				t.Errorf("%d calls have ended, want %d", p.Ended(), want)
			}
		})
	}
}

// forgetFacts is more than are forgotten by one write.
const forgetFacts = 5000

func TestAForgottenDestinationIsANewOne(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	for _, name := range []string{"vero", "vero_2"} {
		load(t, j, name)
		for queue := uint64(1); queue <= 40; queue++ {
			parkRun(t, j, name, queue, 1, MaxParked) // more than are forgotten by one write
		}
		saveFacts(t, j, name, forgetFacts)
	}
	must(t, j.Pause("vero", true))
	appendEach(t, j, 1, 3)
	must(t, j.Forget(t.Context(), "vero"))
	must(t, j.Forget(t.Context(), "vero")) // once more changes nothing
	j.Close()

	report, err := Check(options.Dir)
	must(t, err)
	if !report.Sound || len(report.Destinations) != 1 || report.Destinations[0].Name != "vero_2" {
		t.Errorf("the folder says %+v", report)
	}
	j = open(t, options)
	if known := j.Destinations(); !slices.Equal(known, []string{"vero_2"}) {
		t.Errorf("%v are known", known)
	}
	kept := func(name string) (parked, facts int) {
		parked = len(parkedIn(t, j, name))
		return parked, len(factsIn(t, j, name))
	}
	if parked, facts := kept("vero"); parked+facts > 0 {
		t.Errorf("%d parked calls and %d facts are still there", parked, facts)
	}
	if parked, facts := kept("vero_2"); parked != 40*MaxParked || facts != forgetFacts {
		t.Errorf("another's: %d parked calls and %d facts", parked, facts)
	}
	if p := load(t, j, "vero"); p.Floor() != 4 || p.Ended() != 3 || p.Crashed() {
		t.Errorf("it starts at %d behind %d calls, crashed %t", p.Floor(), p.Ended(), p.Crashed())
	}
	if j.Paused("vero") {
		t.Error("it is paused still")
	}
	if p := load(t, j, "vero_2"); p.Floor() != 1 {
		t.Errorf("another starts at %d", p.Floor())
	}
}

// Whichever of its writes fails, what is left is counted right, and can be forgotten again.
func TestAForgettingThatFailedIsRepeated(t *testing.T) {
	for name, fault := range map[string]enginetest.Fault{"lost": enginetest.Lost, "stored": enginetest.Stored, "late": enginetest.Late} {
		for failed := 1; failed <= 2; failed++ {
			store := enginetest.NewMemory()
			j := openOn(t, store)
			load(t, j, "vero")
			for queue := uint64(1); queue <= 17; queue++ {
				parkRun(t, j, "vero", queue, 1, MaxParked)
			}
			writes := 0
			store.FailWrites(func(enginetest.Write) enginetest.Fault {
				if writes++; writes == failed {
					return fault
				}
				return enginetest.None
			})
			if err := j.Forget(t.Context(), "vero"); !errors.Is(err, engine.ErrUnsure) {
				t.Fatalf("%s %d: got %v", name, failed, err)
			}
			if fault != enginetest.Late { // what is late appears with the next write
				store = store.Crash()
				j = openOn(t, store)
			}
			if known := j.Destinations(); !slices.Equal(known, []string{"vero"}) {
				t.Errorf("%s %d: %v are known", name, failed, known)
			}
			must(t, j.Forget(t.Context(), "vero"))
			if j = reopenOn(t, store); len(parkedIn(t, j, "vero")) > 0 || len(j.Destinations()) > 0 {
				t.Errorf("%s %d: something is left", name, failed)
			}
		}
	}
}

// Of a journal that was salvaged without its progress, any destination may be known to it.
func TestWhatIsSaidOfADestinationStandsWhereAnyMayBeKnown(t *testing.T) {
	store := enginetest.NewMemory()
	must(t, store.Apply(t.Context(), "*", []engine.Change{{Key: []byte("s"), Value: codec.AppendSum([]byte("\x01{}"))}}))
	j := openOn(t, store)
	load(t, j, "vero")
	must(t, j.Pause("vero", true))
	appendEach(t, j, 1, 2)
	_, _, err := j.Remove("vero")
	must(t, err)
	appendEach(t, j, 3, 4)
	j = reopenOn(t, store)
	if !j.Paused("vero") {
		t.Error("it is paused no more")
	}
	if calls, next, err := j.Remove("vero"); calls != 2 || next.Seq != 3 || err != nil {
		t.Errorf("it was removed behind %d calls, at %v (%v)", calls, next, err)
	}
}

func TestNothingIsReplayedToADestinationThatWasRemoved(t *testing.T) {
	j := open(t, testOptions(t))
	load(t, j, "vero")
	storeDeadLetter(t, j, 1, "vero", "refused", "website", segment.Track)
	_, _, err := j.Remove("vero")
	must(t, err)
	if err := j.Replay(t.Context(), 1); !errors.Is(err, ErrRemoved) {
		t.Errorf("got %v", err)
	}
	if got := deadLetterIDs(t, j, DeadFilter{}, 0); !slices.Equal(got, []uint64{1}) {
		t.Errorf("the dead letters are %v", got)
	}
	load(t, j, "vero")
	must(t, j.Replay(t.Context(), 1))
}

func TestAPauseOutlivesARestart(t *testing.T) {
	options := testOptions(t)
	j := open(t, options)
	load(t, j, "vero")
	load(t, j, "mixpanel")
	must(t, j.Pause("vero", true))
	must(t, j.Pause("vero", true))
	j.Close()
	j = open(t, options)
	if !j.Paused("vero") || j.Paused("mixpanel") || j.Paused("nobody") {
		t.Errorf("paused: vero %t, mixpanel %t, nobody %t", j.Paused("vero"), j.Paused("mixpanel"), j.Paused("nobody"))
	}
	must(t, j.Pause("vero", false))
	j.Close()
	if j = open(t, options); j.Paused("vero") {
		t.Error("vero is paused still")
	}
}

func TestOpen_RefusesAStateThatANewerVersionWrote(t *testing.T) {
	store := enginetest.NewMemory()
	openOn(t, store)
	newer := codec.AppendSum([]byte("\x01" + `{"paused":true,"upside_down":1}`))
	must(t, store.Apply(t.Context(), "vero", []engine.Change{{Key: []byte("s"), Value: newer}}))
	if _, err := OpenOn(t.Context(), store.Crash(), DefaultOptions, zap.NewNop(), prometheus.NewRegistry()); !errors.Is(err, ErrOtherVersion) {
		t.Errorf("got %v", err)
	}
}

func load(t *testing.T, j *Journal, destination string) *Progress {
	t.Helper()
	p, err := j.LoadProgress(t.Context(), destination)
	must(t, err)
	return p
}

// appendEach appends calls one by one, each in a frame of its own.
func appendEach(t *testing.T, j *Journal, first, last int) {
	t.Helper()
	for n := first; n <= last; n++ {
		appendCalls(t, j, 0, entry("u", n))
	}
}
