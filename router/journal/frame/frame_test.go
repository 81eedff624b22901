package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"aka/router/journal/codec"
	"aka/router/segment"
)

func TestAFrameReadsBackAsItWasWritten(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 999999999, time.UTC)
	entries := []Entry{
		{Source: "website", Request: 0, Message: segment.Message{Header: segment.Header{Type: segment.Alias, MessageID: "m1", UserID: "jané", AnonymousID: "a", PreviousID: "a",
			PreviousIDDefaulted: true, FromDevice: true, DeviceMicros: 1767323045999001, UserIDStamped: true, PreviousIDRepaired: true, Timestamp: at, ReceivedAt: at.Add(time.Second),
			Clock: 1767323045999000 - 77, ReorderWindow: 300 * time.Millisecond}, Routing: []byte(`{"All":false}`), JSON: []byte(`{"x":1}`)}},
		{Source: "s", Target: "vero", Request: 1, Message: segment.Message{Header: segment.Header{Type: segment.Group, MessageID: "m2", GroupID: "g",
			Timestamp: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), ReceivedAt: at}, JSON: []byte(`{}`)}},
		{Request: 3, Message: segment.Message{Header: segment.Header{Type: segment.Track, DeviceMicros: -5, Timestamp: at, ReceivedAt: at}}},
	}
	data := Begin(nil, 41)
	for i := range entries {
		data = AppendRecord(data, &entries[i])
	}
	committed := time.UnixMilli(1767323046123).UTC()
	frame, err := Decode(7, End(data, Fields{Committed: committed, Requests: []uint32{1, 1, 0, 1}}))
	if err != nil {
		t.Fatal(err)
	}
	if frame.Seq != 7 || frame.Before != 41 || frame.Committed != committed || !reflect.DeepEqual(frame.Entries, entries) {
		t.Fatalf("got %+v\nwant %+v", frame.Entries, entries)
	}
}

// A log that was written before there were microseconds has milliseconds only, and a program from then reads those.
func TestFrame_KeepsMillisecondsApartFromMicroseconds(t *testing.T) {
	for micros, want := range map[int64]string{
		1767323045999000: "tagged 2 1767323045999",
		1767323045999001: "tagged 2 1767323045999, tagged 3 1",
		-1:               "tagged 2 -1, tagged 3 999",
		7:                "tagged 2 0, tagged 3 7",
	} {
		e := entry("u", 1)
		e.DeviceMicros = micros
		fields := codec.Reader{Data: appendFields(nil, &e)}
		fields = codec.Reader{Data: fields.Bytes(fields.Uvarint())}
		var got []string
		for len(fields.Data) > 0 {
			tag := fields.Uvarint()
			value := codec.Reader{Data: fields.Bytes(fields.Uvarint())}
			if tag == tagDeviceTime {
				got = append(got, fmt.Sprintf("tagged %d %d", tag, value.Varint()))
			} else {
				got = append(got, fmt.Sprintf("tagged %d %d", tag, value.Uvarint()))
			}
		}
		if got := strings.Join(got, ", "); got != want || fields.Err != nil {
			t.Errorf("%d: %s, not %s (%v)", micros, got, want, fields.Err)
		}
	}
}

// A program that does not know a tag passes over it, and writes a call's again.
func TestFrame_KeepsUnknownTags(t *testing.T) {
	unknown := codec.AppendField(nil, 77, []byte("later"))
	e := entry("u", 1)
	e.FromDevice, e.fields = true, unknown
	data := AppendRecord(Begin(nil, 3), &e)
	body := codec.AppendField(data, 99, []byte("a frame's")) // as endFrame would, with a tag of its own
	body = binary.LittleEndian.AppendUint32(body, uint32(len(body)-len(data)))
	frame, err := Decode(1, codec.AppendSum(body))
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadMeta(WithMeta([]byte("{}"), &frame.Entries[0]), &struct{}{})
	if err != nil || !reflect.DeepEqual(again, e) {
		t.Fatalf("got %+v, %v\nwant %+v", again, err, e)
	}
}

