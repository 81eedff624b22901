package expression

import (
	"maps"
	"slices"
	"time"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// The variables that are there only where Options.Extra says so.
const (
	// Item is the element for which a request is made, or what the vendor says of one.
	Item = "item"
	// Status is the status of a vendor's answer, Body its decoded body, and AfterAmbiguous tells that an earlier try may have worked.
	Status         = "status"
	Body           = "body"
	AfterAmbiguous = "afterAmbiguous"
)

// scope is what an expression sees. A tag is the variable's name; one with a space cannot be written.
type scope struct {
	Type                string         `expr:"type"`
	MessageID           string         `expr:"messageId"`
	UserID              string         `expr:"userId"`
	AnonymousID         string         `expr:"anonymousId"`
	PreviousID          string         `expr:"previousId"`
	PreviousIDDefaulted bool           `expr:"previousIdDefaulted"`
	GroupID             string         `expr:"groupId"`
	Timestamp           moment         `expr:"timestamp"`
	ReceivedAt          moment         `expr:"receivedAt"`
	Event               string         `expr:"event"`
	Name                string         `expr:"name"`
	Category            string         `expr:"category"`
	Properties          map[string]any `expr:"properties"`
	Traits              map[string]any `expr:"traits"`
	Context             map[string]any `expr:"context"`
	Options             map[string]any `expr:"options"`
	Item                any            `expr:"item"`
	Status              int            `expr:"status"`
	Body                any            `expr:"body"`
	AfterAmbiguous      bool           `expr:"afterAmbiguous"`
	Budget              *budget        `expr:"budget of the run"`
}

// moment is a time: only functions such as iso take it.
type moment struct{ t time.Time }

var headerNames = map[string]bool{
	"type": true, "messageId": true, "userId": true, "anonymousId": true, "previousId": true, "previousIdDefaulted": true, "groupId": true,
	"timestamp": true, "receivedAt": true,
}

var (
	callNames  = append(slices.Sorted(maps.Keys(headerNames)), "event", "name", "category", "properties", "traits", "context", "options")
	extraNames = []string{Item, Status, Body, AfterAmbiguous}
)

// Env holds the values of the variables.
type Env struct {
	scope  scope
	budget budget
}

// OfHeader returns what an expression sees that is HeaderOnly.
func OfHeader(h *segment.Header) *Env {
	e := &Env{}
	e.SetHeader(h)
	return e
}

// OfCall returns what an expression sees of a call. The traits of an identify have those of its context below them.
func OfCall(call *segment.Call) *Env {
	e := OfHeader(&call.Header)
	s := &e.scope
	s.Event, s.Name, s.Category = call.Event, call.Name, call.Category
	s.Properties, s.Traits, s.Context, s.Options = call.Properties, call.Traits, call.Context(), call.Options
	if inner, _ := s.Context["traits"].(map[string]any); call.Type == segment.Identify && len(inner) > 0 {
		s.Traits = adapter.PersonTraits(call)
	}
	return e
}

// OfAnswer returns what an expression sees of a vendor's answer. body is decoded JSON, or nil.
func OfAnswer(status int, body any, afterAmbiguous bool) *Env {
	return &Env{scope: scope{Status: status, Body: body, AfterAmbiguous: afterAmbiguous}}
}

// SetHeader takes over a header, so that one Env serves many calls.
func (e *Env) SetHeader(h *segment.Header) {
	s := &e.scope
	s.Type, s.MessageID = h.Type.String(), h.MessageID
	s.UserID, s.AnonymousID, s.PreviousID, s.GroupID = h.UserID, h.AnonymousID, h.PreviousID, h.GroupID
	s.PreviousIDDefaulted = h.PreviousIDDefaulted
	s.Timestamp, s.ReceivedAt = moment{h.Timestamp}, moment{h.ReceivedAt}
}

// SetItem sets the variable `item`.
func (e *Env) SetItem(item any) { e.scope.Item = item }
