package delivery

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/journal"
	"aka/router/segment"
)

// How a call ends at a destination.
const (
	outcomeDelivered = "delivered"
	outcomeDropped   = "dropped"
	outcomeDead      = "dead"
)

// concludeAll takes in one exchange that has ended, and with it those that have ended too: what they let go goes together.
func (p *Pipeline) concludeAll(f *flight) {
	now := time.Now()
	for {
		p.conclude(f, now)
		select {
		case f = <-p.results:
		default:
			return
		}
	}
}

// conclude takes in how an exchange ended: for the destination as a whole, and for each call of it.
func (p *Pipeline) conclude(r *flight, now time.Time) {
	p.inFlight--
	p.metrics.exchange(r.response, r.took)
	p.traceExchange(r, now)
	failed := r.failed()
	blamed := p.blamesCall(r)
	p.gate.leave(r.pass, now, ending{
		failed: failed, repeated: failed && p.repeated(r), uncounted: failed && r.uncounted(), refused: r.refused() && !blamed,
	})
	p.noteEpoch(r, failed)
	p.noteTaken(r, blamed)
	wait := retryAfter(r.response.RetryAfter, now)
	if failed && wait > 0 {
		p.gate.wait(now, wait)
	}
	p.noteError(r)
	var back, last []*job
	for i, j := range r.jobs {
		j.status, j.took = r.response.Status, r.took
		if r.response.Err != nil {
			kind := httpclient.ErrorKind(r.response.Err)
			p.noteFailure(j, kind, "", now)
			p.later(j, now, kind, r.response.Ambiguous)
			continue
		}
		v := r.verdicts[i]
		if v.Class != adapter.Delivered {
			p.noteFailure(j, v.Class.String(), v.Detail, now)
		}
		switch v.Class {
		case adapter.Delivered:
			p.delivered(j, v, now)
		case adapter.Later:
			// A gateway answers so for a vendor that has done its work as well.
			p.later(j, now, v.Detail, r.response.Status >= http.StatusInternalServerError)
		case adapter.Operator:
			if blamed && len(r.jobs) == 1 {
				p.later(j, now, v.Detail, false)
				continue
			}
			if p.refusedAlone(j) {
				j.maxBatch = 1
			}
			j.attempts-- // it was not tried on its merits
			last = append(last, j)
		case adapter.Split:
			if j.maxBatch = len(r.jobs) / 2; j.maxBatch == 0 {
				p.giveUp(j, adapter.TooLarge, v.Detail, now)
			} else {
				back = append(back, j)
			}
		default:
			p.giveUp(j, adapter.Refused, v.Detail, now)
		}
	}
	p.queue.pushFront(back)
	for _, j := range last { // the next probe is another
		p.queue.push(j, now)
	}
	p.sawQueued(back...)
	p.sawQueued(last...)
	p.land(r)
}

// failed tells whether the exchange says that the destination is not well.
func (r *flight) failed() bool {
	if r.response.Err != nil {
		return true
	}
	for _, v := range r.verdicts {
		if v.Class != adapter.Later {
			return false
		}
	}
	return true
}

// repeated tells whether a failed exchange says no more of the destination than the ones before: all its calls have failed
// since the destination last took one. A call that always fails must not make it look as if it were down.
func (p *Pipeline) repeated(r *flight) bool {
	if r.response.Err != nil && !r.response.Ambiguous {
		return false // not even reached: that is not the call's doing
	}
	for _, j := range r.jobs {
		if j.failedIn != p.epoch {
			return false
		}
	}
	return true
}

// uncounted tells whether a failure is left out of the share of exchanges that fail. Poison calls, tried again and again, must
// not add up to it, so each call counts once. And 429 is the answer of a destination that is well: it sets the pace.
func (r *flight) uncounted() bool {
	if r.response.Err != nil && !r.response.Ambiguous {
		return false
	}
	if r.response.Status == http.StatusTooManyRequests {
		return true
	}
	for _, j := range r.jobs {
		if j.failedIn == 0 {
			return false
		}
	}
	return true
}

// noteEpoch counts how often the destination has taken something, and which calls have failed since.
func (p *Pipeline) noteEpoch(r *flight, failed bool) {
	if !failed {
		p.epoch++
		return
	}
	for _, j := range r.jobs {
		j.failedIn = p.epoch
	}
}

// refusedAlone tells whether the destination has taken others since it refused the credentials for this call, so that they
// are not to blame: a firewall in front of a vendor answers 403 to what it does not like.
func (p *Pipeline) refusedAlone(j *job) bool { return j.refusedIn > 0 && j.refusedIn <= p.taken }

// blamesCall tells whether refused credentials are the doing of a call that is refused alone. While the destination is held,
// the next to be taken ends that.
func (p *Pipeline) blamesCall(r *flight) bool {
	return r.refused() && !p.gate.held && slices.ContainsFunc(r.jobs, p.refusedAlone)
}

