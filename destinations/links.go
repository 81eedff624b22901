package destinations

import (
	"aka/router/segment"
)

// LearnsLinks reports whether the memory of merges learns here of the links between devices and users: it is on, and an identify
// of the alias's two ids is a merge too. Then a link that it does not know is news.
func (d *Destination) LearnsLinks(alias *segment.Call) bool {
	if !d.RememberMerges {
		return false
	}
	identify := *alias
	identify.Type, identify.AnonymousID, identify.PreviousID = segment.Identify, alias.PreviousID, ""
	m, merges := d.Merges(&identify)
	return merges && !m.Rule.IsUse()
}
