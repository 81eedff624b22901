package main

import (
	"bufio"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"aka/e2e/harness"
)

// onTracedDisk runs a scenario where the disk can be made slow or bad under a running aka: where there is strace.
func onTracedDisk(run func(*world)) func(*trial) {
	return func(t *trial) {
		if _, err := exec.LookPath("strace"); err != nil {
			t.NotRun = "it needs strace, which makes a disk slow or fail"
			return
		}
		run(quickWorld(t))
	}
}

// tracing is what strace does to some of a process's calls to the system.
type tracing struct {
	calls  string   // to the system, with commas between
	inject string   // strace's inject, such as delay_enter=500000
	paths  []string // the files and folders of which the calls are; where there are none, of all
}

// everyFsync is a tracing of all of a process's fsyncs.
func everyFsync(inject string) tracing { return tracing{calls: "fsync,fdatasync", inject: inject} }

// tracer carries out a tracing while it is there.
type tracer struct {
	command *exec.Cmd
	met     atomic.Int64              // calls to the system that it has met
	first   atomic.Pointer[time.Time] // when it was seen to have met one
	ended   chan struct{}
}

// trace attaches to aka.
func (w *world) trace(what tracing) *tracer {
	args := []string{"-f", "-e", "trace=" + what.calls, "-e", "inject=" + what.calls + ":" + what.inject, "-p", strconv.Itoa(w.Process.PID())}
	for _, path := range what.paths {
		args = append(args, "-P", path)
	}
	t := &tracer{ended: make(chan struct{}), command: exec.Command("strace", args...)}
	out, err := t.command.StderrPipe()
	harness.Check(w, err)
	harness.Check(w, t.command.Start())
	w.Cleanup(t.detach)
	go t.follow(out)
	return t
}

func (t *tracer) follow(out io.Reader) {
	defer close(t.ended)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if text := lines.Text(); !strings.HasSuffix(text, "(INJECTED)") && !strings.HasSuffix(text, "(DELAYED)") {
			continue
		}
		now := time.Now()
		t.first.CompareAndSwap(nil, &now)
		t.met.Add(1)
	}
	_ = t.command.Wait()
}

// detach leaves aka as it was, and may be called again.
func (t *tracer) detach() {
	_ = t.command.Process.Signal(syscall.SIGINT)
	<-t.ended
}

// slowFsyncs is how many a scenario waits for: each is a frame, or a destination's progress.
const slowFsyncs = 10

// diskSlow makes every fsync slow under load. Calls are taken as before, only later: all that wait share the next one.
func diskSlow(w *world) {
	l := w.underLoad()
	t := w.trace(everyFsync("delay_enter=500000"))
	begin, calls := time.Now(), 10*w.t.rate
	if w.t.Short {
		calls = once / 2
	}
	w.untilMet(t, "some fsyncs were slow", func() bool { return t.met.Load() >= slowFsyncs })
	w.UntilAcked(l, l.Acked.Load()+int64(calls))
	w.t.Runs = int(t.met.Load())
	var accepts []time.Duration
	for _, a := range l.Acks() {
		if a.Began.After(begin) {
			accepts = append(accepts, a.At.Sub(a.Began))
		}
	}
	w.Logf("with fsyncs of 500 ms, %.0f calls/s were accepted, in %.0f ms (p99); %d requests were answered 503",
		float64(len(accepts))/time.Since(begin).Seconds(), p99(accepts), l.Refused.Load())
	t.detach()
	w.End(l)
	w.verify(l, harness.Expectation{})
}

// untilMet is Until while strace is there.
func (w *world) untilMet(t *tracer, what string, done func() bool) {
	w.Until(what, func() bool {
		select {
		case <-t.ended: // or it could not attach
			w.Fatalf("strace has ended")
		default:
		}
		return done()
	})
}
