package breaker

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"aka/router/deststate"
)

func newBreaker(states *[]deststate.State) *Breaker {
	return New(Options{Failures: 3, Cooldown: time.Second, MaxCooldown: 4 * time.Second}, func(s deststate.State, _ time.Duration) { *states = append(*states, s) })
}

func (b *Breaker) exchange(t *testing.T, r Result) {
	t.Helper()
	time.Sleep(time.Until(b.NotBefore()))
	p, ok := b.Acquire()
	if !ok {
		t.Fatal("no exchange may start")
	}
	b.Report(p, time.Now(), r)
}

// A destination that refuses everything is probed once per cooldown, until it answers otherwise.
func TestRefusing_EndsWithAnotherAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		result Result
		ends   bool
	}{
		"a success":              {Result{Answered: true}, true},
		"a failure that answers": {Result{Answered: true, Failed: true}, true},
		"the same":               {Result{Answered: true, Refused: true}, false},
		"no answer":              {Result{Failed: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var states []deststate.State
				b := newBreaker(&states)
				b.Refuse(time.Now())
				if b.Healthy() || !b.Refusing() {
					t.Error("it counts as well")
				}
				if ok, _ := b.Ready(time.Now()); ok {
					t.Error("it is probed at once")
				}
				b.exchange(t, c.result)
				if b.Refusing() == c.ends {
					t.Errorf("refusing: %v", b.Refusing())
				}
				want := []deststate.State{deststate.Refusing, deststate.OK}
				if !c.ends {
					want = want[:1]
				}
				if !slices.Equal(states, want) {
					t.Errorf("states %v, want %v", states, want)
				}
			})
		})
	}
}

// While one probe is under way, there is no other.
func TestRefusing_SendsOneProbeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []deststate.State
		b := newBreaker(&states)
		b.Refuse(time.Now())
		time.Sleep(2 * time.Second)
		if _, ok := b.Acquire(); !ok {
			t.Fatal("there is no probe")
		}
		if ok, _ := b.Ready(time.Now()); ok {
			t.Error("there is a second probe")
		}
	})
}

// An operator's word ends it at once.
func TestResume_EndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []deststate.State
		b := newBreaker(&states)
		b.exchange(t, Result{Answered: true, AuthFailed: true})
		b.Resume()
		if ok, _ := b.Ready(time.Now()); !ok || !b.Healthy() {
			t.Error("it still waits")
		}
	})
}

// After the first opening, calls that came later are tried early, one at a time.
func TestEarlyProbe_EndsAnOutageThatIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []deststate.State
		b := newBreaker(&states)
		for range 3 {
			b.exchange(t, Result{Failed: true})
		}
		now := time.Now()
		if since, ok := b.EarlyProbe(now); !ok || !since.Equal(now) {
			t.Errorf("an early probe may go: %v, for calls that came after %v", ok, since)
		}
		time.Sleep(time.Millisecond)
		p, ok := b.Acquire()
		if !ok {
			t.Fatal("it may not go")
		}
		if _, another := b.EarlyProbe(time.Now()); another {
			t.Error("another may go beside it")
		}
		b.Report(p, time.Now(), Result{Answered: true})
		if ready, _ := b.Ready(time.Now()); !ready || !b.Healthy() {
			t.Error("it still waits for the cooldown")
		}
		if want := []deststate.State{deststate.Down, deststate.Probing, deststate.OK}; !slices.Equal(states, want) {
			t.Errorf("states %v, want %v", states, want)
		}
	})
}

// Early probes that fail are few, and do not make the cooldown longer.
func TestEarlyProbe_LeavesTheCooldownAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []deststate.State
		b := newBreaker(&states)
		for range 3 {
			b.exchange(t, Result{Failed: true})
		}
		opened := time.Now()
		probes := 0
		for {
			time.Sleep(time.Millisecond)
			if _, ok := b.EarlyProbe(time.Now()); !ok {
				break
			}
			p, _ := b.Acquire()
			b.Report(p, time.Now(), Result{Failed: true})
			probes++
		}
		if probes != maxEarlyProbes {
			t.Errorf("%d early probes went, want %d", probes, maxEarlyProbes)
		}
		if got := b.NotBefore().Sub(opened); got != time.Second {
			t.Errorf("the cooldown is %v", got)
		}
		b.exchange(t, Result{Failed: true})
		if got := time.Until(b.NotBefore()); got != 2*time.Second {
			t.Errorf("the second cooldown is %v", got)
		}
	})
}

// A vendor that said how long to wait is not asked before, and one whose cooldown has passed is probed as ever.
func TestEarlyProbe_NeverGoesBeforeRetryAfterNorAfterTheCooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []deststate.State
		b := newBreaker(&states)
		for range 3 {
			b.exchange(t, Result{Failed: true})
		}
		b.Wait(time.Now(), time.Second/2) // less than the cooldown
		if _, ok := b.EarlyProbe(time.Now()); ok {
			t.Error("an early probe goes before the time that the vendor asked for")
		}
		b.exchange(t, Result{Answered: true})
		for range 3 {
			b.exchange(t, Result{Failed: true})
		}
		b.exchange(t, Result{Failed: true}) // the cooldown has passed
		if _, ok := b.EarlyProbe(time.Now()); ok {
			t.Error("an early probe goes in the second cooldown")
		}
	})
}
