package segment

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// freeMergedBytes is what an envelope's context and integrations may add to the calls of any batch. Beyond it they may add
// as much as the body has: without a limit a small body could become gigabytes.
const freeMergedBytes = 1 << 20

// sdkNames stand in `integrations` for the SDK's own service, which is no destination.
var sdkNames = []string{"Segment.io", "Customer.io Data Pipelines", "RudderStack"}

// withContext returns the call's JSON with the envelope's context under its own, and with the client's address where it is
// wanted. The same member may then be there twice; the call's own comes last, and the last one counts. Where the policy hides
// addresses, no other is left in any context.
func (p *parser) withContext(c *rawCall) []byte {
	context := p.objectIn(c.context, warningInvalidContext)
	asSent := true
	if p.context != nil {
		context, asSent = p.overEnvelopes(context), false
	}
	ip := p.addressToAdd(context)
	if p.IPPolicy.hides() {
		asSent = asSent && c.contextAt == 0
		context = without(context, "ip")
		c.hideContexts()
	}
	if asSent && !ip.IsValid() {
		return c.json
	}
	return c.put(context, ip)
}

// overEnvelopes returns a call's context with the envelope's under it.
func (p *parser) overEnvelopes(own jsontext.Value) jsontext.Value {
	p.mergeable -= len(p.context)
	if own == nil || isEmpty(own) {
		return p.context
	}
	return slices.Concat(jsontext.Value{'{'}, inside(p.context), []byte{','}, own[1:])
}

// routing returns the call's effective integrations, nil for none. Where a name is there twice the last one counts: the
// call's own come after the envelope's, and what the device itself has sent comes after both.
func (p *parser) routing(c *rawCall) []byte {
	own := p.objectIn(c.integrations, warningInvalidIntegrations)
	if p.integrations == nil && c.metadata == nil && isPlain(own) {
		return own
	}
	p.mergeable -= len(p.integrations)
	routing := appendSwitches(nil, p.integrations)
	routing = appendSwitches(routing, own)
	if len(routing) == 0 {
		routing = appendSwitches(routing, p.contextIntegrations(c))
	}
	routing = appendBundled(routing, c.metadata)
	if len(routing) == 0 {
		return nil
	}
	return append(routing, '}')
}

// isPlain reports whether an integrations object may stand as it is: it is small, it has something in it, and nothing in it is
// to be left out.
func isPlain(integrations jsontext.Value) bool {
	if integrations == nil || len(integrations) > 1<<10 || isEmpty(integrations) {
		return false
	}
	return !slices.ContainsFunc(sdkNames, func(name string) bool { return mayName(integrations, name) })
}

// contextIntegrations is where Jitsu's SDK puts them.
func (p *parser) contextIntegrations(c *rawCall) jsontext.Value {
	for _, context := range [...]jsontext.Value{c.context, p.context} {
		if context.Kind() != jsontext.KindBeginObject {
			continue
		}
		if found := lastMember(context, "integrations"); !isBlank(found) {
			return p.objectIn(found, warningInvalidIntegrations)
		}
	}
	return nil
}

// appendSwitches appends the members of an integrations object to dst, the start of another.
func appendSwitches(dst []byte, integrations jsontext.Value) []byte {
	if integrations == nil || isEmpty(integrations) {
		return dst
	}
	r := newReader(integrations)
	defer r.release()
	dst = slices.Grow(dst, len(integrations)+1)
	r.token(jsontext.KindBeginObject)
	for r.more(jsontext.KindEndObject) {
		if name, value := r.member(); !slices.Contains(sdkNames, string(name)) {
			dst = appendMember(dst, name, value)
		}
	}
	return dst
}

// appendBundled switches off the destinations that the browser's SDK has sent to itself: `_metadata.bundled`.
func appendBundled(dst []byte, metadata jsontext.Value) []byte {
	if metadata.Kind() != jsontext.KindBeginObject {
		return dst
	}
	bundled := lastMember(metadata, "bundled")
	if bundled.Kind() != jsontext.KindBeginArray {
		return dst
	}
	r := newReader(bundled)
	defer r.release()
	r.token(jsontext.KindBeginArray)
	for r.more(jsontext.KindEndArray) {
		name := unquote(r.value())
		if len(name) > 0 && !slices.Contains(sdkNames, string(name)) && !slices.Contains(allNames, string(name)) {
			dst = appendMember(dst, name, jsontext.Value("false"))
		}
	}
	return dst
}

func appendMember(dst, name []byte, value jsontext.Value) []byte {
	separator := byte(',')
	if len(dst) == 0 {
		separator = '{'
	}
	dst = append(dst, separator)
	// The error only says that bad bytes were replaced.
	dst, _ = jsontext.AppendQuote(dst, name)
	dst = append(dst, ':')
	return append(dst, value...)
}
