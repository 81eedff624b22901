package strictyaml

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// AddIn is Add for a mistake in the text of a value: in the line and the column of that text, in characters from 1. The problem has
// the place in the source, as far as the source shows the text as it is: not where a variable stands in it, or a line is folded.
func (d *Decoder) AddIn(key string, line, column int, format string, args ...any) {
	node := d.scalars[key]
	if node == nil || d.origins[key] != "" {
		d.Add(key, format, args...)
		return
	}
	line, column = d.placeIn(node, line, column)
	d.AddAt(line, column, key, fmt.Sprintf(format, args...))
}

func (d *Decoder) noteScalar(key string, node *yaml.Node) {
	if d.Source == nil {
		return
	}
	if d.scalars == nil {
		d.scalars = map[string]*yaml.Node{}
	}
	d.scalars[key] = node
}

// placeIn returns the place in the source of a place in a scalar's text. The column is 0 where it is unknown.
func (d *Decoder) placeIn(node *yaml.Node, line, column int) (_, _ int) {
	source := func(line int) string {
		lines := bytes.SplitN(d.Source, []byte("\n"), line+1)
		return string(lines[min(line, len(lines))-1])
	}
	if node.Style == yaml.LiteralStyle {
		texts := strings.Split(node.Value, "\n")
		at, text := node.Line+line, texts[min(line, len(texts))-1]
		if indent, ok := strings.CutSuffix(strings.TrimSuffix(source(at), "\r"), text); ok && strings.Trim(indent, " ") == "" {
			return at, len(indent) + column
		}
		return at, 0
	}
	rest := characters(source(node.Line), node.Column-1)
	if quoted, ok := quotedBefore(node, rest, column-1); ok && line == 1 {
		return node.Line, node.Column + quoted
	}
	return node.Line, 0
}

// characters returns a text without its first characters.
func characters(text string, without int) string {
	for ; without > 0 && text != ""; without-- {
		_, size := utf8.DecodeRuneInString(text)
		text = text[size:]
	}
	return text
}

// quotedBefore returns how many characters stand in the source, from a scalar's first one on, before one of its text. ok is false where
// the source, which begins with the scalar, does not show the text on one line.
func quotedBefore(node *yaml.Node, source string, before int) (count int, ok bool) {
	escapes := map[yaml.Style]string{yaml.SingleQuotedStyle: "'", yaml.DoubleQuotedStyle: `\`}
	escape, isQuoted := escapes[node.Style]
	if isQuoted {
		source, count = characters(source, 1), 1
	} else if node.Style != 0 {
		return 0, false
	}
	for i, r := range []rune(node.Value) {
		shown, size := utf8.DecodeRuneInString(source)
		if isQuoted && string(shown) == escape && len(source) > 1 {
			source, shown = source[1:], rune(source[1])
			if i < before {
				count++
			}
		}
		if shown != r {
			return 0, false
		}
		source = source[size:]
		if i < before {
			count++
		}
	}
	return count, true
}
