package delivery

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTicker_TakesItsTimeWhileNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tick := newTicker()
		defer tick.Stop()
		start, n := time.Now(), 0
		for time.Since(start) < time.Hour {
			<-tick.C
			tick.ticked()
			n++
		}
		if most := int(time.Hour/maxTickGap) + 8; n > most {
			t.Errorf("%d ticks in an hour in which nothing happened, want at most %d", n, most)
		}
		for range 3 {
			time.Sleep(maxTickGap / 3)
			tick.happened()
			before := time.Now()
			tick.happened() // which does not put it off
			<-tick.C
			if waited := time.Since(before); waited > saveInterval {
				t.Errorf("the tick after something happened came after %s", waited)
			}
			tick.ticked()
		}
	})
}

// What happens all the time does not put the next tick off.
func TestTicker_TicksWhileMuchHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tick := newTicker()
		defer tick.Stop()
		n := 0
		for start := time.Now(); time.Since(start) < 10*time.Second; {
			select {
			case <-tick.C:
				tick.ticked()
				n++
			case <-time.After(10 * time.Millisecond):
				tick.happened()
			}
		}
		if want := int(10 * time.Second / (saveInterval + 20*time.Millisecond)); n < want {
			t.Errorf("%d ticks in 10 s, want at least %d", n, want)
		}
	})
}
