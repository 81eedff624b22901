package delivery

// clusters are ids that were joined: which are together, and how many. A cluster is forgotten whole, when as many have left
// it as have joined.
type clusters struct {
	index map[digest]int32
	nodes []clusterNode
	free  []int32
}

// clusterNode is one id. The ids of a cluster form a tree, and a ring.
type clusterNode struct {
	id           digest
	parent, next int32
	size, joins  int32 // of the cluster, at its root
}

func newClusters() clusters { return clusters{index: map[digest]int32{}} }

// ids is how many are known.
func (c *clusters) ids() int { return len(c.index) }

// joined tells whether two ids are known to be together.
func (c *clusters) joined(a, b digest) bool {
	i, knownA := c.index[a]
	j, knownB := c.index[b]
	return knownA && knownB && c.root(i) == c.root(j)
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
	return int(c.nodes[c.root(i)].size)
}

// join puts two ids, and those that are with them, together.
func (c *clusters) join(a, b digest) {
	i, j := c.root(c.node(a)), c.root(c.node(b))
	if c.nodes[i].size < c.nodes[j].size {
		i, j = j, i
	}
	root, other := &c.nodes[i], &c.nodes[j]
	if i != j {
		other.parent = i
		root.size += other.size
		root.joins += other.joins
		root.next, other.next = other.next, root.next
	}
	root.joins++
}

// leave takes one join of the id's cluster back.
func (c *clusters) leave(id digest) {
	i, known := c.index[id]
	if !known {
		return
	}
	i = c.root(i)
	c.nodes[i].joins--
	if c.nodes[i].joins > 0 {
		return
	}
	for at := i; ; {
		next := c.nodes[at].next
		delete(c.index, c.nodes[at].id)
		c.free = append(c.free, at)
		if at = next; at == i {
			return
		}
	}
}

func (c *clusters) root(i int32) int32 {
	for c.nodes[i].parent != i {
		c.nodes[i].parent = c.nodes[c.nodes[i].parent].parent
		i = c.nodes[i].parent
	}
	return i
}

func (c *clusters) node(id digest) int32 {
	i, known := c.index[id]
	if known {
		return i
	}
	if n := len(c.free); n > 0 {
		i, c.free = c.free[n-1], c.free[:n-1]
	} else {
		i = int32(len(c.nodes))
		c.nodes = append(c.nodes, clusterNode{})
	}
	c.nodes[i] = clusterNode{id: id, parent: i, next: i, size: 1}
	c.index[id] = i
	return i
}
