package delivery

import (
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"aka/destinations"
	"aka/destinations/adapter"
	"aka/router/breaker"
	"aka/router/concurrency"
	"aka/router/deststate"
	"aka/router/httpclient"
)

// dispatcher decides when which calls go out, and does the exchanges: in goroutines of their own, as many as were ever in
// flight at once.
type dispatcher struct {
	destination *destinations.Destination
	sender      Sender
	log         *zap.Logger
	options     *Options

	queue    *queue
	breaker  *breaker.Breaker
	adaptive *concurrency.Limiter
	limiter  *rate.Limiter // by the config; nil is no limit
	probes   int           // that were sent
	inFlight int
	workers  int
	unused   []*exchange // to be used again
	work     chan *exchange
	results  chan *exchange
}

func newDispatcher(c *Config, log *zap.Logger, changed func(deststate.State, time.Duration)) *dispatcher {
	bounds := c.Options.bounds(c.Destination)
	return &dispatcher{
		destination: c.Destination, sender: c.Sender, log: log, options: &c.Options,
		queue: newQueue(c.Options.Batch), breaker: breaker.New(c.Options.Breaker, changed),
		adaptive: concurrency.New(bounds, time.Now()), limiter: newLimiter(c.Options.Rate),
		work: make(chan *exchange, bounds.Max), results: make(chan *exchange, bounds.Max),
	}
}

// newLimiter allows so many calls a second, and a second's worth at once. 0 is no limit.
func newLimiter(perSecond float64) *rate.Limiter {
	if perSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
}

// exchange is one HTTP exchange: what goes, and then how it ended. Once that is taken in, it carries the next.
type exchange struct {
	jobs              []*job
	requests          []adapter.Request
	possiblyDelivered bool // the vendor may have acted on one of them already
	permit            breaker.Permit
	ticket            concurrency.Ticket
	isBeyond          bool // it was answered, and there were more at once than the destination is known to take
	response          httpclient.Response
	verdicts          []adapter.Verdict // one per job; none when there was no answer
	started           time.Time
	took              time.Duration
	retryAfter        time.Duration // that the vendor asks for
	// asking is the call whose next requests depend on the answer, nil for none; next is what comes then.
	asking *asking
	next   adapter.Outcome
}

// next takes the jobs of the next exchange out of the queue. It returns nil when none may start now; wake is when to ask again:
// never, when that is zero, until something happens.
func (d *dispatcher) next(now time.Time) (x *exchange, wake time.Time) {
	ok, wake := d.adaptive.Ready(now)
	if !ok {
		return nil, wake
	}
	ok, wake = d.breaker.Ready(now)
	early := !ok && d.findEarlyProbe(now)
	if !ok && !early {
		return nil, wake
	}
	limit, wake := d.allowance(now)
	if limit == 0 {
		return nil, wake
	}
	if !d.breaker.Healthy() {
		limit = 1 // a probe risks one call
		if !early {
			d.chooseProbe()
		}
	}
	x = d.newExchange()
	if x.jobs, wake = d.queue.pick(x.jobs, now, d.inFlight == 0, limit); len(x.jobs) == 0 {
		d.recycle(x)
		return nil, wake
	}
	if x.permit, ok = d.breaker.Acquire(); !ok {
		d.queue.pushFront(x.jobs)
		d.recycle(x)
		return nil, now.Add(time.Millisecond)
	}
	if d.limiter != nil {
		d.limiter.AllowN(now, len(x.jobs))
	}
	if !d.breaker.Healthy() {
		d.probes++
	}
	return x, time.Time{}
}

// chooseProbe puts the call that waits for the shortest time to the front for every other probe. The oldest ones may be those of
// people whose calls fail, and would have the destination look down for as long as they do.
func (d *dispatcher) chooseProbe() {
	if d.probes%2 == 0 && !d.breaker.Refusing() && !d.breaker.AuthFailed() {
		d.queue.newestFirst()
	}
}

