package seglog

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"aka/router/journal/engine"
)

func TestTrimRemovesWholeSegments(t *testing.T) {
	files := vfs.NewMem()
	o := Options{FS: files, SegmentBytes: smallSegment}
	l := openLog(t, o)
	last := appendFrames(t, l, 200)
	for below := uint64(1); below <= 190; below += 7 {
		must(t, l.Trim(below, 0))
		first, _ := l.Bounds()
		segments := contentOf(t, files, testDir).segments()
		if segments[0] != segmentName(first) || first > below {
			t.Fatalf("trimmed below %d: first is %d, and the files are %v", below, first, segments)
		}
		if len(segments) > 1 {
			if second, _ := parseName(segments[1]); second <= below {
				t.Fatalf("trimmed below %d: %s is still there", below, segments[0])
			}
		}
		wantAll(t, l, first, last)
		reader, err := OpenReadOnly(testDir, o)
		must(t, err)
		wantAll(t, reader, first, last)
	}
}

func TestALogOfWhichAllIsTrimmedIsSmall(t *testing.T) {
	files := vfs.NewMem()
	o := Options{FS: files, SegmentBytes: 4 * smallSegment}
	l := openLog(t, o)
	last := uint64(0)
	for range 5 {
		for last = appendFrames(t, l, 1); l.active.end <= smallSegment; last = appendFrames(t, l, 1) {
			must(t, l.Trim(last+1, 3))
			if _, _, segments := l.Size(); segments != 1 {
				t.Fatalf("a last segment of %d bytes was removed", l.active.end)
			}
		}
		must(t, l.Trim(last, 3))
		if _, frames, _ := l.Size(); frames == 0 {
			t.Fatal("a frame that was to be kept is gone")
		}
		must(t, l.Trim(last+1, 3))
		if first, got := l.Bounds(); first != last+1 || got != last {
			t.Fatalf("bounds of an emptied log: %d and %d, the last was %d", first, got, last)
		}
		if c := contentOf(t, files, testDir); len(c) != 1 {
			t.Fatalf("an emptied log has %s", describe(c))
		}
		must(t, l.Close())
		l = openLog(t, o)
		if first, got := l.Bounds(); first != last+1 || got != last || l.Mark() != 3 {
			t.Fatalf("bounds of an emptied log after a reopen: %d and %d, the last was %d", first, got, last)
		}
		last = appendFrames(t, l, 1)
	}
	wantAll(t, l, last, last)
}

// Append goes on while Trim looks at what it may remove.
func TestTrimKeepsASegmentThatAppendFillsMeanwhile(t *testing.T) {
	l := openLog(t, Options{FS: vfs.NewMem(), SegmentBytes: smallSegment})
	appendFrames(t, l, 100)
	before := l.active
	if _, all := l.removable(1000); !all {
		t.Fatal("the last segment is too small")
	}
	must(t, l.remove(1000, false))
	if first, _ := l.Bounds(); first != before.seg.first || l.active != before {
		t.Fatalf("first is %d", first)
	}
	wantAll(t, l, before.seg.first, 100)
}

// The state file says what is gone before anything is gone.
func TestAPowerCutWhileFilesAreRemoved(t *testing.T) {
	for _, below := range []uint64{100, 201} {
		files := vfs.NewCrashableMem()
		d := newDisk(files)
		o := Options{FS: d, SegmentBytes: smallSegment}
		l := openLog(t, o)
		appendFrames(t, l, 200)
		removes := 0
		d.failing(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpRemove {
				removes++
				clone := files.CrashClone(vfs.CrashCloneCfg{})
				cut := openLog(t, Options{FS: clone})
				if first, last := cut.Bounds(); first < 80 || last != 200 {
					t.Errorf("bounds are %d and %d", first, last)
				}
				first, _ := cut.Bounds()
				if c := contentOf(t, clone, testDir); len(c.segments()) > 0 && c.segments()[0] != segmentName(first) {
					t.Errorf("first is %d, and the folder has %s", first, describe(c))
				}
				must(t, cut.Close())
			}
			return nil
		})
		must(t, l.Trim(below, 0))
		if removes < 2 {
			t.Fatalf("%d files were removed", removes)
		}
	}
}

