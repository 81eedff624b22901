package main

import (
	"strings"

	"aka/e2e/harness"
)

// quick is a delivery section that makes what would take minutes take moments. Its timeout is that of the default: a vendor
// that is merely slow, because the machine is busy, is no fault.
const quick = `concurrency: 4, batch: { max_items: 20, max_wait: 20ms }, retry: { initial: 50ms, max: 500ms },
  breaker: { failures: 5, cooldown: 200ms, max_cooldown: 400ms }`

// usual is one as in earnest, but for the waits after a failure.
const usual = `batch: { max_items: 200 }, breaker: { cooldown: 500ms, max_cooldown: 2s }`

// world is what a scenario takes place in.
type world struct {
	*harness.World
	t *trial
}

// newWorld makes one with a destination of each vendor.
func newWorld(t *trial, s harness.Setup) *world {
	s.Binary = t.Binary
	if s.Destinations == nil {
		s.Destinations = harness.Vendors()
	}
	return &world{harness.NewWorld(t, s), t}
}

func quickWorld(t *trial) *world { return newWorld(t, harness.Setup{Delivery: quick}) }

// startLoad has people come at the pace that the flags say.
func (w *world) startLoad() *harness.Load { return w.StartPaced(w.t.rate) }

// underLoad starts aka, and returns once it has taken some calls.
func (w *world) underLoad() *harness.Load {
	w.Start()
	l := w.startLoad()
	w.UntilAcked(l, once/2)
	return l
}

// once is how many calls there are in a scenario of one fault, about.
const once = 400

// fewestMet is how often a fault must have been met before it may end.
const fewestMet = 3

// verify counts what became of the calls of a load, and stops aka.
func (w *world) verify(l *harness.Load, e harness.Expectation) { w.t.Add(w.Verify(l, e)) }

// lastLine is the last thing that aka wrote, if it is not long.
func (w *world) lastLine() string {
	lines := strings.Split(strings.TrimSpace(w.Process.Log.String()), "\n")
	last := lines[len(lines)-1]
	return last[:min(len(last), 300)]
}

// others are the destinations but one.
func (w *world) others(name string) (names []string) {
	for _, d := range w.Destinations {
		if d.Name != name {
			names = append(names, d.Name)
		}
	}
	return names
}
