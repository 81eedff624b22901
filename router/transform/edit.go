package transform

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"aka/destinations/adapter"
	"aka/router/expression"
	"aka/router/segment"
)

// editing is a call that is being edited: the fields are a copy.
type editing struct {
	original *segment.Call
	fields   map[string]any
	// aka is what an aka has noted in the context, which no step changes.
	aka    any
	hasAka bool
	copied int // bytes, about
}

func newEditing(call *segment.Call) *editing {
	e := &editing{original: call, fields: call.Fields()}
	if e.fields == nil {
		e.fields = map[string]any{}
	}
	context, _ := e.fields["context"].(map[string]any)
	e.aka, e.hasAka = context["aka"]
	return e
}

// call returns the call as it is now.
func (e *editing) call() *segment.Call {
	context, isObject := e.fields["context"].(map[string]any)
	switch {
	case e.hasAka && !isObject:
		e.fields["context"] = map[string]any{"aka": e.aka}
	case e.hasAka:
		context["aka"] = e.aka
	default:
		delete(context, "aka")
	}
	return e.original.WithFields(e.fields)
}

func (e *editing) env() *expression.Env { return expression.OfCall(e.call()) }

// both calls do with a path, and with where the same trait of an identify may stand too: SDKs send traits in either place.
func (e *editing) both(p path, do func(path)) {
	do(p)
	if other, ok := p.inContext(); ok && e.original.Type == segment.Identify {
		do(other)
	}
}

// drop removes members.
type drop []path

func (d drop) do(e *editing) error {
	for _, p := range d {
		e.both(p, e.remove)
	}
	return nil
}

func (e *editing) remove(p path) {
	p.eachParent(e.fields, func(parent map[string]any, name string) { delete(parent, name) })
}

// rename gives members other names. What has such a name goes.
type rename []renamed

type renamed struct {
	path path
	to   string
}

func (r rename) do(e *editing) error {
	for _, one := range r {
		e.both(one.path, func(p path) {
			p.eachParent(e.fields, func(parent map[string]any, name string) {
				if value, has := parent[name]; has {
					delete(parent, name)
					parent[one.to] = value
				}
			})
		})
	}
	return nil
}

// set gives members values. All of these are found before the first one is set.
type set []assignment

type assignment struct {
	path       path
	expression *expression.Program // nil for a constant
	constant   any
	optional   bool
}

var (
	errNoValue  = errors.New("has no value for this call; write ? behind the path, or a condition with when")
	errTooLarge = errors.New("becomes larger than 8 MiB")
)

func (s set) do(e *editing) error {
	values := make([]any, len(s))
	env := (*expression.Env)(nil)
	for i, a := range s {
		if a.expression == nil {
			values[i] = a.constant
			continue
		}
		if env == nil {
			env = e.env()
		}
		value, err := a.expression.Run(env)
		if err == nil && value == nil && !a.optional {
			err = errNoValue
		}
		if err == nil {
			values[i], err = e.copy(value)
		}
		if err != nil {
			return of(a.path.String(), err)
		}
	}
	for i, a := range s {
		if err := a.set(e, values[i]); err != nil {
			return of(a.path.String(), err)
		}
	}
	return nil
}

// set puts a value at its path. Where an identify has the trait in its context, too, that goes: it says what the trait was.
func (a *assignment) set(e *editing, value any) error {
	if a.optional && (value == nil || value == "") {
		e.both(a.path, e.remove)
		return nil
	}
	if _, isObject := value.(map[string]any); len(a.path) == 1 && a.path.isObject() && !isObject {
		return errors.New("expected an object")
	}
	object := e.fields
	for i, name := range a.path[:len(a.path)-1] {
		inner, isObject := object[name].(map[string]any)
		if !isObject {
			if object[name] != nil {
				return fmt.Errorf("%s is no object", a.path[:i+1])
			}
			inner = map[string]any{}
			object[name] = inner
		}
		object = inner
	}
	object[a.path[len(a.path)-1]] = value
	if other, ok := a.path.inContext(); ok && e.original.Type == segment.Identify {
		e.remove(other)
	}
	return nil
}

// valueBytes is about what a value takes beside its text.
const valueBytes = 64

// copy returns a value that shares nothing with the call, and whose numbers are those of JSON.
func (e *editing) copy(value any) (any, error) {
	e.copied += valueBytes
	switch v := value.(type) {
	case string:
		e.copied += len(v)
	case json.Number:
		e.copied += len(v)
	case int:
		value = json.Number(strconv.Itoa(v))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, errors.New("is no number that JSON has")
		}
		value = json.Number(strconv.FormatFloat(v, 'g', -1, 64))
	case []any:
		return e.copyList(v)
	case map[string]any:
		return e.copyObject(v)
	}
	if e.copied > adapter.MaxBytes {
		return nil, errTooLarge
	}
	return value, nil
}

func (e *editing) copyList(list []any) (any, error) {
	own := make([]any, 0, min(len(list), 1024))
	for _, item := range list {
		copied, err := e.copy(item)
		if err != nil {
			return nil, err
		}
		own = append(own, copied)
	}
	return own, nil
}

func (e *editing) copyObject(object map[string]any) (any, error) {
	own := make(map[string]any, min(len(object), 1024))
	for name, inner := range object {
		e.copied += len(name)
		copied, err := e.copy(inner)
		if err != nil {
			return nil, err
		}
		own[name] = copied
	}
	return own, nil
}
