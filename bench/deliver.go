package main

import (
	"fmt"
	"slices"
	"time"

	"aka/e2e/harness"
)

const (
	// elsewhere numbers people who are of no interest to the sink.
	elsewhere = 500_000_000
	// concurrency is a destination's limit where that is fixed, and the bare client's connections for each.
	concurrency = 16
	// floodConnections is as many as batches need to keep aka busy.
	floodConnections = 8
)

// deliver measures calls that come faster than they can be delivered, in batches. The processors' time is what they take beyond
// calls that come the same way and go nowhere.
func deliver(name string, s setup) func(*bench) {
	return func(b *bench) {
		w := startWorld(b, s)
		batches := s.batches()
		calls := max(b.deliveries/s.destinations/batchCalls, 1) * batchCalls
		w.People.Store(elsewhere)
		kept := w.flood(batches(w.base, toNoVendor), calls, 0)
		w.People.Store(0)
		var sent flood
		w.profiled("deliver "+name, func() { sent = w.flood(batches(w.base, ""), calls, calls*s.destinations) })
		w.reportDeliver(name, kept, sent)
		w.Stop()
	}
}

// batches makes the calls of a world.
func (s *setup) batches() trafficMaker {
	switch {
	case s.device:
		return deviceBatches
	case s.mixed:
		return mixedBatches
	case s.workload != "":
		return workloadBatches(workloads[s.workload])
	}
	return aliasBatches
}

// deliverBatches measures tracks of 400 bytes and of a kilobyte to vendors that take many in one request.
func deliverBatches(destinations int) func(*bench) {
	return func(b *bench) {
		for _, size := range []struct{ name, workload string }{{"400 B", "small-tracks"}, {"1 KB", "tracks"}} {
			name := fmt.Sprintf("batches of %s, %d Mixpanel", size.name, destinations)
			deliver(name, setup{destinations: destinations, workload: size.workload, of: &importing})(b)
		}
	}
}

// flood is what it took to take calls, and to have them end.
type flood struct {
	accept *harness.Measured
	// behind is how many deliveries were still to come when the last call was accepted, drain how long they took.
	behind    int
	drain     time.Duration
	aka, sink time.Duration
}

// flood sends so many calls as fast as they are taken, and waits until the sink has got that many deliveries, and all has ended.
func (w *world) flood(t harness.Traffic, calls, deliveries int) (f flood) {
	before, sinkBefore := w.cpu(), w.sink.cpu()
	f.accept = w.fill(t, calls)
	begin := time.Now()
	f.behind = deliveries - w.delivered()
	w.untilDelivered(deliveries)
	f.drain = time.Since(begin)
	w.untilEnded()
	f.aka, f.sink = w.cpu()-before, w.sink.cpu()-sinkBefore
	return f
}

// fill sends so many calls, in batches, as fast as they are taken.
func (w *world) fill(t harness.Traffic, calls int) *harness.Measured {
	return w.run(w.load(t, floodConnections, int64(calls/batchCalls*t.People)))
}

func (w *world) reportDeliver(name string, kept, sent flood) {
	all := w.verify(w.People.Load())
	deliveries := sent.accept.Calls * len(all)
	row := Deliver{
		Name: name, Deliveries: deliveries, Rate: float64(sent.behind) / sent.drain.Seconds(), AcceptRate: sent.accept.CallRate(),
		CPU: per100k(sent.aka-kept.aka, deliveries), KeepCPU: per100k(kept.aka, kept.accept.Calls),
		SinkCPU: per100k(sent.sink, deliveries), RSS: w.memory().Now >> 20,
	}
	if !w.setup.mixed && w.setup.of == nil {
		row.OfBareGoal = w.b.goal(w.setup.ofBare)
		bare := w.runBare(all, deliveries, min(concurrency*len(all), 64))
		row.BareCPU, row.OfBare = per100k(bare.CPU, deliveries), float64(sent.aka-kept.aka)/float64(bare.CPU)
	}
	w.b.report.Deliver = append(w.b.report.Deliver, row)
}

// runBare has another process send what each account got first, so many times in all, over so many connections. It goes to the sink's
// account of the bare client.
func (w *world) runBare(all []accountReport, times, connections int) bareResult {
	job := bareJob{URL: w.sink.said, Times: times, Connections: connections}
	for _, a := range all {
		if a.First == nil {
			w.Fatalf("a destination got nothing")
		}
		a.First.URI = "/" + bareAccount + a.First.URI
		job.Exchanges = append(job.Exchanges, *a.First)
	}
	return job.start(w)
}

// lagConnections is more than wait for an answer at once.
const lagConnections = 64

// lag measures how long a call takes from being accepted to being at a vendor, while so many come a second that all can be
// delivered.
func lag(name string, callsPerSecond int, s setup) func(*bench) {
	return func(b *bench) {
		w := startWorld(b, s)
		w.late(name, callsPerSecond, w.untilEnded)
		w.Stop()
	}
}

// late sends people's calls at a pace, and compares when they were answered with when they were at the vendors.
func (w *world) late(name string, callsPerSecond int, untilEnded func()) {
	every := time.Second * time.Duration(len(mixedKinds)) / time.Duration(callsPerSecond)
	l := w.load(mixed(w.base, ""), lagConnections, int64(max(w.b.duration/every, 2*sampled)))
	l.Every, l.Sample = every, sampled
	m := w.run(l)
	untilEnded()
	for i, a := range w.verify(w.People.Load()) {
		lags := lagsOf(m, a.Stamps)
		row := Lag{Name: name, Destination: w.Destinations[i].Name, Rate: m.CallRate(), P50: ms(lags.Quantile(.5)), P99: ms(lags.Quantile(.99))}
		if i < len(w.setup.shapes) {
			row.Delay = ms(w.setup.shapes[i].latency)
		}
		w.b.report.Lag = append(w.b.report.Lag, row)
	}
}

// lagsOf are the times from the answer to a call to its arrival at a vendor. One may arrive before it is answered.
func lagsOf(m *harness.Measured, arrivals []stamp) *harness.Measured {
	accepted := map[harness.Step]int64{}
	for _, a := range m.Acks {
		accepted[a.Step] = a.At.UnixNano()
	}
	lags := &harness.Measured{}
	for _, s := range arrivals {
		if at, ok := accepted[s.Step]; ok {
			lags.Latencies = append(lags.Latencies, max(0, time.Duration(s.At-at)))
		}
	}
	slices.Sort(lags.Latencies)
	return lags
}
