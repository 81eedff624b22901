package main

import (
	"fmt"
	"net/url"
	"os"
	"time"
)

// targetAccount is the sink's, for a server that is not ours.
const targetAccount = "target"

// quiet is how long nothing comes from a server that has delivered everything, or never will.
const quiet = 5 * time.Second

// target measures a server that runs already, and that delivers to the sink: taking aliases, in turns with the empty handler;
// then people's stories, one call after the other, for what is lost, out of order or late. Of its process nothing is known.
func target(b *bench, r *Report) error {
	base, err := url.Parse(b.target)
	if err != nil || base.Scheme != "http" || base.Host == "" {
		return fmt.Errorf("-target: %q is no http URL", b.target)
	}
	w := &world{b: b, setup: setup{mixed: true}, names: []string{targetAccount}, base: base, dir: b.dir}
	if err := w.startSink(b.sink); err != nil {
		return err
	}
	defer w.sink.stop()
	fmt.Fprintf(os.Stderr, "%s must deliver to %s/%s\n", b.target, w.sink.said, targetAccount)
	w.people.Store(elsewhere)
	if err := w.probe(); err != nil {
		return err
	}
	for _, of := range singleAliases {
		if err := b.race(r, of, &contender{name: of.name, base: base, people: &w.people, cpu: unknownCPU}); err != nil {
			return err
		}
		if _, _, err := w.untilQuiet(); err != nil {
			return err
		}
	}
	if err := w.floodTarget(r); err != nil {
		return err
	}
	w.people.Store(0)
	return w.late(r, "mixed", 200, func() error {
		_, _, err := w.untilQuiet()
		return err
	})
}

// unknownCPU is that of a process which is not ours.
func unknownCPU() (time.Duration, error) { return 0, nil }

// probe sees that what is sent arrives.
func (w *world) probe() error {
	l := w.load(aliases(w.base, ""), 1)
	l.most = 1
	if _, err := l.run(w.b.ctx); err != nil {
		return err
	}
	return w.until("the first call is delivered to the sink", func() (bool, error) {
		report, err := w.ask(targetAccount, 0)
		return report.Exchanges > 0, err
	})
}

// floodTarget measures aliases that come as fast as they are taken, until the last is delivered.
func (w *world) floodTarget(r *Report) error {
	before, err := w.ask(targetAccount, 0)
	if err != nil {
		return err
	}
	l := w.load(aliases(w.base, ""), 32)
	l.most = int64(w.b.deliveries)
	begin := time.Now()
	m, err := l.run(w.b.ctx)
	if err != nil {
		return err
	}
	exchanges, last, err := w.untilQuiet()
	n := exchanges - before.Exchanges
	r.Deliver = append(r.Deliver, Deliver{
		Name: "alias, 32 connections", Deliveries: n, Rate: float64(n) / last.Sub(begin).Seconds(), AcceptRate: m.callRate(),
	})
	return err
}

// untilQuiet waits until nothing comes any more. It returns how many exchanges there were ever, and when the last was seen.
func (w *world) untilQuiet() (exchanges int, last time.Time, err error) {
	last = time.Now()
	err = w.until("nothing comes any more", func() (bool, error) {
		report, err := w.ask(targetAccount, 0)
		if report.Exchanges > exchanges {
			exchanges, last = report.Exchanges, time.Now()
		}
		return time.Since(last) > quiet, err
	})
	return exchanges, last, err
}
