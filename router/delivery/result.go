package delivery

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/router/concurrency"
	"aka/router/httpclient"
	"aka/router/segment"
)

// results takes in how exchanges ended.
type results struct{ p *Pipeline }

// concludeAll takes in one exchange that has ended, and with it those that have ended too: what waits behind them goes together.
func (r *results) concludeAll(x *exchange) {
	now := time.Now()
	for {
		r.conclude(x, now)
		select {
		case x = <-r.p.dispatcher.results:
		default:
			return
		}
	}
}

// conclude takes in how an exchange ended: for the destination as a whole, and for each call of it.
func (r *results) conclude(x *exchange, now time.Time) {
	r.p.dispatcher.end(x, now)
	if !r.p.config.Destination.Dry {
		r.p.metrics.exchange(x.response, x.foreign(), x.took)
		r.p.telemetry.exchanged(x, now)
	}
	x.retryAfter = x.asksToWait(now)
	blamed := r.learn(x, now)
	back := verdictsBack{}
	for i, j := range x.jobs {
		j.status, j.took, j.retryAfter = x.response.Status, x.took, x.retryAfter
		if j.isStepped() && (x.response.Err != nil || x.verdicts[i].Class != adapter.Delivered) {
			j.beginAnew()
			r.p.remeasure(j)
		}
		if x.response.Err != nil {
			kind := httpclient.ErrorKind(x.response.Err)
			r.p.health.failures.note(j.status, kind, "", now)
			r.retryLater(j, now, kind, x.response.PossiblyDelivered && !onlyReads(&x.requests[0]))
			continue
		}
		r.judged(x, j, x.verdicts[i], blamed, &back, now)
	}
	r.requeue(&back, now)
	r.p.dispatcher.recycle(x)
}

// learn takes in what an exchange says of the destination. blamed is whether a call is blamed for refused credentials. While
// the destination is known to refuse them, the next that it takes ends that.
func (r *results) learn(x *exchange, now time.Time) (blamed bool) {
	refusing := r.p.dispatcher.breaker.Refusing()
	blamed = !r.p.dispatcher.breaker.AuthFailed() && r.p.health.blames(x)
	r.p.health.lastNote = x.note()
	result := r.p.health.result(x, blamed)
	r.p.dispatcher.breaker.Report(x.permit, now, result)
	r.p.health.count(x, blamed)
	if result.Failed && concurrency.Pauses(x.retryAfter) {
		r.p.dispatcher.breaker.Wait(now, x.retryAfter)
	}
	r.p.health.noteError(x)
	r.p.refusals.learn(x, refusing, now)
	return blamed
}

// verdictsBack are jobs that go back to the queue: to its front, and to its end.
type verdictsBack struct{ front, end []*job }

// judged does what a verdict asks for.
func (r *results) judged(x *exchange, j *job, v adapter.Verdict, blamed bool, back *verdictsBack, now time.Time) {
	if v.Class != adapter.Delivered && v.Class != adapter.Dropped {
		r.p.health.failures.note(j.status, cmp.Or(x.note(), v.Class.String()), r.p.detail(v.Detail), now)
	}
	switch v.Class {
	case adapter.Delivered:
		r.delivered(x, j, v, now)
	case adapter.Dropped:
		r.dropped(j, v, now)
	case adapter.Later:
		r.retryLater(j, now, v.Detail, mayHaveActed(x.response.Status) && !onlyReads(&x.requests[0]))
	case adapter.Operator:
		if blamed && len(x.jobs) == 1 {
			r.retryLater(j, now, v.Detail, false)
			return
		}
		if r.p.health.refusedAlone(j) {
			j.maxBatch = 1
		}
		j.attempts-- // it was not tried on its merits
		back.end = append(back.end, j)
	case adapter.Split, adapter.Isolate: // alone, an Isolate is a Never
		if j.maxBatch = len(x.jobs) / 2; j.maxBatch == 0 {
			r.p.deadLetters.giveUp(j, adapter.TooLarge, v.Detail, now)
			return
		}
		back.front = append(back.front, j)
	default:
		r.refused(x, j, v, back, now)
	}
}

// refused gives a call up, unless the destination refuses every call.
func (r *results) refused(x *exchange, j *job, v adapter.Verdict, back *verdictsBack, now time.Time) {
	switch {
	case r.p.refusals.keeps(x):
		j.attempts-- // it was not tried on its merits
		back.front = append(back.front, j)
		return
	case x.mayBeRefused():
		r.p.refusals.gaveUp(j)
	}
	r.p.deadLetters.giveUp(j, adapter.Refused, v.Detail, now)
}