// noteTaken counts the exchanges in which the destination has taken something, and notes which calls it refused before the
// next one.
func (p *Pipeline) noteTaken(r *flight, blamed bool) {
	took := uint64(0)
	for i, v := range r.verdicts {
		switch j := r.jobs[i]; {
		case v.Class == adapter.Delivered:
			took = 1
		case v.Class == adapter.Operator && j.refusedIn == 0 && !blamed:
			j.refusedIn = p.taken + 1
		}
	}
	p.taken += took
}

func (r *flight) refused() bool {
	for _, v := range r.verdicts {
		if v.Class == adapter.Operator {
			return true
		}
	}
	return false
}

// noteError logs a failure that will be retried, when it is another one than the last.
func (p *Pipeline) noteError(r *flight) {
	kind := ""
	switch {
	case r.response.Err != nil:
		kind = httpclient.ErrorKind(r.response.Err)
	case r.failed() || r.refused():
		kind = "status " + strconv.Itoa(r.response.Status)
	}
	if kind != "" && kind != p.lastError {
		p.logError(r, kind)
	}
	p.lastError = kind
}

func (p *Pipeline) logError(r *flight, kind string) {
	var private *httpclient.AddressError
	if errors.As(r.response.Err, &private) {
		p.log.Error("the destination's name leads to an address that nothing is sent to; calls wait: mend the name, or set delivery.allow_private", zap.Error(private))
	}
	p.log.Warn("an exchange failed; it will be retried", zap.String("error", kind), zap.Int("status", r.response.Status), zap.Duration("duration", r.took))
}

// delivered ends the current request of a call, and the call with its last one.
func (p *Pipeline) delivered(j *job, v adapter.Verdict, now time.Time) {
	j.step++
	j.ambiguous, j.maxBatch = false, 0
	j.failures, j.failingSince = 0, time.Time{}
	if j.step < len(j.outcome.Requests) {
		p.queue.push(j, now)
		p.sawQueued(j)
		return
	}
	p.lastDelivery = now
	if j.entry.Target == "" { // a replay is as late as it is
		p.lastLag = now.Sub(j.entry.ReceivedAt)
		p.metrics.lag(p.lastLag)
	}
	if p.mergesAnew(j) {
		p.finishMerging(j, v.Note)
		return
	}
	p.finish(j, outcomeDelivered, v.Note, now)
}

// later tries a call again after a while, or gives up on it when it has failed for too long although the destination is
// well. A failure of the whole destination is not held against its calls.
func (p *Pipeline) later(j *job, now time.Time, detail string, ambiguous bool) {
	j.detail = p.detail(detail)
	if ambiguous {
		j.ambiguous = true
		p.metrics.ambiguous.Inc()
	}
	p.metrics.retries.Inc()
	j.detach()
	if !p.gate.well() {
		p.retryAt(j, now.Add(p.Options.Retry.backoff(1)))
		return
	}
	j.failures++
	if j.failingSince.IsZero() {
		j.failingSince = now
	}
	switch retry := p.Options.Retry; {
	case retry.MaxAttempts > 0 && j.failures >= retry.MaxAttempts:
		p.giveUp(j, adapter.MaxAttempts, detail, now)
	case retry.MaxAge > 0 && now.Sub(j.failingSince) >= retry.MaxAge:
		p.giveUp(j, adapter.Expired, detail, now)
	default:
		p.retryAt(j, now.Add(retry.backoff(j.failures)))
	}
}

func (p *Pipeline) retryAt(j *job, at time.Time) {
	j.waiting, j.next = true, at
	p.sawRetry(j)
	p.timers.add(at, func() {
		j.waiting = false
		p.advance(j, time.Now())
	})
}

// finish ends a call that was in the window or parked, and lets those behind it go.
func (p *Pipeline) finish(j *job, outcome, reason string, now time.Time) {
	p.end(j, outcome, reason)
	p.forgetLetter(j)
	if j.parked != 0 || j.maybeParked {
		p.unpark(j, outcome)
		return
	}
	p.window.remove(j)
	p.letGo(j, outcome, now)
}

// letGo gives the call's ids back: after an alias was delivered, when the vendor has had time to settle.
func (p *Pipeline) letGo(j *job, outcome string, now time.Time) {
	if outcome == outcomeDelivered && j.entry.Type == segment.Alias && p.Destination.Settle > 0 {
		p.timers.add(now.Add(p.Destination.Settle), func() { p.release(j, time.Now()) })
		return
	}
	p.release(j, now)
}

func (p *Pipeline) release(j *job, now time.Time) {
	p.ready = p.sequencer.Release(&j.Ticket, p.ready[:0])
	for _, t := range p.ready {
		p.advance(t.Value, now)
	}
}

