package harness

import (
	"context"
	"encoding/json"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/destinations/simulator"
	"aka/router/journal"
)

// Expectation is what a test may do to the deliveries.
type Expectation struct {
	// Crashes are when aka was killed, as Kill and Gone return it, Repeatable how long before it a call may have been delivered, and be again.
	Crashes    []time.Time
	Repeatable time.Duration
	// Restarted says that aka was stopped in order in between: its counters have begun anew.
	Restarted bool
	// AnswerLost names the vendor whose answers were lost. Calls are sent there again.
	AnswerLost string
	// Faults are the vendors' faults. Some of them take a call all the same.
	Faults []simulator.Fault
	// Slow are faults that only delay an answer, which is no reason to send a call again.
	Slow []simulator.Fault
	// Dead says that there may be dead letters.
	Dead bool
}

// Counts are the results of Verify. Lost, Swapped, Repeated and Dead are sums over the vendors.
type Counts struct {
	// Accepted calls were answered 200.
	Accepted int `json:"accepted"`
	// Lost of them were neither delivered nor are dead letters.
	Lost int `json:"lost"`
	// Swapped were delivered out of their person's order.
	Swapped int `json:"swapped"`
	// Repeated were delivered again for a reason: a crash, or an exchange that failed.
	Repeated int `json:"repeated"`
	// Dead are dead letters.
	Dead int `json:"dead"`
}

// Add adds up.
func (c *Counts) Add(other Counts) {
	c.Accepted += other.Accepted
	c.Lost += other.Lost
	c.Swapped += other.Swapped
	c.Repeated += other.Repeated
	c.Dead += other.Dead
}

// Verify waits until everything has ended, stops aka, and compares what the vendors got with what was answered 200.
func (w *World) Verify(l *Load, e Expectation) (c Counts) {
	w.Helper()
	w.UntilAllEnded()
	dead := w.DeadLetters()
	if len(e.Crashes) == 0 && !e.Restarted {
		w.verifyCounters(dead)
	}
	possiblyDelivered := map[string]float64{}
	for _, d := range w.Destinations {
		possiblyDelivered[d.Name] = w.Metric("aka_possibly_delivered_after_crash_total", Of(d.Name))
	}
	w.Stop()
	if odd := l.Unexpected.Load(); odd > 0 {
		w.Errorf("%d requests were answered neither 200 nor 503 with a Retry-After", odd)
	}
	acks := l.Acks()
	c.Accepted = len(acks)
	for _, d := range w.Destinations {
		c.Add(w.verifyVendor(d, acks, dead[d.Name], possiblyDelivered[d.Name], e))
	}
	if c.Dead > 0 && !e.Dead {
		w.Errorf("nothing was refused, and there are %d dead letters", c.Dead)
	}
	w.verifyJournal(acks)
	return c
}

// verifyCounters checks that the counters of the one run agree: accepted = delivered + dropped + dead - withdrawn.
func (w *World) verifyCounters(dead map[string]StepSet) {
	w.Helper()
	accepted := w.Metric("aka_journal_calls_total")
	for _, d := range w.Destinations {
		withdrawn := w.Metric("aka_dead_letters_withdrawn_total", Of(d.Name))
		if ended := w.Metric("aka_outcomes_total", Of(d.Name)) - withdrawn; ended != accepted {
			w.Errorf("%s: %v calls were accepted, and %v delivered, dropped or dead", d.Name, accepted, ended)
		}
		if died := w.Metric("aka_outcomes_total", Of(d.Name), `outcome="dead"`) - withdrawn; int(died) != len(dead[d.Name]) {
			w.Errorf("%s: %v calls ended as dead letters, and %d dead letters are there", d.Name, died, len(dead[d.Name]))
		}
	}
}

// StepSet is some of the workload's calls.
type StepSet map[Step]bool

// DeadLetters returns those that aka lists, by destination.
func (w *World) DeadLetters() map[string]StepSet {
	w.Helper()
	out, err := w.Command("dead", "list", "--limit", "0", "--output", "json", "--admin", w.Process.Admin)
	Check(w, err)
	var list struct {
		DeadLetters []struct {
			Destination string
			MessageID   string `json:"message_id"`
		} `json:"dead_letters"`
	}
	Check(w, json.Unmarshal(out, &list))
	all := map[string]StepSet{}
	for _, deadLetter := range list.DeadLetters {
		step, err := ParseStep(deadLetter.MessageID)
		Check(w, err)
		if all[deadLetter.Destination] == nil {
			all[deadLetter.Destination] = StepSet{}
		}
		all[deadLetter.Destination][step] = true
	}
	return all
}

// Deliveries returns the calls that a simulated vendor took.
func (w *World) Deliveries(name string, e Expectation) []Delivery {
	w.Helper()
	all, err := e.Deliveries(w.Account(name).Exchanges())
	Check(w, err)
	return all
}

