package merges

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"hash/maphash"
	"strings"
	"sync"
)

// digest is an id's keyed hash: no id itself is remembered, and ids cannot be tried without the key.
type digest [16]byte

// hasher makes digests. It is safe for concurrent use.
type hasher struct{ pool sync.Pool }

type keyed struct {
	hash hash.Hash
	in   []byte
	out  [sha256.Size]byte
}

func newHasher(key []byte) *hasher {
	key = bytes.Clone(key)
	return &hasher{sync.Pool{New: func() any { return &keyed{hash: hmac.New(sha256.New, key)} }}}
}

// What a digest is of, so that no two of different kinds are alike.
const (
	ofID      = 'i'
	ofPair    = 'p'
	ofAccount = 'a'
)

func (h *hasher) sum(kind byte, parts ...string) (d digest) {
	k, _ := h.pool.Get().(*keyed)
	k.in = append(k.in[:0], kind)
	for _, part := range parts {
		k.in = append(k.in, part...)
	}
	k.hash.Reset()
	k.hash.Write(k.in)
	copy(d[:], k.hash.Sum(k.out[:0]))
	clear(k.in)
	if cap(k.in) <= maxKept {
		h.pool.Put(k)
	}
	return d
}

// maxKept bounds the buffer that is kept for the next digest.
const maxKept = 1 << 16

func (h *hasher) id(text string) digest { return h.sum(ofID, text) }

// Digester returns what makes an id's digest under a memory's key: see Options.Key. It is safe for concurrent use.
func Digester(key []byte) func(id string) [16]byte {
	h := newHasher(key)
	return func(id string) [16]byte { return h.id(id) }
}

// pair is the digest of two ids in any order.
func (h *hasher) pair(a, b digest) digest {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return h.sum(ofPair, string(a[:]), string(b[:]))
}

// recentIDs keeps the digests of ids that were asked for last, and what is known of them: those of one call are asked for again and
// again while it is judged and learned.
type recentIDs struct {
	seed  maphash.Seed
	slots [1 << 10]recentID
}

type recentID struct {
	text   string
	digest digest
	// node is what is in memory of the id as long as round is that of the memory.
	node  *node
	round uint64
}

// maxRecentID bounds the length of an id that is kept.
const maxRecentID = 128

// Digest returns what an id is known by.
func (m *Memory) Digest(id string) [16]byte { return m.id(id) }

// id returns an id's digest.
func (m *Memory) id(text string) digest {
	if len(text) > maxRecentID {
		return m.hash.id(text)
	}
	return m.recent(text).digest
}

// of returns what is known of an id, as get does.
func (m *Memory) of(text string) *node {
	if len(text) > maxRecentID {
		return m.get(m.hash.id(text))
	}
	r := m.recent(text)
	if r.node == nil || r.round != m.round {
		n := m.get(r.digest)
		if n.unreadable {
			return n
		}
		r.node, r.round = n, m.round
	}
	return r.node
}

func (m *Memory) recent(text string) *recentID {
	r := &m.ids.slots[maphash.String(m.ids.seed, text)%uint64(len(m.ids.slots))]
	if r.text != text || text == "" {
		*r = recentID{text: strings.Clone(text), digest: m.hash.id(text)}
	}
	return r
}
