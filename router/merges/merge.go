package merges

import (
	"time"

	"aka/destinations/adapter"
)

// maxWalk bounds how far renames are followed from one to the next.
const maxWalk = 1000

// Refuses returns why an alias that asks for the merge is not to be sent, or "".
func (m *Memory) Refuses(a *adapter.Merge) adapter.Reason {
	from, to := m.of(a.From), m.of(a.To)
	switch a.Rule {
	case adapter.MergeUses, adapter.MergeUsesDevice:
		return ""
	case adapter.MergeNames:
		return m.refusesName(from, to)
	case adapter.MergeRenames:
		return m.refusesRename(from, to)
	case adapter.MergeAbsorbs:
		if m.became(from, to.id) {
			return adapter.AlreadyMerged
		}
		return ""
	case adapter.MergeLinks:
		if from.has(givenFrom) && (m.isSame(from, to) || m.pair(a).has(isPair)) {
			return adapter.AlreadyMerged
		}
		return ""
	}
	same := m.isSame(from, to)
	given := false
	switch a.Rule {
	case adapter.MergeGivesFrom:
		given = from.has(givenFrom)
	case adapter.MergeGivesTo:
		given = to.has(givenTo)
	case adapter.MergeGivesUnkept:
		given = from.has(hasParent | isPerson)
	}
	switch {
	case given && !same:
		return adapter.AliasTaken
	case given, same && a.Rule == adapter.MergeJoins:
		return adapter.AlreadyMerged
	case a.Limit > 0 && !same && m.root(from).ids()+m.root(to).ids() >= a.Limit:
		return adapter.ClusterFull
	}
	return ""
}

// refusesName needs no walk along the names: who is one person by them has one end, which is no name.
func (m *Memory) refusesName(from, to *node) adapter.Reason {
	same := m.isSame(from, to)
	switch {
	case same && to.has(isName):
		return adapter.AlreadyMerged
	case to.has(isName):
		return adapter.AliasTaken
	case same:
		return adapter.WouldCycle
	}
	return ""
}

// refusesRename allows an id to be taken back that has no user: that undoes a rename. One with a new user cannot be.
func (m *Memory) refusesRename(from, to *node) adapter.Reason {
	switch {
	case m.became(from, to.id):
		return adapter.AlreadyMerged
	case to.has(hasNewUser) && (to.renamedTo == from.id || m.became(m.get(to.renamedTo), from.id)):
		return adapter.WouldCycle
	}
	return ""
}

// became reports whether an id's user has, or had since, another id, and the id has no user.
func (m *Memory) became(n *node, other digest) bool {
	for range maxWalk {
		if !n.has(isRenamed) || n.has(hasNewUser) {
			return false
		}
		if n.renamedTo == other {
			return true
		}
		n = m.get(n.renamedTo)
	}
	return false
}

// IsUsed reports whether somebody lives under an id at the vendor, as far as is remembered.
func (m *Memory) IsUsed(id string) bool { return m.of(id).lives() }

func (n *node) lives() bool {
	if n.has(isRenamed) {
		return n.has(hasNewUser)
	}
	return n.has(isUsed)
}

// Add remembers a merge that was delivered, when and by which source, and reports whether that is news. One that the vendor
// has refused, as far as is known, is none.
func (m *Memory) Add(a *adapter.Merge, at time.Time, source string) bool {
	to := m.of(a.To)
	if a.Rule.IsUse() {
		return m.use(to, a.Rule, at, source)
	}
	from := m.of(a.From)
	if !m.isNews(a, from, to) {
		m.refresh(from)
		m.refresh(to)
		return false
	}
	if !m.canLearn(from, to, m.root(from), m.root(to)) {
		return false
	}
	m.first(from, at, source)
	m.first(to, at, source)
	switch a.Rule {
	case adapter.MergeRenames, adapter.MergeAbsorbs:
		m.rename(from, to, at)
		return true
	case adapter.MergeLinks:
		if from.has(givenFrom) {
			return m.noteEvent(a)
		}
		from.set(givenFrom)
	case adapter.MergeGivesFrom:
		from.set(givenFrom)
	case adapter.MergeGivesTo:
		to.set(givenTo)
	case adapter.MergeNames:
		to.set(isName)
	}
	m.join(from, to, at)
	return true
}

func (m *Memory) isNews(a *adapter.Merge, from, to *node) bool {
	if a.Rule.FreesFrom() {
		return !from.has(isRenamed) || from.has(hasNewUser) || from.renamedTo != to.id
	}
	return m.Refuses(a) == ""
}

// use notes that somebody lives under an id.
func (m *Memory) use(n *node, rule adapter.MergeRule, at time.Time, source string) bool {
	news := n.has(isRenamed) && !n.has(hasNewUser) || rule == adapter.MergeUsesDevice && !n.lives()
	if !news {
		m.refresh(n)
		return false
	}
	if !m.canLearn(n) {
		return false
	}
	m.first(n, at, source)
	n.beUsed()
	m.touch(n)
	return true
}

func (n *node) beUsed() {
	if n.has(isRenamed) {
		n.set(hasNewUser)
		return
	}
	n.set(isUsed)
}

// pair returns what is known of two ids in any order.
func (m *Memory) pair(a *adapter.Merge) *node { return m.get(m.hash.pair(m.id(a.From), m.id(a.To))) }

// noteEvent remembers a link that the vendor took for an event: the device is another user's.
func (m *Memory) noteEvent(a *adapter.Merge) bool {
	pair := m.pair(a)
	if !m.canLearn(pair) {
		return false
	}
	pair.set(isPair)
	m.touch(pair)
	return true
}
