package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"aka/e2e/harness"
)

// oldFolder starts aka on a folder of the engine before the segment log. It refuses in one line that says what to do, and
// changes nothing: the aka that made the folder goes on with it.
func oldFolder(h *suite, r *Result) error {
	w, err := newWorld(h, plan{delivery: quick})
	if err != nil {
		return err
	}
	defer w.close()
	if h.old == "" {
		err = w.imitateOld()
	} else {
		err = w.startOld(r)
	}
	if err != nil {
		return err
	}
	before, err := contents(w.journal)
	if err != nil {
		return err
	}
	if err := w.launch(); err != nil {
		return err
	}
	if err := w.process.Ready(verdictTimeout); !errors.Is(err, harness.ErrEnded) {
		r.wrong("aka did not refuse a folder of an older one: %v", err)
		w.process.Kill()
		return nil
	}
	if err := w.verifyRefusedOld(r, w.process.Log.String()); err != nil {
		return err
	}
	r.Runs++
	now, err := contents(w.journal)
	if err != nil {
		return err
	}
	if name, same := sameContents(before, now); !same {
		r.wrong("aka refused the folder, and has changed %s", name)
	}
	if h.old == "" {
		return nil
	}
	return w.startOld(r)
}

// imitateOld makes a folder that looks as such a journal did.
func (w *world) imitateOld() error {
	messages := filepath.Join(w.journal, "jetstream", "$G", "streams", "AKA_CALLS", "msgs")
	if err := os.MkdirAll(messages, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(messages, "1.blk"), []byte("a frame"), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.journal, "aka-journal"), []byte("aka journal 1\ndestination vero\nsum c54d3ef8\n"), 0o600)
}

// startOld has the old aka take calls, and stop.
func (w *world) startOld(r *Result) error {
	old, err := harness.Launch(w.h.old, w.env, "--config", w.config)
	if err != nil {
		return err
	}
	w.process = old
	if err := old.Explained(old.Ready(startTimeout)); err != nil {
		return err
	}
	l := startLoad(w, w.h.rate)
	if err := l.untilAcked(w, fewestMet); err != nil {
		return err
	}
	if err := l.end(w); err != nil {
		return err
	}
	r.Accepted += len(l.taken())
	_, err = w.stop()
	return err
}

// verifyRefusedOld checks what aka said and how it ended.
func (w *world) verifyRefusedOld(r *Result, log string) error {
	code, err := w.process.Wait(verdictTimeout)
	if err != nil {
		return err
	}
	said := w.lastLine()
	if code != 1 || strings.Count(log, "aka: ") != 1 || !strings.HasPrefix(said, "aka: ") {
		r.wrong("aka ended with the code %d, and not with one line that says why: %s", code, log)
	}
	for _, what := range []string{"aka drain", "aka dead list", "empty folder"} {
		if !strings.Contains(said, what) {
			r.wrong("aka refused a folder of an older one, and did not speak of %q: %s", what, said)
		}
	}
	r.measured("aka does not start: %s", said)
	if _, err := w.aka("journal", "check", w.journal); err == nil {
		return fmt.Errorf("aka journal check takes %s for its own", w.journal)
	}
	return nil
}
