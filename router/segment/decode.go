package segment

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
)

var errNotACall = errors.New("call: expected a JSON object")

// Decode parses the message's JSON whole. Equal messages give equal calls. The error holds nothing of the call.
func (m *Message) Decode() (*Call, error) {
	if m.Type == Alias {
		return m.decodeAlias()
	}
	d := newDecoder(m.JSON)
	defer d.release()
	p := d.parts()
	if d.end(); d.failed {
		return nil, errNotACall
	}
	call := m.newCall(p.properties, p.traits)
	call.context.decoded = orEmpty(p.context)
	plainIP(call.context.decoded)
	switch m.Type {
	case Track:
		call.Event = p.event
	case Page, Screen:
		call.Name = call.label(p.name, "name")
		call.Category = call.label(p.category, "category")
	}
	return call, nil
}

// decodeAlias leaves the context for later: most vendors want the ids of an alias, and nothing else.
func (m *Message) decodeAlias() (*Call, error) {
	d := newDecoder(m.JSON)
	defer d.release()
	var properties, traits, context []byte
	d.enter('{')
	for first := true; d.more('}', first); first = false {
		name := d.name()
		d.peek()
		start := d.at
		d.skip()
		switch value := m.JSON[start:d.at]; name {
		case "properties":
			properties = value
		case "traits":
			traits = value
		case "context":
			context = value
		}
	}
	if d.end(); d.failed {
		return nil, errNotACall
	}
	call := m.newCall(object(properties), object(traits))
	call.context.json = context
	return call, nil
}

// newCall makes the call and its context in one piece.
func (m *Message) newCall(properties, traits map[string]any) *Call {
	var made struct {
		call    Call
		context context
	}
	made.call = Call{Header: m.Header, Properties: orEmpty(properties), Traits: orEmpty(traits), Routing: m.Routing, json: m.JSON, context: &made.context}
	return &made.call
}

func orEmpty(object map[string]any) map[string]any {
	if object == nil {
		return map[string]any{}
	}
	return object
}

// label completes a page's name or category: SDKs put it at the top, among the properties, or in both places.
func (c *Call) label(top, key string) string {
	if top != "" {
		return top
	}
	label, _ := c.Properties[key].(string)
	return label
}

// JSON is the whole call as sent, with what the batch said of all of its calls in its context. It must not be modified.
func (c *Call) JSON() []byte {
	if c.edited != nil {
		return c.edited.encoded()
	}
	return c.json
}

// Fields decodes the whole call as sent, with what the batch said of all of its calls in its context. It is the caller's own.
func (c *Call) Fields() map[string]any { return object(c.JSON()) }

// object decodes a JSON object; nil when raw is not exactly one.
func object(raw []byte) map[string]any {
	d := newDecoder(raw)
	defer d.release()
	if d.peek() != '{' {
		return nil
	}
	o := d.object()
	if d.end(); d.failed {
		return nil
	}
	return o
}

// DecodeValue decodes one JSON value, numbers as they were written. ok is false where raw is anything else.
func DecodeValue(raw []byte) (value any, ok bool) {
	d := newDecoder(raw)
	defer d.release()
	d.peek()
	value = d.value()
	d.end()
	return value, !d.failed
}

// decoder decodes one piece of JSON, as strictly as reader reads it. What it fails at stays, and ends every loop. The texts
// that it returns are parts of one copy of the source.
type decoder struct {
	text   string
	at     int
	depth  int
	failed bool
	// open are the members of the objects and the items of the arrays that are being read, so that each is made in its size.
	open []member
}

type member struct {
	name  string
	value any
}

const (
	maxDepth = 10_000 // the reader's own
	// maxOpen is how many members a decoder has room for while it is in the pool.
	maxOpen = 1024
)

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// newDecoder takes a decoder from the pool; release gives it back.
func newDecoder(source []byte) *decoder {
	d := decoders.Get().(*decoder)
	*d = decoder{text: string(source), open: d.open[:0]}
	return d
}

func (d *decoder) release() {
	d.text = ""
	if cap(d.open) <= maxOpen {
		decoders.Put(d)
	}
}

func (d *decoder) fail() { d.failed, d.at = true, len(d.text) }

// end fails when anything is left.
func (d *decoder) end() {
	if d.peek(); d.at < len(d.text) {
		d.fail()
	}
}

// parts are what a call is made of, beside its header. The last of several of one name counts.
type parts struct {
	properties, traits, context map[string]any
	event, name, category       string
}

func (d *decoder) parts() (p parts) {
	d.enter('{')
	for first := true; d.more('}', first); first = false {
		switch d.name() {
		case "properties":
			p.properties, _ = d.value().(map[string]any)
		case "traits":
			p.traits, _ = d.value().(map[string]any)
		case "context":
			p.context, _ = d.value().(map[string]any)
		case "event":
			p.event, _ = d.value().(string)
		case "name":
			p.name, _ = d.value().(string)
		case "category":
			p.category, _ = d.value().(string)
		default:
			d.skip()
		}
	}
	return p
}

