package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"aka/e2e/harness"
)

const (
	// othersRate is how many calls a second come of people who do not fail: what two cores carry beside everything else.
	othersRate = 500
	// othersTimeout bounds the wait for others' calls before the vendor recovers.
	othersTimeout = 30 * time.Second
	// blockedDelivery has a failing call tried often, so that its vendor's recovery is soon noticed.
	blockedDelivery = "retry: { initial: 500ms, max: 2s }"
)

// failingPeople are people whose calls the vendor answers 503.
type failingPeople struct {
	people, calls int
	// apart is the time between two people's first calls; 0 has all calls come in one batch.
	apart time.Duration
}

var (
	withoutFailures = func(*bench) failingPeople { return failingPeople{} }
	// onePerson has one call that fails, and a twentieth of the backlog behind it.
	onePerson = func(b *bench) failingPeople {
		return failingPeople{people: 1, calls: b.calls/20/batchCalls*batchCalls + 1}
	}
	thirtyPeople = func(b *bench) failingPeople { return failingPeople{30, 7, othersTime(b) / 2 / 30} }
	thirtyAtOnce = func(*bench) failingPeople { return failingPeople{people: 30, calls: 7} }
)

// blocked measures how other people's calls come through while some people's fail, and how these are delivered once the vendor
// takes them. The vendor is one that gets each person's calls one at a time.
func blocked(window int, failing func(*bench) failingPeople) func(*bench) {
	return func(b *bench) {
		f := failing(b)
		w := startWorld(b, setup{destinations: 1, mixed: true, chain: max(f.calls, 1), delivery: fmt.Sprintf("window: %d, %s", window, blockedDelivery)})
		row := Blocked{Name: f.String(), Window: window}
		var m *harness.Measured
		var begin time.Time
		before := w.written()
		w.profiled(fmt.Sprintf("blocked %s, window %d", row.Name, window), func() { m, begin = w.besideFailing(f) })
		row.Parked, row.IDs = int(w.Metric("aka_parked_calls")), int(w.Metric("aka_blocked_ids"))
		w.untilOthersDelivered(m.Calls)
		row.Written, row.RSS = w.written()-before, w.memory().Now>>20
		w.recover(f, &row)
		row.others(m, w.verify(w.People.Load())[0].Stamps, begin)
		b.report.Blocked = append(b.report.Blocked, row)
		w.Stop()
	}
}

func (f failingPeople) String() string {
	switch f.people {
	case 0:
		return "no one fails"
	case 1:
		return fmt.Sprintf("1 person, %d calls behind", f.calls-1)
	}
	if f.apart == 0 {
		return fmt.Sprintf("%d people, %d calls each, at once", f.people, f.calls)
	}
	return fmt.Sprintf("%d people, %d calls each", f.people, f.calls)
}

// besideFailing sends the failing people's calls, and others' at their pace from the same moment on.
func (w *world) besideFailing(f failingPeople) (others *harness.Measured, begin time.Time) {
	every := time.Second * time.Duration(len(mixedKinds)) / othersRate
	l := w.load(mixed(w.base, ""), lagConnections, int64(max(othersTime(w.b)/every, 1)))
	l.Every, l.Sample = every, 1
	begin = time.Now()
	harness.Check(w, l.Start(w.Ctx, w.base.Host))
	w.sendFailing(f)
	others, err := l.Wait()
	w.Must(err)
	return others, begin
}

// othersTime is how long others' calls come.
func othersTime(b *bench) time.Duration { return b.duration * 5 / 2 }

// sendFailing sends each failing person's calls in order.
func (w *world) sendFailing(f failingPeople) {
	next := new(atomic.Int64)
	next.Store(failing)
	send := func(calls, connections int, batches ...harness.Traffic) {
		w.run(&harness.Load{Traffic: batches, Connections: connections, Every: f.apart, Next: next, MaxPeople: int64(calls)})
	}
	switch {
	case f.people == 1:
		send(1, 1, chainBatches(w.base, "failing", 0, f.calls, 1))
		send(f.calls-1, 1, chainBatches(w.base, "failing", 0, f.calls, batchCalls))
	case f.apart > 0:
		var each []harness.Traffic
		for person := range f.people {
			each = append(each, chainBatches(w.base, "failing", person, f.calls, f.calls))
		}
		send(f.people*f.calls, f.people, each...)
	case f.people > 0:
		send(f.people*f.calls, 1, chainBatches(w.base, "failing", 0, f.calls, f.people*f.calls))
	}
}

// untilOthersDelivered waits until all calls of others are at the vendor, or for long enough.
func (w *world) untilOthersDelivered(calls int) {
	end := time.Now()
	w.Until("others' calls are delivered", func() bool { return w.delivered() >= calls || time.Since(end) > othersTimeout })
}

// recover has the vendor take everything, and waits until it has.
func (w *world) recover(f failingPeople, row *Blocked) {
	written, end, begin := w.written(), time.Now(), time.Time{}
	_, err := fetch(w.Ctx, w.sink.said+"/recover")
	harness.Check(w, err)
	all, counts := f.people*f.calls, chainCounts{}
	w.Until("failing people's calls are delivered", func() bool {
		counts = w.ask(w.Destinations[0].Name, 0).Failing
		if begin.IsZero() && counts.Delivered > 0 {
			begin = time.Now()
		}
		return counts.Delivered >= all
	})
	if all > 0 {
		row.First, row.Drain, row.DrainWritten = begin.Sub(end).Seconds(), time.Since(begin).Seconds(), w.written()-written
	}
	w.untilEnded()
	counts = w.ask(w.Destinations[0].Name, 0).Failing
	w.b.report.Swapped += counts.Swapped
	w.b.report.Repeated += counts.Repeated
	if counts != (chainCounts{Delivered: all}) {
		w.Errorf("of %d calls of failing people %d were delivered, %d out of order, %d delivered twice", all, counts.Delivered, counts.Swapped, counts.Repeated)
	}
	row.PeakRSS = w.memory().Highest >> 20
}

// others compares what came of others' calls with when they were accepted, second by second.
func (row *Blocked) others(m *harness.Measured, stamps []stamp, begin time.Time) {
	lags := lagsOf(m, stamps)
	row.P50, row.P99 = ms(lags.Quantile(.5)), ms(lags.Quantile(.99))
	accepted, delivered := make([]int, int(m.Took.Seconds())), make([]int, int(m.Took.Seconds()))
	inTime := 0
	for _, a := range m.Acks {
		count(accepted, a.At.Sub(begin))
	}
	for _, s := range stamps {
		at := time.Duration(s.At - begin.UnixNano())
		count(delivered, at)
		if at < m.Took {
			inTime++
		}
	}
	row.Accepted, row.Delivered, row.Worst = m.CallRate(), float64(inTime)/m.Took.Seconds(), 1
	row.Share = row.Delivered / row.Accepted
	for i, n := range accepted {
		row.Worst = min(row.Worst, float64(delivered[i])/float64(max(n, 1)))
	}
}

// count counts what was after so much time, in its second.
func count(seconds []int, after time.Duration) {
	if i := int(after / time.Second); after >= 0 && i < len(seconds) {
		seconds[i]++
	}
}
