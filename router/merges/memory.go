// Package merges remembers which ids were merged at a vendor, says which aliases would change nothing or be thrown away there, and
// finds the merges of an id.
package merges

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"aka/destinations/adapter"
)

const (
	// Max is how many merges one destination remembers: some 100 to 250 bytes of memory each, by the vendor.
	Max = 1_000_000
	// PerBlock is how many are stored, and forgotten, as one.
	PerBlock = 256
	// maxWalk bounds how far names are followed from one to the next.
	maxWalk = 1000
)

// digest stands for an id: nothing that is remembered holds one.
type digest [16]byte

func digestOf(text string) digest {
	sum := sha256.Sum256([]byte(text))
	return digest(sum[:len(digest{})])
}

// pairOf stands for two ids in any order.
func pairOf(a, b digest) digest {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return digestOf(string(a[:]) + string(b[:]))
}

// Merge is an adapter.Merge without its ids.
type Merge struct {
	rule     adapter.MergeRule
	limit    uint16
	from, to digest
}

// NewMerge returns the merge that an adapter named.
func NewMerge(m adapter.Merge) *Merge {
	return &Merge{m.Rule, uint16(m.Limit), digestOf(m.From), digestOf(m.To)}
}

// Memory is what a destination knows of the merges that were delivered there, the oldest forgotten first. It belongs to
// one goroutine. What it says is true of the vendor as far as the vendor keeps its own rules: a merge is for ever, whether it
// is remembered or not.
type Memory struct {
	account digest
	most    int // merges
	blocks  []*Block
	count   int

	// given is what is given once, by its rule: an id to the one that has it, and a pair to nothing.
	given    map[claimed]digest
	renamed  map[digest]renaming
	clusters clusters

	next      uint64   // the number of the next block
	drops     []uint64 // blocks that are still to be removed
	forgotten int
}

type claimed struct {
	rule adapter.MergeRule
	id   digest
}

// renaming is what became of an id: whom it named is known as another, and somebody new may live under it since.
type renaming struct {
	to    digest
	lives bool
}

// Block is some merges in order, as they are stored.
type Block struct {
	Number uint64
	Data   []byte
	saved  bool
}

// New returns an empty memory of an account, of up to so many merges.
func New(account string, most int) *Memory {
	return &Memory{
		account: digestOf(account), most: most, next: 1,
		given: map[claimed]digest{}, renamed: map[digest]renaming{}, clusters: newClusters(),
	}
}

// Refuses returns why an alias that asks for the merge is not to be sent, or "".
func (m *Memory) Refuses(a *Merge) adapter.Reason {
	switch a.rule {
	case adapter.MergeNames:
		return m.refusesName(a)
	case adapter.MergeRenames:
		return m.refusesRename(a)
	case adapter.MergeGivesFrom, adapter.MergeGivesTo:
		key, owner := a.gives()
		switch has, given := m.given[key]; {
		case given && (has == owner || m.clusters.joined(a.from, a.to)):
			return adapter.AlreadyMerged
		case given:
			return adapter.AliasTaken
		}
	case adapter.MergeJoins:
		_, known := m.given[a.pair()]
		if known || a.limit > 0 && m.clusters.joined(a.from, a.to) {
			return adapter.AlreadyMerged
		}
	}
	if a.limit > 0 && m.clusters.sizeTogether(a.from, a.to) >= int(a.limit) {
		return adapter.ClusterFull
	}
	return ""
}

// gives returns what the merge gives away, and who gets it.
func (a *Merge) gives() (key claimed, owner digest) {
	if a.rule == adapter.MergeGivesFrom {
		return claimed{a.rule, a.from}, a.to
	}
	return claimed{a.rule, a.to}, a.from
}

func (a *Merge) pair() claimed { return claimed{a.rule, pairOf(a.from, a.to)} }

func (m *Memory) refusesName(a *Merge) adapter.Reason {
	has, given := m.given[claimed{a.rule, a.to}]
	switch {
	case given && (has == a.from || m.end(a.to) == m.end(a.from)):
		return adapter.AlreadyMerged
	case given:
		return adapter.AliasTaken
	case m.end(a.from) == a.to:
		return adapter.WouldCycle
	}
	return ""
}

// end returns the id that a name leads to.
func (m *Memory) end(id digest) digest {
	for range maxWalk {
		next, given := m.given[claimed{adapter.MergeNames, id}]
		if !given {
			break
		}
		id = next
	}
	return id
}

// refusesRename lets a name be taken back that nobody has: that undoes a rename. One that somebody new lives under cannot be.
func (m *Memory) refusesRename(a *Merge) adapter.Reason {
	taken := m.renamed[a.to]
	switch {
	case m.became(a.from, a.to):
		return adapter.AlreadyMerged
	case taken.lives && (taken.to == a.from || m.became(taken.to, a.from)):
		return adapter.WouldCycle
	}
	return ""
}

// became tells whether the one whom an id named is, or was since, known as another, and nobody lives under the id.
func (m *Memory) became(id, other digest) bool {
	for range maxWalk {
		r, renamed := m.renamed[id]
		if !renamed || r.lives {
			return false
		}
		if r.to == other {
			return true
		}
		id = r.to
	}
	return false
}

// Add remembers a merge that was delivered, and tells whether that is news. One that the vendor has refused, as far as is
// known, is none.
func (m *Memory) Add(a *Merge) bool {
	if !m.isNews(a) {
		return false
	}
	m.apply(a)
	m.write(a)
	m.trim()
	return true
}

func (m *Memory) isNews(a *Merge) bool {
	switch a.rule {
	case adapter.MergeUses:
		r, renamed := m.renamed[a.to]
		return renamed && !r.lives
	case adapter.MergeRenames:
		return m.renamed[a.from] != renaming{to: a.to}
	}
	return m.Refuses(a) == ""
}

