package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"aka/destinations/simulator"
)

// failingScenarios are those of a disk that answers writes or fsyncs with an I/O error, which strace makes of any. The log of
// calls and the records beside it do different things then.
func failingScenarios() []scenario {
	return []scenario{
		{name: "log-failing", does: "writes and fsyncs of the log fail, and succeed again", run: onTracedDisk(logFailing)},
		{name: "log-failing-killed", does: "the same, and aka is killed while they fail", run: onTracedDisk(logFailingKilled)},
		{name: "records-failing", does: "a write or fsync of the records fails, and aka is started again", run: onTracedDisk(recordsFailing)},
	}
}

// failures are the calls to the system that fail, one tracing after the other.
func (h *suite) failures() []string {
	all := []string{"fsync,fdatasync", "write,fsync,fdatasync"}
	if h.short {
		return all
	}
	return slices.Repeat(all, 5)
}

// refusals is how many calls are refused before the log fails no more.
func (h *suite) refusals() int64 {
	if h.short {
		return fewestMet
	}
	return 100
}

// fail makes such calls fail for what is in a part of the journal's folder: its files, those of one kind if that is named, and
// the folder itself, without which no file can be made in it.
func (w *world) fail(calls, inject, part string, kinds ...string) (*tracer, error) {
	folder := filepath.Join(w.journal, part)
	paths := []string{folder}
	for _, kind := range kinds {
		files, err := filepath.Glob(filepath.Join(folder, kind))
		if err != nil {
			return nil, err
		}
		paths = append(paths, files...)
	}
	return w.trace(tracing{calls: calls, inject: inject, paths: paths})
}

// How often they fail: always, or one in so many of a thread's.
const (
	always     = "error=EIO"
	nowAndThen = "error=EIO:when=1+5"
)

func (w *world) failLog(calls, inject string) (*tracer, error) {
	return w.fail(calls, inject, "log", "*.seg")
}

// logFailing makes the log fail under load. Nothing is answered 200 meanwhile, and aka goes on by itself.
func logFailing(w *world, r *Result) error {
	l, err := w.underLoad()
	if err != nil {
		return err
	}
	slowest := time.Duration(0)
	for _, calls := range w.h.failures() {
		took, err := w.logFailsOnce(l, r, calls)
		if err != nil {
			return err
		}
		slowest = max(slowest, took)
	}
	r.measured("when it failed no more, a call was taken after %s at most", slowest.Round(time.Millisecond))
	for _, calls := range w.h.failures() {
		if err := w.logFailsNowAndThen(l, r, calls); err != nil {
			return err
		}
	}
	if err := l.end(w); err != nil {
		return err
	}
	return w.verify(r, l, expectation{})
}

// logFailsNowAndThen makes some writes fail and others not. Each that fails ends a segment of the log.
func (w *world) logFailsNowAndThen(l *load, r *Result, calls string) error {
	t, err := w.failLog(calls, nowAndThen)
	if err != nil {
		return err
	}
	if err := w.until("some writes failed", t.metSome); err != nil {
		return err
	}
	if err := l.untilAcked(w, l.acked.Load()+once/4); err != nil {
		return err
	}
	t.detach()
	r.Runs += int(t.met.Load())
	return nil
}

// metSome tells whether any has failed. Where not all do, the log goes on in a new file, of which strace does not know.
func (t *tracer) metSome() (bool, error) { return t.met.Load() > 0, t.gone() }

// logFailsOnce makes the log fail for a while, and returns how long after that a call is taken.
func (w *world) logFailsOnce(l *load, r *Result, calls string) (took time.Duration, err error) {
	t, err := w.failLog(calls, always)
	if err != nil {
		return 0, err
	}
	if err := w.untilRefused(l, t); err != nil {
		return 0, err
	}
	before, end := l.acked.Load(), time.Now()
	t.detach()
	begin := time.Now()
	r.Runs += int(t.met.Load())
	verifyNoneTaken(r, l.taken(), *t.first.Load(), end)
	if err := l.untilAcked(w, before+1); err != nil {
		return 0, err
	}
	took = time.Since(begin)
	return took, l.untilAcked(w, before+once/2)
}

// untilRefused waits until calls are refused because of what strace does.
func (w *world) untilRefused(l *load, t *tracer) error {
	refused := l.refused.Load()
	return w.until("calls are refused", func() (bool, error) {
		return l.refused.Load() >= refused+w.h.refusals() && t.met.Load() >= fewestMet, t.gone()
	})
}

// verifyNoneTaken checks that nothing that was sent between two times was answered 200 between them.
func verifyNoneTaken(r *Result, acks []ack, begin, end time.Time) {
	for _, a := range acks {
		if a.sent.After(begin) && a.at.Before(end) {
			r.wrong("%s was answered 200 while no write to the log succeeded", a.Place)
		}
	}
}

