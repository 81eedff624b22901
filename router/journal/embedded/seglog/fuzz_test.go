package seglog

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

// Whatever a segment's file holds: it is refused or read, and reading comes to an end.
func FuzzSegment(f *testing.F) {
	small := vfs.NewMem()
	l, err := Open(testDir, Options{FS: small, SegmentBytes: 1})
	must(f, err)
	for seq := range uint64(2) {
		_, err := l.Append([][]byte{[]byte("frame"), nil, []byte("another frame"), nil}, 4*seq, seq)
		must(f, err)
	}
	c := contentOf(f, small, testDir)
	first, last := c[segmentName(1)], c[segmentName(5)]
	for _, b := range [][]byte{nil, first, last, first[:dataStart], last[:len(last)-1], flipped(first, 8*(dataStart+4)), flipped(last, 8*(dataStart+50))} {
		f.Add(b, b, false)
		f.Add(b[min(len(b), dataStart):], b[min(len(b), dataStart):], true)
	}
	var disorder []byte // sequences that cannot be
	for _, seq := range []uint64{3, 1, 2, 99, 4, 4} {
		disorder = key{}.appendRecord(disorder, recordHeader{seq: seq}, []byte("frame"))
	}
	f.Add(disorder, disorder, true)
	f.Add(disorder, []byte(nil), true)
	f.Fuzz(func(t *testing.T, head, tail []byte, seal bool) {
		if seal {
			end := int64(dataStart + len(head))
			head, tail = resealed(head, header{first: 1}), resealed(tail, header{first: 5, prev: link{1, 4, end}})
		}
		files := c.with(segmentName(1), head).with(segmentName(5), tail).fs(t)
		fuzzOpen(t, files)
		report, err := Check(testDir, Options{FS: files}, func(frame engine.Frame) {
			if len(frame.Data) > len(head)+len(tail)+100 {
				t.Fatalf("a frame of %d bytes", len(frame.Data))
			}
		})
		if err != nil || report.Frames > uint64(len(head)+len(tail))/recordHead+10 {
			t.Fatalf("%+v, %v", report, err)
		}
	})
}

// resealed returns a segment with these records, and makes the checksums right, so that what they protect is looked at. Half of
// the payloads' stay as they are.
func resealed(records []byte, h header) []byte {
	b := append(h.encode(), records...)
	for at := dataStart; at+recordHead <= len(b); {
		record := b[at:]
		length := int(binary.LittleEndian.Uint32(record[4:]) &^ footerBit)
		binary.LittleEndian.PutUint32(record, h.key().magic)
		if fits := recordHead+length <= len(record); fits && record[28]%2 == 0 {
			binary.LittleEndian.PutUint32(record[24:], h.key().sum(record[recordHead:][:length]))
		}
		binary.LittleEndian.PutUint32(record[28:], h.key().sum(record[:28]))
		at += recordHead + length%5000
	}
	return b
}

func fuzzOpen(t *testing.T, files vfs.FS) {
	l, err := Open(testDir, Options{FS: files})
	if err != nil {
		return
	}
	defer func() { _ = l.Close() }()
	r := l.Reader(1)
	defer r.Close()
	_, last := l.Bounds()
	before := uint64(0)
	for frames := 0; ; frames++ {
		f, err := r.Next(context.Background())
		if err != nil {
			break
		}
		if f.Seq <= before || f.Seq > last || len(f.Data) > 1<<20 || frames > 1<<20 {
			t.Fatalf("frame %d comes behind frame %d of %d: %d bytes", f.Seq, before, last, len(f.Data))
		}
		before = f.Seq
	}
	if _, err := l.Append([][]byte{{1}}, last, 0); err != nil {
		t.Fatal(err)
	}
}
