package delivery

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/router/httpclient"
)

// concludeAll takes in one exchange that has ended, and with it those that have ended too: what waits behind them goes together.
func (p *Pipeline) concludeAll(x *exchange) {
	now := time.Now()
	for {
		p.conclude(x, now)
		select {
		case x = <-p.dispatcher.results:
		default:
			return
		}
	}
}

// conclude takes in how an exchange ended: for the destination as a whole, and for each call of it.
func (p *Pipeline) conclude(x *exchange, now time.Time) {
	p.dispatcher.inFlight--
	p.metrics.exchange(x.response, x.foreign(), x.took)
	p.telemetry.exchanged(x, now)
	blamed := p.learn(x, now)
	back := verdictsBack{}
	for i, j := range x.jobs {
		j.status, j.took = x.response.Status, x.took
		if x.response.Err != nil {
			kind := httpclient.ErrorKind(x.response.Err)
			p.health.failures.note(j.status, kind, "", now)
			p.retryLater(j, now, kind, x.response.Ambiguous)
			continue
		}
		p.judged(x, j, x.verdicts[i], blamed, &back, now)
	}
	p.requeue(&back, now)
	p.dispatcher.recycle(x)
}

// learn takes in what an exchange says of the destination. blamed is whether a call is blamed for refused credentials. While
// the destination is known to refuse them, the next that it takes ends that.
func (p *Pipeline) learn(x *exchange, now time.Time) (blamed bool) {
	refusing := p.dispatcher.breaker.Refusing()
	blamed = !p.dispatcher.breaker.AuthFailed() && p.health.blames(x)
	result := p.health.result(x, blamed)
	p.dispatcher.breaker.Report(x.permit, now, result)
	p.health.count(x, blamed)
	if wait := retryAfter(x.response.RetryAfter, now); result.Failed && wait > 0 {
		p.dispatcher.breaker.Wait(now, wait)
	}
	p.health.noteError(x)
	p.refusals.learn(x, refusing, now)
	return blamed
}

// verdictsBack are jobs that go back to the queue: to its front, and to its end.
type verdictsBack struct{ front, end []*job }

// judged does what a verdict asks for.
func (p *Pipeline) judged(x *exchange, j *job, v adapter.Verdict, blamed bool, back *verdictsBack, now time.Time) {
	if v.Class != adapter.Delivered {
		p.health.failures.note(j.status, cmp.Or(x.foreign(), v.Class.String()), p.detail(v.Detail), now)
	}
	switch v.Class {
	case adapter.Delivered:
		p.delivered(j, v, now)
	case adapter.Later:
		p.retryLater(j, now, v.Detail, mayHaveActed(x.response.Status))
	case adapter.Operator:
		if blamed && len(x.jobs) == 1 {
			p.retryLater(j, now, v.Detail, false)
			return
		}
		if p.health.refusedAlone(j) {
			j.maxBatch = 1
		}
		j.attempts-- // it was not tried on its merits
		back.end = append(back.end, j)
	case adapter.Split:
		if j.maxBatch = len(x.jobs) / 2; j.maxBatch == 0 {
			p.giveUp(j, adapter.TooLarge, v.Detail, now)
			return
		}
		back.front = append(back.front, j)
	default:
		p.refused(x, j, v, back, now)
	}
}

// refused gives a call up, unless the destination refuses every call.
func (p *Pipeline) refused(x *exchange, j *job, v adapter.Verdict, back *verdictsBack, now time.Time) {
	switch {
	case p.refusals.keeps(v, x.response.Status):
		j.attempts-- // it was not tried on its merits
		back.front = append(back.front, j)
		return
	case x.refused():
		p.refusals.gaveUp(j)
	}
	p.giveUp(j, adapter.Refused, v.Detail, now)
}

// mayHaveActed reports whether a vendor may have done its work although a call is retried after an answer with this status: a 5xx
// may be a gateway's, and of a success that is not believed only the answer may be another's.
func mayHaveActed(status int) bool {
	return status >= http.StatusInternalServerError || status < http.StatusMultipleChoices
}

func (p *Pipeline) requeue(back *verdictsBack, now time.Time) {
	p.dispatcher.queue.pushFront(back.front)
	for _, j := range back.end { // the next probe is another
		p.dispatcher.queue.push(j, now)
	}
	for _, j := range append(back.front, back.end...) {
		p.transition(j, queued)
	}
}

// delivered ends the current request of a call, and the call with its last one.
func (p *Pipeline) delivered(j *job, v adapter.Verdict, now time.Time) {
	j.step++
	j.ambiguous, j.maxBatch = false, 0
	j.failures, j.failingSince = 0, time.Time{}
	if j.step < len(j.outcome.Requests) {
		p.enqueue(j, now)
		return
	}
	p.health.lastDelivery = now
	if j.entry.Target == "" { // a replay is as late as it is
		p.health.lastLag = now.Sub(j.entry.ReceivedAt)
		p.metrics.lag(p.health.lastLag)
	}
	if p.merges.mustStore(j) {
		p.transition(j, storing)
		p.merges.store(j, v.Note)
		return
	}
	p.finish(j, outcomeDelivered, v.Note, now)
}

// retryLater tries a call again after a while, or gives up on it when it has failed for too long although the destination is
// well. A failure of the whole destination is not held against its calls.
func (p *Pipeline) retryLater(j *job, now time.Time, detail string, ambiguous bool) {
	j.detail = p.detail(detail)
	if ambiguous {
		j.ambiguous = true
		p.metrics.ambiguous.Inc()
	}
	p.metrics.retries.Inc()
	j.detach()
	retry := p.config.Options.Retry
	if !p.dispatcher.breaker.Healthy() {
		p.retryAt(j, now.Add(retry.backoff(1)))
		return
	}
	j.failures++
	if j.failingSince.IsZero() {
		j.failingSince = now
	}
	switch {
	case retry.MaxAttempts > 0 && j.failures >= retry.MaxAttempts:
		p.giveUp(j, adapter.MaxAttempts, detail, now)
	case retry.MaxAge > 0 && now.Sub(j.failingSince) >= retry.MaxAge:
		p.giveUp(j, adapter.Expired, detail, now)
	default:
		p.retryAt(j, now.Add(retry.backoff(j.failures)))
		p.parking.blame(j, now)
	}
}

func (p *Pipeline) retryAt(j *job, at time.Time) {
	j.retryAt = at
	p.transition(j, retryWait)
	p.timers.add(at, func() {
		if j.state == retryWait && j.retryAt.Equal(at) {
			p.turns = append(p.turns, j)
		}
	})
}

// giveUp makes a dead letter of a call. It keeps its people's order until that is stored.
func (p *Pipeline) giveUp(j *job, reason adapter.Reason, detail string, now time.Time) {
	j.dead, j.detail = reason, p.detail(detail)
	p.letters.add(j, now)
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
