package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/destinations/simulator"
	"aka/e2e/crowd"
	"aka/router/journal"
)

// expectation is what a scenario may do to the deliveries.
type expectation struct {
	// crashes are when aka was killed, repeatable how long before it a call may have been delivered, and be again.
	crashes    []time.Time
	repeatable time.Duration
	// restarted tells that aka was stopped in order in between: its counters have begun anew.
	restarted bool
	// answerLost names the vendor that was not heard, so that it is told again.
	answerLost string
	// faults are those of the vendors, for what they took all the same.
	faults []simulator.Fault
	// slow are those that only delay an answer: no reason to send anything again.
	slow []simulator.Fault
	// dead tells that there may be dead letters.
	dead bool
}

// verify waits until everything has ended, stops aka, and holds what the vendors got against what was answered 200.
func (w *world) verify(r *Result, l *load, e expectation) error {
	if err := w.untilAllEnded(); err != nil {
		return err
	}
	dead, err := w.deadLetters()
	if err != nil {
		return err
	}
	if len(e.crashes) == 0 && !e.restarted {
		if err := w.verifyAccounts(r, dead); err != nil {
			return err
		}
	}
	inDoubt, err := w.inDoubt()
	if err != nil {
		return err
	}
	if _, err := w.stop(); err != nil {
		return err
	}
	if odd := l.odd.Load(); odd > 0 {
		r.wrong("%d requests were answered neither 200 nor 503 with a Retry-After", odd)
	}
	acks := l.taken()
	r.Accepted += len(acks)
	for _, d := range destinations {
		if err := w.verifyVendor(r, d.name, acks, dead[d.name], inDoubt[d.name], e); err != nil {
			return err
		}
	}
	if r.Dead > 0 && !e.dead {
		r.wrong("nothing was refused, and there are %d dead letters", r.Dead)
	}
	return w.verifyJournal(r, acks)
}

// verifyAccounts checks that the counters of the one run agree: accepted = delivered + dropped + dead.
func (w *world) verifyAccounts(r *Result, dead map[string]places) error {
	accepted, err := w.metric("aka_journal_calls_total")
	if err != nil {
		return err
	}
	for _, d := range destinations {
		ended, err := w.metric("aka_outcomes_total", of(d.name))
		if err != nil {
			return err
		}
		buried, err := w.metric("aka_outcomes_total", of(d.name), `outcome="dead"`)
		if err != nil {
			return err
		}
		if ended != accepted {
			r.wrong("%s: %v calls were accepted, and %v delivered, dropped or dead", d.name, accepted, ended)
		}
		if int(buried) != len(dead[d.name]) {
			r.wrong("%s: %v calls ended as dead letters, and %d dead letters are there", d.name, buried, len(dead[d.name]))
		}
	}
	return nil
}

// places are some of the crowd's calls.
type places map[crowd.Place]bool

