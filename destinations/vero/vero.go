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
	"unicode/utf8"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// Vendor is Vero in the table of destinations.
var Vendor = adapter.Vendor{
	Names:   []string{"Vero"},
	Order:   adapter.OrderStrict,
	Renames: true,
	// A guest's anonymousId may be a userId here, which only the memory knows.
	New:    New,
	Stable: true,
}

const (
	reidentifyPath = "/users/reidentify"
	// maxText is the longest id, event name and email that Vero takes, in characters: fewer than 255.
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
	outcome := t.translate(call)
	if len(outcome.Requests) == 0 {
		return outcome
	}
	edit := tagEdit{person: call.UserID}
	edit.read(call.Options["tags"], t.check)
	outcome.Ignored = edit.ignored
	if !edit.isEmpty() {
		request, err := t.request(http.MethodPut, "/users/tags/edit", edit.body())
		if err != nil {
			return adapter.Reject(err)
		}
		outcome.Requests = append(outcome.Requests, request)
	}
	return outcome
}

func (t *translator) translate(call *segment.Call) adapter.Outcome {
	if path := subscriptionPath(call); path != "" {
		return t.subscription(call, path)
	}
	if call.UserID == "" {
		return adapter.Drop(adapter.AnonymousNotSupported)
	}
	if reason := t.check(call.UserID); reason != "" {
		return adapter.Drop(reason)
	}
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

// check returns why an id must not be sent, or "". It counts characters, and the guard bytes.
func (t *translator) check(id string) adapter.Reason {
	if reason := t.guard.Check(&segment.Header{UserID: id}); reason != "" {
		return reason
	}
	if utf8.RuneCountInString(id) > maxText {
		return adapter.IDTooLong
	}
	return ""
}

// alias renames a person. Vero has an anonymous id only where it was a userId, too, as a guest's may be.
func (t *translator) alias(call *segment.Call) adapter.Outcome {
	if reason := t.check(call.PreviousID); reason != "" {
		return adapter.Drop(reason)
	}
	body := make(adapter.Object, 0, 3) // with the token
	body = body.With("id", call.PreviousID).With("new_id", call.UserID)
	rename := t.send(http.MethodPut, reidentifyPath, body)
	if call.PreviousIDDefaulted || adapter.IsOwnDevice(call, call.PreviousID) {
		return rename.OnlyIfUsed(call.PreviousID, adapter.PreviousIDIsAnonymous)
	}
	return rename
}

func (t *translator) identify(call *segment.Call) adapter.Outcome {
	data := adapter.PersonTraits(call)
	body := adapter.Object{{Name: "id", Value: call.UserID}}
	emailKey := adapter.Trait(data, "email")
	if email := emailIn(data[emailKey]); email != "" {
		body = body.With("email", email)
		delete(data, emailKey)
	} else if email := emailIn(call.UserID); email != "" {
		body = body.With("email", email)
	}
	if phone := adapter.Text(data[adapter.Trait(data, "phone")]); e164.MatchString(phone) {
		body = body.With("phone_number", phone)
	}
	if channel := t.push(call.Context()); channel != nil {
		body = body.With("channels", []any{channel})
	}
	if agent := adapter.Text(call.Context()["userAgent"]); agent != "" && data["userAgent"] == nil {
		data["userAgent"] = agent
	}
	return t.send(http.MethodPost, "/users/track", withData(body, data))
}

// push returns the device that a call comes from as a push channel, or nil when it is not known well enough.
func (t *translator) push(context map[string]any) map[string]any {
	token := adapter.Text(adapter.Field(context, "device", "token"))
	platform := strings.ToLower(adapter.Text(adapter.Field(context, "device", "type")))
	if platform == "" {
		platform = strings.ToLower(adapter.Text(adapter.Field(context, "os", "name")))
	}
	if token == "" || t.guard.Blocks(token) || platform != "ios" && platform != "android" {
		return nil
	}
	return map[string]any{"type": "push", "address": token, "platform": platform}
}

func (t *translator) track(call *segment.Call) adapter.Outcome {
	return t.event(call, strings.TrimSpace(call.Event), call.Properties)
}

// subscriptionPath returns where a call goes that changes a subscription, or "". Only the two names that Segment documents do:
// an event that merely mentions unsubscribing, such as the view of a page, must not.
func subscriptionPath(call *segment.Call) string {
	if call.Type != segment.Track {
		return ""
	}
	switch strings.ToLower(strings.TrimSpace(call.Event)) {
	case "unsubscribe":
		return "/users/unsubscribe"
	case "resubscribe":
		return "/users/resubscribe"
	}
	return ""
}

// subscription is about the person whose id the properties name, else about the call's own. A person who follows the link in a
// mail is seldom signed in.
func (t *translator) subscription(call *segment.Call, path string) adapter.Outcome {
	id := cmp.Or(adapter.Text(call.Properties["id"]), call.UserID)
	if id == "" {
		return adapter.Drop(adapter.AnonymousNotSupported)
	}
	if reason := t.check(id); reason != "" {
		return adapter.Drop(reason)
	}
	return t.send(http.MethodPost, path, adapter.Object{{Name: "id", Value: id}})
}

func (t *translator) page(call *segment.Call) adapter.Outcome {
	if !t.PageEvents.Takes(call) {
		return adapter.Drop(adapter.PageEventsOff)
	}
	words := []string{"Viewed"}
	for _, word := range []string{adapter.PageCategory(call), adapter.PageName(call)} {
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
	traits, _ := call.Context()["traits"].(map[string]any)
	if email := emailIn(traits[adapter.Trait(traits, "email")]); email != "" {
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
// no profile under the old id.
func (t *translator) Judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	verdict := answer.Verdict()
	if strings.HasSuffix(requests[0].URL, reidentifyPath) && isNotFound(answer.Status) {
		verdict.About = adapter.OneCall // Vero does not know the old id
		if answer.AfterPossibleDelivery {
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
	if utf8.RuneCountInString(text) > maxText || strings.IndexByte(text, '@') < 0 || !emailForm.MatchString(text) {
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
