package explain

import (
	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/segment"
)

// Leaf is an expression of a destination's settings, and what it made of a call.
type Leaf struct {
	// Key is its path below `settings`.
	Key        string `json:"key"`
	Expression string `json:"expression"`
	// Value is what it made, as JSON; "" where it made nothing or failed.
	Value string `json:"value,omitempty"`
	// Missing tells that it made nothing: an optional member is left out, and any other has the call rejected.
	Missing bool   `json:"missing,omitempty"`
	Error   string `json:"error,omitempty"`
}

// addLeaves asks those destinations that work with expressions, where they made something of the call or failed to.
func addLeaves(c *config.Config, m *segment.Message, source string, all []Destination, showSecrets bool) {
	running := c.Running()
	for i := range all {
		d := running[all[i].Name]
		leafer, ok := d.Adapter.(adapter.Leafer)
		if !ok || len(all[i].Requests) == 0 && all[i].Reason != adapter.Rejected {
			continue
		}
		call, err := m.Decode()
		if err != nil {
			continue
		}
		decision, _, _ := d.Filter(c.Sources[source].Destinations, m)
		call.Options = decision.Options
		prepared, reason, err := d.Prepare(call)
		if err != nil || reason != "" {
			continue
		}
		masker := d.Masker
		if showSecrets {
			masker = nil
		}
		for _, leaf := range leafer.Leaves(prepared) {
			all[i].Leaves = append(all[i].Leaves, leafOf(leaf, masker))
		}
	}
}

func leafOf(l adapter.Leaf, masker *adapter.Masker) Leaf {
	leaf := Leaf{Key: l.Key, Expression: l.Expression, Missing: l.Missing && l.Err == nil}
	if l.Err != nil {
		leaf.Error = masker.Mask(l.Err.Error())
	} else if value, err := adapter.Encode(l.Value); err == nil && !l.Missing {
		leaf.Value = masker.Mask(string(value))
	}
	return leaf
}
