package mixpanel

import (
	"maps"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// maxGroups bounds the requests that one group call becomes, for each group key.
const maxGroups = 100

// membership is the groups that a call names for one group key.
type membership struct {
	key string
	ids []string
}

func (t *translator) memberships(call *segment.Call) []membership {
	return t.membershipsIn(call.Traits, call.GroupID)
}

// membershipsIn reads the groups of every configured key: from the trait or property of its name, else from the call's one
// groupId, where it is clear which key that belongs to.
func (t *translator) membershipsIn(values map[string]any, groupID string) []membership {
	var found []membership
	for _, key := range t.GroupKeys {
		ids := groupIDs(values[key])
		if len(ids) == 0 && groupID != "" && (len(t.GroupKeys) == 1 || key == "groupId" || key == "$group_id") {
			ids = []string{groupID}
		}
		if len(ids) > 0 {
			found = append(found, membership{key, ids})
		}
	}
	return found
}

// groupIDs reads one id or a list of them, each once.
func groupIDs(value any) []string {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var ids []string
	seen := map[string]bool{"": true}
	for _, item := range list {
		if id := adapter.Text(item); !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// checkGroups keeps placeholders from gathering strangers in one group.
func (t *translator) checkGroups(ids []string) adapter.Reason {
	for _, id := range ids {
		if reason := t.guard.Check(&segment.Header{AnonymousID: id}); reason != "" {
			return reason
		}
	}
	return ""
}

// propertiesOf are the memberships as Mixpanel wants them on a profile: a list of ids by key.
func propertiesOf(memberships []membership) map[string]any {
	properties := map[string]any{}
	for _, m := range memberships {
		properties[m.key] = m.ids
	}
	return properties
}

// describe sets the call's traits on the profile of every group, but for the trait that lists the groups themselves.
// Mixpanel makes no profile without any.
func (t *translator) describe(s *sending, call *segment.Call, memberships []membership) {
	for _, m := range memberships {
		traits := maps.Clone(call.Traits)
		delete(traits, m.key)
		if traits = profileTraits(traits); len(traits) == 0 {
			continue
		}
		for _, id := range m.ids {
			s.add(t.groups, map[string]any{
				"$token":     t.Token.Reveal(),
				"$group_key": m.key,
				"$group_id":  id,
				string(set):  traits,
			})
		}
	}
}