// Open removes files because the state file says so. The process that wrote it may have been killed before that was safe.
func TestOpenMakesTheStateSafeBeforeItRemovesFiles(t *testing.T) {
	for _, below := range []uint64{100, 201} {
		files := vfs.NewCrashableMem()
		d := newDisk(files)
		l := openLog(t, Options{FS: d, SegmentBytes: smallSegment})
		appendFrames(t, l, 200)
		d.failing(only(errorfs.OpOpenDir, errDisk))
		if err := l.Trim(below, 0); !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
		removes := 0
		d.failing(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpRemove {
				removes++
				cut := openLog(t, Options{FS: files.CrashClone(vfs.CrashCloneCfg{})})
				if first, last := cut.Bounds(); first < 80 || last != 200 {
					t.Errorf("bounds are %d and %d", first, last)
				}
			}
			return nil
		})
		openLog(t, Options{FS: d, SegmentBytes: smallSegment})
		if removes < 2 {
			t.Errorf("%d files were removed", removes)
		}
	}
}

func TestFilesThatCouldNotBeRemovedAreRemovedLater(t *testing.T) {
	files := vfs.NewMem()
	d := newDisk(files)
	l := openLog(t, Options{FS: d, SegmentBytes: smallSegment})
	appendFrames(t, l, 200)
	all := len(contentOf(t, files, testDir))
	d.failing(only(errorfs.OpRemove, errDisk))
	if err := l.Trim(100, 0); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	first, _ := l.Bounds()
	if first < 50 || len(contentOf(t, files, testDir)) != all {
		t.Fatalf("first is %d", first)
	}
	// A new process removes them when it opens the log, and one that only reads passes over them.
	left := contentOf(t, files, testDir)
	reader, err := OpenReadOnly(testDir, Options{FS: files})
	must(t, err)
	wantAll(t, reader, first, 200)
	next := left.fs(t)
	wantAll(t, openLog(t, Options{FS: next}), first, 200)
	if c := contentOf(t, next, testDir); c.segments()[0] != segmentName(first) {
		t.Fatal(describe(c))
	}
	d.failing(nil)
	must(t, l.Trim(1, 0))
	if c := contentOf(t, files, testDir); c.segments()[0] != segmentName(first) {
		t.Fatal(describe(c))
	}
}

// When the state file cannot be saved, it may say the old or the new. Frames that are appended then are safe with either.
func TestATrimThatFailsLosesNothing(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpRename, errorfs.OpOpenDir} {
		for _, below := range []uint64{100, 201} {
			files := vfs.NewMem()
			d := newDisk(files)
			o := Options{FS: d, SegmentBytes: smallSegment}
			l := openLog(t, o)
			appendFrames(t, l, 200)
			d.failing(only(kind, errDisk))
			if err := l.Trim(below, 0); !errors.Is(err, errDisk) {
				t.Fatalf("operation %d: %v", kind, err)
			}
			wantAll(t, l, 1, 200)
			d.failing(nil)
			appendFrames(t, l, 5)
			wantAll(t, l, 1, 205)
			must(t, l.Close())
			l = openLog(t, o)
			if first, _ := l.Bounds(); first != 1 && (first < 80 || first > below) {
				t.Fatalf("operation %d: first is %d after a reopen", kind, first)
			}
			must(t, l.Trim(below, 0))
			first, _ := l.Bounds()
			wantAll(t, l, first, 205)
		}
	}
}

func TestAReaderInATrimmedSegmentGoesOnAtTheFirstThatIsKept(t *testing.T) {
	l := openLog(t, Options{FS: vfs.NewMem(), SegmentBytes: smallSegment})
	appendFrames(t, l, 200)
	for _, at := range []uint64{1, 5, 90} {
		r := l.Reader(at)
		defer r.Close()
		before, err := r.Next(t.Context())
		must(t, err)
		must(t, l.Trim(at+60, 0))
		first, _ := l.Bounds()
		if f, err := r.Next(t.Context()); err != nil || f.Seq != max(first, before.Seq+1) || f.Err != nil {
			t.Fatalf("first is %d, and the reader gives %d, %v", first, f.Seq, err)
		}
	}
	// One that read everything does not keep a file that is gone.
	r := l.Reader(0)
	for {
		if _, err := r.Next(t.Context()); errors.Is(err, engine.ErrEnd) {
			break
		}
	}
	must(t, l.Trim(201, 0))
	if _, err := r.Next(t.Context()); !errors.Is(err, engine.ErrEnd) || r.scan.file != nil {
		t.Fatalf("%v, file %v", err, r.scan.file)
	}
	appendFrames(t, l, 1)
	if f, err := r.Next(t.Context()); err != nil || f.Seq != 201 {
		t.Fatalf("%+v, %v", f, err)
	}
	r.Close()
}
