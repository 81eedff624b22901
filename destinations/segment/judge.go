package segment

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"strings"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// reply is what the flavors answer, all in one.
type reply struct {
	// Success is Segment's, Customer.io's and aka's.
	Success *bool `json:"success"`
	// Code is why another aka refused all of it.
	Code string `json:"code"`
	// OK and Errors are Jitsu's: an error is "Message ID: <id>: text".
	OK     *bool    `json:"ok"`
	Errors []string `json:"errors"`
	// Rejected are the calls that another aka refused, and Unlisted is how many more there are.
	Rejected []segment.Rejection `json:"rejected"`
	Unlisted int                 `json:"rejected_unlisted"`
}

// Judge implements adapter.Responder. A 400 does not say which call is at fault. Whatever is sent again is known upstream by its messageId.
func (t *translator) Judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	verdict := answer.Verdict()
	switch {
	case verdict.Class == adapter.Delivered:
		return t.taken(requests, answer)
	case answer.Status == http.StatusNotFound:
		verdict.Class = adapter.Operator // RudderStack's word for a source that is off
	case answer.Status == http.StatusBadRequest:
		verdict = t.badRequest(answer)
	}
	verdict.Detail = cmp.Or(verdict.Detail, string(answer.Body))
	return adapter.Verdicts(len(requests), verdict)
}

// badRequest is a 400. It is about one of the calls, where it does not say something else.
func (t *translator) badRequest(answer adapter.Answer) adapter.Verdict {
	said, _ := read(answer.Body)
	switch {
	case t.Flavor == FlavorJitsu && bytes.Contains(answer.Body, []byte("error processing message")): // a key that it cannot read
		return adapter.Verdict{Class: adapter.Never, About: adapter.Account}
	case t.Flavor == FlavorAka && said.Code == "https_required":
		return adapter.Verdict{Class: adapter.Never, About: adapter.Account}
	case t.Flavor == FlavorAka && (said.Code == "body_too_large" || said.Code == "too_many_calls"):
		return adapter.Verdict{Class: adapter.Split}
	}
	return adapter.Verdict{Class: adapter.Isolate}
}

// read decodes the answer's object.
func read(body []byte) (said reply, err error) {
	err = json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))).Decode(&said)
	return said, err
}

// taken reads the answer to a success.
func (t *translator) taken(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	all := func(verdict adapter.Verdict) []adapter.Verdict { return adapter.Verdicts(len(requests), verdict) }
	if t.Flavor == FlavorRudderStack && isOK(answer.Body) {
		return all(adapter.Verdict{Class: adapter.Delivered})
	}
	if answer.IsEmpty() && t.Flavor != FlavorJitsu {
		return all(adapter.Verdict{Class: adapter.Delivered})
	}
	if !answer.IsObject() {
		return all(answer.Foreign())
	}
	said, err := read(answer.Body)
	if err != nil {
		return all(t.unread(len(requests), answer))
	}
	switch {
	case t.Flavor == FlavorJitsu:
		return said.perMessage(requests, answer)
	case said.Success != nil && !*said.Success:
		return all(adapter.Verdict{Class: adapter.Isolate, Detail: string(answer.Body)})
	case t.Flavor == FlavorAka:
		return said.perIndex(len(requests))
	}
	return all(adapter.Verdict{Class: adapter.Delivered})
}

// isOK reports whether an answer is RudderStack's "OK", with its quotes or without.
func isOK(body []byte) bool {
	return strings.EqualFold(strings.Trim(string(bytes.TrimSpace(body)), `"`), "OK")
}

// unread is for an answer that was cut off, or has other types. Only Jitsu and aka say in it what they did not take.
func (t *translator) unread(n int, answer adapter.Answer) adapter.Verdict {
	verdict := adapter.Verdict{Class: adapter.Delivered}
	if t.Flavor == FlavorJitsu || t.Flavor == FlavorAka {
		verdict = adapter.Verdict{Class: adapter.Later, Detail: string(answer.Body)}
		if answer.TooLong && n > 1 {
			verdict.Class = adapter.Split
		}
	}
	return verdict
}

// perIndex refuses the calls that another aka names by their places. It lists some, and the count of the others: they may be any.
func (r reply) perIndex(n int) []adapter.Verdict {
	verdicts := adapter.Verdicts(n, adapter.Verdict{Class: adapter.Delivered})
	isolate := adapter.Verdicts(n, adapter.Verdict{Class: adapter.Isolate, Detail: "it rejected some of the calls"})
	if r.Unlisted > 0 {
		return isolate
	}
	for _, rejection := range r.Rejected {
		if rejection.Index < 0 || rejection.Index >= n {
			return isolate
		}
		verdicts[rejection.Index] = adapter.Verdict{Class: adapter.Never, Detail: rejection.Code + ": " + rejection.Message, About: adapter.OneCall}
	}
	return verdicts
}

// perMessage reads Jitsu's errors, each of which names a messageId as Jitsu writes it. One that names none of ours is about all.
func (r reply) perMessage(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	all := func(class adapter.Class) []adapter.Verdict {
		return adapter.Verdicts(len(requests), adapter.Verdict{Class: class, Detail: string(answer.Body)})
	}
	switch {
	case r.OK == nil:
		return adapter.Verdicts(len(requests), answer.Foreign())
	case *r.OK:
		return adapter.Verdicts(len(requests), adapter.Verdict{Class: adapter.Delivered})
	case len(r.Errors) == 0:
		return all(adapter.Later)
	}
	refused := map[string][]string{}
	for _, text := range r.Errors {
		rest, named := strings.CutPrefix(text, "Message ID: ")
		id, about, _ := strings.Cut(rest, ": ")
		if !named {
			return all(adapter.Later)
		}
		refused[id] = append(refused[id], about)
	}
	verdicts, found := adapter.Verdicts(len(requests), adapter.Verdict{Class: adapter.Delivered}), map[string]int{}
	for i, request := range requests {
		id := jitsuID(messageIDOf(request.Body))
		if abouts := refused[id]; abouts != nil {
			verdicts[i] = jitsuVerdict(abouts[0])
			found[id]++
		}
	}
	for id, abouts := range refused {
		switch {
		case found[id] == 0:
			return all(adapter.Later)
		case found[id] > len(abouts): // Jitsu's short id is that of several calls
			return all(adapter.Isolate)
		}
	}
	return verdicts
}

// jitsuVerdict is what an error means, by the beginning of its text.
func jitsuVerdict(text string) adapter.Verdict {
	verdict := adapter.Verdict{Class: adapter.Never, Detail: text}
	switch {
	case strings.HasPrefix(text, "quota exceeded"), strings.HasPrefix(text, "error# "): // the second is Jitsu's own failure
		verdict.Class = adapter.Later
	case strings.HasPrefix(text, "no destinations found for stream"):
		verdict.About = adapter.Account
	}
	return verdict
}

// messageIDOf reads the messageId of an item that this adapter has made.
func messageIDOf(item []byte) (id string) {
	for name, value := range segment.Members(item) {
		if name == "messageId" {
			id, _ = segment.Text(value)
			return id
		}
	}
	return ""
}

// maxJitsuID is how much of a messageId Jitsu keeps.
const maxJitsuID = 64

// jitsuID is a messageId as Jitsu writes it.
func jitsuID(id string) string {
	id = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, id)
	return id[:min(len(id), maxJitsuID)]
}
