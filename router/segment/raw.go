package segment

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// rawCall is a call's members that mean something here, undecoded. Each is the last of its name.
type rawCall struct {
	json                                 jsontext.Value // the call whole, but for its write key
	kind, action                         jsontext.Value
	messageID                            jsontext.Value
	userID, to, anonymousID              jsontext.Value
	previousID, from, groupID            jsontext.Value
	event                                jsontext.Value
	timestamp, originalTimestamp, sentAt jsontext.Value
	receivedAt                           jsontext.Value
	traits, properties                   jsontext.Value
	context, integrations, metadata      jsontext.Value
	writeKey                             jsontext.Value

	contextAt    int   // where context starts in json; 0 when there is none
	contextAgain bool  // whether there are several
	misspelled   idSet // the ids that a key such as user_id is probably meant for
}

// call reads the value that comes next, without write keys. isObject is false when it is anything but an object; then the call
// has no JSON.
func (r *reader) call() (c rawCall, isObject bool) {
	if r.peek() != jsontext.KindBeginObject {
		r.value()
		return c, false
	}
	r.token(jsontext.KindBeginObject)
	start := r.offset() - 1
	var keys []span
	for members := 0; r.more(jsontext.KindEndObject); members++ {
		from := r.offset() - start
		name, value := r.member()
		field := c.field(name)
		if field != nil {
			*field = value
		}
		switch {
		case field == nil:
			c.noteMisspelled(name, value)
		case field == &c.writeKey:
			keys = append(keys, span{from, r.offset() - start})
			continue
		case field == &c.context:
			c.contextAgain = c.contextAt > 0
			c.contextAt = r.offset() - len(value) - start
		}
		// A member's comma stands before it, and goes with it; where nothing is left before the next one, so must its.
		if members > 0 && members == len(keys) {
			keys[members-1].end = from + bytes.IndexByte(r.source[start+from:], ',') + 1
		}
	}
	r.token(jsontext.KindEndObject)
	c.json = r.source[start:r.offset():r.offset()]
	if len(keys) > 0 && r.err == nil {
		c.cut(keys)
	}
	return c, true
}

// span is a part of a call's JSON.
type span struct{ start, end int }

// cut takes parts out of the call's JSON. Write keys must not be kept: calls are shown to those who may not know them.
func (c *rawCall) cut(parts []span) {
	kept, at, contextAt := make([]byte, 0, len(c.json)), 0, c.contextAt
	for _, part := range parts {
		kept = append(kept, c.json[at:part.start]...)
		at = part.end
		if part.start < contextAt {
			c.contextAt -= part.end - part.start
		}
	}
	c.json = append(kept, c.json[at:]...)
}

func (c *rawCall) field(name []byte) *jsontext.Value {
	switch string(name) {
	case "type":
		return &c.kind
	case "action":
		return &c.action
	case "messageId":
		return &c.messageID
	case "userId":
		return &c.userID
	case "to":
		return &c.to
	case "anonymousId":
		return &c.anonymousID
	case "previousId":
		return &c.previousID
	case "from":
		return &c.from
	case "groupId":
		return &c.groupID
	case "event":
		return &c.event
	case "timestamp":
		return &c.timestamp
	case "originalTimestamp":
		return &c.originalTimestamp
	case "sentAt":
		return &c.sentAt
	case "receivedAt":
		return &c.receivedAt
	case "traits":
		return &c.traits
	case "properties":
		return &c.properties
	case "context":
		return &c.context
	case "integrations":
		return &c.integrations
	case "_metadata":
		return &c.metadata
	case "writeKey":
		return &c.writeKey
	}
	return nil
}

// rawEnvelope is a batch's members that mean something here, undecoded. Each is the last of its name. The reader has the calls
// of a batch that is an array, if they are few.
type rawEnvelope struct{ batch, context, integrations, sentAt, writeKey jsontext.Value }

// envelope reads the value that comes next. isObject is false when it is anything but an object.
func (r *reader) envelope() (e rawEnvelope, isObject bool) {
	if r.peek() != jsontext.KindBeginObject {
		r.value()
		return e, false
	}
	r.token(jsontext.KindBeginObject)
	for r.more(jsontext.KindEndObject) {
		name := unquote(r.value())
		if string(name) == "batch" {
			e.batch = r.batch()
			continue
		}
		switch value := r.value(); string(name) {
		case "context":
			e.context = value
		case "integrations":
			e.integrations = value
		case "sentAt":
			e.sentAt = value
		case "writeKey":
			e.writeKey = value
		}
	}
	r.token(jsontext.KindEndObject)
	return e, true
}

// fewCalls is how many calls of a batch are read together with its envelope, so that they are read once only. Were there no
// limit, they could take far more memory than their body.
const fewCalls = 512

// batch reads the value that comes next, and keeps the calls in it.
func (r *reader) batch() jsontext.Value {
	r.dropCalls()
	if r.peek() != jsontext.KindBeginArray {
		return r.value()
	}
	r.token(jsontext.KindBeginArray)
	start := r.offset() - 1
	for r.hasAll = true; r.more(jsontext.KindEndArray); {
		if r.hasAll = len(r.calls) < fewCalls; !r.hasAll {
			r.value()
			continue
		}
		call, _ := r.call()
		r.calls = append(r.calls, call)
	}
	r.token(jsontext.KindEndArray)
	return r.source[start:r.offset():r.offset()]
}

func (r *reader) dropCalls() {
	clear(r.calls)
	r.calls, r.hasAll = r.calls[:0], false
}

// lastMember returns the value of an object's last member of the name; nil when there is none.
func lastMember(object jsontext.Value, wanted string) (last jsontext.Value) {
	if !mayName(object, wanted) {
		return nil
	}
	r := newReader(object)
	defer r.release()
	r.token(jsontext.KindBeginObject)
	for r.more(jsontext.KindEndObject) {
		if name, value := r.member(); string(name) == wanted {
			last = value
		}
	}
	return last
}

// without returns an object without its members of the name, and without the spaces between the others.
func without(object jsontext.Value, unwanted string) jsontext.Value {
	if !mayName(object, unwanted) {
		return object
	}
	r := newReader(object)
	defer r.release()
	kept := append(make(jsontext.Value, 0, len(object)), '{')
	r.token(jsontext.KindBeginObject)
	for r.more(jsontext.KindEndObject) {
		name, value := r.value(), r.value()
		if string(unquote(name)) == unwanted {
			continue
		}
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(append(append(kept, name...), ':'), value...)
	}
	return append(kept, '}')
}

// mayName tells, faster than reading it, whether JSON may have a name in it: as it is, or escaped in some way.
func mayName(raw []byte, name string) bool {
	// Without the quote before it, which is in JSON everywhere, it is found faster.
	var buffer [32]byte
	ended := append(append(buffer[:0], name...), '"')
	return bytes.Contains(raw, ended) || bytes.IndexByte(raw, '\\') >= 0
}
