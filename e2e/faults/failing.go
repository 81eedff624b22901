package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// failingScenarios are those of a disk that answers writes or fsyncs with an I/O error, which strace makes of any. The log of
// calls and the records beside it do different things then.
var failingScenarios = []scenario{
	{Name: "log-failing", Does: "writes and fsyncs of the log fail, and succeed again", Run: onTracedDisk(logFailing)},
	{Name: "log-failing-killed", Does: "the same, and aka is killed while they fail", Run: onTracedDisk(logFailingKilled)},
	{Name: "records-failing", Does: "a write or fsync of the records fails, and aka is started again", Run: onTracedDisk(recordsFailing)},
}

// failures are the calls to the system that fail, one tracing after the other.
func (t *trial) failures() []string {
	all := []string{"fsync,fdatasync", "write,fsync,fdatasync"}
	if t.Short {
		return all
	}
	return slices.Repeat(all, 5)
}

// refusals is how many calls are refused before the log stops failing.
func (t *trial) refusals() int64 {
	if t.Short {
		return fewestMet
	}
	return 100
}

// fail makes such calls fail for what is in a part of the journal's folder: its files, those of one kind if that is named, and
// the folder itself, without which no file can be made in it.
func (w *world) fail(calls, inject, part string, kinds ...string) *tracer {
	folder := filepath.Join(w.JournalDir, part)
	paths := []string{folder}
	for _, kind := range kinds {
		files, err := filepath.Glob(filepath.Join(folder, kind))
		harness.Check(w, err)
		paths = append(paths, files...)
	}
	return w.trace(tracing{calls: calls, inject: inject, paths: paths})
}

// How often they fail: always, or one in so many of a thread's.
const (
	always     = "error=EIO"
	nowAndThen = "error=EIO:when=1+5"
)

func (w *world) failLog(calls, inject string) *tracer { return w.fail(calls, inject, "log", "*.seg") }

// logFailing makes the log fail under load. Nothing is answered 200 meanwhile, and aka goes on by itself.
func logFailing(w *world) {
	l := w.underLoad()
	slowest := time.Duration(0)
	for _, calls := range w.t.failures() {
		slowest = max(slowest, w.logFailsOnce(l, calls))
	}
	w.Logf("when it stopped failing, a call was taken after %s at most", slowest.Round(time.Millisecond))
	for _, calls := range w.t.failures() {
		w.logFailsNowAndThen(l, calls)
	}
	w.End(l)
	w.verify(l, harness.Expectation{})
}

// logFailsNowAndThen makes some writes fail and others not. Each that fails ends a segment of the log.
func (w *world) logFailsNowAndThen(l *harness.Load, calls string) {
	t := w.failLog(calls, nowAndThen)
	w.untilSomeFailed(t)
	w.UntilAcked(l, l.Acked.Load()+once/4)
	t.detach()
	w.t.Runs += int(t.met.Load())
}

// untilSomeFailed waits for the first failure. Where not all fail, the log goes on in a new file, of which strace does not know.
func (w *world) untilSomeFailed(t *tracer) {
	w.untilMet(t, "some writes failed", func() bool { return t.met.Load() > 0 })
}

// logFailsOnce makes the log fail for a while, and returns how long after that a call is taken.
func (w *world) logFailsOnce(l *harness.Load, calls string) (took time.Duration) {
	t := w.failLog(calls, always)
	w.untilRefused(l, t)
	before, end := l.Acked.Load(), time.Now()
	t.detach()
	begin := time.Now()
	w.t.Runs += int(t.met.Load())
	verifyNoneTaken(w, l.Acks(), *t.first.Load(), end)
	w.UntilAcked(l, before+1)
	took = time.Since(begin)
	w.UntilAcked(l, before+once/2)
	return took
}

// untilRefused waits until calls are refused because of what strace does.
func (w *world) untilRefused(l *harness.Load, t *tracer) {
	refused := l.Refused.Load()
	w.untilMet(t, "calls are refused", func() bool {
		return l.Refused.Load() >= refused+w.t.refusals() && t.met.Load() >= fewestMet
	})
}

