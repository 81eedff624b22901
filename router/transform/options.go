// Package transform is what a destination's `filter` and `transform` do with a call: whether the destination gets it at all, and
// what of it. It edits a copy. The call itself is shared with other destinations, and its ids cannot be edited.
package transform

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"aka/router/expression"
	"aka/router/strictyaml"
)

// Options are a destination's filter and transform as the config has them.
type Options struct {
	// Filter is a condition, such as `type != "page"`. The destination gets the calls for which it is true, aliases included. aka drops
	// the others as filtered_by_destination, and remembers nothing of them. See docs/transform.md for the language. Default: none.
	Filter string `yaml:"filter"`
	// Transform edits a copy of each call for this destination, step by step. Other destinations get the call as it came. A step is
	// one of drop, keep, rename and set, and may have a condition. If a step fails, the call becomes a dead letter. Ids, the type and
	// the times of a call cannot be edited. Default: none.
	Transform []Step `yaml:"transform"`
}

// Step is one edit of a call: exactly one of Drop, Keep, Rename and Set.
type Step struct {
	// When is the condition of the step. Default: none.
	When string `yaml:"when,omitempty"`
	// Drop are the paths of members that the step removes, such as properties.card. In a list, a path means each item.
	Drop []string `yaml:"drop,omitempty"`
	// Keep are the paths of members that stay, such as traits.plan. The step removes all others of the objects that the paths begin
	// with: of traits only, if every path begins with traits.
	Keep []string `yaml:"keep,omitempty"`
	// Rename gives members other names, by their paths: properties.orderTotal: revenue. They stay in the same object.
	Rename map[string]string `yaml:"rename,omitempty"`
	// Set gives members values, by their paths: a text, a number, true, false, or an expression behind =. If an expression has no
	// value, the call becomes a dead letter. If the path ends in ?, the member is removed instead.
	Set map[string]*yaml.Node `yaml:"set,omitempty"`
}

// maxSteps is how many steps a transform may have, and maxPaths how many paths a step.
const (
	maxSteps = 100
	maxPaths = 1000
)

// Compile returns the program of the options; nil where they say nothing. The decoder gets each mistake, at its key below the section.
func (o *Options) Compile(d *strictyaml.Decoder, section string) *Program {
	c := compiler{d: d, digest: sha256.New()}
	p := &Program{}
	if o.Filter != "" {
		if filter := c.condition(section+".filter", o.Filter); filter != nil && filter.HeaderOnly() {
			p.ofHeader = filter
		} else {
			p.ofCall = filter
		}
	}
	if len(o.Transform) > maxSteps {
		d.Add(section+".transform", "expected at most %d steps, not %d", maxSteps, len(o.Transform))
		return nil
	}
	for i := range o.Transform {
		p.steps = append(p.steps, c.step(fmt.Sprintf("%s.transform[%d]", section, i), i, &o.Transform[i]))
	}
	if !p.Filters() && !p.Transforms() {
		return nil
	}
	p.digest = hex.EncodeToString(c.digest.Sum(nil))
	return p
}

// compiler compiles one destination's options. digest takes in what makes a difference to calls.
type compiler struct {
	d      *strictyaml.Decoder
	digest hash.Hash
}

func (c *compiler) note(words ...string) { fmt.Fprintf(c.digest, "%q\n", words) }

func (c *compiler) step(key string, index int, s *Step) step {
	made := step{name: fmt.Sprintf("transform[%d]", index)}
	if s.When != "" {
		made.when = c.condition(key+".when", s.When)
	}
	var kinds []string
	if len(s.Drop) > 0 {
		kinds, made.edit = append(kinds, "drop"), drop(c.list(key+".drop", s.Drop, checkDrop))
	}
	if len(s.Keep) > 0 {
		kinds, made.edit = append(kinds, "keep"), newKeep(c.list(key+".keep", s.Keep, checkKeep))
	}
	if len(s.Rename) > 0 {
		kinds, made.edit = append(kinds, "rename"), c.rename(key+".rename", s.Rename)
	}
	if len(s.Set) > 0 {
		kinds, made.edit = append(kinds, "set"), c.set(key+".set", s.Set)
	}
	if len(kinds) != 1 {
		found := "none"
		if len(kinds) > 1 {
			found = strings.Join(kinds, " and ")
		}
		c.d.Add(key, "expected one of drop, keep, rename and set, not %s", found)
	} else {
		made.name += "." + kinds[0]
	}
	return made
}

// condition compiles an expression that is true or false.
func (c *compiler) condition(key, text string) *expression.Program {
	c.note(key, text)
	if strings.HasPrefix(strings.TrimSpace(text), "=") {
		c.d.AddIn(key, 1, 1, "expected a condition without = before it")
		return nil
	}
	return c.expression(key, text, 0, expression.Options{Want: expression.Bool})
}

