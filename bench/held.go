package main

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"aka/e2e/harness"
	"aka/router/admin"
)

// heldPeople are people whose alias the rule known_users holds, and calls that wait behind it.
type heldPeople struct {
	people, calls int // of each
	// mayLeave has them delivered for so long only as a backlog is.
	mayLeave bool
	// memory is the goal of the memory in MiB, 0 for none.
	memory float64
	// maxCalls is max_calls of the quarantine, 0 for the default.
	maxCalls int
}

var (
	noneHeld     = func(*bench) heldPeople { return heldPeople{} }
	oneHeld      = func(b *bench) heldPeople { return heldPeople{people: 1, calls: wholeBatches(b.calls / 20)} }
	oneHeldLarge = func(b *bench) heldPeople {
		return heldPeople{people: 1, calls: wholeBatches(b.calls), mayLeave: true, memory: b.goalBehind(b.calls)}
	}
	manyHeld = func(b *bench) heldPeople { return heldPeople{people: max(b.calls/100, 10), calls: manyBehind} }
	// heldOverBound has twice as many calls as may wait.
	heldOverBound = func(b *bench) heldPeople {
		each := wholeBatches(b.calls / 20 / 50)
		return heldPeople{people: 50, calls: each, maxCalls: max(25*each, minMaxCalls)}
	}
)

const (
	// manyBehind is how many calls wait behind each of many held aliases.
	manyBehind = 4
	// minMaxCalls is the least that the config allows.
	minMaxCalls = 1000
)

func wholeBatches(calls int) int { return max(calls/batchCalls, 1) * batchCalls }

func (h heldPeople) String() string {
	switch {
	case h.people == 0:
		return "no alias is held"
	case h.maxCalls > 0:
		return fmt.Sprintf("%d held, %d calls behind each, max_calls %d", h.people, h.calls, h.maxCalls)
	}
	return fmt.Sprintf("%d held, %d calls behind each", h.people, h.calls)
}

// held measures how other people's calls come through while aliases are held, with calls behind them, and how these are delivered
// once the aliases are refused.
func held(of func(*bench) heldPeople) func(*bench) {
	return func(b *bench) {
		h := of(b)
		more := "merges: { new_user_grace: 0s }"
		if h.maxCalls > 0 {
			more = fmt.Sprintf("merges: { new_user_grace: 0s, quarantine: { max_calls: %d } }", h.maxCalls)
		}
		w := startWorld(b, setup{destinations: 1, mixed: true, chain: max(h.calls, 1), more: more})
		row := Blocked{Name: h.String(), Window: defaultWindow, RSSGoal: h.memory}
		_, err := fetch(w.Ctx, w.sink.said+"/recover") // it refuses nothing
		harness.Check(w, err)
		w.introduce(h)
		var m *harness.Measured
		var begin time.Time
		before := w.written()
		w.profiled("held "+row.Name, func() { m, begin = w.besideHeld(h) })
		row.Parked, row.IDs = int(w.Metric("aka_parked_calls")), int(w.Metric("aka_blocked_ids"))
		w.checkHeld(h)
		w.untilOthersDelivered(m.Calls)
		row.Written, row.RSS = w.written()-before, w.memory().Now>>20
		w.profiled("refused "+row.Name, func() { w.refuse(h, &row) })
		row.others(m, w.verify(w.People.Load())[0].Stamps, begin)
		b.report.Blocked = append(b.report.Blocked, row)
		w.Stop()
	}
}

// defaultWindow is the config's.
const defaultWindow = 10_000

// stranger marks calls that the sink keeps no count of.
const stranger = "~500000000-0~"

// introduce has both ids of each person known as users.
func (w *world) introduce(h heldPeople) {
	if h.people == 0 {
		return
	}
	w.heldBatches(h.people, 2, func(n, step int) string {
		return fmt.Sprintf(`{"type":"identify","messageId":"introduced-%d-%d","userId":"%s-%d","traits":{"step":"%s"}}`, n, step, []string{"gone", "kept"}[step], n, stranger)
	})
	w.untilEnded()
}

// alias has one alias held for each person.
func (w *world) alias(h heldPeople) {
	w.heldBatches(h.people, 1, func(n, _ int) string {
		return fmt.Sprintf(`{"type":"alias","messageId":"held-%d","previousId":"gone-%d","userId":"kept-%d"}`, n, n, n)
	})
}

// heldBatches sends calls of all held people, in batches.
func (w *world) heldBatches(people, steps int, call func(person, step int) string) {
	each := batchCalls / steps
	for first := 0; first < people; first += each {
		w.post(min(each, people-first)*steps, func(i int) string { return call(first+i/steps, i%steps) })
	}
}

