package customerio

import (
	"regexp"
	"strings"

	"aka/destinations/adapter"
	"aka/router/segment"
)

const (
	// cioPrefix marks an id of Customer.io's own, which it gives to each person.
	cioPrefix = "cio_"
	// anonymousID is the kind of identifier of an event of no known person.
	anonymousID = "anonymous_id"
	// maxID is the longest id in bytes that Customer.io takes (https://docs.customer.io/integrations/api/track). What becomes of a
	// longer one is not said. Cut, two people could become one.
	maxID = 150
)

// person is an identifier as Customer.io takes it: its kind and its value.
type person struct{ kind, value string }

func (p person) object() adapter.Object { return adapter.Object{{Name: p.kind, Value: p.value}} }

// name is what is the same for each spelling of an identifier: e-mails have no case, ids have one.
func (p person) name() string {
	switch p.kind {
	case "cio_id":
		return cioPrefix + p.value
	case "email":
		return strings.ToLower(p.value)
	}
	return p.value
}

var emailForm = regexp.MustCompile(`^[^@\s[:cntrl:]]+@[^@\s[:cntrl:]]+\.[^@\s[:cntrl:]]+$`)

func isEmail(text string) bool {
	return strings.IndexByte(text, '@') > 0 && emailForm.MatchString(text)
}

// personBy returns the identifier that an id is, by its shape.
func (t *translator) personBy(id string) person {
	cioID, isCIO := strings.CutPrefix(id, cioPrefix)
	switch {
	case isCIO:
		return person{"cio_id", cioID}
	case t.Identifiers == IdentifyByEmail, t.Identifiers == IdentifyByBoth && isEmail(id):
		return person{"email", id}
	}
	return person{"id", id}
}

// check returns why an id must not be sent, or "". The guard does not see behind the prefix.
func (t *translator) check(id string) adapter.Reason {
	if reason := t.guard.Check(&segment.Header{UserID: id}); reason != "" {
		return reason
	}
	if len(id) > maxID {
		return adapter.IDTooLong
	}
	if cioID, isCIO := strings.CutPrefix(id, cioPrefix); isCIO && (cioID == "" || t.guard.Blocks(cioID)) {
		return adapter.BlockedID
	}
	return ""
}

// emailOf returns the e-mail among the traits where it identifies a person, or "".
func (t *translator) emailOf(traits map[string]any) string {
	if email := adapter.Text(traits["email"]); t.Identifiers != IdentifyByID && isEmail(email) {
		return email
	}
	return ""
}

// peopleActions are what people_events makes of tracks with these names.
var peopleActions = map[string]func(*translator, *segment.Call) adapter.Outcome{
	"User Deleted":         personAction("delete"),
	"User Suppressed":      personAction("suppress"),
	"User Unsuppressed":    personAction("unsuppress"),
	"Object Deleted":       (*translator).deleteObject,
	"Relationship Deleted": (*translator).deleteRelationship,
}

// personAction returns what does something to the call's person as a whole.
func personAction(action string) func(*translator, *segment.Call) adapter.Outcome {
	return func(t *translator, call *segment.Call) adapter.Outcome {
		if call.UserID == "" {
			return adapter.Drop(adapter.AnonymousNotSupported)
		}
		return t.send(adapter.Object{
			{Name: "type", Value: "person"},
			{Name: "identifiers", Value: t.personBy(call.UserID).object()},
			{Name: "action", Value: action},
		})
	}
}

func (t *translator) deleteObject(call *segment.Call) adapter.Outcome {
	id, reason := t.groupOf(call)
	if reason != "" {
		return adapter.Drop(reason)
	}
	return t.send(adapter.Object{
		{Name: "type", Value: "object"},
		{Name: "identifiers", Value: t.objectBy(id, call.Properties)},
		{Name: "action", Value: "delete"},
	})
}

func (t *translator) deleteRelationship(call *segment.Call) adapter.Outcome {
	if call.UserID == "" {
		return adapter.Drop(adapter.AnonymousNotSupported)
	}
	id, reason := t.groupOf(call)
	if reason != "" {
		return adapter.Drop(reason)
	}
	relation := adapter.Object{{Name: "identifiers", Value: t.personBy(call.UserID).object()}}
	return t.send(adapter.Object{
		{Name: "type", Value: "object"},
		{Name: "identifiers", Value: t.objectBy(id, call.Properties)},
		{Name: "action", Value: "delete_relationships"},
		{Name: "cio_relationships", Value: []any{relation}},
	})
}

// groupOf returns the group of a track, which the guard has not checked.
func (t *translator) groupOf(call *segment.Call) (id string, reason adapter.Reason) {
	if id = call.GroupID; id == "" {
		id = adapter.Text(call.Context()["groupId"])
	}
	switch {
	case id == "":
		return "", adapter.NothingToSend
	case t.guard.Blocks(id):
		return "", adapter.BlockedID
	case len(id) > maxID:
		return "", adapter.IDTooLong
	}
	return id, ""
}