// verifyNoneTaken checks that nothing that was sent between two times was answered 200 between them.
func verifyNoneTaken(t harness.T, acks []harness.Ack, begin, end time.Time) {
	for _, a := range acks {
		if a.Sent.After(begin) && a.At.Before(end) {
			t.Errorf("%s was answered 200 while no write to the log succeeded", a.Step)
		}
	}
}

// logFailingKilled kills aka while its log fails. What it has delivered shortly before is delivered again.
func logFailingKilled(w *world) {
	l := w.underLoad()
	stalls := w.WatchStalls()
	var crashes []time.Time
	for _, inject := range []string{always, nowAndThen} {
		for _, calls := range w.t.failures() {
			t := w.failLog(calls, inject)
			if inject == always {
				w.untilRefused(l, t)
			} else {
				w.untilSomeFailed(t)
			}
			crashes = append(crashes, w.Kill())
			w.t.Runs++
			w.goOn(l)
		}
	}
	w.End(l)
	w.verify(l, harness.Expectation{Crashes: crashes, Repeatable: saved + 4*stalls()})
}

// goOn starts aka, which has ended, as a supervisor does, and has it take calls.
func (w *world) goOn(l *harness.Load) {
	w.Start()
	w.Follow(l)
	w.UntilAcked(l, l.Acked.Load()+once/2)
}

// recordsFailing makes the records fail under load, while one vendor refuses some calls. Aka ends by itself and is started
// again, without what made them fail.
func recordsFailing(w *world) {
	refused := refusal()
	w.AddFaults("vero", refused)
	l := w.underLoad()
	stalls := w.WatchStalls()
	var crashes []time.Time
	longest := time.Duration(0)
	for _, calls := range w.t.failures() {
		dead := w.someDead()
		took := w.recordsFailOnce(calls)
		crashes, longest = append(crashes, w.Gone()), max(longest, took)
		w.t.Runs++
		w.goOn(l)
		w.verifyStillDead(dead)
	}
	w.End(l)
	w.Logf("when its records failed, aka ended after %s at most, with the code 1", longest.Round(time.Millisecond))
	w.verify(l, harness.Expectation{Crashes: crashes, Repeatable: longest + saved + 4*stalls(), Faults: []simulator.Fault{refused}, Dead: true})
}

// failedTimeout is how long aka may go on once its records have failed, on any machine. It takes no second on one that is idle.
const failedTimeout = time.Minute

// recordsFailOnce makes the records fail until aka has ended, and returns how long that took.
func (w *world) recordsFailOnce(calls string) (took time.Duration) {
	t := w.fail(calls, always, "records", "*.log", "MANIFEST-*")
	code, err := w.Process.Wait(harness.StartTimeout)
	w.Must(err)
	end := time.Now()
	t.detach()
	if t.first.Load() == nil {
		w.Must(fmt.Errorf("aka ended before its %s failed", calls))
	}
	took = end.Sub(*t.first.Load())
	if code != 1 || took > failedTimeout {
		w.Errorf("when its records failed, aka ended after %s with the code %d", took, code)
	}
	verifyToldOnce(w, w.Process.Log.String())
	return took
}

// verifyToldOnce checks that a log says once that the records have failed, and what to do.
func verifyToldOnce(t harness.T, log string) {
	told := 0
	for text := range strings.Lines(log) {
		var line struct{ Level, Msg, Error, Hint string }
		if json.Unmarshal([]byte(text), &line) != nil || line.Msg != "journal store has failed" {
			continue
		}
		told++
		if line.Level != "error" || line.Error == "" || line.Hint == "" {
			t.Errorf("the log does not say what failed and what follows: %s", text)
		}
	}
	if told != 1 {
		t.Errorf("the log says %d times that the records have failed: %s", told, log)
	}
}

// someDead waits until there are dead letters, and returns them.
func (w *world) someDead() map[string]harness.StepSet {
	w.Until("there are dead letters", func() bool {
		return w.Metric("aka_outcomes_total", harness.Of("vero"), `outcome="dead"`) >= fewestMet
	})
	return w.DeadLetters()
}

// verifyStillDead checks that dead letters that were there are there still.
func (w *world) verifyStillDead(before map[string]harness.StepSet) {
	now := w.DeadLetters()
	for name, all := range before {
		for step := range all {
			if !now[name][step] {
				w.t.Lost++
				w.Errorf("%s: the dead letter %s is gone", name, step)
			}
		}
	}
}
