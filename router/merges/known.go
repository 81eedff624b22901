package merges

import (
	"encoding/hex"
	"slices"

	"aka/destinations/adapter"
)

// Known is a merge that is remembered.
type Known struct {
	// Rule is joins, gives (From is To's, and nobody else's), names (From is another name of To's) or renames.
	Rule string `json:"rule"`
	From Name   `json:"from"`
	To   Name   `json:"to"`
}

// Name stands for an id. Only its digest is remembered, so that the id is there where somebody has named it.
type Name struct {
	ID     *string `json:"id,omitempty"`
	Digest string  `json:"digest"`
}

const (
	// mostKnown bounds how many merges of one id are found.
	mostKnown = 100
	// mostSteps is how far merges are followed from one id to the next.
	mostSteps = 6
)

// Blocks returns all that is remembered, to be read beside the goroutine that the memory belongs to: what is appended meanwhile
// comes after what is read.
func (m *Memory) Blocks() [][]byte {
	blocks := make([][]byte, 0, len(m.blocks))
	for _, b := range m.blocks {
		blocks = append(blocks, b.Data)
	}
	return blocks
}

// devicePrefix is what a vendor's name for an anonymous id may begin with.
const devicePrefix = "$device:"

// Find returns the merges in the blocks of an id, and of those that it was merged with. named are ids that others may turn out
// to be; more tells that there are others.
func Find(blocks [][]byte, id string, named []string) (found []Known, more bool) {
	names := map[digest]string{}
	for _, name := range append(slices.Clone(named), id) {
		names[digestOf(name)] = name
		names[digestOf(devicePrefix+name)] = devicePrefix + name
	}
	of := map[digest]bool{digestOf(id): true, digestOf(devicePrefix + id): true}
	seen := map[Merge]bool{}
	for range mostSteps {
		grown := false
		for _, data := range blocks {
			(&Block{Data: data}).each(func(m *Merge) {
				if m.rule == adapter.MergeUses || !of[m.from] && !of[m.to] || seen[*m] {
					return
				}
				if len(found) == mostKnown {
					more = true
					return
				}
				seen[*m], of[m.from], of[m.to], grown = true, true, true, true
				found = append(found, m.known(names))
			})
		}
		if !grown || more {
			return found, more
		}
	}
	return found, true
}

// known names who is merged, whose name comes first.
func (a *Merge) known(names map[digest]string) Known {
	from, to := nameOf(a.from, names), nameOf(a.to, names)
	switch a.rule {
	case adapter.MergeGivesFrom:
		return Known{"gives", from, to}
	case adapter.MergeGivesTo:
		return Known{"gives", to, from}
	case adapter.MergeNames:
		return Known{"names", to, from}
	case adapter.MergeRenames:
		return Known{"renames", from, to}
	}
	return Known{"joins", from, to}
}

func nameOf(d digest, names map[digest]string) Name {
	n := Name{Digest: hex.EncodeToString(d[:])}
	if id, known := names[d]; known {
		n.ID = &id
	}
	return n
}
