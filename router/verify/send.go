package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/httpclient"
	"aka/router/segment"
)

// Call is a call of the story, and what became of it.
type Call struct {
	// Call is what it says, such as "alias aka-verify-a1b2c3d4-old@example.com = aka-verify-a1b2c3d4-new".
	Call string `json:"call"`
	// Outcome is delivered, dropped, failed, or not_sent.
	Outcome string `json:"outcome"`
	// Reason is why it was dropped.
	Reason adapter.Reason `json:"reason,omitempty"`
	// Why says what went wrong, or what the reason means.
	Why       string    `json:"why,omitempty"`
	Exchanges []Request `json:"requests,omitempty"`
}

// The outcomes of a call.
const (
	OutcomeDelivered = "delivered"
	OutcomeDropped   = "dropped"
	OutcomeFailed    = "failed"
	OutcomeNotSent   = "not_sent"
)

// Request is one exchange with the vendor.
type Request struct {
	// Request is what was sent, as "POST https://track.customer.io/api/v2/batch".
	Request string `json:"request"`
	// Status is that of the answer; 0 is none.
	Status int `json:"status,omitempty"`
	// Verdict is the adapter's, such as delivered or later.
	Verdict string `json:"verdict"`
	// Said is the start of an answer that is no success, or why there was none.
	Said string `json:"said,omitempty"`
}

// storyCall is a call as the pipelines get it.
type storyCall struct {
	text    string
	message segment.Message
	call    *segment.Call
}

