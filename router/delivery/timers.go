package delivery

import (
	"container/heap"
	"time"
)

// timers are what the loop has to do at a certain time.
type timers []timer

type timer struct {
	at time.Time
	do func()
}

func (t *timers) add(at time.Time, do func()) { heap.Push(t, timer{at, do}) }

// next returns when the first is due; zero when there is none.
func (t timers) next() time.Time {
	if len(t) == 0 {
		return time.Time{}
	}
	return t[0].at
}

// run does all that is due.
func (t *timers) run(now time.Time) {
	for len(*t) > 0 && !(*t)[0].at.After(now) {
		heap.Pop(t).(timer).do()
	}
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)        { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	last := len(*t) - 1
	x := (*t)[last]
	(*t)[last] = timer{}
	*t = (*t)[:last]
	return x
}

// alarm wakes the loop.
type alarm struct {
	timer *time.Timer
	at    time.Time // zero when it has rung
}

// set has it ring at a time, or earlier where it was set to: to set it anew each time costs more than to be woken once in vain.
func (a *alarm) set(at, now time.Time) {
	if at.IsZero() || !a.at.IsZero() && !at.Before(a.at) {
		return
	}
	a.at = at
	a.timer.Reset(max(at.Sub(now), 0))
}

// maxTickGap is the longest time between two ticks.
const maxTickGap = 4 * time.Second

// ticker ticks every saveInterval. While nothing happens it takes its time, up to maxTickGap: what is left then, such as calls
// that are getting too old, has no hurry.
type ticker struct {
	*time.Ticker
	gap time.Duration
}

func newTicker() *ticker { return &ticker{time.NewTicker(saveInterval), saveInterval} }

// ticked doubles the time until the next tick.
func (t *ticker) ticked() { t.set(min(2*t.gap, maxTickGap)) }

// happened has the next tick come within saveInterval.
func (t *ticker) happened() { t.set(saveInterval) }

func (t *ticker) set(gap time.Duration) {
	if gap != t.gap {
		t.gap = gap
		t.Reset(gap)
	}
}
