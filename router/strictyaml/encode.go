package strictyaml

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Encode returns the YAML that Decoder reads back into an equal value: every field with its value, map keys sorted,
// secrets as <secret>. Unset secrets, nil pointers and nil nodes are left out, and so are zero values of fields with ",omitempty".
func Encode(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(Node(value)); err != nil {
		return nil, fmt.Errorf("encode yaml: %w", err)
	}
	return out.Bytes(), nil
}

// Node returns what Encode writes as a node; nil for what it leaves out. It takes the types that Decoder takes, and
// panics on others.
func Node(value any) *yaml.Node { return nodeOf(reflect.ValueOf(value)) }

func nodeOf(v reflect.Value) *yaml.Node {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		if node, ok := v.Interface().(*yaml.Node); ok {
			return node
		}
		return nodeOf(v.Elem())
	}
	if reflect.PointerTo(v.Type()).Implements(reflect.TypeFor[secretSetter]()) {
		return secretNode(v)
	}
	if reflect.PointerTo(v.Type()).Implements(reflect.TypeFor[TreeSetter]()) {
		copied := reflect.New(v.Type())
		copied.Elem().Set(v)
		return treeNode(copied.Interface().(TreeSetter).Node())
	}
	if duration, ok := v.Interface().(time.Duration); ok {
		return stringNode(FormatDuration(duration))
	}
	if text, ok := v.Interface().(encoding.TextMarshaler); ok && !isSection(v) {
		return textNode(text)
	}
	switch v.Kind() {
	case reflect.Struct:
		node := &yaml.Node{Kind: yaml.MappingNode}
		addFields(node, v)
		return node
	case reflect.Map:
		return mapNode(v)
	case reflect.Slice:
		return sequenceNode(v)
	case reflect.String:
		return stringNode(v.String())
	case reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v.Bool())}
	case reflect.Int, reflect.Int64:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(v.Int(), 10)}
	case reflect.Float64:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatFloat(v.Float(), 'f', -1, 64)}
	}
	panic("strictyaml: unsupported field type " + v.Type().String())
}

// isSection reports whether a value is to be written as a section although it has a text.
func isSection(v reflect.Value) bool {
	if !reflect.PointerTo(v.Type()).Implements(reflect.TypeFor[ValueOrSection]()) {
		return false
	}
	copied := reflect.New(v.Type())
	copied.Elem().Set(v)
	return copied.Interface().(ValueOrSection).IsSection()
}

func addFields(node *yaml.Node, of reflect.Value) {
	for i := range of.NumField() {
		name, options, _ := strings.Cut(of.Type().Field(i).Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			addFields(node, of.Field(i))
		case options == "omitempty" && of.Field(i).IsZero():
		case name != "" && name != "-":
			addPair(node, name, of.Field(i))
		}
	}
}

func mapNode(v reflect.Value) *yaml.Node {
	node := &yaml.Node{Kind: yaml.MappingNode}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, key := range keys {
		addPair(node, key.String(), v.MapIndex(key))
	}
	return node
}

func addPair(node *yaml.Node, name string, value reflect.Value) {
	inner := nodeOf(value)
	if inner == nil {
		return
	}
	node.Content = append(node.Content, plainNode(name), inner)
}

func sequenceNode(v reflect.Value) *yaml.Node {
	node := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for i := range v.Len() {
		inner := nodeOf(v.Index(i))
		if inner == nil {
			continue
		}
		if inner.Kind != yaml.ScalarNode {
			node.Style = 0
		}
		node.Content = append(node.Content, inner)
	}
	return node
}

func secretNode(v reflect.Value) *yaml.Node {
	shown := fmt.Sprint(v.Interface())
	if shown == "" {
		return nil
	}
	return stringNode(shown)
}

func textNode(value encoding.TextMarshaler) *yaml.Node {
	text, err := value.MarshalText()
	if err != nil {
		panic(fmt.Sprintf("strictyaml: %T does not marshal: %v", value, err))
	}
	return stringNode(string(text))
}

// stringNode escapes what the decoder would expand.
func stringNode(text string) *yaml.Node {
	return plainNode(strings.ReplaceAll(text, "${", "$${"))
}

// plainNode quotes lines rather than write them as a block, which loses those that are empty.
func plainNode(text string) *yaml.Node {
	node := &yaml.Node{}
	node.SetString(text)
	if node.Style == yaml.LiteralStyle {
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}
