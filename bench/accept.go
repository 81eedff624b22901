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
}

// accept measures taking calls that no destination wants: what it costs to keep and to read them.
func accept(works ...work) func(*bench, *Report) error {
	return func(b *bench, r *Report) error {
		w, err := startWorld(b, setup{destinations: 1})
		if err != nil {
			return err
		}
		defer w.close()
		for _, work := range works {
			if err := b.race(r, work, w.contender(work.name, toNobody)); err != nil {
				return err
			}
		}
		_, err = w.stop()
		return err
	}
}

// acceptTen measures the same where one destination reads the calls, and where ten do.
func acceptTen(b *bench, r *Report) error {
	var contenders []*contender
	for _, n := range []int{1, 10} {
		w, err := startWorld(b, setup{destinations: n})
		if err != nil {
			return err
		}
		defer w.close()
		contenders = append(contenders, w.contender(fmt.Sprintf("alias, 256 connections, %d destinations", n), toNobody))
	}
	return b.race(r, work{"", aliases, 256}, contenders...)
}

// contender is a server that takes calls in turn with others.
type contender struct {
	name         string
	base         *url.URL
	people       *atomic.Int64
	integrations string
	cpu          func() (time.Duration, error)
	world        *world // nil where it is no aka of ours
	// sum is what was measured of it, used its processors' time, callBytes about what one of its calls is in the journal.
	sum       measured
	used      time.Duration
	journal   journaled
	callBytes int
}

func (w *world) contender(name, integrations string) *contender {
	return &contender{name: name, base: w.base, people: &w.people, integrations: integrations, cpu: w.akaCPU, world: w}
}

// race has the empty handler and the contenders take the same requests in turns, and reports on the contenders.
func (b *bench) race(r *Report, of work, contenders ...*contender) error {
	child, err := startChild("empty")
	if err != nil {
		return err
	}
	defer child.stop()
	base, err := url.Parse(child.said)
	if err != nil {
		return err
	}
	empty := &contender{base: base, people: &atomic.Int64{}, cpu: child.cpu}
	for range rounds {
		for _, c := range append([]*contender{empty}, contenders...) {
			if err := c.turn(b, of); err != nil {
				return err
			}
		}
	}
	for _, c := range contenders {
		if err := c.report(b, r, empty); err != nil {
			return err
		}
	}
	return nil
}

// turn is one round of one contender.
func (c *contender) turn(b *bench, of work) error {
	l := &load{base: c.base, traffic: of.traffic(c.base, c.integrations), connections: of.connections, people: c.people}
	l.duration = b.duration / rounds
	c.callBytes = l.traffic.callBytes()
	journaled, err := c.journaled()
	if err != nil {
		return err
	}
	begin, err := c.cpu()
	if err != nil {
		return err
	}
	err = c.world.profiled(c.name, func() error {
		m, err := l.run(b.ctx)
		if err != nil {
			return c.explained(err)
		}
		c.sum.join(m)
		if c.world == nil || c.integrations != toNobody {
			return nil
		}
		return c.world.untilEnded()
	})
	if err != nil {
		return err
	}
	end, err := c.cpu()
	if err != nil {
		return err
	}
	after, err := c.journaled()
	c.used += end - begin
	c.journal.calls += after.calls - journaled.calls
	c.journal.frames += after.frames - journaled.frames
	return err
}

// explained adds the end of aka's log to an error.
func (c *contender) explained(err error) error {
	if c.world == nil {
		return err
	}
	return c.world.aka.Explained(err)
}

// journaled is what went into the journal.
type journaled struct{ calls, frames float64 }

func (c *contender) journaled() (j journaled, err error) {
	if c.world == nil {
		return j, nil
	}
	if j.calls, err = c.world.metric("aka_journal_calls_total"); err != nil {
		return j, err
	}
	j.frames, err = c.world.metric("aka_journal_frames_total")
	return j, err
}

func (c *contender) report(b *bench, r *Report, empty *contender) error {
	row := Accept{
		Name: c.name, Requests: c.sum.rate(), Calls: c.sum.callRate(), OfEmpty: c.sum.rate() / empty.sum.rate(), EmptyRequests: empty.sum.rate(), Refused: c.sum.refused,
		P50: ms(c.sum.quantile(.5)), P99: ms(c.sum.quantile(.99)), P999: ms(c.sum.quantile(.999)),
		CPU: per100k(c.used, c.sum.calls), EmptyCPU: per100k(empty.used, empty.sum.calls), LoadCPU: per100k(c.sum.cpu, c.sum.calls),
	}
	defer func() { r.Accept = append(r.Accept, row) }()
	if c.world == nil {
		return nil
	}
	if int(c.journal.calls) != c.sum.calls {
		r.wrong("%s: %d calls were answered 200, and %.0f are in the journal", c.name, c.sum.calls, c.journal.calls)
	}
	memory, err := harness.Memory(c.world.aka.PID())
	if err != nil {
		return err
	}
	row.RSS = memory.Now >> 20
	return row.compareDisk(c, empty)
}

// compareDisk writes frames as large as aka's, for their calls.
func (row *Accept) compareDisk(c, empty *contender) error {
	row.CallsPerFrame = c.journal.calls / c.journal.frames
	disk, err := syncFrames(c.world.dir, int(row.CallsPerFrame)*c.callBytes, c.world.b.duration/4)
	if err != nil {
		return err
	}
	row.DiskCalls, row.Sync = disk.rate()*row.CallsPerFrame, ms(disk.quantile(.5))
	row.Limit = ms(4*empty.sum.quantile(.99) + disk.quantile(.99))
	return nil
}

// ms shows a time in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// per100k is the seconds that a hundred thousand of them take.
func per100k(d time.Duration, n int) float64 { return d.Seconds() / float64(n) * 100_000 }
