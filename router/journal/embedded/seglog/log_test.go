package seglog

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

func TestWhatWasAppendedIsReadInOrderAndAfterAReopen(t *testing.T) {
	files := vfs.NewMem()
	o := Options{FS: files, SegmentBytes: smallSegment}
	l := openLog(t, o)
	if first, last := l.Bounds(); first != 1 || last != 0 {
		t.Fatalf("a new log's bounds are %d and %d", first, last)
	}
	appendFrames(t, l, 100)
	wantAll(t, l, 1, 100)
	last, err := l.Append([][]byte{frameOf(101), frameOf(102), frameOf(103)}, 100, 7)
	if err != nil || last != 103 {
		t.Fatalf("three at once: %d, %v", last, err)
	}
	must(t, l.Close())
	l = openLog(t, o)
	wantAll(t, l, 1, 103)
	if l.Mark() != 7 || len(l.Findings()) != 0 {
		t.Errorf("mark %d, findings %v", l.Mark(), l.Findings())
	}
	appendFrames(t, l, 50)
	wantAll(t, l, 1, 153)
	for from := uint64(1); from <= 153; from++ {
		if sound, _ := readFrom(t, l, from); len(sound) != int(154-from) {
			t.Fatalf("from %d: %v", from, sound)
		}
	}
	if bytes, frames, segments := l.Size(); frames != 153 || segments < 3 || bytes < 40_000 {
		t.Errorf("size: %d bytes, %d frames, %d segments", bytes, frames, segments)
	}
}

func TestAppendWantsToKnowWhereTheLogEnds(t *testing.T) {
	l := openLog(t, Options{FS: vfs.NewMem()})
	appendFrames(t, l, 3)
	for _, after := range []uint64{0, 2, 4} {
		if _, err := l.Append([][]byte{{1}}, after, 0); !errors.Is(err, engine.ErrNotLast) {
			t.Errorf("after %d: %v", after, err)
		}
	}
	if last, err := l.Append(nil, 3, 0); last != 3 || err != nil {
		t.Errorf("no frames: %d, %v", last, err)
	}
	if _, err := l.Append([][]byte{make([]byte, MaxFrame+1)}, 3, 0); err == nil {
		t.Error("a frame that is too long was taken")
	}
	appendFrames(t, l, 1)
	wantAll(t, l, 1, 4)
	must(t, l.Close())
	if _, err := l.Append([][]byte{{1}}, 4, 0); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := l.Reader(1).Next(context.Background()); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
