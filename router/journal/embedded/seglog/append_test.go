package seglog

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"aka/router/journal/engine"
)

var errDisk = errors.New("the disk is broken")

func TestWhatFailedToBeWrittenIsNotInTheLog(t *testing.T) {
	unwanted := [][]byte{[]byte("not acknowledged"), make([]byte, aheadBytes)}
	size := recordSize(unwanted[0]) + recordSize(unwanted[1])
	for name, breakDisk := range map[string]func(*disk, *appender){
		"the write fails":          func(d *disk, _ *appender) { d.failing(only(errorfs.OpFileWrite, errDisk)) },
		"half of it is written":    func(d *disk, _ *appender) { d.setRoom(100) },
		"the last byte is missing": func(d *disk, a *appender) { d.setRoom(a.end + size - max(a.end, a.ahead) - 1) },
		"the sync fails":           func(d *disk, _ *appender) { d.failing(only(errorfs.OpFileSyncData, errDisk)) },
	} {
		for _, before := range []int{0, 10} { // frames in the segment
			t.Run(name, func(t *testing.T) {
				files := vfs.NewMem()
				d := newDisk(files)
				l := openLog(t, Options{FS: d})
				appendFrames(t, l, 5)
				must(t, l.Close())
				l = openLog(t, Options{FS: d})
				appendFrames(t, l, before)
				if before == 0 {
					must(t, l.makeRoom(1))
				}
				last := uint64(5 + before)

				breakDisk(d, l.active)
				if _, err := l.Append(unwanted, last, 0); err == nil {
					t.Fatal("no error")
				}
				d.failing(nil)
				d.setRoom(-1)
				wantAll(t, l, 1, last)
				left := contentOf(t, files, testDir)

				appendFrames(t, l, 3)
				wantAll(t, l, 1, last+3)
				for name, data := range contentOf(t, files, testDir) {
					if was, ok := left[name]; ok && name != stateName && before > 0 && string(was) != string(data) {
						t.Errorf("%s was written after its write failed", name)
					}
				}
				must(t, l.Close())
				wantAll(t, openLog(t, Options{FS: files}), 1, last+3)

				// A crash before the next Append may leave what was written whole.
				l = openLog(t, Options{FS: left.fs(t)})
				switch _, got := l.Bounds(); {
				case got == last:
				case got == last+1 || got == last+2:
					f, err := l.Reader(last + 1).Next(t.Context())
					if err != nil || string(f.Data) != string(unwanted[0]) {
						t.Errorf("after the crash: %+v, %v", f, err)
					}
				default:
					t.Errorf("after the crash the last frame is %d", got)
				}
			})
		}
	}
}

func TestAFullDiskIsErrFullAndTheLogGoesOnWhenThereIsRoom(t *testing.T) {
	for _, errno := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		for _, kind := range []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSyncData, errorfs.OpCreate} {
			d := newDisk(vfs.NewMem())
			l := openLog(t, Options{FS: d, SegmentBytes: smallSegment})
			last := appendFrames(t, l, 5)
			d.failing(only(kind, errno))
			for range 3 {
				for n := 0; ; n++ { // a create is first needed when the segment is full
					if _, err := l.Append([][]byte{frameOf(last + 1)}, last, 0); errors.Is(err, engine.ErrFull) {
						break
					} else if err != nil || n > 100 {
						t.Fatalf("%v, operation %d: append %d: %v", errno, kind, n, err)
					}
					last++
				}
			}
			d.failing(nil)
			last = appendFrames(t, l, 40)
			must(t, l.Close())
			wantAll(t, openLog(t, Options{FS: d}), 1, last)
		}
	}
}

func TestADiskThatFillsUpSlowly(t *testing.T) {
	d := newDisk(vfs.NewMem())
	l := openLog(t, Options{FS: d, SegmentBytes: smallSegment})
	random := rand.New(rand.NewPCG(*flipSeed, 4))
	last := uint64(0)
	for range 300 {
		d.setRoom(random.Int64N(20_000))
		for {
			got, err := l.Append([][]byte{frameOf(last + 1)}, last, 0)
			if errors.Is(err, engine.ErrFull) {
				break
			}
			must(t, err)
			last = got
		}
	}
	wantAll(t, l, 1, last)
	must(t, l.Close())
	d.setRoom(-1)
	l = openLog(t, Options{FS: d})
	if _, got := l.Bounds(); got > last { // the last write may be there
		last = got
	}
	wantAll(t, l, 1, last)
}

