package merges

import "encoding/hex"

// Remembered is a merge that is remembered.
type Remembered struct {
	// Rule is joins (both are one person), gives (From is the person's alone), names (From is another name of the person) or
	// renames (From became To).
	Rule string `json:"rule"`
	From Name   `json:"from"`
	To   Name   `json:"to"`
}

// Name is an id by its digest, which is all that is remembered. The id is there where a caller has named it.
type Name struct {
	ID     *string `json:"id,omitempty"`
	Digest string  `json:"digest"`

	digest digest
}

// maxFound bounds how many ids of one person are found.
const maxFound = 100

// devicePrefix is what a vendor's name for an anonymous id may begin with.
const devicePrefix = "$device:"

// Find returns the merges of an id: with which ids it is one person, and which of them were renamed. more tells that there
// may be others.
func (m *Memory) Find(id string) (found []Remembered, more bool) {
	for _, name := range [...]string{id, devicePrefix + id} {
		of, others := m.find(m.of(name))
		found, more = append(found, of...), more || others
	}
	return found, more
}

func (m *Memory) find(first *node) (found []Remembered, more bool) {
	n := first
	for range maxFound {
		if n.has(isRenamed) {
			found = append(found, rememberedOf("renames", n.id, n.renamedTo))
		}
		if n != first && m.isSame(n, first) {
			found = append(found, rememberedOf(n.given(), n.id, first.id))
		}
		switch next := n.after(); {
		case next == first.id:
			return found, m.meta.partial
		case next == n.id: // the rest of the ring is forgotten
			return found, true
		default:
			n = m.get(next)
		}
	}
	return found, true
}

// given says how an id is a person's.
func (n *node) given() string {
	switch {
	case n.has(isName):
		return "names"
	case n.has(givenFrom | givenTo):
		return "gives"
	}
	return "joins"
}

func rememberedOf(rule string, from, to digest) Remembered {
	return Remembered{rule, nameOf(from), nameOf(to)}
}

func nameOf(d digest) Name { return Name{Digest: hex.EncodeToString(d[:]), digest: d} }

// NameThem fills in the ids of what Find has found, where they are among named. It is safe for concurrent use.
func (m *Memory) NameThem(found []Remembered, named ...string) {
	names := map[digest]string{}
	for _, name := range named {
		names[m.hash.id(name)] = name
		names[m.hash.id(devicePrefix+name)] = devicePrefix + name
	}
	for i := range found {
		for _, n := range [...]*Name{&found[i].From, &found[i].To} {
			if id, ok := names[n.digest]; ok {
				n.ID = &id
			}
		}
	}
}
