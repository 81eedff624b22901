// Package acme is an example: an adapter for a vendor that does not exist. docs/adding-a-vendor.md goes through it. Acme knows
// people by a key, takes profiles and merges one at a time, and events in lists.
package acme

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Vendor is Acme in the table of destinations. Its events carry their own time, so only identity needs an order.
var Vendor = adapter.Vendor{
	Names: []string{"Acme"},
	Order: adapter.OrderIdentity,
	New:   New,
}

// maxEvents is how many events Acme takes in a list (https://acme.example/docs/events).
const maxEvents = 100

type translator struct {
	Config
	base string
}

// Translate implements adapter.Adapter.
func (t *translator) Translate(call *segment.Call) adapter.Outcome {
	switch call.Type {
	case segment.Alias:
		return t.merge(call)
	case segment.Identify:
		return t.profile(call)
	case segment.Track:
		return t.event(call)
	}
	return adapter.Drop(adapter.NothingToSend)
}

// merge makes two people one. Acme cannot undo it.
func (t *translator) merge(call *segment.Call) adapter.Outcome {
	return t.send("/people/merge", nil, adapter.Object{
		{Name: "from", Value: call.PreviousID},
		{Name: "into", Value: call.UserID},
	})
}

func (t *translator) profile(call *segment.Call) adapter.Outcome {
	traits := adapter.PersonTraits(call)
	if len(traits) == 0 {
		return adapter.Drop(adapter.NothingToSend)
	}
	return t.send("/people", nil, adapter.Object{
		{Name: "key", Value: keyOf(call)},
		{Name: "traits", Value: traits},
	})
}

// event has an id by which Acme knows a repetition, so that a retry counts once.
func (t *translator) event(call *segment.Call) adapter.Outcome {
	batch := &adapter.Batch{Key: "events", MaxItems: maxEvents}
	return t.send("/events", batch, adapter.Object{
		{Name: "id", Value: call.MessageID},
		{Name: "key", Value: keyOf(call)},
		{Name: "name", Value: call.Event},
		{Name: "at", Value: call.Timestamp.Format(time.RFC3339)},
		{Name: "properties", Value: call.Properties},
	})
}

func keyOf(call *segment.Call) string { return cmp.Or(call.UserID, call.AnonymousID) }

func (t *translator) send(path string, batch *adapter.Batch, body adapter.Object) adapter.Outcome {
	encoded, err := adapter.Encode(body)
	if err != nil {
		return adapter.Reject(errors.New("call: holds a value that is not JSON"))
	}
	return adapter.Send(adapter.Request{
		Method: http.MethodPost,
		URL:    t.base + path,
		Header: map[string]string{"Authorization": "Bearer " + t.APIKey.Reveal(), "Content-Type": "application/json"},
		Body:   encoded,
		Batch:  batch,
	})
}
