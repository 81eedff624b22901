package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"aka/e2e/process"
)

// diskScenarios are those of a disk that is full or not to be written to, for which they need one of their own, and of one
// that is slow or fails, which strace makes of any.
func diskScenarios() []scenario {
	return []scenario{
		{name: "disk-full", does: "the disk fills up under load, and there is room again", run: onDisk(diskFull)},
		{name: "disk-full-killed", does: "the same, and aka is killed while there is none", run: onDisk(diskFullKilled)},
		{name: "disk-full-at-start", does: "aka is started on a disk that is full", run: onDisk(diskFullAtStart)},
		{name: "disk-read-only", does: "aka is started on a disk that is read-only", run: onDisk(diskReadOnly)},
		{name: "disk-slow", does: "every fsync takes half a second", run: onTracedDisk(diskSlow)},
		{name: "disk-failing", does: "every fsync fails, and succeeds again", run: onTracedDisk(diskFailing)},
	}
}

// disk is a small file system of its own, in memory.
type disk struct {
	path   string
	inodes int // 0 is no limit
}

const diskBytes = 24 << 20

// onDisk runs a scenario in a world whose journal is on a disk of its own, where such a thing can be made.
func onDisk(run func(w *world, d disk, r *Result) error) func(*harness, *Result) error {
	return onDiskOf(disk{}, run)
}

// onDiskOf is the same where the disk has limits of its own. Its path is chosen here.
func onDiskOf(d disk, run func(w *world, d disk, r *Result) error) func(*harness, *Result) error {
	return func(h *harness, r *Result) error {
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

func (d disk) clear() error { return os.RemoveAll(d.ballast()) }

func (d disk) ballast() string { return filepath.Join(d.path, "ballast") }

// diskFull fills the disk under load and makes room again. Aka goes on by itself.
func diskFull(w *world, d disk, r *Result) error {
	l, err := w.fillUnderLoad(d, r)
	if err != nil {
		return err
	}
	return w.afterRoom(l, d, r, expectation{})
}

// diskFullKilled kills aka while the disk is full. What it has delivered since then is delivered again.
func diskFullKilled(w *world, d disk, r *Result) error {
	l, err := w.fillUnderLoad(d, r)
	if err != nil {
		return err
	}
	w.process.Kill()
	ends := []time.Time{time.Now().Add(lateReads)}
	if err := w.startOnFull(r); err != nil {
		return err
	}
	return w.afterRoom(l, d, r, expectation{crashes: ends, repeatable: time.Minute})
}

func (w *world) fillUnderLoad(d disk, r *Result) (*load, error) {
	if _, err := w.start(); err != nil {
		return nil, err
	}
	l := startLoad(w, w.h.rate)
	if err := l.untilAcked(w, once/2); err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := w.untilFull(l, d); err != nil {
		return nil, err
	}
	r.measured("once the disk is full, calls are answered 503 after %s", time.Since(begin).Round(time.Millisecond))
	return l, nil
}

// startOnFull starts aka where nothing can be written: it may refuse to start, and say why, or refuse calls.
func (w *world) startOnFull(r *Result) error {
	if err := w.launch(); err != nil {
		return err
	}
	err := w.process.Ready(startTimeout)
	switch {
	case err == nil:
		r.measured("on the full disk aka starts and refuses calls")
	case errors.Is(err, process.ErrEnded):
		r.measured("on the full disk aka does not start: %s", w.lastLine())
	default:
		return w.process.Explained(err)
	}
	return nil
}

// diskFullAtStart starts aka where nothing can be written.
func diskFullAtStart(w *world, d disk, r *Result) error {
	if err := d.fill(); err != nil {
		return err
	}
	if err := w.startOnFull(r); err != nil {
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
	case errors.Is(err, process.ErrEnded):
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
