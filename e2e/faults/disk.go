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
	"aka/e2e/harness"
)

// diskScenarios are those of a disk that is full or not to be written to, for which they need one of their own, and of one
// that is slow, which strace makes of any.
var diskScenarios = []scenario{
	{Name: "disk-full", Does: "the disk fills up under load, and there is room again", Run: onDisk(diskFull)},
	{Name: "disk-full-killed", Does: "the same, and aka is killed while there is none", Run: onDisk(diskFullKilled)},
	{Name: "disk-full-stopped", Does: "the same, and aka is asked to stop while there is none", Run: onDisk(diskFullStopped)},
	{Name: "disk-full-at-start", Does: "aka is started on a disk that is full", Run: onDisk(diskFullAtStart)},
	{Name: "disk-read-only", Does: "aka is started on a disk that is read-only", Run: onDisk(diskReadOnly)},
	{Name: "disk-slow", Does: "every fsync takes half a second", Run: onTracedDisk(diskSlow)},
}

// disk is a small file system of its own, in memory.
type disk struct {
	path   string
	inodes int // 0 is no limit
}

const diskBytes = 24 << 20

// onDisk runs a scenario in a world whose journal is on a disk of its own, where such a thing can be made.
func onDisk(run func(w *world, d disk)) func(*trial) { return onDiskOf(disk{}, run) }