func TestOpenAndCloseLeaveNothingNew(t *testing.T) {
	files := vfs.NewMem()
	must(t, openLog(t, Options{FS: files}).Close())
	if c := contentOf(t, files, testDir); len(c) != 0 {
		t.Fatalf("a new log left %s", describe(c))
	}
	c := someLog(t, 100)
	files = c.fs(t)
	must(t, openLog(t, Options{FS: files}).Close())
	if !contentOf(t, files, testDir).equal(c) {
		t.Fatal("the folder was changed")
	}
	l := openLog(t, Options{FS: files})
	appendFrames(t, l, 1)
	now := contentOf(t, files, testDir)
	if len(now) != len(c)+1 || now[segmentName(101)] == nil || !c.without(stateName).equal(now.without(stateName).without(segmentName(101))) {
		t.Fatalf("the first append left %s", describe(now))
	}
}

// A process that is killed leaves what it wrote to the kernel. Frames that the next one found are still there after a power cut.
func TestOpenMakesSafeWhatItFinds(t *testing.T) {
	files := vfs.NewCrashableMem()
	d := newDisk(files)
	l := openLog(t, Options{FS: d})
	appendFrames(t, l, 10)
	d.failing(only(errorfs.OpFileSyncData, errDisk))
	if _, err := l.Append([][]byte{frameOf(11)}, 10, 0); err == nil {
		t.Fatal("no error")
	}
	wantAll(t, openLog(t, Options{FS: files.CrashClone(vfs.CrashCloneCfg{})}), 1, 10)
	wantAll(t, openLog(t, Options{FS: files}), 1, 11)
	wantAll(t, openLog(t, Options{FS: files.CrashClone(vfs.CrashCloneCfg{})}), 1, 11)
}

func TestALogForReadingChangesNothing(t *testing.T) {
	c := someLog(t, 100)
	c = c.with(c.lastSegment(), c[c.lastSegment()][:len(c[c.lastSegment()])-1]).with(segmentName(100)+tempSuffix, nil)
	files := c.fs(t)
	d := newDisk(files)
	d.failing(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			t.Errorf("operation %d on %s", op.Kind, op.Path)
		}
		return nil
	})
	l, err := OpenReadOnly(testDir, Options{FS: d})
	must(t, err)
	wantAll(t, l, 1, 99)
	if _, err := l.Append([][]byte{{1}}, 99, 0); err == nil {
		t.Error("it took a frame")
	}
	if err := l.Trim(50, 0); err == nil {
		t.Error("it was trimmed")
	}
	must(t, l.Close())
	if _, err := OpenReadOnly("/nothing", Options{FS: d}); err == nil {
		t.Error("a missing folder was opened")
	}
}

func TestTheMarkNeverDecreases(t *testing.T) {
	files := vfs.NewMem()
	o := Options{FS: files, SegmentBytes: smallSegment}
	l := openLog(t, o)
	want := func(mark uint64) {
		t.Helper()
		if l.Mark() != mark {
			t.Fatalf("the mark is %d, not %d", l.Mark(), mark)
		}
		reader, err := OpenReadOnly(testDir, o)
		must(t, err)
		if reader.Mark() != mark {
			t.Fatalf("the mark is %d after a reopen, not %d", reader.Mark(), mark)
		}
	}
	for seq, mark := range []uint64{3, 5, 4, 9} {
		_, err := l.Append([][]byte{frameOf(uint64(seq + 1))}, uint64(seq), mark)
		must(t, err)
	}
	want(9)
	must(t, l.Close())
	l = openLog(t, o)
	must(t, l.makeRoom(1)) // the last segment is empty now
	want(9)
	appendFrames(t, l, 200)
	want(9)
	must(t, l.Trim(150, 12))
	want(12)
	must(t, l.Trim(205, 15))
	want(15)
}

func TestAppendAllocatesNothing(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	must(t, err)
	defer func() { _ = l.Close() }()
	frames, last := [][]byte{make([]byte, 500)}, uint64(0)
	allocs := testing.AllocsPerRun(50, func() {
		if last, err = l.Append(frames, last, 0); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations per append", allocs)
	}
}
