package expression

import (
	"maps"
	"slices"

	"aka/destinations/adapter"
)

// object returns an object, or nil for nil.
func object(value any) (map[string]any, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return v, nil
	}
	return nil, problemf("takes an object, and has %s", kind(value))
}

// names reads the names of members. One that is nil or "" names nothing.
func names(args []any) ([]string, error) {
	list := make([]string, 0, len(args))
	for _, arg := range args {
		name, ok := arg.(string)
		if !ok && arg != nil {
			return nil, problemf("takes names of members, and has %s", kind(arg))
		}
		if name != "" {
			list = append(list, name)
		}
	}
	return list, nil
}

func omit(_ *budget, args []any) (any, error) {
	o, err := object(args[0])
	if o == nil || err != nil {
		return nil, err
	}
	left, err := names(args[1:])
	if err != nil {
		return nil, err
	}
	rest := maps.Clone(o)
	for _, name := range left {
		delete(rest, name)
	}
	return rest, nil
}

func pick(_ *budget, args []any) (any, error) {
	o, err := object(args[0])
	if o == nil || err != nil {
		return nil, err
	}
	wanted, err := names(args[1:])
	if err != nil {
		return nil, err
	}
	picked := make(map[string]any, len(wanted))
	for _, name := range wanted {
		if value, ok := o[name]; ok {
			picked[name] = value
		}
	}
	return picked, nil
}

// rename gives a member another name. One that has that name already is replaced.
func rename(_ *budget, args []any) (any, error) {
	o, err := object(args[0])
	if o == nil || err != nil {
		return nil, err
	}
	both, err := names(args[1:])
	if err == nil && len(both) != 2 {
		err = problem("takes an object and two names")
	}
	if err != nil {
		return nil, err
	}
	value, ok := o[both[0]]
	if !ok {
		return o, nil
	}
	renamed := maps.Clone(o)
	delete(renamed, both[0])
	renamed[both[1]] = value
	return renamed, nil
}

// merge returns the members of both objects. Those of the second stand where both have one.
func merge(_ *budget, args []any) (any, error) {
	under, err := object(args[0])
	if err != nil {
		return nil, err
	}
	over, err := object(args[1])
	switch {
	case err != nil:
		return nil, err
	case len(over) == 0 && under != nil:
		return under, nil
	case len(under) == 0 && over != nil:
		return over, nil
	case over == nil:
		return nil, nil
	}
	both := make(map[string]any, len(under)+len(over))
	maps.Copy(both, under)
	maps.Copy(both, over)
	return both, nil
}

// filled returns an object that has members, or else nil.
func filled(_ *budget, args []any) (any, error) {
	o, err := object(args[0])
	if len(o) == 0 || err != nil {
		return nil, err
	}
	return o, nil
}

func keys(_ *budget, args []any) (any, error) {
	o, err := object(args[0])
	if o == nil || err != nil {
		return nil, err
	}
	list := make([]any, 0, len(o))
	for _, key := range sortedKeys(o) {
		list = append(list, key)
	}
	return list, nil
}

func sortedKeys(o map[string]any) []string { return slices.Sorted(maps.Keys(o)) }

// flatten returns an object whose members are no objects: those of inner ones stand under their path. Of two that come under the
// same path, the outer one stays.
func flatten(b *budget, args []any) (any, error) {
	o, err := object(args[0])
	if o == nil || err != nil {
		return nil, err
	}
	separator, ok := args[1].(string)
	if !ok || separator == "" {
		return nil, problem("takes an object and what stands between the names")
	}
	flat := make(map[string]any, len(o))
	if err := flattenInto(b, flat, o, "", separator, 0); err != nil {
		return nil, err
	}
	return flat, nil
}

func flattenInto(b *budget, flat, o map[string]any, prefix, separator string, depth int) error {
	if depth > maxDepth {
		return problem("nests too deep")
	}
	var inner []string
	for _, key := range sortedKeys(o) {
		name := prefix + key
		if err := b.spend(len(name)); err != nil {
			return err
		}
		if _, isObject := o[key].(map[string]any); isObject {
			inner = append(inner, key)
		} else if _, taken := flat[name]; !taken {
			flat[name] = o[key]
		}
	}
	for _, key := range inner {
		if err := flattenInto(b, flat, o[key].(map[string]any), prefix+key+separator, separator, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// trait returns a member that may be spelled otherwise: first_name, firstName, $first_name.
func trait(_ *budget, args []any) (any, error) {
	o, err := object(args[0])
	if o == nil || err != nil {
		return nil, err
	}
	name, ok := args[1].(string)
	if !ok {
		return nil, problem("takes an object and a name")
	}
	return o[adapter.Trait(o, name)], nil
}
