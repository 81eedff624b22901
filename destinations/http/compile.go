package http

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"aka/destinations/adapter"
	"aka/router/expression"
	"aka/router/segment"
	"aka/router/spelling"
)

// compiler makes a translator of a config, and gathers all mistakes on the way.
type compiler struct {
	config    *Config
	base      string
	secrets   map[string]string
	constants map[string]any
	// batches are what the keys of batches go to.
	batches map[string]string
	// rates are those of their keys.
	rates map[string]float64
	// extra are the variables beside those of a call.
	extra    []string
	mistakes []error
}

func newCompiler(config *Config) *compiler {
	c := &compiler{config: config, secrets: map[string]string{}, batches: map[string]string{}, rates: map[string]float64{}}
	for name, secret := range config.Secrets {
		c.secrets[name] = cmp.Or(secret.Reveal(), adapter.MadeUp) // one that is missing is a mistake already
	}
	return c
}

// translator compiles everything. What it returns is whole only if there are no mistakes.
func (c *compiler) translator() *translator {
	c.checkValues()
	config := c.config
	t := &translator{
		Common: config.Common, base: c.base, guard: adapter.NewGuard(config.BlockedIDs), names: config.Names, order: config.Order,
		renames: config.Renames, maxID: config.MaxIDLength, success: config.Success, calls: map[segment.Type]*call{},
	}
	t.identity = identityOf(config)
	t.account = fmt.Sprintf("http %q", c.base)
	t.drop = c.dropRules("drop", config.Drop)
	for _, name := range slices.Sorted(maps.Keys(config.Calls)) {
		key, section := "calls."+name, config.Calls[name]
		kind, known := segment.ParseType(name)
		if !known || kind.String() != name {
			c.add(key, nil, "no type of call; known are %s%s", strings.Join(callTypes, ", "), spelling.Hint(name, callTypes))
			continue
		}
		t.calls[kind] = c.call(key, section)
	}
	t.then = c.following("then", config.Then)
	t.ignored = c.ignoredRules(config.Ignored)
	t.merges = c.merges("merges", config.Merges)
	t.answers = c.answerRules(t)
	t.perItem = c.perItemRule()
	t.probe = c.probe()
	c.checkMerges(t)
	for _, section := range t.calls {
		section.mergeMayFail = section.merges.mayFail() || t.merges.mayFail()
	}
	return t
}

// identityOf is a digest of the settings and of their secrets, which YAML does not show.
func identityOf(config *Config) string {
	digest := sha256.New()
	text, err := yaml.Marshal(config)
	if err != nil {
		text = []byte(err.Error())
	}
	digest.Write(text)
	for _, name := range slices.Sorted(maps.Keys(config.Secrets)) {
		fmt.Fprintf(digest, "%q %q\n", name, config.Secrets[name].Reveal())
	}
	return hex.EncodeToString(digest.Sum(nil))
}

var callTypes = []string{"alias", "identify", "track", "page", "screen", "group"}

func (c *compiler) checkValues() {
	config := c.config
	if config.Endpoint == "" {
		c.mistakes = append(c.mistakes, adapter.Required("endpoint"))
	}
	base, err := config.BaseURL("")
	if err != nil {
		c.add("endpoint", nil, "not an absolute http(s) URL without credentials and query, such as https://api.acme.example/v1")
	}
	c.base = base
	c.oneOf("order", string(config.Order), string(adapter.OrderIdentity), string(adapter.OrderStrict), string(adapter.OrderNone))
	c.oneOf("success", string(config.Success), string(AnyBody), string(ObjectBody))
	if config.MaxIDLength < 1 || config.MaxIDLength > adapter.MaxIDLength {
		c.add("max_id_length", nil, "expected 1 to %d", adapter.MaxIDLength)
	}
	if len(config.Calls) == 0 {
		c.mistakes = append(c.mistakes, adapter.Required("calls"))
	}
	for _, name := range slices.Sorted(maps.Keys(config.Secrets)) {
		if !namePattern.MatchString(name) {
			c.add("secrets."+name, nil, "a name is of letters, digits and _")
		}
		if !config.Secrets[name].IsSet() {
			c.mistakes = append(c.mistakes, adapter.Required("secrets."+name))
		}
	}
	c.readConstants()
}

var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (c *compiler) readConstants() {
	node := c.config.Constants.Node()
	if !c.config.Constants.IsSet() {
		return
	}
	value := plain(node)
	object, ok := value.(map[string]any)
	if !ok {
		c.add("constants", node, "expected a section of keys")
	}
	c.constants = object
}

