package delivery

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/breaker"
	"aka/router/deststate"
	"aka/router/httpclient"
)

// health is what the exchanges so far say of a destination, beside its breaker: whether a failure is its doing or one call's.
type health struct {
	log   *zap.Logger
	state deststate.State // as the breaker has it
	// answered counts the exchanges that did not fail, successes those in which the destination took something; from 1.
	answered, successes uint64
	lastError           string
	lastNote            string // of the last exchange that has ended
	lastDelivery        time.Time
	lastLag             time.Duration // of the last call that was delivered, and not replayed
	failures            failures
}

func newHealth(log *zap.Logger) health {
	return health{log: log, state: deststate.OK, answered: 1}
}

// blames reports whether refused credentials are the doing of a call that is refused alone: the destination has taken others
// since it first refused them for this call. A firewall in front of a vendor answers 403 to what it does not like.
func (h *health) blames(x *exchange) bool {
	return x.authFailed() && slices.ContainsFunc(x.jobs, h.refusedAlone)
}

func (h *health) refusedAlone(j *job) bool { return j.refusedAt > 0 && j.refusedAt <= h.successes }

// result is what the breaker learns from an exchange. blamed is whether a call is blamed for refused credentials.
func (h *health) result(x *exchange, blamed bool) breaker.Result {
	failed := x.failed()
	return breaker.Result{
		Failed: failed, Repeated: failed && (x.isBeyond || h.repeated(x)), Uncounted: failed && (x.isBeyond || x.uncounted()), AuthFailed: x.authFailed() && !blamed,
		Refused: x.mayBeRefused(), Answered: x.response.Err == nil,
	}
}

// repeated reports whether a failed exchange says no more of the destination than the ones before: all its calls have failed
// since the destination last took one, or are known to fail alone. Calls that always fail must not make it look as if it were
// down.
func (h *health) repeated(x *exchange) bool {
	if x.neverReached() {
		return false // that is not the call's doing
	}
	return !slices.ContainsFunc(x.jobs, func(j *job) bool { return j.failedAt != h.answered && !j.failsAlone })
}

// uncounted reports whether a failure is left out of the share of exchanges that fail. Calls that always fail, tried again and
// again, must not add up to it, so each call counts once. And 429 is the answer of a destination that is well: it sets the pace.
func (x *exchange) uncounted() bool {
	if x.neverReached() {
		return false
	}
	if x.response.Status == http.StatusTooManyRequests {
		return true
	}
	return !slices.ContainsFunc(x.jobs, func(j *job) bool { return j.failedAt == 0 })
}

// neverReached reports whether the exchange failed before the destination could have seen it.
func (x *exchange) neverReached() bool { return x.response.Err != nil && !x.response.PossiblyDelivered }

// count counts an exchange, and notes which calls have failed or were refused since the last success.
func (h *health) count(x *exchange, blamed bool) {
	if x.failed() {
		for _, j := range x.jobs {
			j.failsAlone = j.failsAlone || j.failedAt > 0 && j.failedAt < h.answered
			j.failedAt = h.answered
		}
	} else {
		h.answered++
	}
	took := uint64(0)
	for i, v := range x.verdicts {
		switch j := x.jobs[i]; {
		case v.Class == adapter.Delivered, v.Class == adapter.Dropped:
			took = 1
		case v.Class == adapter.Operator && j.refusedAt == 0 && !blamed:
			j.refusedAt = h.successes + 1
		}
	}
	h.successes += took
}

// noteError logs a failure that will be retried, when it is another one than the last.
func (h *health) noteError(x *exchange) {
	kind := ""
	switch {
	case x.response.Err != nil:
		kind = httpclient.ErrorKind(x.response.Err)
	case x.failed() || x.authFailed():
		kind = cmp.Or(x.note(), "status "+strconv.Itoa(x.response.Status))
	}
	if kind != "" && kind != h.lastError {
		h.logError(x, kind)
	}
	h.lastError = kind
}

func (h *health) logError(x *exchange, kind string) {
	var private *httpclient.AddressError
	if errors.As(x.response.Err, &private) {
		h.log.Error("destination resolves to a private address", zap.Error(private), zap.String("hint", "calls wait; correct the host name, or set delivery.allow_private"))
	}
	hint := zap.Skip()
	if why := adapter.Reason(kind).Explain(); why != "" {
		hint = zap.String("hint", why)
	}
	h.log.Warn("exchange failed, will retry", zap.String("error", kind), zap.Int("status", x.response.Status), zap.Duration("duration", x.took), hint)
}

// stateChanged notes and logs a new state; wait is how long nothing is sent in it.
func (h *health) stateChanged(state deststate.State, wait time.Duration) {
	h.state = state
	next := zap.Duration("next_probe_in", wait)
	switch state {
	case deststate.Down:
		h.log.Warn("destination is down, calls wait", next)
	case deststate.AuthFailed:
		if h.lastNote == string(adapter.Gone) {
			h.log.Error("receiver asks to stop, calls wait", next, zap.String("hint", adapter.Gone.Explain()))
			return
		}
		h.log.Error("credentials refused, calls wait", next, zap.String("hint", "correct the destination's settings and reload"))
	case deststate.Refusing:
		h.log.Error("destination refuses every call, calls wait", next, zap.Int("status", h.lastStatus()),
			zap.String("hint", "check the account and the endpoint; or let the calls go: aka destination resume --anyway"))
	case deststate.OK:
		h.log.Info("destination takes calls again")
	}
}

func (h *health) lastStatus() int {
	if len(h.failures) == 0 {
		return 0
	}
	return h.failures[len(h.failures)-1].Status
}

// failures are the last kinds of failure, the newest last.
type failures []Failure

// maxFailures is how many kinds are remembered.
const maxFailures = 8

// Failure is a kind of failure.
type Failure struct {
	// Kind is later, never, operator or split, as the answer was judged; not_the_vendor or gone, which Why explains in a sentence; or
	// why there was none, such as timeout.
	Kind string `json:"kind"`
	Why  string `json:"why,omitempty"`
	// Status is the answer's; 0 when there was none.
	Status int `json:"status,omitempty"`
	// Detail is what was said last, bounded and with secrets masked.
	Detail string `json:"detail,omitempty"`
	// First and Last are when a call failed so; Calls is how many did, each try counted.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Calls uint64    `json:"calls"`
}

// note remembers how a call failed last. detail is bounded and masked.
func (f *failures) note(status int, kind, detail string, now time.Time) {
	failure := Failure{Kind: kind, Why: adapter.Reason(kind).Explain(), Status: status, Detail: detail, First: now, Last: now}
	if i := slices.IndexFunc(*f, func(known Failure) bool { return known.Kind == kind && known.Status == status }); i >= 0 {
		failure.First, failure.Calls = (*f)[i].First, (*f)[i].Calls
		*f = slices.Delete(*f, i, i+1)
	}
	if len(*f) == maxFailures {
		*f = slices.Delete(*f, 0, 1)
	}
	failure.Calls++
	*f = append(*f, failure)
}

func (f failures) newestFirst() []Failure {
	all := append(make([]Failure, 0, len(f)), f...)
	slices.Reverse(all)
	return all
}
