package verify

import (
	"context"
	"time"

	"aka/destinations/adapter"
	"aka/router/httpclient"
)

// Check is one thing that was read back.
type Check struct {
	// Expected is what must be found.
	Expected string `json:"expected"`
	OK       bool   `json:"ok"`
	// Found is what was found instead, or in addition.
	Found string `json:"found,omitempty"`
	// Request is what was asked.
	Request string `json:"request"`
	// Status is that of the answer; 0 is none.
	Status int `json:"status,omitempty"`
}

// readBack asks the vendor until all is found, or the time is over.
func (v *verifier) readBack(ctx context.Context, result *Result) error {
	if len(v.verification.Checks) == 0 {
		result.Finding, result.Why = Unverified, v.verification.Unread
		return nil
	}
	last := time.Now().Add(v.options.Wait)
	for {
		if result.Checks = v.checkAll(); result.missing() == nil {
			result.Finding = Verified
			return nil
		}
		if time.Now().Add(v.options.Every).After(last) {
			missing := result.missing()
			result.fail("%s is not found: %s", missing.Expected, missing.Found)
			return nil
		}
		if err := pause(ctx, v.options.Every); err != nil {
			return err
		}
	}
}

// checkAll asks everything anew: what is found must be there at the same time.
func (v *verifier) checkAll() []Check {
	found := make([]Check, len(v.verification.Checks))
	for i, check := range v.verification.Checks {
		found[i] = v.check(check)
	}
	return found
}

func (v *verifier) check(c adapter.Check) Check {
	r := c.Request
	shown := Check{Expected: c.Expected, Request: v.destination.Masker.Mask(r.Method + " " + r.URL)}
	response := v.sender.Send(httpclient.Exchange{Method: r.Method, URL: r.URL, Header: r.Header, Body: r.Body})
	if response.Err != nil {
		shown.Found = "no answer: " + v.said([]byte(response.Err.Error()), nil)
		return shown
	}
	shown.Status = response.Status
	shown.OK, shown.Found = c.Judge(answerOf(response), v.verification.Keys)
	shown.Found = v.said([]byte(shown.Found), nil)
	return shown
}

// missing returns the first check that found something else, or nil.
func (r *Result) missing() *Check {
	for i := range r.Checks {
		if !r.Checks[i].OK {
			return &r.Checks[i]
		}
	}
	return nil
}
