// Package vero translates calls to Vero's Track REST API. Vero knows people by their userId only, runs its automations when
// a call arrives, and renames a person on alias: whatever was sent under the old id afterwards would make a new, empty one.
package vero

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"strings"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Vendor is Vero in the table of destinations.
var Vendor = adapter.Vendor{
	Names:   []string{"Vero"},
	Order:   adapter.OrderStrict,
	Renames: true,
	New:     New,
	Stable:  true,
}

const (
	reidentifyPath = "/users/reidentify"
	// maxText is the longest event name and email that Vero takes, in characters: fewer than 255.
	maxText = 254
	// timeFormat is ISO 8601 in UTC, to the millisecond.
	timeFormat = "2006-01-02T15:04:05.000Z"
)

var header = map[string]string{"Content-Type": "application/json"}

type translator struct {
	Config
	base  string
	guard adapter.Guard
}

// Translate implements adapter.Adapter. The tags that a call's integrations ask for are edited after the call itself.
func (t *translator) Translate(call *segment.Call) adapter.Outcome {
	if call.UserID == "" {
		return adapter.Drop(adapter.AnonymousNotSupported)
	}
	outcome := t.translate(call)
	if len(outcome.Requests) == 0 {
		return outcome
	}
	edit, err := t.tags(call)
	if err != nil {
		return adapter.Reject(err)
	}
	outcome.Requests = append(outcome.Requests, edit...)
	return outcome
}

func (t *translator) translate(call *segment.Call) adapter.Outcome {
	switch call.Type {
	case segment.Alias:
		return t.alias(call)
	case segment.Identify:
		return t.identify(call)
	case segment.Track:
		return t.track(call)
	case segment.Page, segment.Screen:
		return t.page(call)
	case segment.Group:
		return t.group(call)
	}
	return adapter.Reject(errors.New("type: not one that Vero takes"))
}

// alias renames a person. An anonymous id never reached Vero, so there is nobody to rename.
func (t *translator) alias(call *segment.Call) adapter.Outcome {
	if call.PreviousIDDefaulted || call.PreviousID == call.AnonymousID {
		return adapter.Drop(adapter.PreviousIDIsAnonymous)
	}
	body := make(adapter.Object, 0, 3) // with the token
	body = body.With("id", call.PreviousID).With("new_id", call.UserID)
	return t.send(http.MethodPut, reidentifyPath, body)
}

func (t *translator) identify(call *segment.Call) adapter.Outcome {
	data := adapter.PersonTraits(call)
	body := adapter.Object{{Name: "id", Value: call.UserID}}
	if email := emailIn(data["email"]); email != "" {
		body = body.With("email", email)
		delete(data, "email")
	} else if email := emailIn(call.UserID); email != "" {
		body = body.With("email", email)
	}
	if phone := adapter.Text(data["phone"]); e164.MatchString(phone) {
		body = body.With("phone_number", phone)
	}
	if channel := push(call.Context()); channel != nil {
		body = body.With("channels", []any{channel})
	}
	if agent := adapter.Text(call.Context()["userAgent"]); agent != "" && data["userAgent"] == nil {
		data["userAgent"] = agent
	}
	return t.send(http.MethodPost, "/users/track", withData(body, data))
}

// push returns the device that a call comes from as a push channel, or nil when it is not known well enough.
func push(context map[string]any) map[string]any {
	token := adapter.Text(adapter.Field(context, "device", "token"))
	platform := strings.ToLower(adapter.Text(adapter.Field(context, "device", "type")))
	if platform == "" {
		platform = strings.ToLower(adapter.Text(adapter.Field(context, "os", "name")))
	}
	if token == "" || platform != "ios" && platform != "android" {
		return nil
	}
	return map[string]any{"type": "push", "address": token, "platform": platform}
}

// track sends an event. Only the two names that Segment documents change a subscription: an event that merely mentions
// unsubscribing, such as the view of a page, must not.
func (t *translator) track(call *segment.Call) adapter.Outcome {
	name := strings.TrimSpace(call.Event)
	switch {
	case strings.EqualFold(name, "unsubscribe"):
		return t.subscription(call, "/users/unsubscribe")
	case strings.EqualFold(name, "resubscribe"):
		return t.subscription(call, "/users/resubscribe")
	}
	return t.event(call, name, call.Properties)
}

