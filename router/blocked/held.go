package blocked

import (
	"slices"
	"time"
)

// Span is a time in which a queue waited for its operator.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Bounds of what is kept of such times.
const (
	// maxSpans is how many a queue keeps. Beyond it the shortest goes: a call that waited then may wait longer, and never shorter.
	maxSpans = 32
	// spanGap is how far apart two spans may be that are kept as one: between two held aliases of a queue little else happens.
	spanGap = time.Second
)

// holding is when calls of a queue waited for an operator. Queues that are joined have the times of both.
type holding struct {
	count int       // calls that an operator is to decide about
	since time.Time // when the first of them was held
	past  []Span    // before that, oldest first
}

// Hold notes that a call of the queue waits for its operator since a time.
func (q *Queue) Hold(since time.Time) {
	h := &q.Root().holding
	if h.count == 0 || since.Before(h.since) {
		h.since = since
	}
	h.count++
}

// Unhold notes that such a call does not wait for its operator any more.
func (q *Queue) Unhold(now time.Time) {
	q = q.Root()
	q.HeldUntil = now
	h := &q.holding
	if h.count--; h.count == 0 {
		h.add(Span{h.since, now})
	}
}

// WasHeld adds times in which the queue waited for its operator, as an earlier run has noted them.
func (q *Queue) WasHeld(spans []Span) { q.Root().holding.add(spans...) }

// HeldSpans returns when the queue waited for its operator, until now, oldest first.
func (q *Queue) HeldSpans(now time.Time) []Span {
	h := q.Root().holding
	if h.past = slices.Clone(h.past); h.count > 0 {
		h.add(Span{h.since, now})
	}
	return h.past
}

// HeldSince returns for how long the queue has waited for its operator since a time.
func (q *Queue) HeldSince(from, now time.Time) (d time.Duration) {
	for _, span := range q.HeldSpans(now) {
		if span.From.Before(from) {
			span.From = from
		}
		d += max(span.To.Sub(span.From), 0)
	}
	return d
}

func (h *holding) join(other holding) {
	if h.count == 0 || other.count > 0 && other.since.Before(h.since) {
		h.since = other.since
	}
	h.count += other.count
	h.add(other.past...)
}

func (h *holding) add(spans ...Span) {
	if len(spans) == 0 {
		return
	}
	all := append(h.past, spans...)
	slices.SortFunc(all, func(a, b Span) int { return a.From.Compare(b.From) })
	h.past = all[:1]
	for _, span := range all[1:] {
		last := &h.past[len(h.past)-1]
		switch {
		case span.From.After(last.To.Add(spanGap)):
			h.past = append(h.past, span)
		case span.To.After(last.To):
			last.To = span.To
		}
	}
	for len(h.past) > maxSpans {
		shortest := slices.MinFunc(h.past, func(a, b Span) int { return int(a.To.Sub(a.From) - b.To.Sub(b.From)) })
		h.past = slices.Delete(h.past, slices.Index(h.past, shortest), slices.Index(h.past, shortest)+1)
	}
}
