package journal

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"aka/router/segment"
)

func TestAFrameReadsBackAsItWasWritten(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 999999999, time.UTC)
	entries := []Entry{
		{Source: "website", Message: segment.Message{Header: segment.Header{Type: segment.Alias, MessageID: "m1", UserID: "jané", AnonymousID: "a", PreviousID: "a",
			PreviousIDDefaulted: true, Timestamp: at, ReceivedAt: at.Add(time.Second)}, Routing: []byte(`{"All":false}`), JSON: []byte(`{"x":1}`)}},
		{Source: "s", Target: "vero", Message: segment.Message{Header: segment.Header{Type: segment.Group, MessageID: "m2", GroupID: "g",
			Timestamp: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), ReceivedAt: at}, JSON: []byte(`{}`)}},
		{Message: segment.Message{Header: segment.Header{Type: segment.Track, Timestamp: at, ReceivedAt: at}}},
	}
	data := beginFrame(nil, 41)
	for i := range entries {
		data = appendRecord(data, &entries[i])
	}
	frame, err := decodeFrame(7, endFrame(data))
	if err != nil {
		t.Fatal(err)
	}
	if frame.Seq != 7 || frame.Before != 41 || !reflect.DeepEqual(frame.Entries, entries) {
		t.Fatalf("got %+v\nwant %+v", frame.Entries, entries)
	}
}

func TestEveryFlippedBitIsSeen(t *testing.T) {
	e := entry("u", 1)
	data := endFrame(appendRecord(beginFrame(nil, 3), &e))
	for bit := range len(data) * 8 {
		damaged := append([]byte(nil), data...)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, err := decodeFrame(1, damaged); !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d: got %v, want ErrDamaged", bit, err)
		}
	}
	for cut := range len(data) {
		if _, err := decodeFrame(1, data[:cut]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d: got %v, want ErrDamaged", cut, err)
		}
	}
}

func TestEveryFlippedBitOfWhatIsKeptBesideTheLogIsSeen(t *testing.T) {
	e := entry("u", 1)
	p := NewProgress(Position{Seq: 4}, 100)
	p.Begin(NewFrame(4, 100, make([]Entry, 70)))
	p.End(Position{4, 69})
	for name, kept := range map[string]struct {
		data []byte
		read func([]byte) error
	}{
		"a dead letter": {withMeta([]byte(`{"destination":"vero"}`), &e), func(data []byte) error {
			_, err := readMeta(data, &DeadLetter{})
			return err
		}},
		"progress": {p.Encode(true), func(data []byte) error {
			_, err := DecodeProgress(data)
			return err
		}},
	} {
		if err := kept.read(kept.data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for bit := range len(kept.data) * 8 {
			damaged := append([]byte(nil), kept.data...)
			damaged[bit/8] ^= 1 << (bit % 8)
			if kept.read(damaged) == nil {
				t.Fatalf("%s: bit %d is not seen", name, bit)
			}
		}
	}
}

func TestWhatWasKeptWithoutAChecksumIsRead(t *testing.T) {
	e := entry("u", 1)
	letter := withMeta([]byte(`{"destination":"vero"}`), &e)
	var d DeadLetter
	if got, err := readMeta(letter[:len(letter)-4], &d); err != nil || got.MessageID != e.MessageID || d.Destination != "vero" {
		t.Fatalf("got %+v, %v", d, err)
	}
	progress := NewProgress(Position{Seq: 4}, 100).Encode(true)
	progress[0] = 1
	if p, err := DecodeProgress(progress[:len(progress)-4]); err != nil || p.Floor() != 4 || p.Crashed() {
		t.Fatalf("got %v", err)
	}
}

func FuzzDecodeFrame(f *testing.F) {
	e := entry("u", 1)
	f.Add(appendRecord(beginFrame(nil, 3), &e))
	f.Add([]byte{frameVersion, 0, 200, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		// Past the checksum, so that the fields themselves are fuzzed.
		frame, err := decodeFrame(1, endFrame(append([]byte(nil), body...)))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("not an ErrDamaged: %v", err)
			}
			return
		}
		again := beginFrame(nil, frame.Before)
		for i := range frame.Entries {
			again = appendRecord(again, &frame.Entries[i])
		}
		second, err := decodeFrame(1, endFrame(again))
		if err != nil || !reflect.DeepEqual(frame.Entries, second.Entries) {
			t.Fatalf("does not read back: %v", err)
		}
	})
}

func TestProgressKeepsExactlyWhatEnded(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		sizes := make([]int, 1+random.IntN(12))
		for i := range sizes {
			sizes[i] = random.IntN(130)
		}
		p := NewProgress(Position{Seq: 1}, 0)
		ended := map[Position]bool{}
		begun := 0
		begin := func() {
			p.Begin(NewFrame(uint64(begun+1), sum(sizes[:begun]), make([]Entry, sizes[begun])))
			begun++
		}
		for range 400 {
			switch random.IntN(8) {
			case 0:
				if begun < len(sizes) {
					begin()
				}
			case 1:
				var err error
				if p, err = DecodeProgress(p.Encode(false)); err != nil {
					t.Fatal(err)
				}
				for begun = int(p.Floor()) - 1; begun < len(sizes) && random.IntN(4) > 0; {
					begin()
				}
			default:
				if begun == 0 {
					continue
				}
				frame := random.IntN(begun)
				if sizes[frame] == 0 || uint64(frame+1) < p.Floor() {
					continue
				}
				pos := Position{uint64(frame + 1), random.IntN(sizes[frame])}
				p.End(pos)
				ended[pos] = true
			}
		}
		for begun = max(begun, int(p.Floor())-1); begun < len(sizes); {
			begin()
		}
		for frame, size := range sizes {
			for i := range size {
				pos := Position{uint64(frame + 1), i}
				if p.HasEnded(pos) != ended[pos] {
					t.Fatalf("seed %d: %v: HasEnded is %v", seed, pos, !ended[pos])
				}
			}
		}
		if p.Ended() != uint64(len(ended)) {
			t.Fatalf("seed %d: %d counted as ended, %d have", seed, p.Ended(), len(ended))
		}
	}
}

func sum(sizes []int) (total uint64) {
	for _, s := range sizes {
		total += uint64(s)
	}
	return total
}

func FuzzDecodeProgress(f *testing.F) {
	p := NewProgress(Position{Seq: 4}, 100)
	p.Begin(NewFrame(4, 100, make([]Entry, 70)))
	p.End(Position{4, 69})
	f.Add(p.Encode(false))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := DecodeProgress(data)
		if err != nil {
			return
		}
		p.Begin(NewFrame(p.Floor(), 0, make([]Entry, 3)))
		p.End(Position{p.Floor(), 1})
		if _, err := DecodeProgress(p.Encode(false)); err != nil {
			t.Fatal(err)
		}
	})
}