// subscription is about the person whose id the properties name, else about the call's own.
func (t *translator) subscription(call *segment.Call, path string) adapter.Outcome {
	id := adapter.Text(call.Properties["id"])
	if id == "" {
		id = call.UserID
	}
	if reason := t.guard.Check(&segment.Header{UserID: id}); reason != "" {
		return adapter.Drop(reason)
	}
	return t.send(http.MethodPost, path, adapter.Object{{Name: "id", Value: id}})
}

func (t *translator) page(call *segment.Call) adapter.Outcome {
	if !t.PageEvents.Takes(call) {
		return adapter.Drop(adapter.PageEventsOff)
	}
	words := []string{"Viewed"}
	for _, word := range []string{call.Category, call.Name} {
		if word != "" {
			words = append(words, word)
		}
	}
	words = append(words, adapter.PageKind(call))
	return t.event(call, strings.Join(words, " "), adapter.PageProperties(call))
}

func (t *translator) event(call *segment.Call, name string, data map[string]any) adapter.Outcome {
	body := adapter.Object{
		{Name: "identity", Value: identity(call)},
		{Name: "event_name", Value: adapter.Cut(name, maxText)},
		{Name: "extras", Value: adapter.Object{{Name: "created_at", Value: call.Timestamp.UTC().Format(timeFormat)}}},
	}
	return t.send(http.MethodPost, "/events/track", withData(body, data))
}

// identity names the person of an event. An email among the event's properties may be somebody else's.
func identity(call *segment.Call) adapter.Object {
	who := adapter.Object{{Name: "id", Value: call.UserID}}
	if email := emailIn(adapter.Field(call.Context(), "traits", "email")); email != "" {
		who = who.With("email", email)
	}
	return who
}

// group sets what is known of the group on the person: Vero knows no groups.
func (t *translator) group(call *segment.Call) adapter.Outcome {
	group := maps.Clone(call.Traits)
	if call.GroupID != "" {
		group["id"] = call.GroupID
	}
	if len(group) == 0 {
		return adapter.Drop(adapter.NothingToSend)
	}
	body := identity(call).With("data", adapter.Object{{Name: "group", Value: group}})
	return t.send(http.MethodPost, "/users/track", body)
}

func (t *translator) send(method, path string, body adapter.Object) adapter.Outcome {
	request, err := t.request(method, path, body)
	if err != nil {
		return adapter.Reject(err)
	}
	return adapter.Send(request)
}

func (t *translator) request(method, path string, body adapter.Object) (adapter.Request, error) {
	encoded, err := adapter.Encode(body.With("auth_token", t.AuthToken.Reveal()))
	if err != nil {
		return adapter.Request{}, errors.New("call: holds a value that is not JSON")
	}
	return adapter.Request{
		Method: method,
		URL:    t.base + path,
		Header: header,
		Body:   encoded,
	}, nil
}

// Judge implements adapter.Responder. Vero answers with a JSON object. A rename that is tried again after it had happened finds
// nobody under the old id.
func (t *translator) Judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	verdict := answer.Verdict()
	if strings.HasSuffix(requests[0].URL, reidentifyPath) && isNotFound(answer.Status) {
		verdict.About = adapter.OneCall // Vero does not know the old id
		if answer.AfterAmbiguous {
			verdict = adapter.Verdict{Class: adapter.Delivered, Note: "reidentified_before"}
		}
	}
	switch {
	case verdict.Class != adapter.Delivered:
		verdict.Detail = cmp.Or(verdict.Detail, string(answer.Body))
	case answer.IsPage(), answer.Status < 300 && !answer.IsEmpty() && !answer.IsObject():
		verdict = answer.Foreign()
	}
	return adapter.Verdicts(len(requests), verdict)
}

func isNotFound(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusNotFound
}

var (
	emailForm = regexp.MustCompile(`^[^@\s[:cntrl:]]+@[^@\s[:cntrl:]]+\.[^@\s[:cntrl:]]+$`)
	e164      = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
)

// emailIn returns the value where Vero would take it for an email, else "". Vero refuses the whole call for a bad one.
func emailIn(value any) string {
	text := adapter.Text(value)
	if len(text) > maxText || strings.IndexByte(text, '@') < 0 || !emailForm.MatchString(text) {
		return ""
	}
	return text
}

// withData adds an event's or a person's properties, when there are any.
func withData(body adapter.Object, data map[string]any) adapter.Object {
	if len(data) == 0 {
		return body
	}
	return body.With("data", data)
}
