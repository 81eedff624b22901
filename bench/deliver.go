package main

import (
	"errors"
	"time"

	"aka/e2e/crowd"
	"aka/e2e/harness"
)

const (
	// elsewhere numbers people who are of no interest to the sink.
	elsewhere = 500_000_000
	// concurrency is each destination's default.
	concurrency = 16
	// floodConnections is as many as batches need to keep aka busy.
	floodConnections = 8
)

// deliver measures calls that come faster than they can be delivered, in batches. The processors' time is what they take beyond
// calls that come the same way and go nowhere.
func deliver(name string, s setup) func(*bench, *Report) error {
	return func(b *bench, r *Report) error {
		w, err := startWorld(b, s)
		if err != nil {
			return err
		}
		defer w.close()
		batches := aliasBatches
		if s.mixed {
			batches = mixedBatches
		}
		calls := max(b.deliveries/s.destinations/batchCalls, 1) * batchCalls
		w.people.Store(elsewhere)
		kept, err := w.flood(batches(w.base, toNobody), calls, 0)
		if err != nil {
			return err
		}
		w.people.Store(0)
		var sent flood
		err = w.profiled("deliver "+name, func() (err error) {
			sent, err = w.flood(batches(w.base, ""), calls, calls*s.destinations)
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
	// behind is how many deliveries were still to come when the last call was accepted, drain how long they took.
	behind    int
	drain     time.Duration
	aka, sink time.Duration
}

// flood sends so many calls as fast as they are taken, and waits until the sink has got that many deliveries, and all has ended.
func (w *world) flood(t traffic, calls, deliveries int) (f flood, err error) {
	before, err := w.akaCPU()
	if err != nil {
		return f, err
	}
	sinkBefore, err := w.sink.cpu()
	if err != nil {
		return f, err
	}
	if f.accept, err = w.fill(t, calls); err != nil {
		return f, err
	}
	begin := time.Now()
	got, err := w.delivered()
	if err != nil {
		return f, err
	}
	f.behind = deliveries - got
	err = w.until("everything is delivered", func() (bool, error) {
		got, err := w.delivered()
		return got >= deliveries, err
	})
	if err != nil {
		return f, err
	}
	f.drain = time.Since(begin)
	if err := w.untilEnded(); err != nil {
		return f, err
	}
	after, err := w.akaCPU()
	if err != nil {
		return f, err
	}
	sinkAfter, err := w.sink.cpu()
	f.aka, f.sink = after-before, sinkAfter-sinkBefore
	return f, err
}

// fill sends so many calls, in batches, as fast as they are taken.
func (w *world) fill(t traffic, calls int) (*measured, error) {
	l := w.load(t, floodConnections)
	l.most = int64(calls / batchCalls * t.people)
	m, err := l.run(w.b.ctx)
	return m, w.aka.Explained(err)
}

func (w *world) reportDeliver(r *Report, name string, kept, sent flood) error {
	all, err := w.verify(r, name, w.people.Load())
	if err != nil {
		return err
	}
	deliveries := sent.accept.calls * len(w.names)
	memory, err := harness.Memory(w.aka.PID())
	if err != nil {
		return err
	}
	row := Deliver{
		Name: name, Deliveries: deliveries, Rate: float64(sent.behind) / sent.drain.Seconds(), AcceptRate: sent.accept.callRate(),
		CPU: per100k(sent.aka-kept.aka, deliveries), KeepCPU: per100k(kept.aka, kept.accept.calls),
		SinkCPU: per100k(sent.sink, deliveries), RSS: memory.Now >> 20,
	}
	if !w.setup.mixed {
		bare, err := w.bareCPU(all, deliveries)
		if err != nil {
			return err
		}
		row.BareCPU, row.OfBare = per100k(bare, deliveries), float64(sent.aka-kept.aka)/float64(bare)
	}
	r.Deliver = append(r.Deliver, row)
	return nil
}

var errNothing = errors.New("a destination got nothing")

// bareCPU has another process send what each account got first, so many times in all, and returns what that took of the
// processors. It goes to the sink's account "bare".
func (w *world) bareCPU(all []accountReport, times int) (time.Duration, error) {
	job := bareJob{URL: w.sink.said, Times: times, Connections: min(concurrency*len(all), 64)}
	for _, a := range all {
		if a.First == nil {
			return 0, errNothing
		}
		a.First.URI = "/bare" + a.First.URI
		job.Exchanges = append(job.Exchanges, *a.First)
	}
	return job.start(w.dir)
}

// lagConnections is more than wait for an answer at once.
const lagConnections = 64

// lag measures how long a call takes from being accepted to being at a vendor, while so many come a second that all can be
// delivered.
func lag(name string, callsPerSecond int, s setup) func(*bench, *Report) error {
	return func(b *bench, r *Report) error {
		w, err := startWorld(b, s)
		if err != nil {
			return err
		}
		defer w.close()
		if err := w.late(r, name, callsPerSecond, w.untilEnded); err != nil {
			return err
		}
		_, err = w.stop()
		return err
	}
}

// late sends people's stories at a pace, and compares when calls were answered with when they were at the vendors.
func (w *world) late(r *Report, name string, callsPerSecond int, untilEnded func() error) error {
	l := w.load(mixed(w.base, ""), lagConnections)
	l.every = time.Second * time.Duration(len(story)) / time.Duration(callsPerSecond)
	l.most = int64(max(w.b.duration/l.every, 2*sampled))
	m, err := l.run(w.b.ctx)
	if err != nil {
		return w.aka.Explained(err)
	}
	if err := untilEnded(); err != nil {
		return err
	}
	all, err := w.verify(r, name, w.people.Load())
	for i, a := range all {
		lags := lagsOf(m, a.Stamps)
		row := Lag{Name: name, Destination: w.names[i], Rate: m.callRate(), P50: ms(lags.quantile(.5)), P99: ms(lags.quantile(.99))}
		if i < len(w.setup.delays) {
			row.Delay = ms(w.setup.delays[i])
		}
		r.Lag = append(r.Lag, row)
	}
	return err
}

// lagsOf are the times from the answer to a call to its arrival at a vendor. One may arrive before it is answered.
func lagsOf(m *measured, arrivals []stamp) *measured {
	accepted := map[crowd.Place]int64{}
	for _, s := range m.stamps {
		accepted[s.Place] = s.At
	}
	lags := &measured{}
	for _, s := range arrivals {
		if at, ok := accepted[s.Place]; ok {
			lags.latencies = append(lags.latencies, max(0, time.Duration(s.At-at)))
		}
	}
	lags.join(&measured{})
	return lags
}
