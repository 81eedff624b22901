package seglog

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"aka/router/journal/engine"
)

// killed makes a log of one segment and returns what a kill leaves of it: zeros behind the records, of which there are enough.
func killed(t testing.TB, frames int) (c content, end int64) {
	t.Helper()
	files := vfs.NewMem()
	l := openLog(t, Options{FS: files, SegmentBytes: 2 * smallSegment})
	appendFrames(t, l, frames)
	if l.active.ahead < l.active.end+5000 {
		t.Fatalf("zeros up to %d are behind the records, which end at %d", l.active.ahead, l.active.end)
	}
	return contentOf(t, files, testDir), l.active.end
}

// over returns a copy of b with another written over it at a place.
func over(b []byte, at int64, other []byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], other)
	return b
}

// recordBehind returns a record that belongs behind the last one of a segment.
func recordBehind(t testing.TB, segment []byte, seq uint64, data []byte) []byte {
	t.Helper()
	h, _, err := decodeHeader(segment)
	must(t, err)
	return h.key().appendRecord(nil, recordHeader{seq: seq}, data)
}

// wantTail fails unless Open and Check find the frames up to last, of which those are damaged, and a torn write if so.
func wantTail(t *testing.T, where string, c content, last uint64, isTorn bool, damaged ...uint64) {
	t.Helper()
	l, err := OpenReadOnly(testDir, Options{FS: c.fs(t)})
	must(t, err)
	defer func() { _ = l.Close() }()
	sound, broken := readAny(t, l)
	findings := l.Findings()
	foundTorn := slices.ContainsFunc(findings, func(f engine.Finding) bool { return f.Torn })
	if _, got := l.Bounds(); got != last || sound+uint64(len(broken)) != last || !slices.Equal(broken, damaged) || foundTorn != isTorn {
		t.Fatalf("%s: the last frame is %d, %d are sound and %v damaged; want %d and %v, torn %v; findings %+v",
			where, got, sound, broken, last, damaged, isTorn, findings)
	}
	r, err := Check(testDir, Options{FS: l.options.FS}, func(engine.Frame) {})
	if err != nil || r.Last != last || r.Damaged != uint64(len(damaged)) || len(r.Findings) != len(findings) || len(r.Problems) > 0 {
		t.Fatalf("%s: the check found %+v, %v", where, r, err)
	}
}

// readAny reads a log whatever its frames are, and returns how many are sound, and which are not.
func readAny(t *testing.T, l *Log) (sound uint64, broken []uint64) {
	t.Helper()
	r := l.Reader(1)
	defer r.Close()
	for {
		f, err := r.Next(t.Context())
		switch {
		case errors.Is(err, engine.ErrEnd):
			return sound, broken
		case err != nil:
			t.Fatal(err)
		case f.Err != nil:
			broken = append(broken, f.Seq)
		default:
			sound++
		}
	}
}

func TestZerosBehindTheRecordsAreNothing(t *testing.T) {
	c, end := killed(t, 20)
	name := segmentName(1)
	wantTail(t, "killed", c, 20, false)
	files := c.fs(t)
	l := openLog(t, Options{FS: files})
	if bytes, _, _ := l.Size(); bytes != end {
		t.Errorf("the size is %d, with the zeros; want %d", bytes, end)
	}
	appendFrames(t, l, 5)
	wantAll(t, l, 1, 25)
	must(t, l.Close())
	wantTail(t, "with a segment behind it", contentOf(t, files, testDir), 25, false)
	for _, zeros := range []int64{1, recordHead - 1, recordHead, 5 * chunkSize} {
		wantTail(t, fmt.Sprint(zeros, " zeros"), c.with(name, append(c[name][:end:end], make([]byte, zeros)...)), 20, false)
	}
}

// A kill leaves the first bytes of the last write: whole pages of it.
// allCuts is for .ci/long. Else a long record is cut at all places only near its ends and those of sectors.
var allCuts = flag.Bool("seglog.allcuts", false, "cut the last record of a killed process at every byte")

