package vero

import (
	"errors"
	"fmt"
	"net/http"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// tags returns the request that edits the person's tags as the call's `integrations` ask: none when they do not. Two shapes
// are known, {action: add|remove, values: [..]} and {add: [..], remove: [..]}, both with an id where another is meant.
func (t *translator) tags(call *segment.Call) ([]adapter.Request, error) {
	if call.Options["tags"] == nil {
		return nil, nil
	}
	tags, ok := call.Options["tags"].(map[string]any)
	if !ok {
		return nil, errors.New("integrations.Vero.tags: expected an object")
	}
	id, err := t.taggedID(call, tags)
	if err != nil {
		return nil, err
	}
	edit, err := readEdit(tags)
	if err != nil || len(edit) == 0 {
		return nil, err
	}
	request, err := t.request(http.MethodPut, "/users/tags/edit", edit.With("id", id))
	if err != nil {
		return nil, err
	}
	return []adapter.Request{request}, nil
}

func (t *translator) taggedID(call *segment.Call, tags map[string]any) (string, error) {
	if tags["id"] == nil {
		return call.UserID, nil
	}
	id := adapter.Text(tags["id"])
	if id == "" {
		return "", errors.New("integrations.Vero.tags.id: expected a string or a number")
	}
	if reason := t.guard.Check(&segment.Header{UserID: id}); reason != "" {
		return "", fmt.Errorf("integrations.Vero.tags.id: %s", reason)
	}
	return id, nil
}

// readEdit returns the non-empty lists of tags to add and to remove.
func readEdit(tags map[string]any) (adapter.Object, error) {
	byAction := tags["action"] != nil || tags["values"] != nil
	byList := tags["add"] != nil || tags["remove"] != nil
	if byAction == byList {
		return nil, errors.New("integrations.Vero.tags: expected either action and values, or add and remove")
	}
	if byAction {
		action, _ := tags["action"].(string)
		if action != "add" && action != "remove" {
			return nil, errors.New("integrations.Vero.tags.action: expected add or remove")
		}
		return readTags(nil, action, tags, "values")
	}
	edit, err := readTags(nil, "add", tags, "add")
	if err != nil {
		return nil, err
	}
	return readTags(edit, "remove", tags, "remove")
}

// readTags adds the list at the key as the edit's action, unless it is empty.
func readTags(edit adapter.Object, action string, tags map[string]any, key string) (adapter.Object, error) {
	items, isList := tags[key].([]any)
	if !isList && (tags[key] != nil || key == "values") {
		return nil, fmt.Errorf("integrations.Vero.tags.%s: expected a list of strings", key)
	}
	var list []string
	for _, item := range items {
		tag := adapter.Text(item)
		if tag == "" {
			return nil, fmt.Errorf("integrations.Vero.tags.%s: expected a list of strings", key)
		}
		list = append(list, tag)
	}
	if len(list) == 0 {
		return edit, nil
	}
	return edit.With(action, list), nil
}
