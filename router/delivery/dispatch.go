package delivery

import (
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
)

// idle is how long the loop sleeps when nothing is due: what wakes it then is a result, a frame or a tick.
const idle = time.Hour

// dispatch starts as many exchanges as may start now, and returns how long the loop may sleep.
func (p *Pipeline) dispatch(now time.Time) time.Duration {
	wake := p.timers.next()
	for p.inFlight < p.Options.Concurrency {
		started, at := p.startOne(now)
		if !started {
			wake = earlier(wake, at)
			break
		}
	}
	if wake.IsZero() {
		return idle
	}
	return max(wake.Sub(now), 0)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// startOne starts the next exchange, or tells when to ask again: never, when that is zero, until something happens.
func (p *Pipeline) startOne(now time.Time) (started bool, wake time.Time) {
	ok, wake := p.gate.ready(now)
	if !ok {
		return false, wake
	}
	limit, wake := p.allowance(now)
	if limit == 0 {
		return false, wake
	}
	if !p.gate.well() {
		limit = 1 // a probe risks one call
	}
	jobs, wake := p.queue.pick(now, p.inFlight == 0, limit)
	if len(jobs) == 0 {
		return false, wake
	}
	pass, ok := p.gate.enter()
	if !ok {
		p.queue.pushFront(jobs)
		return false, now.Add(p.Options.Breaker.Cooldown)
	}
	if p.limiter != nil {
		p.limiter.AllowN(now, len(jobs))
	}
	p.start(jobs, pass, now)
	return true, time.Time{}
}

// allowance returns how many calls the rate limit lets go now; when none, wake is when it lets one.
func (p *Pipeline) allowance(now time.Time) (limit int, wake time.Time) {
	if p.limiter == nil {
		return p.Options.Batch.MaxItems, time.Time{}
	}
	tokens := p.limiter.TokensAt(now)
	if tokens >= 1 {
		return int(tokens), time.Time{}
	}
	wait := (1 - tokens) / float64(p.limiter.Limit())
	return 0, now.Add(time.Duration(wait*float64(time.Second)) + time.Millisecond)
}

// result is how one exchange ended.
type result struct {
	jobs     []*job
	pass     pass
	response Response
	verdicts []adapter.Verdict // one per job; none when there was no answer
	took     time.Duration
}

// start sends the jobs' requests as one exchange, in a goroutine of its own.
func (p *Pipeline) start(jobs []*job, pass pass, now time.Time) {
	p.inFlight++
	requests := make([]adapter.Request, len(jobs))
	ambiguous := false
	for i, j := range jobs {
		requests[i] = *j.request()
		ambiguous = ambiguous || j.ambiguous
		j.attempts++
		j.last = now
		if j.first.IsZero() {
			j.first = now
		}
	}
	go func() {
		start := time.Now()
		r := result{jobs: jobs, pass: pass}
		r.response = p.Sender.Send(exchangeOf(requests))
		r.took = time.Since(start)
		if r.response.Err == nil {
			r.verdicts = p.judge(requests, adapter.Answer{Status: r.response.Status, Body: r.response.Body, AfterAmbiguous: ambiguous})
		}
		p.results <- r
	}()
}

// judge asks the adapter, and falls back on the status when the adapter does not give a verdict for each request.
func (p *Pipeline) judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	verdicts := p.Destination.Judge(requests, answer)
	if len(verdicts) == len(requests) {
		return verdicts
	}
	p.log.Error("the adapter gave the wrong number of verdicts; the status decides", zap.Int("verdicts", len(verdicts)), zap.Int("requests", len(requests)))
	return adapter.Verdicts(len(requests), adapter.StatusVerdict(answer.Status))
}

// exchangeOf puts requests into one exchange: as one JSON array when they are batchable.
func exchangeOf(requests []adapter.Request) Exchange {
	first := requests[0]
	x := Exchange{Method: first.Method, URL: first.URL, Header: first.Header, Body: first.Body}
	if first.Batch == nil {
		return x
	}
	size := 2
	for _, r := range requests {
		size += len(r.Body) + 1
	}
	x.Body = append(make([]byte, 0, size), '[')
	for i, r := range requests {
		if i > 0 {
			x.Body = append(x.Body, ',')
		}
		x.Body = append(x.Body, r.Body...)
	}
	x.Body = append(x.Body, ']')
	return x
}
