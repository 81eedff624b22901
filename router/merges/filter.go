package merges

import (
	"context"
	"encoding/binary"
	"sync/atomic"
)

// filter says of most ids that have no record that they have none, so that a new person's ids need no look-up on disk. It is a
// blocked Bloom filter in RAM: an id has filterProbes bits, all within one cache line. FillFilter puts the ids into it that have a
// record on disk; until it has them all, the filter says nothing.
type filter struct {
	lines  [][lineWords]atomic.Uint64
	filled atomic.Bool
}

const (
	lineWords    = 8
	lineBits     = lineWords * 64
	filterProbes = 5
	// idsPerLine is about how many ids a line is for: 10 bits each, of which 1 in 50 new ids is looked up all the same.
	idsPerLine = lineBits / 10
	// minFilterIDs and maxFilterIDs bound for how many ids it is made: it takes 1 to 4 MiB. With more ids it is of less use.
	minFilterIDs = 1 << 20 * 8 / 10
	maxFilterIDs = 4 * minFilterIDs
)

// newFilter returns an empty filter that suits so many ids, and as many that are still to come.
func newFilter(ids uint64) *filter {
	return &filter{lines: make([][lineWords]atomic.Uint64, min(max(2*ids, minFilterIDs), maxFilterIDs)/idsPerLine)}
}

// add puts an id in. It is safe for concurrent use, as is lacks.
func (f *filter) add(id digest) {
	line, bits := f.line(id)
	for range filterProbes {
		at := bits % lineBits
		line[at/64].Or(1 << (at % 64))
		bits /= lineBits
	}
}

// lacks reports whether an id has no record for certain.
func (f *filter) lacks(id digest) bool {
	if !f.filled.Load() {
		return false
	}
	line, bits := f.line(id)
	for range filterProbes {
		at := bits % lineBits
		if line[at/64].Load()&(1<<(at%64)) == 0 {
			return true
		}
		bits /= lineBits
	}
	return false
}

// line returns an id's line, and what its bits follow from: a digest is as good as random.
func (f *filter) line(id digest) (line *[lineWords]atomic.Uint64, bits uint64) {
	at := binary.LittleEndian.Uint64(id[:]) % uint64(len(f.lines))
	return &f.lines[at], binary.LittleEndian.Uint64(id[8:])
}

// FillFilter reads which ids have a record, about a second for a million, so that those that have none need no look-up on disk.
// It may run beside all else, and ends early with ctx. Where not all can be read, each id is looked up.
func (m *Memory) FillFilter(ctx context.Context) {
	prefix := m.prefix()
	err := m.store.EachFact(ctx, prefix, func(key, _ []byte) bool {
		if len(key) != keyBytes || string(key[:len(prefix)]) != string(prefix) || ctx.Err() != nil {
			return false
		}
		m.filter.add(digest(key[len(prefix):]))
		return true
	})
	if err == nil && ctx.Err() == nil {
		m.filter.filled.Store(true)
	}
}
