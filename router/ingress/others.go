package ingress

import (
	"cmp"
	"slices"
	"time"

	"aka/router/segment"
	"aka/router/tracing"
)

// findOthers finds the sources of the calls that have a write key of their own. One that may not be sent from this origin is
// rejected alone.
func (w *scratch) findOthers(keys keyring, origin []byte) {
	for i := 0; i < len(w.result.Others); {
		other := w.result.Others[i]
		from := keys.find([]byte(other.WriteKey))
		if !from.allows(origin) {
			w.result.Reject(other.Message, refusedOrigin.code, refusedOrigin.message)
			continue
		}
		w.others = append(w.others, from)
		i++
	}
}

// sourceOf returns the source of the message at i. from is that of the request.
func (w *scratch) sourceOf(i int, from *source) *source {
	at, own := slices.BinarySearchFunc(w.result.Others, i, func(o segment.Other, i int) int { return cmp.Compare(o.Message, i) })
	if own {
		return w.others[at]
	}
	return from
}

// charge takes the calls from the rates of their sources, or nothing where one of these has debt.
func (w *scratch) charge(from *source) bool {
	if !from.limiter.take(len(w.result.Messages) - len(w.others)) {
		return false
	}
	if len(w.others) == 0 {
		return true
	}
	charged := map[*source]int{from: len(w.result.Messages) - len(w.others)}
	for other, calls := range w.countOthers() {
		if !other.limiter.take(calls) {
			refund(charged)
			return false
		}
		charged[other] += calls
	}
	return true
}

// retrySeconds is when the debts of all of the calls' sources are paid.
func (w *scratch) retrySeconds(from *source) int {
	seconds := from.limiter.retrySeconds()
	for _, other := range w.others {
		seconds = max(seconds, other.limiter.retrySeconds())
	}
	return seconds
}

// refund gives back what charge took.
func (w *scratch) refund(from *source) {
	charged := w.countOthers()
	charged[from] += len(w.result.Messages) - len(w.others)
	refund(charged)
}

func refund(charged map[*source]int) {
	for from, calls := range charged {
		from.limiter.giveBack(calls)
	}
}

func (w *scratch) countOthers() map[*source]int {
	calls := map[*source]int{}
	for _, other := range w.others {
		calls[other]++
	}
	return calls
}

// trace gives the accepted calls to the tracer, each run of calls with its source.
func (w *scratch) trace(t *tracing.Tracer, from *source, given, done time.Time) {
	start := 0
	for i, other := range w.result.Others {
		t.Accepted(from.name, w.result.Messages[start:other.Message], given, done)
		start = other.Message + 1
		t.Accepted(w.others[i].name, w.result.Messages[other.Message:start], given, done)
	}
	t.Accepted(from.name, w.result.Messages[start:], given, done)
}
