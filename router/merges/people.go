package merges

import "time"

// The ids that were joined are a person. One of them is its root: the others lead there, each by its parent. A smaller person's
// id is put below a larger one's, so that the ways are short.

// maxDepth bounds the ways in records that no memory wrote.
const maxDepth = 64

// root returns the root of the person of an id. It may be one that was forgotten.
func (m *Memory) root(n *node) *node {
	for range maxDepth {
		if !n.has(hasParent) {
			return n
		}
		n = m.get(n.parent)
	}
	return n
}

// isSame reports whether both have one root.
func (m *Memory) isSame(a, b *node) bool { return m.root(a).id == m.root(b).id }

// join makes one person of two ids, and of those that are with them.
func (m *Memory) join(a, b *node, at time.Time) {
	keep, gone := m.root(a), m.root(b)
	m.touch(a)
	m.touch(b)
	if keep.id == gone.id {
		m.touch(keep)
		return
	}
	if keep.ids() < gone.ids() {
		keep, gone = gone, keep
	}
	m.linkRings(a, b)
	m.touch(keep)
	m.touch(gone)
	keep.takePerson(gone, keep.ids()+gone.ids(), secondsOf(at))
	gone.set(hasParent)
	gone.parent = keep.id
	for _, n := range [...]*node{a, b} { // which are written anyway
		if n.id != keep.id {
			n.parent = keep.id
		}
	}
}

// takePerson moves what is known of another's person to this one's, of so many ids then.
func (n *node) takePerson(other *node, ids int, joined ...uint32) {
	n.size, n.joins = uint32(min(ids, 1<<31)), mergeJoins(n.joins, other.joins, joined...)
	if n.size > 1 || len(n.joins) > 0 {
		n.set(isPerson)
	}
	if other.has(personUser) {
		n.takeUser(other.since, other.userSource)
	}
	if !other.has(isWhole) {
		n.clear(isWhole)
	}
	other.leavePerson()
}

func (n *node) takeUser(since uint32, source uint16) {
	if !n.has(personUser) || since < n.since {
		n.set(personUser)
		n.since, n.userSource = since, source
	}
}

func (n *node) leavePerson() {
	n.clear(isPerson | personUser | tookUser)
	n.size, n.joins, n.since, n.userSource = 0, nil, 0, 0
}

// linkRings makes one ring of two: two rings whose ends are swapped are one.
func (m *Memory) linkRings(a, b *node) {
	a.next, b.next = b.after(), a.after()
	a.set(hasNext)
	b.set(hasNext)
}

// after is the id behind this one in its ring.
func (n *node) after() digest {
	if n.has(hasNext) {
		return n.next
	}
	return n.id
}

// rename moves a person from one name to another: all ids that lead to it but that name, which is free then. Where somebody lives under
// the other one already, the two are one person then.
func (m *Memory) rename(from, to *node, at time.Time) {
	old, keep := m.root(from), m.root(to)
	same := old.id == keep.id
	if same && old.id == from.id { // the other name is the root from now on
		keep = to
	}
	both := !same && (to.lives() || keep.has(isUser|personUser|isPerson))
	if !m.areLinked(from, to) {
		m.linkRings(from, to)
	}
	for _, n := range m.membersOf(old, from) {
		m.leadTo(n, keep)
	}
	m.leadTo(to, keep)
	m.touch(from)
	m.touch(keep)
	from.clear(isUsed | hasNewUser | isUser | hasParent)
	from.set(isRenamed)
	from.renamedTo = to.id
	to.beUsed()
	if old.has(personUser) && !same {
		keep.set(tookUser)
	}
	switch {
	case both:
		keep.takePerson(old, old.ids()+keep.ids(), secondsOf(at))
	case old.id != keep.id:
		keep.takePerson(old, old.ids())
	}
	m.touch(old)
}

// leadTo puts an id below a root, or makes it one.
func (m *Memory) leadTo(n, root *node) {
	m.touch(n)
	if n.id == root.id {
		n.clear(hasParent)
		return
	}
	n.set(hasParent)
	n.parent = root.id
}