// expression compiles the text behind so many characters of a value.
func (c *compiler) expression(key, text string, before int, options expression.Options) *expression.Program {
	program, err := expression.Compile(text, options)
	mistake := (*expression.Error)(nil)
	switch {
	case errors.As(err, &mistake):
		if mistake.Line > 1 {
			before = 0
		}
		problem := mistake.Problem
		if mistake.Place != "" {
			problem = mistake.Place + ": " + problem
		}
		c.d.AddIn(key, mistake.Line, mistake.Column+before, "%s", problem)
		return nil
	case err != nil:
		c.d.Add(key, "%v", err)
		return nil
	}
	return program
}

// list reads a list of paths.
func (c *compiler) list(key string, texts []string, check func(path) error) (paths []path) {
	if len(texts) > maxPaths {
		c.d.Add(key, "expected at most %d paths, not %d", maxPaths, len(texts))
		return nil
	}
	for i, text := range texts {
		c.note(key, text)
		p, err := parsePath(text)
		if err == nil {
			err = check(p)
		}
		if err != nil {
			c.d.AddIn(fmt.Sprintf("%s[%d]", key, i), 1, 1, "%v", err)
			continue
		}
		paths = append(paths, p)
	}
	return paths
}

func checkDrop(p path) error {
	if p[0] == "event" {
		return errors.New("event cannot be dropped: a track needs it")
	}
	return nil
}

func checkKeep(p path) error {
	if len(p) < 2 {
		return fmt.Errorf("expected a path below an object, such as traits.plan, not %s", p)
	}
	return nil
}

func (c *compiler) rename(key string, names map[string]string) (made rename) {
	var paths overlaps
	for _, from := range slices.Sorted(maps.Keys(names)) {
		at, to := key+"."+from, names[from]
		c.note(at, to)
		p, err := parsePath(from)
		switch {
		case err != nil:
			c.d.Add(at, "%v", err)
			continue
		case len(p) < 2:
			c.d.Add(at, "expected a path below an object, such as properties.total, not %s", p)
			continue
		case strings.TrimSpace(to) == "" || strings.ContainsAny(to, `.["]?*`):
			c.d.AddIn(at, 1, 1, "expected a name, which stays in the same object, not %q", to)
			continue
		}
		target := append(slices.Clone(p[:len(p)-1]), to)
		if _, err := parsePath(target.String()); err != nil {
			c.d.AddIn(at, 1, 1, "%v", err)
			continue
		}
		paths.add(c, at, p)
		paths.add(c, at, target)
		made = append(made, renamed{p, to})
	}
	return made
}

func (c *compiler) set(key string, values map[string]*yaml.Node) (made set) {
	var paths overlaps
	for _, to := range slices.Sorted(maps.Keys(values)) {
		at := key + "." + to
		text, isOptional := strings.CutSuffix(to, "?")
		p, err := parsePath(text)
		if err != nil {
			c.d.Add(at, "%v", err)
			continue
		}
		paths.add(c, at, p)
		a := assignment{path: p, optional: isOptional}
		if c.value(at, values[to], &a) {
			made = append(made, a)
		}
	}
	return made
}

// value reads what a member is set to.
func (c *compiler) value(key string, node *yaml.Node, into *assignment) bool {
	for node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node == nil || node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
		c.d.Add(key, "expected one value, or an expression such as =[1, 2]; to remove a member, use drop")
		return false
	}
	var text string
	if !c.d.Decode(node, key, &text) {
		return false
	}
	c.note(key, node.Tag, text)
	if expressed, ok := strings.CutPrefix(text, "="); ok {
		into.expression = c.expression(key, expressed, 1, expression.Options{})
		return into.expression != nil
	}
	return c.constant(key, node, text, into)
}

// constant reads a value that is the same for all calls. A number that is written as JSON writes it keeps its digits.
func (c *compiler) constant(key string, node *yaml.Node, text string, into *assignment) bool {
	switch node.Tag {
	case "!!bool":
		into.constant = strings.EqualFold(text, "true")
		return true
	case "!!int", "!!float":
		if json.Valid([]byte(text)) {
			into.constant = json.Number(text)
			return true
		}
		c.d.Add(key, "expected a number as JSON writes it, or a text in quotes, not %s", text)
		return false
	}
	into.constant = text
	return true
}

// overlaps finds two paths of a step of which one leads to the other: what the step does would depend on their order.
type overlaps []path

func (o *overlaps) add(c *compiler, key string, p path) {
	for _, other := range *o {
		if p.isBelow(other) || other.isBelow(p) {
			c.d.Add(key, "the step names %s too: use two steps", other)
			return
		}
	}
	*o = append(*o, p)
}
