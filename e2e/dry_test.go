package e2e

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// Aka is killed while it reloads, and a destination turns dry or live by that. Its vendor gets nothing while it is dry. In the end it
// has every call that was accepted, in order, as `from_start` promises.
func TestKilledAmidReloadsToDryAndBack(t *testing.T) {
	w := newWorld(t, harness.Setup{Delivery: "concurrency: 4"})
	slow := simulator.Fault{Delay: 2 * time.Millisecond}
	for _, d := range destinations {
		w.AddFaults(d.Name, slow)
	}
	turn := func(mode string) {
		w.Destination("vero").More = "mode: " + mode + ", from_start: true,"
		w.Configure()
	}
	turn("live")
	w.Start()
	stalls := w.WatchStalls()
	rounds := (*kills + 1) &^ 1 // the last one turns it live
	people := peoplePerRun * (rounds + 1)
	l := w.StartPeople(people)
	share := int64(peoplePerRun * harness.Basic.Steps())
	var ends []time.Time
	for i := range rounds {
		w.UntilAcked(l, share*int64(i)+1+rand.Int64N(share))
		isDry := i%2 == 0
		turn(map[bool]string{true: "dry", false: "live"}[isDry])
		if err := w.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		w.UntilAcked(l, l.Acked.Load()+rand.Int64N(20)) // anywhere in the reload
		ends = append(ends, w.Kill())
		w.Start()
		sent := w.Account("vero").Stats().Exchanges
		w.Follow(l)
		w.UntilAcked(l, share*int64(i+1))
		if got := w.Account("vero").Stats().Exchanges; isDry && got != sent {
			t.Errorf("the vendor got %d requests while it was dry", got-sent)
		}
	}
	w.Await(l)
	w.expectAccepted(people, w.Verify(l, harness.Expectation{Crashes: ends, Repeatable: repeatable + 4*stalls(), Slow: []simulator.Fault{slow}}))
}
