// Package http translates calls as the config says, with no Go: a destination whose requests, answers and merges are written in YAML,
// their values as expressions. What goes in is a call; what comes out is an outcome as of any other adapter.
package http

import (
	"errors"
	"fmt"
	nethttp "net/http"
	"slices"
	"unicode/utf8"

	"aka/destinations/adapter"
	"aka/router/expression"
	"aka/router/segment"
)

// Vendor is the destination that the config describes, in the table of destinations.
var Vendor = adapter.Vendor{Order: adapter.OrderStrict, Starter: starter(), New: New}

// translator is a compiled config. It keeps nothing of a call.
type translator struct {
	adapter.Common
	base    string
	account string
	// identity is a digest of the settings.
	identity string
	guard    adapter.Guard
	names    []string
	order    adapter.Order
	renames  bool
	maxID    int
	success  Success
	drop     []dropRule
	calls    map[segment.Type]*call
	then     []*request
	ignored  []ignoredRule
	merges   *mergeRule
	answers  []answerRule
	perItem  *perItemRule
	probe    *adapter.Probe
}

type dropRule struct {
	when   *expression.Program
	reason adapter.Reason
	note   string
}

type ignoredRule struct {
	when   *expression.Program
	option string
}

type ifUsed struct {
	when, id *expression.Program
	reason   adapter.Reason
}

// call is what one type of call becomes.
type call struct {
	drop       []dropRule
	send, then []*request
	merges     *mergeRule
	ifUsed     *ifUsed
	// mergeMayFail tells that what the call merges depends on more than its header, so that a call may hold what it cannot be read off.
	mergeMayFail bool
}

// Order implements adapter.Ordered.
func (t *translator) Order() adapter.Order { return t.order }

// Names implements adapter.Named.
func (t *translator) Names() []string { return t.names }

// Renames implements adapter.Renamer.
func (t *translator) Renames() bool { return t.renames }

// Identity implements adapter.Identified.
func (t *translator) Identity() string { return t.identity }

// Translate implements adapter.Adapter.
func (t *translator) Translate(call *segment.Call) adapter.Outcome {
	return t.translate(call, &run{env: expression.OfCall(call)})
}

func (t *translator) translate(call *segment.Call, run *run) adapter.Outcome {
	section := t.calls[call.Type]
	if section == nil {
		return adapter.Drop(adapter.NothingToSend)
	}
	if rule, err := t.dropped(section, call, run.env); err != nil {
		return adapter.Reject(err)
	} else if rule.reason != "" {
		return adapter.Outcome{Dropped: rule.reason, Note: rule.note}
	}
	requests, reason, err := t.requests(section, run)
	switch {
	case err != nil:
		return adapter.Reject(err)
	case reason != "":
		return adapter.Drop(reason)
	case len(requests) == 0:
		return adapter.Drop(adapter.NothingToSend)
	}
	outcome := adapter.Send(requests...)
	if len(call.Options) > 0 { // else there is none to ignore
		if outcome.Ignored, err = t.ignoredOptions(run.env); err != nil {
			return adapter.Reject(err)
		}
	}
	if section.mergeMayFail {
		if _, _, err := t.merge(section, run.env); err != nil {
			return adapter.Reject(err)
		}
	}
	return section.ifUsed.on(outcome, run.env)
}

// dropped returns the first rule that fits, and one for an id that is too long for the vendor. The reason is "" where none does.
func (t *translator) dropped(section *call, call *segment.Call, env *expression.Env) (dropRule, error) {
	for _, rules := range [][]dropRule{t.drop, section.drop} {
		for _, rule := range rules {
			if drops, err := rule.when.Truth(env); err != nil {
				return dropRule{}, fmt.Errorf("drop: %w", err)
			} else if drops {
				return rule, nil
			}
		}
	}
	if t.isTooLong(call.UserID) || t.isTooLong(call.PreviousID) {
		return dropRule{reason: adapter.IDTooLong}, nil
	}
	return dropRule{}, nil
}

func (t *translator) isTooLong(id string) bool {
	return len(id) > t.maxID && utf8.RuneCountInString(id) > t.maxID
}

// requests makes the first request that fits, and all those that follow it. The reason is why one of the first must not be sent.
func (t *translator) requests(section *call, run *run) (made []adapter.Request, reason adapter.Reason, err error) {
	for _, r := range section.send {
		fits, err := r.fits(run.env)
		if err != nil {
			return nil, "", err
		}
		if !fits {
			continue
		}
		if made, reason, err = t.append(made, r, run); reason != "" || err != nil {
			return nil, reason, err
		}
		break
	}
	if len(section.send) > 0 && len(made) == 0 {
		return nil, "", nil
	}
	for _, r := range slices.Concat(section.then, t.then) {
		fits, err := r.fits(run.env)
		if err != nil {
			return nil, "", err
		}
		if !fits {
			continue
		}
		if made, _, err = t.append(made, r, run); err != nil {
			return nil, "", err
		}
	}
	return made, "", nil
}

// append makes a request, or one for each element of its list. One that follows others is left out for an id that must not be sent, and
// else that is why nothing is sent.
func (t *translator) append(made []adapter.Request, r *request, run *run) ([]adapter.Request, adapter.Reason, error) {
	elements, err := r.elements(run.env)
	if err != nil {
		return nil, "", err
	}
	if len(made)+len(elements) > adapter.MaxRequests {
		return nil, "", adapter.ErrTooMany
	}
	for _, element := range elements {
		run.env.SetItem(element)
		reason, err := t.badID(r, run.env)
		switch {
		case err != nil, reason != "" && !r.follows:
			return nil, reason, err
		case reason != "":
			continue
		}
		one, err := r.make(t.base, run)
		if err != nil {
			return nil, "", err
		}
		made = append(made, one)
	}
	run.env.SetItem(nil)
	return made, "", nil
}

// badID returns why an id that a request carries must not be sent.
func (t *translator) badID(r *request, env *expression.Env) (adapter.Reason, error) {
	for i, program := range r.ids {
		id, err := idOf(program, env)
		if err != nil {
			return "", fmt.Errorf("%s: %w", item(r.key+".ids", i), err)
		}
		if reason := t.guard.Check(&segment.Header{UserID: id}); reason != "" {
			return reason, nil
		}
		if t.isTooLong(id) {
			return adapter.IDTooLong, nil
		}
	}
	return "", nil
}

func (t *translator) ignoredOptions(env *expression.Env) (options []string, err error) {
	for i, rule := range t.ignored {
		holds, err := rule.when.Truth(env)
		if err != nil {
			return nil, fmt.Errorf("%s.when: %w", item("ignored", i), err)
		}
		if holds {
			options = append(options, rule.option)
		}
	}
	return options, nil
}

func (u *ifUsed) on(outcome adapter.Outcome, env *expression.Env) adapter.Outcome {
	if u == nil {
		return outcome
	}
	if u.when != nil {
		holds, err := u.when.Truth(env)
		if err != nil {
			return adapter.Reject(fmt.Errorf("if_used.if: %w", err))
		}
		if !holds {
			return outcome
		}
	}
	value, err := u.id.Run(env)
	id, isText := fieldText(value)
	if err != nil || !isText || id == "" {
		return adapter.Reject(errors.New("if_used.id: has no value"))
	}
	return outcome.OnlyIfUsed(id, u.reason)
}

var successes = []int{nethttp.StatusOK, nethttp.StatusCreated, nethttp.StatusAccepted, nethttp.StatusMultiStatus}
