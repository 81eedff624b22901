package e2e

import (
	"flag"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/crowd"
)

var kills = flag.Int("kills", 5, "how often the crash test kills aka")

// peoplePerRun keep one run busy for longer than progress takes to be saved.
const peoplePerRun = 50

// repeatable is how long before a crash a call may have been delivered and still be delivered again after it. Progress is
// saved four times a second; the rest is for a save that is slow on a busy disk.
const repeatable = 2 * time.Second

// lateReads is how long after a crash a vendor may still read what aka had written. The next aka takes longer to begin.
const lateReads = 10 * time.Millisecond

// Aka is killed in the middle of everything, again and again, and started on what it left behind. What it had answered 200
// reaches every vendor. Only what was in flight and what was delivered since the last progress was saved goes out twice; all
// vendors see everybody's story in order, and know each person as one.
func TestKilledAgainAndAgainItLosesAndSwapsNothing(t *testing.T) {
	w := newWorld(t, `delivery: { concurrency: 4, batch: { max_items: 20, max_wait: 20ms } }`)
	for _, d := range destinations {
		if err := w.account(d.name).AddFaults(simulator.Fault{Delay: 2 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	c := startCrowd(w, peoplePerRun*(*kills+1))
	var ends []time.Time
	for i := range *kills {
		share := c.calls() / int64(*kills+1)
		c.untilAcked(share*int64(i) + 1 + rand.Int64N(share))
		w.process.kill()
		ends = append(ends, time.Now().Add(lateReads))
		w.start()
		c.follow()
	}
	c.untilDone()
	if dead := deadLetters(t, w); len(dead) > 0 {
		t.Errorf("nothing was refused, and there are dead letters: %v", dead)
	}
	w.process.stop()

	c.expectAllDelivered()
	c.expectOrder(ends)
	c.expectOnePersonEach()
	c.expectJournaledOnce()
	for _, d := range destinations {
		c.expectRepeats(d.name, ends)
	}
}

// expectRepeats checks that nothing was delivered twice but around a crash.
func (c *people) expectRepeats(name string, ends []time.Time) {
	t := c.w.t
	t.Helper()
	all := deliveries(t, c.w.account(name))
	repeats, longest := crowd.Repeats(all), time.Duration(0)
	for _, got := range repeats {
		run := crowd.RunOf(got.Before.At, ends)
		if run == crowd.RunOf(got.At, ends) {
			t.Errorf("%s: %s was repeated without a crash", name, got.Place)
			continue
		}
		longest = max(longest, ends[run].Sub(got.Before.At))
	}
	t.Logf("%s: %d of %d deliveries were repeats, the oldest from %s before a crash", name, len(repeats), len(all), longest)
	if longest > repeatable {
		t.Errorf("%s: what was delivered %s before a crash was repeated", name, longest)
	}
}

// A vendor that takes a request and never answers keeps aka from stopping no longer than it may, and loses nothing.
func TestItStopsInTimeWhileAVendorHangs(t *testing.T) {
	const timeout = 2 * time.Second
	w := newWorld(t, "shutdown_timeout: 2s")
	hanging := w.account("kissmetrics")
	if err := hanging.AddFaults(simulator.Fault{Hang: true}); err != nil {
		t.Fatal(err)
	}
	w.start()
	c := startCrowd(w, 50)
	c.untilAcked(c.calls() / 2)
	if err := hanging.Wait(w.ctx, func() bool { return hanging.Stats().Exchanges > 0 }); err != nil {
		t.Fatal(err)
	}
	code, took := w.process.terminate()
	if code != 0 || took > timeout+3*time.Second {
		t.Errorf("aka ended with exit code %d after %s", code, took)
	}
	end := time.Now()
	hanging.ClearFaults()
	w.start()
	c.follow()
	c.untilDone()
	if dead := deadLetters(t, w); len(dead) > 0 {
		t.Errorf("nothing was refused, and there are dead letters: %v", dead)
	}
	w.process.stop()

	c.expectAllDelivered()
	c.expectOrder([]time.Time{end})
	c.expectOnePersonEach()
	c.expectJournaledOnce()
	for _, d := range destinations {
		if d.name == hanging.Name() {
			continue // whether it has taken what hung when aka went away, it alone knows
		}
		c.expectNoRepeats(d.name)
	}
}

// A second signal does not wait for what is in flight. It is a crash by the operator's own hand: nothing is lost.
func TestASecondSignalStopsAtOnceAndLosesNothing(t *testing.T) {
	w := newWorld(t, "shutdown_timeout: 1h\ndelivery: { timeout: 10m }")
	hanging := w.account("kissmetrics")
	if err := hanging.AddFaults(simulator.Fault{Hang: true}); err != nil {
		t.Fatal(err)
	}
	w.start()
	c := startCrowd(w, 50)
	c.untilAcked(c.calls() / 2)
	if err := hanging.Wait(w.ctx, func() bool { return hanging.Stats().Exchanges > 0 }); err != nil {
		t.Fatal(err)
	}
	// Of another kind than the second: the same one twice in a row is one stop.
	if err := syscall.Kill(w.process.PID(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	w.until("it is about to stop", func() bool { return strings.Contains(w.process.Log.String(), "stopping") })
	code, took := w.process.terminate()
	if code == 0 || took > stopTimeout/2 {
		t.Errorf("aka ended with exit code %d, %s after the second signal", code, took)
	}
	end := time.Now().Add(lateReads)
	hanging.ClearFaults()
	w.start()
	c.follow()
	c.untilDone()
	if dead := deadLetters(t, w); len(dead) > 0 {
		t.Errorf("nothing was refused, and there are dead letters: %v", dead)
	}
	w.process.stop()

	c.expectAllDelivered()
	c.expectOrder([]time.Time{end})
	c.expectOnePersonEach()
	c.expectJournaledOnce()
}

// expectNoRepeats checks that an orderly stop makes nothing go twice.
func (c *people) expectNoRepeats(name string) {
	c.w.t.Helper()
	for _, got := range crowd.Repeats(deliveries(c.w.t, c.w.account(name))) {
		c.w.t.Errorf("%s: %s was repeated", name, got.Place)
	}
}
