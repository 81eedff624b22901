package adapter

import (
	"net/http"
	"slices"
)

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
	// Read reads what the statuses do not say out of the answers: a 400 that is about the key, the account's region. It returns a
	// sentence in place of Unknown, "" for none, and "" in place of a finding for what the statuses say. It does no I/O. May be nil. It
	// is asked only where both were answered, by nothing that is a web page; control is zero without a Control.
	Read func(own, control Answer) (Finding, string)
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

// ReadAnswers is Judge, but for what Read says, and returns the sentence that takes the place of Unknown. A panic of Read says nothing.
func (p Probe) ReadAnswers(own, control Answer) (finding Finding, unknown string) {
	finding, unknown = p.Judge(own.Status, control.Status), p.Unknown
	if p.Read == nil || own.Status == 0 || own.IsPage() || p.Control != nil && (control.Status == 0 || control.IsPage()) {
		return finding, unknown
	}
	defer func() {
		if recover() != nil {
			finding, unknown = p.Judge(own.Status, control.Status), p.Unknown
		}
	}()
	read, sentence := p.Read(own, control)
	if slices.Contains(Findings, read) {
		finding = read
	}
	if sentence != "" {
		unknown = sentence
	}
	return finding, unknown
}

// Reach returns a probe that finds out only whether the vendor can be reached. The URL is one that it answers as it answers calls,
// so that a web page there is not the vendor's. The sentence says why no more can be asked.
func Reach(url, why string) Probe {
	return Probe{Request: Request{Method: http.MethodGet, URL: url}, Unknown: why}
}
