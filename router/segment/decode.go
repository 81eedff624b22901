package segment

import (
	"encoding/json"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

var errNotACall = errors.New("call: expected a JSON object")

// Decode parses the message's JSON whole. Equal messages give equal calls. The error holds nothing of the call.
func (m *Message) Decode() (*Call, error) {
	fields := object(m.JSON)
	if fields == nil {
		return nil, errNotACall
	}
	call := &Call{
		Header:     m.Header,
		Fields:     fields,
		Properties: objectOrEmpty(fields["properties"]),
		Traits:     objectOrEmpty(fields["traits"]),
		Context:    objectOrEmpty(fields["context"]),
	}
	switch m.Type {
	case Track:
		call.Event, _ = fields["event"].(string)
	case Page, Screen:
		call.Name = call.label("name")
		call.Category = call.label("category")
	}
	return call, nil
}

// label reads a page's name or category: SDKs put it at the top, among the properties, or in both places.
func (c *Call) label(key string) string {
	if label, _ := c.Fields[key].(string); label != "" {
		return label
	}
	label, _ := c.Properties[key].(string)
	return label
}

func objectOrEmpty(value any) map[string]any {
	if o, ok := value.(map[string]any); ok {
		return o
	}
	return map[string]any{}
}

// object decodes a JSON object; nil when raw is not exactly one.
func object(raw []byte) map[string]any {
	r := newReader(raw)
	defer r.release()
	o := r.object()
	if r.end(); r.err != nil {
		return nil
	}
	return o
}

func (r *reader) object() map[string]any {
	o := map[string]any{}
	r.token(jsontext.KindBeginObject)
	for r.more(jsontext.KindEndObject) {
		name := text(r.value())
		o[name] = r.tree()
	}
	r.token(jsontext.KindEndObject)
	return o
}

func (r *reader) array() []any {
	a := []any{}
	r.token(jsontext.KindBeginArray)
	for r.more(jsontext.KindEndArray) {
		a = append(a, r.tree())
	}
	r.token(jsontext.KindEndArray)
	return a
}

// tree decodes the value that comes next.
func (r *reader) tree() any {
	switch r.peek() {
	case jsontext.KindBeginObject:
		return r.object()
	case jsontext.KindBeginArray:
		return r.array()
	}
	switch value := r.value(); value.Kind() {
	case jsontext.KindString:
		return text(value)
	case jsontext.KindNumber:
		return json.Number(value)
	case jsontext.KindTrue:
		return true
	case jsontext.KindFalse:
		return false
	}
	return nil
}
