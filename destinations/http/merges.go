package http

import (
	"aka/destinations/adapter"
	"aka/router/expression"
	"aka/router/segment"
)

type mergeRule struct {
	key            string
	when, from, to *expression.Program
	device         *expression.Program
	rule           adapter.MergeRule
	limit          int
}

var mergeRules = map[string]adapter.MergeRule{
	"joins": adapter.MergeJoins, "gives_from": adapter.MergeGivesFrom, "gives_to": adapter.MergeGivesTo, "names": adapter.MergeNames,
	"renames": adapter.MergeRenames, "absorbs": adapter.MergeAbsorbs, "uses": adapter.MergeUses,
}

func (c *compiler) merges(key string, section Merges) *mergeRule {
	if section == (Merges{}) {
		return nil
	}
	c.oneOf(key+".rule", section.Rule, "joins", "gives_from", "gives_to", "names", "renames", "absorbs", "uses")
	compiled := &mergeRule{key: key, rule: mergeRules[section.Rule], limit: section.Limit, when: c.condition(key+".if", section.If)}
	compiled.to = c.required(key+".to", section.To, expression.Options{})
	switch {
	case section.Rule != "uses":
		compiled.from = c.required(key+".from", section.From, expression.Options{})
	case section.From.IsSet():
		c.add(key+".from", section.From.Node(), "the rule uses has none")
	default:
		compiled.device = c.condition(key+".device", section.Device)
	}
	if section.Rule != "uses" && section.Device.IsSet() {
		c.add(key+".device", section.Device.Node(), "only the rule uses has it")
	}
	if section.Limit < 0 || section.Limit > adapter.MaxMergeLimit {
		c.add(key+".limit", nil, "expected 0 to %d", adapter.MaxMergeLimit)
	}
	return compiled
}

// checkMerges finds what would make the memory of merges wrong.
func (c *compiler) checkMerges(t *translator) {
	for kind, section := range t.calls {
		key := "calls." + kind.String()
		if section.ifUsed != nil && !t.isMerger() {
			c.add(key+".if_used", nil, "needs merges: they say which ids are used")
		}
		if kind == segment.Alias {
			continue
		}
		joins := section.merges != nil && !section.merges.rule.IsUse() || section.merges == nil && t.merges != nil && !t.merges.rule.IsUse()
		marked := false
		for _, r := range append(section.send, section.then...) {
			marked = marked || r.merges
		}
		if joins && !marked && len(section.send)+len(section.then) > 0 {
			c.add(key+".merges", nil, "a call that is no alias merges: its request that does needs merges: true")
		}
		if marked && !joins {
			c.add(key+".send", nil, "a request is marked as one that merges, and merges does not say what")
		}
	}
}

// mayFail reports whether a rule depends on more than a call's header, whose ids are texts.
func (r *mergeRule) mayFail() bool {
	if r == nil {
		return false
	}
	for _, program := range []*expression.Program{r.when, r.from, r.to, r.device} {
		if program != nil && !program.HeaderOnly() {
			return true
		}
	}
	return false
}

// isMerger reports whether the config says what is merged.
func (t *translator) isMerger() bool {
	if t.merges != nil {
		return true
	}
	for _, section := range t.calls {
		if section.merges != nil {
			return true
		}
	}
	return false
}

// merge returns what a call merges: by its own section where its condition holds, else by that of all calls.
func (t *translator) merge(section *call, env *expression.Env) (adapter.Merge, bool, error) {
	for _, rule := range []*mergeRule{section.merges, t.merges} {
		if rule == nil {
			continue
		}
		if merge, ok, err := rule.of(env); ok || err != nil {
			return merge, ok, err
		}
	}
	return adapter.Merge{}, false, nil
}

func (r *mergeRule) of(env *expression.Env) (merge adapter.Merge, ok bool, err error) {
	if r.when != nil {
		if holds, err := r.when.Truth(env); !holds || err != nil {
			return merge, false, keyed(r.key+".if", err)
		}
	}
	merge = adapter.Merge{Rule: r.rule, Limit: r.limit}
	if r.from != nil {
		if merge.From, err = idOf(r.from, env); err != nil {
			return merge, false, keyed(r.key+".from", err)
		}
	}
	if merge.To, err = idOf(r.to, env); err != nil {
		return merge, false, keyed(r.key+".to", err)
	}
	if r.device != nil {
		isDevice, err := r.device.Truth(env)
		if err != nil {
			return merge, false, keyed(r.key+".device", err)
		}
		if isDevice {
			merge.Rule = adapter.MergeUsesDevice
		}
	}
	return merge, merge.To != "" && merge.From != merge.To && (r.from == nil || merge.From != ""), nil
}

func idOf(program *expression.Program, env *expression.Env) (string, error) {
	value, err := program.Run(env)
	if err != nil || value == nil {
		return "", err
	}
	id, ok := fieldText(value)
	if !ok {
		return "", errNotText
	}
	return id, nil
}

// The adapters of configs that do not say what is merged, or have nothing to probe with, must not look as if they did.
type (
	merger          struct{ *translator }
	prober          struct{ *translator }
	mergerAndProber struct {
		*translator
		merger merger
		prober prober
	}
)

func (t *translator) asAdapter() adapter.Adapter {
	switch {
	case t.isMerger() && t.probe != nil:
		return mergerAndProber{t, merger{t}, prober{t}}
	case t.isMerger():
		return merger{t}
	case t.probe != nil:
		return prober{t}
	}
	return t
}

// Merges implements adapter.Merger. Translate has rejected calls for which it cannot be said.
func (m merger) Merges(call *segment.Call) (adapter.Merge, bool) {
	section := m.calls[call.Type]
	if section == nil {
		return adapter.Merge{}, false
	}
	merge, ok, err := m.merge(section, expression.OfCall(call))
	return merge, ok && err == nil
}

// Account implements adapter.Merger. The secrets are rotated, and name no account.
func (m merger) Account() string { return m.account }

// Merges implements adapter.Merger.
func (b mergerAndProber) Merges(call *segment.Call) (adapter.Merge, bool) {
	return b.merger.Merges(call)
}

// Account implements adapter.Merger.
func (b mergerAndProber) Account() string { return b.merger.Account() }

// Probe implements adapter.Prober.
func (b mergerAndProber) Probe() adapter.Probe { return b.prober.Probe() }

// Probe implements adapter.Prober.
func (p prober) Probe() adapter.Probe { return *p.probe }
