package journal

import "math/bits"

// keySet is a set of keys, by 104 of their bits: 96 that are stored and 8 that choose a shard. Two keys are taken for one with
// a probability of 2^-104; with eight million in the set, a key that is new is found in it once in 2^81.
//
// It takes 15 to 19 bytes a key and holds no pointers that the garbage collector would follow. Each shard grows by itself and
// by a quarter, so that there is never a moment at which all of it stands in memory twice.
type keySet struct {
	shards [keyShards]keyShard
	count  int
}

const keyShards = 256

// keyShard is a table with open addressing. Its slots are in use up to four fifths.
type keyShard struct {
	slots []keySlot
	count int
}

// keySlot is the stored part of a key. The zero slot is empty.
type keySlot struct{ high, middle, low uint32 }

// locate returns the shard of a key, and what is stored there.
func (s *keySet) locate(k messageKey) (*keyShard, keySlot) {
	slot := keySlot{uint32(k[0] >> 32), uint32(k[0]), uint32(k[1])}
	if slot == (keySlot{}) {
		slot.low = 1
	}
	return &s.shards[k[1]>>56], slot
}

func (s *keySet) has(k messageKey) bool {
	shard, slot := s.locate(k)
	_, found := shard.find(slot)
	return found
}

// add puts a key in, and reports whether it is new.
func (s *keySet) add(k messageKey) bool {
	shard, slot := s.locate(k)
	at, found := shard.find(slot)
	if found {
		return false
	}
	if (shard.count+1)*5 > len(shard.slots)*4 {
		shard.grow()
		at, _ = shard.find(slot)
	}
	shard.slots[at] = slot
	shard.count++
	s.count++
	return true
}

func (s *keySet) remove(k messageKey) {
	shard, slot := s.locate(k)
	if at, found := shard.find(slot); found {
		shard.empty(at)
		shard.count--
		s.count--
	}
}

// find returns where the slot stands, or else the empty one where it would; there is none in a shard that never grew.
func (t *keyShard) find(slot keySlot) (at int, found bool) {
	if len(t.slots) == 0 {
		return 0, false
	}
	at = t.home(slot)
	for t.slots[at] != (keySlot{}) {
		if t.slots[at] == slot {
			return at, true
		}
		at = t.after(at)
	}
	return at, false
}

// home is where a slot stands if that is free. The slots of a key's neighbours are evenly spread, as the hash is.
func (t *keyShard) home(slot keySlot) int {
	at, _ := bits.Mul64(uint64(slot.high)<<32|uint64(slot.middle), uint64(len(t.slots)))
	return int(at)
}

func (t *keyShard) after(at int) int {
	if at+1 == len(t.slots) {
		return 0
	}
	return at + 1
}

func (t *keyShard) grow() {
	old := t.slots
	t.slots = make([]keySlot, len(old)+max(len(old)/4, 16))
	for _, slot := range old {
		if slot != (keySlot{}) {
			at, _ := t.find(slot)
			t.slots[at] = slot
		}
	}
}

// empty takes a slot out, and moves those up that would not be found behind the hole.
func (t *keyShard) empty(hole int) {
	for at := t.after(hole); t.slots[at] != (keySlot{}); at = t.after(at) {
		if t.distance(t.home(t.slots[at]), at) >= t.distance(hole, at) {
			t.slots[hole] = t.slots[at]
			hole = at
		}
	}
	t.slots[hole] = keySlot{}
}

// distance is how many steps lead from one slot to another.
func (t *keyShard) distance(from, to int) int {
	if to >= from {
		return to - from
	}
	return to - from + len(t.slots)
}
