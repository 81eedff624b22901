// Package strictyaml decodes YAML into structs without forgiving anything, and goes on after each mistake so that all of
// them are reported at once, each with the key's path and line. Scalars are expanded from the environment first.
package strictyaml

import (
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"aka/router/spelling"
)

// Problem is one mistake.
type Problem struct {
	// Line and Column count from 1; 0 is unknown.
	Line, Column int
	// Key is the path, such as "destinations.vero.settings.auth_token".
	Key     string
	Message string
}

// Error returns "line 12: key: message".
func (p Problem) Error() string {
	text := p.Message
	if p.Key != "" {
		text = p.Key + ": " + text
	}
	if p.Line > 0 {
		text = fmt.Sprintf("line %d: %s", p.Line, text)
	}
	return text
}

// secretSetter is a type whose value is a secret: its key has a twin ending in _file.
type secretSetter interface{ SetSecret(value string) }

// standInSetter is a secretSetter that knows whether Decoder.MissingSecret stands in for it.
type standInSetter interface{ SetStandIn(value string) }

// secretHolder is a type that UnmarshalText fills in, and whose value has secrets in it.
type secretHolder interface{ Secrets() []string }

// Limits on what a config may cost to read. An alias counts each time as all that it expands to.
const (
	maxValues = 100_000  // keys and values
	maxBytes  = 10 << 20 // of values and of keys with their paths
	maxDepth  = 32
	maxKey    = 255
)

// maxProblems is how many mistakes are kept: more would not be read.
const maxProblems = 100

const fileSuffix = "_file"

// Decoder decodes nodes of one document and gathers its mistakes. The zero value with Lookup and ReadFile set is ready.
//
// Struct fields are named by their `yaml` tag; ",inline" embeds. A field of type *yaml.Node takes its section undecoded,
// for a later Decode. A field whose type has SetSecret may also be given as KEY_file, the path of a file that holds it. Others
// of a map of such a type too. A TreeSetter takes its section as it is, with variables replaced. Others
// are strings, bool, int, int64, float64, time.Duration and what implements encoding.TextUnmarshaler, and structs, pointers,
// slices and maps by string of all these; any other type panics.
type Decoder struct {
	// Lookup reads an environment variable, as os.LookupEnv.
	Lookup func(name string) (value string, ok bool)
	// ReadFile reads a secret's file, as os.ReadFile.
	ReadFile func(path string) ([]byte, error)
	// MissingSecret, when set, stands in for every secret whose variable or file is missing, instead of a mistake.
	MissingSecret string
	// Later returns a pointer to what a section that a field of *yaml.Node takes is decoded into later, by the section's path; nil
	// where that is not known. It is asked only for what to suggest. May be nil.
	Later func(key string) any
	// Source is the text that the document was read from. Without it AddIn finds no column. May be nil.
	Source []byte

	problems []Problem
	mistakes int             // problems, and those that were too many to keep
	failed   map[string]bool // keys that have a problem: a second one would only repeat the first
	lines    map[string]int
	scalars  map[string]*yaml.Node // by their keys, where there is a Source
	origins  map[string]string     // keys whose value came from elsewhere, and from where
	secrets  []string

	values, bytes int // what it cost so far
	tooLarge      bool
}

// Decode fills in what into points to from the node, which stands at the key's path. Fields that the node says nothing of
// keep their value. It returns whether this call found no mistake; Problems has them all.
func (d *Decoder) Decode(node *yaml.Node, key string, into any) bool {
	before := d.mistakes
	if node != nil && node.Kind != 0 {
		d.value(node, key, reflect.ValueOf(into).Elem(), 0)
	}
	return d.mistakes == before
}

// AddAt reports a mistake at a place that the caller knows. Only the first mistake of a key is kept.
func (d *Decoder) AddAt(line, column int, key, message string) {
	before := len(d.problems)
	d.report(line, key, message)
	if len(d.problems) > before {
		d.problems[before].Column = column
	}
}

// Add reports a mistake at the key's path, on the line of the key or of the nearest section above it. Where the value came
// from the environment or a file, the message says so. Only the first mistake of a key is kept.
func (d *Decoder) Add(key, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if origin := d.origins[key]; origin != "" {
		message += " (the value comes from " + origin + ")"
	}
	d.report(lineOf(d.lines, key), key, message)
}

// Lines returns what finds the line of a key, or of the nearest section above it. It keeps nothing else of the decoder.
func (d *Decoder) Lines() func(key string) int {
	lines := d.lines
	return func(key string) int { return lineOf(lines, key) }
}

func lineOf(lines map[string]int, key string) int {
	for ; key != ""; key = parent(key) {
		if line := lines[key]; line != 0 {
			return line
		}
	}
	return lines[""]
}

