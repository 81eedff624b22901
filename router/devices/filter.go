// Package devices remembers which ids were seen as an anonymousId, for 15 to 30 days: two generations of a Bloom filter, of 8 MiB
// each, and their files. It holds no id, only bits and keyed digests.
package devices

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// Lifetime is how long a generation takes ids. It answers for as long again.
	Lifetime = 15 * 24 * time.Hour
	// Capacity is how many ids a generation takes. With so many, fewer than 1 in 2,000 other ids seem to be in it.
	Capacity = 3_000_000

	blockWords = 8       // 512 bits: one line of the processor's cache
	blocks     = 1 << 17 // 8 MiB
	bitsPerID  = 7
	bitsOfSpot = 9 // of the 512; 7 of them fit into one number
)

// generation is a Bloom filter whose bits of one id are all in one block. It is safe for concurrent use.
type generation struct {
	words [blocks * blockWords]atomic.Uint64
	added atomic.Int64
}

// place returns the first word of an id's block, and a number that holds which of its bits are the id's.
func place(digest uint64) (first int, spots uint64) {
	block, _ := bits.Mul64(digest, blocks)
	return int(block) * blockWords, mix(digest)
}

// mix is the finalizer of SplitMix64: each bit of the result depends on each of the argument.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (g *generation) has(digest uint64) bool {
	first, spots := place(digest)
	words := g.words[first : first+blockWords]
	for range bitsPerID {
		if words[spots>>6&7].Load()>>(spots&63)&1 == 0 {
			return false
		}
		spots >>= bitsOfSpot
	}
	return true
}

// add reports whether the id was new. A full generation takes none, so that what it says stays right.
func (g *generation) add(digest uint64) (isNew bool) {
	if g.has(digest) || g.isFull() {
		return false
	}
	first, spots := place(digest)
	for range bitsPerID {
		g.words[first+int(spots>>6&7)].Or(1 << (spots & 63))
		spots >>= bitsOfSpot
	}
	g.added.Add(1)
	return true
}

func (g *generation) isFull() bool { return g.added.Load() >= Capacity }

// clear makes it empty. What asks it meanwhile may miss an id.
func (g *generation) clear() {
	for i := range g.words {
		g.words[i].Store(0)
	}
	g.added.Store(0)
}
