package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"aka/destinations/simulator"
	"aka/e2e/crowd"
	"aka/e2e/harness"
)

// diskScenarios are those of a disk that is full or not to be written to, for which they need one of their own, and of one
// that is slow, which strace makes of any.
func diskScenarios() []scenario {
	return []scenario{
		{name: "disk-full", does: "the disk fills up under load, and there is room again", run: onDisk(diskFull)},
		{name: "disk-full-killed", does: "the same, and aka is killed while there is none", run: onDisk(diskFullKilled)},
		{name: "disk-full-stopped", does: "the same, and aka is asked to stop while there is none", run: onDisk(diskFullStopped)},
		{name: "disk-full-at-start", does: "aka is started on a disk that is full", run: onDisk(diskFullAtStart)},
		{name: "disk-read-only", does: "aka is started on a disk that is read-only", run: onDisk(diskReadOnly)},
		{name: "disk-slow", does: "every fsync takes half a second", run: onTracedDisk(diskSlow)},
	}
}

// disk is a small file system of its own, in memory.
type disk struct {
	path   string
	inodes int // 0 is no limit
}

const diskBytes = 24 << 20

// onDisk runs a scenario in a world whose journal is on a disk of its own, where such a thing can be made.
func onDisk(run func(w *world, d disk, r *Result) error) func(*suite, *Result) error {
	return onDiskOf(disk{}, run)
}

// onDiskOf is the same where the disk has limits of its own. Its path is chosen here.
func onDiskOf(d disk, run func(w *world, d disk, r *Result) error) func(*suite, *Result) error {
	return func(h *suite, r *Result) error {
		path, err := os.MkdirTemp(h.dir, "disk-")
		if err != nil {
			return err
		}
		d := d
		d.path = path
		if err := d.mount(0); err != nil {
			r.NotRun = fmt.Sprintf("it mounts a small disk, which needs root (%v)", err)
			return nil
		}
		defer d.unmount()
		w, err := newWorld(h, plan{delivery: quick, journal: filepath.Join(path, "data")})
		if err != nil {
			return err
		}
		defer w.close()
		return run(w, d, r)
	}
}

// fill leaves no room. What was put there before goes on being there.
func (d disk) fill() error {
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			return err
		}
	}
	return nil
}

// fillBut leaves this much room.
func (d disk) fillBut(bytes int64) error {
	if err := d.fill(); err != nil {
		return err
	}
	info, err := os.Stat(d.ballast())
	if err != nil {
		return err
	}
	return os.Truncate(d.ballast(), info.Size()-bytes)
}

func (d disk) clear() error { return os.RemoveAll(d.ballast()) }

func (d disk) ballast() string { return filepath.Join(d.path, "ballast") }

// shutdownTimeout is the config's shutdown_timeout where that counts. The rest is for what closes after it.
const (
	shutdownTimeout = 5 * time.Second
	shutdownRest    = 3 * time.Second
)

// diskFull fills the disk under load and makes room again. Aka delivers all the while, and goes on by itself.
func diskFull(w *world, d disk, r *Result) error {
	l, faults, err := w.fillUnderLoad(d, r)
	if err != nil {
		return err
	}
	return w.afterRoom(l, d, r, expectation{faults: faults, dead: true})
}

// diskFullKilled kills aka while the disk is full. What it has delivered since then is delivered again.
func diskFullKilled(w *world, d disk, r *Result) error {
	l, faults, err := w.fillUnderLoad(d, r)
	if err != nil {
		return err
	}
	w.process.Kill()
	return w.goOnFromFull(l, d, r, faults)
}

// diskFullStopped stops aka in order while the disk is full. It does not wait for room: the progress stays as it was.
func diskFullStopped(w *world, d disk, r *Result) error {
	if err := w.configure(plan{delivery: quick, more: fmt.Sprintf("shutdown_timeout: %s\n", shutdownTimeout)}); err != nil {
		return err
	}
	l, faults, err := w.fillUnderLoad(d, r)
	if err != nil {
		return err
	}
	took, err := w.stop()
	if err != nil {
		return err
	}
	if took > shutdownTimeout+shutdownRest {
		r.wrong("on the full disk aka took %s to stop; its shutdown_timeout is %s", took, shutdownTimeout)
	}
	r.measured("on the full disk aka stops %s after a SIGTERM", took.Round(time.Millisecond))
	return w.goOnFromFull(l, d, r, faults)
}

// goOnFromFull starts aka, which has just ended, on the full disk, and again where there is room.
func (w *world) goOnFromFull(l *load, d disk, r *Result, faults []simulator.Fault) error {
	ends := []time.Time{time.Now().Add(lateReads)}
	if err := w.startWithVerdict(r, onFullDisk); err != nil {
		return err
	}
	return w.afterRoom(l, d, r, expectation{crashes: ends, repeatable: time.Minute, faults: faults, dead: true})
}

// fillUnderLoad fills the disk while two vendors are away. Both come back on the full disk: one gets everything, the other
// refuses some calls, which are to be kept as dead letters and wait for room.
func (w *world) fillUnderLoad(d disk, r *Result) (*load, []simulator.Fault, error) {
	const away, refusing = "mixpanel", "vero"
	faults := []simulator.Fault{{Status: http.StatusServiceUnavailable}, refusal()}
	err := w.account(away).AddFaults(faults[0])
	if err == nil {
		err = w.account(refusing).AddFaults(faults[0])
	}
	if err == nil {
		err = w.startWithoutReserve(d)
	}
	if err != nil {
		return nil, nil, err
	}
	l := startLoad(w, w.h.rate)
	if err := l.untilAcked(w, once/2); err != nil {
		return nil, nil, err
	}
	begin := time.Now()
	if err := w.untilFull(l, d); err != nil {
		return nil, nil, err
	}
	r.measured("once the disk is full, calls are answered 503 after %s", time.Since(begin).Round(time.Millisecond))
	w.account(refusing).ClearFaults()
	if err := w.account(refusing).AddFaults(faults[1]); err != nil {
		return nil, nil, err
	}
	if err := w.deliverOnFull(r, away, third); err != nil {
		return nil, nil, err
	}
	return l, faults, w.untilRecordsWait()
}