// findEarlyProbe puts a call that may be tried before the cooldown has passed to the front of the queue, where there is one.
func (d *dispatcher) findEarlyProbe(now time.Time) bool {
	since, ok := d.breaker.EarlyProbe(now)
	return ok && d.queue.untriedFirst(since)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// allowance returns how many calls the rate limit allows now; when none, wake is when it allows one.
func (d *dispatcher) allowance(now time.Time) (limit int, wake time.Time) {
	if d.limiter == nil {
		return d.options.Batch.MaxItems, time.Time{}
	}
	if wake = nextToken(d.limiter, now); wake.IsZero() {
		return int(d.limiter.TokensAt(now)), wake
	}
	return 0, wake
}

func (d *dispatcher) newExchange() *exchange {
	last := len(d.unused) - 1
	if last < 0 {
		return new(exchange)
	}
	x := d.unused[last]
	d.unused = d.unused[:last]
	return x
}

// maxRecycled is how many requests an exchange is kept for: larger ones are rare, and would keep their memory.
const maxRecycled = 64

// recycle makes an exchange ready for the next jobs.
func (d *dispatcher) recycle(x *exchange) {
	if cap(x.jobs) > maxRecycled {
		return
	}
	clear(x.jobs)
	clear(x.requests)
	*x = exchange{jobs: x.jobs[:0], requests: x.requests[:0]}
	d.unused = append(d.unused, x)
}

// start sends the jobs' requests as one exchange.
func (d *dispatcher) start(x *exchange, now time.Time) {
	d.inFlight++
	x.ticket = d.adaptive.Begin(now)
	for _, j := range x.jobs {
		x.requests = append(x.requests, *j.request())
		x.possiblyDelivered = x.possiblyDelivered || j.possiblyDelivered
		x.asking = j.asking()
		j.batch = len(x.jobs)
		j.attempts++
		j.anew = false
		j.last = now
		if j.first.IsZero() {
			j.first = now
		}
	}
	if d.workers < d.inFlight {
		d.workers++
		go d.runWorker()
	}
	d.work <- x
}

// runWorker does one exchange after the other, until none are left. A goroutine for each would have to grow its stack for
// each.
func (d *dispatcher) runWorker() {
	for x := range d.work {
		d.do(x)
	}
}

func (d *dispatcher) do(x *exchange) {
	x.started = time.Now()
	if d.destination.Dry {
		x.verdicts = adapter.Verdicts(len(x.requests), adapter.Verdict{Class: adapter.Delivered})
		d.results <- x
		return
	}
	sent, signatures := exchangeOf(x.requests, x.started)
	x.response = d.sender.Send(sent)
	x.took = time.Since(x.started)
	if x.response.Err == nil {
		x.verdicts = d.judge(x.requests, x.answer())
		hide(x.verdicts, signatures)
		d.ask(x)
	}
	d.results <- x
}

// end takes in what an exchange says of the pace.
func (d *dispatcher) end(x *exchange, now time.Time) {
	d.inFlight--
	x.isBeyond = x.response.Err == nil && d.adaptive.IsBeyond(x.ticket)
	d.adaptive.End(now, x.ticket, concurrency.Result{Outcome: x.outcome(), Latency: x.response.Latency})
	if limit := x.response.RateLimit; limit.Known && limit.Limit > 0 && limit.Reset > 0 {
		d.adaptive.Quota(now, limit.Remaining, untilReset(limit.Reset, now))
	}
}

// outcome is what an exchange says of how well the destination is.
func (x *exchange) outcome() concurrency.Outcome {
	status := x.response.Status
	switch {
	case x.response.Err != nil && httpclient.ErrorKind(x.response.Err) == httpclient.KindTimeout:
		return concurrency.TimedOut
	case x.response.Err != nil, status >= http.StatusInternalServerError:
		return concurrency.Failed
	case status == http.StatusTooManyRequests:
		return concurrency.Throttled
	case status < http.StatusMultipleChoices && !x.failed():
		return concurrency.OK
	}
	return concurrency.Neutral
}

// answer is what the adapter gets of the response.
func (x *exchange) answer() adapter.Answer {
	r := x.response
	return adapter.Answer{Status: r.Status, ContentType: r.ContentType, Body: r.Body, TooLong: r.TooLong, AfterPossibleDelivery: x.possiblyDelivered}
}

// judge asks the adapter, and falls back on the status when the adapter does not give a verdict for each request.
func (d *dispatcher) judge(requests []adapter.Request, answer adapter.Answer) []adapter.Verdict {
	verdicts := d.destination.Judge(requests, answer)
	if len(verdicts) == len(requests) {
		return verdicts
	}
	d.log.Error("adapter gave the wrong number of verdicts", zap.Int("verdicts", len(verdicts)), zap.Int("requests", len(requests)),
		zap.String("hint", "the status decides; report this mistake of the adapter"))
	return adapter.Verdicts(len(requests), answer.Verdict())
}

// hide masks the signatures of an exchange in what its vendor said.
func hide(verdicts []adapter.Verdict, signatures []adapter.Secret) {
	if len(signatures) == 0 {
		return
	}
	masker := adapter.NewMasker(signatures)
	for i, v := range verdicts {
		verdicts[i].Detail = masker.Mask(v.Detail)
	}
}

// exchangeOf puts requests into one exchange, and signs it where they say how. signatures are what nothing may show.
func exchangeOf(requests []adapter.Request, now time.Time) (x httpclient.Exchange, signatures []adapter.Secret) {
	first := requests[0]
	x = httpclient.Exchange{Method: first.Method, URL: first.URL, Body: adapter.BodyAt(requests, now)}
	x.Header, signatures = adapter.Signed(requests, x.Body, now)
	return x, signatures
}

// failed reports whether the exchange says that the destination is not well.
func (x *exchange) failed() bool {
	return x.response.Err != nil || x.all(adapter.Later)
}

// foreign returns NotTheVendor as a word where the answer is not the vendor's, else "".
func (x *exchange) foreign() string {
	if x.note() == string(adapter.NotTheVendor) {
		return x.note()
	}
	return ""
}

// note returns the reason, beside its status, for which the exchange is tried again; "" is none.
func (x *exchange) note() string {
	for _, v := range x.verdicts {
		if slices.Contains(adapter.RetryReasons, adapter.Reason(v.Note)) {
			return v.Note
		}
	}
	return ""
}

// all reports whether all verdicts are of one class.
func (x *exchange) all(class adapter.Class) bool {
	for _, v := range x.verdicts {
		if v.Class != class {
			return false
		}
	}
	return true
}

// authFailed reports whether the destination has refused our credentials.
func (x *exchange) authFailed() bool {
	for _, v := range x.verdicts {
		if v.Class == adapter.Operator {
			return true
		}
	}
	return false
}

// refused reports whether the destination has refused all calls of the exchange for a reason that is about the account or the
// address.
func (x *exchange) refused() bool {
	if len(x.verdicts) == 0 {
		return false
	}
	return !slices.ContainsFunc(x.verdicts, func(v adapter.Verdict) bool { return !v.AboutAccount(x.response.Status) })
}

// mayBeRefused reports the same, or that a status of that kind was judged to be about the calls: when everything is refused, these
// are, too.
func (x *exchange) mayBeRefused() bool {
	return x.refused() || adapter.IsAccountStatus(x.response.Status) && x.all(adapter.Never)
}
