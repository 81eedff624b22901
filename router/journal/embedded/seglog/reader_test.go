package seglog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"aka/router/journal/engine"
)

// Readers at the tail and behind, Trim, Backup and the sizes, while one goroutine appends.
func TestEverythingAtOnce(t *testing.T) {
	const frames = 1500
	files := vfs.NewMem()
	o := Options{FS: files, SegmentBytes: smallSegment}
	l := openLog(t, o)
	done := make(chan struct{})
	var others sync.WaitGroup
	for n := range 4 {
		others.Go(func() { readAlong(t, l, done, n) })
	}
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			first, last := l.Bounds()
			_, _, _ = l.Size()
			if err := l.Trim(min(first+50, max(last, 500)-500), uint64(i)); err != nil {
				t.Error(err)
			}
			if i%50 == 0 {
				backupAlong(t, l, o, fmt.Sprintf("/backup%d", i))
			}
		}
	})
	batch := [][]byte{}
	for last := uint64(0); last < frames; {
		batch = batch[:0]
		for seq := last + 1; seq <= last+1+last%3; seq++ {
			batch = append(batch, frameOf(seq))
		}
		var err error
		if last, err = l.Append(batch, last, last); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	others.Wait()
	_, last := l.Bounds()
	must(t, l.Close())
	l = openLog(t, o)
	first, _ := l.Bounds()
	wantAll(t, l, first, last)
}

// readAlong reads until the end of the log, once done is closed.
func readAlong(t *testing.T, l *Log, done chan struct{}, n int) {
	r := l.Reader(1)
	defer r.Close()
	seen, read, finished := uint64(0), 0, false
	for {
		f, err := r.Next(context.Background())
		switch {
		case errors.Is(err, engine.ErrEnd) && finished:
			if _, last := l.Bounds(); seen != last || read < 100 {
				t.Errorf("read %d frames up to %d of %d", read, seen, last)
			}
			return
		case errors.Is(err, engine.ErrEnd):
			select {
			case <-done:
				finished = true
			default:
			}
			continue
		case err != nil || f.Err != nil:
			t.Errorf("frame %d: %v, %v", f.Seq, err, f.Err)
			return
		}
		first, last := l.Bounds()
		if f.Seq > last || f.Seq != seen+1 && f.Seq > first || !bytes.Equal(f.Data, frameOf(f.Seq)) {
			t.Errorf("frame %d comes behind frame %d; the bounds are %d and %d", f.Seq, seen, first, last)
			return
		}
		clear(f.Data) // it is the reader's own
		seen = f.Seq
		read++
		if n > 1 && read%(100*n) == 0 {
			r.Close()
		}
	}
}

func backupAlong(t *testing.T, l *Log, o Options, dir string) {
	_, before := l.Bounds()
	last, err := l.Backup(dir)
	if err != nil {
		t.Error(err)
		return
	}
	b, err := Open(dir, o)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = b.Close() }()
	first, got := b.Bounds()
	sound, broken := readFrom(t, b, 0)
	if last < before || got != last || len(broken) > 0 || uint64(len(sound)) != last+1-first || len(b.Findings()) > 0 {
		t.Errorf("%s: bounds %d and %d of %d, %d sound, %d damaged, findings %v", dir, first, got, last, len(sound), len(broken), b.Findings())
	}
}

func TestFramesOfAllSizesAreRead(t *testing.T) {
	files := vfs.NewMem()
	l := openLog(t, Options{FS: files, SegmentBytes: 1 << 20})
	var last uint64
	sizes := []int{0, 1, chunkSize - recordHead, chunkSize - recordHead + 1, chunkSize, chunkSize + 1, 3 * chunkSize, 40_000, 40_000, 40_000, 1, 2 << 20, 5}
	content := func(seq uint64) []byte {
		return bytes.Repeat(binary.LittleEndian.AppendUint64(nil, seq*0x9e3779b97f4a7c15), sizes[seq-1]/8+1)[:sizes[seq-1]]
	}
	for range sizes {
		var err error
		last, err = l.Append([][]byte{content(last + 1)}, last, 0)
		must(t, err)
	}
	for from := uint64(1); from <= last; from++ {
		r := l.Reader(from)
		for seq := from; seq <= last; seq++ {
			f, err := r.Next(t.Context())
			if err != nil || f.Seq != seq || !bytes.Equal(f.Data, content(seq)) || f.Data == nil {
				t.Fatalf("from %d: frame %d has %d bytes, %v", from, f.Seq, len(f.Data), err)
			}
		}
		r.Close()
	}
}

func TestTheLongestFrame(t *testing.T) {
	files := vfs.NewMem()
	l := openLog(t, Options{FS: files})
	longest := bytes.Repeat([]byte("0123456789abcdef"), MaxFrame/16)
	for seq := range uint64(2) {
		_, err := l.Append([][]byte{longest}, seq, 0)
		must(t, err)
	}
	must(t, l.Close())
	l = openLog(t, Options{FS: files})
	r := l.Reader(1)
	defer r.Close()
	for range 2 {
		if f, err := r.Next(t.Context()); err != nil || !bytes.Equal(f.Data, longest) {
			t.Fatalf("%d bytes, %v", len(f.Data), err)
		}
	}
}