// membersOf returns the ids that lead to a root but one, as far as its ring is looked through.
func (m *Memory) membersOf(root, but *node) (members []*node) {
	for n, i := m.get(but.after()), 0; n.id != but.id && i < maxFound; n, i = m.get(n.after()), i+1 {
		if n.id == root.id || m.root(n).id == root.id {
			members = append(members, n)
		}
	}
	return members
}

// areLinked reports whether two ids are in one ring, as far as it is looked through.
func (m *Memory) areLinked(a, b *node) bool {
	n := a
	for range maxFound {
		if n.id == b.id {
			return true
		}
		if n.after() == a.id || n.after() == n.id {
			return false
		}
		n = m.get(n.after())
	}
	return true // not to cut it in two
}

// Identified notes that an id was named as the userId by an identify, or given by an alias: it is a user.
func (m *Memory) Identified(id string, at time.Time, source string) {
	n := m.of(id)
	root := m.root(n)
	seconds := secondsOf(at)
	if n.has(isUser) && root.has(personUser) && root.since <= seconds {
		m.refresh(n)
		return
	}
	if !m.canLearn(n, root) {
		return
	}
	m.first(n, at, source)
	n.set(isUser)
	root.takeUser(seconds, m.meta.sourceIndex(source))
	m.touch(n)
	m.touch(root)
}

// SeenWithUser notes that an id was an anonymousId beside a userId: it is a device.
func (m *Memory) SeenWithUser(device string, at time.Time) {
	n := m.of(device)
	if n.has(isDevice) {
		m.refresh(n)
		return
	}
	if !m.canLearn(n) {
		return
	}
	m.first(n, at, "")
	n.set(isDevice)
	m.touch(n)
}

// IsSame reports whether two ids are one person here already: they were joined, or one became the other.
func (m *Memory) IsSame(a, b string) bool {
	x, y := m.of(a), m.of(b)
	return m.isSame(x, y) || m.became(x, y.id) || m.became(y, x.id)
}

// PersonOf names the person of an id, until that person is joined with another.
func (m *Memory) PersonOf(id string) [16]byte { return m.root(m.of(id)).id }

// Person is what is known of an id and of the person that it is.
type Person struct {
	// IDs is how many ids are known of the person, at least 1. At a vendor that renames these are the people that became one.
	IDs int
	// Joins are the times at which its ids were joined, newest first, at most 1000.
	Joins []time.Time
	// HasUser is whether one of its ids is a user, UserSince when the oldest of them was named first, and UserSource by which
	// source.
	HasUser bool
	// TookUser is whether a user was renamed to this person, so that its user is not the id itself alone.
	TookUser   bool
	UserSince  time.Time
	UserSource string
	// IsUser and IsDevice are of the id itself: it was identified; it was seen as a device beside a user.
	IsUser, IsDevice bool
	// FirstSeen is when the id itself came first, and Source by which source; zero where that is not known.
	FirstSeen time.Time
	Source    string
	// Partial means that the answer may rest on less than there was: something of it may be forgotten.
	Partial bool
}

// Person returns what is known of an id.
func (m *Memory) Person(id string) Person {
	n := m.of(id)
	root := m.root(n)
	p := Person{
		IDs: root.ids(), HasUser: root.has(personUser), TookUser: root.has(tookUser), IsUser: n.has(isUser), IsDevice: n.has(isDevice), Source: m.meta.sourceName(n.source),
		Partial: m.meta.partial && !(n.has(isWhole) && root.has(isWhole)) || n.unreadable || root.unreadable,
	}
	if n.has(hasFirst) {
		p.FirstSeen = timeOf(n.record.first)
	}
	if p.HasUser {
		p.UserSince, p.UserSource = timeOf(root.since), m.meta.sourceName(root.userSource)
	}
	for _, at := range root.joins {
		p.Joins = append(p.Joins, timeOf(at))
	}
	return p
}

func timeOf(seconds uint32) time.Time { return time.Unix(int64(seconds), 0) }
