package segment

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"

	"aka/destinations/adapter"
	"aka/router/segment"
)

const (
	// maxVia is how many akas a call may pass.
	maxVia = 8
	// longMessageID is the length from which Segment takes no messageId (https://segment.com/docs/connections/spec/common/).
	longMessageID = 100
	// unnamed stands where this aka has no name yet: in an explanation before the first start.
	unnamed = "<instance>"
)

// item is the call as it came, with its ids and its time as they were read. It comes with what it says in its integrations. loops tells
// that the call was here before.
func (t *translator) item(call *segment.Call) (item []byte, integrations string, loops bool) {
	dst := adapter.AppendForwarded(make([]byte, 0, len(call.JSON())+512), call, t.messageID(call.MessageID))
	context := ""
	for name, value := range adapter.ForwardedMembers(call) {
		switch name {
		case "context":
			context = value
		case "integrations":
		default:
			dst = adapter.AppendRaw(dst, name, value)
		}
	}
	if integrations = t.integrations(call.Routing); integrations != "" {
		dst = adapter.AppendRaw(dst, "integrations", integrations)
	}
	if dst, loops = t.appendContext(dst, context); loops {
		return nil, "", true
	}
	return adapter.ValidText(append(dst, '}')), integrations, false
}

// messageID is kept, for it is what makes a repetition harmless upstream.
func (t *translator) messageID(id string) string {
	if t.MessageID == NewMessageID || t.Flavor == FlavorSegment && len(id) >= longMessageID {
		source := uuid.NewSHA1(uuid.Nil, []byte(t.WriteKey.Reveal()))
		return uuid.NewSHA1(source, []byte(id)).String()
	}
	return id
}

// integrations returns what the upstream gets for its own destinations, as an object; "" is nothing.
func (t *translator) integrations(routing []byte) string {
	if t.Integrations == DropIntegrations || len(routing) == 0 {
		return ""
	}
	own := segment.Names{List: Vendor.Names}
	if t.environment.Names != nil {
		own = *t.environment.Names
	}
	var kept []byte
	for name, value := range segment.Members(routing) {
		if !own.Has(name) {
			kept = adapter.AppendRaw(kept, name, value)
		}
	}
	if len(kept) == 0 {
		return ""
	}
	kept[0] = '{'
	return string(adapter.ValidText(append(kept, '}')))
}

// appendContext appends the context, with the name of this aka among those that the call has passed.
func (t *translator) appendContext(dst []byte, context string) (_ []byte, loops bool) {
	dst = append(dst, `,"context"`...)
	start := len(dst)
	aka := ""
	for name, value := range segment.Members(context) {
		switch name {
		case "aka":
			aka = value
			continue
		case "repeatChain":
			loops = loops || t.isRepeated(value)
		}
		dst = adapter.AppendRaw(dst, name, value)
	}
	dst = append(dst, `,"aka"`...)
	inner := len(dst)
	via := ""
	for name, value := range segment.Members(aka) {
		if name == "via" {
			via = value
			continue
		}
		dst = adapter.AppendRaw(dst, name, value)
	}
	dst = append(dst, `,"via"`...)
	list := len(dst)
	own, passed := t.instance(), 0
	for value := range segment.Items(via) {
		name, ok := segment.Text(value)
		if !ok {
			continue
		}
		if passed++; name == own || passed >= maxVia {
			return dst, true
		}
		dst = adapter.AppendText(append(dst, ','), name)
	}
	dst = adapter.AppendText(append(dst, ','), own)
	dst = append(open(dst, list, '['), ']')
	dst = append(open(dst, inner, '{'), '}')
	return append(open(dst, start, '{'), '}'), loops
}

// open makes a colon and a bracket of the comma at a place. There, what is within the brackets begins.
func open(dst []byte, at int, bracket byte) []byte {
	dst = append(dst, 0)
	copy(dst[at+1:], dst[at:])
	dst[at], dst[at+1] = ':', bracket
	return dst
}

func (t *translator) instance() string {
	switch {
	case t.Instance != "":
		return t.Instance
	case t.environment.Instance != nil && *t.environment.Instance != "":
		return *t.environment.Instance
	}
	return unnamed
}

// isRepeated reports whether Segment's Repeater has sent the call to the upstream's source before.
func (t *translator) isRepeated(chain string) bool {
	for value := range segment.Items(chain) {
		if digest, ok := segment.Text(value); ok && strings.EqualFold(digest, t.keyDigest) {
			return true
		}
	}
	return false
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}
