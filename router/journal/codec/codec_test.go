package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

func TestCutSum_SeesEveryFlippedBit(t *testing.T) {
	data := AppendSum([]byte("a call"))
	if body, sound := CutSum(data); !sound || string(body) != "a call" {
		t.Fatalf("got %q, %t", body, sound)
	}
	for bit := range len(data) * 8 {
		damaged := bytes.Clone(data)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, sound := CutSum(damaged); sound {
			t.Errorf("bit %d is not seen", bit)
		}
	}
	for cut := range data {
		if _, sound := CutSum(data[:cut]); sound {
			t.Errorf("cut at %d is not seen", cut)
		}
	}
}

func TestReader_ReadsWhatWasWrittenAndNothingAfterAFailure(t *testing.T) {
	at := time.Date(2026, 11, 29, 1, 2, 3, 999999999, time.UTC)
	data := AppendField(AppendTime(binary.AppendVarint(nil, -7), at), 300, []byte("value"))
	r := Reader{Data: data}
	if n, got, tag, value := r.Varint(), r.Time(), r.Uvarint(), r.Bytes(r.Uvarint()); n != -7 || !got.Equal(at) || tag != 300 || string(value) != "value" || r.Err != nil {
		t.Fatalf("got %d, %s, %d, %q, %v", n, got, tag, value, r.Err)
	}
	if r.Byte() != 0 || !errors.Is(r.Err, ErrDamaged) || r.Uvarint() != 0 || r.Varint() != 0 || r.Bytes(1) != nil {
		t.Fatalf("it reads on after its end: %v", r.Err)
	}
	for v, want := range map[uint64]int{0: 1, 127: 1, 128: 2, 1<<63 - 1: 9, 1 << 63: 10} {
		if got := UvarintLen(v); got != want || got != len(binary.AppendUvarint(nil, v)) {
			t.Errorf("%d takes %d bytes, want %d", v, got, want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(AppendTime(nil, time.Unix(1, 2)))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := Reader{Data: data}
		for r.Err == nil && len(r.Data) > 0 {
			before := len(r.Data)
			r.Time()
			r.Bytes(r.Uvarint())
			r.Varint()
			r.Byte()
			if r.Err == nil && len(r.Data) >= before {
				t.Fatal("nothing was read")
			}
		}
		if r.Err != nil && !errors.Is(r.Err, ErrDamaged) {
			t.Fatalf("not an ErrDamaged: %v", r.Err)
		}
	})
}
