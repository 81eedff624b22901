package delivery

import (
	"context"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/httpclient"
	"aka/router/live"
	"aka/router/mergerules"
	"aka/router/segment"
	"aka/router/tracing"
)

// transition moves a call to a state. All that looks at calls is updated here: the metrics of what has ended, the live view,
// and the trace.
func (p *Pipeline) transition(j *job, to state) {
	if !next[j.state].has(to) {
		p.log.DPanic("call changed its state out of order", zap.Stringer("from", j.state), zap.Stringer("to", to), zap.String("message_id", j.entry.MessageID))
	}
	j.state = to
	switch to {
	case settled, parkPending, parked, storing, blocking, held:
		p.mergeGuard.underWay.ended(j)
	}
	if j.ending != (ending{}) {
		p.telemetry.ended(j)
		p.newIDs.ended(j)
		p.logEnd(j)
		j.ending = ending{}
	} else if p.telemetry.watch.Enabled() {
		p.telemetry.moved(j)
	}
}

func (p *Pipeline) logEnd(j *job) {
	if ce := p.log.Check(zap.DebugLevel, "call ended"); ce != nil {
		ce.Write(zap.String("outcome", j.ending.outcome), zap.String("reason", j.ending.reason), zap.Stringer("type", j.entry.Type),
			zap.String("message_id", j.entry.MessageID), zap.Int("attempt", j.attempts), zap.Int("status", j.status))
	}
}

// telemetry shows what happens to calls: in the live view and in traces. While nothing looks, each step costs one atomic load.
type telemetry struct {
	destination string
	watch       *live.Recorder
	trace       *tracing.Tracer
	metrics     *destinationMetrics
	detail      func(string) string // bounds and masks
}

// ended counts and shows how a call has ended.
func (t *telemetry) ended(j *job) {
	t.metrics.outcome(j.entry.Type, j.ending.outcome, j.ending.reason)
	if t.trace != nil {
		t.trace.Ended(t.traced(j), tracing.End{
			Outcome: j.ending.outcome, Reason: j.ending.reason, Failed: j.ending.outcome == outcomeDead, Attempts: j.attempts, Entered: j.entered, First: j.first,
		})
	}
	if !t.watch.Enabled() {
		return
	}
	s := tried(j, live.State(j.ending.outcome))
	s.Reason = j.ending.reason
	s.Note = noteOf(j)
	if j.ending.outcome == outcomeDead {
		s.Detail, s.DeadLetter = t.detail(j.detail), j.deadLetter
	}
	t.show(j, s)
	if j.state == blocking {
		t.moved(j)
	}
}

// noteOf is what stands beside the outcome of a call.
func noteOf(j *job) string {
	switch {
	case j.newIDLost:
		return segment.NewIDLost
	case len(j.outcome.Ignored) > 0:
		return adapter.IgnoredOption + ": " + strings.Join(j.outcome.Ignored, ", ")
	}
	return j.outcome.Note
}

// moved shows where a call stands.
func (t *telemetry) moved(j *job) {
	switch j.state {
	case waitingForIDs:
		t.show(j, t.waiting(j, live.Waiting))
	case queued:
		t.show(j, steps(j, live.Queued))
	case inFlight:
		s := steps(j, live.Sending)
		s.Batch, s.Status, s.Took = j.batch, 0, 0
		t.show(j, s)
	case retryWait:
		if j.pausing {
			t.show(j, t.waiting(j, live.Waiting))
			return
		}
		t.show(j, t.waiting(j, live.Retrying))
	case parked:
		t.show(j, t.waiting(j, live.Parked))
	case held:
		s := steps(j, live.Held)
		s.Reason = string(mergerules.Rule(j.hold.Rule).Reason())
		t.show(j, s)
	case blocking:
		s := tried(j, live.Blocking)
		s.Reason, s.Detail, s.DeadLetter = string(j.dead), j.detail, j.deadLetter
		t.show(j, s)
	}
}

func (t *telemetry) show(j *job, s live.Step) {
	s.Destination = t.destination
	t.watch.Observe(j.pos, j.entry, s)
}

// tried is a step with what came of the last exchange.
func tried(j *job, state live.State) live.Step {
	return live.Step{State: state, Status: j.status, Took: j.took.Seconds(), Attempt: j.attempts}
}

// steps is a step with which of the call's requests it is about, where there are several.
func steps(j *job, state live.State) live.Step {
	s := tried(j, state)
	if n := len(j.outcome.Requests); (n > 1 || j.outcome.Asks()) && j.step < n {
		s.Request, s.Requests, s.More = j.step+1, n, j.outcome.Asks()
	}
	return s
}

// waiting is a step with what the call waits for: its next try, or others of the same people.
func (t *telemetry) waiting(j *job, state live.State) live.Step {
	s := live.Step{State: state}
	if state != live.Waiting {
		s = tried(j, state)
		s.Detail = j.detail
	}
	if j.state == retryWait {
		at := j.retryAt
		s.Next = &at
	}
	switch {
	case j.state == parked:
		s.Behind = j.behind
	case !j.Ready():
		s.Behind = blockerOf(j)
	}
	return s
}

// blockerOf names the latest of the calls that one waits for.
func blockerOf(j *job) *live.Other {
	for t := range j.Blockers() {
		e := t.Value.entry
		return &live.Other{ID: t.Value.pos.String(), Type: e.Type.String(), MessageID: e.MessageID}
	}
	return nil
}

// exchanged sends spans of an exchange that has ended. Without a tracer it costs a comparison.
func (t *telemetry) exchanged(x *exchange, now time.Time) {
	if t.trace == nil {
		return
	}
	span := tracing.Exchange{Method: x.requests[0].Method, Status: x.response.Status, Calls: len(x.jobs), Start: now.Add(-x.took), End: now}
	if to, err := url.Parse(x.requests[0].URL); err == nil {
		span.Server = to.Hostname()
	}
	if x.response.Err != nil {
		span.Error = httpclient.ErrorKind(x.response.Err)
	} else {
		span.Error = x.foreign()
	}
	for _, j := range x.jobs {
		span.Attempt = j.attempts
		t.trace.Exchanged(t.traced(j), span)
	}
}

func (t *telemetry) traced(j *job) tracing.Delivery {
	return tracing.Delivery{Destination: t.destination, Entry: j.entry, Position: j.pos}
}

// shownAtOnce bounds how many of the calls that it holds a pipeline shows when somebody begins to look.
const shownAtOnce = 100

// Snapshot shows viewers the state of the oldest calls in memory.
func (p *Pipeline) Snapshot(ctx context.Context) error {
	return p.ask(ctx, func() {
		for _, l := range [...]*list{&p.window, &p.parkedInMemory} {
			shown := 0
			for j := range l.all {
				if shown++; shown > shownAtOnce {
					break
				}
				p.telemetry.moved(j)
			}
		}
	})
}

// ask has the loop do something, and returns when it has.
func (p *Pipeline) ask(ctx context.Context, do func()) error {
	done := make(chan struct{})
	select {
	case p.asked <- func() { do(); close(done) }:
		<-done
		return nil
	case <-p.stopped:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}