func TestEveryFlippedBitIsSeen(t *testing.T) {
	e := entry("u", 1)
	data := End(AppendRecord(Begin(nil, 3), &e), Fields{Committed: time.Now(), Requests: []uint32{1, 0}})
	for bit := range len(data) * 8 {
		damaged := append([]byte(nil), data...)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, err := Decode(1, damaged); !errors.Is(err, codec.ErrDamaged) {
			t.Fatalf("bit %d: got %v, want codec.ErrDamaged", bit, err)
		}
	}
	for cut := range len(data) {
		if _, err := Decode(1, data[:cut]); !errors.Is(err, codec.ErrDamaged) {
			t.Fatalf("cut at %d: got %v, want codec.ErrDamaged", cut, err)
		}
	}
}

func TestEveryFlippedBitOfWhatIsKeptBesideTheLogIsSeen(t *testing.T) {
	e := entry("u", 1)
	p := NewProgress(Position{Seq: 4}, 100)
	p.Begin(New(4, 100, make([]Entry, 70), 0))
	p.End(Position{4, 69})
	for name, kept := range map[string]struct {
		data []byte
		read func([]byte) error
	}{
		"a dead letter": {WithMeta([]byte(`{"destination":"vero"}`), &e), func(data []byte) error {
			_, err := ReadMeta(data, &struct{ Destination string }{})
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

func FuzzDecodeFrame(f *testing.F) {
	e := entry("u", 1)
	f.Add(AppendRecord(Begin(nil, 3), &e))
	f.Add([]byte{version, 0, 200, 1})
	whole := End(AppendRecord(Begin(nil, 3), &e), Fields{Committed: time.Unix(1, 0), Requests: []uint32{1, 0}})
	f.Add(whole[:len(whole)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		// Past the checksum, so that the fields themselves are fuzzed.
		frame, err := Decode(1, codec.AppendSum(append([]byte(nil), body...)))
		if err != nil {
			if !errors.Is(err, codec.ErrDamaged) {
				t.Fatalf("not an codec.ErrDamaged: %v", err)
			}
			return
		}
		again := Begin(nil, frame.Before)
		for i := range frame.Entries {
			again = AppendRecord(again, &frame.Entries[i])
		}
		for i := range frame.Entries {
			frame.Entries[i].Request = 0
		}
		second, err := Decode(1, End(again, Fields{}))
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
			p.Begin(New(uint64(begun+1), sum(sizes[:begun]), make([]Entry, sizes[begun]), 0))
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
	p.Begin(New(4, 100, make([]Entry, 70), 0))
	p.End(Position{4, 69})
	f.Add(p.Encode(false))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := DecodeProgress(data)
		if err != nil {
			return
		}
		p.Begin(New(p.Floor(), 0, make([]Entry, 3), 0))
		p.End(Position{p.Floor(), 1})
		if _, err := DecodeProgress(p.Encode(false)); err != nil {
			t.Fatal(err)
		}
	})
}

func entry(user string, n int) Entry {
	at := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)
	return Entry{Source: "website", Message: segment.Message{
		Header: segment.Header{Type: segment.Track, MessageID: fmt.Sprintf("%s-%d", user, n), UserID: user, Timestamp: at, ReceivedAt: at},
		JSON:   []byte(`{"type":"track","event":"Clicked"}`),
	}}
}

func TestProgressStaysSmallBehindACallThatWaits(t *testing.T) {
	p := NewProgress(Position{Seq: 1}, 0)
	calls := make([]Entry, 100)
	for seq := range uint64(60_000) {
		p.Begin(New(seq+1, seq*100, calls, 0))
		for i := range calls {
			if seq%10_000 > 0 || i > 0 {
				p.End(Position{seq + 1, i})
			}
		}
	}
	if size := len(p.Encode(false)); size > 500 {
		t.Fatalf("progress over 60,000 frames with six calls waiting is %d bytes", size)
	}
	if p.Ended() != 6_000_000-6 {
		t.Fatalf("%d calls ended", p.Ended())
	}
}