// Problems returns the mistakes so far, in the order of the lines: all of them unless they are very many.
func (d *Decoder) Problems() []Problem {
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return d.problems
}

// Secrets returns the value of every secret that was decoded.
func (d *Decoder) Secrets() []string { return d.secrets }

func (d *Decoder) report(line int, key, message string) {
	if d.failed == nil {
		d.failed = map[string]bool{}
	}
	if key != "" && d.failed[key] {
		return
	}
	d.failed[key] = true
	d.mistakes++
	switch {
	case d.mistakes <= maxProblems:
		d.problems = append(d.problems, Problem{Line: line, Key: key, Message: message})
	case d.mistakes == maxProblems+1:
		d.problems = append(d.problems, Problem{Line: line, Message: fmt.Sprintf("more mistakes than the %d that are shown", maxProblems)})
	}
}

func (d *Decoder) value(node *yaml.Node, key string, into reflect.Value, depth int) {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.DocumentNode {
		node = node.Content[0]
	}
	if !d.afford(node, len(key)) {
		return
	}
	d.noteLine(key, node.Line)
	if depth > maxDepth {
		d.report(node.Line, key, fmt.Sprintf("nested deeper than %d levels", maxDepth))
		return
	}
	if into.Type() == reflect.TypeFor[*yaml.Node]() {
		into.Set(reflect.ValueOf(node))
		return
	}
	if tree, ok := into.Addr().Interface().(TreeSetter); ok {
		d.setTree(node, key, tree, depth)
		return
	}
	if node.Style&yaml.TaggedStyle != 0 {
		d.report(node.Line, key, "expected no tag, not "+node.Tag)
		return
	}
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return
	}
	if into.Kind() == reflect.Pointer {
		target := reflect.New(into.Type().Elem())
		if !into.IsNil() {
			target.Elem().Set(into.Elem())
		}
		d.value(node, key, target.Elem(), depth)
		into.Set(target)
		return
	}
	_, isText := into.Addr().Interface().(encoding.TextUnmarshaler)
	_, isSecret := into.Addr().Interface().(secretSetter)
	_, maySection := into.Addr().Interface().(ValueOrSection)
	switch {
	case maySection && node.Kind == yaml.MappingNode:
		into.SetZero()
		d.mapping(node, key, into, depth)
	case isSecret || isText:
		d.scalar(node, key, into)
	case into.Kind() == reflect.Struct:
		d.mapping(node, key, into, depth)
	case into.Kind() == reflect.Map:
		d.stringMap(node, key, into, depth)
	case into.Kind() == reflect.Slice:
		d.sequence(node, key, into, depth)
	default:
		d.scalar(node, key, into)
	}
}

// ValueOrSection is a struct that a config writes as one value, which UnmarshalText reads, or as a section of its fields, which leaves
// nothing of what it was before.
type ValueOrSection interface {
	encoding.TextUnmarshaler
	// IsSection tells that it can be written as a section only.
	IsSection() bool
}

// afford counts a key or a value against what a document may cost. That it is too much is reported once.
func (d *Decoder) afford(node *yaml.Node, pathBytes int) bool {
	if d.tooLarge {
		return false
	}
	d.values++
	d.bytes += pathBytes + len(node.Value)
	d.tooLarge = d.values > maxValues || d.bytes > maxBytes
	if d.tooLarge {
		d.report(node.Line, "", fmt.Sprintf("too large: more than %d values or %d MiB", maxValues, maxBytes>>20))
	}
	return !d.tooLarge
}

func (d *Decoder) mapping(node *yaml.Node, key string, into reflect.Value, depth int) {
	fields := fieldsOf(into)
	d.eachKey(node, key, func(name *yaml.Node, value *yaml.Node, path string) {
		if field, ok := fields[name.Value]; ok {
			d.value(value, path, field, depth+1)
			return
		}
		if field, ok := fields[strings.TrimSuffix(name.Value, fileSuffix)]; ok && strings.HasSuffix(name.Value, fileSuffix) {
			if secret, ok := field.Addr().Interface().(secretSetter); ok {
				d.secretFile(value, strings.TrimSuffix(path, fileSuffix), secret)
				return
			}
		}
		d.report(name.Line, path, "unknown key"+d.suggestion(name.Value, key, fields))
	})
}

func (d *Decoder) stringMap(node *yaml.Node, key string, into reflect.Value, depth int) {
	if into.IsNil() {
		into.Set(reflect.MakeMap(into.Type()))
	}
	d.eachKey(node, key, func(name *yaml.Node, value *yaml.Node, path string) {
		element := reflect.New(into.Type().Elem()).Elem()
		if secret, ok := element.Addr().Interface().(secretSetter); ok && strings.HasSuffix(name.Value, fileSuffix) {
			d.secretFile(value, strings.TrimSuffix(path, fileSuffix), secret)
			into.SetMapIndex(reflect.ValueOf(strings.TrimSuffix(name.Value, fileSuffix)), element)
			return
		}
		d.value(value, path, element, depth+1)
		into.SetMapIndex(reflect.ValueOf(name.Value), element)
	})
}

