package segment

import "time"

// Options say how a body is to be read.
type Options struct {
	// Batch tells that the body is an envelope with a `batch` array; otherwise it is one call.
	Batch bool
	// Type is the type that a single call's path decided. Zero leaves it to the call's own `type`.
	Type Type
	// ReceivedAt is when the body arrived.
	ReceivedAt time.Time
	// Limits bound what is accepted. Zero fields take DefaultLimits'.
	Limits Limits
}

// Limits bound what one body may hold.
type Limits struct {
	// CallBytes is the largest single call as JSON. Default 512 KiB.
	CallBytes int
	// BatchCalls is how many calls a batch may hold. Default 5,000.
	BatchCalls int
	// Depth is how deep JSON may nest. Default 64.
	Depth int
	// MessageIDLength is the longest messageId in bytes. Default 256.
	MessageIDLength int
}

// DefaultLimits are kinder than Segment's own: SDKs are measured to exceed those.
var DefaultLimits = Limits{CallBytes: 512 << 10, BatchCalls: 5000, Depth: 64, MessageIDLength: 256}

// StrictLimits are Segment's own.
var StrictLimits = Limits{CallBytes: 32 << 10, BatchCalls: 2500, Depth: 64, MessageIDLength: 100}

// Result is what a body held.
type Result struct {
	// WriteKey is the body's own, else the first message's; "" when neither has one.
	WriteKey string
	// Messages are the valid calls, in the order of the body.
	Messages []Message
	// Rejected are the calls of a batch that were refused. The others stand.
	Rejected []Rejection
	// Diagnostics are oddities that cost nothing but are worth counting.
	Diagnostics []Diagnostic
}

// Rejection is one call of a batch that was refused.
type Rejection struct {
	// Index is the call's position in the batch, from 0.
	Index   int    `json:"index"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error is why a whole body was refused. Code is a constant lower_snake_case word; Message names the field and what was
// expected, and holds nothing of the body.
type Error struct{ Code, Message string }

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Diagnostic is an oddity in one call, by a constant lower_snake_case code such as "type_mismatch".
type Diagnostic struct {
	Index int
	Code  string
}

// Parse reads one body: a single call or a batch. The error, always a *Error, means that nothing of it was accepted; what
// it says of the body's write key is still in the result, so that a refusal can be counted by source. The result does not
// alias body.
func Parse(body []byte, options Options) (*Result, error) { panic("not built yet") }

// Decode parses the message's JSON whole. Equal messages give equal calls.
func (m *Message) Decode() (*Call, error) { panic("not built yet") }

// Decision is what a call's `integrations` say about one destination.
type Decision struct {
	// Enabled tells whether the destination gets the call.
	Enabled bool
	// Options are those given for the destination: nil when it was only switched, empty for an array.
	Options map[string]any
	// Diagnostics are codes for values that are no switch and for names that almost match.
	Diagnostics []string
}

// Route reads a message's Routing for the destination that goes by these names. Case and spaces count unless lenient.
func Route(routing []byte, names []string, lenient bool) Decision { panic("not built yet") }
