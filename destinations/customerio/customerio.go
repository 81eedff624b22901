// Package customerio translates calls to Customer.io's Track API, version 2. An alias merges two people: that of the previousId is
// copied into that of the userId and deleted. Everything but the merge goes in batches. Customer.io acts when a call arrives.
package customerio

import (
	"cmp"
	"errors"
	"strings"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Vendor is Customer.io in the table of destinations. A merge deletes a person, and a call under that id after it makes another.
var Vendor = adapter.Vendor{
	Names:   []string{"Customer.io", "Actions Customerio", "Customer.io Actions", "Customer.io (Actions)"},
	Order:   adapter.OrderStrict,
	Renames: true,
	New:     New,
	Stable:  true,
}

type translator struct {
	Config
	base   string
	header map[string]string
	batch  *adapter.Batch
	guard  adapter.Guard
}

func newTranslator(config Config, base string) *translator {
	return &translator{
		Config: config,
		base:   base,
		header: map[string]string{"Authorization": basic(config.SiteID, config.APIKey), "Content-Type": "application/json"},
		batch:  &adapter.Batch{Key: "batch", MaxBytes: maxBatchBytes, Before: `{"batch":[`, After: `]}`, Separator: ","},
		guard:  adapter.NewGuard(config.BlockedIDs),
	}
}

// Translate implements adapter.Adapter.
func (t *translator) Translate(call *segment.Call) adapter.Outcome {
	if reason := t.check(call.UserID); reason != "" {
		return adapter.Drop(reason)
	}
	switch call.Type {
	case segment.Alias:
		return t.alias(call)
	case segment.Identify:
		return t.identify(call)
	case segment.Track:
		return t.track(call)
	case segment.Page, segment.Screen:
		return t.page(call)
	case segment.Group:
		return t.group(call)
	}
	return adapter.Reject(errors.New("type: not one that Customer.io takes"))
}

// alias merges two people, or joins what an anonymous id did to a person.
func (t *translator) alias(call *segment.Call) adapter.Outcome {
	if t.Alias == AliasOff {
		return adapter.Drop(adapter.NothingToSend)
	}
	if isOfDevice(call) {
		return t.aliasDevice(call)
	}
	if reason := t.check(call.PreviousID); reason != "" {
		return adapter.Drop(reason)
	}
	primary, secondary := t.personBy(call.UserID), t.personBy(call.PreviousID)
	if primary.name() == secondary.name() {
		return adapter.Drop(adapter.SameIDs)
	}
	var s sending
	if t.Alias == AliasEnsureAndMerge {
		// Customer.io answers success to a merge into somebody that it does not know, and does nothing.
		t.addWithWait(&s, t.profile(call, primary, map[string]any{}))
	}
	t.addMerge(&s, primary, secondary)
	return s.outcome()
}

// isOfDevice reports whether an alias is of the call's own anonymousId. There is no person under it to merge, only events.
func isOfDevice(call *segment.Call) bool {
	return call.PreviousIDDefaulted || adapter.IsOwnDevice(call, call.PreviousID)
}

// aliasDevice has Customer.io join the anonymous events. They came under the call's anonymousId, in its spelling.
func (t *translator) aliasDevice(call *segment.Call) adapter.Outcome {
	switch {
	case !t.AnonymousMerge:
		return adapter.Drop(adapter.PreviousIDIsAnonymous)
	case adapter.IsOwnDevice(call, call.UserID):
		return adapter.Drop(adapter.SameIDs)
	case len(call.AnonymousID) > maxID:
		return adapter.Drop(adapter.IDTooLong)
	}
	return t.send(t.profile(call, t.personBy(call.UserID), map[string]any{"anonymous_id": call.AnonymousID}))
}

// identify sets the person's attributes. Without a userId the person is the one of the trait email.
func (t *translator) identify(call *segment.Call) adapter.Outcome {
	traits := adapter.PersonTraits(call)
	who := t.personBy(call.UserID)
	if call.UserID == "" {
		email := t.emailOf(traits)
		if email == "" {
			return adapter.Drop(adapter.AnonymousNotSupported)
		}
		if reason := t.check(email); reason != "" {
			return adapter.Drop(reason)
		}
		who = person{"email", email}
	}
	attributes := t.personAttributes(traits, who)
	if joins := t.joins(call); joins != "" {
		if len(joins) > maxID {
			return adapter.Drop(adapter.IDTooLong)
		}
		attributes["anonymous_id"] = joins
	}
	return t.send(t.profile(call, who, attributes))
}

// joins returns the anonymous id whose events an identify joins to its person, or "".
func (t *translator) joins(call *segment.Call) string {
	if !t.AnonymousMerge || adapter.IsOwnDevice(call, call.UserID) {
		return ""
	}
	return call.AnonymousID
}

// track sends the event. What it does besides comes first: Customer.io may send a push message because of the event.
func (t *translator) track(call *segment.Call) adapter.Outcome {
	name := strings.TrimSpace(call.Event)
	if t.PeopleEvents {
		if action := peopleActions[name]; action != nil {
			return action(t, call)
		}
	}
	who, reason := t.sender(call)
	if reason != "" {
		return adapter.Drop(reason)
	}
	var s sending
	if device := t.device(call, who, name); device != nil {
		t.add(&s, device)
	}
	t.add(&s, t.event(call, who, "event", name, call.Properties))
	return s.outcome()
}

// page sends a page or a screen. A page without a name is known by its address.
func (t *translator) page(call *segment.Call) adapter.Outcome {
	if !t.PageEvents.Takes(call) {
		return adapter.Drop(adapter.PageEventsOff)
	}
	who, reason := t.sender(call)
	if reason != "" {
		return adapter.Drop(reason)
	}
	name := adapter.PageName(call)
	if name == "" && call.Type == segment.Page {
		name = adapter.Text(call.Properties["url"])
	}
	if name == "" {
		return adapter.Drop(adapter.NothingToSend)
	}
	return t.send(t.event(call, who, call.Type.String(), name, adapter.PageProperties(call)))
}

// sender is the person of an event, or the anonymous id that it came under.
func (t *translator) sender(call *segment.Call) (who person, reason adapter.Reason) {
	switch {
	case call.UserID != "":
		return t.personBy(call.UserID), ""
	case !t.AnonymousEvents:
		return person{}, adapter.AnonymousNotSupported
	case len(call.AnonymousID) > maxID:
		return person{}, adapter.IDTooLong
	}
	return person{anonymousID, call.AnonymousID}, ""
}

// event is an item of a track, a page or a screen.
func (t *translator) event(call *segment.Call, who person, action, name string, properties map[string]any) adapter.Object {
	return adapter.Object{
		{Name: "type", Value: "person"},
		{Name: "identifiers", Value: who.object()},
		{Name: "action", Value: action},
		{Name: "id", Value: ulid(call.Timestamp, call.MessageID)},
		{Name: "name", Value: cutBytes(name, maxEventName)},
		{Name: "timestamp", Value: call.Timestamp.Unix()},
		{Name: "attributes", Value: t.converted(properties)},
	}
}

func (t *translator) profile(call *segment.Call, who person, attributes map[string]any) adapter.Object {
	return adapter.Object{
		{Name: "type", Value: "person"},
		{Name: "identifiers", Value: who.object()},
		{Name: "action", Value: "identify"},
		{Name: "timestamp", Value: call.Timestamp.Unix()},
		{Name: "attributes", Value: attributes},
	}
}

// deviceActions are the events by which Segment's SDKs tell that an app with a push token is there, or is gone.
var deviceActions = map[string]string{
	"Application Installed":    "add_device",
	"Application Opened":       "add_device",
	"Application Backgrounded": "add_device",
	"Application Uninstalled":  "delete_device",
}

// device returns what an event does to the devices of its person, or nil. Customer.io knows the push tokens of iOS and Android.
func (t *translator) device(call *segment.Call, who person, event string) adapter.Object {
	action := deviceActions[event]
	token := adapter.Text(adapter.Field(call.Context(), "device", "token"))
	if !t.Devices || action == "" || who.kind == anonymousID || token == "" || t.guard.Blocks(token) {
		return nil
	}
	device := adapter.Object{{Name: "token", Value: token}}
	if action == "add_device" {
		platform := strings.ToLower(adapter.Text(adapter.Field(call.Context(), "device", "type")))
		if platform != "ios" && platform != "android" {
			return nil
		}
		device = device.With("platform", platform).With("last_used", call.Timestamp.Unix())
	}
	return adapter.Object{
		{Name: "type", Value: "person"},
		{Name: "identifiers", Value: who.object()},
		{Name: "action", Value: action},
		{Name: "device", Value: device},
	}
}

// group makes an object of the group, and relates the person to it.
func (t *translator) group(call *segment.Call) adapter.Outcome {
	if !t.Groups {
		return adapter.Drop(adapter.GroupsOff)
	}
	who, reason := t.sender(call)
	switch {
	case reason != "":
		return adapter.Drop(reason)
	case call.GroupID == "":
		return adapter.Drop(adapter.NothingToSend)
	case len(call.GroupID) > maxID:
		return adapter.Drop(adapter.IDTooLong)
	}
	action := "identify"
	if who.kind == anonymousID {
		action = "identify_anonymous"
	}
	relation := adapter.Object{{Name: "identifiers", Value: who.object()}}
	if attributes, _ := call.Traits["relationshipAttributes"].(map[string]any); len(attributes) > 0 {
		relation = relation.With("relationship_attributes", t.converted(attributes))
	}
	return t.send(adapter.Object{
		{Name: "type", Value: "object"},
		{Name: "identifiers", Value: t.objectBy(call.GroupID, call.Traits)},
		{Name: "action", Value: action},
		{Name: "attributes", Value: t.attributes(call.Traits, reservedOnObjects)},
		{Name: "cio_relationships", Value: []any{relation}},
	})
}

// objectBy identifies an object. Its type is said by the traits of a group, or the properties of a track, or by the settings.
func (t *translator) objectBy(id string, values map[string]any) adapter.Object {
	kind := cmp.Or(adapter.Text(values["object_type_id"]), adapter.Text(values["objectTypeId"]), t.ObjectTypeID)
	return adapter.Object{{Name: "object_type_id", Value: kind}, {Name: "object_id", Value: id}}
}
