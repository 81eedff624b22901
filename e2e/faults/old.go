package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"aka/e2e/harness"
)

// oldFolder starts aka on a folder of the engine before the segment log. It refuses in one line that says what to do, and
// changes nothing: the aka that made the folder goes on with it.
func oldFolder(t *trial) {
	w := quickWorld(t)
	if t.old == "" {
		w.imitateOld()
	} else {
		w.startOld()
	}
	before := w.contents(w.JournalDir)
	w.Launch()
	if err := w.Process.Ready(verdictTimeout); !errors.Is(err, harness.ErrEnded) {
		t.Fatalf("aka did not refuse a folder of an older one: %v", err)
	}
	w.verifyRefusedOld(w.Process.Log.String())
	t.Runs++
	if name, same := sameContents(before, w.contents(w.JournalDir)); !same {
		t.Errorf("aka refused the folder, and has changed %s", name)
	}
	if t.old != "" {
		w.startOld()
	}
}

// imitateOld makes a folder that looks as such a journal did.
func (w *world) imitateOld() {
	messages := filepath.Join(w.JournalDir, "jetstream", "$G", "streams", "AKA_CALLS", "msgs")
	harness.Check(w, os.MkdirAll(messages, 0o700))
	harness.Check(w, os.WriteFile(filepath.Join(messages, "1.blk"), []byte("a frame"), 0o600))
	harness.Check(w, os.WriteFile(filepath.Join(w.JournalDir, "aka-journal"), []byte("aka journal 1\ndestination vero\nsum c54d3ef8\n"), 0o600))
}

// startOld has the old aka take calls, and stop.
func (w *world) startOld() {
	binary := w.Binary
	w.Binary = w.t.old
	w.Start()
	w.Binary = binary
	l := w.startLoad()
	w.UntilAcked(l, fewestMet)
	w.End(l)
	w.t.Accepted += len(l.Acks())
	w.Stop()
}

// verifyRefusedOld checks what aka said and how it ended.
func (w *world) verifyRefusedOld(log string) {
	code, err := w.Process.Wait(verdictTimeout)
	harness.Check(w, err)
	said := w.lastLine()
	if code != 1 || strings.Count(log, "aka: ") != 1 || !strings.HasPrefix(said, "aka: ") {
		w.Errorf("aka ended with the code %d, and not with one line that says why: %s", code, log)
	}
	for _, what := range []string{"aka drain", "aka dead list", "empty folder"} {
		if !strings.Contains(said, what) {
			w.Errorf("aka refused a folder of an older one, and did not speak of %q: %s", what, said)
		}
	}
	w.Logf("aka does not start: %s", said)
	if _, err := w.Command("journal", "check", w.JournalDir); err == nil {
		w.Errorf("aka journal check takes %s for its own", w.JournalDir)
	}
}
