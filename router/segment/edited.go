package segment

import (
	"bytes"
	"encoding/json"
	"maps"
	"sync"
)

// WithFields returns what the call would be if it had come with these fields: its objects, its event or names, and its JSON are theirs.
// The header, the routing and the options stay those of the call, whatever the fields say. The fields are not copied.
func (c *Call) WithFields(fields map[string]any) *Call {
	at := func(name string) map[string]any {
		o, _ := fields[name].(map[string]any)
		return orEmpty(o)
	}
	text := func(name string) string {
		t, _ := fields[name].(string)
		return t
	}
	own := &Call{Header: c.Header, Properties: at("properties"), Traits: at("traits"), Options: c.Options, Routing: c.Routing}
	own.edited = &edited{fields: fields}
	own.context = &context{decoded: withPlainIP(at("context"))}
	switch c.Type {
	case Track:
		own.Event = text("event")
	case Page, Screen:
		own.Name, own.Category = own.label(text("name"), "name"), own.label(text("category"), "category")
	}
	return own
}

// withPlainIP returns the context as Context does, and leaves it as it is.
func withPlainIP(context map[string]any) map[string]any {
	if _, has := context["ip"]; !has {
		return context
	}
	own := maps.Clone(context)
	plainIP(own)
	return own
}

// edited is what a call's JSON is made of, once it is asked for.
type edited struct {
	once   sync.Once
	fields map[string]any
	json   []byte
}

func (e *edited) encoded() []byte {
	e.once.Do(func() {
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(e.fields); err != nil {
			panic("segment: fields that are no JSON")
		}
		e.json = bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	})
	return e.json
}
