package http

import (
	"cmp"
	"fmt"
	nethttp "net/http"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"aka/destinations/adapter"
	"aka/router/expression"
)

// following compiles requests that follow others.
func (c *compiler) following(key string, sections []Request) []*request {
	compiled := c.requests(key, sections)
	for _, r := range compiled {
		r.follows = true
	}
	return compiled
}

func (c *compiler) requests(key string, sections []Request) []*request {
	compiled := make([]*request, len(sections))
	for i, section := range sections {
		compiled[i] = c.request(item(key, i), section)
	}
	return compiled
}

func (c *compiler) request(key string, section Request) *request {
	r := &request{key: key, merges: section.Merges, when: c.condition(key+".if", section.If)}
	if section.Each.IsSet() {
		r.each = c.expr(key+".each", section.Each, expression.Options{Want: expression.List})
		c.extra = []string{expression.Item}
		defer func() { c.extra = nil }()
	}
	r.wait, r.rate = section.Wait, c.rate(key, section.Rate)
	if section.Wait < 0 || section.Wait > adapter.MaxWait {
		c.add(key+".wait", nil, "expected 0s to %s", adapter.MaxWait)
	}
	c.compose(r, key, parts{section.Request, section.JSONBody, section.FormBody, section.Query, section.Headers})
	for i, id := range section.IDs {
		r.ids = append(r.ids, c.required(item(key+".ids", i), id, expression.Options{}))
	}
	if section.Batch != nil {
		r.batch = c.batch(key, section, r)
	}
	return r
}

// parts are what an HTTP request is made of.
type parts struct{ request, json, form, query, headers adapter.Tree }

func (c *compiler) compose(r *request, key string, p parts) {
	c.target(r, key+".request", p.request)
	if p.json.IsSet() && p.form.IsSet() {
		c.add(key+".form", p.form.Node(), "given beside json; a request has one body")
	}
	if p.json.IsSet() {
		r.json = c.tree(key+".json", p.json.Node())
	}
	r.form, r.query, r.headers = c.fields(key+".form", p.form), c.fields(key+".query", p.query), c.fields(key+".headers", p.headers)
	if r.headers != nil {
		c.checkHeaders(key+".headers", r.headers)
	}
	r.fixHeader()
}

// fields compiles a section of names; nil where there is none.
func (c *compiler) fields(key string, tree adapter.Tree) *object {
	if !tree.IsSet() {
		return nil
	}
	if tree.Node().Kind != yaml.MappingNode {
		c.add(key, tree.Node(), "expected a section of names")
		return nil
	}
	fields, _ := c.tree(key, tree.Node()).(*object)
	return fields
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// taken are headers that the sender makes.
var taken = []string{"Host", "Content-Length", "Transfer-Encoding", "Connection"}

func (c *compiler) checkHeaders(key string, fields *object) {
	for i := range fields.members {
		m := &fields.members[i]
		m.name = nethttp.CanonicalHeaderKey(m.name)
		if !headerName.MatchString(m.name) || slices.Contains(taken, m.name) {
			c.add(key, m.node, "%s is no header that a request can have", m.name)
		}
		if fixed, ok := m.template.(literal); ok {
			if text, ok := fieldText(fixed.value); !ok || !isHeaderValue(text) {
				c.add(m.key, m.node, "expected a text without line breaks")
			}
		}
	}
}

var methods = []string{nethttp.MethodGet, nethttp.MethodPost, nethttp.MethodPut, nethttp.MethodPatch, nethttp.MethodDelete}

// target compiles the method and the path.
func (c *compiler) target(r *request, key string, tree adapter.Tree) {
	node := tree.Node()
	switch {
	case !tree.IsSet():
		c.mistakes = append(c.mistakes, adapter.Required(key))
		return
	case node.Kind != yaml.ScalarNode:
		c.add(key, node, "expected a method and a path, such as POST /users/{userId}")
		return
	case strings.HasPrefix(node.Value, "="):
		r.built = c.program(key, node, 1, node.Value[1:], expression.Options{Extra: c.extra})
		return
	}
	method, path, _ := strings.Cut(node.Value, " ")
	if !slices.Contains(methods, method) || !strings.HasPrefix(path, "/") {
		c.add(key, node, "expected a method and a path, such as POST /users/{userId}, with one of %s", strings.Join(methods, ", "))
		return
	}
	r.method = method
	c.path(r, key, node, path, len([]rune(method))+1)
}

// path compiles what stands between the braces of a path.
func (c *compiler) path(r *request, key string, node *yaml.Node, path string, skip int) {
	r.pattern = r.method + " " + path
	for path != "" {
		fixed, rest, found := strings.Cut(path, "{")
		if strings.ContainsAny(fixed, "}?# \t\\") || !isPath(fixed) {
			c.add(key, node, "expected a path without ?, #, } and spaces; parameters stand in query")
			return
		}
		r.addPath(pathPart{fixed: fixed})
		if !found {
			return
		}
		text, after, closed := strings.Cut(rest, "}")
		if !closed {
			c.add(key, node, "expected } after {")
			return
		}
		skip += len([]rune(fixed)) + 1
		program := c.program(key, node, skip, text, expression.Options{Extra: c.extra})
		part := pathPart{program: program}
		if program != nil && program.IsConstant() {
			escaped, err := part.append(nil, &run{env: &expression.Env{}}, key)
			if err != nil {
				c.add(key, node, "%v", err)
			}
			part = pathPart{fixed: string(escaped)}
		}
		r.addPath(part)
		skip, path = skip+len([]rune(text))+1, after
	}
}

func (c *compiler) rate(key string, section *Rate) *adapter.Rate {
	if section == nil {
		return nil
	}
	if section.PerSecond <= 0 {
		c.add(key+".rate.per_second", nil, "expected more than 0")
	}
	name := cmp.Or(section.Key, key)
	if other, known := c.rates[name]; known && other != section.PerSecond {
		c.add(key+".rate.per_second", nil, "the key %q has another rate elsewhere", name)
	}
	c.rates[name] = section.PerSecond
	return &adapter.Rate{Key: name, PerSecond: section.PerSecond}
}

// addPath puts what is fixed into one part.
func (r *request) addPath(part pathPart) {
	if last := len(r.path) - 1; last >= 0 && part.program == nil && r.path[last].program == nil {
		r.path[last].fixed += part.fixed
		return
	}
	r.path = append(r.path, part)
}

func (c *compiler) batch(key string, section Request, r *request) *adapter.Batch {
	b := section.Batch
	switch {
	case !section.JSONBody.IsSet():
		c.add(key+".batch", nil, "needs json: what travels together is JSON")
	case b.MaxItems < 0:
		c.add(key+".batch.max_items", nil, "expected 0 or more")
	case b.MaxBytes < 0:
		c.add(key+".batch.max_bytes", nil, "expected 0 or more")
	}
	name := cmp.Or(b.Key, r.pattern)
	if r.isFixed() {
		target := fmt.Sprint(r.pattern, r.header)
		if other := c.batches[name]; other != "" && other != target {
			c.add(key+".batch.key", nil, "%q is the key of requests with another path or other headers; give this one a key of its own", name)
		}
		c.batches[name] = target
	}
	separator := b.Separator
	if separator == "" && b.Before+b.After != "" {
		separator = ","
	}
	return &adapter.Batch{Key: name, MaxItems: b.MaxItems, MaxBytes: b.MaxBytes, Before: b.Before, After: b.After, Separator: separator}
}
