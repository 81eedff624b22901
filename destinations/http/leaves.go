package http

import (
	"aka/destinations/adapter"
	"aka/router/expression"
	"aka/router/segment"
)

// Leaves implements adapter.Leafer.
func (t *translator) Leaves(call *segment.Call) (leaves []adapter.Leaf) {
	t.translate(call, &run{env: expression.OfCall(call), leaves: func(l adapter.Leaf) { leaves = append(leaves, l) }})
	return leaves
}
