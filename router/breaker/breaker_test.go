package breaker

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func newBreaker(states *[]State) *Breaker {
	return New(Options{Failures: 3, Cooldown: time.Second, MaxCooldown: 4 * time.Second}, func(s State, _ time.Duration) { *states = append(*states, s) })
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
				var states []State
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
				want := []State{Refusing, Closed}
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
		var states []State
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
		var states []State
		b := newBreaker(&states)
		b.exchange(t, Result{Answered: true, AuthFailed: true})
		b.Resume()
		if ok, _ := b.Ready(time.Now()); !ok || !b.Healthy() {
			t.Error("it still waits")
		}
	})
}
