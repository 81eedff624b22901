package seglog

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"aka/router/journal/engine"
)

// checked runs Check, and fails when a frame is not what was appended, or comes out of order.
func checked(t *testing.T, files vfs.FS) (r Report, sound, broken []uint64) {
	t.Helper()
	before := uint64(0)
	r, err := Check(testDir, Options{FS: files}, func(f engine.Frame) {
		if f.Seq <= before {
			t.Fatalf("frame %d comes behind frame %d", f.Seq, before)
		}
		before = f.Seq
		switch {
		case f.Err != nil:
			broken = append(broken, f.Seq)
		case !bytes.Equal(f.Data, frameOf(f.Seq)):
			t.Fatalf("frame %d is another", f.Seq)
		default:
			sound = append(sound, f.Seq)
		}
	})
	must(t, err)
	if r.Frames != uint64(len(sound)) || r.Damaged != uint64(len(broken)) {
		t.Fatalf("%d sound and %d damaged frames were visited: %+v", len(sound), len(broken), r)
	}
	return r, sound, broken
}

func span(from, to uint64) (seqs []uint64) {
	for seq := from; seq <= to; seq++ {
		seqs = append(seqs, seq)
	}
	return seqs
}

func TestCheckOfASoundLog(t *testing.T) {
	files := someLog(t, 100).fs(t)
	before := contentOf(t, files, testDir)
	r, sound, _ := checked(t, files)
	if !r.Sound() || !slices.Equal(sound, span(1, 100)) || r.First != 1 || r.Last != 100 || r.Segments < 3 || r.Bytes < 30_000 || len(r.Findings) > 0 {
		t.Errorf("%+v", r)
	}
	if !contentOf(t, files, testDir).equal(before) {
		t.Error("the folder was changed")
	}
	if _, err := Check("/nothing", Options{FS: files}, nil); err == nil {
		t.Error("a missing folder was checked")
	}
	l := openLog(t, Options{FS: files, SegmentBytes: smallSegment})
	must(t, l.Trim(60, 5))
	first, _ := l.Bounds()
	if r, sound, _ := checked(t, files); !r.Sound() || !slices.Equal(sound, span(first, 100)) || r.First != first || r.Mark != 5 {
		t.Errorf("trimmed below %d: %+v", first, r)
	}
}

func TestCheckGoesPastFilesThatAreMissingOrDamaged(t *testing.T) {
	c := someLog(t, 150)
	segments := c.segments()
	firstOf := func(i int) uint64 {
		if i == len(segments) {
			return 151
		}
		first, _ := parseName(segments[i])
		return first
	}
	headless := func(name string) content {
		b := bytes.Clone(c[name])
		copy(b, make([]byte, dataStart))
		return c.with(name, b)
	}
	for i, name := range segments {
		for kind, hit := range map[string]content{"missing": c.without(name), "headless": headless(name), "empty": c.with(name, nil)} {
			before := hit.fs(t)
			r, sound, broken := checked(t, before)
			want := append(span(1, firstOf(i)-1), span(firstOf(i+1), 150)...)
			if !slices.Equal(sound, want) || len(broken) > 0 || r.Sound() {
				t.Fatalf("%s %s: %v, %+v", kind, name, sound, r)
			}
			if !strings.Contains(strings.Join(r.Problems, "\n"), name) {
				t.Errorf("%s %s: problems %q", kind, name, r.Problems)
			}
			last := i == len(segments)-1
			if want := firstOf(i+1) - firstOf(i); !last && r.Missing != want {
				t.Errorf("%s %s: %d frames are missing, not %d", kind, name, r.Missing, want)
			}
			if wantLast := uint64(150); last && r.Last != firstOf(i)-1 || !last && r.Last != wantLast {
				t.Errorf("%s %s: the last frame is %d", kind, name, r.Last)
			}
			for _, p := range r.Problems {
				if !strings.HasPrefix(p, testDir+"/") {
					t.Errorf("a problem that does not begin with a file: %q", p)
				}
			}
		}
	}
	for kind, hit := range map[string]content{"missing": c.without(stateName), "damaged": c.with(stateName, flipped(c[stateName], 70))} {
		r, sound, _ := checked(t, hit.fs(t))
		if !slices.Equal(sound, span(1, 150)) || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], stateName) {
			t.Errorf("state %s: %+v", kind, r)
		}
	}
}

func TestCheckReportsDamagedFrames(t *testing.T) {
	c := someLog(t, 150)
	name := c.segments()[1]
	places := placesIn(t, c[name])
	b := flipped(c[name], 8*int(places[3].at+5))
	b = flipped(b, 8*int(places[8].at+recordHead))
	last := c.lastSegment()
	files := c.with(name, b).with(last, c[last][:len(c[last])-1]).fs(t)
	r, sound, broken := checked(t, files)
	if !slices.Equal(broken, []uint64{places[3].seq, places[8].seq}) || len(sound) != 147 || len(r.Problems) > 0 || r.Sound() {
		t.Fatalf("%v, %+v", broken, r)
	}
	f := r.Findings
	if len(f) != 3 || f[0].First != broken[0] || f[0].Last != broken[0] || f[0].Offset != places[3].at || f[0].File != testDir+"/"+name ||
		f[1].First != broken[1] || f[1].Offset != places[8].at || !f[2].Torn || f[2].Time.IsZero() {
		t.Errorf("%+v", f)
	}
}

