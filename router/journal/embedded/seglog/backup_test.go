package seglog

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"aka/router/journal/engine"
)

func TestABackupIsTheLogAtOneMoment(t *testing.T) {
	files := vfs.NewCrashableMem()
	d := newDisk(files)
	o := Options{FS: d, SegmentBytes: smallSegment}
	l := openLog(t, o)
	appendFrames(t, l, 100)
	must(t, l.Trim(50, 77))
	first, _ := l.Bounds()
	// What stands behind the end of the last segment is left out.
	d.failing(only(errorfs.OpFileSyncData, errDisk))
	if _, err := l.Append([][]byte{[]byte("not acknowledged")}, 100, 0); err == nil {
		t.Fatal("no error")
	}
	// Where there are no links, files are copied.
	for dir, fail := range map[string]func(errorfs.Op) error{"/linked": trimWaits(t, l), "/deep/copied": only(errorfs.OpLink, syscall.EXDEV)} {
		d.failing(fail)
		last, err := l.Backup(dir)
		if err != nil || last != 100 {
			t.Fatalf("%s: %d, %v", dir, last, err)
		}
	}
	d.failing(nil)
	appendFrames(t, l, 50)
	must(t, l.Trim(151, 0))

	for _, dir := range []string{"/linked", "/deep/copied"} {
		b, err := Open(dir, Options{FS: files.CrashClone(vfs.CrashCloneCfg{}), SegmentBytes: smallSegment})
		must(t, err)
		wantAll(t, b, first, 100)
		if len(b.Findings()) > 0 || b.Mark() != 77 {
			t.Errorf("%s: mark %d, findings %+v", dir, b.Mark(), b.Findings())
		}
		appendFrames(t, b, 30)
		wantAll(t, b, first, 130)
		must(t, b.Close())
	}
	if _, err := l.Backup("/linked"); err == nil {
		t.Error("a backup was written into a folder that has one")
	}
	must(t, l.Close())
	if _, err := l.Backup("/closed"); !errors.Is(err, engine.ErrClosed) {
		t.Error(err)
	}
}

// trimWaits fails when files could be removed while they are linked.
func trimWaits(t *testing.T, l *Log) func(errorfs.Op) error {
	return func(op errorfs.Op) error {
		if op.Kind == errorfs.OpLink && l.trimming.TryLock() {
			l.trimming.Unlock()
			t.Error("Trim does not wait")
		}
		return nil
	}
}

func TestABackupOfAnEmptyLog(t *testing.T) {
	files := vfs.NewMem()
	l := openLog(t, Options{FS: files, SegmentBytes: 1})
	for i, want := range []uint64{0, 3} {
		appendFrames(t, l, int(want))
		must(t, l.Trim(want+1, 0))
		dir := "/backup" + string(rune('0'+i))
		if last, err := l.Backup(dir); err != nil || last != want {
			t.Fatalf("%d, %v", last, err)
		}
		b, err := Open(dir, Options{FS: files})
		must(t, err)
		if first, last := b.Bounds(); first != want+1 || last != want {
			t.Errorf("bounds are %d and %d", first, last)
		}
		must(t, b.Close())
	}
}

func TestABackupOnARealDiskSharesItsFiles(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(filepath.Join(dir, "a", "log"), Options{SegmentBytes: smallSegment})
	must(t, err)
	defer func() { _ = l.Close() }()
	appendFrames(t, l, 60)
	info, err := os.Stat(filepath.Join(dir, "a", "log"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder's mode is %v, %v", info.Mode(), err)
	}
	if _, err := l.Backup(filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	one, err := os.Stat(filepath.Join(dir, "a", "log", segmentName(1)))
	must(t, err)
	other, err := os.Stat(filepath.Join(dir, "b", segmentName(1)))
	must(t, err)
	if !os.SameFile(one, other) {
		t.Error("a finished segment was copied")
	}
	b, err := Open(filepath.Join(dir, "b"), Options{})
	must(t, err)
	defer func() { _ = b.Close() }()
	wantAll(t, b, 1, 60)
}
