package delivery

import (
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/httpclient"
)

// dispatch starts as many exchanges as may start now, and returns when the loop is to be woken; never, when that is zero, until
// something happens.
func (p *Pipeline) dispatch(now time.Time) (wake time.Time) {
	wake = p.timers.next()
	for p.inFlight < p.Options.Concurrency {
		started, at := p.startOne(now)
		if !started {
			wake = earlier(wake, at)
			break
		}
	}
	return wake
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// startOne starts the next exchange, or tells when to ask again: never, when that is zero, until something happens.
func (p *Pipeline) startOne(now time.Time) (started bool, wake time.Time) {
	if p.paused.Load() {
		return false, time.Time{}
	}
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
	f := p.flight()
	if f.jobs, wake = p.queue.pick(f.jobs, now, p.inFlight == 0, limit); len(f.jobs) == 0 {
		p.land(f)
		return false, wake
	}
	if f.pass, ok = p.gate.enter(); !ok {
		p.queue.pushFront(f.jobs)
		p.land(f)
		return false, now.Add(p.Options.Breaker.Cooldown)
	}
	if p.limiter != nil {
		p.limiter.AllowN(now, len(f.jobs))
	}
	p.start(f, now)
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

// flight is one exchange: what goes, and then how it ended. Once that is taken in, it carries the next.
type flight struct {
	jobs      []*job
	requests  []adapter.Request
	ambiguous bool // the vendor may have acted on one of them already
	pass      pass
	response  httpclient.Response
	verdicts  []adapter.Verdict // one per job; none when there was no answer
	took      time.Duration
}

// flight returns one that carries nothing.
func (p *Pipeline) flight() *flight {
	last := len(p.landed) - 1
	if last < 0 {
		return new(flight)
	}
	f := p.landed[last]
	p.landed = p.landed[:last]
	return f
}

// most is how many requests a flight is kept for: what is larger is seldom, and lies about.
const most = 64

// land makes a flight ready for the next jobs.
func (p *Pipeline) land(f *flight) {
	if cap(f.jobs) > most {
		return
	}
	clear(f.jobs)
	clear(f.requests)
	*f = flight{jobs: f.jobs[:0], requests: f.requests[:0]}
	p.landed = append(p.landed, f)
}

// start sends the jobs' requests as one exchange, in a goroutine that does nothing else meanwhile.
func (p *Pipeline) start(f *flight, now time.Time) {
	p.inFlight++
	for _, j := range f.jobs {
		f.requests = append(f.requests, *j.request())
		f.ambiguous = f.ambiguous || j.ambiguous
		j.attempts++
		j.last = now
		if j.first.IsZero() {
			j.first = now
		}
	}
	p.sawSending(f.jobs)
	if p.flyers < p.inFlight {
		p.flyers++
		go p.flyAll()
	}
	p.flights <- f
}

// flyAll does one exchange after the other, until there are no more. A goroutine for each would have to grow its stack for each.
func (p *Pipeline) flyAll() {
	for f := range p.flights {
		p.fly(f)
	}
}

func (p *Pipeline) fly(f *flight) {
	start := time.Now()
	f.response = p.Sender.Send(exchangeOf(f.requests))
	f.took = time.Since(start)
	if f.response.Err == nil {
		f.verdicts = p.judge(f.requests, adapter.Answer{Status: f.response.Status, Body: f.response.Body, AfterAmbiguous: f.ambiguous})
	}
	p.results <- f
}

// judge asks the adapter, and falls back on the status when the adapter does not give a verdict for each request.
func (p *Pipeline) judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	verdicts := p.Destination.Judge(requests, answer)
	if len(verdicts) == len(requests) {
		return verdicts
	}
	p.log.Error("the adapter gave the wrong number of verdicts; the status decides: a mistake in the adapter, report it", zap.Int("verdicts", len(verdicts)), zap.Int("requests", len(requests)))
	return adapter.Verdicts(len(requests), adapter.StatusVerdict(answer.Status))
}

// exchangeOf puts requests into one exchange: as one JSON array when they are batchable.
func exchangeOf(requests []adapter.Request) httpclient.Exchange {
	first := requests[0]
	x := httpclient.Exchange{Method: first.Method, URL: first.URL, Header: first.Header, Body: first.Body}
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
