package http

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"aka/destinations/adapter"
	"aka/router/expression"
	"aka/router/segment"
	"aka/router/spelling"
)

type answerRule struct {
	status                []int
	requests              []*regexp.Regexp // of method and URL; nil is any
	when, detail          *expression.Program
	afterPossibleDelivery *bool
	verdict               adapter.Verdict
}

type perItemRule struct {
	status                    []int
	list, index, when, detail *expression.Program
	match                     []string
	verdict                   adapter.Verdict
}

var classes = map[string]adapter.Class{
	"delivered": adapter.Delivered, "later": adapter.Later, "never": adapter.Never, "operator": adapter.Operator, "split": adapter.Split,
	"isolate": adapter.Isolate, "dropped": adapter.Dropped,
}

var (
	answerVerdicts = []string{"delivered", "later", "never", "operator", "split", "isolate", "dropped"}
	itemVerdicts   = []string{"delivered", "later", "never", "dropped"}
)

func (c *compiler) answerRules(t *translator) []answerRule {
	c.extra = []string{expression.Status, expression.Body, expression.AfterPossibleDelivery}
	defer func() { c.extra = nil }()
	compiled := make([]answerRule, len(c.config.Answers))
	for i, rule := range c.config.Answers {
		key := item("answers", i)
		compiled[i] = answerRule{
			status: rule.Status, afterPossibleDelivery: rule.AfterPossibleDelivery,
			when:    c.expr(key+".when", rule.When, expression.Options{Want: expression.Bool, WithoutCall: true}),
			detail:  c.expr(key+".detail", rule.Detail, expression.Options{WithoutCall: true}),
			verdict: c.verdict(key, rule.Verdict, rule.Note, answerVerdicts),
		}
		if rule.OneCall {
			compiled[i].verdict.About = adapter.OneCall
		}
		if rule.Call != "" {
			compiled[i].requests = c.requestsOf(key+".call", rule.Call, t)
		}
		c.checkStatus(key+".status", rule.Status)
	}
	return compiled
}

func (c *compiler) verdict(key, name, note string, allowed []string) adapter.Verdict {
	if name == "" {
		c.mistakes = append(c.mistakes, adapter.Required(key+".verdict"))
	} else {
		c.oneOf(key+".verdict", name, allowed...)
	}
	if name == "dropped" {
		c.reason(key+".note", note)
	}
	return adapter.Verdict{Class: classes[name], Note: note}
}

func (c *compiler) checkStatus(key string, status []int) {
	for i, code := range status {
		if code < 100 || code > 599 {
			c.add(item(key, i), nil, "expected a status from 100 to 599, not %d", code)
		}
	}
}

// requestsOf returns what the requests of a type of call look like. An answer does not say what it is the answer to but by its request.
func (c *compiler) requestsOf(key, name string, t *translator) (patterns []*regexp.Regexp) {
	kind, known := segment.ParseType(name)
	section := t.calls[kind]
	if !known || section == nil {
		c.add(key, nil, "no call of this name is described%s", spelling.Hint(name, callTypes))
		return nil
	}
	for _, r := range slices.Concat(section.send, section.then) {
		if r.built != nil {
			c.add(key, nil, "the requests of %s are made by an expression, so that an answer does not tell which they are; use when", name)
			return nil
		}
		for other, section := range t.calls {
			if other != kind && slices.ContainsFunc(slices.Concat(section.send, section.then), func(o *request) bool { return o.pattern == r.pattern && o.pattern != "" }) {
				c.add(key, nil, "%s and %s make the same request, so that an answer does not tell which it is for; use when", name, other)
				return nil
			}
		}
		patterns = append(patterns, regexp.MustCompile(`^`+requestPattern(r, t.base)+`(?:\?|$)`))
	}
	return patterns
}

func requestPattern(r *request, base string) string {
	var pattern strings.Builder
	pattern.WriteString(regexp.QuoteMeta(r.method + " " + base))
	for _, part := range r.path {
		if part.program == nil {
			pattern.WriteString(regexp.QuoteMeta(part.fixed))
		} else {
			pattern.WriteString(`[^/?]+`)
		}
	}
	return pattern.String()
}

func (c *compiler) perItemRule() *perItemRule {
	p := c.config.PerItem
	if !p.List.IsSet() && p.Verdict == "" {
		return nil
	}
	c.extra = []string{expression.Status, expression.Body, expression.AfterPossibleDelivery}
	compiled := &perItemRule{status: p.Status, list: c.required("per_item.list", p.List, expression.Options{WithoutCall: true, Want: expression.List})}
	c.extra = append(c.extra, expression.Item)
	defer func() { c.extra = nil }()
	compiled.index = c.expr("per_item.index", p.Index, expression.Options{WithoutCall: true})
	compiled.when = c.expr("per_item.when", p.When, expression.Options{Want: expression.Bool, WithoutCall: true})
	compiled.detail = c.expr("per_item.detail", p.Detail, expression.Options{WithoutCall: true})
	compiled.verdict = c.verdict("per_item", p.Verdict, p.Note, itemVerdicts)
	if p.Match != "" {
		compiled.match = strings.Split(p.Match, ".")
	}
	if p.Index.IsSet() == (p.Match != "") {
		c.add("per_item", nil, "expected index or match")
	}
	if len(p.Status) == 0 {
		compiled.status = successes
	}
	c.checkStatus("per_item.status", p.Status)
	return compiled
}

