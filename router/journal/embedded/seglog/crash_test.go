package seglog

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"aka/router/journal/engine"
)

var powerCuts = flag.Int("seglog.powercuts", 100, "how often the power is cut")

// wantAcknowledged fails unless the frames from first to last are there and sound. Behind them may come what was not
// acknowledged.
func wantAcknowledged(t *testing.T, l *Log, where string, first, last uint64) {
	t.Helper()
	gotFirst, gotLast := l.Bounds()
	if gotFirst > first || gotLast < last {
		t.Fatalf("%s: bounds are %d and %d, acknowledged %d to %d", where, gotFirst, gotLast, first, last)
	}
	sound, _ := readFrom(t, l, first)
	for i := range last + 1 - first {
		if uint64(len(sound)) <= i || sound[i] != first+i {
			t.Fatalf("%s: frame %d is not there", where, first+i)
		}
	}
}

// A power cut at any operation, with any part of what was not synced: every frame that was acknowledged is there. In every other
// round operations fail before that, too.
func TestAPowerCutLosesNothingAcknowledged(t *testing.T) {
	for round := range uint64(*powerCuts) {
		random := rand.New(rand.NewPCG(*flipSeed, 100+round))
		files := vfs.NewCrashableMem()
		cutAt := 1 + random.IntN(400)
		var cut *vfs.MemFS
		d := newDisk(files)
		o := Options{FS: d, SegmentBytes: smallSegment}
		l := openLog(t, o)
		var first, last, acknowledged, safeFirst uint64 = 1, 0, 0, 1
		d.failing(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
				return nil
			}
			if cutAt--; cutAt == 0 {
				percent := []int{0, 10, 50, 90, 100}[random.IntN(5)]
				cut = files.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: random})
				acknowledged, safeFirst = last, first
			}
			if round%2 == 1 && random.IntN(15) == 0 {
				return errDisk
			}
			return nil
		})
		for step := 0; cut == nil; step++ {
			batch := make([][]byte, 1+random.IntN(6))
			for i := range batch {
				batch[i] = frameOf(last + 1 + uint64(i))
			}
			got, err := l.Append(batch, last, 0)
			if errors.Is(err, errDisk) {
				continue
			}
			must(t, err)
			last = got
			if step%10 == 9 {
				below := last - min(last, uint64(random.IntN(60)))
				first = max(first, below) // from here on it may be gone
				if err := l.Trim(below, 0); !errors.Is(err, errDisk) {
					must(t, err)
				}
			}
		}
		where := fmt.Sprintf("round %d", round)
		after, err := Open(testDir, Options{FS: cut, SegmentBytes: smallSegment})
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		wantAcknowledged(t, after, where, safeFirst, acknowledged)
		appendFrames(t, after, 50)
		_, last = after.Bounds()
		must(t, after.Close())
		// What was found is safe by now, and so is what was appended.
		after = openLog(t, Options{FS: cut.CrashClone(vfs.CrashCloneCfg{}), SegmentBytes: smallSegment})
		wantAcknowledged(t, after, where, safeFirst, acknowledged)
		if _, got := after.Bounds(); got != last {
			t.Fatalf("%s: the last frame is %d, not %d", where, got, last)
		}
	}
}

// Each operation fails, one to three times, in a run that does everything; then the disk works again.
func TestAnyOperationMayFail(t *testing.T) {
	kinds := map[string]errorfs.OpKind{
		"create": errorfs.OpCreate, "write": errorfs.OpFileWrite, "sync": errorfs.OpFileSync, "sync data": errorfs.OpFileSyncData,
		"rename": errorfs.OpRename, "remove": errorfs.OpRemove, "open folder": errorfs.OpOpenDir, "link": errorfs.OpLink,
		"open": errorfs.OpOpen, "read": errorfs.OpFileReadAt, "list": errorfs.OpList, "stat": errorfs.OpStat,
		"make folder": errorfs.OpMkdirAll,
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n += 1 + n/20 {
				count, times := 0, 1+n%3
				run := faultyRun{t: t, where: fmt.Sprintf("operation %d", n), files: vfs.NewMem()}
				run.disk = newDisk(run.files)
				run.disk.failing(func(op errorfs.Op) error {
					if op.Kind != kind {
						return nil
					}
					if count++; count >= n && count < n+times {
						return errDisk
					}
					return nil
				})
				run.do()
				if count < n {
					if n < 2 {
						t.Error("there is no such operation")
					}
					return
				}
			}
		})
	}
}

