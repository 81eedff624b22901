package vero

import "aka/destinations/adapter"

// tagEdit is the edit of a person's tags that a call's `integrations` ask for. Two shapes are known,
// {action: add|remove, values: [..]} and {add: [..], remove: [..]}, both with an id where another person is meant.
type tagEdit struct {
	person      string
	add, remove []string
	// ignored are the paths of what makes no sense. The rest of the edit goes without it.
	ignored []string
}

const tagsPath = "integrations.Vero.tags"

// read takes the option in. An edit for an id that makes no sense is left out whole: it is about another person.
func (e *tagEdit) read(option any, check func(id string) adapter.Reason) {
	if option == nil {
		return
	}
	tags, ok := option.(map[string]any)
	if !ok {
		e.ignore("")
		return
	}
	if tags["id"] != nil {
		e.person = adapter.Text(tags["id"])
	}
	if e.person == "" || check(e.person) != "" {
		e.ignore(".id")
		return
	}
	byAction := tags["action"] != nil || tags["values"] != nil
	byList := tags["add"] != nil || tags["remove"] != nil
	switch {
	case byAction == byList:
		e.ignore("")
	case byList:
		e.add = e.list(tags, "add")
		e.remove = e.list(tags, "remove")
	default:
		e.readAction(tags)
	}
}

func (e *tagEdit) readAction(tags map[string]any) {
	switch tags["action"] {
	case "add":
		e.add = e.list(tags, "values")
	case "remove":
		e.remove = e.list(tags, "values")
	default:
		e.ignore(".action")
		return
	}
	if tags["values"] == nil {
		e.ignore(".values")
	}
}

// list returns the tags of the list at the key, without what is no tag.
func (e *tagEdit) list(tags map[string]any, key string) (list []string) {
	items, isList := tags[key].([]any)
	bad := !isList && tags[key] != nil
	for _, item := range items {
		if tag := adapter.Text(item); tag != "" {
			list = append(list, tag)
		} else {
			bad = true
		}
	}
	if bad {
		e.ignore("." + key)
	}
	return list
}

func (e *tagEdit) ignore(path string) { e.ignored = append(e.ignored, tagsPath+path) }

func (e *tagEdit) isEmpty() bool { return len(e.add)+len(e.remove) == 0 }

func (e *tagEdit) body() adapter.Object {
	body := adapter.Object{{Name: "id", Value: e.person}}
	if len(e.add) > 0 {
		body = body.With("add", e.add)
	}
	if len(e.remove) > 0 {
		body = body.With("remove", e.remove)
	}
	return body
}
