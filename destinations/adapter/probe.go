package adapter

import "net/http"

// Prober is implemented by an adapter that can ask its vendor about the credentials. One that is not cannot be probed.
type Prober interface {
	// Probe returns what to ask. It does no I/O.
	Probe() Probe
}

// Probe finds out whether a vendor takes the credentials, by requests that change nothing there, whatever becomes of them:
// they name no person and hold nothing to keep.
type Probe struct {
	// Request has the configured credentials.
	Request Request
	// Control is the same request with credentials that are made up. What the vendor answers to it tells what its answer to
	// Request means. nil where the vendor is known to answer every credential alike: then Request holds none, and finds out
	// only whether the vendor can be reached.
	Control *Request
	// Keys are the settings that a refusal is about, such as "auth_token".
	Keys []string
	// Advice is a sentence on what else may be behind a refusal. May be empty.
	Advice string
	// Unknown is a sentence on what the vendor's answer leaves open. May be empty.
	Unknown string
}

// MadeUp is the credential of a Control.
const MadeUp = "made-up-by-aka-check"

// Finding is what a probe found out.
type Finding string

const (
	// Accepted is a vendor that takes the credentials: it refused those that are made up, and not these.
	Accepted Finding = "accepted"
	// NotAccepted is a vendor that refuses the credentials.
	NotAccepted Finding = "refused"
	// Reachable is a vendor that answers, and does not say what it makes of the credentials.
	Reachable Finding = "reachable"
	// Unreachable is one that does not answer, or only that it cannot now.
	Unreachable Finding = "unreachable"
	// SomebodyElse is an answer that is not the vendor's, such as a web page.
	SomebodyElse Finding = "not_the_vendor"
	// NotProbed is an adapter that knows nothing harmless to ask.
	NotProbed Finding = "not_probed"
)

// Findings lists them all.
var Findings = []Finding{Accepted, NotAccepted, Reachable, Unreachable, SomebodyElse, NotProbed}

// Judge reads the statuses of the answers to Request and Control; 0 is no answer. Who answers it does not know.
func (p Probe) Judge(own, control int) Finding {
	refused := func(status int) bool { return StatusVerdict(status).Class == Operator }
	switch {
	case own == 0 || StatusVerdict(own).Class == Later:
		return Unreachable
	case p.Control == nil:
		return Reachable
	case refused(own):
		return NotAccepted
	case refused(control):
		return Accepted
	}
	return Reachable
}

// Reach returns a probe that finds out only whether the vendor can be reached. The URL is one that it answers as it answers calls,
// so that a web page there is not the vendor's. The sentence says why no more can be asked.
func Reach(url, why string) Probe {
	return Probe{Request: Request{Method: http.MethodGet, URL: url}, Unknown: why}
}
