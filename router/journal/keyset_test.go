package journal

import (
	"math/rand/v2"
	"testing"
)

func TestAKeySetHoldsWhatWasAddedAndNotRemoved(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	// Few of them in one shard, so that they stand close and many are met again; and all over.
	crowded := func() messageKey { return messageKey{random.Uint64N(300) << 56, 7} }
	spread := func() messageKey { return messageKey{random.Uint64N(4) << 62, random.Uint64N(keyShards) << 56} }
	for _, next := range []func() messageKey{crowded, spread} {
		s, want := &keySet{}, map[messageKey]bool{}
		for range 50_000 {
			switch k := next(); random.IntN(3) {
			case 0:
				s.remove(k)
				delete(want, k)
			default:
				if isNew := s.add(k); isNew == want[k] {
					t.Fatalf("add(%x) = %v, but it was there: %v", k, isNew, want[k])
				}
				want[k] = true
			}
			if s.count != len(want) {
				t.Fatalf("%d keys, want %d", s.count, len(want))
			}
		}
		for range 5000 {
			if k := next(); s.has(k) != want[k] {
				t.Fatalf("has(%x) = %v", k, s.has(k))
			}
		}
	}
}

func TestKeysOfZerosAreKeysLikeOthers(t *testing.T) {
	s := &keySet{}
	if zero := (messageKey{}); s.has(zero) || !s.add(zero) || s.add(zero) || !s.has(zero) {
		t.Error("the key of zeros is not found again, or was there before")
	}
	s.remove(messageKey{})
	if s.has(messageKey{}) {
		t.Error("it is there after it was removed")
	}
}

func TestAKeySetTakesLittleForEachKey(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	s := &keySet{}
	for n := 1; n <= 300_000; n++ {
		s.add(messageKey{random.Uint64(), random.Uint64()})
		if n%10_000 != 0 || n < 50_000 {
			continue
		}
		slots := 0
		for i := range s.shards {
			slots += cap(s.shards[i].slots)
		}
		if perKey := float64(slots) * 12 / float64(n); perKey > 20 {
			t.Fatalf("%d keys take %.1f bytes each", n, perKey)
		}
	}
}
