package delivery

import (
	"net/url"
	"time"

	"aka/router/httpclient"
	"aka/router/tracing"
)

// traceExchange tells of an exchange that has ended. Without a tracer it costs a comparison.
func (p *Pipeline) traceExchange(f *flight, now time.Time) {
	if p.Trace != nil {
		p.traceEach(f, now)
	}
}

func (p *Pipeline) traceEach(f *flight, now time.Time) {
	x := tracing.Exchange{Method: f.requests[0].Method, Status: f.response.Status, Calls: len(f.jobs), Start: now.Add(-f.took), End: now}
	if to, err := url.Parse(f.requests[0].URL); err == nil {
		x.Server = to.Hostname()
	}
	if f.response.Err != nil {
		x.Error = httpclient.ErrorKind(f.response.Err)
	}
	for _, j := range f.jobs {
		x.Attempt = j.attempts
		p.Trace.Exchanged(p.traced(j), x)
	}
}

// traceEnd tells that a call has ended here.
func (p *Pipeline) traceEnd(j *job, outcome, reason string) {
	if p.Trace != nil {
		p.Trace.Ended(p.traced(j), tracing.End{
			Outcome: outcome, Reason: reason, Failed: outcome == outcomeDead, Attempts: j.attempts, Entered: j.entered, First: j.first,
		})
	}
}

func (p *Pipeline) traced(j *job) tracing.Delivery {
	return tracing.Delivery{Destination: p.Destination.Name, Entry: j.entry, Position: j.pos}
}
