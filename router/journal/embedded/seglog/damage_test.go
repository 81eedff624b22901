package seglog

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

var (
	flips    = flag.Int("seglog.flips", 300, "places at which a bit is flipped")
	flipSeed = flag.Uint64("seglog.seed", 1, "seed of all that is random")
)

// Every flip ends in one of three ways: all frames are there, or one is damaged, or the log is refused and nothing is changed.
func TestAFlippedBitCostsOneFrameOrIsRefusedByName(t *testing.T) {
	c := someLog(t, 60)
	c = reopened(t, c, 20) // a segment that was not finished
	killed := c.with(c.lastSegment(), append(bytes.Clone(c[c.lastSegment()]), make([]byte, 3000)...))
	names := slices.Sorted(maps.Keys(c))
	random := rand.New(rand.NewPCG(*flipSeed, 2))
	outcomes := map[string]int{}
	for i := range *flips {
		c := []content{c, killed}[random.IntN(2)]
		name := names[random.IntN(len(names))]
		if random.IntN(8) == 0 {
			name = stateName
		}
		bit := random.IntN(len(c[name]) * 8)
		if random.IntN(8) == 0 {
			bit = random.IntN(min(len(c[name]), headerSize) * 8)
		}
		where := fmt.Sprintf("bit %d of %s", bit, name)
		outcomes[flipOutcome(t, where, c.with(name, flipped(c[name], bit)), name, i%8 == 0)]++
	}
	t.Log(outcomes)
	for _, outcome := range []string{"whole", "one damaged", "refused"} {
		if outcomes[outcome] == 0 && *flips >= 300 {
			t.Errorf("no flip ended with: %s", outcome)
		}
	}
}

// flipOutcome opens a log with a flipped bit. It looks more closely when thorough is set.
func flipOutcome(t *testing.T, where string, c content, name string, thorough bool) string {
	files := c.fs(t)
	l, err := Open(testDir, Options{FS: files, SegmentBytes: smallSegment})
	if err != nil {
		if !strings.Contains(err.Error(), name) || !contentOf(t, files, testDir).equal(c) {
			t.Fatalf("%s: %v", where, err)
		}
		return "refused"
	}
	defer func() { _ = l.Close() }()
	first, last := l.Bounds()
	sound, broken := readFrom(t, l, 0)
	if first != 1 || last != 80 || len(sound)+len(broken) != 80 || len(broken) > 1 {
		t.Fatalf("%s: bounds %d and %d, %d sound, damaged %v", where, first, last, len(sound), broken)
	}
	if thorough {
		report, err := Check(testDir, Options{FS: files}, func(engine.Frame) {})
		if err != nil || report.Frames != uint64(len(sound)) || report.Damaged != uint64(len(broken)) || len(report.Problems) > 0 {
			t.Fatalf("%s: the check found %+v, %v", where, report, err)
		}
		appendFrames(t, l, 1)
		if again, lost := readFrom(t, l, 0); len(again) != len(sound)+1 || !slices.Equal(lost, broken) {
			t.Fatalf("%s: %d sound and damaged %v after an append", where, len(again), lost)
		}
	}
	if len(broken) == 1 {
		return "one damaged"
	}
	return "whole"
}

// reopened appends n frames more in a new process.
func reopened(t testing.TB, c content, n int) content {
	t.Helper()
	files := c.fs(t)
	l, err := Open(testDir, Options{FS: files, SegmentBytes: smallSegment})
	must(t, err)
	appendFrames(t, l, n)
	return closed(t, l)
}

func TestOneCopyOfAHeaderIsEnough(t *testing.T) {
	c := someLog(t, 60)
	for _, name := range c.segments() {
		for _, at := range []int{0, secondHeader} {
			hit := bytes.Clone(c[name])
			copy(hit[at:], make([]byte, headerSize))
			l := openLog(t, Options{FS: c.with(name, hit).fs(t)})
			wantAll(t, l, 1, 60)
			if f := l.Findings(); len(f) != 1 || f[0].File != testDir+"/"+name || f[0].Offset != int64(at) || f[0].Torn || f[0].First != 0 {
				t.Errorf("findings: %+v", f)
			}
		}
		hit := bytes.Clone(c[name])
		copy(hit, make([]byte, dataStart))
		wantRefused(t, c.with(name, hit), name)
	}
}

