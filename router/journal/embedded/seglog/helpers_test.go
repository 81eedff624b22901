package seglog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

const testDir = "/log"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openLog(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(testDir, o)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// noise is what frames are made of.
var noise = func() []byte {
	random := rand.New(rand.NewPCG(1, 1))
	b := make([]byte, 64<<10)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}()

// frameOf returns what the tests store as a frame: its length and bytes follow from its sequence.
func frameOf(seq uint64) []byte {
	length := seq * 7919 % 400
	if seq%13 == 0 {
		length = 2000 + seq*7919%3000
	}
	return append(binary.LittleEndian.AppendUint64(nil, seq), noise[seq*31%50_000:][:length]...)
}

// appendFrames appends n frames to the log, one by one, and returns the last.
func appendFrames(t testing.TB, l *Log, n int) uint64 {
	t.Helper()
	_, last := l.Bounds()
	for range n {
		got, err := l.Append([][]byte{frameOf(last + 1)}, last, 0)
		if err != nil || got != last+1 {
			t.Fatalf("append behind %d: %d, %v", last, got, err)
		}
		last = got
	}
	return last
}

// readFrom reads to the end of the log. It fails when a frame is not the one that was appended, or comes out of order.
func readFrom(t testing.TB, l *Log, from uint64) (sound, broken []uint64) {
	t.Helper()
	r := l.Reader(from)
	defer r.Close()
	before := uint64(0)
	for {
		f, err := r.Next(context.Background())
		if errors.Is(err, engine.ErrEnd) {
			return sound, broken
		}
		must(t, err)
		if f.Seq <= before {
			t.Fatalf("frame %d comes behind frame %d", f.Seq, before)
		}
		before = f.Seq
		switch {
		case errors.Is(f.Err, engine.ErrDamaged) && f.Data == nil:
			broken = append(broken, f.Seq)
		case f.Err != nil || !bytes.Equal(f.Data, frameOf(f.Seq)):
			t.Fatalf("frame %d is not what was appended: %d bytes, %v", f.Seq, len(f.Data), f.Err)
		default:
			sound = append(sound, f.Seq)
		}
	}
}

// wantAll fails unless the log holds the frames from first to last, all sound.
func wantAll(t testing.TB, l *Log, first, last uint64) {
	t.Helper()
	wantFrames(t, l, first, last)
}

// wantFrames fails unless the log holds the frames from first to last, all sound but these.
func wantFrames(t testing.TB, l *Log, first, last uint64, broken ...uint64) {
	t.Helper()
	if f, la := l.Bounds(); f != first || la != last {
		t.Fatalf("bounds are %d and %d, not %d and %d", f, la, first, last)
	}
	sound, lost := readFrom(t, l, 0)
	if !slices.Equal(lost, broken) {
		t.Fatalf("damaged are %v, not %v", lost, broken)
	}
	var want []uint64
	for seq := first; seq <= last; seq++ {
		if !slices.Contains(broken, seq) {
			want = append(want, seq)
		}
	}
	if !slices.Equal(sound, want) {
		t.Fatalf("sound are %v, not %v", sound, want)
	}
}

// content is what a folder holds, by name.
type content map[string][]byte

func contentOf(t testing.TB, files vfs.FS, dir string) content {
	t.Helper()
	names, err := files.List(dir)
	must(t, err)
	c := content{}
	for _, name := range names {
		f, err := files.Open(files.PathJoin(dir, name))
		must(t, err)
		c[name], err = io.ReadAll(f)
		must(t, err)
		must(t, f.Close())
	}
	return c
}

// closed closes a log, and returns what that leaves on a disk. Files in memory keep the zeros behind their records.
func closed(t testing.TB, l *Log) content {
	t.Helper()
	must(t, l.Close())
	c := contentOf(t, l.options.FS, testDir)
	for _, s := range l.list() {
		c[segmentName(s.first)] = c[segmentName(s.first)][:s.size]
	}
	return c
}

// fs returns a file system with this in its log's folder.
func (c content) fs(t testing.TB) *vfs.MemFS {
	t.Helper()
	m := vfs.NewMem()
	must(t, m.MkdirAll(testDir, 0o700))
	for name, data := range c {
		putFile(t, m, name, data)
	}
	return m
}

func putFile(t testing.TB, files vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := files.Create(files.PathJoin(testDir, name), vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(bytes.Clone(data))
	must(t, err)
	must(t, f.Close())
}

// with returns a copy in which a file is another.
func (c content) with(name string, data []byte) content {
	c = maps.Clone(c)
	c[name] = data
	return c
}

// without returns a copy without a file.
func (c content) without(name string) content {
	c = maps.Clone(c)
	delete(c, name)
	return c
}

// names returns the segments' names, in order.
func (c content) segments() []string {
	var names []string
	for name := range c {
		if strings.HasSuffix(name, segmentSuffix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (c content) lastSegment() string { return c.segments()[len(c.segments())-1] }

func (c content) equal(other content) bool { return maps.EqualFunc(c, other, bytes.Equal) }

// flipped returns a copy of b with one bit changed.
func flipped(b []byte, bit int) []byte {
	b = bytes.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}

// wantRefused fails unless the log is refused for a file, and nothing is changed.
func wantRefused(t testing.TB, c content, file string) {
	t.Helper()
	files := c.fs(t)
	for _, try := range []func(string, Options) (*Log, error){Open, OpenReadOnly} {
		l, err := try(testDir, Options{FS: files})
		if err == nil {
			_ = l.Close()
			t.Fatalf("opened; want it refused for %s", file)
		}
		if !strings.Contains(err.Error(), file) {
			t.Fatalf("the error does not name %s: %v", file, err)
		}
		if !errors.Is(err, engine.ErrDamaged) && !strings.Contains(err.Error(), "format version") {
			t.Fatalf("not ErrDamaged: %v", err)
		}
		if !contentOf(t, files, testDir).equal(c) {
			t.Fatal("the folder was changed")
		}
	}
}

// placesIn returns where the records of a segment begin, as they were written.
func placesIn(t testing.TB, segment []byte) (places []place) {
	t.Helper()
	h, _, err := decodeHeader(segment)
	must(t, err)
	for at := dataStart; at < len(segment); {
		r, ok := h.key().parse(segment[at:])
		if !ok || r.footer {
			break
		}
		places = append(places, place{r.seq, int64(at)})
		at += int(r.size())
	}
	return places
}

// smallSegment is the size of the segments of the tests' logs.
const smallSegment = 16 << 10

// someLog makes a closed log of several small segments in memory, the last one begun.
func someLog(t testing.TB, frames int) content {
	t.Helper()
	files := vfs.NewMem()
	l, err := Open(testDir, Options{FS: files, SegmentBytes: smallSegment})
	must(t, err)
	appendFrames(t, l, frames)
	return closed(t, l)
}

func describe(c content) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "%s %d\n", name, len(c[name]))
	}
	return b.String()
}
