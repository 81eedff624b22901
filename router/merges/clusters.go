package merges

// clusters are ids that were joined: which are together, and how many. An id is forgotten when as many joins of it were taken
// back as were made; what was joined through it stays together. They are made for small clusters: to join two costs as much as
// the smaller has ids.
type clusters struct {
	index map[digest]int32
	nodes []clusterNode
	free  []int32 // nodes
	sizes []int32 // of the clusters, by their labels; 0 is a free label
	spare []int32 // labels
}

// clusterNode is one id. The ids of a cluster share a label and form a ring.
type clusterNode struct {
	id           digest
	label, joins int32
	before, next int32
}

func newClusters() clusters { return clusters{index: map[digest]int32{}} }

// ids is how many are known.
func (c *clusters) ids() int { return len(c.index) }

// joined tells whether two ids are known to be together.
func (c *clusters) joined(a, b digest) bool {
	i, knownA := c.index[a]
	j, knownB := c.index[b]
	return knownA && knownB && c.nodes[i].label == c.nodes[j].label
}

// sizeTogether is how many ids would be together if these two were joined; 0 when they are.
func (c *clusters) sizeTogether(a, b digest) int {
	if a == b || c.joined(a, b) {
		return 0
	}
	return c.size(a) + c.size(b)
}

func (c *clusters) size(id digest) int {
	i, known := c.index[id]
	if !known {
		return 1
	}
	return int(c.sizes[c.nodes[i].label])
}

// join puts two ids, and those that are with them, together.
func (c *clusters) join(a, b digest) {
	i, j := c.node(a), c.node(b)
	c.nodes[i].joins++
	c.nodes[j].joins++
	keep, gone := c.nodes[i].label, c.nodes[j].label
	if keep == gone {
		return
	}
	if c.sizes[keep] < c.sizes[gone] {
		i, j, keep, gone = j, i, gone, keep
	}
	for at, left := j, c.sizes[gone]; left > 0; left-- {
		c.nodes[at].label = keep
		at = c.nodes[at].next
	}
	c.sizes[keep] += c.sizes[gone]
	c.sizes[gone] = 0
	c.spare = append(c.spare, gone)
	// Two rings whose ends are swapped are one.
	afterI, afterJ := c.nodes[i].next, c.nodes[j].next
	c.link(i, afterJ)
	c.link(j, afterI)
}

func (c *clusters) link(before, next int32) {
	c.nodes[before].next, c.nodes[next].before = next, before
}

// leave takes back one join of two ids.
func (c *clusters) leave(a, b digest) {
	c.release(a)
	c.release(b)
}

func (c *clusters) release(id digest) {
	i, known := c.index[id]
	if !known {
		return
	}
	n := &c.nodes[i]
	n.joins--
	if n.joins > 0 {
		return
	}
	c.link(n.before, n.next)
	c.sizes[n.label]--
	if c.sizes[n.label] == 0 {
		c.spare = append(c.spare, n.label)
	}
	delete(c.index, id)
	c.free = append(c.free, i)
}

// node returns the id's node, which is a cluster of its own when it is new.
func (c *clusters) node(id digest) int32 {
	if i, known := c.index[id]; known {
		return i
	}
	i, label := take(&c.nodes, &c.free), take(&c.sizes, &c.spare)
	c.nodes[i] = clusterNode{id: id, label: label, before: i, next: i}
	c.sizes[label] = 1
	c.index[id] = i
	return i
}

// take returns a place that is free, or a new one.
func take[T any](all *[]T, free *[]int32) int32 {
	if n := len(*free); n > 0 {
		i := (*free)[n-1]
		*free = (*free)[:n-1]
		return i
	}
	var zero T
	*all = append(*all, zero)
	return int32(len(*all) - 1)
}