func TestAnotherVersionIsRefusedAndSaysSo(t *testing.T) {
	c := someLog(t, 60)
	version := func(b []byte, at, size int) []byte {
		b = bytes.Clone(b)
		b[at+8]++
		sum := crc32.Checksum(b[at:at+size-4], castagnoli)
		binary.LittleEndian.PutUint32(b[at+size-4:], sum)
		return b
	}
	name := c.lastSegment()
	for name, c := range map[string]content{
		name:      c.with(name, version(version(c[name], 0, headerSize), secondHeader, headerSize)),
		stateName: c.with(stateName, version(c[stateName], 0, stateSize)),
	} {
		wantRefused(t, c, name)
		_, err := Open(testDir, Options{FS: c.fs(t)})
		if !strings.Contains(err.Error(), "format version 2, and this program reads version 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Behind damage the next record is searched for. What looks like one inside a payload was written by somebody who does not know
// the segment's salt.
func TestBytesInsideAPayloadAreNotTakenForARecord(t *testing.T) {
	other := someLog(t, 30)
	hostile := other[other.segments()[0]]
	files := vfs.NewMem()
	l := openLog(t, Options{FS: files})
	for seq := uint64(0); seq < 3; seq++ {
		_, err := l.Append([][]byte{hostile}, seq, 0)
		must(t, err)
	}
	must(t, l.Close())
	c := contentOf(t, files, testDir)
	for i, p := range placesIn(t, c[segmentName(1)]) {
		l := openLog(t, Options{FS: c.with(segmentName(1), flipped(c[segmentName(1)], int(p.at)*8)).fs(t)})
		r := l.Reader(1)
		for seq := uint64(1); seq <= 3; seq++ {
			f, err := r.Next(t.Context())
			must(t, err)
			if f.Seq != seq || (f.Err != nil) != (seq == uint64(i+1)) || f.Err == nil && !bytes.Equal(f.Data, hostile) {
				t.Fatalf("header %d damaged: frame %d has %d bytes, %v", i+1, f.Seq, len(f.Data), f.Err)
			}
		}
		r.Close()
	}
}

func TestDamageIsCountedByTheSequencesAroundIt(t *testing.T) {
	c := someLog(t, 100)
	segments := c.segments()
	places := placesIn(t, c[segments[1]])
	if len(places) < 10 {
		t.Fatal(describe(c))
	}
	wipe := func(from, to int) content {
		b := bytes.Clone(c[segments[1]])
		end := len(b)
		if to < len(places) {
			end = int(places[to].at)
		}
		for i := int(places[from].at); i < end; i++ {
			b[i] ^= 0x55
		}
		return c.with(segments[1], b)
	}
	n := len(places)
	for _, gone := range [][2]int{{0, 1}, {0, 3}, {3, 7}, {n - 1, n}, {n - 4, n}, {0, n}} {
		var broken []uint64
		for _, p := range places[gone[0]:gone[1]] {
			broken = append(broken, p.seq)
		}
		files := wipe(gone[0], gone[1]).fs(t)
		l := openLog(t, Options{FS: files})
		wantFrames(t, l, 1, 100, broken...)
		for _, from := range broken {
			if _, lost := readFrom(t, l, from); lost[0] != from {
				t.Fatalf("from %d the first damaged frame is %d", from, lost[0])
			}
		}
	}
	// A file that was cut has no more than its frames, but the next one knows how many there were.
	cut := places[n-3]
	l := openLog(t, Options{FS: c.with(segments[1], c[segments[1]][:cut.at+5]).fs(t)})
	wantFrames(t, l, 1, 100, cut.seq, cut.seq+1, cut.seq+2)
}

// Between damage and a gap nothing tells how many frames were damaged. They are not more than there was room for.
func TestDamageBesideAGapIsNotCountedAsAllOfIt(t *testing.T) {
	files := vfs.NewMem()
	w, err := Create(testDir, 1, Options{FS: files})
	must(t, err)
	for _, seq := range []uint64{1, 2, 1_000_000, 1_000_001} {
		must(t, w.WriteFrame(seq, frameOf(seq)))
	}
	must(t, w.Finish(1_000_002, 0))
	c := contentOf(t, files, testDir)
	b := c[segmentName(1)]
	l := openLog(t, Options{FS: c.with(segmentName(1), flipped(b, 8*int(placesIn(t, b)[1].at))).fs(t)})
	sound, broken := readFrom(t, l, 1)
	if !slices.Equal(sound, []uint64{1, 1_000_000, 1_000_001}) || len(broken) == 0 || broken[0] != 2 || len(broken) > 20 {
		t.Errorf("sound %v, damaged %v", sound, broken)
	}
}

func TestAMissingFileIsRefusedByName(t *testing.T) {
	c := reopened(t, someLog(t, 100), 10)
	for _, name := range slices.Sorted(maps.Keys(c)) {
		wantRefused(t, c.without(name), name)
	}
	// The footer names the next file as well.
	segments := c.segments()
	last := len(segments) - 2 // was not finished, as the log was closed before
	newest, _ := parseName(segments[last-1])
	older := c.without(segments[last+1]).without(segments[last])
	older[stateName] = state{first: 1, newest: newest}.encode()
	wantRefused(t, older, segments[last])
}

func TestFilesInThePlaceOfOthersAreRefused(t *testing.T) {
	c := someLog(t, 100)
	segments := c.segments()
	wantRefused(t, c.with(segments[1], c[segments[0]]), segments[1])
	other := someLog(t, 100)
	wantRefused(t, c.with(segmentName(1000), other[segments[2]]), segmentName(1000))
	stranger := newHeader(1000, 0, link{first: 900, last: 999, end: dataStart})
	wantRefused(t, c.with(segmentName(1000), stranger.encode()), segmentName(900))
	newest, _ := parseName(c.lastSegment())
	for _, wrong := range []link{{newest, 1000, dataStart}, {newest, 100, 5}, {newest - 1, newest, dataStart}} {
		wantRefused(t, c.with(segmentName(101), newHeader(101, 0, wrong).encode()), c.lastSegment())
	}
	alone := content{stateName: state{first: 1, newest: 1}.encode(), segmentName(1): c[segments[1]]}
	wantRefused(t, alone, segmentName(1))
}

func TestALastSegmentWithoutAHeader(t *testing.T) {
	c := someLog(t, 100)
	next := segmentName(101)
	t.Run("whose creation was not finished is no part of the log", func(t *testing.T) {
		for _, size := range []int{0, 1, secondHeader, dataStart} {
			files := c.with(next, make([]byte, size)).fs(t)
			l := openLog(t, Options{FS: files})
			if f := l.Findings(); len(f) != 1 || !f[0].Torn || f[0].File != testDir+"/"+next {
				t.Errorf("findings: %+v", f)
			}
			wantAll(t, l, 1, 100)
			appendFrames(t, l, 1)
			must(t, l.Close())
			wantAll(t, openLog(t, Options{FS: files}), 1, 101)
		}
	})
	t.Run("which has records is refused", func(t *testing.T) {
		wantRefused(t, c.with(next, make([]byte, dataStart+1)), next)
	})
	t.Run("which was in use is refused", func(t *testing.T) {
		wantRefused(t, c.with(c.lastSegment(), nil), c.lastSegment()+": damaged: both copies of the header")
	})
	t.Run("which is not the last is refused", func(t *testing.T) {
		wantRefused(t, c.with(c.segments()[1], nil), c.segments()[1])
	})
}

// cutStep is how many bytes are between two cuts of the sweep.
var cutStep = flag.Int("seglog.cutstep", 1, "bytes between two places at which the last segment is cut")

func TestALogThatIsCutAnywhereOpensWithAllFramesBeforeTheCut(t *testing.T) {
	c := reopened(t, someLog(t, 60), 16)
	name := c.lastSegment()
	first, _ := parseName(name)
	whole := c[name]
	places := placesIn(t, whole)
	files := c.fs(t)
	for cut := len(whole); cut >= dataStart; cut -= *cutStep {
		putFile(t, files, name, whole[:cut])
		l, err := OpenReadOnly(testDir, Options{FS: files, SegmentBytes: smallSegment})
		must(t, err)
		n := 0
		for n < len(places) && (n+1 < len(places) && places[n+1].at <= int64(cut) || cut == len(whole)) {
			n++
		}
		last, end := first-1+uint64(n), int64(len(whole))
		if n < len(places) {
			end = places[n].at
		}
		if _, got := l.Bounds(); got != last {
			t.Fatalf("cut at %d: the last frame is %d, not %d", cut, got, last)
		}
		findings := l.Findings()
		if inside := int64(cut) != end; inside != (len(findings) == 1) || inside && (!findings[0].Torn || findings[0].Offset != end) {
			t.Fatalf("cut at %d: %+v", cut, findings)
		}
		if sound, broken := readFrom(t, l, first); len(sound) != n || len(broken) > 0 {
			t.Fatalf("cut at %d: %d sound, damaged %v", cut, len(sound), broken)
		}
		must(t, l.Close())
	}
}

func TestTheEndOfTheLastSegment(t *testing.T) {
	files := vfs.NewMem()
	l := openLog(t, Options{FS: files})
	appendFrames(t, l, 20)
	c, name := closed(t, l), segmentName(1)
	b := c[name]
	places := placesIn(t, b)
	lastAt := places[19].at
	h, _, _ := decodeHeader(b)
	next := h.key().appendRecord(nil, recordHeader{seq: 21}, frameOf(21))
	xor := func(at int64) []byte { return flipped(b, int(at)*8) }

	for _, test := range []struct {
		name    string
		content []byte
		last    uint64
		damaged []uint64
		torn    bool
	}{
		{"whole", b, 20, nil, false},
		{"less than a header behind it", append(bytes.Clone(b), next[:recordHead-1]...), 20, nil, true},
		{"zeros behind it", append(bytes.Clone(b), make([]byte, 9000)...), 20, nil, false},
		{"a few zeros behind it", append(bytes.Clone(b), make([]byte, recordHead-1)...), 20, nil, false},
		{"a header behind it", append(bytes.Clone(b), next[:recordHead]...), 20, nil, true},
		{"half a record behind it", append(bytes.Clone(b), next[:recordHead+8]...), 20, nil, true},
		{"a whole record that was not acknowledged", append(bytes.Clone(b), next...), 21, nil, false},
		{"a record with a wrong payload", append(bytes.Clone(b), flipped(next, 8*recordHead)...), 21, []uint64{21}, false},
		{"the last payload damaged", xor(lastAt + recordHead), 20, []uint64{20}, false},
		{"the last header damaged", xor(lastAt + 9), 20, []uint64{20}, false},
		{"the last but one header damaged", xor(places[18].at + 9), 20, []uint64{19}, false},
		{"a header damaged, then half a record", append(xor(lastAt), next[:recordHead+8]...), 20, []uint64{20}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := c.with(name, test.content).fs(t)
			l := openLog(t, Options{FS: files})
			wantFrames(t, l, 1, test.last, test.damaged...)
			wantFindings(t, l, test.torn, test.damaged)
			appendFrames(t, l, 2)
			must(t, l.Close())
			// Now the next segment says where this one ends.
			l = openLog(t, Options{FS: files})
			wantFrames(t, l, 1, test.last+2, test.damaged...)
			wantFindings(t, l, false, nil)
			if !bytes.Equal(contentOf(t, files, testDir)[name], test.content) {
				t.Fatal("an old segment was written")
			}
			report, err := Check(testDir, Options{FS: files}, func(engine.Frame) {})
			if err != nil || len(report.Findings) != len(test.damaged) || len(report.Problems) > 0 {
				t.Errorf("the check found %+v, %v", report, err)
			}
		})
	}
}

func wantFindings(t *testing.T, l *Log, isTorn bool, damaged []uint64) {
	t.Helper()
	var lost []uint64
	wasTorn := false
	for _, f := range l.Findings() {
		wasTorn = wasTorn || f.Torn
		for seq := f.First; seq > 0 && seq <= f.Last; seq++ {
			lost = append(lost, seq)
		}
		if f.Time.IsZero() || f.Bytes == 0 || f.File != testDir+"/"+segmentName(1) {
			t.Errorf("finding %+v", f)
		}
	}
	if wasTorn != isTorn || !slices.Equal(lost, damaged) {
		t.Errorf("findings: %+v", l.Findings())
	}
}