// onDiskOf is the same where the disk has limits of its own. Its path is chosen here.
func onDiskOf(d disk, run func(w *world, d disk)) func(*trial) {
	return func(t *trial) {
		d := d
		d.path = t.TempDir()
		if err := d.mount(0); err != nil {
			t.NotRun = fmt.Sprintf("it mounts a small disk, which needs root (%v)", err)
			return
		}
		t.Cleanup(d.unmount)
		run(newWorld(t, harness.Setup{Delivery: quick, JournalDir: filepath.Join(d.path, "data")}), d)
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

// shutdownTimeout is the config's shutdown_timeout where that counts. The rest is for what closes after it, on any machine.
const (
	shutdownTimeout = 5 * time.Second
	shutdownRest    = time.Minute
)

// diskFull fills the disk under load and makes room again. Aka delivers all the while, and goes on by itself.
func diskFull(w *world, d disk) {
	l, faults := w.fillUnderLoad(d)
	w.afterRoom(l, d, harness.Expectation{Faults: faults, Dead: true})
}

// diskFullKilled kills aka while the disk is full. What it has delivered since then is delivered again.
func diskFullKilled(w *world, d disk) {
	l, faults := w.fillUnderLoad(d)
	w.Kill()
	w.goOnFromFull(l, d, faults)
}

// diskFullStopped stops aka in order while the disk is full. It does not wait for room: the progress stays as it was.
func diskFullStopped(w *world, d disk) {
	w.More = fmt.Sprintf("shutdown_timeout: %s\n", shutdownTimeout)
	w.Configure()
	l, faults := w.fillUnderLoad(d)
	took := w.Stop()
	if took > shutdownTimeout+shutdownRest {
		w.Errorf("on the full disk aka took %s to stop; its shutdown_timeout is %s", took, shutdownTimeout)
	}
	w.Logf("on the full disk aka stops %s after a SIGTERM", took.Round(time.Millisecond))
	w.goOnFromFull(l, d, faults)
}

// goOnFromFull starts aka, which has just ended, on the full disk, and again where there is room.
func (w *world) goOnFromFull(l *harness.Load, d disk, faults []simulator.Fault) {
	crashes := []time.Time{w.Gone()}
	w.startWithVerdict(onFullDisk)
	w.afterRoom(l, d, harness.Expectation{Crashes: crashes, Repeatable: time.Minute, Faults: faults, Dead: true})
}

// fillUnderLoad fills the disk while two vendors are away. Both come back on the full disk: one gets everything, the other
// refuses some calls, which are to be kept as dead letters and wait for room.
func (w *world) fillUnderLoad(d disk) (*harness.Load, []simulator.Fault) {
	const away, refusing = "mixpanel", "vero"
	faults := []simulator.Fault{{Status: http.StatusServiceUnavailable}, refusal()}
	w.AddFaults(away, faults[0])
	w.AddFaults(refusing, faults[0])
	w.startWithoutReserve(d)
	l := w.startLoad()
	w.UntilAcked(l, once/2)
	begin := time.Now()
	w.untilFull(l, d)
	w.Logf("once the disk is full, calls are answered 503 after %s", time.Since(begin).Round(time.Millisecond))
	w.Account(refusing).ClearFaults()
	w.AddFaults(refusing, faults[1])
	w.deliverOnFull(away, third)
	w.untilRecordsWait()
	return l, faults
}

// untilRecordsWait waits until records wait for room; in the long form, until some have waited for so long that it counts as
// a failure.
func (w *world) untilRecordsWait() {
	w.Until("records wait for room", func() bool { return strings.Contains(w.Process.Log.String(), "records wait for room") })
	if !w.t.Short {
		w.Until("progress cannot be saved", func() bool { return w.Metric("aka_progress_save_failures_total") >= fewestMet })
	}
}

// startWithoutReserve starts aka so that its records have no room in advance, which would keep them for long from noticing
// that the disk is full.
func (w *world) startWithoutReserve(d disk) {
	const tooLittleToReserve = 1 << 20
	harness.Check(w, d.fillBut(tooLittleToReserve))
	w.Start()
	harness.Check(w, d.clear())
}

// deliverOnFull ends a vendor's faults, and waits until it and another have all calls that were taken.
func (w *world) deliverOnFull(away, other string) {
	waiting := w.Metric("aka_backlog_calls", harness.Of(away))
	begin := time.Now()
	w.Account(away).ClearFaults()
	w.UntilAllEnded(away, other)
	w.Logf("on the full disk %.0f calls that waited were delivered within %s", waiting, time.Since(begin).Round(time.Millisecond))
}

// refusedStep is the call of every second person that a refusal is about. It is an event.
const refusedStep = 2

// refusal has a vendor refuse some calls for good, which become dead letters.
func refusal() simulator.Fault {
	return simulator.Fault{Status: http.StatusBadRequest, Match: func(x simulator.Exchange) bool {
		all, err := harness.Deliveries([]simulator.Exchange{x}, func(simulator.Exchange) bool { return true })
		return err == nil && slices.ContainsFunc(all, func(d harness.Delivery) bool { return d.Person%2 == 0 && d.Index == refusedStep })
	}}
}

// diskFullAtStart starts aka where nothing can be written.
func diskFullAtStart(w *world, d disk) {
	harness.Check(w, d.fill())
	w.startWithVerdict(onFullDisk)
	w.afterRoom(nil, d, harness.Expectation{Restarted: true})
}

// afterRoom makes room, starts aka if it has ended, and sees that calls are taken again without anybody's doing.
func (w *world) afterRoom(l *harness.Load, d disk, e harness.Expectation) {
	w.t.Runs++
	harness.Check(w, d.clear())
	begin := time.Now()
	select {
	case <-w.Process.Exited:
		w.Start()
	default:
		if w.Process.API == "" {
			w.Must(w.Process.Ready(harness.StartTimeout))
		}
	}
	if l == nil {
		l = w.startLoad()
	}
	w.Follow(l)
	before := l.Acked.Load()
	w.UntilAcked(l, before+1)
	w.Logf("with room again, a call is taken after %s", time.Since(begin).Round(time.Millisecond))
	w.UntilAcked(l, before+once/2)
	w.End(l)
	w.verify(l, e)
}

// diskReadOnly starts aka on a journal that cannot be written to: it says so, and changes nothing.
func diskReadOnly(w *world, d disk) {
	l := w.underLoad()
	w.Stop()
	harness.Check(w, d.mount(remount|readOnly))
	w.t.Runs++
	w.Launch()
	err := w.Process.Ready(harness.StartTimeout)
	switch {
	case err == nil:
		w.Errorf("aka started on a disk that it cannot write to")
		w.Kill()
	case errors.Is(err, harness.ErrEnded):
		w.Logf("aka does not start: %s", w.lastLine())
	default:
		w.Must(err)
	}
	harness.Check(w, d.mount(remount))
	w.Start()
	w.Follow(l)
	w.End(l)
	w.verify(l, harness.Expectation{Restarted: true})
}

// untilFull fills the disk, again with what aka frees on it, until calls are refused and aka says that it is not ready.
func (w *world) untilFull(l *harness.Load, d disk) {
	before := l.Refused.Load()
	w.Until("calls are refused", func() bool {
		harness.Check(w, d.fill())
		return l.Refused.Load() >= before+fewestMet
	})
	w.Until("aka says that it is not ready", func() bool {
		status, _, err := w.admin(http.MethodGet, "/readyz")
		harness.Check(w, err)
		return status == http.StatusServiceUnavailable
	})
}

// admin asks aka's admin server, and returns the answer.
func (w *world) admin(method, path string) (status int, answer string, err error) {
	ctx, cancel := context.WithTimeout(w.Ctx, harness.StopTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, w.Process.Admin+path, nil)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("X-Aka-Admin", "1")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}
