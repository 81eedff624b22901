// Package segment is the Segment spec: one message from its JSON to a Call that an adapter can translate. It does no
// I/O and keeps no state; what SDKs really send, and what is done with it, is decided here and nowhere else.
package segment

import (
	"strings"
	"sync"
	"time"
)

// Type is the kind of a call. The zero value is no type. JSON makes a number of it: send its String.
type Type uint8

// The six calls of the Segment spec.
const (
	Alias Type = iota + 1
	Identify
	Track
	Page
	Screen
	Group
)

// Types lists every type, for tables and for metrics that must exist at zero.
var Types = []Type{Alias, Identify, Track, Page, Screen, Group}

var typeNames = [...]string{"", "alias", "identify", "track", "page", "screen", "group"}

// String returns the name that SDKs send, such as "alias"; "" for no type.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return ""
}

// ParseType reads a type's name in any case. ok is false for anything but the six.
func ParseType(name string) (t Type, ok bool) {
	for _, t := range Types {
		if strings.EqualFold(name, typeNames[t]) {
			return t, true
		}
	}
	return 0, false
}

// ChangesIdentity reports whether a call of this type changes who is who at a vendor, so that no other call of the same
// person may overtake it or be overtaken by it.
func (t Type) ChangesIdentity() bool { return t == Alias || t == Identify || t == Group }

// Header is what routing needs of a call. It is kept beside the JSON in the journal, so that a reader can filter and
// sequence without parsing. Everything in it is stamped once, when the call is accepted: a retry, a restart and a replay
// see the same header.
type Header struct {
	Type Type
	// MessageID identifies the call within its source. Never empty: one is made when the SDK sent none.
	MessageID string
	// UserID, AnonymousID, PreviousID and GroupID are trimmed; numbers became their digits; "" is absent.
	UserID, AnonymousID, PreviousID, GroupID string
	// PreviousIDDefaulted tells that an alias had neither previousId nor from, and PreviousID is its anonymousId.
	PreviousIDDefaulted bool
	// Timestamp is when it happened, corrected for the sender's clock skew. UTC, never zero.
	Timestamp time.Time
	// ReceivedAt is when aka accepted it. UTC, never zero.
	ReceivedAt time.Time
	// FromDevice marks a call that a browser or a phone sent, not a server.
	FromDevice bool
	// DeviceMicros is when it happened by the sender's own clock, uncorrected, in microseconds since 1970 UTC; 0 where the call
	// does not say. It is context.aka's seq, where aka.js stamped the call of a page: then the calls of one browser compare as
	// its code made them. Else it is the call's time, of which most SDKs say milliseconds.
	DeviceMicros int64
	// Clock is the time by which the call takes its place among its device's: see OrderRequest. 0 leaves it in its place.
	Clock int64
	// ReorderWindow is how long the call waits for those that its device made before it, in whole milliseconds; 0 is not at all.
	ReorderWindow time.Duration
	// PreviousIDRepaired tells that an alias came with its userId as its previousId too, and PreviousID is its anonymousId: see
	// RepairAliases.
	PreviousIDRepaired bool
	// UserIDStamped tells that UserID is what the page's code named, as aka.js stamped it, whatever the SDK made of it.
	UserIDStamped bool
}

// IDs appends the call's distinct person ids (userId, anonymousId, previousId) to dst: those that order its delivery.
func (h *Header) IDs(dst []string) []string {
	start := len(dst)
next:
	for _, id := range [...]string{h.UserID, h.AnonymousID, h.PreviousID} {
		if id == "" {
			continue
		}
		for _, seen := range dst[start:] {
			if seen == id {
				continue next
			}
		}
		dst = append(dst, id)
	}
	return dst
}

// Message is a valid call that is not decoded: what the journal keeps and what travels between the pieces.
type Message struct {
	Header
	// Routing is the effective `integrations` object as JSON, or nil when the call has none. The envelope's and the
	// context's are merged in, and what the device itself has sent is switched off.
	Routing []byte
	// JSON is the call as the SDK sent it, unknown fields too, with the envelope's context merged under its own.
	JSON []byte
}

// Call is a decoded message: what adapters translate. Destinations share it, so it must not be modified.
//
// JSON objects are map[string]any, arrays []any, numbers json.Number with the digits as sent, strings valid UTF-8.
type Call struct {
	Header
	// Event is a track's name, never blank. Name and Category are a page's or a screen's: from the top level, else from
	// properties; "" is none.
	Event, Name, Category string
	// Properties and Traits are the call's objects. Never nil; empty when absent or not an object.
	Properties, Traits map[string]any
	// Options are what `integrations` says to this destination, such as Vero's tags. Nil when it says only yes.
	Options map[string]any
	// Routing is the effective `integrations` object as JSON: Message.Routing. Nil when the call has none.
	Routing []byte

	json    []byte
	edited  *edited // in the place of json, of a call that WithFields has made
	context *context
}

// Context is the call's object of that name. Never nil; empty when absent or not an object. Its ip has no port and no zone, and
// IPv4 in IPv6 is IPv4.
func (c *Call) Context() map[string]any {
	if c.context == nil {
		return map[string]any{}
	}
	return c.context.object()
}

// SetContext gives the call another context, while no other goroutine has the call.
func (c *Call) SetContext(object map[string]any) { c.context = &context{decoded: object} }

// context is decoded when it is first asked for, by any of those that share the call.
type context struct {
	once    sync.Once
	json    []byte
	decoded map[string]any
}

func (c *context) object() map[string]any {
	c.once.Do(func() {
		if c.decoded == nil {
			c.decoded = orEmpty(object(c.json))
			plainIP(c.decoded)
		}
	})
	return c.decoded
}