// eachKey calls do for every pair of a mapping, and reports what is no mapping and what is there twice.
func (d *Decoder) eachKey(node *yaml.Node, key string, do func(name, value *yaml.Node, path string)) {
	if node.Kind != yaml.MappingNode {
		d.report(node.Line, key, "expected a section of keys, not "+kindOf(node))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		if !d.afford(name, len(key)) {
			return
		}
		if problem := keyProblem(name); problem != "" {
			d.report(name.Line, key, problem)
			continue
		}
		path := join(key, name.Value)
		if first, twice := seen[name.Value]; twice {
			d.report(name.Line, path, fmt.Sprintf("given twice, first on line %d", first))
			continue
		}
		seen[name.Value] = name.Line
		d.noteLine(path, name.Line)
		do(name, value, path)
	}
}

// keyProblem says why a node cannot be a key, or "".
func keyProblem(name *yaml.Node) string {
	switch {
	case name.Kind != yaml.ScalarNode:
		return "expected a plain key, not " + kindOf(name)
	case name.Tag == "!!merge":
		return "merging with << is not supported; give the keys themselves, or use an alias as a whole value"
	case name.Style&yaml.TaggedStyle != 0:
		return "expected a plain key, not one with the tag " + name.Tag
	case len(name.Value) > maxKey:
		return fmt.Sprintf("a key of more than %d bytes", maxKey)
	}
	return ""
}

func (d *Decoder) sequence(node *yaml.Node, key string, into reflect.Value, depth int) {
	if node.Kind != yaml.SequenceNode {
		d.report(node.Line, key, "expected a list, not "+kindOf(node))
		return
	}
	list := reflect.MakeSlice(into.Type(), len(node.Content), len(node.Content))
	for i, item := range node.Content {
		d.value(item, fmt.Sprintf("%s[%d]", key, i), list.Index(i), depth+1)
	}
	into.Set(list)
}

func (d *Decoder) scalar(node *yaml.Node, key string, into reflect.Value) {
	if node.Kind != yaml.ScalarNode {
		d.report(node.Line, key, "expected one value, not "+kindOf(node))
		return
	}
	d.noteScalar(key, node)
	secret, isSecret := into.Addr().Interface().(secretSetter)
	text, problem, variables := d.expand(node.Value)
	if n := len(variables); n > 0 {
		d.noteOrigin(key, "the environment variable "+variables[n-1].name)
	}
	if isSecret && d.lines[key+fileSuffix] != 0 {
		d.report(node.Line, key, "given both here and as "+key+fileSuffix)
		return
	}
	if isSecret && d.MissingSecret != "" && (problem != "" || text == "") {
		text, problem = d.MissingSecret, ""
	}
	if problem != "" {
		d.report(node.Line, key, problem)
		return
	}
	if isSecret {
		if problem := cmp.Or(variableProblem(variables), secretProblem(text)); problem != "" {
			d.report(node.Line, key, problem)
			return
		}
		d.setSecret(secret, text)
		return
	}
	if err := setScalar(into, text); err != nil {
		d.Add(key, "%v", err)
	}
	if holder, ok := into.Addr().Interface().(secretHolder); ok {
		d.secrets = append(d.secrets, holder.Secrets()...)
	}
}

func (d *Decoder) secretFile(node *yaml.Node, key string, secret secretSetter) {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	text, problem := "", "expected a path, not "+kindOf(node)
	if node.Kind == yaml.ScalarNode {
		text, problem = d.readSecret(node.Value, key)
	}
	if d.lines[key] != 0 {
		problem = "given both here and as " + key
	}
	if problem != "" {
		d.report(node.Line, key+fileSuffix, problem)
		d.failed[key] = true // that the secret is missing would only repeat it
		return
	}
	d.setSecret(secret, text)
}

// readSecret returns what a file holds, or the problem with it.
func (d *Decoder) readSecret(path, key string) (text, problem string) {
	path, problem, _ = d.expand(path)
	if problem == "" {
		d.noteOrigin(key, "the file "+path)
		content, err := d.ReadFile(path)
		if err != nil {
			problem = err.Error()
		}
		text = cutNewline(string(content))
	}
	if d.MissingSecret != "" && (problem != "" || text == "") {
		return d.MissingSecret, ""
	}
	if unfit := secretProblem(text); problem == "" && unfit != "" {
		problem = path + ": " + unfit
	}
	return text, problem
}

