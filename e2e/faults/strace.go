package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// onTracedDisk runs a scenario where the disk can be made slow or bad under a running aka: where there is strace.
func onTracedDisk(run func(w *world, r *Result) error) func(*suite, *Result) error {
	return func(h *suite, r *Result) error {
		if _, err := exec.LookPath("strace"); err != nil {
			r.NotRun = "it needs strace, which makes a disk slow or fail"
			return nil
		}
		w, err := newWorld(h, plan{delivery: quick})
		if err != nil {
			return err
		}
		defer w.close()
		return run(w, r)
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
func (w *world) trace(what tracing) (*tracer, error) {
	args := []string{"-f", "-e", "trace=" + what.calls, "-e", "inject=" + what.calls + ":" + what.inject, "-p", strconv.Itoa(w.process.PID())}
	for _, path := range what.paths {
		args = append(args, "-P", path)
	}
	t := &tracer{ended: make(chan struct{}), command: exec.Command("strace", args...)}
	out, err := t.command.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := t.command.Start(); err != nil {
		return nil, err
	}
	w.cleanUp(t.detach)
	go t.follow(out)
	return t, nil
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
func diskSlow(w *world, r *Result) error {
	l, err := w.underLoad()
	if err != nil {
		return err
	}
	t, err := w.trace(everyFsync("delay_enter=500000"))
	if err != nil {
		return err
	}
	begin, calls := time.Now(), 10*w.h.rate
	if w.h.short {
		calls = once / 2
	}
	if err := w.until("some fsyncs were slow", t.metEnough); err != nil {
		return err
	}
	if err := l.untilAcked(w, l.acked.Load()+int64(calls)); err != nil {
		return err
	}
	r.Runs = int(t.met.Load())
	var accepts []time.Duration
	for _, a := range l.taken() {
		if a.began.After(begin) {
			accepts = append(accepts, a.at.Sub(a.began))
		}
	}
	r.measured("with fsyncs of 500 ms, %.0f calls/s were accepted, in %.0f ms (p99); %d requests were answered 503",
		float64(len(accepts))/time.Since(begin).Seconds(), p99(accepts), l.refused.Load())
	t.detach()
	if err := l.end(w); err != nil {
		return err
	}
	return w.verify(r, l, expectation{})
}

func (w *world) underLoad() (*load, error) {
	if _, err := w.start(); err != nil {
		return nil, err
	}
	l := startLoad(w, w.h.rate)
	return l, l.untilAcked(w, once/2)
}

func (t *tracer) metEnough() (bool, error) { return t.met.Load() >= slowFsyncs, t.gone() }

// gone tells that strace could not attach, or has ended.
func (t *tracer) gone() error {
	select {
	case <-t.ended:
		return fmt.Errorf("strace has ended: %w", errors.ErrUnsupported)
	default:
		return nil
	}
}
