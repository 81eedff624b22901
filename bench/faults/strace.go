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
func onTracedDisk(run func(w *world, r *Result) error) func(*harness, *Result) error {
	return func(h *harness, r *Result) error {
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

// tracer does something to each of a process's fsyncs while it is there.
type tracer struct {
	command *exec.Cmd
	fsyncs  atomic.Int64 // that it has met
	ended   chan struct{}
}

// trace attaches to aka. What it does is strace's inject, such as delay_enter=500000.
func (w *world) trace(inject string) (*tracer, error) {
	const calls = "fsync,fdatasync"
	t := &tracer{ended: make(chan struct{})}
	t.command = exec.Command("strace", "-f", "-e", "trace="+calls, "-e", "inject="+calls+":"+inject, "-p", strconv.Itoa(w.process.PID()))
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
		if strings.Contains(lines.Text(), "sync(") {
			t.fsyncs.Add(1)
		}
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
	t, err := w.trace("delay_enter=500000")
	if err != nil {
		return err
	}
	begin, calls := time.Now(), 10*w.h.rate
	if w.h.short {
		calls = once / 2
	}
	if err := w.until("some fsyncs were slow", t.met); err != nil {
		return err
	}
	if err := l.untilAcked(w, l.acked.Load()+int64(calls)); err != nil {
		return err
	}
	r.Runs = int(t.fsyncs.Load())
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

// diskFailing makes every fsync fail under load. Nothing is answered 200 meanwhile, and aka goes on by itself.
func diskFailing(w *world, r *Result) error {
	l, err := w.underLoad()
	if err != nil {
		return err
	}
	t, err := w.trace("error=EIO")
	if err != nil {
		return err
	}
	refused := l.refused.Load()
	if err := w.until("calls are refused", func() (bool, error) { return l.refused.Load() >= refused+fewestMet, t.gone() }); err != nil {
		return err
	}
	r.Runs = int(t.fsyncs.Load())
	before := l.acked.Load()
	t.detach()
	begin := time.Now()
	if err := l.untilAcked(w, before+1); err != nil {
		return err
	}
	r.measured("when it fails no more, a call is taken after %s", time.Since(begin).Round(time.Millisecond))
	if err := l.untilAcked(w, before+once/2); err != nil {
		return err
	}
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

func (t *tracer) met() (bool, error) { return t.fsyncs.Load() >= slowFsyncs, t.gone() }

// gone tells that strace could not attach, or has ended.
func (t *tracer) gone() error {
	select {
	case <-t.ended:
		return fmt.Errorf("strace has ended: %w", errors.ErrUnsupported)
	default:
		return nil
	}
}