func TestSeek(t *testing.T) {
	l := openLog(t, Options{FS: vfs.NewMem(), SegmentBytes: smallSegment})
	last := appendFrames(t, l, 1500)
	r := l.Reader(1)
	defer r.Close()
	for i, seq := range []uint64{1, 2, 2, 5, 3, 100, 101, 1400, 1500, 1499, 1, 1200, 1501, 7} {
		r.Seek(seq)
		f, err := r.Next(t.Context())
		if seq > last {
			if !errors.Is(err, engine.ErrEnd) {
				t.Fatalf("%d: frame %d, %v", i, f.Seq, err)
			}
			continue
		}
		if err != nil || f.Seq != seq || !bytes.Equal(f.Data, frameOf(seq)) {
			t.Fatalf("%d: frame %d, not %d: %v", i, f.Seq, seq, err)
		}
	}
	r.Seek(1502)
	if _, err := r.Next(t.Context()); !errors.Is(err, engine.ErrEnd) {
		t.Fatal(err)
	}
	appendFrames(t, l, 3)
	if f, err := r.Next(t.Context()); err != nil || f.Seq != 1502 {
		t.Fatalf("%d, %v", f.Seq, err)
	}
	must(t, l.Trim(800, 0))
	first, _ := l.Bounds()
	r.Seek(1)
	if f, err := r.Next(t.Context()); err != nil || f.Seq != first {
		t.Fatalf("%d, %v", f.Seq, err)
	}
}

// A reader does not read a segment from its beginning to find a frame, neither in one that is finished nor in the one that is
// written. Without a sound footer it does.
func TestAReaderFindsItsPlaceByTheIndex(t *testing.T) {
	files := vfs.NewMem()
	o := Options{FS: files, SegmentBytes: 2 << 20}
	l := openLog(t, o)
	frame := make([]byte, 1000)
	for last := uint64(0); last < 3000; {
		var err error
		last, err = l.Append(slices.Repeat([][]byte{frame}, 30), last, 0)
		must(t, err)
	}
	must(t, l.Close())
	c := contentOf(t, files, testDir)
	if len(c.segments()) != 2 {
		t.Fatal(describe(c))
	}
	second, _ := parseName(c.segments()[1])
	reads := func(c content, seq uint64, change func(*Log)) int64 {
		d := newDisk(c.fs(t))
		l := openLog(t, Options{FS: d, SegmentBytes: 2 << 20})
		change(l)
		read := int64(0)
		d.failing(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileReadAt {
				read++
			}
			return nil
		})
		r := l.Reader(seq)
		defer r.Close()
		if f, err := r.Next(t.Context()); err != nil || f.Seq != seq || f.Err != nil {
			t.Fatalf("frame %d: %d, %v", seq, f.Seq, err)
		}
		return read
	}
	none := func(*Log) {}
	for _, seq := range []uint64{1, second / 2, second - 1, second, second + 500, 3000} {
		if n := reads(c, seq, none); n > 5 {
			t.Errorf("frame %d: %d reads", seq, n)
		}
	}
	if n := reads(c, 3450, func(l *Log) {
		for last := uint64(3000); last < 3500; {
			var err error
			last, err = l.Append(slices.Repeat([][]byte{frame}, 20), last, 0)
			must(t, err)
		}
	}); n > 5 {
		t.Errorf("in the segment that is written: %d reads", n)
	}
	name := c.segments()[0]
	cut := c.with(name, flipped(c[name], 8*(len(c[name])-1)))
	if n := reads(cut, second-1, none); n < 20 {
		t.Errorf("without an index: %d reads", n)
	}
}

func TestAReaderGoesOnAfterAnErrorOfTheDisk(t *testing.T) {
	files := vfs.NewMem()
	d := newDisk(files)
	l := openLog(t, Options{FS: d, SegmentBytes: smallSegment})
	last := appendFrames(t, l, 200)
	n := 0
	d.failing(func(op errorfs.Op) error {
		if op.Kind != errorfs.OpOpen && op.Kind != errorfs.OpFileReadAt {
			return nil
		}
		if n++; n%3 != 0 {
			return errDisk
		}
		return nil
	})
	r := l.Reader(1)
	defer r.Close()
	failures := 0
	for seq := uint64(1); seq <= last; {
		f, err := r.Next(t.Context())
		if errors.Is(err, errDisk) {
			if failures++; !strings.Contains(err.Error(), segmentSuffix) && !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
			continue
		}
		if err != nil || f.Err != nil || f.Seq != seq {
			t.Fatalf("frame %d: %d, %v, %v", seq, f.Seq, err, f.Err)
		}
		seq++
	}
	if failures < 10 {
		t.Errorf("%d failures", failures)
	}
}

// Open reads the headers of the segments, and the last segment.
func TestOpenReadsLittle(t *testing.T) {
	files := vfs.NewMem()
	o := Options{FS: files, SegmentBytes: 1}
	l := openLog(t, o)
	appendFrames(t, l, 400)
	must(t, l.Close())
	d := newDisk(files)
	reads := map[string]int{}
	d.failing(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt || op.Kind == errorfs.OpFileRead {
			reads[op.Path]++
		}
		return nil
	})
	l = openLog(t, Options{FS: d})
	if _, last := l.Bounds(); last != 400 || len(reads) != 401 {
		t.Fatalf("the last frame is %d, and %d files were read", last, len(reads))
	}
	for path, n := range reads {
		if n > 1 && path != testDir+"/"+segmentName(400) {
			t.Errorf("%s was read %d times", path, n)
		}
	}
}

func TestNextMindsItsContext(t *testing.T) {
	l := openLog(t, Options{FS: vfs.NewMem()})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Reader(1).Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
