package transform

import "aka/router/segment"

// keep removes all members but those at its paths, of the objects that these begin with.
type keep struct {
	kept tree
	// ofIdentify is the same for an identify, whose traits may be in its context, too.
	ofIdentify tree
}

// tree are the members that stay, by name. Of one without members of its own everything stays.
type tree map[string]tree

func newKeep(paths []path) keep {
	k := keep{tree{}, tree{}}
	for _, p := range paths {
		k.kept.add(p)
		k.ofIdentify.add(p)
	}
	if traits, context := k.kept["traits"], k.kept["context"]; traits != nil && context != nil {
		for _, p := range paths {
			if other, ok := p.inContext(); ok {
				k.ofIdentify.add(other)
			}
		}
	}
	return k
}

// add adds a path. One that leads on from a member of which everything stays adds nothing.
func (t tree) add(p path) {
	inner, known := t[p[0]]
	switch {
	case len(p) == 1:
		t[p[0]] = tree{}
	case known && len(inner) == 0:
	default:
		if !known {
			inner = tree{}
			t[p[0]] = inner
		}
		inner.add(p[1:])
	}
}

func (k keep) do(e *editing) error {
	kept := k.kept
	if e.original.Type == segment.Identify {
		kept = k.ofIdentify
		if context, isObject := e.fields["context"].(map[string]any); isObject && kept["traits"] != nil && kept["context"] == nil {
			tree{"traits": kept["traits"]}.cutMembers(context)
		}
	}
	kept.cutMembers(e.fields)
	return nil
}

// cutMembers cuts those members of an object that the tree names.
func (t tree) cutMembers(object map[string]any) {
	for name, inner := range t {
		if value, has := object[name]; has && value != nil {
			cut, stays := inner.cut(value)
			if object[name] = cut; !stays {
				delete(object, name)
			}
		}
	}
}

// cut returns what stays of a value. A text has no member that could stay, and so it does not stay itself.
func (t tree) cut(value any) (cut any, stays bool) {
	if len(t) == 0 {
		return value, true
	}
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			if _, named := t[name]; !named {
				delete(v, name)
			}
		}
		t.cutMembers(v)
		return v, true
	case []any:
		kept := v[:0]
		for _, item := range v {
			if item, stays := t.cut(item); stays {
				kept = append(kept, item)
			}
		}
		return kept, true
	}
	return nil, false
}