func (d *Decoder) setSecret(secret secretSetter, value string) {
	standsIn, ok := secret.(standInSetter)
	if ok && value != "" && value == d.MissingSecret {
		standsIn.SetStandIn(value)
	} else {
		secret.SetSecret(value)
	}
	if value != "" {
		d.secrets = append(d.secrets, value)
	}
}

// variable is one of the environment, and what stands in its place.
type variable struct{ name, value string }

// expand replaces ${NAME} and ${NAME:-default}; $${ is ${ itself. It returns the first problem, such as a variable
// that is neither set nor has a default, and the variables that it has replaced.
func (d *Decoder) expand(text string) (expanded, problem string, variables []variable) {
	var out strings.Builder
	for {
		start := strings.Index(text, "${")
		if start < 0 {
			break
		}
		if start > 0 && text[start-1] == '$' {
			out.WriteString(text[:start] + "{")
			text = text[start+2:]
			continue
		}
		end := strings.IndexByte(text[start:], '}')
		if end < 0 {
			return "", "expected } after ${; write $${ for ${ itself", variables
		}
		name, fallback, hasFallback := strings.Cut(text[start+2:start+end], ":-")
		value, set := d.Lookup(name)
		switch {
		case !set && !hasFallback && problem == "":
			problem = "environment variable " + name + " is not set"
		case value == "" && hasFallback:
			value = fallback
		}
		variables = append(variables, variable{name, value})
		out.WriteString(text[:start] + value)
		text = text[start+end+1:]
	}
	return out.String() + text, problem, variables
}

func setScalar(into reflect.Value, text string) error {
	if target, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return target.UnmarshalText([]byte(text))
	}
	if into.Type() == reflect.TypeFor[time.Duration]() {
		value, err := ParseDuration(text)
		if err != nil {
			return fmt.Errorf("expected a duration such as 500ms, 10s, 24h or 30d, not %q", text)
		}
		into.SetInt(int64(value))
		return nil
	}
	switch into.Kind() {
	case reflect.String:
		into.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("expected true or false, not %q", text)
		}
		into.SetBool(text == "true")
	case reflect.Int, reflect.Int64:
		value, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("expected a whole number, not %q", text)
		}
		into.SetInt(value)
	case reflect.Float64:
		value, err := strconv.ParseFloat(text, 64)
		if err != nil || value != value || value-value != 0 {
			return fmt.Errorf("expected a number, not %q", text)
		}
		into.SetFloat(value)
	default:
		panic("strictyaml: unsupported field type " + into.Type().String())
	}
	return nil
}

// fieldsOf returns a struct's settable fields by their YAML name, those of inlined structs too.
func fieldsOf(of reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range of.NumField() {
		field := of.Type().Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			for name, inlined := range fieldsOf(of.Field(i)) {
				fields[name] = inlined
			}
		case name != "" && name != "-":
			fields[name] = of.Field(i)
		}
	}
	return fields
}

// suggestion names the sections below that have a key of this name, else the known key that is nearest to it.
func (d *Decoder) suggestion(name, section string, fields map[string]reflect.Value) string {
	var below, known []string
	for key, field := range fields {
		known = append(known, key)
		if isSecret(field) {
			known = append(known, key+fileSuffix)
		}
		inner := d.fieldsBelow(join(section, key), field)
		secret, isFile := inner[strings.TrimSuffix(name, fileSuffix)]
		if inner[name].IsValid() || isFile && isSecret(secret) {
			below = append(below, join(key, name))
		}
	}
	if len(below) > 0 {
		return "; did you mean " + strings.Join(slices.Sorted(slices.Values(below)), " or ") + "?"
	}
	return spelling.Hint(name, known)
}

func isSecret(field reflect.Value) bool {
	_, ok := field.Addr().Interface().(secretSetter)
	return ok
}

// fieldsBelow are the keys of a section, of one that is decoded later too.
func (d *Decoder) fieldsBelow(path string, section reflect.Value) map[string]reflect.Value {
	switch {
	case isSecret(section):
		return nil
	case section.Kind() == reflect.Struct:
		return fieldsOf(section)
	case section.Type() == reflect.TypeFor[*yaml.Node]() && d.Later != nil:
		if into := d.Later(path); into != nil {
			return fieldsOf(reflect.ValueOf(into).Elem())
		}
	}
	return nil
}

func (d *Decoder) noteLine(key string, line int) {
	if d.lines == nil {
		d.lines = map[string]int{}
	}
	if d.lines[key] == 0 {
		d.lines[key] = line
	}
}

func (d *Decoder) noteOrigin(key, origin string) {
	if d.origins == nil {
		d.origins = map[string]string{}
	}
	d.origins[key] = origin
}

func kindOf(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a section of keys"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return "a single value"
	}
	return "something else"
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func parent(key string) string {
	if dot := strings.LastIndexAny(key, ".["); dot >= 0 {
		return key[:dot]
	}
	return ""
}
