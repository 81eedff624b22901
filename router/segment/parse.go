package segment

import (
	"bytes"
	"net/netip"
	"slices"
	"sort"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Options say how a body is to be read.
type Options struct {
	// Batch says that the body is an envelope with a `batch` array; otherwise it is one call.
	Batch bool
	// Type is the type that a single call's path decided. Zero leaves it to the call's own `type`.
	Type Type
	// ReceivedAt is when the body arrived.
	ReceivedAt time.Time
	// Limits bound what is accepted. Zero fields take DefaultLimits'.
	Limits Limits
	// Client is the address of who sent the body; the zero Addr is an unknown one. It becomes the context.ip of a call that
	// has none, where Device is set or the call's context.direct is true.
	Client netip.Addr
	// Import marks calls that another server has received before. The time of arrival of one that has a receivedAt is that.
	Import bool
	// Export marks calls of an export, which are read and not accepted: the ReceivedAt of one that has a receivedAt is that. It goes
	// with Import.
	Export bool
	// Device marks that the body comes from a person's own device, and not from a server.
	Device bool
	// IPPolicy is the source's.
	IPPolicy IPPolicy
	// WriteKey names the source of the calls where the request itself says it; nil leaves it to the body. The IPPolicy is that
	// source's then.
	WriteKey []byte
	// Admit, when set, is asked about the write keys in the body, before the call of one is looked at, and gives the IPPolicy of
	// its source. It is asked about the body's key, "" for none, unless there is a WriteKey, and about those that calls of a batch
	// have of their own. A call of a batch whose key is refused is rejected alone. Where none is admitted, the error is
	// ErrNotAdmitted.
	Admit func(writeKey string) (policy IPPolicy, admitted bool)
}

// Limits bound what one body may hold.
type Limits struct {
	// CallBytes is the largest single call as JSON. Default 512 KiB.
	CallBytes int
	// BatchCalls is how many calls a batch may hold. Default 5,000.
	BatchCalls int
	// Depth is how deep a call may nest. Default 64.
	Depth int
	// MessageIDLength is the longest messageId in bytes. Default 256.
	MessageIDLength int
}

// DefaultLimits are kinder than Segment's own: SDKs are measured to exceed those.
var DefaultLimits = Limits{CallBytes: 512 << 10, BatchCalls: 5000, Depth: 64, MessageIDLength: 256}

// StrictLimits are Segment's own.
var StrictLimits = Limits{CallBytes: 32 << 10, BatchCalls: 2500, Depth: 64, MessageIDLength: 100}

func (l Limits) withDefaults() Limits {
	fill := func(limit *int, byDefault int) {
		if *limit <= 0 {
			*limit = byDefault
		}
	}
	fill(&l.CallBytes, DefaultLimits.CallBytes)
	fill(&l.BatchCalls, DefaultLimits.BatchCalls)
	fill(&l.Depth, DefaultLimits.Depth)
	fill(&l.MessageIDLength, DefaultLimits.MessageIDLength)
	return l
}

// Result is what a body held.
type Result struct {
	// WriteKey is the body's own, else that of the first call that has one which is admitted, else the first call's; "" when there
	// is none.
	WriteKey string
	// Others are the messages of other sources, in their order: those of a batch with a write key of their own.
	Others []Other
	// Messages are the valid calls, in the order of the body.
	Messages []Message
	// Rejected are the calls of a batch that were refused. The others stand.
	Rejected []Rejection
	// Warnings are about calls that are accepted, though something in them is not as it was probably meant.
	Warnings []Warning
}

// Other says that a message belongs to another source than the body.
type Other struct {
	Message  int // its place in Messages
	WriteKey string
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

// Warning is about a call that is accepted, though something in it is not as it was probably meant. Code is a constant
// lower_snake_case word; Message names the field and what is done, and holds nothing of the call.
type Warning struct {
	// Index is the call's position in the batch, from 0; -1 is the envelope, or the body as a whole.
	Index   int    `json:"index"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// typicalCallBytes says for how many calls of a batch to make room at first.
const typicalCallBytes = 400

// maxHeaderBytes bounds what is kept of a call beside its JSON, so that a limit on the JSON is one on the whole.
const maxHeaderBytes = 64 << 10

// wholeBody is the Index of a warning that belongs to no single call.
const wholeBody = -1

// Parse reads one body: a single call or a batch. The error, always a *Error, means that nothing of it was accepted; what
// it says of the body's write key is still in the result, so that a refusal can be counted by source. The result does not
// alias body.
func Parse(body []byte, options Options) (*Result, error) {
	result := &Result{}
	return result, result.Parse(body, options)
}

// Parse is the function Parse into a result that is there already and is filled anew. Its slices are used again: who keeps
// one of the messages copies it.
func (r *Result) Parse(body []byte, options Options) error {
	r.Reset()
	options.Limits = options.Limits.withDefaults()
	// Without the monotonic clock, so that the journal gives back the same time.
	options.ReceivedAt = options.ReceivedAt.Round(0).UTC()
	options.Client = plain(options.Client)
	// What is kept of the body are parts of this one copy.
	source := bytes.Clone(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	problem := r.parse(source, &options)
	if isInvalidJSON(problem) {
		if repaired, codes := repair(source); len(codes) > 0 {
			asSent := problem
			r.Reset()
			problem = r.parse(repaired, &options)
			for _, code := range codes {
				r.warn(wholeBody, code)
			}
			// Its position is in the repaired body, which the client does not have.
			if isInvalidJSON(problem) {
				problem = asSent
			}
		}
	}
	if problem != nil {
		r.dropCalls()
		return problem
	}
	return nil
}

// Reset empties the result, so that it keeps nothing of a body in memory but its slices.
func (r *Result) Reset() {
	r.dropCalls()
	r.WriteKey, r.Warnings = "", r.Warnings[:0]
}

func (r *Result) dropCalls() {
	clear(r.Messages)
	clear(r.Others)
	r.Messages, r.Rejected, r.Others = r.Messages[:0], r.Rejected[:0], r.Others[:0]
}

// Reject makes a rejection of one of the messages. The Others behind it move with it.
func (r *Result) Reject(message int, code, text string) {
	index := r.IndexOf(message)
	at := sort.Search(len(r.Rejected), func(i int) bool { return r.Rejected[i].Index > index })
	r.Rejected = slices.Insert(r.Rejected, at, Rejection{index, code, text})
	r.Messages = slices.Delete(r.Messages, message, message+1)
	r.Others = slices.DeleteFunc(r.Others, func(o Other) bool { return o.Message == message })
	for i := range r.Others {
		if r.Others[i].Message > message {
			r.Others[i].Message--
		}
	}
}

// IndexOf returns the position in the body of the message with a place in Messages.
func (r *Result) IndexOf(message int) int {
	index := message
	for _, rejected := range r.Rejected {
		if rejected.Index > index {
			break
		}
		index++
	}
	return index
}

func isInvalidJSON(problem *Error) bool { return problem != nil && problem.Code == codeInvalidJSON }

func (r *Result) parse(source []byte, options *Options) *Error {
	p := parser{Options: *options, result: r, mergeable: len(source) + freeMergedBytes, ownPolicy: options.IPPolicy}
	p.admitted = p.WriteKey != nil
	if options.Batch {
		return p.batch(source)
	}
	return p.single(source)
}

// parser reads one body.
type parser struct {
	Options
	// The envelope's. They lie under each call's own.
	context, integrations jsontext.Value
	sentAt                time.Time

	admitted  bool     // the body's source is known
	refused   bool     // the body names a source that is not known, which is that of its calls without a key
	ownPolicy IPPolicy // its
	bodyKey   []byte   // its write key, as it stands outside the body or in it

	mergeable int // bytes that the envelope may still add to the calls
	index     int // of the call being read
	result    *Result
}

func (p *parser) single(source []byte) *Error {
	r := newReader(source)
	defer r.release()
	call, isObject := r.call()
	r.end()
	p.result.WriteKey = text(call.writeKey)
	switch {
	case r.err != nil:
		return r.invalid()
	case !isObject:
		return errInvalidCall
	case !p.admits(p.result.WriteKey):
		return ErrNotAdmitted
	}
	return p.add(&call)
}

// admits reports whether the body's source is known, by its write key or already.
func (p *parser) admits(key string) bool {
	if !p.admitted {
		p.admitted = true
		if p.Admit != nil {
			p.ownPolicy, p.admitted = p.Admit(key)
			p.IPPolicy = p.ownPolicy
		}
	}
	return p.admitted
}

func (p *parser) batch(source []byte) *Error {
	r := newReader(source)
	defer r.release()
	envelope, isObject := r.envelope()
	r.end()
	p.result.WriteKey = text(envelope.writeKey)
	switch {
	case r.err != nil:
		return r.invalid()
	case !isObject || envelope.batch.Kind() != jsontext.KindBeginArray:
		return errInvalidBatch
	}
	if p.bodyKey = p.WriteKey; p.bodyKey == nil {
		p.bodyKey = unquote(envelope.writeKey)
	}
	if problem := p.open(envelope); problem != nil {
		return problem
	}
	if problem := p.allCalls(r, envelope.batch); problem != nil {
		return problem
	}
	if p.index > 0 && !p.admitted {
		return ErrNotAdmitted
	}
	return nil
}

func (p *parser) allCalls(r *reader, batch jsontext.Value) *Error {
	if r.hasAll {
		return p.calls(r.calls)
	}
	return p.callsIn(batch)
}

// open makes ready what the envelope says for all of its calls.
func (p *parser) open(e rawEnvelope) *Error {
	p.index = wholeBody
	p.context = notEmpty(p.objectIn(e.context, warningInvalidContext))
	p.integrations = notEmpty(p.objectIn(e.integrations, warningInvalidIntegrations))
	p.sentAt = p.time(e.sentAt, "sentAt")
	p.index = 0
	if tooDeep(p.context, p.Limits.Depth-1) || tooDeep(p.integrations, p.Limits.Depth-1) {
		return errTooDeep(p.Limits.Depth)
	}
	return nil
}

func (p *parser) calls(calls []rawCall) *Error {
	p.result.Messages = slices.Grow(p.result.Messages, min(len(calls), p.Limits.BatchCalls))
	for i := range calls {
		if problem := p.next(&calls[i]); problem != nil {
			return problem
		}
	}
	return nil
}

// callsIn is calls for a batch that is to be read again.
func (p *parser) callsIn(batch []byte) *Error {
	r := newReader(batch)
	defer r.release()
	r.token(jsontext.KindBeginArray)
	p.result.Messages = slices.Grow(p.result.Messages, min(1+len(batch)/typicalCallBytes, p.Limits.BatchCalls))
	for r.more(jsontext.KindEndArray) {
		call, _ := r.call()
		if problem := p.next(&call); problem != nil {
			return problem
		}
	}
	return nil
}

// next takes the batch's next call into the result, or what is wrong with it. The error is about the batch.
func (p *parser) next(call *rawCall) *Error {
	other, problem := p.sourceOf(call)
	switch {
	case p.index >= p.Limits.BatchCalls && !p.admitted:
		return ErrNotAdmitted
	case p.index >= p.Limits.BatchCalls:
		return errTooManyCalls(p.Limits.BatchCalls)
	case problem != nil:
	case call.json == nil:
		problem = errInvalidCall
	default:
		problem = p.add(call)
	}
	if problem == nil && other != "" {
		p.result.Others = append(p.result.Others, Other{len(p.result.Messages) - 1, other})
	}
	if p.mergeable < 0 {
		return errEnvelopeTooLarge()
	}
	if problem != nil {
		p.result.Rejected = append(p.result.Rejected, Rejection{p.index, problem.Code, problem.Message})
	}
	p.index++
	return nil
}

// add takes a call into the result, unless there is a problem with it.
func (p *parser) add(c *rawCall) *Error {
	// What was sent counts, not what is added or hidden here.
	size := len(c.json) + len(p.context)
	json := p.withContext(c)
	switch {
	case size > p.Limits.CallBytes:
		return errCallTooLarge(p.Limits.CallBytes)
	case tooDeep(json, p.Limits.Depth):
		return errTooDeep(p.Limits.Depth)
	}
	header, problem := p.header(c)
	if problem != nil {
		return problem
	}
	p.objectIn(c.traits, warningInvalidTraits)
	p.objectIn(c.properties, warningInvalidProperties)
	message := Message{Header: header, Routing: p.routing(c), JSON: json}
	if message.headerBytes() > maxHeaderBytes {
		return errHeaderTooLarge()
	}
	p.result.Messages = append(p.result.Messages, message)
	return nil
}

func (m *Message) headerBytes() int {
	return len(m.MessageID) + len(m.UserID) + len(m.AnonymousID) + len(m.PreviousID) + len(m.GroupID) + len(m.Routing)
}

func (p *parser) warn(code string) { p.result.warn(p.index, code) }

func (r *Result) warn(index int, code string) {
	r.Warnings = append(r.Warnings, Warning{index, code, warningMessages[code]})
}

// objectIn returns raw when it is an object. null, absent, "" and [] are none, as PHP writes an empty one; anything else is
// none too, with a warning.
func (p *parser) objectIn(raw jsontext.Value, warning string) jsontext.Value {
	switch raw.Kind() {
	case jsontext.KindBeginObject:
		return raw
	case jsontext.KindInvalid, jsontext.KindNull:
		return nil
	case jsontext.KindBeginArray, jsontext.KindString:
		if isEmpty(raw) {
			return nil
		}
	}
	p.warn(warning)
	return nil
}

// notEmpty returns an object that has something in it, else nil: to find only spaces in one takes as long as they are many,
// and is not to be done for each call again.
func notEmpty(object jsontext.Value) jsontext.Value {
	if object == nil || isEmpty(object) {
		return nil
	}
	return object
}

// isEmpty reports whether an object, array or string has nothing in it.
func isEmpty(raw jsontext.Value) bool { return len(inside(raw)) == 0 }

// inside returns what stands between the brackets of an object or array, or the quotes of a string.
func inside(raw jsontext.Value) []byte { return bytes.TrimSpace(raw[1 : len(raw)-1]) }
