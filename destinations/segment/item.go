package segment

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

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

// isReplaced reports whether a member of the call is left out, or written anew. What a clock said is left out: the call's time is
// corrected already, and an upstream would do it again. An upstream that is an aka prefers the originalTimestamp.
func isReplaced(name string, kind segment.Type) bool {
	switch name {
	case "type", "messageId", "userId", "anonymousId", "groupId", "timestamp", "integrations", "context",
		"originalTimestamp", "sentAt", "receivedAt", "writeKey", "_metadata":
		return true
	case "previousId":
		return kind == segment.Alias
	}
	return false
}

// item is the call as it came, with its ids and its time as they were read. It comes with what it says in its integrations. loops tells
// that the call was here before.
func (t *translator) item(call *segment.Call) (item []byte, integrations string, loops bool) {
	dst := append(make([]byte, 0, len(call.JSON())+512), `{"type":`...)
	dst = appendText(dst, call.Type.String())
	dst = appendMember(dst, "messageId", t.messageID(call.MessageID))
	dst = appendMember(dst, "userId", call.UserID)
	dst = appendMember(dst, "anonymousId", call.AnonymousID)
	dst = appendMember(dst, "previousId", call.PreviousID)
	dst = appendMember(dst, "groupId", call.GroupID)
	dst = append(dst, `,"timestamp":"`...)
	dst = call.Timestamp.UTC().AppendFormat(dst, timeFormat)
	dst = append(dst, '"')
	context := ""
	for name, value := range segment.Members(call.JSON()) {
		if name == "context" {
			context = value
		}
		if !isReplaced(name, call.Type) {
			dst = appendRaw(dst, name, value)
		}
	}
	if integrations = t.integrations(call.Routing); integrations != "" {
		dst = appendRaw(dst, "integrations", integrations)
	}
	if dst, loops = t.appendContext(dst, context); loops {
		return nil, "", true
	}
	return valid(append(dst, '}')), integrations, false
}

// timeFormat is the one of Segment's own SDKs.
const timeFormat = "2006-01-02T15:04:05.000Z"

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
			kept = appendRaw(kept, name, value)
		}
	}
	if len(kept) == 0 {
		return ""
	}
	kept[0] = '{'
	return string(valid(append(kept, '}')))
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
		dst = appendRaw(dst, name, value)
	}
	dst = append(dst, `,"aka"`...)
	inner := len(dst)
	via := ""
	for name, value := range segment.Members(aka) {
		if name == "via" {
			via = value
			continue
		}
		dst = appendRaw(dst, name, value)
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
		dst = appendText(append(dst, ','), name)
	}
	dst = appendText(append(dst, ','), own)
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

// appendMember appends a member with a text, if there is one.
func appendMember(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	return appendText(append(appendText(append(dst, ','), name), ':'), text)
}

// appendRaw appends a member with a comma before it. The value stays as it is, so that a number keeps its digits.
func appendRaw(dst []byte, name, value string) []byte {
	return append(append(appendText(append(dst, ','), name), ':'), value...)
}

// appendText appends a JSON string.
func appendText(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(text) // a string always can be
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), text...), '"')
}

// valid replaces what is no UTF-8. An SDK may have sent it.
func valid(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return bytes.ToValidUTF8(text, []byte("\uFFFD"))
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}
