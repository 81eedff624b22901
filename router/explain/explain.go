// Package explain says what would become of calls, and whether vendors take the credentials, and sends no call. It needs a config and
// nothing that runs.
package explain

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/mergerules"
	"aka/router/segment"
)

// Options say how a body would have arrived.
type Options struct {
	// Source is the name of the source that would have sent it. "" is the one whose write key the body holds, else the only
	// one that is configured.
	Source string
	// Type is the type that a single call's path would have decided, as /v1/alias does. Zero leaves it to the call.
	Type segment.Type
	// ReceivedAt is when it would have arrived. Default: now.
	ReceivedAt time.Time
	// Device tells that a browser or a phone would have sent it, and not a server.
	Device bool
	// ShowSecrets shows tokens and keys as they would go out.
	ShowSecrets bool
	// Leaves shows each expression of a destination's settings with its value.
	Leaves bool
}

// Explanation says what would become of a body, without sending anything.
type Explanation struct {
	// Source is the name of the source it was explained for.
	Source string `json:"source"`
	Calls  []Call `json:"calls"`
}

// Call is one call of the body: refused at the door, or what each destination would make of it.
type Call struct {
	// Index is the call's position in the body, from 0.
	Index     int    `json:"index"`
	Type      string `json:"type,omitempty"`
	MessageID string `json:"message_id,omitempty"`
	// Source is the name of the call's own source, where a call of a batch names another one by its write key.
	Source string `json:"source,omitempty"`
	// Rejected says why the call would be refused. It has no destinations then.
	Rejected *Rejection `json:"rejected"`
	// Warnings are what the SDK's answer would list of a call that is accepted, such as a timestamp that cannot be read.
	Warnings     []Warning     `json:"warnings,omitempty"`
	Destinations []Destination `json:"destinations"`
}

// Warning is about a call that is accepted, though something in it is not as it was probably meant.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Rejection is why a call would be refused, as the SDK would get it.
type Rejection struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// The outcomes of a call at a destination.
const (
	OutcomeSend   = "send"
	OutcomeDrop   = "drop"
	OutcomeReject = "reject"
)

// Destination is what one destination would make of a call.
type Destination struct {
	Name string `json:"name"`
	// Outcome is send, drop or reject.
	Outcome string `json:"outcome"`
	// Reason is why nothing would be sent: one of the closed set of reasons.
	Reason adapter.Reason `json:"reason,omitempty"`
	// Why is the reason as a sentence.
	Why string `json:"why,omitempty"`
	// Error says what is wrong with a call that is rejected.
	Error string `json:"error,omitempty"`
	// Rules are the rules of `merges` that fire for what the call alone says. The others need the destination's memory.
	Rules []Rule `json:"rules,omitempty"`
	// Note says what a rule does with the call, and what cannot be known without sending.
	Note string `json:"note,omitempty"`
	// Diagnostics are oddities in the call's `integrations`, such as a name that almost matches, and new_id_lost_in_browser. An
	// option that makes no sense is "ignored_option: " and its path.
	Diagnostics []string `json:"diagnostics,omitempty"`
	// Transform are the steps of the destination's transform that edited the call, such as "transform[2].set".
	Transform []string `json:"transform,omitempty"`
	// Requests would go out in this order.
	Requests []adapter.Shown `json:"requests,omitempty"`
	// Wait is how long they wait for each other in all, such as 3s; "" is not at all.
	Wait string `json:"wait,omitempty"`
	// Leaves are the expressions that made the requests, where they are asked for.
	Leaves []Leaf `json:"leaves,omitempty"`
}

// Body says what each destination would be sent for each call of the body: one call, a batch envelope, a JSON array of calls, or
// several of these, a line each. Nothing is sent or kept. The error, a *segment.Error where the body is to blame, means that there is no source to
// explain for or that the body would be refused whole.
func Body(c *config.Config, body []byte, options Options) (*Explanation, error) {
	explanation, err := one(c, body, options)
	if isRefused(err, notJSON) {
		if lines := linesOf(body); lines != nil {
			return eachLine(c, lines, options)
		}
	}
	return explanation, err
}

// one explains a body that is one JSON value.
func one(c *config.Config, body []byte, options Options) (*Explanation, error) {
	if options.ReceivedAt.IsZero() {
		options.ReceivedAt = time.Now()
	}
	parsed, batch, err := parse(c, body, options)
	refused := (*segment.Error)(nil)
	if err != nil && (batch || !errors.As(err, &refused)) {
		return nil, err
	}
	source, err := sourceOf(c, parsed.WriteKey, options.Source)
	if err != nil {
		return nil, err
	}
	config := c.Sources[source]
	parsed.RepairAliases(func(int) bool { return config.RepairsAliases() })
	explanation := &Explanation{Source: source}
	if refused != nil {
		explanation.Calls = []Call{refusedCall(0, refused.Code, refused.Message)}
	} else {
		explanation.Calls = calls(c, parsed, source, options)
	}
	explanation.warn(parsed.Warnings)
	return explanation, nil
}