// logFailingKilled kills aka while its log fails. What it has delivered shortly before is delivered again.
func logFailingKilled(w *world, r *Result) error {
	l, err := w.underLoad()
	if err != nil {
		return err
	}
	stalls := watchStalls(w)
	var ends []time.Time
	for _, inject := range []string{always, nowAndThen} {
		for _, calls := range w.h.failures() {
			if err := w.killWhileLogFails(l, calls, inject); err != nil {
				return err
			}
			ends = append(ends, time.Now().Add(lateReads))
			r.Runs++
			if err := w.goOn(l); err != nil {
				return err
			}
		}
	}
	if err := l.end(w); err != nil {
		return err
	}
	return w.verify(r, l, expectation{crashes: ends, repeatable: saved + 4*stalls()})
}

func (w *world) killWhileLogFails(l *load, calls, inject string) error {
	t, err := w.failLog(calls, inject)
	if err != nil {
		return err
	}
	if inject == always {
		err = w.untilRefused(l, t)
	} else {
		err = w.until("some writes failed", t.metSome)
	}
	if err == nil {
		w.process.Kill()
	}
	return err
}

// goOn starts aka, which has ended, as a supervisor does, and has it take calls.
func (w *world) goOn(l *load) error {
	if _, err := w.start(); err != nil {
		return err
	}
	l.follow(w)
	return l.untilAcked(w, l.acked.Load()+once/2)
}

// recordsFailing makes the records fail under load, while one vendor refuses some calls. Aka ends by itself and is started
// again, without what made them fail.
func recordsFailing(w *world, r *Result) error {
	refused := refusal()
	if err := w.account("vero").AddFaults(refused); err != nil {
		return err
	}
	l, err := w.underLoad()
	if err != nil {
		return err
	}
	stalls := watchStalls(w)
	var ends []time.Time
	longest := time.Duration(0)
	for _, calls := range w.h.failures() {
		dead, err := w.someDead()
		if err != nil {
			return err
		}
		took, err := w.recordsFailOnce(l, r, calls)
		if err != nil {
			return err
		}
		ends, longest = append(ends, time.Now().Add(lateReads)), max(longest, took)
		r.Runs++
		if err := w.goOn(l); err != nil {
			return err
		}
		if err := w.verifyStillDead(r, dead); err != nil {
			return err
		}
	}
	if err := l.end(w); err != nil {
		return err
	}
	r.measured("when its records failed, aka ended after %s at most, with the code 1", longest.Round(time.Millisecond))
	e := expectation{crashes: ends, repeatable: longest + saved + 4*stalls(), faults: []simulator.Fault{refused}, dead: true}
	return w.verify(r, l, e)
}

// failedTimeout is how long aka may go on once its records have failed.
const failedTimeout = 5 * time.Second

// recordsFailOnce makes the records fail until aka has ended, and returns how long that took.
func (w *world) recordsFailOnce(l *load, r *Result, calls string) (took time.Duration, err error) {
	t, err := w.fail(calls, always, "records", "*.log", "MANIFEST-*")
	if err != nil {
		return 0, err
	}
	code, err := w.process.Wait(startTimeout)
	if err != nil {
		return 0, w.process.Explained(err)
	}
	end := time.Now()
	t.detach()
	if t.first.Load() == nil {
		return 0, w.process.Explained(fmt.Errorf("aka ended before its %s failed", calls))
	}
	took = end.Sub(*t.first.Load())
	if code != 1 || took > failedTimeout {
		r.wrong("when its records failed, aka ended after %s with the code %d", took, code)
	}
	verifyToldOnce(r, w.process.Log.String())
	return took, nil
}

// verifyToldOnce checks that a log says once that the records have failed, and what to do.
func verifyToldOnce(r *Result, log string) {
	told := 0
	for text := range strings.Lines(log) {
		var line struct{ Level, Msg, Error, Hint string }
		if json.Unmarshal([]byte(text), &line) != nil || line.Msg != "journal store has failed" {
			continue
		}
		told++
		if line.Level != "error" || line.Error == "" || line.Hint == "" {
			r.wrong("the log does not say what failed and what follows: %s", text)
		}
	}
	if told != 1 {
		r.wrong("the log says %d times that the records have failed: %s", told, log)
	}
}

// someDead waits until there are dead letters, and returns them.
func (w *world) someDead() (map[string]places, error) {
	err := w.until("there are dead letters", func() (bool, error) {
		n, err := w.metric("aka_outcomes_total", of("vero"), `outcome="dead"`)
		return n >= fewestMet, err
	})
	if err != nil {
		return nil, err
	}
	return w.deadLetters()
}

// verifyStillDead checks that dead letters that were there are there still.
func (w *world) verifyStillDead(r *Result, before map[string]places) error {
	now, err := w.deadLetters()
	if err != nil {
		return err
	}
	for name, all := range before {
		for place := range all {
			if !now[name][place] {
				r.Lost++
				r.wrong("%s: the dead letter %s is gone", name, place)
			}
		}
	}
	return nil
}
