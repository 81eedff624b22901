package http

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"aka/destinations/adapter"
	"aka/router/expression"
)

// template is a part of a tree of the config, from which a part of a body is made for each call.
type template interface {
	// make returns the value for a call. Whatever has none is nil or "".
	make(run *run) (any, error)
}

// run is the making of requests for one call.
type run struct {
	env *expression.Env
	// leaves, where it is not nil, is given each expression with its value.
	leaves func(adapter.Leaf)
}

// literal is what the config says itself.
type literal struct{ value any }

func (l literal) make(*run) (any, error) { return l.value, nil }

// constant is an expression that has the same value for all calls.
type constant struct {
	literal
	leaf *leaf
}

func (c constant) make(run *run) (any, error) {
	if run.leaves != nil {
		return c.leaf.make(run)
	}
	return c.value, nil
}

// leaf is an expression.
type leaf struct {
	key     string
	program *expression.Program
}

func (l *leaf) make(run *run) (any, error) {
	value, err := l.program.Run(run.env)
	if run.leaves != nil {
		run.leaves(adapter.Leaf{Key: l.key, Expression: l.program.String(), Value: value, Missing: isMissing(value), Err: err})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.key, err)
	}
	return value, nil
}

type object struct{ members []member }

// member is one of an object. Without a value an optional one is left out, and any other has the call rejected.
type member struct {
	name, key string
	optional  bool
	template  template
	node      *yaml.Node
}

func (o *object) make(run *run) (any, error) {
	made := make(adapter.Object, 0, len(o.members))
	for i := range o.members {
		m := &o.members[i]
		value, err := m.template.make(run)
		if err != nil {
			return nil, err
		}
		if _, isLiteral := m.template.(literal); !isLiteral && isMissing(value) || m.optional && isEmptyObject(value) {
			if !m.optional {
				return nil, fmt.Errorf("%s: has no value", m.key)
			}
			continue
		}
		made = made.With(m.name, value)
	}
	return made, nil
}

func isMissing(value any) bool { return value == nil || value == "" }

func isEmptyObject(value any) bool {
	object, ok := value.(adapter.Object)
	return ok && len(object) == 0
}

type list struct{ items []template }

func (l *list) make(run *run) (any, error) {
	made := make([]any, 0, len(l.items))
	for _, inner := range l.items {
		value, err := inner.make(run)
		if err != nil {
			return nil, err
		}
		if expr, isLeaf := inner.(*leaf); isLeaf && isMissing(value) {
			return nil, fmt.Errorf("%s: has no value", expr.key)
		}
		made = append(made, value)
	}
	return made, nil
}

// fieldText is a value as a form, a query or a header has it.
func fieldText(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case int:
		return strconv.Itoa(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// eachField calls do for each name of a form, a query or a list of headers.
func (o *object) eachField(run *run, do func(m *member, text string) error) error {
	made, err := o.make(run)
	if err != nil {
		return err
	}
	fields, at := made.(adapter.Object), 0
	for i := range o.members {
		m := &o.members[i]
		if at == len(fields) || fields[at].Name != m.name {
			continue // left out
		}
		text, ok := fieldText(fields[at].Value)
		if !ok {
			return fmt.Errorf("%s: expected a text or a number; json(…) makes one of anything", m.key)
		}
		if err := do(m, text); err != nil {
			return err
		}
		at++
	}
	return nil
}

// encodeFields returns fields as application/x-www-form-urlencoded, in their order.
func (o *object) encodeFields(run *run) ([]byte, error) {
	var encoded []byte
	err := o.eachField(run, func(m *member, text string) error {
		if len(encoded) > 0 {
			encoded = append(encoded, '&')
		}
		encoded = append(adapter.AppendEscaped(encoded, m.name), '=')
		encoded = adapter.AppendEscaped(encoded, text)
		return nil
	})
	return encoded, err
}

// pathPart is a part of a path: what the config says itself, or an expression.
type pathPart struct {
	fixed   string
	program *expression.Program
}

func (p pathPart) append(path []byte, run *run, key string) ([]byte, error) {
	if p.program == nil {
		return append(path, p.fixed...), nil
	}
	value, err := (&leaf{key, p.program}).make(run)
	if err != nil {
		return nil, err
	}
	text, ok := fieldText(value)
	switch {
	case isMissing(value):
		return nil, fmt.Errorf("%s: %s has no value", key, p.program)
	case !ok:
		return nil, fmt.Errorf("%s: %s is no text", key, p.program)
	case text == "." || text == "..":
		return nil, fmt.Errorf("%s: %s leads to another path", key, p.program)
	}
	return append(path, url.PathEscape(text)...), nil
}

// isPath reports whether a path goes where it says: through no dots, and with nothing that cannot stand in a URL.
func isPath(path string) bool {
	for _, part := range strings.Split(path, "/") {
		if plain, err := url.PathUnescape(part); err != nil || plain == "." || plain == ".." {
			return false
		}
	}
	return !strings.ContainsFunc(path, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || r == '\\' || r == '#' || r == '?' || r == '"' || r == '<' || r == '>'
	})
}

func isHeaderValue(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

var errNotText = errors.New("expected a text")

// keyed puts the key before an error.
func keyed(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}