// verifyVendor checks what one vendor got.
func (w *World) verifyVendor(d Destination, acks []Ack, dead StepSet, possiblyDelivered float64, e Expectation) (c Counts) {
	w.Helper()
	all := w.Deliveries(d.Name, e)
	expected, people := d.expected(acks, dead)
	c.Dead = len(dead)
	c.Lost = w.VerifyNoneMissing(d.Name, all, expected)
	if !d.NoAlias {
		c.Swapped = w.VerifyOrder(d.Name, all, e.Crashes)
		if graph := w.Account(d.Name).Graph(); len(dead) == 0 && len(graph) != people {
			w.Errorf("to %s they are %d people, not %d", d.Name, len(graph), people)
		}
	}
	if changed := Changed(all); len(changed) > 0 {
		w.Errorf("%s: %d calls were sent in other bytes when they were sent again, such as %s", d.Name, len(changed), changed[0])
	}
	repeated, again := w.VerifyRepeats(d.Name, Repeats(all), e)
	c.Repeated = repeated
	if n := again[len(e.Crashes)]; n > int(possiblyDelivered) {
		w.Errorf("%s: %d calls were delivered again after the last crash, and aka says that only %v were possibly delivered", d.Name, n, possiblyDelivered)
	}
	return c
}

// expected returns the steps that the destination should have got, and the number of people.
func (d Destination) expected(acks []Ack, dead StepSet) (expected []Step, people int) {
	seen := map[int]bool{}
	for _, a := range acks {
		seen[a.Person] = true
		if !dead[a.Step] && !(d.NoAlias && a.Index == Basic.AliasStep()) {
			expected = append(expected, a.Step)
		}
	}
	return expected, len(seen)
}

// VerifyNoneMissing checks that all steps were delivered, and counts those that were not.
func (w *World) VerifyNoneMissing(name string, all []Delivery, expected []Step) int {
	w.Helper()
	lost := Missing(all, expected)
	if len(lost) > 0 {
		w.Errorf("%s: %d calls were answered 200 and lost, such as %s", name, len(lost), lost[0])
	}
	return len(lost)
}

// VerifyOrder checks that nothing was out of order, and counts what was.
func (w *World) VerifyOrder(name string, all []Delivery, ends []time.Time) int {
	w.Helper()
	swaps := Swaps(all, ends)
	if len(swaps) > 0 {
		w.Errorf("%s: %d deliveries were out of order, such as %s after step %d", name, len(swaps), swaps[0].Step, swaps[0].After)
	}
	return len(swaps)
}

// VerifyRepeats checks that each repeat has its reason, and counts them all, and those over a crash by the run that made them.
func (w *World) VerifyRepeats(name string, repeats []Repeat, e Expectation) (all int, perRun map[int]int) {
	w.Helper()
	oldest, most := time.Duration(0), 0
	perRun = map[int]int{}
	for _, again := range repeats {
		run, before := RunOf(again.At, e.Crashes), RunOf(again.Before.At, e.Crashes)
		if run == before {
			if !again.Before.Faulty && e.AnswerLost != name {
				w.Errorf("%s: %s was delivered again without a reason", name, again.Step)
			}
			continue
		}
		perRun[run]++
		most = max(most, perRun[run])
		age := e.Crashes[before].Sub(again.Before.At)
		oldest = max(oldest, age)
		if age > e.Repeatable {
			w.Errorf("%s: %s was delivered %s before a crash and again after it, which is longer than %s", name, again.Step, age, e.Repeatable)
		}
	}
	if len(e.Crashes) > 0 {
		w.Logf("%s: at most %d calls were delivered again after a crash, the oldest of them from %s before it", name, most, oldest.Round(time.Millisecond))
	}
	return len(repeats), perRun
}

// Deliveries returns the calls that the vendor took of some exchanges.
func (e Expectation) Deliveries(exchanges []simulator.Exchange) ([]Delivery, error) {
	for i := range exchanges {
		for _, slow := range e.Slow {
			if x := &exchanges[i]; x.Fault == slow.String() && x.Status != 0 { // it was answered
				x.Fault = ""
			}
		}
	}
	return Deliveries(exchanges, e.wasTaken)
}

// wasTaken reports whether the vendor took what an exchange held, whether it could say so or not.
func (e Expectation) wasTaken(x simulator.Exchange) bool {
	if x.Fault == "" {
		return x.Status >= 200 && x.Status < 300
	}
	for _, f := range e.Faults {
		if f.String() == x.Fault {
			return f.When == simulator.After || f.Status == 0 && !f.Page && !f.Reset && x.Status != 0
		}
	}
	return false
}

// verifyJournal checks that the journal is sound, and holds each call once, however often it was sent. Aka must not run.
func (w *World) verifyJournal(acks []Ack) {
	w.Helper()
	if _, err := w.Command("journal", "check", w.JournalDir); err != nil {
		w.Errorf("the journal is not sound: %v", err)
	}
	times := map[string]int{}
	w.EachEntry(func(_ uint64, entry journal.Entry) { times[entry.MessageID]++ })
	for _, a := range acks {
		if n := times[a.String()]; n != 1 {
			w.Errorf("%s was answered 200, and is in the journal %d times", a.Step, n)
		}
	}
}

// EachEntry reads the journal: each call, with the number of its frame. Aka must not run.
func (w *World) EachEntry(visit func(seq uint64, entry journal.Entry)) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Ctx, 5*time.Minute)
	defer cancel()
	options := journal.DefaultOptions
	options.Dir = w.JournalDir
	log, err := journal.Open(ctx, options, zap.NewNop(), prometheus.NewRegistry())
	Check(w, err)
	defer log.Close()
	_, head := log.Head()
	for reader, seq := log.ReadFrom(1), uint64(1); seq < head.Seq; seq++ {
		frame, err := reader.Next(ctx)
		Check(w, err)
		for _, entry := range frame.Entries {
			visit(frame.Seq, entry)
		}
	}
}