// end counts a call's outcome and marks it in the progress.
func (p *Pipeline) end(j *job, outcome, reason string) {
	p.progress.End(j.pos)
	p.unsaved = true
	if p.saveGap == 0 {
		p.saveEarly()
	}
	p.metrics.outcome(j.entry.Type, outcome, reason)
	p.sawEnd(j, outcome, reason)
	p.traceEnd(j, outcome, reason)
	if ce := p.log.Check(zap.DebugLevel, "call ended"); ce != nil {
		ce.Write(zap.String("outcome", outcome), zap.String("reason", reason), zap.Stringer("type", j.entry.Type),
			zap.String("message_id", j.entry.MessageID), zap.Int("attempt", j.attempts), zap.Int("status", j.status))
	}
}

// giveUp makes a dead letter of a call whose turn it is.
func (p *Pipeline) giveUp(j *job, reason adapter.Reason, detail string, now time.Time) {
	j.dead, j.detail = reason, p.detail(detail)
	p.bury(j, now)
}

// buryTooOld gives up on calls that have waited for longer than the backlog may, the oldest first. One that is in flight
// ends as its exchange does.
func (p *Pipeline) buryTooOld(now time.Time) {
	p.buryTooOldOf(&p.parked, now)
	p.buryTooOldOf(&p.window, now)
}

func (p *Pipeline) buryTooOldOf(w *window, now time.Time) {
	for j := w.oldest; j != nil && p.overAge(j.entry.ReceivedAt, now); j = j.newer {
		if j.dead == "" && !p.tooOld(j, now) {
			continue
		}
		switch {
		case !j.Ready(): // its turn comes when those before it are buried
			if j.dead == "" {
				j.dead = adapter.TooOld
			}
			p.buryInPlace(j, now)
		case j.dead == "" && p.queue.remove(j):
			p.giveUp(j, adapter.TooOld, j.detail, now)
		}
	}
}

// bury stores a call as a dead letter. It keeps its people's order until that is done.
func (p *Pipeline) bury(j *job, now time.Time) {
	j.burying = true
	if j.first.IsZero() {
		j.first, j.last = now, now
	}
	p.graves = append(p.graves, j)
	if len(p.graves) == 1 {
		p.buryAll()
	}
}

// buriedAtOnce bounds how many dead letters one chore stores.
const buriedAtOnce = 256

// buryAll stores the calls that wait to be buried, as many as there are when its turn comes.
func (p *Pipeline) buryAll() {
	var now []*job
	var letters []*journal.DeadLetter
	p.chore(chore{
		what: "dead letters could not be stored",
		begin: func() func(context.Context) error {
			now = p.graves[:min(len(p.graves), buriedAtOnce)]
			letters = make([]*journal.DeadLetter, len(now))
			for i, j := range now {
				letters[i] = p.deadLetter(j)
			}
			return func(ctx context.Context) error { return p.Journal.Bury(ctx, letters) }
		},
		done: func() {
			p.graves = p.graves[len(now):]
			if len(p.graves) > 0 {
				p.buryAll()
			}
			for i, j := range now {
				p.buried(j, letters[i].ID)
			}
		},
	})
}

func (p *Pipeline) deadLetter(j *job) *journal.DeadLetter {
	return &journal.DeadLetter{
		Destination: p.Destination.Name, Reason: string(j.dead), Detail: p.detail(j.detail),
		Attempts: j.attempts, Status: j.status, First: j.first, Last: j.last, Earlier: j.letter, Position: j.pos, Entry: *j.entry,
	}
}

// buried ends a call that is stored as a dead letter, or has it hold up those behind it.
func (p *Pipeline) buried(j *job, letter uint64) {
	p.forgetLetter(j)
	j.letter = letter
	holds := p.holding() && (j.parked != 0 || p.hasRoomAside())
	message := "a call was given up on and kept as a dead letter"
	switch {
	case holds:
		message = "a call was given up on and kept as a dead letter; those behind it wait until it is replayed or discarded"
	case p.holding():
		message = "a call was given up on and kept as a dead letter; those behind it go on, for too many calls are kept aside already"
	}
	p.log.Warn(message, zap.Uint64("id", letter), zap.String("reason", string(j.dead)), zap.Stringer("type", j.entry.Type),
		zap.String("message_id", j.entry.MessageID), zap.Int("attempt", j.attempts), zap.Int("status", j.status))
	if holds {
		p.holdUp(j)
		return
	}
	p.finish(j, outcomeDead, string(j.dead), time.Now())
}

// maxDetail bounds what is kept of a vendor's words, in bytes.
const maxDetail = 512

func (p *Pipeline) detail(text string) string {
	text = p.Destination.Masker.Mask(text)
	if len(text) > maxDetail {
		text = strings.Clone(text[:maxDetail]) // not to keep the whole answer in memory
	}
	return text
}
