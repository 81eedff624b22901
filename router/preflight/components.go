package preflight

// components knows which ids are joined by calls that name them together. It takes about 24 bytes for an id.
type components struct {
	slots   []uint64 // hashes of ids, 0 is free
	numbers []uint32 // of the ids in slots
	parents []uint32 // by number
}

// join notes that a call names the ids.
func (c *components) join(ids []string) {
	first := uint32(0)
	for i, id := range ids {
		n := c.number(hashOf(id))
		if i == 0 {
			first = n
			continue
		}
		if a, b := c.root(first), c.root(n); a != b {
			c.parents[max(a, b)] = min(a, b) // the oldest id is the root
		}
	}
}

// of returns a number that all ids share that are joined with this one.
func (c *components) of(id string) uint64 { return mix(uint64(c.root(c.number(hashOf(id))))) }

func (c *components) root(n uint32) uint32 {
	for c.parents[n] != n {
		c.parents[n] = c.parents[c.parents[n]]
		n = c.parents[n]
	}
	return n
}

func (c *components) number(hash uint64) uint32 {
	if 4*len(c.parents) >= 3*len(c.slots) {
		c.grow()
	}
	slot := c.find(hash)
	if c.slots[slot] == 0 {
		c.slots[slot], c.numbers[slot] = hash, uint32(len(c.parents))
		c.parents = append(c.parents, c.numbers[slot])
	}
	return c.numbers[slot]
}

// find returns the slot of a hash, or the free one where it belongs.
func (c *components) find(hash uint64) int {
	mask := len(c.slots) - 1
	slot := int(hash) & mask
	for c.slots[slot] != 0 && c.slots[slot] != hash {
		slot = (slot + 1) & mask
	}
	return slot
}

func (c *components) grow() {
	slots, numbers := c.slots, c.numbers
	size := max(1024, 2*len(slots))
	c.slots, c.numbers = make([]uint64, size), make([]uint32, size)
	for i, hash := range slots {
		if hash != 0 {
			slot := c.find(hash)
			c.slots[slot], c.numbers[slot] = hash, numbers[i]
		}
	}
}

// hashOf is FNV-1a, mixed; never 0. That two ids have one hash only puts their people into one part.
func hashOf(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	return max(mix(h), 1)
}

func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	return h ^ h>>33
}
