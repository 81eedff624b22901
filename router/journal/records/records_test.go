package records

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"aka/router/journal/codec"
	"aka/router/journal/frame"
	"aka/router/journal/ledger"
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
	wantAccount := account{dead: 1, parked: 2, lastDead: 400}
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

func TestParked_ReadsBackAndSeesEveryFlippedBit(t *testing.T) {
	want := &Parked{Destination: "vero", Queue: 3, Rank: frame.Position{Seq: 5, Index: 6}, Position: frame.Position{Seq: 5, Index: 6}, Attempts: 7, Failures: 8, First: time.Unix(9, 10).UTC(),
		PossiblyDelivered: true, Dead: "refused", DeadLetterID: 11, Hold: []byte("{}"), Since: time.Unix(12, 13).UTC(), Anew: true, Entry: frame.Entry{Source: "web-site_1"}}
	want.Entry.Type, want.Entry.MessageID, want.Entry.JSON = segment.Track, "m1", []byte("{}")
	key, data := want.Key().encode(), want.encode()
	got, err := decodeParked("vero", key, data)
	if err != nil || got.Dead != "refused" || got.DeadLetterID != 11 || got.Key() != want.Key() || !got.First.Equal(want.First) || string(got.Hold) != "{}" || !got.Since.Equal(want.Since) || !got.Anew || got.Entry.MessageID != "m1" {
		t.Fatalf("got %+v, %v", got, err)
	}
	for bit := range len(data) * 8 {
		damaged := slices.Clone(data)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, err := decodeParked("vero", key, damaged); !errors.Is(err, codec.ErrDamaged) {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
	for cut := range data {
		if _, err := decodeParked("vero", key, data[:cut]); !errors.Is(err, codec.ErrDamaged) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	if _, err := decodeParked("vero", key[1:], data); !errors.Is(err, codec.ErrDamaged) {
		t.Errorf("a short key: %v", err)
	}
}

// Of a key under which something may be stored it is never said that nothing is, however many queues there were.
func TestQueueEnds_ForgetNothingThatIsStored(t *testing.T) {
	var ends queueEnds
	key := func(queue uint64, seq int) []byte {
		return ParkedKey{Queue: queue, Rank: frame.Position{Seq: uint64(seq)}}.encode()
	}
	ends.found(key(5, 1))
	ends.found(key(5, 9))
	for queue := uint64(6); queue < 3*maxEnds; queue++ {
		if before := ends.addTo([][]byte{key(queue, 1), key(queue, 2)}); len(before) > 0 {
			t.Fatalf("queue %d is new, and has %d", queue, len(before))
		}
	}
	if len(ends.ends) > maxEnds {
		t.Errorf("%d are remembered", len(ends.ends))
	}
	for queue := uint64(5); queue < 3*maxEnds; queue += 1000 {
		if before := ends.addTo([][]byte{key(queue, 1)}); len(before) != 1 {
			t.Fatalf("queue %d had one", queue)
		}
	}
	last := uint64(3*maxEnds - 1)
	if before := ends.addTo([][]byte{key(last, 2), key(last, 3)}); len(before) != 1 {
		t.Errorf("of one that was there and one behind, %d may have been", len(before))
	}
}

// At first automatic decisions had no verdict, and were approvals.
func TestAutoDecisions_ReadWhatHasNoVerdict(t *testing.T) {
	old := codec.AppendSum(append([]byte{recordVersion}, `[{"number":7,"destination":"vero","rule":"max_ids","source":"app","until":"2026-01-02T03:04:05Z","made":"2026-01-01T03:04:05Z"}]`...))
	list, err := decodeAutoDecisions(old)
	if err != nil || len(list) != 1 || list[0].Verdict != ledger.Approved || list[0].Number != 7 || list[0].Rule != "max_ids" || list[0].Source != "app" {
		t.Fatalf("got %+v, %v", list, err)
	}
	list[0].Verdict = ledger.Refused
	if again, err := decodeAutoDecisions(encodeAutoDecisions(list)); err != nil || !slices.Equal(again, list) {
		t.Errorf("got %+v, %v", again, err)
	}
}

func FuzzParked(f *testing.F) {
	p := &Parked{Queue: 1, DeadLetterID: 2, Dead: "refused", Entry: frame.Entry{Source: "s"}}
	p.Entry.Type, p.Entry.MessageID, p.Entry.JSON = segment.Track, "m1", []byte("{}")
	body, _ := codec.CutSum(p.encode())
	f.Add(p.Key().encode(), body)
	p.Since = time.Unix(5, 6)
	body, _ = codec.CutSum(p.encode())
	f.Add(p.Key().encode(), body)
	f.Fuzz(func(t *testing.T, key, body []byte) {
		p, err := decodeParked("vero", key, codec.AppendSum(body))
		if err != nil {
			return
		}
		again, err := decodeParked("vero", p.Key().encode(), p.encode())
		if err != nil || again.Key() != p.Key() || again.DeadLetterID != p.DeadLetterID || again.Dead != p.Dead || again.Attempts != max(p.Attempts, 0) || !again.Since.Equal(p.Since) {
			t.Fatalf("%+v reads back as %+v, %v", p, again, err)
		}
	})
}

func FuzzSmallRecords(f *testing.F) {
	f.Add((&account{dead: 1, parked: 2, lastDead: 4}).encode())
	f.Add(Head{7, 8}.encode())
	f.Add((&deadIndex{filter: DeadFilter{Reason: "refused", Source: "s"}, callKey: []byte("k")}).encode())
	f.Add(destinationState{Paused: true}.encode())
	f.Fuzz(func(t *testing.T, body []byte) {
		data := codec.AppendSum(append([]byte{recordVersion}, body...))
		_, _ = decodeAccount(data)
		_, _ = decodeHead(data)
		_, _ = decodeState(data)
		_, _ = decodeCount(data)
		if x, err := decodeDeadIndex("vero", data); err == nil {
			if again, err := decodeDeadIndex("vero", x.encode()); err != nil || !reflect.DeepEqual(x, again) {
				t.Fatalf("%+v reads back as %+v, %v", x, again, err)
			}
		}
	})
}