// A bad sector makes reading fail. Check reads what is around it.
func TestCheckReadsAroundABadSector(t *testing.T) {
	c := someLog(t, 150)
	name := c.segments()[1]
	for _, bad := range []int64{0, 8192, 12288} {
		d := newDisk(c.fs(t))
		d.FS = badSectorFS{d.FS, name, bad}
		r, sound, broken := checked(t, d)
		if len(sound)+len(broken) != 150 || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], name) || (bad > 0) != (len(broken) > 0) || len(broken) > 40 {
			t.Errorf("at %d: %d sound, damaged %v, %+v", bad, len(sound), broken, r)
		}
		if _, err := Open(testDir, Options{FS: d}); bad == 0 && (!errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), name)) {
			t.Errorf("open: %v", err)
		}
	}
}

type badSectorFS struct {
	vfs.FS
	name string
	at   int64
}

func (b badSectorFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := b.FS.Open(name, o...)
	if err == nil && strings.HasSuffix(name, b.name) {
		f = badSectorFile{f, b.at}
	}
	return f, err
}

type badSectorFile struct {
	vfs.File
	at int64
}

func (f badSectorFile) ReadAt(b []byte, at int64) (int, error) {
	if at < f.at+512 && at+int64(len(b)) > f.at {
		return 0, syscall.EIO
	}
	return f.File.ReadAt(b, at)
}

func TestAWriterMakesALogWithGaps(t *testing.T) {
	for name, test := range map[string]struct {
		first, next uint64
		gone        [][2]uint64
	}{
		"none":               {first: 1, next: 201},
		"in the middle":      {first: 1, next: 201, gone: [][2]uint64{{50, 50}, {90, 140}}},
		"at the front":       {first: 30, next: 201, gone: [][2]uint64{{30, 60}}},
		"at the end":         {first: 1, next: 201, gone: [][2]uint64{{150, 200}}},
		"all":                {first: 10, next: 201, gone: [][2]uint64{{10, 200}}},
		"all but the middle": {first: 10, next: 201, gone: [][2]uint64{{10, 99}, {101, 200}}},
	} {
		t.Run(name, func(t *testing.T) {
			files := vfs.NewMem()
			o := Options{FS: files, SegmentBytes: smallSegment}
			w, err := Create(testDir, test.first, o)
			must(t, err)
			var want []uint64
			for seq := test.first; seq < test.next; seq++ {
				if !slices.ContainsFunc(test.gone, func(g [2]uint64) bool { return g[0] <= seq && seq <= g[1] }) {
					must(t, w.WriteFrame(seq, frameOf(seq)))
					want = append(want, seq)
				}
			}
			must(t, w.Finish(test.next, 55))
			for range 2 {
				wantGaps(t, files, o, test.first, test.next-1, want)
				l := openLog(t, o)
				want = append(want, appendFrames(t, l, 1))
				test.next++
				must(t, l.Close())
			}
			l := openLog(t, o)
			must(t, l.Trim(120, 0))
			sound, _ := readFrom(t, l, 120)
			if !slices.Equal(sound, slices.DeleteFunc(want, func(seq uint64) bool { return seq < 120 })) {
				t.Errorf("after a trim: %v", sound)
			}
		})
	}
}

func wantGaps(t *testing.T, files vfs.FS, o Options, first, last uint64, want []uint64) {
	t.Helper()
	l := openLog(t, o)
	gotFirst, gotLast := l.Bounds()
	if len(want) == 0 || want[0] > 200 {
		first = 201 // nothing of it was kept
	}
	sound, broken := readFrom(t, l, 1)
	if gotFirst != first || gotLast != last || l.Mark() != 55 || !slices.Equal(sound, want) || len(broken) > 0 {
		t.Fatalf("bounds %d and %d, not %d and %d, mark %d, frames %v, damaged %v", gotFirst, gotLast, first, last, l.Mark(), sound, broken)
	}
	must(t, l.Close())
	if r, sound, _ := checked(t, files); !slices.Equal(sound, want) || r.Last != last || len(r.Problems) > 0 || r.Mark != 55 {
		t.Fatalf("the check found %+v", r)
	}
}

func TestAWriterRefusesWhatIsNoLog(t *testing.T) {
	files := vfs.NewMem()
	o := Options{FS: files, SegmentBytes: smallSegment}
	if _, err := Create(testDir, 0, o); err == nil {
		t.Error("a first sequence of 0")
	}
	w, err := Create(testDir, 5, o)
	must(t, err)
	if err := w.WriteFrame(4, nil); err == nil {
		t.Error("a frame before the first")
	}
	for seq := uint64(6); seq < 60; seq++ {
		must(t, w.WriteFrame(seq, frameOf(seq)))
	}
	if err := w.WriteFrame(59, nil); err == nil {
		t.Error("a frame twice")
	}
	if err := w.WriteFrame(70, make([]byte, MaxFrame+1)); err == nil {
		t.Error("a frame that is too long")
	}
	if err := w.Finish(59, 0); err == nil {
		t.Error("the next frame is one that was written")
	}
	// Half a log is none.
	wantRefused(t, contentOf(t, files, testDir), stateName)
	if _, err := Create(testDir, 1, o); err == nil {
		t.Error("a folder that is not empty")
	}
	w.Close()
	if err := w.WriteFrame(80, nil); !errors.Is(err, engine.ErrClosed) {
		t.Error(err)
	}
}

func TestAWriterThatFailedIsNotFinished(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSyncData, errorfs.OpRename} {
		d := newDisk(vfs.NewMem())
		w, err := Create(testDir, 1, Options{FS: d, SegmentBytes: smallSegment})
		must(t, err)
		for seq := uint64(1); seq < 20; seq++ {
			must(t, w.WriteFrame(seq, frameOf(seq)))
		}
		d.failing(only(kind, errDisk))
		for seq := uint64(20); seq < 100 && err == nil; seq++ {
			err = w.WriteFrame(seq, frameOf(seq))
		}
		d.failing(nil)
		if err == nil || !errors.Is(w.Finish(200, 0), errDisk) {
			t.Errorf("operation %d: %v", kind, err)
		}
		w.Close()
	}
}
