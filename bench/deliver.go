package main

import (
	"fmt"
	"time"

	"aka/e2e/process"
)

// elsewhere numbers people who are of no interest to the sink.
const elsewhere = 500_000_000

// concurrency is the default for each destination.
const concurrency = 16

// deliver measures aliases that go to so many destinations, each taking one call per request. They come faster than they can
// be delivered, in batches. The processors' time is what they take beyond calls that come the same way and go nowhere.
func deliver(destinations int) func(*bench, *Report) error {
	return func(b *bench, r *Report) error {
		w, err := newWorld(b, []int{0}, 0, make([]time.Duration, destinations)...)
		if err != nil {
			return err
		}
		defer w.close()
		if _, err := w.start(); err != nil {
			return err
		}
		name := fmt.Sprintf("alias, %d destinations", destinations)
		calls := max(b.deliveries/destinations/100, 1) * 100
		w.people.Store(elsewhere)
		kept, err := w.flood(aliasBatches(w.base, toNobody), calls)
		if err != nil {
			return err
		}
		w.people.Store(0)
		var sent flood
		err = w.profiled(fmt.Sprintf("deliver-%d", destinations), func() (err error) {
			sent, err = w.flood(aliasBatches(w.base, ""), calls)
			return err
		})
		if err != nil {
			return err
		}
		if err := w.reportDeliver(r, name, kept, sent); err != nil {
			return err
		}
		_, err = w.stop()
		return err
	}
}

// flood is what it took to take calls, and to have them end.
type flood struct {
	accept *measured
	// behind is how many calls had not ended at all destinations when the last was accepted, drain how long they took.
	behind, calls int
	drain         time.Duration
	aka, sink     time.Duration
}

// flood sends so many calls as fast as they are taken, and waits until all have ended.
func (w *world) flood(t traffic, calls int) (f flood, err error) {
	before, err := w.akaCPU()
	if err != nil {
		return f, err
	}
	sinkBefore, err := w.sink.cpu()
	if err != nil {
		return f, err
	}
	l := w.load(t, 8)
	l.most = int64(calls)
	if f.accept, err = l.run(w.b.ctx); err != nil {
		return f, w.explained(err)
	}
	begin := time.Now()
	f.calls = calls
	waiting, err := w.metric("aka_backlog_calls")
	if err != nil {
		return f, err
	}
	f.behind = int(waiting)
	if err := w.untilEnded(); err != nil {
		return f, err
	}
	f.drain = time.Since(begin)
	after, err := w.akaCPU()
	if err != nil {
		return f, err
	}
	sinkAfter, err := w.sink.cpu()
	f.aka, f.sink = after-before, sinkAfter-sinkBefore
	return f, err
}

func (w *world) reportDeliver(r *Report, name string, kept, sent flood) error {
	all, err := w.verify(r, name)
	if err != nil {
		return err
	}
	var exchanges []exchange
	for i, a := range all {
		if a.First == nil {
			return fmt.Errorf("%s got nothing", w.names[i])
		}
		x := *a.First
		x.URI = "/bare" + x.URI
		exchanges = append(exchanges, x)
	}
	deliveries := sent.calls * len(w.names)
	bare, err := w.bareCPU(exchanges, deliveries, min(concurrency*len(w.names), 64))
	if err != nil {
		return err
	}
	memory, err := process.Memory(w.aka.PID())
	if err != nil {
		return err
	}
	r.delivered(Deliver{
		Name: name, Deliveries: deliveries, Rate: float64(sent.behind) / sent.drain.Seconds(), AcceptRate: sent.accept.callRate(),
		CPU: per100k(sent.aka-kept.aka, deliveries), BareCPU: per100k(bare, deliveries),
		OfBare: float64(sent.aka-kept.aka) / float64(bare), KeepCPU: per100k(kept.aka, kept.calls), SinkCPU: per100k(sent.sink, deliveries),
		RSS: memory.Now >> 20,
	})
	return nil
}
