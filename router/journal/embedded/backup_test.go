package embedded

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"aka/router/journal/embedded/seglog"
)

func TestBackupsUnderLoadAreWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	e := openAt(t, dir)
	a, done, ended := newAcks(), make(chan struct{}), make(chan error, 1)
	grown := make(chan struct{}, 1)
	l := load{
		e: e, done: done,
		trim: func(below uint64) { a.do(func() { a.trimmed = below }) },
		frame: func(last uint64) {
			a.do(func() { a.frame = last })
			select {
			case grown <- struct{}{}:
			default:
			}
		},
		applied: func(name string, n uint64) { a.do(func() { a.applies[name] = n }) },
	}
	go func() { ended <- l.run(map[string]uint64{}) }()
	var copies []string
	linked := 0
	for n := range 4 {
		waitForFrames(t, a, grown, uint64(700*(n+1))) // so that several segments are complete, and some were trimmed
		copied := filepath.Join(t.TempDir(), "copy")
		frame, _, applies := a.snapshot()
		if err := e.Backup(t.Context(), copied); err != nil {
			t.Fatal(err)
		}
		lastFrame, trimmed, lastApplies := a.snapshot()
		linked += sharedSegments(t, dir, copied)
		checkBackup(t, copied, frame, trimmed, applies)
		checkNotLater(t, copied, lastFrame+3, lastApplies) // an Append has up to 3 frames
		copies = append(copies, copied)
	}
	if linked == 0 {
		t.Error("no segment is shared with a copy")
	}
	t.Logf("%d segments are shared", linked)
	close(done)
	must(t, <-ended)
	frame, trimmed, applies := a.snapshot()
	wantAcked(t, e, frame, trimmed, applies, false)
	must(t, e.Close())
	wantAcked(t, openAt(t, dir), frame, trimmed, applies, false)
	for _, copied := range copies { // what is written to a copy does not come back
		again := openAt(t, copied)
		_, last, _ := again.Bounds(t.Context())
		_, err := again.Append(t.Context(), [][]byte{frameOf(last + 1)}, last)
		must(t, err)
		must(t, again.Close())
	}
	if _, last, _ := openBounds(t, dir); last != frame {
		t.Errorf("the log ends with frame %d, want %d", last, frame)
	}
}

func openBounds(t *testing.T, dir string) (first, last uint64, err error) {
	t.Helper()
	l, err := seglog.OpenReadOnly(filepath.Join(dir, logFolder), seglog.Options{})
	must(t, err)
	defer func() { must(t, l.Close()) }()
	first, last = l.Bounds()
	return first, last, nil
}

func waitForFrames(t *testing.T, a *acks, grown <-chan struct{}, n uint64) {
	t.Helper()
	timeout := time.After(5 * time.Minute)
	for {
		if last, _, _ := a.snapshot(); last >= n {
			return
		}
		select {
		case <-grown:
		case <-timeout:
			t.Fatalf("there are no %d frames", n)
		}
	}
}

// checkBackup fails unless a copy opens, and holds what was acknowledged before it was begun. Its records have all numbers that
// its frames carry: Open checks that.
func checkBackup(t *testing.T, copied string, frame, trimmed uint64, applies map[string]uint64) {
	t.Helper()
	before := filesOf(t, copied)
	e := openAt(t, copied)
	if first, _ := wantFrames(t, e, frame, 1<<63); first > max(trimmed, 1) {
		t.Errorf("the copy begins with frame %d, and the log was trimmed below %d", first, trimmed)
	}
	for _, name := range destinations {
		if n := applied(t, e, name); n < applies[name] {
			t.Errorf("in the copy %s has had %d Applies, and %d were acknowledged", name, n, applies[name])
		}
	}
	if len(e.Findings()) > 0 {
		t.Errorf("the copy has %v", e.Findings())
	}
	if number, mark := e.records.Number(), e.log.Mark(); number < mark {
		t.Errorf("the records of the copy end with change %d, and its frames know %d", number, mark)
	}
	must(t, e.Close())
	if change := before.differs(filesOf(t, copied)); strings.Contains(change, ".seg") {
		t.Errorf("opening the copy: %s", change)
	}
}

// checkNotLater fails if a copy has what was not begun yet when the Backup had ended.
func checkNotLater(t *testing.T, copied string, frame uint64, applies map[string]uint64) {
	t.Helper()
	e := openAt(t, copied)
	if _, last, _ := e.Bounds(t.Context()); last > frame {
		t.Errorf("the copy ends with frame %d, and the log ended with %d then", last, frame)
	}
	for _, name := range destinations {
		if n := applied(t, e, name); n > applies[name]+1 {
			t.Errorf("in the copy %s has had %d Applies, and %d had been acknowledged then", name, n, applies[name])
		}
	}
	must(t, e.Close())
}

// sharedSegments returns how many segments of a copy are hard links to those of the journal, or were until those were trimmed.
// All but its last one must be.
func sharedSegments(t *testing.T, dir, copied string) (shared int) {
	t.Helper()
	names := built{files: filesOf(t, copied)}.segments()
	for i, name := range names {
		info, err := os.Stat(filepath.Join(copied, name))
		must(t, err)
		links := info.Sys().(*syscall.Stat_t).Nlink
		original, err := os.Stat(filepath.Join(dir, name))
		switch {
		case i == len(names)-1:
			if links > 1 {
				t.Errorf("the last segment %s is shared", name)
			}
		case err != nil: // trimmed meanwhile
		case !os.SameFile(info, original):
			t.Errorf("%s is a copy, and could be shared", name)
		default:
			shared++
		}
	}
	return shared
}

func TestABackupNeedsANewFolder(t *testing.T) {
	e := openAt(t, newFolder(t))
	_, err := e.Append(t.Context(), [][]byte{frameOf(1)}, 0)
	must(t, err)
	other := newFolder(t)
	must(t, openAt(t, other).Close())
	strange := t.TempDir()
	must(t, os.WriteFile(filepath.Join(strange, "thesis.txt"), nil, 0o600))
	for _, dir := range []string{e.options.Dir, other, strange} {
		before := filesOf(t, dir)
		if err := e.Backup(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "empty folder") {
			t.Errorf("Backup to %s returns %v", dir, err)
		}
		if change := before.differs(filesOf(t, dir)); change != "" {
			t.Errorf("Backup to %s is refused, and %s", dir, change)
		}
	}
	empty := t.TempDir()
	must(t, e.Backup(t.Context(), empty))
	wantFrames(t, openAt(t, empty), 1, 1<<63)
}

func TestABackupThatWasNotCompletedIsRefused(t *testing.T) {
	e := openAt(t, newFolder(t))
	_, err := e.Append(t.Context(), [][]byte{frameOf(1)}, 0)
	must(t, err)
	whole := newFolder(t)
	must(t, e.Backup(t.Context(), whole))
	left := filesOf(t, whole)
	delete(left, identityFile)
	dir := newFolder(t)
	left.put(t, dir)
	wantRefused(t, dir, ErrBroken, identityFile)
	_, err = Open(t.Context(), Options{Dir: dir, Log: zap.NewNop()})
	if err == nil {
		t.Error("a part of a copy is opened")
	}
}