func TestAWriteThatWasKilledOverZerosIsTorn(t *testing.T) {
	for i := range 10 { // so that it begins at different places of a sector
		frames := aheadAfter + i
		c, end := killed(t, frames)
		name, next := segmentName(1), uint64(frames+1)
		for _, size := range []int{1, 100, 700, 3000} {
			record := recordBehind(t, c[name], next, noise[100:][:size])
			step := 1
			if i > 0 {
				step = 1 + (frames*7919+size)%29
			}
			for cut := 1; cut < len(record); cut += step {
				if cut > recordHead && cut > len(record)-someZeros && (end+int64(cut))%sectorSize > 0 {
					continue // neither a kernel nor a disk leaves that
				}
				inSector := (end + int64(cut)) % sectorSize
				inMidst := cut > 2*recordHead && cut < len(record)-2*someZeros && inSector > recordHead && inSector < sectorSize-recordHead
				if inMidst && size > sectorSize && cut%13 > 0 && !*allCuts {
					continue
				}
				where := fmt.Sprintf("%d frames, %d of %d bytes at %d", frames, cut, len(record), end)
				wantTail(t, where, c.with(name, over(c[name], end, record[:cut])), next-1, true)
			}
		}
	}
}

// A power cut leaves any sectors of the last write.
func TestAWriteOfWhichSectorsAreMissingIsTorn(t *testing.T) {
	random := rand.New(rand.NewPCG(*flipSeed, 8))
	for round := range 200 {
		frames := aheadAfter + round%40
		c, end := killed(t, frames)
		name, next := segmentName(1), uint64(frames+1)
		if round%2 == 0 { // the header is in two sectors
			before := recordBehind(t, c[name], next, noise[:2*sectorSize-(end+recordHead+int64(2+round/2%(recordHead-2)))%sectorSize])
			c[name] = over(c[name], end, before)
			end, next = end+int64(len(before)), next+1
			if to := toSector(end); to > recordHead {
				t.Fatalf("it begins %d bytes before a sector", to)
			}
		}
		record := recordBehind(t, c[name], next, noise[random.IntN(1000):][:random.IntN(3000)+1])
		left, missing := bytes.Clone(c[name]), 0
		percent := random.IntN(100)
		for from := end; from < end+int64(len(record)); {
			to := min(from+toSector(from), end+int64(len(record)))
			if random.IntN(100) < percent {
				copy(left[from:to], record[from-end:to-end])
			} else {
				missing++
			}
			from = to
		}
		if missing == 0 {
			wantWhole(t, c.with(name, left), next, record[recordHead:])
			continue
		}
		isTorn := !bytes.Equal(left, c[name])
		wantTail(t, fmt.Sprintf("%d frames, %d sectors of %d bytes at %d are missing", frames, missing, len(record), end), c.with(name, left), next-1, isTorn)
	}
}

// wantWhole fails unless the last frame is this one.
func wantWhole(t *testing.T, c content, last uint64, data []byte) {
	t.Helper()
	l := openLog(t, Options{FS: c.fs(t)})
	f, err := l.Reader(last).Next(t.Context())
	if err != nil || f.Seq != last || !bytes.Equal(f.Data, data) {
		t.Fatalf("frame %d has %d bytes, %v, %v", f.Seq, len(f.Data), err, f.Err)
	}
}

func TestABitThatFlipsInTheZerosIsNoFrame(t *testing.T) {
	for frames := aheadAfter; frames < aheadAfter+12; frames++ {
		c, end := killed(t, frames)
		name := segmentName(1)
		for at := end; at < int64(len(c[name])); at += 1 + (at-end)/recordHead {
			bit := int(at)*8 + int(at*31%8)
			wantTail(t, fmt.Sprintf("%d frames, bit %d", frames, bit), c.with(name, flipped(c[name], bit)), uint64(frames), true)
		}
	}
}

// Whatever a frame holds: zeros in it do not make a flipped bit a write that was interrupted.
func TestABitThatFlipsInTheLastFrameIsDamage(t *testing.T) {
	for name, data := range map[string][]byte{
		"noise": noise[:700], "zeros": make([]byte, 1500), "ends in zeros": append(noise[:600:600], make([]byte, 200)...), "one byte": {0}, "nothing": {},
	} {
		t.Run(name, func(t *testing.T) {
			c, end := killed(t, 10)
			segment := over(c[segmentName(1)], end, recordBehind(t, c[segmentName(1)], 11, data))
			record := recordHead + len(data)
			for _, b := range [][]byte{segment, segment[:end+int64(record)]} { // killed, and closed
				for bit := int(end) * 8; bit < (int(end)+record)*8; bit++ {
					if bit > (int(end)+recordHead)*8 {
						bit += 28
					}
					l, err := OpenReadOnly(testDir, Options{FS: c.with(segmentName(1), flipped(b, min(bit, (int(end)+record)*8-1))).fs(t)})
					must(t, err)
					_, broken := readFrom(t, l, 1)
					if f := l.Findings(); len(f) != 1 || f[0].Torn || f[0].Offset != end || f[0].Bytes > int64(record) {
						t.Fatalf("bit %d of the record: findings %+v", bit-int(end)*8, f)
					}
					if _, last := l.Bounds(); last != 11 || !slices.Equal(broken, []uint64{11}) {
						t.Fatalf("bit %d of the record: the last frame is %d, and %v are damaged", bit-int(end)*8, last, broken)
					}
					must(t, l.Close())
				}
			}
		})
	}
}