// plain is what YAML says, as JSON has it: numbers keep their digits.
func plain(node *yaml.Node) any {
	switch node.Kind {
	case yaml.MappingNode:
		object := map[string]any{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			object[node.Content[i].Value] = plain(node.Content[i+1])
		}
		return object
	case yaml.SequenceNode:
		list := make([]any, len(node.Content))
		for i, item := range node.Content {
			list[i] = plain(item)
		}
		return list
	}
	return scalar(node)
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`)

func scalar(node *yaml.Node) any {
	switch node.Tag {
	case "!!null":
		return nil
	case "!!bool":
		var is bool
		if node.Decode(&is) == nil {
			return is
		}
	case "!!int", "!!float":
		if jsonNumber.MatchString(node.Value) {
			return json.Number(node.Value)
		}
	}
	return node.Value
}

func (c *compiler) add(key string, node *yaml.Node, format string, args ...any) {
	mistake := &adapter.SettingError{Key: key, Problem: fmt.Sprintf(format, args...)}
	if node != nil {
		mistake.Line, mistake.Column = node.Line, node.Column
	}
	c.mistakes = append(c.mistakes, mistake)
}

func (c *compiler) oneOf(key, value string, allowed ...string) {
	if err := adapter.OneOf(key, value, allowed...); err != nil {
		c.mistakes = append(c.mistakes, err)
	}
}

func (c *compiler) reason(key, reason string) adapter.Reason {
	if reason == "" {
		c.mistakes = append(c.mistakes, adapter.Required(key))
	} else if !slices.Contains(adapter.DropReasons, adapter.Reason(reason)) {
		c.add(key, nil, "%q is no reason of a dropped call%s", reason, spelling.Hint(reason, adapter.Words(adapter.DropReasons)))
	}
	return adapter.Reason(reason)
}

// program compiles a part of a value that begins skip characters after its start.
func (c *compiler) program(key string, node *yaml.Node, skip int, text string, options expression.Options) *expression.Program {
	options.Secrets, options.Constants = c.secrets, c.constants
	program, err := expression.Compile(text, options)
	if mistake := (*expression.Error)(nil); errors.As(err, &mistake) {
		line, column := placeIn(node, skip, mistake)
		problem := mistake.Problem
		if mistake.Place != "" {
			problem = mistake.Place + ": " + problem
		}
		if node.Style == 0 && strings.HasSuffix(node.Value, text) && mistake.Offset >= len([]rune(text))-1 {
			problem += "; in quotes, YAML would not end it there"
		}
		c.mistakes = append(c.mistakes, &adapter.SettingError{Key: key, Problem: problem + caret(text, mistake), Line: line, Column: column})
		return nil
	}
	return program
}

// placeIn returns where in the file a mistake of an expression is. The column is 0 where YAML does not say how far a block is indented.
func placeIn(node *yaml.Node, skip int, mistake *expression.Error) (line, column int) {
	switch {
	case node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return node.Line + mistake.Line, 0
	case node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		before := []rune(node.Value)
		before = before[:min(len(before), skip+mistake.Offset)]
		return node.Line, node.Column + 1 + skip + mistake.Offset + strings.Count(string(before), "'")*single(node)
	}
	return node.Line, node.Column + skip + mistake.Offset
}

// single is 1 for a value in single quotes, where a quote stands twice.
func single(node *yaml.Node) int {
	if node.Style&yaml.SingleQuotedStyle != 0 {
		return 1
	}
	return 0
}

// caretWidth is how much of an expression is shown on each side of a mistake.
const caretWidth = 40

// caret shows where in its line a mistake is.
func caret(text string, mistake *expression.Error) string {
	lines := strings.Split(text, "\n")
	if mistake.Line > len(lines) {
		return ""
	}
	line := []rune(lines[mistake.Line-1])
	at := min(mistake.Column-1, len(line))
	from, to := max(0, at-caretWidth), min(len(line), at+caretWidth)
	return fmt.Sprintf(" (%s⟨here⟩%s)", string(line[from:at]), string(line[at:to]))
}

// expr compiles an expression that stands alone at a key; nil where there is none. An = before it is no mistake.
func (c *compiler) expr(key string, tree adapter.Tree, options expression.Options) *expression.Program {
	if !tree.IsSet() {
		return nil
	}
	node := tree.Node()
	if node.Kind != yaml.ScalarNode {
		c.add(key, node, "expected an expression")
		return nil
	}
	text, hadSign := strings.CutPrefix(node.Value, "=")
	skip := 0
	if hadSign {
		skip = 1
	}
	options.Extra = append(options.Extra, c.extra...)
	return c.program(key, node, skip, text, options)
}

func (c *compiler) condition(key string, tree adapter.Tree) *expression.Program {
	return c.expr(key, tree, expression.Options{Want: expression.Bool})
}

func (c *compiler) required(key string, tree adapter.Tree, options expression.Options) *expression.Program {
	if !tree.IsSet() {
		c.mistakes = append(c.mistakes, adapter.Required(key))
		return nil
	}
	return c.expr(key, tree, options)
}

func item(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }

// maxNote is how long the note of a drop may be.
const maxNote = 100

func (c *compiler) dropRules(key string, rules []DropRule) []dropRule {
	compiled := make([]dropRule, len(rules))
	for i, rule := range rules {
		at := item(key, i)
		compiled[i].when = c.required(at+".when", rule.When, expression.Options{Want: expression.Bool})
		compiled[i].reason, compiled[i].note = c.reason(at+".reason", rule.Reason), rule.Note
		switch {
		case rule.Note == "" && adapter.Reason(rule.Reason) == adapter.Other:
			c.mistakes = append(c.mistakes, adapter.Required(at+".note"))
		case len(rule.Note) > maxNote:
			c.add(at+".note", nil, "has %d bytes, expected at most %d", len(rule.Note), maxNote)
		}
	}
	return compiled
}

func (c *compiler) ignoredRules(rules []IgnoredRule) []ignoredRule {
	compiled := make([]ignoredRule, len(rules))
	for i, rule := range rules {
		at := item("ignored", i)
		compiled[i] = ignoredRule{when: c.required(at+".when", rule.When, expression.Options{Want: expression.Bool}), option: rule.Option}
		if rule.Option == "" {
			c.mistakes = append(c.mistakes, adapter.Required(at+".option"))
		}
	}
	return compiled
}

func (c *compiler) call(key string, section Call) *call {
	compiled := &call{
		drop: c.dropRules(key+".drop", section.Drop),
		send: c.requests(key+".send", section.Send), then: c.following(key+".then", section.Then),
		merges: c.merges(key+".merges", section.Merges),
	}
	if len(section.Send)+len(section.Then)+len(section.Drop) == 0 {
		c.add(key, nil, "expected send, or drop")
	}
	for i, request := range section.Send {
		if i+1 < len(section.Send) && !request.If.IsSet() {
			c.add(item(key+".send", i+1), nil, "is never reached: the request before it has no if, and only the first that fits is sent; use then for a second request")
		}
	}
	if used := section.IfUsed; used.ID.IsSet() || used.Else != "" || used.If.IsSet() {
		compiled.ifUsed = &ifUsed{
			when:   c.condition(key+".if_used.if", used.If),
			id:     c.required(key+".if_used.id", used.ID, expression.Options{}),
			reason: c.reason(key+".if_used.else", used.Else),
		}
	}
	return compiled
}

// tree compiles the leaves of a tree.
func (c *compiler) tree(key string, node *yaml.Node) template {
	switch node.Kind {
	case yaml.MappingNode:
		return c.object(key, node)
	case yaml.SequenceNode:
		compiled := &list{items: make([]template, len(node.Content))}
		for i, inner := range node.Content {
			compiled.items[i] = c.tree(item(key, i), inner)
		}
		return compiled
	}
	text, isExpression := strings.CutPrefix(node.Value, "=")
	if !isExpression || node.Tag != "!!str" {
		return literal{scalar(node)}
	}
	program := c.program(key, node, 1, text, expression.Options{Extra: c.extra})
	if program == nil || !program.IsConstant() {
		return &leaf{key: key, program: program}
	}
	value, err := program.Run(&expression.Env{})
	if err != nil {
		c.add(key, node, "%v", err)
	}
	return constant{literal{value}, &leaf{key: key, program: program}}
}

func (c *compiler) object(key string, node *yaml.Node) *object {
	compiled := &object{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		given := node.Content[i]
		name, optional := strings.CutSuffix(given.Value, "?")
		m := member{name: name, key: key + "." + name, optional: optional, node: given}
		if slices.ContainsFunc(compiled.members, func(other member) bool { return other.name == name }) {
			c.add(key+"."+given.Value, given, "given twice")
		}
		m.template = c.tree(m.key, node.Content[i+1])
		if fixed, ok := m.template.(constant); ok && isMissing(fixed.value) {
			if optional {
				continue
			}
			c.add(m.key, node.Content[i+1], "never has a value")
		}
		compiled.members = append(compiled.members, m)
	}
	return compiled
}
