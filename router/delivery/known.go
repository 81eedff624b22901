package delivery

import (
	"context"
	"encoding/hex"
	"slices"

	"aka/destinations/adapter"
)

// KnownMerge is a merge that is remembered.
type KnownMerge struct {
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

// MergesOf returns the merges that are remembered of an id, and of those that it was merged with. named are ids that others
// may turn out to be. remembers tells whether merges are remembered here at all, more that there are others. It reads all
// that is remembered, beside the loop.
func (p *Pipeline) MergesOf(ctx context.Context, id string, named []string) (found []KnownMerge, remembers, more bool, err error) {
	var blocks [][]byte
	err = p.ask(ctx, func() {
		if remembers = p.merges != nil; !remembers {
			return
		}
		for _, b := range p.merges.blocks { // what is appended to one meanwhile comes after what is read
			blocks = append(blocks, b.data)
		}
	})
	if err != nil || !remembers {
		return nil, remembers, false, err
	}
	names := map[digest]string{}
	for _, name := range append(slices.Clone(named), id) {
		names[digestOf(name)] = name
		names[digestOf(devicePrefix+name)] = devicePrefix + name
	}
	found, more = mergesOf(blocks, id, names)
	return found, true, more, nil
}

// devicePrefix is what a vendor's name for an anonymous id may begin with.
const devicePrefix = "$device:"

func mergesOf(blocks [][]byte, id string, names map[digest]string) (found []KnownMerge, more bool) {
	of := map[digest]bool{digestOf(id): true, digestOf(devicePrefix + id): true}
	seen := map[merge]bool{}
	for range mostSteps {
		grown := false
		for _, data := range blocks {
			(&mergeBlock{data: data}).each(func(m *merge) {
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
func (a *merge) known(names map[digest]string) KnownMerge {
	from, to := nameOf(a.from, names), nameOf(a.to, names)
	switch a.rule {
	case adapter.MergeGivesFrom:
		return KnownMerge{"gives", from, to}
	case adapter.MergeGivesTo:
		return KnownMerge{"gives", to, from}
	case adapter.MergeNames:
		return KnownMerge{"names", to, from}
	case adapter.MergeRenames:
		return KnownMerge{"renames", from, to}
	}
	return KnownMerge{"joins", from, to}
}

func nameOf(d digest, names map[digest]string) Name {
	n := Name{Digest: hex.EncodeToString(d[:])}
	if id, known := names[d]; known {
		n.ID = &id
	}
	return n
}