func (m *Memory) apply(a *Merge) {
	switch a.rule {
	case adapter.MergeJoins:
		if a.limit == 0 { // else the clusters know
			m.given[a.pair()] = digest{}
		}
	case adapter.MergeGivesFrom, adapter.MergeGivesTo, adapter.MergeNames:
		key, owner := a.gives()
		m.given[key] = owner
	case adapter.MergeRenames:
		m.renamed[a.from] = renaming{to: a.to}
		m.use(a.to)
	case adapter.MergeUses:
		m.use(a.to)
	}
	if a.limit > 0 {
		m.clusters.join(a.from, a.to)
	}
}

// use notes that somebody lives under the id.
func (m *Memory) use(id digest) {
	if r, renamed := m.renamed[id]; renamed {
		r.lives = true
		m.renamed[id] = r
	}
}

// forget takes back what apply did. Merges are forgotten in the order in which they came.
func (m *Memory) forget(a *Merge) {
	switch a.rule {
	case adapter.MergeJoins:
		delete(m.given, a.pair())
	case adapter.MergeGivesFrom, adapter.MergeGivesTo, adapter.MergeNames:
		key, _ := a.gives()
		delete(m.given, key)
	case adapter.MergeRenames:
		if m.renamed[a.from].to == a.to {
			delete(m.renamed, a.from)
		}
	}
	if a.limit > 0 {
		m.clusters.leave(a.from, a.to)
	}
}

// trim forgets the oldest blocks until what is left is within the bound.
func (m *Memory) trim() {
	for m.count > m.most {
		oldest := m.blocks[0]
		m.blocks = slices.Delete(m.blocks, 0, 1)
		m.drops = append(m.drops, oldest.Number)
		oldest.each(m.forget)
		m.count -= oldest.len()
		m.forgotten += oldest.len()
	}
}

const (
	version   = 1
	header    = 1 + len(digest{})
	mergeSize = 1 + 2 + 2*len(digest{})
	blockSize = header + PerBlock*mergeSize
)

// write appends the merge to the newest block.
func (m *Memory) write(a *Merge) {
	if n := len(m.blocks); n == 0 || m.blocks[n-1].len() >= PerBlock {
		b := &Block{Number: m.next, Data: append(make([]byte, 0, blockSize), version)}
		b.Data = append(b.Data, m.account[:]...)
		m.blocks = append(m.blocks, b)
		m.next++
	}
	b := m.blocks[len(m.blocks)-1]
	b.Data = append(b.Data, byte(a.rule))
	b.Data = binary.LittleEndian.AppendUint16(b.Data, a.limit)
	b.Data = append(append(b.Data, a.from[:]...), a.to[:]...)
	b.saved = false
	m.count++
}

func (b *Block) len() int { return (len(b.Data) - header) / mergeSize }

func (b *Block) each(visit func(*Merge)) {
	for data := b.Data[header:]; len(data) > 0; data = data[mergeSize:] {
		a := &Merge{rule: adapter.MergeRule(data[0]), limit: binary.LittleEndian.Uint16(data[1:])}
		copy(a.from[:], data[3:])
		copy(a.to[:], data[3+len(a.from):])
		visit(a)
	}
}

// Load takes up the blocks that an earlier run has stored. Those of another account, and those that cannot be read, are
// dropped; damaged is how many of the latter there are.
func (m *Memory) Load(blocks []*Block) (damaged int) {
	slices.SortFunc(blocks, func(a, b *Block) int { return cmp.Compare(a.Number, b.Number) })
	for _, b := range blocks {
		m.next = b.Number + 1
		switch {
		case len(b.Data) < header || b.Data[0] != version || (len(b.Data)-header)%mergeSize != 0:
			damaged++
			m.drops = append(m.drops, b.Number)
		case digest(b.Data[1:header]) != m.account:
			m.drops = append(m.drops, b.Number)
		default:
			b.saved = true
			b.each(m.apply)
			m.blocks = append(m.blocks, b)
			m.count += b.len()
		}
	}
	m.trim()
	return damaged
}

// Save is what is to be written so that the memory is on disk.
type Save struct {
	Blocks []Block
	// Drops are the numbers of the blocks that are to be removed.
	Drops []uint64
}

// Unsaved returns what is not on disk, and takes it for saved.
func (m *Memory) Unsaved() Save {
	s := Save{Drops: m.drops}
	m.drops = nil
	// What is not saved is new, but for blocks whose save has failed, which stand right before.
	for i := len(m.blocks) - 1; i >= 0 && !m.blocks[i].saved; i-- {
		m.blocks[i].saved = true
		s.Blocks = append(s.Blocks, *m.blocks[i])
	}
	slices.Reverse(s.Blocks)
	return s
}

// Failed takes back what unsaved took for saved.
func (m *Memory) Failed(s Save) {
	m.drops = append(m.drops, s.Drops...)
	for _, b := range m.blocks {
		if slices.ContainsFunc(s.Blocks, func(tried Block) bool { return tried.Number == b.Number }) {
			b.saved = false
		}
	}
}

// Len is how many merges are remembered.
func (m *Memory) Len() int { return m.count }

// Forgotten is how many were forgotten since it was last asked.
func (m *Memory) Forgotten() int {
	forgotten := m.forgotten
	m.forgotten = 0
	return forgotten
}

// IsSaved tells whether all is on disk, or on its way there.
func (m *Memory) IsSaved() bool {
	return len(m.drops) == 0 && (len(m.blocks) == 0 || m.blocks[len(m.blocks)-1].saved)
}