// untilRecordsWait waits until records wait for room; in the long form, until some have waited for so long that it counts as
// a failure.
func (w *world) untilRecordsWait() error {
	err := w.until("records wait for room", func() (bool, error) {
		return strings.Contains(w.process.Log.String(), "records wait for room"), nil
	})
	if err != nil || w.h.short {
		return err
	}
	return w.until("progress cannot be saved", func() (bool, error) {
		failures, err := w.metric("aka_progress_save_failures_total")
		return failures >= fewestMet, err
	})
}

// startWithoutReserve starts aka so that its records have no room in advance, which would keep them for long from noticing
// that the disk is full.
func (w *world) startWithoutReserve(d disk) error {
	const tooLittleToReserve = 1 << 20
	if err := d.fillBut(tooLittleToReserve); err != nil {
		return err
	}
	if _, err := w.start(); err != nil {
		return err
	}
	return d.clear()
}

// deliverOnFull ends a vendor's faults, and waits until it and another have all calls that were taken.
func (w *world) deliverOnFull(r *Result, away, other string) error {
	waiting, err := w.metric("aka_backlog_calls", of(away))
	if err != nil {
		return err
	}
	begin := time.Now()
	w.account(away).ClearFaults()
	if err := w.untilAllEnded(away, other); err != nil {
		return err
	}
	r.measured("on the full disk %.0f calls that waited were delivered within %s", waiting, time.Since(begin).Round(time.Millisecond))
	return nil
}

// refusedStep is the call of every second person that a refusal is about. It is an event.
const refusedStep = 2

// refusal has a vendor refuse some calls for good, which become dead letters.
func refusal() simulator.Fault {
	return simulator.Fault{Status: http.StatusBadRequest, Match: func(x simulator.Exchange) bool {
		all, err := crowd.Deliveries([]simulator.Exchange{x}, func(simulator.Exchange) bool { return true })
		return err == nil && slices.ContainsFunc(all, func(d crowd.Delivery) bool { return d.Person%2 == 0 && d.Step == refusedStep })
	}}
}

// diskFullAtStart starts aka where nothing can be written.
func diskFullAtStart(w *world, d disk, r *Result) error {
	if err := d.fill(); err != nil {
		return err
	}
	if err := w.startWithVerdict(r, onFullDisk); err != nil {
		return err
	}
	return w.afterRoom(nil, d, r, expectation{restarted: true})
}

// afterRoom makes room, starts aka if it has ended, and sees that calls are taken again without anybody's doing.
func (w *world) afterRoom(l *load, d disk, r *Result, e expectation) error {
	r.Runs++
	if err := d.clear(); err != nil {
		return err
	}
	begin := time.Now()
	select {
	case <-w.process.Exited:
		if _, err := w.start(); err != nil {
			return err
		}
	default:
		if w.process.API != "" {
			break
		}
		if err := w.process.Explained(w.process.Ready(startTimeout)); err != nil {
			return err
		}
	}
	if l == nil {
		l = startLoad(w, w.h.rate)
	}
	l.follow(w)
	before := l.acked.Load()
	if err := l.untilAcked(w, before+1); err != nil {
		return err
	}
	r.measured("with room again, a call is taken after %s", time.Since(begin).Round(time.Millisecond))
	if err := l.untilAcked(w, before+once/2); err != nil {
		return err
	}
	if err := l.end(w); err != nil {
		return err
	}
	return w.verify(r, l, e)
}

// diskReadOnly starts aka on a journal that cannot be written to: it says so, and changes nothing.
func diskReadOnly(w *world, d disk, r *Result) error {
	if _, err := w.start(); err != nil {
		return err
	}
	l := startLoad(w, w.h.rate)
	if err := l.untilAcked(w, once/2); err != nil {
		return err
	}
	if _, err := w.stop(); err != nil {
		return err
	}
	if err := d.mount(remount | readOnly); err != nil {
		return err
	}
	r.Runs++
	if err := w.launch(); err != nil {
		return err
	}
	err := w.process.Ready(startTimeout)
	switch {
	case err == nil:
		r.wrong("aka started on a disk that it cannot write to")
		w.process.Kill()
	case errors.Is(err, harness.ErrEnded):
		r.measured("aka does not start: %s", w.lastLine())
	default:
		return w.process.Explained(err)
	}
	if err := d.mount(remount); err != nil {
		return err
	}
	if _, err := w.start(); err != nil {
		return err
	}
	l.follow(w)
	if err := l.end(w); err != nil {
		return err
	}
	return w.verify(r, l, expectation{restarted: true})
}

// untilFull fills the disk, again with what aka frees on it, until calls are refused and aka says that it is not ready.
func (w *world) untilFull(l *load, d disk) error {
	before := l.refused.Load()
	err := w.until("calls are refused", func() (bool, error) {
		return l.refused.Load() >= before+fewestMet, d.fill()
	})
	if err != nil {
		return err
	}
	return w.until("aka says that it is not ready", func() (bool, error) {
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		defer cancel()
		status, err := get(ctx, w.process.Admin+"/readyz")
		return status == http.StatusServiceUnavailable, err
	})
}

// get asks for a page and returns its status.
func get(ctx context.Context, url string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}
