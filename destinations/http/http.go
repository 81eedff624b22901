// Package http translates calls as the config says, with no Go: a destination whose requests, answers and merges are written in YAML,
// their values as expressions. What goes in is a call; what comes out is an outcome as of any other adapter.
package http

import (
	"errors"
	"fmt"
	nethttp "net/http"
	"slices"
	"strings"
	"time"
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

// request makes one request, or one for each element of a list.
type request struct {
	key                  string
	when, each, built    *expression.Program
	method, pattern      string
	path                 []pathPart
	json                 template
	form, query, headers *object
	header               map[string]string // where it is the same for all calls
	ids                  []*expression.Program
	batch                *adapter.Batch
	rate                 *adapter.Rate
	wait                 time.Duration
	merges               bool
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
	reason, err := t.dropped(section, call, run.env)
	switch {
	case err != nil:
		return adapter.Reject(err)
	case reason != "":
		return adapter.Drop(reason)
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

// dropped returns the reason of the first rule that fits, and of an id that is too long for the vendor.
func (t *translator) dropped(section *call, call *segment.Call, env *expression.Env) (adapter.Reason, error) {
	for _, rules := range [][]dropRule{t.drop, section.drop} {
		for _, rule := range rules {
			if drops, err := rule.when.Truth(env); err != nil {
				return "", fmt.Errorf("drop: %w", err)
			} else if drops {
				return rule.reason, nil
			}
		}
	}
	if t.isTooLong(call.UserID) || t.isTooLong(call.PreviousID) {
		return adapter.IDTooLong, nil
	}
	return "", nil
}

func (t *translator) isTooLong(id string) bool {
	return len(id) > t.maxID && utf8.RuneCountInString(id) > t.maxID
}

// requests makes the first request that fits, and all those that follow it.
func (t *translator) requests(section *call, run *run) (made []adapter.Request, reason adapter.Reason, err error) {
	for _, r := range section.send {
		fits, err := r.fits(run.env)
		if err != nil {
			return nil, "", err
		}
		if !fits {
			continue
		}
		if reason, err := t.badID(r, run.env); reason != "" || err != nil {
			return nil, reason, err
		}
		if made, err = r.append(made, t.base, run); err != nil {
			return nil, "", err
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
		if reason, err := t.badID(r, run.env); !fits || reason != "" && err == nil {
			continue
		}
		if made, err = r.append(made, t.base, run); err != nil {
			return nil, "", err
		}
	}
	return made, "", nil
}

// badID returns why an id that a request carries must not be sent.
func (t *translator) badID(r *request, env *expression.Env) (adapter.Reason, error) {
	for i, program := range r.ids {
		value, err := program.Run(env)
		if err != nil {
			return "", fmt.Errorf("%s: %w", item(r.key+".ids", i), err)
		}
		id := adapter.Text(value)
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

func (r *request) fits(env *expression.Env) (bool, error) {
	if r.when == nil {
		return true, nil
	}
	fits, err := r.when.Truth(env)
	if err != nil {
		return false, fmt.Errorf("%s.if: %w", r.key, err)
	}
	return fits, nil
}

// append makes the request, or one for each element.
func (r *request) append(made []adapter.Request, base string, run *run) ([]adapter.Request, error) {
	if r.each == nil {
		one, err := r.make(base, run)
		return append(made, one), err
	}
	value, err := r.each.Run(run.env)
	if err != nil {
		return nil, fmt.Errorf("%s.each: %w", r.key, err)
	}
	elements, isList := value.([]any)
	if !isList && value != nil {
		return nil, fmt.Errorf("%s.each: expected a list", r.key)
	}
	if len(made)+len(elements) > adapter.MaxRequests {
		return nil, adapter.ErrTooMany
	}
	for _, element := range elements {
		run.env.SetItem(element)
		one, err := r.make(base, run)
		if err != nil {
			return nil, err
		}
		made = append(made, one)
	}
	run.env.SetItem(nil)
	return made, nil
}

func (r *request) make(base string, run *run) (made adapter.Request, err error) {
	made.Merges, made.Rate, made.Wait = r.merges, r.rate, r.wait
	if made.Method, made.URL, err = r.target(base, run); err != nil {
		return made, err
	}
	if made.Header, err = r.makeHeader(run); err != nil {
		return made, err
	}
	switch {
	case r.json != nil:
		made.Body, err = r.makeJSON(run)
	case r.form != nil:
		made.Body, err = r.form.encodeFields(run)
	}
	if err == nil && r.batch != nil {
		made.Batch = r.batchOf(made)
	}
	return made, err
}

func (r *request) makeJSON(run *run) ([]byte, error) {
	value, err := r.json.make(run)
	if err != nil {
		return nil, err
	}
	if isMissing(value) {
		return nil, fmt.Errorf("%s.json: has no value", r.key)
	}
	body, err := adapter.Encode(value)
	if err != nil {
		return nil, fmt.Errorf("%s.json: holds a value that is not JSON", r.key)
	}
	return body, nil
}

// target returns the method and the URL.
func (r *request) target(base string, run *run) (method, url string, err error) {
	target := append(make([]byte, 0, 128), base...)
	if r.built != nil {
		method, target, err = r.buildTarget(target, run)
	} else {
		method = r.method
		for _, part := range r.path {
			if target, err = part.append(target, run, r.key+".request"); err != nil {
				return "", "", err
			}
		}
	}
	if err != nil || r.query == nil {
		return method, string(target), err
	}
	query, err := r.query.encodeFields(run)
	if len(query) > 0 {
		target = append(append(target, '?'), query...)
	}
	return method, string(target), err
}

func (r *request) buildTarget(target []byte, run *run) (string, []byte, error) {
	key := r.key + ".request"
	value, err := (&leaf{key, r.built}).make(run)
	if err != nil {
		return "", nil, err
	}
	text, _ := value.(string)
	method, path, _ := strings.Cut(text, " ")
	if !slices.Contains(methods, method) || !strings.HasPrefix(path, "/") || !isPath(path) {
		return "", nil, fmt.Errorf("%s: expected a method and a path, such as POST /users", key)
	}
	return method, append(target, path...), nil
}

// fixHeader makes the headers now where no call changes them.
func (r *request) fixHeader() {
	header := map[string]string{}
	if r.headers != nil {
		for _, m := range r.headers.members {
			var value any
			switch fixed := m.template.(type) {
			case literal:
				value = fixed.value
			case constant:
				value = fixed.value
			default:
				return
			}
			text, ok := fieldText(value)
			if !ok {
				return
			}
			header[m.name] = text
		}
	}
	r.header = r.withContentType(header)
}

func (r *request) withContentType(header map[string]string) map[string]string {
	if header["Content-Type"] == "" && r.json != nil {
		header["Content-Type"] = "application/json"
	}
	if header["Content-Type"] == "" && r.form != nil {
		header["Content-Type"] = "application/x-www-form-urlencoded"
	}
	return header
}

func (r *request) makeHeader(run *run) (map[string]string, error) {
	if r.header != nil && run.leaves == nil || r.headers == nil {
		return r.header, nil
	}
	header := map[string]string{}
	err := r.headers.eachField(run, func(m *member, text string) error {
		if !isHeaderValue(text) {
			return fmt.Errorf("%s: expected a text without line breaks", m.key)
		}
		header[m.name] = text
		return nil
	})
	return r.withContentType(header), err
}

// batchOf keeps apart what cannot travel together: a batch goes to one URL, with one set of headers.
func (r *request) batchOf(made adapter.Request) *adapter.Batch {
	if r.isFixed() {
		return r.batch
	}
	batch := *r.batch
	batch.Key += " " + made.Method + " " + made.URL
	if r.header == nil {
		for _, m := range r.headers.members {
			batch.Key += "\n" + m.name + ": " + made.Header[m.name]
		}
	}
	return &batch
}

// isFixed reports whether all that is around the body is the same for all calls.
func (r *request) isFixed() bool {
	return r.built == nil && len(r.path) == 1 && r.query == nil && r.header != nil
}

var successes = []int{nethttp.StatusOK, nethttp.StatusCreated, nethttp.StatusAccepted, nethttp.StatusMultiStatus}
