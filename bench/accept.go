package main

import (
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"aka/e2e/harness"
)

// rounds is how often those who are compared take turns.
const rounds = 2

// work is what is asked of a server.
type work struct {
	name        string
	traffic     trafficMaker
	connections int
	// ofEmpty is the goal of the share of the empty handler's requests, and overSync that of the p50 in milliseconds, beyond one write
	// and fsync. 0 is none.
	ofEmpty, overSync float64
}

// accept measures taking calls that no destination wants: what it costs to keep and to read them.
func accept(works ...work) func(*bench) {
	return func(b *bench) {
		w := startWorld(b, setup{destinations: 1})
		for _, work := range works {
			b.race(work, w.contender(work.name, toNoVendor))
		}
		w.Stop()
	}
}

// acceptTen measures the same where one destination reads the calls, and where ten do.
func acceptTen(b *bench) {
	var contenders []*contender
	for _, n := range []int{1, 10} {
		w := startWorld(b, setup{destinations: n})
		contenders = append(contenders, w.contender(fmt.Sprintf("alias, 256 connections, %d destinations", n), toNoVendor))
	}
	b.race(work{traffic: aliases, connections: 256}, contenders...)
}

// contender is a server that takes calls in turn with others.
type contender struct {
	name         string
	base         *url.URL
	people       *atomic.Int64
	integrations string
	cpu          func() time.Duration
	world        *world // nil where it is no aka of ours
	// sum is what was measured of it, used its processors' time, callBytes about what one of its calls is in the journal.
	sum       harness.Measured
	used      time.Duration
	journal   journaled
	callBytes int
}

func (w *world) contender(name, integrations string) *contender {
	return &contender{name: name, base: w.base, people: &w.People, integrations: integrations, cpu: w.cpu, world: w}
}

// race has the empty handler and the contenders take the same requests in turns, and reports on the contenders.
func (b *bench) race(of work, contenders ...*contender) {
	child := startChild(b, "empty")
	defer child.stop()
	empty := &contender{base: b.parse(child.said), people: &atomic.Int64{}, cpu: child.cpu}
	for range rounds {
		for _, c := range append([]*contender{empty}, contenders...) {
			c.turn(b, of)
		}
	}
	for _, c := range contenders {
		c.report(b, of, empty)
	}
}

// turn is one round of one contender.
func (c *contender) turn(b *bench, of work) {
	l := &harness.Load{Traffic: []harness.Traffic{of.traffic(c.base, c.integrations)}, Connections: of.connections, Next: c.people, Duration: b.duration / rounds}
	c.callBytes = callBytes(l.Traffic[0])
	before, begin := c.journaled(), c.cpu()
	c.world.profiled(c.name, func() {
		m, err := l.Run(b.Context(), c.base.Host)
		if c.world != nil {
			c.world.Must(err)
		}
		harness.Check(b, err)
		c.sum.Join(m)
		if c.world != nil && c.integrations == toNoVendor {
			c.world.untilEnded()
		}
	})
	c.used += c.cpu() - begin
	after := c.journaled()
	c.journal.calls += after.calls - before.calls
	c.journal.frames += after.frames - before.frames
}

// journaled is what went into the journal.
type journaled struct{ calls, frames float64 }

func (c *contender) journaled() (j journaled) {
	if c.world != nil {
		j = journaled{c.world.Metric("aka_journal_calls_total"), c.world.Metric("aka_journal_frames_total")}
	}
	return j
}

func (c *contender) report(b *bench, of work, empty *contender) {
	row := Accept{
		Name: c.name, Requests: c.sum.Rate(), Calls: c.sum.CallRate(), OfEmpty: c.sum.Rate() / empty.sum.Rate(), EmptyRequests: empty.sum.Rate(), Refused: c.sum.Refused,
		P50: ms(c.sum.Quantile(.5)), P99: ms(c.sum.Quantile(.99)), P999: ms(c.sum.Quantile(.999)),
		CPU: per100k(c.used, c.sum.Calls), EmptyCPU: per100k(empty.used, empty.sum.Calls), LoadCPU: per100k(c.sum.CPU, c.sum.Calls),
	}
	if c.world != nil {
		if int(c.journal.calls) != c.sum.Calls {
			b.Errorf("%s: %d calls were answered 200, and %.0f are in the journal", c.name, c.sum.Calls, c.journal.calls)
		}
		row.RSS = c.world.memory().Now >> 20
		row.compareDisk(c, empty)
		row.OfEmptyGoal = b.goal(of.ofEmpty)
		if of.overSync > 0 {
			row.P50Goal = b.goal(row.Sync + of.overSync)
		}
	}
	b.report.Accept = append(b.report.Accept, row)
}

// compareDisk writes frames as large as aka's, for their calls.
func (row *Accept) compareDisk(c, empty *contender) {
	row.CallsPerFrame = c.journal.calls / c.journal.frames
	disk, err := syncFrames(c.world.Dir, int(row.CallsPerFrame)*c.callBytes, c.world.b.duration/4)
	harness.Check(c.world, err)
	row.DiskCalls, row.Sync = disk.Rate()*row.CallsPerFrame, ms(disk.Quantile(.5))
	row.Limit = ms(4*empty.sum.Quantile(.99) + disk.Quantile(.99))
}

// ms shows a time in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// per100k is the seconds that a hundred thousand of them take; 0 where there were none.
func per100k(d time.Duration, n int) float64 {
	if n == 0 {
		return 0
	}
	return d.Seconds() / float64(n) * 100_000
}
