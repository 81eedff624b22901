package http

import (
	"aka/destinations/adapter"
	"aka/router/expression"
	"aka/router/segment"
)

// Leaf is an expression of the config, and what it made of a call.
type Leaf = adapter.Leaf

// Leaves implements adapter.Leafer.
func (t *translator) Leaves(call *segment.Call) (leaves []adapter.Leaf) {
	t.translate(call, &run{env: expression.OfCall(call), leaves: func(l adapter.Leaf) { leaves = append(leaves, l) }})
	return leaves
}