// Judge implements adapter.Responder: the first rule of the config that fits, else what the status says.
func (t *translator) Judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	env := expression.OfAnswer(answer.Status, t.decoded(answer), answer.AfterPossibleDelivery)
	verdict := t.judge(requests, answer, env)
	ends := verdict.Class == adapter.Delivered || verdict.Class == adapter.Dropped
	if answer.IsPage() && (ends || answer.Status < 300) {
		verdict = answer.Foreign() // the rules are about the vendor, and this is somebody else
	}
	if verdict.Class != adapter.Delivered && verdict.Detail == "" {
		verdict.Detail = string(answer.Body)
	}
	verdicts := adapter.Verdicts(len(requests), verdict)
	if t.perItem != nil && slices.Contains(t.perItem.status, answer.Status) && !answer.IsPage() {
		t.perItem.judge(requests, verdicts, env)
	}
	return verdicts
}

// decoded returns the answer's body, where something asks for it.
func (t *translator) decoded(answer adapter.Answer) (body any) {
	if len(t.answers) == 0 && t.perItem == nil || answer.TooLong || answer.IsPage() {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(answer.Body))
	decoder.UseNumber()
	if decoder.Decode(&body) != nil {
		return nil
	}
	return body
}

func (t *translator) judge(requests []adapter.Request, answer adapter.Answer, env *expression.Env) adapter.Verdict {
	for i := range t.answers {
		if rule := &t.answers[i]; rule.fits(requests, answer, env) {
			verdict := rule.verdict
			verdict.Detail = detailOf(rule.detail, env)
			return verdict
		}
	}
	verdict := answer.Verdict()
	if verdict.Class == adapter.Delivered && t.success == ObjectBody && answer.Status < 300 && !answer.IsEmpty() && !answer.IsObject() {
		return answer.Foreign()
	}
	return verdict
}

// fits reports whether all that the rule says holds. A condition that cannot be read off the answer does not hold.
func (r *answerRule) fits(requests []adapter.Request, answer adapter.Answer, env *expression.Env) bool {
	if len(r.status) > 0 && !slices.Contains(r.status, answer.Status) {
		return false
	}
	if r.afterPossibleDelivery != nil && *r.afterPossibleDelivery != answer.AfterPossibleDelivery {
		return false
	}
	if r.requests != nil && !slices.ContainsFunc(r.requests, func(p *regexp.Regexp) bool {
		return p.MatchString(requests[0].Method + " " + requests[0].URL)
	}) {
		return false
	}
	if r.when == nil {
		return true
	}
	holds, err := r.when.Truth(env)
	return holds && err == nil
}

func detailOf(program *expression.Program, env *expression.Env) string {
	if program == nil {
		return ""
	}
	value, err := program.Run(env)
	if err != nil || value == nil {
		return ""
	}
	if text, ok := fieldText(value); ok {
		return text
	}
	encoded, _ := adapter.Encode(value)
	return string(encoded)
}

// judge gives single requests the verdict of the elements that are about them.
func (p *perItemRule) judge(requests []adapter.Request, verdicts []adapter.Verdict, env *expression.Env) {
	value, err := p.list.Run(env)
	elements, _ := value.([]any)
	if err != nil || len(elements) == 0 {
		return
	}
	places := p.places(requests)
	for _, element := range elements {
		env.SetItem(element)
		if p.when != nil {
			if holds, err := p.when.Truth(env); !holds || err != nil {
				continue
			}
		}
		name, ok := p.nameOf(element, env)
		if !ok || len(places[name]) == 0 {
			continue
		}
		verdict := p.verdict
		if verdict.Detail = detailOf(p.detail, env); p.detail == nil {
			encoded, _ := adapter.Encode(element)
			verdict.Detail = string(encoded)
		}
		for _, at := range places[name] {
			verdicts[at] = verdict
		}
	}
}

// places are those of the requests, by what an element names them by: their index, or a value in their bodies. A vendor's answer may have
// as many elements as it likes, so each request is looked at once.
func (p *perItemRule) places(requests []adapter.Request) map[string][]int {
	places := make(map[string][]int, len(requests))
	for i, r := range requests {
		name, ok := strconv.Itoa(i), true
		if p.index == nil {
			var body any
			decoder := json.NewDecoder(bytes.NewReader(r.Body))
			decoder.UseNumber()
			ok = decoder.Decode(&body) == nil
			if ok {
				name, ok = fieldText(fieldAt(body, p.match))
			}
		}
		if ok {
			places[name] = append(places[name], i)
		}
	}
	return places
}

// nameOf is what an element names its request by.
func (p *perItemRule) nameOf(element any, env *expression.Env) (name string, ok bool) {
	value := any(nil)
	if p.index == nil {
		value = fieldAt(element, p.match)
	} else if index, err := p.index.Run(env); err == nil {
		value = index
	}
	return fieldText(value)
}

func fieldAt(value any, path []string) any {
	object, _ := value.(map[string]any)
	return adapter.Field(object, path...)
}