// Damage in front of records is damage, though it be zeros.
func TestZerosInFrontOfARecordAreDamage(t *testing.T) {
	c, _ := killed(t, 40)
	name := segmentName(1)
	places := placesIn(t, c[name])
	for i := range places[:len(places)-1] {
		from, to := places[i].at, places[i+1].at
		for _, wiped := range [][2]int64{{from, to}, {from, from + recordHead}, {from + recordHead, to}} {
			hit := over(c[name], wiped[0], make([]byte, wiped[1]-wiped[0]))
			wantTail(t, fmt.Sprintf("zeros from %d to %d", wiped[0], wiped[1]), c.with(name, hit), 40, false, places[i].seq)
		}
	}
}

func TestZerosAreWrittenAheadOfSmallWrites(t *testing.T) {
	files := vfs.NewMem()
	d := newDisk(files)
	writes := map[errorfs.OpKind]int{}
	d.failing(func(op errorfs.Op) error {
		writes[op.Kind]++
		return nil
	})
	l := openLog(t, Options{FS: d, SegmentBytes: 1 << 20})
	size := func() int64 {
		info, err := files.Stat(testDir + "/" + segmentName(1))
		must(t, err)
		return info.Size()
	}
	last := uint64(0)
	add := func(bytes int) {
		t.Helper()
		var err error
		last, err = l.Append([][]byte{noise[:bytes]}, last, 0)
		must(t, err)
	}
	for range 2 * aheadAfter { // as many connections do
		add(500)
		add(smallWrite)
	}
	if size() != l.active.end || writes[errorfs.OpFileWriteAt] > 0 {
		t.Errorf("the file has %d bytes, and %d are records", size(), l.active.end)
	}
	for range 1000 {
		add(500)
	}
	if n := writes[errorfs.OpFileWriteAt]; n < 5 || n > 10 {
		t.Errorf("zeros were written %d times", n)
	}
	if ahead := size() - l.active.end; ahead < 0 || ahead > aheadBytes {
		t.Errorf("%d bytes are ahead of the records", ahead)
	}
	for l.active.end < 1<<20-600 {
		add(500)
	}
	if size() != 1<<20 {
		t.Errorf("the segment has %d bytes", size())
	}
}

func TestWithoutZerosTheLogIsTheSame(t *testing.T) {
	for name, breakDisk := range map[string]func(*disk){
		"writing them fails": func(d *disk) { d.failing(only(errorfs.OpFileWriteAt, errDisk)) },
		"there is no room":   func(d *disk) { d.failing(only(errorfs.OpFileWriteAt, syscall.ENOSPC)) },
	} {
		t.Run(name, func(t *testing.T) {
			files := vfs.NewMem()
			d := newDisk(files)
			o := Options{FS: d, SegmentBytes: smallSegment}
			l := openLog(t, o)
			breakDisk(d)
			appendFrames(t, l, 100)
			wantAll(t, l, 1, 100)
			d.failing(nil)
			appendFrames(t, l, 100)
			must(t, l.Close())
			l = openLog(t, o)
			wantAll(t, l, 1, 200)
			if len(l.Findings()) > 0 {
				t.Errorf("findings: %+v", l.Findings())
			}
		})
	}
}