// The codes that tell what a body is.
const (
	notJSON   = "invalid_json"
	notABatch = "invalid_batch" // it may be a single call
)

// parse reads the body as a batch when it is one.
func parse(c *config.Config, body []byte, options Options) (result *segment.Result, batch bool, err error) {
	single := segment.Options{Type: options.Type, ReceivedAt: options.ReceivedAt, Limits: c.Limits.Segment(), Device: options.Device, Admit: admit(c, options.Source)}
	if array := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))); bytes.HasPrefix(array, []byte("[")) {
		// An envelope would shift the position that the error tells.
		if _, err := segment.Parse(body, single); isRefused(err, notJSON) {
			return nil, true, err
		}
		body = slices.Concat([]byte(`{"batch":`), array, []byte("}"))
	}
	many := single
	many.Batch, many.Type = true, 0
	result, err = segment.Parse(body, many)
	if !isRefused(err, notABatch) {
		return result, true, err
	}
	result, err = segment.Parse(body, single)
	return result, false, err
}

// admit admits every body: its source is found later. What its source does with addresses is done, though there is no client
// whose address could be filled in.
func admit(c *config.Config, named string) func(writeKey string) (segment.IPPolicy, bool) {
	return func(writeKey string) (segment.IPPolicy, bool) {
		source, _ := sourceOf(c, writeKey, named)
		return c.Sources[source].IP, true
	}
}

func isRefused(err error, code string) bool {
	refused := (*segment.Error)(nil)
	return errors.As(err, &refused) && refused.Code == code
}

// sourceOf returns the name of the source that a body belongs to.
func sourceOf(c *config.Config, writeKey, name string) (string, error) {
	names := slices.Sorted(maps.Keys(c.Sources))
	if name != "" {
		if _, ok := c.Sources[name]; !ok {
			return "", fmt.Errorf("no source is named %q; there are %s", name, strings.Join(names, ", "))
		}
		return name, nil
	}
	if name := sourceWith(c, writeKey); name != "" {
		return name, nil
	}
	if len(names) > 1 {
		return "", fmt.Errorf("the body holds no known write key: name one of the sources %s", strings.Join(names, ", "))
	}
	return names[0], nil
}

// sourceWith returns the name of the source with a write key, "" for none.
func sourceWith(c *config.Config, writeKey string) string {
	for name, source := range c.Sources {
		if source.WriteKey.Reveal() == writeKey {
			return name
		}
	}
	return ""
}

// calls puts the accepted and the refused calls of a body back into one row.
func calls(c *config.Config, parsed *segment.Result, source string, options Options) []Call {
	calls := make([]Call, 0, len(parsed.Messages)+len(parsed.Rejected))
	messages, rejected, own := parsed.Messages, parsed.Rejected, ownSources(c, parsed)
	for index := 0; len(messages)+len(rejected) > 0; index++ {
		if len(rejected) > 0 && (rejected[0].Index == index || len(messages) == 0) {
			calls = append(calls, refusedCall(index, rejected[0].Code, rejected[0].Message))
			rejected = rejected[1:]
			continue
		}
		name := cmp.Or(own[len(parsed.Messages)-len(messages)], source)
		calls = append(calls, call(c, index, &messages[0], name, options))
		if name != source {
			calls[len(calls)-1].Source = name
		}
		messages = messages[1:]
	}
	return calls
}

// ownSources returns the names of the sources that calls of a batch name by their own write keys, by the call's message.
func ownSources(c *config.Config, parsed *segment.Result) map[int]string {
	own := map[int]string{}
	for _, other := range parsed.Others {
		own[other.Message] = sourceWith(c, other.WriteKey)
	}
	return own
}

func refusedCall(index int, code, message string) Call {
	return Call{Index: index, Rejected: &Rejection{code, message}, Destinations: []Destination{}}
}

func call(c *config.Config, index int, m *segment.Message, source string, options Options) Call {
	all := Message(c, m, source, options.ShowSecrets)
	if options.Leaves {
		addLeaves(c, m, source, all, options.ShowSecrets)
	}
	return Call{Index: index, Type: m.Type.String(), MessageID: m.MessageID, Destinations: all}
}

// Message says what each destination, by name, would be sent for a message from a source.
func Message(c *config.Config, m *segment.Message, source string, showSecrets bool) []Destination {
	var all []Destination
	kinds := c.Kinds()
	running := c.Running()
	for _, name := range slices.Sorted(maps.Keys(running)) {
		d := running[name]
		if d.Waits { // until it is live; its dry run says what it would be sent
			continue
		}
		all = append(all, at(d, m, from{source, c.Sources[source].Destinations, kinds}, showSecrets))
	}
	return all
}

// from is where a call comes from: its source, the destinations that this may use, and what its ids are.
type from struct {
	source  string
	allowed []string
	kinds   *mergerules.Kinds
}

