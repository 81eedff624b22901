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
	// ShowSecrets shows tokens and keys as they would go out.
	ShowSecrets bool
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
	// Rejected says why the call would be refused. It has no destinations then.
	Rejected *Rejection `json:"rejected"`
	// Diagnostics are oddities that are only counted, such as "type_mismatch".
	Diagnostics  []string      `json:"diagnostics,omitempty"`
	Destinations []Destination `json:"destinations"`
}

// Rejection is why a call would be refused, as the SDK would be told.
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
	// Note says what cannot be known without sending.
	Note string `json:"note,omitempty"`
	// Diagnostics are oddities in the call's `integrations`, such as a name that almost matches.
	Diagnostics []string `json:"diagnostics,omitempty"`
	// Requests would go out in this order.
	Requests []adapter.Shown `json:"requests,omitempty"`
}

// Body says what each destination would be sent for each call of the body: one call, a batch envelope, or a JSON array
// of calls. Nothing is sent or kept. The error, a *segment.Error where the body is to blame, means that there is no source to
// explain for or that the body would be refused whole.
func Body(c *config.Config, body []byte, options Options) (*Explanation, error) {
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
	explanation := &Explanation{Source: source}
	if refused != nil {
		explanation.Calls = []Call{refusedCall(0, refused.Code, refused.Message)}
	} else {
		explanation.Calls = calls(c, parsed, source, options)
	}
	explanation.diagnose(parsed.Diagnostics)
	return explanation, nil
}

// The codes that tell what a body is.
const (
	notJSON   = "invalid_json"
	notABatch = "invalid_batch" // it may be a single call
)

// parse reads the body as a batch when it is one.
func parse(c *config.Config, body []byte, options Options) (result *segment.Result, batch bool, err error) {
	single := segment.Options{Type: options.Type, ReceivedAt: options.ReceivedAt, Limits: c.Limits.Segment(), Admit: admit(c, options.Source)}
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

// admit admits every body: whose it is, is told later. What its source does with addresses is done, though there is no client
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
	for _, name := range names {
		if c.Sources[name].WriteKey.Reveal() == writeKey {
			return name, nil
		}
	}
	if len(names) > 1 {
		return "", fmt.Errorf("the body holds no known write key: name one of the sources %s", strings.Join(names, ", "))
	}
	return names[0], nil
}

// calls puts the accepted and the refused calls of a body back into one row.
func calls(c *config.Config, parsed *segment.Result, source string, options Options) []Call {
	calls := make([]Call, 0, len(parsed.Messages)+len(parsed.Rejected))
	messages, rejected := parsed.Messages, parsed.Rejected
	for index := 0; len(messages)+len(rejected) > 0; index++ {
		if len(rejected) > 0 && (rejected[0].Index == index || len(messages) == 0) {
			calls = append(calls, refusedCall(index, rejected[0].Code, rejected[0].Message))
			rejected = rejected[1:]
			continue
		}
		calls = append(calls, call(c, index, &messages[0], source, options))
		messages = messages[1:]
	}
	return calls
}

func refusedCall(index int, code, message string) Call {
	return Call{Index: index, Rejected: &Rejection{code, message}, Destinations: []Destination{}}
}

func call(c *config.Config, index int, m *segment.Message, source string, options Options) Call {
	return Call{Index: index, Type: m.Type.String(), MessageID: m.MessageID, Destinations: Message(c, m, source, options.ShowSecrets)}
}

// Message says what each destination, by name, would be sent for a message from a source.
func Message(c *config.Config, m *segment.Message, source string, showSecrets bool) []Destination {
	var all []Destination
	for _, name := range slices.Sorted(maps.Keys(c.Destinations)) {
		all = append(all, at(c.Destinations[name], m, c.Sources[source].Destinations, showSecrets))
	}
	return all
}

func at(d *config.Destination, m *segment.Message, allowed []string, showSecrets bool) Destination {
	explained := outcome(d, m, allowed, showSecrets)
	explained.Why = explained.Reason.Explain()
	return explained
}

// outcome goes the way that delivery goes, up to the sending.
func outcome(d *config.Destination, m *segment.Message, allowed []string, showSecrets bool) Destination {
	decision, reason := d.Filter(allowed, m)
	explained := Destination{Name: d.Name, Diagnostics: decision.Diagnostics}
	if reason != "" {
		explained.Outcome, explained.Reason = OutcomeDrop, reason
		return explained
	}
	call, err := m.Decode()
	if err != nil {
		explained.Outcome, explained.Reason, explained.Error = OutcomeReject, adapter.Undecodable, err.Error()
		return explained
	}
	call.Options = decision.Options
	switch outcome := d.Translate(call); {
	case outcome.Dropped != "":
		explained.Outcome, explained.Reason = OutcomeDrop, outcome.Dropped
	case outcome.Rejected != nil:
		explained.Outcome, explained.Reason = OutcomeReject, adapter.Rejected
		explained.Error = d.Masker.Mask(outcome.Rejected.Error())
	default:
		explained.Outcome = OutcomeSend
		if d.RememberMerges && call.Type == segment.Alias {
			explained.Note = noteMemory
		}
		explained.Requests = show(d, outcome.Requests, showSecrets)
	}
	return explained
}

// noteMemory stands at an alias that a memory of merges may drop. It holds what was delivered before its turn, and that is
// still to come.
const noteMemory = "remember_merges may drop it when its turn comes: already_merged, alias_taken, would_cycle or cluster_full"

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

// diagnose gives each oddity to its call; those of the envelope go to every one.
func (e *Explanation) diagnose(diagnostics []segment.Diagnostic) {
	slices.SortStableFunc(diagnostics, func(a, b segment.Diagnostic) int { return cmp.Compare(a.Index, b.Index) })
	for i := range e.Calls {
		call := &e.Calls[i]
		for _, d := range diagnostics {
			if d.Index == call.Index || d.Index < 0 {
				call.Diagnostics = append(call.Diagnostics, d.Code)
			}
		}
	}
}