// post sends calls in one batch.
func (w *world) post(calls int, call func(i int) string) {
	t := (&harness.Workload{Kinds: []string{"identify"}, Ranks: []int{0}, Call: func(i, _ int) string { return call(i) }}).Batches(w.base, calls)
	w.run(&harness.Load{Traffic: []harness.Traffic{t}, Connections: 1, Next: new(atomic.Int64), MaxPeople: int64(calls)})
}

// besideHeld has aliases held and calls come behind them, and others' calls at their pace from the same moment on until these have
// come, and for their time at least.
func (w *world) besideHeld(h heldPeople) (others *harness.Measured, begin time.Time) {
	l := w.load(mixed(w.base, ""), lagConnections, 0)
	l.Every, l.Sample = time.Second*time.Duration(len(mixedKinds))/othersRate, 1
	begin = time.Now()
	harness.Check(w, l.Start(w.Ctx, w.base.Host))
	w.alias(h)
	w.Until("aliases are held", func() bool { return int(w.Metric("aka_merges_held")) >= h.people })
	w.sendBehind(h)
	time.Sleep(time.Until(begin.Add(othersTime(w.b))))
	l.Finish()
	others, err := l.Wait()
	w.Must(err)
	return others, begin
}

// sendBehind sends the calls behind held aliases: all of one person before those of the next.
func (w *world) sendBehind(h heldPeople) {
	next := new(atomic.Int64)
	next.Store(failing)
	people := max(batchCalls/max(h.calls, 1), 1) // in a batch
	for first := 0; first < h.people; first += people {
		calls := min(people, h.people-first) * h.calls
		t := chainBatches(w.base, "kept", first, h.calls, min(batchCalls, calls))
		w.run(&harness.Load{Traffic: []harness.Traffic{t}, Connections: 1, Next: next, MaxPeople: int64(calls)})
	}
}

// checkHeld checks which aliases are held: all, or so many of the newest that no more calls wait behind them than may.
func (w *world) checkHeld(h heldPeople) {
	if h.maxCalls == 0 {
		if n := int(w.Metric("aka_merges_held")); n != h.people {
			w.Errorf("%d aliases are held, not %d", n, h.people)
		}
		return
	}
	w.Until("the bound is kept", func() bool { return int(w.Metric("aka_merges_held"))*h.calls <= h.maxCalls })
	var list admin.HeldList
	text, err := w.Command("merges", "list", "--held", "--limit", "1000", "-o", "json", "--admin", w.Process.Admin)
	harness.Check(w, err)
	harness.Check(w, json.Unmarshal(text, &list))
	numbers := map[string]bool{}
	for _, held := range list.Held {
		numbers[held.MessageID] = true
	}
	for person := range h.people {
		if newest := person >= h.people-len(list.Held); numbers[fmt.Sprintf("held-%d", person)] != newest {
			w.Errorf("of %d held aliases number %d is held: %v", len(list.Held), person, !newest)
		}
	}
	if len(list.Held) == 0 || (len(list.Held)+2)*h.calls < h.maxCalls {
		w.Errorf("%d aliases are held, of %d calls each, where %d may wait", len(list.Held), h.calls, h.maxCalls)
	}
}

// refuse refuses what is held, and waits until what has waited is delivered.
func (w *world) refuse(h heldPeople, row *Blocked) {
	written, end, begin := w.written(), time.Now(), time.Time{}
	before := w.ask(w.Destinations[0].Name, 0).Failing.Delivered
	if h.people > 0 {
		_, err := w.Command("merges", "refuse", "--all", "--admin", w.Process.Admin)
		harness.Check(w, err)
	}
	all, counts := h.people*h.calls, chainCounts{}
	w.Until("what waited is delivered", func() bool {
		counts = w.ask(w.Destinations[0].Name, 0).Failing
		if begin.IsZero() && counts.Delivered > before {
			begin = time.Now()
		}
		return counts.Delivered >= all || h.mayLeave && w.b.drain > 0 && time.Since(end) > w.b.drain
	})
	if all > before {
		row.First, row.Drain, row.DrainWritten = begin.Sub(end).Seconds(), time.Since(begin).Seconds(), w.written()-written
	}
	row.Left = all - counts.Delivered
	if row.Left == 0 {
		w.untilEnded()
	}
	counts = w.ask(w.Destinations[0].Name, 0).Failing
	w.b.report.Swapped += counts.Swapped
	w.b.report.Repeated += counts.Repeated
	if counts.Swapped+counts.Repeated > 0 || row.Left == 0 && counts.Delivered != all {
		w.Errorf("of %d calls behind held aliases %d were delivered, %d out of order, %d delivered twice", all, counts.Delivered, counts.Swapped, counts.Repeated)
	}
	row.PeakRSS = w.memory().Highest >> 20
}
