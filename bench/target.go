package main

import (
	"fmt"
	"os"
	"time"

	"aka/e2e/harness"
)

// targetAccount is the sink's, for a server that is not ours.
const targetAccount = "target"

// idle is how long nothing comes from a server that has delivered everything, or never will.
const idle = 5 * time.Second

// target measures a server that runs already, and that delivers to the sink: taking aliases, in turns with the empty handler;
// then people's calls, one after the other, for what is lost, out of order or late. Of its process nothing is known.
func target(b *bench) {
	base := b.parse(b.target)
	if base.Scheme != "http" || base.Host == "" {
		b.Fatalf("-target: %q is no http URL", b.target)
	}
	w := newWorldOf(b, setup{mixed: true}, []harness.Destination{{Name: targetAccount}}, b.sink)
	w.base = base
	fmt.Fprintf(os.Stderr, "%s must deliver to %s/%s\n", b.target, w.sink.said, targetAccount)
	w.People.Store(elsewhere)
	w.run(w.load(aliases(base, ""), 1, 1))
	w.Until("the first call is delivered to the sink", func() bool { return w.ask(targetAccount, 0).Exchanges > 0 })
	for _, of := range singleAliases {
		b.race(of, &contender{name: of.name, base: base, people: &w.People, cpu: unknownCPU})
		w.untilIdle()
	}
	w.floodTarget()
	w.People.Store(0)
	w.late("mixed", 200, func() { w.untilIdle() })
}

// unknownCPU is that of a process which is not ours.
func unknownCPU() time.Duration { return 0 }

// floodTarget measures aliases that come as fast as they are taken, until the last is delivered.
func (w *world) floodTarget() {
	before, begin := w.ask(targetAccount, 0), time.Now()
	m := w.run(w.load(aliases(w.base, ""), 32, int64(w.b.deliveries)))
	exchanges, last := w.untilIdle()
	n := exchanges - before.Exchanges
	w.b.report.Deliver = append(w.b.report.Deliver, Deliver{
		Name: "alias, 32 connections", Deliveries: n, Rate: float64(n) / last.Sub(begin).Seconds(), AcceptRate: m.CallRate(),
	})
}

// untilIdle waits until nothing comes any more. It returns how many exchanges there were ever, and when the last was seen.
func (w *world) untilIdle() (exchanges int, last time.Time) {
	last = time.Now()
	w.Until("nothing comes any more", func() bool {
		if n := w.ask(targetAccount, 0).Exchanges; n > exchanges {
			exchanges, last = n, time.Now()
		}
		return time.Since(last) > idle
	})
	return exchanges, last
}
