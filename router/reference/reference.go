// Package reference is what there is to know of the config: every key with its kind, default and meaning, from the structs
// that a config is decoded into and from their comments. Written down it is a JSON Schema, a page of documentation, or an
// example.
package reference

import (
	"maps"
	"slices"

	"aka/router/reference/comments"
)

// New returns the reference of this build.
func New() *Reference { return build(newDocs(embedded())) }

// Read returns the reference with the comments as they stand in the module's folder now, and the comments themselves.
func Read(root string) (*Reference, *comments.Comments, error) {
	asked := newDocs(&comments.Comments{})
	build(asked)
	c, err := comments.Read(root, "aka", slices.Sorted(maps.Keys(asked.asked)))
	if err != nil {
		return nil, nil, err
	}
	return build(newDocs(c)), c, nil
}
