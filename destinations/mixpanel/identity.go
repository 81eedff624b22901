package mixpanel

import (
	"strings"

	"github.com/google/uuid"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// devicePrefix marks a device's id in the simplified mode. A distinct_id without it is always taken for a user's
// (https://docs.mixpanel.com/docs/tracking-methods/id-management/migrating-to-simplified-id-merge-system).
const devicePrefix = "$device:"

// person is who a call is about. Any of the ids may be "".
type person struct{ distinctID, userID, deviceID string }

func (t *translator) personOf(call *segment.Call) person {
	who := person{userID: call.UserID, deviceID: call.AnonymousID}
	if t.IDMerge == Simplified {
		who = simplify(who)
	}
	who.distinctID = who.userID
	if who.userID == "" && who.deviceID != "" {
		who.distinctID = t.anonymousPrefix() + who.deviceID
	}
	return who
}

// simplify takes ids for what they are: those that were read off a Mixpanel SDK, and a guest's userId that is the device's own id,
// are devices, whatever the call calls them. As a user, a device could never become another one.
func simplify(who person) person {
	who.deviceID = strings.TrimPrefix(who.deviceID, devicePrefix)
	if device, ok := strings.CutPrefix(who.userID, devicePrefix); ok {
		return person{deviceID: device}
	}
	if adapter.IsSameDevice(who.deviceID, who.userID) {
		who.userID = ""
	}
	return who
}

func (t *translator) anonymousPrefix() string {
	if t.IDMerge == Simplified {
		return devicePrefix
	}
	return ""
}

// checkDevice checks a device's id without its prefix, which hides a blocked one from the guard, and its length with the
// prefix: two ids that Mixpanel cuts to the same would be one person.
func (t *translator) checkDevice(id string) adapter.Reason {
	if len(t.anonymousPrefix())+len(id) > adapter.MaxIDLength {
		return adapter.IDTooLong
	}
	return t.guard.Check(&segment.Header{AnonymousID: id})
}

// Mixpanel's identity commands (https://docs.mixpanel.com/reference/identity-api).
const (
	createAliasEvent = "$create_alias"
	identifyEvent    = "$identify"
	mergeEvent       = "$merge"
)

// isCommand reports whether an event of this name would change identities.
func isCommand(event string) bool {
	switch strings.ToLower(strings.TrimSpace(event)) {
	case createAliasEvent, identifyEvent, mergeEvent:
		return true
	}
	return false
}

// record is an event or a command as Mixpanel takes it.
func record(event string, properties any) adapter.Object {
	return adapter.Object{{Name: "event", Value: event}, {Name: "properties", Value: properties}}
}

// createAlias makes userId point to the previousId, which Mixpanel knows already. The other way round, all that follows
// under the userId would belong to no person.
func (t *translator) createAlias(call *segment.Call) adapter.Object {
	return record(createAliasEvent, adapter.Object{
		{Name: "alias", Value: call.UserID}, {Name: "distinct_id", Value: call.PreviousID}, {Name: "token", Value: t.Token.Reveal()},
	})
}

func (t *translator) identifyAnonymous(userID, anonymousID string) adapter.Object {
	return record(identifyEvent, adapter.Object{
		{Name: "$anon_id", Value: anonymousID}, {Name: "$identified_id", Value: userID}, {Name: "token", Value: t.Token.Reveal()},
	})
}

func (t *translator) mergePair(one, other string) adapter.Object {
	return record(mergeEvent, map[string]any{"$distinct_ids": []string{one, other}, "token": t.Token.Reveal()})
}

// isUUIDv4 reports whether $identify takes an anonymous id: Mixpanel refuses any other, in silence.
func isUUIDv4(id string) bool {
	if len(id) != len(uuid.Nil.String()) {
		return false
	}
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.Version() == 4 && parsed.Variant() == uuid.RFC4122
}