// deadLetters are those that aka lists, by destination.
func (w *world) deadLetters() (map[string]places, error) {
	out, err := w.aka("dead", "list", "--limit", "0", "--output", "json", "--admin", w.process.Admin)
	if err != nil {
		return nil, err
	}
	var list struct {
		DeadLetters []struct {
			Destination string
			MessageID   string `json:"message_id"`
		} `json:"dead_letters"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, fmt.Errorf("aka dead list: %w", err)
	}
	all := map[string]places{}
	for _, letter := range list.DeadLetters {
		place, err := crowd.PlaceOf(letter.MessageID)
		if err != nil {
			return nil, err
		}
		if all[letter.Destination] == nil {
			all[letter.Destination] = places{}
		}
		all[letter.Destination][place] = true
	}
	return all, nil
}

// aka runs a command that ends by itself.
func (w *world) aka(args ...string) ([]byte, error) {
	out, err := exec.CommandContext(w.ctx, w.h.binary, args...).Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return out, fmt.Errorf("aka %s: %w\n%s%s", args[0], err, out, failed.Stderr)
	}
	return out, err
}

// verifyVendor checks what one vendor got.
func (w *world) verifyVendor(r *Result, name string, acks []ack, dead places, inDoubt int, e expectation) error {
	all, err := e.deliveries(w.account(name).Exchanges())
	if err != nil {
		return err
	}
	var meant []crowd.Place
	people, unlike := map[int]bool{}, map[int]bool{}
	for _, a := range acks {
		people[a.Person] = true
		if dead[a.Place] {
			unlike[a.Person] = true // what is dead is told when it is replayed, or never
			continue
		}
		meant = append(meant, a.Place)
	}
	r.Dead += len(dead)
	if lost := crowd.Missing(all, meant); len(lost) > 0 {
		r.Lost += len(lost)
		r.wrong("%s: %d calls were answered 200 and lost, such as %s", name, len(lost), lost[0])
	}
	if swaps := crowd.Swaps(all, e.crashes); len(swaps) > 0 {
		r.Swapped += len(swaps)
		r.wrong("%s: %d deliveries were out of order, such as %s after step %d", name, len(swaps), swaps[0].Place, swaps[0].After)
	}
	if changed := crowd.Changed(all); len(changed) > 0 {
		r.wrong("%s: %d calls were sent in other bytes when they were sent again, such as %s", name, len(changed), changed[0])
	}
	if graph := w.account(name).Graph(); len(unlike) == 0 && len(graph) != len(people) {
		r.wrong("to %s they are %d people, not %d", name, len(graph), len(people))
	}
	again := verifyRepeats(r, name, crowd.Repeats(all), e)
	if n := again[len(e.crashes)]; n > inDoubt {
		r.wrong("%s: %d calls were delivered again after the last crash, and aka says that only %d were in doubt", name, n, inDoubt)
	}
	return nil
}

// inDoubt is how many calls the running aka may be delivering again, by destination, as it says itself.
func (w *world) inDoubt() (map[string]int, error) {
	all := map[string]int{}
	for _, d := range destinations {
		n, err := w.metric("aka_delivery_in_doubt_total", of(d.name))
		if err != nil {
			return nil, err
		}
		all[d.name] = int(n)
	}
	return all, nil
}

// verifyRepeats checks that each repeat has its reason, and counts those over a crash by the run that made them.
func verifyRepeats(r *Result, name string, repeats []crowd.Repeat, e expectation) map[int]int {
	oldest, perRun := time.Duration(0), map[int]int{}
	for _, again := range repeats {
		r.Repeated++
		run := crowd.RunOf(again.Before.At, e.crashes)
		if run == crowd.RunOf(again.At, e.crashes) {
			if !again.Before.Faulty && e.answerLost != name {
				r.wrong("%s: %s was delivered again without a reason", name, again.Place)
			}
			continue
		}
		perRun[crowd.RunOf(again.At, e.crashes)]++
		age := e.crashes[run].Sub(again.Before.At)
		if oldest = max(oldest, age); age > e.repeatable {
			r.wrong("%s: %s was delivered %s before a crash and again after it, which is longer than %s", name, again.Place, age, e.repeatable)
		}
	}
	most := 0
	for _, n := range perRun {
		most = max(most, n)
	}
	if len(e.crashes) > 0 {
		r.measured("%s: at most %d calls were delivered again after a crash, the oldest of them from %s before it", name, most, oldest.Round(time.Millisecond))
	}
	return perRun
}

// deliveries are what the vendor took.
func (e expectation) deliveries(exchanges []simulator.Exchange) ([]crowd.Delivery, error) {
	for i := range exchanges {
		for _, slow := range e.slow {
			if x := &exchanges[i]; x.Fault == slow.String() && x.Status != 0 { // it was answered
				x.Fault = ""
			}
		}
	}
	return crowd.Deliveries(exchanges, e.wasTaken)
}

// wasTaken tells whether the vendor took what an exchange held, whether it could say so or not.
func (e expectation) wasTaken(x simulator.Exchange) bool {
	if x.Fault == "" {
		return x.Status >= 200 && x.Status < 300
	}
	for _, f := range e.faults {
		if f.String() == x.Fault {
			return f.When == simulator.After || f.Status == 0 && !f.Page && !f.Reset && x.Status != 0
		}
	}
	return false
}

// verifyJournal checks that the journal is sound, and holds each call once, however often it was sent. Nothing runs.
func (w *world) verifyJournal(r *Result, acks []ack) error {
	if _, err := w.aka("journal", "check", w.journal); err != nil {
		r.wrong("the journal is not sound: %v", err)
	}
	times, err := w.journaled()
	if err != nil {
		return err
	}
	for _, a := range acks {
		switch times[a.String()] {
		case 1:
		case 0:
			r.wrong("%s was answered 200, and is not in the journal", a.Place)
		default:
			r.wrong("%s is in the journal %d times", a.Place, times[a.String()])
		}
	}
	return nil
}

// journaled counts the calls in the journal by their messageId.
func (w *world) journaled() (map[string]int, error) {
	times := map[string]int{}
	return times, w.eachCall(func(_ uint64, messageID string) error {
		times[messageID]++
		return nil
	})
}

// eachCall reads the journal, on which nothing runs.
func (w *world) eachCall(visit func(seq uint64, messageID string) error) error {
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	options := journal.DefaultOptions
	options.Dir = w.journal
	log, err := journal.Open(ctx, options, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer log.Close()
	_, head := log.Head()
	for reader, seq := log.ReadFrom(1), uint64(1); seq < head.Seq; seq++ {
		frame, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		for _, entry := range frame.Entries {
			if err := visit(frame.Seq, entry.MessageID); err != nil {
				return err
			}
		}
	}
	return nil
}