// faultyRun appends, trims, reads and backs up on a disk that fails, and keeps count of what it was promised.
type faultyRun struct {
	t           *testing.T
	where       string
	files       *vfs.MemFS
	disk        *disk
	log         *Log
	first, last uint64 // acknowledged and not trimmed
}

func (r *faultyRun) do() {
	r.first = 1
	o := Options{FS: r.disk, SegmentBytes: smallSegment / 2}
	for range 2 {
		r.open(o)
		for range 2 {
			for range 8 {
				r.append()
			}
			r.first = max(r.first, r.last-10)
			_ = r.log.Trim(r.first, 0)
			dir := fmt.Sprintf("/backup%d", r.last)
			if last, err := r.log.Backup(dir); err == nil {
				b, err := Open(dir, Options{FS: r.files})
				if err != nil {
					r.t.Fatalf("%s: %v", r.where, err)
				}
				if _, got := b.Bounds(); got != last || last != r.last {
					r.t.Fatalf("%s: the backup's last frame is %d, not %d", r.where, got, last)
				}
				wantAcknowledged(r.t, b, r.where, r.first, r.last)
			}
		}
		must(r.t, r.log.Close())
	}
	r.disk.failing(nil)
	l := openLog(r.t, o)
	wantAcknowledged(r.t, l, r.where, r.first, r.last)
	first, last := l.Bounds()
	if last != r.last {
		r.t.Fatalf("%s: the last frame is %d, not %d", r.where, last, r.last)
	}
	wantAll(r.t, l, first, last)
	must(r.t, l.Trim(last+1, 0))
	appendFrames(r.t, l, 1)
	must(r.t, l.Close())
}

// open opens the log, again where it fails.
func (r *faultyRun) open(o Options) {
	for try := 0; ; try++ {
		l, err := Open(testDir, o)
		if err == nil {
			r.log = l
			break
		}
		if !errors.Is(err, errDisk) || try > 3 {
			r.t.Fatalf("%s: %v", r.where, err)
		}
	}
	if _, got := r.log.Bounds(); got != r.last {
		r.t.Fatalf("%s: the last frame is %d, not %d", r.where, got, r.last)
	}
}

// append adds two frames, again where it fails.
func (r *faultyRun) append() {
	batch := [][]byte{frameOf(r.last + 1), slices.Concat(frameOf(r.last + 2))}
	for try := 0; ; try++ {
		got, err := r.log.Append(batch, r.last, 0)
		if err == nil {
			r.last = got
			break
		}
		if !errors.Is(err, errDisk) || try > 4 {
			r.t.Fatalf("%s: %v", r.where, err)
		}
		if _, last := r.log.Bounds(); last != r.last {
			r.t.Fatalf("%s: the last frame is %d after a failed append, not %d", r.where, last, r.last)
		}
	}
	reader := r.log.Reader(r.last)
	defer reader.Close()
	for {
		f, err := reader.Next(r.t.Context())
		if errors.Is(err, errDisk) {
			continue
		}
		if err != nil || f.Seq != r.last || !bytes.Equal(f.Data, frameOf(r.last)) {
			r.t.Fatalf("%s: frame %d, not %d: %v, %v", r.where, f.Seq, r.last, err, f.Err)
		}
		if _, err := reader.Next(r.t.Context()); !errors.Is(err, engine.ErrEnd) && !errors.Is(err, errDisk) {
			r.t.Fatalf("%s: %v", r.where, err)
		}
		return
	}
}