// A frame is refused when there is no room for the frame, and not for want of zeros.
func TestAFullDiskTakesAsManyFramesWithZerosAsWithout(t *testing.T) {
	data := noise[:200]
	for room := int64(0); room < 200_000; room += 100 + room*3/4 {
		d := newDisk(vfs.NewMem())
		l := openLog(t, Options{FS: d})
		must(t, l.makeRoom(1))
		d.setRoom(room)
		last := uint64(0)
		for {
			got, err := l.Append([][]byte{data}, last, 0)
			if errors.Is(err, engine.ErrFull) {
				break
			}
			must(t, err)
			last = got
		}
		if want := uint64(room / recordSize(data)); last != want {
			t.Errorf("%d bytes of room took %d frames, not %d", room, last, want)
		}
	}
}

// What a clean end leaves on a disk are records, and no zeros.
func TestACloseCutsTheZerosOff(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{SegmentBytes: 200 << 10})
	must(t, err)
	sizeOf := func(first uint64) int64 {
		info, err := os.Stat(filepath.Join(dir, segmentName(first)))
		must(t, err)
		return info.Size()
	}
	last := uint64(0)
	for range 500 {
		last, err = l.Append([][]byte{noise[:600]}, last, 0)
		must(t, err)
	}
	segments := l.list()
	if len(segments) != 2 {
		t.Fatalf("there are %d segments", len(segments))
	}
	newest := segments[1]
	if got := sizeOf(newest.first); got <= newest.size {
		t.Errorf("%d bytes, of which %d are records: none are ahead", got, newest.size)
	}
	if got := sizeOf(1); got != segments[0].size || readIndexOf(t, l, *segments[0]) == nil {
		t.Errorf("the finished segment has %d bytes, not %d", got, segments[0].size)
	}
	must(t, l.Close())
	if got := sizeOf(newest.first); got != newest.end {
		t.Errorf("the closed segment has %d bytes, not %d", got, newest.end)
	}
	l, err = Open(dir, Options{})
	must(t, err)
	defer func() { _ = l.Close() }()
	if _, got := l.Bounds(); got != last || len(l.Findings()) > 0 {
		t.Errorf("the last frame is %d, findings %+v", got, l.Findings())
	}
}

func readIndexOf(t *testing.T, l *Log, s segment) []place {
	t.Helper()
	file, err := l.options.FS.Open(s.path)
	must(t, err)
	defer func() { _ = file.Close() }()
	return readIndex(file, s)
}

// A backup holds records, and no zeros.
func TestABackupLeavesTheZerosOut(t *testing.T) {
	files := vfs.NewMem()
	d := newDisk(files)
	l := openLog(t, Options{FS: d, SegmentBytes: smallSegment})
	appendFrames(t, l, 100)
	d.failing(only(errorfs.OpLink, syscall.EXDEV))
	_, err := l.Backup("/backup")
	must(t, err)
	original, copied := contentOf(t, files, testDir), contentOf(t, files, "/backup")
	zeros := 0
	for _, s := range l.list() {
		name := segmentName(s.first)
		if got := len(copied[name]); int64(got) != s.size {
			t.Errorf("the copy of %s has %d of %d bytes, and %d are records", name, got, len(original[name]), s.size)
		}
		zeros += len(original[name]) - len(copied[name])
	}
	if zeros == 0 {
		t.Error("there were no zeros")
	}
}

// A power cut in the middle of a write leaves any blocks of it, over zeros or behind the end of the file.
func TestAPowerCutInAWriteIsNoDamage(t *testing.T) {
	for round := range uint64(*powerCuts) {
		random := rand.New(rand.NewPCG(*flipSeed, 300+round))
		files := vfs.NewCrashableMem()
		d := newDisk(files)
		l := openLog(t, Options{FS: d})
		last := appendFrames(t, l, 1+random.IntN(100))
		var cut *vfs.MemFS
		d.failing(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileSyncData {
				cut = files.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 10 + random.IntN(80), RNG: random})
			}
			return nil
		})
		data := noise[random.IntN(1000):][:1+random.IntN(30_000)]
		_, err := l.Append([][]byte{data}, last, 0)
		must(t, err)
		after := openLog(t, Options{FS: cut})
		r, err := Check(testDir, Options{FS: cut}, func(engine.Frame) {})
		if err != nil || r.Damaged > 0 || len(r.Problems) > 0 {
			t.Fatalf("round %d: the check found %+v, %v", round, r, err)
		}
		if _, got := after.Bounds(); got == last+1 {
			wantWhole(t, contentOf(t, cut, testDir), got, data)
		} else {
			wantAll(t, after, 1, last)
		}
	}
}
