package e2e

import (
	"flag"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

var kills = flag.Int("kills", 5, "how often the crash test kills aka")

// peoplePerRun keep one run busy for longer than progress takes to be saved.
const peoplePerRun = 50

// repeatable is how long before a crash a call may have been delivered and still be delivered again after it, besides how long the disk
// and the processors made it wait. Progress is saved four times a second; the rest is for the race detector.
const repeatable = 2 * time.Second

// Aka is killed in the middle of everything, again and again, and started on what it left behind. What it had answered 200
// reaches every vendor. Only what was in flight and what was delivered since the last progress was saved goes out twice; all
// vendors get everybody's calls in order, and know each person as one.
func TestKilledAgainAndAgainItLosesAndSwapsNothing(t *testing.T) {
	w := newWorld(t, harness.Setup{Delivery: "concurrency: 4, batch: { max_items: 20, max_wait: 20ms }"})
	slow := simulator.Fault{Delay: 2 * time.Millisecond}
	for _, d := range destinations {
		w.AddFaults(d.Name, slow)
	}
	w.Start()
	stalls := w.WatchStalls()
	people := peoplePerRun * (*kills + 1)
	l := w.StartPeople(people)
	share := int64(peoplePerRun * harness.Basic.Steps())
	var ends []time.Time
	for i := range *kills {
		w.UntilAcked(l, share*int64(i)+1+rand.Int64N(share))
		ends = append(ends, w.Kill())
		w.Start()
		w.Follow(l)
	}
	w.Await(l)
	w.expectAccepted(people, w.Verify(l, harness.Expectation{Crashes: ends, Repeatable: repeatable + 4*stalls(), Slow: []simulator.Fault{slow}}))
}

// expectAccepted checks that all calls of so many people were answered 200.
func (w *world) expectAccepted(people int, c harness.Counts) {
	w.t.Helper()
	if want := people * harness.Basic.Steps(); c.Accepted != want {
		w.t.Errorf("%d calls are answered, want %d", c.Accepted, want)
	}
}

// hanging starts aka beside a vendor that takes requests and never answers, and a load.
func hanging(t *testing.T, s harness.Setup) (w *world, l *harness.Load, hang simulator.Fault) {
	t.Helper()
	w, hang = newWorld(t, s), simulator.Fault{Hang: true}
	w.AddFaults(hangs, hang)
	w.Start()
	l = w.StartPeople(hangingPeople)
	w.UntilAcked(l, int64(hangingPeople*harness.Basic.Steps())/2)
	w.Until("it hangs", func() bool { return w.Account(hangs).Stats().Exchanges > 0 })
	return w, l, hang
}

const (
	hangs         = "kissmetrics"
	hangingPeople = 50
)

// goOn ends the hang, starts aka again, and waits until everybody has sent everything.
func (w *world) goOn(l *harness.Load) {
	w.t.Helper()
	w.Account(hangs).ClearFaults()
	w.Start()
	w.Follow(l)
	w.Await(l)
}

// A vendor that takes a request and never answers keeps aka from stopping no longer than it may, and loses nothing.
func TestItStopsInTimeWhileAVendorHangs(t *testing.T) {
	w, l, hang := hanging(t, harness.Setup{More: "shutdown_timeout: 2s", Delivery: "timeout: 10m"})
	w.Stop() // in less than StopTimeout
	w.goOn(l)
	// Whether the vendor has taken what hung when aka went away, it alone knows.
	e := harness.Expectation{Restarted: true, AnswerLost: hangs, Faults: []simulator.Fault{hang}}
	w.expectAccepted(hangingPeople, w.Verify(l, e))
}

// A second signal does not wait for what is in flight. It is a crash by the operator's own hand: nothing is lost.
func TestASecondSignalStopsAtOnceAndLosesNothing(t *testing.T) {
	w, l, hang := hanging(t, harness.Setup{More: "shutdown_timeout: 1h", Delivery: "timeout: 10m"})
	// Of another kind than the second: the same one twice in a row is one stop.
	harness.Check(t, w.Process.Signal(syscall.SIGINT))
	w.Until("it is about to stop", func() bool { return strings.Contains(w.Process.Log.String(), "stopping") })
	if code, took := w.Terminate(); code == 0 { // in less than StopTimeout
		t.Errorf("aka ended with exit code %d, %s after the second signal", code, took)
	}
	end := w.Gone()
	w.goOn(l)
	e := harness.Expectation{Crashes: []time.Time{end}, Repeatable: testTimeout, Faults: []simulator.Fault{hang}}
	w.expectAccepted(hangingPeople, w.Verify(l, e))
}