func (d *decoder) value() any {
	switch c := d.peek(); c {
	case '{':
		return d.object()
	case '[':
		return d.array()
	case '"':
		return d.string()
	case 't':
		d.word("true")
		return true
	case 'f':
		d.word("false")
		return false
	case 'n':
		d.word("null")
		return nil
	}
	return json.Number(d.number())
}

func (d *decoder) object() map[string]any {
	start := len(d.open)
	d.enter('{')
	for first := true; d.more('}', first); first = false {
		name := d.name()
		value := d.value()
		d.open = append(d.open, member{name, value})
	}
	o := make(map[string]any, len(d.open)-start)
	for _, m := range d.open[start:] {
		o[m.name] = m.value
	}
	d.shut(start)
	return o
}

func (d *decoder) array() []any {
	start := len(d.open)
	d.enter('[')
	for first := true; d.more(']', first); first = false {
		value := d.value()
		d.open = append(d.open, member{value: value})
	}
	a := make([]any, len(d.open)-start)
	for i, m := range d.open[start:] {
		a[i] = m.value
	}
	d.shut(start)
	return a
}

// shut forgets the open members from start on.
func (d *decoder) shut(start int) {
	clear(d.open[start:])
	d.open = d.open[:start]
}

// skip reads a value that is not used.
func (d *decoder) skip() {
	switch d.peek() {
	case '{':
		d.enter('{')
		for first := true; d.more('}', first); first = false {
			d.name()
			d.skip()
		}
	case '[':
		d.enter('[')
		for first := true; d.more(']', first); first = false {
			d.skip()
		}
	case '"':
		d.string()
	default:
		d.value()
	}
}

// raw reads a value and returns it as it stands.
func (d *decoder) raw() string {
	d.peek()
	start := d.at
	d.skip()
	return d.text[start:d.at]
}

// enter reads the bracket that an object or array begins with.
func (d *decoder) enter(bracket byte) {
	if d.expect(bracket); d.depth >= maxDepth {
		d.fail()
	}
	d.depth++
}

// more reports whether an object or array goes on, and reads the comma before what comes next.
func (d *decoder) more(end byte, first bool) bool {
	switch c := d.peek(); {
	case d.failed:
	case c == end:
		d.at++
		d.depth--
		return false
	case !first:
		d.expect(',')
	}
	return !d.failed
}

// name reads the name of a member, and the colon behind it.
func (d *decoder) name() string {
	if d.peek() != '"' {
		d.fail()
		return ""
	}
	name := d.string()
	d.expect(':')
	return name
}

// string reads a string. Bytes that are no UTF-8, and halves of surrogate pairs, are replaced.
func (d *decoder) string() string {
	start := d.at
	plain := true
	for d.at++; d.at < len(d.text); d.at++ {
		switch c := d.text[d.at]; {
		case c == '"':
			d.at++
			if plain {
				return d.text[start+1 : d.at-1]
			}
			return text([]byte(d.text[start:d.at]))
		case c == '\\':
			plain = false
			d.escape()
		case c < ' ':
			d.fail()
		case c >= 0x80:
			plain = false
		}
	}
	d.fail()
	return ""
}

// escape reads what stands behind a backslash, but for its last byte.
func (d *decoder) escape() {
	d.at++
	rest := d.text[min(d.at, len(d.text)):]
	switch {
	case rest == "":
		d.fail()
	case strings.IndexByte(`"\/bfnrt`, rest[0]) >= 0:
	case rest[0] == 'u' && len(rest) > 4 && strings.Trim(rest[1:5], "0123456789abcdefABCDEF") == "":
		d.at += 4
	default:
		d.fail()
	}
}

func (d *decoder) number() string {
	start := d.at
	d.accept("-")
	if !d.accept("0") {
		d.digits()
	}
	if d.accept(".") {
		d.digits()
	}
	if d.accept("eE") {
		d.accept("+-")
		d.digits()
	}
	return d.text[start:d.at]
}

func (d *decoder) digits() {
	start := d.at
	for d.at < len(d.text) && d.text[d.at] >= '0' && d.text[d.at] <= '9' {
		d.at++
	}
	if d.at == start {
		d.fail()
	}
}

// accept reads one of the bytes, if one comes next.
func (d *decoder) accept(bytes string) bool {
	if d.at == len(d.text) || strings.IndexByte(bytes, d.text[d.at]) < 0 {
		return false
	}
	d.at++
	return true
}

func (d *decoder) word(word string) {
	if !strings.HasPrefix(d.text[d.at:], word) {
		d.fail()
		return
	}
	d.at += len(word)
}

// expect reads a byte that must come next.
func (d *decoder) expect(c byte) {
	if d.peek() != c {
		d.fail()
		return
	}
	d.at++
}

// peek returns what comes next behind spaces; 0 at the end.
func (d *decoder) peek() byte {
	for ; d.at < len(d.text); d.at++ {
		switch c := d.text[d.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}