// mayHaveActed reports whether a vendor may have done its work although a call is retried after an answer with this status: a 5xx
// may be a gateway's, and of a success that is not believed only the answer may be another's.
func mayHaveActed(status int) bool {
	return status >= http.StatusInternalServerError || status < http.StatusMultipleChoices
}

func (r *results) requeue(back *verdictsBack, now time.Time) {
	r.p.dispatcher.queue.pushFront(back.front)
	for _, j := range back.end { // the next probe is another
		r.p.dispatcher.queue.push(j, now)
	}
	for _, j := range append(back.front, back.end...) {
		r.p.transition(j, queued)
	}
}

// delivered ends the current request of a call, and the call with its last one.
func (r *results) delivered(x *exchange, j *job, v adapter.Verdict, now time.Time) {
	wait := min(j.request().Wait, adapter.MaxWait)
	j.step++
	j.maxBatch = 0
	if !j.isStepped() { // one that is begins anew where a later request fails
		j.possiblyDelivered = false
		j.failures, j.failingSince = 0, time.Time{}
	}
	if x.asking != nil && !r.goesOn(x, j, now) {
		return
	}
	if j.step < len(j.outcome.Requests) {
		if wait <= 0 {
			r.p.order.enqueue(j, now)
			return
		}
		j.detach()
		j.pausing = true
		r.retryAt(j, now.Add(wait))
		return
	}
	if !r.p.config.Destination.Dry {
		r.noteDelivery(j, now)
	}
	r.p.merges.learn(j)
	r.p.order.finish(j, outcomeDelivered, v.Note, now)
}

func (r *results) noteDelivery(j *job, now time.Time) {
	r.p.health.lastDelivery = now
	if j.entry.Target == "" { // a replay is as late as it is
		r.p.health.lastLag = now.Sub(j.entry.ReceivedAt)
		r.p.metrics.lag(r.p.health.lastLag)
	}
}

// dropped ends a call that the vendor says it did nothing with. What it would have merged is not merged; an identify names a user all
// the same, as one that is not sent does.
func (r *results) dropped(j *job, v adapter.Verdict, now time.Time) {
	j.detail = r.p.detail(v.Detail)
	if j.entry.Type == segment.Identify {
		r.p.merges.learnIDs(j.entry)
	}
	r.p.order.drop(j, adapter.Reason(v.Note), now)
}

// retryLater tries a call again after a while, or gives up on it when it has failed for too long although the destination is
// well. A failure of the whole destination is not held against its calls.
func (r *results) retryLater(j *job, now time.Time, detail string, possiblyDelivered bool) {
	j.detail = r.p.detail(detail)
	if possiblyDelivered {
		j.possiblyDelivered = true
		r.p.metrics.possiblyDelivered.Inc()
	}
	r.p.metrics.retries.Inc()
	j.detach()
	retry := r.p.config.Options.Retry
	if !r.p.dispatcher.breaker.Healthy() {
		r.retryAt(j, now.Add(retry.backoff(1)))
		return
	}
	j.failures++
	if j.failingSince.IsZero() {
		j.failingSince = now
	}
	switch {
	case retry.MaxAttempts > 0 && j.failures >= retry.MaxAttempts:
		r.p.deadLetters.giveUp(j, adapter.MaxAttempts, detail, now)
	case retry.MaxAge > 0 && now.Sub(j.failingSince) >= retry.MaxAge:
		r.p.deadLetters.giveUp(j, adapter.Expired, detail, now)
	default:
		r.retryAt(j, now.Add(max(retry.backoff(j.failures), j.retryAfter)))
		r.p.parking.blame(j, now)
	}
}

func (r *results) retryAt(j *job, at time.Time) {
	j.retryAt = at
	r.p.transition(j, retryWait)
	r.p.timers.add(at, func() {
		if j.state == retryWait && j.retryAt.Equal(at) {
			r.p.order.turns = append(r.p.order.turns, j)
		}
	})
}

// maxDetail bounds what is kept of a vendor's words, in bytes.
const maxDetail = 512

func (p *Pipeline) detail(text string) string {
	text = p.config.Destination.Masker.Mask(text)
	if len(text) > maxDetail {
		text = strings.Clone(text[:maxDetail]) // not to keep the whole answer in memory
	}
	return text
}
