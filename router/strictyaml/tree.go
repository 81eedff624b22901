package strictyaml

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// TreeSetter is a field that takes whatever YAML stands at its key: sections, lists and values, nested at will. Its variables are
// replaced, and its lines and columns are those of the file.
type TreeSetter interface {
	SetTree(*yaml.Node)
	// Node is what SetTree was given, or nil.
	Node() *yaml.Node
}

func (d *Decoder) setTree(node *yaml.Node, key string, into TreeSetter, depth int) {
	before := d.mistakes
	if tree := d.tree(node, key, depth); d.mistakes == before {
		into.SetTree(tree)
	}
}

// tree returns a copy without aliases, or nil after a mistake.
func (d *Decoder) tree(node *yaml.Node, key string, depth int) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if !d.afford(node, len(key)) {
		return nil
	}
	d.noteLine(key, node.Line)
	switch {
	case depth > maxDepth:
		d.report(node.Line, key, fmt.Sprintf("nested deeper than %d levels", maxDepth))
		return nil
	case node.Style&yaml.TaggedStyle != 0:
		d.report(node.Line, key, "expected no tag, not "+node.Tag)
		return nil
	}
	tree := &yaml.Node{Kind: node.Kind, Style: node.Style, Tag: node.Tag, Value: node.Value, Line: node.Line, Column: node.Column}
	switch node.Kind {
	case yaml.MappingNode:
		d.eachKey(node, key, func(name, value *yaml.Node, path string) {
			tree.Content = append(tree.Content, name, d.tree(value, path, depth+1))
		})
	case yaml.SequenceNode:
		for i, item := range node.Content {
			tree.Content = append(tree.Content, d.tree(item, fmt.Sprintf("%s[%d]", key, i), depth+1))
		}
	default:
		d.treeValue(tree, key)
	}
	return tree
}

// treeValue replaces variables. What a variable holds is a text, whatever it looks like, and a secret: it may be an API key. The node's
// comment is what the file says, which is shown in its place.
func (d *Decoder) treeValue(node *yaml.Node, key string) {
	text, problem, variables := d.expand(node.Value)
	if problem != "" {
		d.report(node.Line, key, problem)
		return
	}
	if len(variables) > 0 {
		d.noteOrigin(key, "the environment variable "+variables[len(variables)-1].name)
		node.LineComment = node.Value
	}
	for _, v := range variables {
		if v.value != "" {
			d.secrets = append(d.secrets, v.value)
		}
	}
	node.Value = text
}

// treeNode is what the decoder reads back into the same tree.
func treeNode(tree *yaml.Node) *yaml.Node {
	if tree == nil {
		return nil
	}
	copied := *tree
	copied.Content = nil
	switch {
	case tree.LineComment != "":
		copied.Value, copied.LineComment = tree.LineComment, ""
	case tree.Kind == yaml.ScalarNode:
		copied.Value = strings.ReplaceAll(tree.Value, "${", "$${")
	}
	for _, inner := range tree.Content {
		copied.Content = append(copied.Content, treeNode(inner))
	}
	return &copied
}