func at(d *config.Destination, m *segment.Message, from from, showSecrets bool) Destination {
	explained := outcome(d, m, from, showSecrets)
	explained.Why = explained.Reason.Explain()
	return explained
}

// outcome goes the way that delivery goes, up to the sending.
func outcome(d *config.Destination, m *segment.Message, from from, showSecrets bool) Destination {
	decision, reason, err := d.Filter(from.allowed, m)
	explained := Destination{Name: d.Name, Diagnostics: decision.Diagnostics}
	switch {
	case reason != "":
		return explained.end(d, adapter.Drop(reason))
	case err != nil:
		return explained.end(d, adapter.Reject(err))
	}
	call, err := m.Decode()
	if err != nil {
		explained.Outcome, explained.Reason, explained.Error = OutcomeReject, adapter.Undecodable, err.Error()
		return explained
	}
	call.Options = decision.Options
	prepared, reason, err := d.Prepare(call)
	switch {
	case reason != "":
		return explained.end(d, adapter.Drop(reason))
	case err != nil:
		return explained.end(d, adapter.Reject(err))
	}
	_, explained.Transform, _ = d.Transform.Trace(call)
	call = prepared
	outcome := d.Translate(call)
	if call.MayHideNewID() && (outcome.Dropped != "" || !d.LearnsLinks(call)) {
		explained.Diagnostics = append(slices.Clone(explained.Diagnostics), segment.NewIDLost)
	}
	if outcome.Dropped == adapter.SameIDs && call.IsOverwritten() && !call.FromDevice {
		explained.Note = noteServer
	}
	for _, path := range outcome.Ignored {
		explained.Diagnostics = append(explained.Diagnostics, adapter.IgnoredOption+": "+path)
	}
	outcome = explained.judge(d, call, outcome, from.source, from.kinds)
	switch {
	case outcome.Dropped != "" || outcome.Rejected != nil:
		return explained.end(d, outcome)
	case outcome.Condition != nil:
		explained.Outcome, explained.Reason, explained.Note = OutcomeDrop, outcome.Condition.Else, noteIfUsed
	default:
		explained.Outcome = OutcomeSend
		if d.Dry {
			explained.addNote(noteDry)
		}
		if _, merges := d.Destination.Merges(call); merges && d.Destination.RememberMerges && call.Type == segment.Alias {
			explained.addNote(noteMemory)
		}
		if call.MayHideNewID() && d.LearnsLinks(call) {
			explained.addNote(noteLinked)
		}
		explained.Requests = show(d, outcome.Requests, showSecrets)
		if wait := outcome.Wait(); wait > 0 {
			explained.Wait = wait.String()
		}
	}
	return explained
}

// end returns what is said of a call that ends without being sent.
func (e Destination) end(d *config.Destination, outcome adapter.Outcome) Destination {
	if outcome.Dropped != "" {
		e.Outcome, e.Reason = OutcomeDrop, outcome.Dropped
		if outcome.Note != "" {
			e.addNote(outcome.Note)
		}
		return e
	}
	e.Outcome, e.Reason, e.Error = OutcomeReject, adapter.Rejected, d.Masker.Mask(outcome.Rejected.Error())
	return e
}

// noteDry stands at a call that a dry destination would send.
const noteDry = "the destination is dry: nothing is sent"

// noteMemory stands at an alias that a memory of merges may drop. It holds what was delivered before its turn, and that is
// still to come.
const noteMemory = "its turn decides: remember_merges may drop it, and the rules of merges that need its memory may hold or drop it"

// noteServer stands at an alias of an id to itself that a browser may have sent.
const noteServer = "from a browser or a phone its previousId would be its anonymousId; explain it as a device's"

// noteLinked stands at a repaired alias where the memory says whether the link is news.
const noteLinked = "where it is already_merged, a new id may have been lost: new_id_lost_in_browser"

// noteIfUsed stands at a call that goes only where the memory knows its id.
const noteIfUsed = "it is sent all the same where remember_merges knows of a call that came with the previousId as its userId"

func (e *Destination) addNote(note string) {
	if e.Note != "" {
		e.Note += "; "
	}
	e.Note += note
}

func show(d *config.Destination, requests []adapter.Request, showSecrets bool) []adapter.Shown {
	shown := make([]adapter.Shown, len(requests))
	for i, request := range requests {
		shown[i] = adapter.Show(request)
		if !showSecrets {
			shown[i] = shown[i].Mask(d.Masker)
		}
	}
	return shown
}

// warn gives each warning to its call; those of the envelope go to every one.
func (e *Explanation) warn(warnings []segment.Warning) {
	slices.SortStableFunc(warnings, func(a, b segment.Warning) int { return cmp.Compare(a.Index, b.Index) })
	for i := range e.Calls {
		call := &e.Calls[i]
		for _, w := range warnings {
			if w.Index == call.Index || w.Index < 0 {
				call.Warnings = append(call.Warnings, Warning{w.Code, w.Message})
			}
		}
	}
}
