package adapter

import (
	"net/http"
	"slices"
)

// Class says what is to be done with a request after its exchange. The zero value is no class, and counts as Never.
type Class uint8

const (
	// Delivered is done: the vendor has it.
	Delivered Class = iota + 1
	// Later is a passing failure: try the same bytes again.
	Later
	// Never is a refusal that no repetition changes: the call becomes a dead letter.
	Never
	// Operator is a refusal of our credentials: hold the destination and call for its operator.
	Operator
	// Split is a batch too large for the vendor: halve it and go again. Alone, the request is refused.
	Split
	// Isolate is a refusal of a batch that does not say which request it is about, and of which the vendor took nothing: halve
	// it and go again, until the request at fault is alone. Alone, it is Never.
	Isolate
	// Dropped is done: the vendor has looked at the call, and says that it did nothing with it. The call ends as dropped, for the
	// reason in Verdict.Note, and its later requests are not sent. It is no dead letter, and no merge is remembered. Say so only
	// where the answer's body does: a proxy or a route that is gone gives the same status to everything.
	Dropped
)

var classNames = [...]string{"", "delivered", "later", "never", "operator", "split", "isolate", "dropped"}

// String returns the class in lower case, for logs and metrics.
func (c Class) String() string { return classNames[c] }

// Verdict is how one request of an exchange ended.
type Verdict struct {
	Class Class
	// Note is a short constant that tells verdicts of one class apart, such as "reidentified_before" or NotTheVendor. May be
	// empty. Of Dropped it is the Reason, one of DropReasons; any other counts as Declined.
	Note string
	// Detail is what the vendor said, for the dead letter and the log. The router bounds it and masks secrets.
	Detail string
	// About says what a refusal (Never) is about. The zero value leaves that to the status.
	About About
}

// About is what a refusal is about: one call, or everything that is sent with these settings.
type About uint8

const (
	// ByStatus leaves it to the status: 402, 404, 405, 407, 410, 421, 426 and 451 are about the account or the endpoint.
	ByStatus About = iota
	// OneCall is about the call alone, whatever the status: a 404 for a user that the vendor does not know.
	OneCall
	// Account is about the account or the endpoint: every other call would get the same answer.
	Account
)

// AboutAccount reports whether the verdict, of an answer with this status, refuses a call for a reason that is about the account
// or the endpoint. After many such answers in a row, the router holds the destination's calls back instead of giving them up.
func (v Verdict) AboutAccount(status int) bool {
	if v.Class != Never || v.About == OneCall {
		return false
	}
	return v.About == Account || IsAccountStatus(status)
}

// IsAccountStatus reports whether a status is one that vendors give to everything when billing has stopped or a route is gone.
func IsAccountStatus(status int) bool { return slices.Contains(accountStatuses, status) }

// accountStatuses are those that a vendor gives to everything when billing has stopped or a route is gone.
var accountStatuses = []int{
	http.StatusPaymentRequired, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired, http.StatusGone,
	http.StatusMisdirectedRequest, http.StatusUpgradeRequired, http.StatusUnavailableForLegalReasons,
}

// StatusVerdict is the verdict that a status has everywhere, where a vendor's Judge says nothing else. It does not know who
// answers: Answer.Verdict does.
//
//	2xx                       delivered
//	3xx, 408, 425, 429, 5xx   later
//	401, 403                  operator
//	413                       split
//	anything else             never
//
// A redirect is not followed, as it would take the token along, and costs no call: it is how a vendor says that it is away, or
// that its address in the config is an old one.
func StatusVerdict(status int) Verdict {
	switch {
	case status >= 200 && status < 300:
		return Verdict{Class: Delivered}
	case status >= 300 && status < 400,
		status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		return Verdict{Class: Later}
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Verdict{Class: Operator}
	case status == http.StatusRequestEntityTooLarge:
		return Verdict{Class: Split}
	}
	return Verdict{Class: Never}
}

// Verdicts gives every one of n requests the same verdict.
func Verdicts(n int, v Verdict) []Verdict {
	all := make([]Verdict, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// Alone returns the verdicts of an exchange, in which an Isolate of a single request is Never. Judge returns such verdicts.
func Alone(verdicts []Verdict) []Verdict {
	if len(verdicts) == 1 && verdicts[0].Class == Isolate {
		verdicts[0].Class = Never
	}
	return verdicts
}

// Judge reads an answer: by the adapter's own Judge where it has one, else by Answer.Verdict. When the adapter panics, the status
// decides, except that nothing counts as delivered.
func Judge(a Adapter, requests []Request, answer Answer) (verdicts []Verdict) {
	responder, ok := a.(Responder)
	if !ok {
		return Verdicts(len(requests), answer.Verdict())
	}
	defer func() {
		if cause := recover(); cause != nil {
			verdicts = Verdicts(len(requests), unjudged(answer.Status, cause))
		}
	}()
	return withReasons(Alone(responder.Judge(requests, answer)))
}

// withReasons returns the verdicts, in which each Dropped has a reason of the closed set.
func withReasons(verdicts []Verdict) []Verdict {
	for i, v := range verdicts {
		if v.Class == Dropped && !slices.Contains(DropReasons, Reason(v.Note)) {
			verdicts[i].Note = string(Declined)
		}
	}
	return verdicts
}

func unjudged(status int, cause any) Verdict {
	verdict := StatusVerdict(status)
	if verdict.Class == Delivered {
		verdict.Class = Never
	}
	verdict.Detail = panicked("judge", cause).Error()
	return verdict
}
