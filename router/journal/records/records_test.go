package records

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"aka/router/journal/codec"
	"aka/router/segment"
)

func TestDeadIndex_ReadsBackAndSeesEveryFlippedBit(t *testing.T) {
	want := deadIndex{DeadFilter{"vero", "too_old", segment.Alias, "web-site_1"}, time.UnixMilli(1234), 99, []byte("key")}
	data := want.encode()
	if got, err := decodeDeadIndex("vero", data); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v", got, err)
	}
	for bit := range len(data) * 8 {
		damaged := slices.Clone(data)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, err := decodeDeadIndex("vero", damaged); !errors.Is(err, codec.ErrDamaged) {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
}

func TestSmallRecords_ReadBackAndSeeEveryFlippedBit(t *testing.T) {
	wantAccount := account{1, 2, 3, 400, 500, 600}
	wantHead := Head{7, 1 << 40}
	wantState := destinationState{Paused: true, RemovedAt: 9, CallsBefore: 8}
	for name, record := range map[string]struct {
		data []byte
		want any
		read func([]byte) (any, error)
	}{
		"account": {wantAccount.encode(), wantAccount, func(data []byte) (any, error) { return decodeAccount(data) }},
		"head":    {wantHead.encode(), wantHead, func(data []byte) (any, error) { return decodeHead(data) }},
		"state":   {wantState.encode(), wantState, func(data []byte) (any, error) { return decodeState(data) }},
	} {
		if got, err := record.read(record.data); err != nil || got != record.want {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
		for bit := range len(record.data) * 8 {
			damaged := slices.Clone(record.data)
			damaged[bit/8] ^= 1 << (bit % 8)
			if _, err := record.read(damaged); err == nil {
				t.Fatalf("%s: bit %d is not seen", name, bit)
			}
		}
		for cut := range record.data {
			if _, err := record.read(record.data[:cut]); err == nil {
				t.Fatalf("%s: cut at %d is not seen", name, cut)
			}
		}
	}
}

func FuzzSmallRecords(f *testing.F) {
	f.Add((&account{1, 2, 3, 4, 5, 6}).encode())
	f.Add(Head{7, 8}.encode())
	f.Add((&deadIndex{filter: DeadFilter{Reason: "refused", Source: "s"}, callKey: []byte("k")}).encode())
	f.Add(destinationState{Paused: true}.encode())
	f.Fuzz(func(t *testing.T, body []byte) {
		data := codec.AppendSum(append([]byte{recordVersion}, body...))
		_, _ = decodeAccount(data)
		_, _ = decodeHead(data)
		_, _ = decodeState(data)
		if x, err := decodeDeadIndex("vero", data); err == nil {
			if again, err := decodeDeadIndex("vero", x.encode()); err != nil || !reflect.DeepEqual(x, again) {
				t.Fatalf("%+v reads back as %+v, %v", x, again, err)
			}
		}
	})
}
