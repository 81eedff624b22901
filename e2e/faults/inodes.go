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

// A start that cannot succeed says why within verdictTimeout, and ends within signalTimeout of a SIGTERM, on any machine.
const (
	verdictTimeout = harness.StartTimeout
	signalTimeout  = harness.StopTimeout
)

// inodesAtStart starts aka, after a crash, where no file can be made: it runs, or says why it does not.
func inodesAtStart(w *world, d disk) {
	l := w.underLoad()
	ends := []time.Time{w.Kill()}
	harness.Check(w, d.fillInodes())
	w.startWithVerdict(withoutInodes)
	w.endBySignal()
	ends = append(ends, w.Gone()) // without an inode, the progress may not be saved
	w.afterRoom(l, d, harness.Expectation{Crashes: ends, Repeatable: time.Minute})
}

// fillInodes leaves no inode. The ballast is a folder here.
func (d disk) fillInodes() error {
	if err := os.Mkdir(d.ballast(), 0o700); err != nil {
		return err
	}
	for i := range fewInodes {
		err := os.WriteFile(filepath.Join(d.ballast(), fmt.Sprint(i)), nil, 0o600)
		if errors.Is(err, syscall.ENOSPC) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("%d files could be made where there are as many inodes", fewInodes)
}

// startWithVerdict starts aka where it may not succeed: it must be ready, or end with an error, within verdictTimeout.
func (w *world) startWithVerdict(where string) {
	w.Launch()
	err := w.Process.Ready(verdictTimeout)
	switch {
	case err == nil:
		w.Logf("%s aka starts", where)
	case errors.Is(err, harness.ErrNotReady):
		w.Errorf("%s aka is neither ready nor has it ended after %s; its log is %q", where, verdictTimeout, w.Process.Log.String())
	case errors.Is(err, harness.ErrEnded):
		code, err := w.Process.Wait(verdictTimeout)
		harness.Check(w, err)
		if code != 1 || !strings.HasPrefix(w.lastLine(), "aka: ") {
			w.Errorf("%s aka ends with the code %d and no error; its log is %q", where, code, w.Process.Log.String())
		}
		w.Logf("%s aka does not start: %s", where, w.lastLine())
	}
}

// endBySignal has aka end by SIGTERM, if it has not ended.
func (w *world) endBySignal() {
	select {
	case <-w.Process.Exited:
		return
	default:
	}
	_, took, err := w.Process.Terminate(signalTimeout)
	if errors.Is(err, harness.ErrGoesOn) {
		w.Errorf("without a free inode aka does not end within %s of a SIGTERM", signalTimeout)
		w.Kill()
		return
	}
	harness.Check(w, err)
	w.Logf("without a free inode it ends %s after a SIGTERM", took.Round(time.Millisecond))
}