// body is a call as an SDK sends it.
type body struct {
	Type       string            `json:"type"`
	MessageID  string            `json:"messageId"`
	UserID     string            `json:"userId"`
	PreviousID string            `json:"previousId,omitempty"`
	Event      string            `json:"event,omitempty"`
	Traits     map[string]string `json:"traits,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
}

// text says in a few words what the call says.
func (b body) text() string {
	switch {
	case b.PreviousID != "":
		return b.Type + " " + b.PreviousID + " = " + b.UserID
	case b.Event != "":
		return fmt.Sprintf("%s %q %s", b.Type, b.Event, b.UserID)
	}
	return b.Type + " " + b.UserID
}

// bodiesOf are the calls of a story.
func bodiesOf(s adapter.Story) []body {
	id := func(n int) string { return fmt.Sprintf("aka-verify-%s-%d", s.Run, n) }
	return []body{
		{Type: "identify", MessageID: id(1), UserID: s.Old, Traits: map[string]string{adapter.BeforeTrait: s.Run}},
		{Type: "track", MessageID: id(2), UserID: s.Old, Event: adapter.BeforeEvent, Properties: map[string]string{"run": s.Run}},
		{Type: "alias", MessageID: id(3), PreviousID: s.Old, UserID: s.New},
		{Type: "identify", MessageID: id(4), UserID: s.New, Traits: map[string]string{adapter.AfterTrait: s.Run}},
		{Type: "track", MessageID: id(5), UserID: s.New, Event: adapter.AfterEvent, Properties: map[string]string{"run": s.Run}},
	}
}

// parseStory reads the calls as they would come from a server.
func parseStory(c *config.Config, story adapter.Story, now time.Time) (calls []storyCall, err error) {
	for _, b := range bodiesOf(story) {
		text, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		parsed, err := segment.Parse(text, segment.Options{ReceivedAt: now, Limits: c.Limits.Segment()})
		if err != nil {
			return nil, fmt.Errorf("the %s of the story: %w", b.Type, err)
		}
		message := parsed.Messages[0]
		call, err := message.Decode()
		if err != nil {
			return nil, fmt.Errorf("the %s of the story: %w", b.Type, err)
		}
		calls = append(calls, storyCall{b.text(), message, call})
	}
	return calls, nil
}

// translate says what a call becomes, after the destination's filter and transform. used are the ids that came as a userId before: what
// the memory of merges would know. The call is as the adapter gets it.
func (v *verifier) translate(c storyCall, used map[string]bool) (*segment.Call, adapter.Outcome) {
	decision, reason, err := v.destination.Filter(nil, &c.message)
	call := *c.call
	call.Options = decision.Options
	prepared := &call
	if err == nil && reason == "" {
		prepared, reason, err = v.destination.Prepare(&call)
	}
	switch {
	case err != nil:
		return nil, adapter.Reject(err)
	case reason != "":
		return nil, adapter.Drop(reason)
	}
	outcome := v.destination.Translate(prepared)
	if outcome.Condition != nil && !used[outcome.Condition.UsedID] {
		outcome = adapter.Drop(outcome.Condition.Else)
	}
	used[call.UserID] = true
	return prepared, outcome
}

// send sends the calls one after the other, until one fails.
func (v *verifier) send(ctx context.Context, result *Result) error {
	used := map[string]bool{}
	sent := 0
	for _, c := range v.calls {
		if result.Finding == Failed {
			result.Calls = append(result.Calls, Call{Call: c.text, Outcome: OutcomeNotSent})
			continue
		}
		call, outcome := v.translate(c, used)
		done, err := v.sendCall(ctx, c.text, call, outcome)
		if err != nil {
			return err
		}
		result.Calls = append(result.Calls, done)
		sent += len(done.Exchanges)
		if done.Outcome == OutcomeFailed {
			result.fail("%s: %s", c.text, done.Why)
			continue
		}
		if c.call.Type == segment.Alias && done.Outcome == OutcomeDelivered {
			if err := pause(ctx, v.destination.Settle); err != nil {
				return err
			}
		}
	}
	if sent == 0 {
		result.fail("no call of the story becomes a request with these settings")
	}
	return nil
}

// sendCall sends what a call becomes, as a pipeline does, but for trying again.
func (v *verifier) sendCall(ctx context.Context, text string, call *segment.Call, outcome adapter.Outcome) (done Call, err error) {
	done = Call{Call: text, Outcome: OutcomeDelivered}
	requests, answered := outcome.Requests, []adapter.Answered(nil)
	done.end(outcome)
	for i := 0; i < len(requests); i++ {
		shown, verdict, answer := v.exchange(requests[i])
		done.Exchanges = append(done.Exchanges, shown)
		if verdict.Class != adapter.Delivered {
			done.failed(shown, verdict)
			return done, nil
		}
		if requests[i].Asks {
			answered = append(answered, adapter.Answered{Request: requests[i], Answer: answer})
			next := v.destination.Next(call, requests, answered)
			done.end(next)
			requests = slices.Concat(requests, next.Requests)
		}
		if i < len(requests)-1 {
			if err := pause(ctx, min(requests[i].Wait, adapter.MaxWait)); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// end takes in how an outcome ends the call.
func (c *Call) end(o adapter.Outcome) {
	switch {
	case o.Rejected != nil:
		c.Outcome, c.Why = OutcomeFailed, o.Rejected.Error()
	case o.Dropped != "":
		c.Outcome, c.Reason, c.Why = OutcomeDropped, o.Dropped, o.Dropped.Explain()
	}
}

// failed takes in an answer that ends the call. An answer that drops it says that the vendor did nothing, which is no success here.
func (c *Call) failed(r Request, verdict adapter.Verdict) {
	c.Outcome = OutcomeFailed
	switch {
	case r.Status == 0:
		c.Why = "the vendor cannot be reached"
	case verdict.Class == adapter.Dropped:
		c.Reason = adapter.Reason(verdict.Note)
		c.Why = "the vendor did nothing with it: " + c.Reason.Explain()
	case verdict.Note == string(adapter.NotTheVendor):
		c.Why = fmt.Sprintf("the answer (%d) is not the vendor's", r.Status)
	case verdict.Class == adapter.Later:
		c.Why = fmt.Sprintf("the vendor cannot take it now (%d)", r.Status)
	case verdict.Class == adapter.Operator:
		c.Why = fmt.Sprintf("the vendor refuses the credentials (%d)", r.Status)
	case verdict.AboutAccount(r.Status):
		c.Why = fmt.Sprintf("the vendor refuses the account or the endpoint (%d)", r.Status)
	default:
		c.Why = fmt.Sprintf("the vendor refuses it (%d)", r.Status)
	}
}

// exchange sends one request, and has the adapter judge the answer.
func (v *verifier) exchange(r adapter.Request) (Request, adapter.Verdict, adapter.Answer) {
	requests, now := []adapter.Request{r}, time.Now()
	x := httpclient.Exchange{Method: r.Method, URL: r.URL, Body: adapter.BodyAt(requests, now)}
	var signatures []adapter.Secret
	x.Header, signatures = adapter.Signed(requests, x.Body, now)
	shown := Request{Request: v.destination.Masker.Mask(r.Method + " " + r.URL)}
	response := v.sender.Send(x)
	if response.Err != nil {
		shown.Verdict, shown.Said = adapter.Later.String(), v.said([]byte(response.Err.Error()), signatures)
		return shown, adapter.Verdict{Class: adapter.Later}, adapter.Answer{}
	}
	answer := answerOf(response)
	verdict := answer.Verdict()
	if verdicts := v.destination.Judge(requests, answer); len(verdicts) == 1 {
		verdict = verdicts[0]
	}
	shown.Status, shown.Verdict = response.Status, verdict.Class.String()
	if verdict.Class != adapter.Delivered {
		shown.Said = v.said(response.Body, signatures)
	}
	return shown, verdict, answer
}

func answerOf(r httpclient.Response) adapter.Answer {
	return adapter.Answer{Status: r.Status, ContentType: r.ContentType, Body: r.Body, TooLong: r.TooLong}
}

// maxSaid is how much is kept of what a vendor answers.
const maxSaid = 300

// said is the start of an answer, on one line. It is cut after it was masked: no half of a secret is left.
func (v *verifier) said(body []byte, signatures []adapter.Secret) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body), "?")), " ")
	text = v.destination.Masker.Mask(adapter.NewMasker(signatures).Mask(text))
	for len(text) > maxSaid {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}
