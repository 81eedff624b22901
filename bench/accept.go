package main

import (
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"aka/e2e/process"
)

// rounds is how often aka and the empty handler take turns.
const rounds = 2

// accept measures taking single calls that no destination wants: what it costs to keep and to read them.
func accept(b *bench, r *Report) error {
	w, err := newWorld(b, []int{0}, 0, 0)
	if err != nil {
		return err
	}
	defer w.close()
	if _, err := w.start(); err != nil {
		return err
	}
	for _, connections := range []int{1, 32, 256} {
		name := fmt.Sprintf("alias, %d connections", connections)
		err := w.compare(r, name, connections, func(base *url.URL) traffic { return aliases(base, toNobody) })
		if err != nil {
			return err
		}
	}
	_, err = w.stop()
	return err
}

// compare measures aka and the empty handler in turns, with the same requests.
func (w *world) compare(r *Report, name string, connections int, makeTraffic func(base *url.URL) traffic) error {
	empty, err := startChild("empty")
	if err != nil {
		return err
	}
	defer empty.stop()
	emptyBase, err := url.Parse(empty.url)
	if err != nil {
		return err
	}
	var nobody atomic.Int64
	turn := w.b.duration / rounds
	ceiling := &load{base: emptyBase, traffic: makeTraffic(emptyBase), connections: connections, people: &nobody, duration: turn}
	own := w.load(makeTraffic(w.base), connections)
	own.duration = turn
	best, got := &measured{}, &measured{}
	before, err := w.usage(empty)
	if err != nil {
		return err
	}
	err = w.profiled(fmt.Sprintf("%s-%d", own.traffic.name, connections), func() error {
		for range rounds {
			for _, one := range []struct {
				load *load
				sum  *measured
			}{{ceiling, best}, {own, got}} {
				m, err := one.load.run(w.b.ctx)
				if err != nil {
					return w.explained(err)
				}
				one.sum.join(m)
			}
		}
		return w.untilEnded()
	})
	if err != nil {
		return err
	}
	after, err := w.usage(empty)
	if err != nil {
		return err
	}
	return w.reportAccept(r, name, got, best, after.minus(before))
}

// usage is what was used until now, by aka and by the empty handler.
type usage struct {
	aka, empty    time.Duration
	calls, frames float64
}

func (w *world) usage(empty *child) (u usage, err error) {
	if u.aka, err = w.akaCPU(); err != nil {
		return u, err
	}
	if u.empty, err = empty.cpu(); err != nil {
		return u, err
	}
	if u.calls, err = w.metric("aka_journal_calls_total"); err != nil {
		return u, err
	}
	u.frames, err = w.metric("aka_journal_frames_total")
	return u, err
}

func (u usage) minus(before usage) usage {
	return usage{u.aka - before.aka, u.empty - before.empty, u.calls - before.calls, u.frames - before.frames}
}

// frameOverhead is about what a frame holds of a call beside its JSON.
const frameOverhead = 100

func (w *world) reportAccept(r *Report, name string, got, best *measured, used usage) error {
	if int(used.calls) != got.calls {
		r.wrong("%s: %d calls were answered 200, and %.0f are in the journal", name, got.calls, used.calls)
	}
	perFrame := used.calls / used.frames
	frame := int(perFrame * (400 + frameOverhead))
	disk, err := syncFrames(w.dir, frame, time.Second)
	if err != nil {
		return err
	}
	memory, err := process.Memory(w.aka.PID())
	if err != nil {
		return err
	}
	r.accepted(Accept{
		Name: name, Requests: got.rate(), Calls: got.callRate(), OfEmpty: got.rate() / best.rate(), Refused: got.refused,
		P50: ms(got.quantile(.5)), P99: ms(got.quantile(.99)), P999: ms(got.quantile(.999)),
		Limit: ms(4*best.quantile(.99) + disk.quantile(.99)),
		CPU:   per100k(used.aka, got.calls), EmptyCPU: per100k(used.empty, best.calls), LoadCPU: per100k(got.cpu, got.calls),
		CallsPerFrame: perFrame, DiskCalls: disk.rate() * perFrame, Sync: ms(disk.quantile(.5)), RSS: memory.Now >> 20,
	})
	return nil
}

// ms shows a time in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// per100k is the seconds that a hundred thousand of them take.
func per100k(d time.Duration, n int) float64 { return d.Seconds() / float64(n) * 100_000 }
