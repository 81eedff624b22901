package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"aka/e2e/harness"
)

// fewInodes are enough for a journal and its recovery, and soon used up.
const fewInodes = 150

// Where a start may not succeed.
const (
	onFullDisk    = "on the full disk"
	withoutInodes = "without a free inode"
)

// A start that cannot succeed says why within verdictTimeout, and ends within signalTimeout of a SIGTERM.
const (
	verdictTimeout = 10 * time.Second
	signalTimeout  = 5 * time.Second
)

// inodesAtStart starts aka, after a crash, where no file can be made: it runs, or says why it does not.
func inodesAtStart(w *world, d disk, r *Result) error {
	if _, err := w.start(); err != nil {
		return err
	}
	l := startLoad(w, w.h.rate)
	if err := l.untilAcked(w, once/2); err != nil {
		return err
	}
	w.process.Kill()
	ends := []time.Time{time.Now().Add(lateReads)}
	if err := d.fillInodes(); err != nil {
		return err
	}
	if err := w.startWithVerdict(r, withoutInodes); err != nil {
		return err
	}
	if err := w.endBySignal(r); err != nil {
		return err
	}
	ends = append(ends, time.Now().Add(lateReads)) // without an inode, the progress may not be saved
	return w.afterRoom(l, d, r, expectation{crashes: ends, repeatable: time.Minute})
}

// fillInodes leaves no inode. The ballast is a folder here.
func (d disk) fillInodes() error {
	if err := os.Mkdir(d.ballast(), 0o700); err != nil {
		return err
	}
	for i := range fewInodes {
		f, err := os.Create(filepath.Join(d.ballast(), fmt.Sprint(i)))
		if errors.Is(err, syscall.ENOSPC) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%d files could be made where there are as many inodes", fewInodes)
}

// startWithVerdict starts aka where it may not succeed: it must be ready, or end with an error, within verdictTimeout.
func (w *world) startWithVerdict(r *Result, where string) error {
	if err := w.launch(); err != nil {
		return err
	}
	err := w.process.Ready(verdictTimeout)
	switch {
	case err == nil:
		r.measured("%s aka starts", where)
	case errors.Is(err, harness.ErrNotReady):
		r.wrong("%s aka is neither ready nor has it ended after %s; its log is %q", where, verdictTimeout, w.process.Log.String())
	case errors.Is(err, harness.ErrEnded):
		code, err := w.process.Wait(verdictTimeout)
		if err != nil {
			return err
		}
		if code != 1 || !strings.HasPrefix(w.lastLine(), "aka: ") {
			r.wrong("%s aka ends with the code %d and no error; its log is %q", where, code, w.process.Log.String())
		}
		r.measured("%s aka does not start: %s", where, w.lastLine())
	default:
		return err
	}
	return nil
}

// endBySignal has aka end by SIGTERM, if it has not ended.
func (w *world) endBySignal(r *Result) error {
	select {
	case <-w.process.Exited:
		return nil
	default:
	}
	_, took, err := w.process.Terminate(signalTimeout)
	switch {
	case errors.Is(err, harness.ErrGoesOn):
		r.wrong("without a free inode aka does not end within %s of a SIGTERM", signalTimeout)
		w.process.Kill()
	case err != nil:
		return err
	default:
		r.measured("without a free inode it ends %s after a SIGTERM", took.Round(time.Millisecond))
	}
	return nil
}
