package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"aka/e2e/harness"
)

// sink is vendors that take everything at once, or after a while, and keep count of it. It is not the simulator, which decodes and
// keeps each record: on two cores aka delivers a sixth of the calls to that, and the simulator would be what is measured.
type sink struct {
	accounts map[string]*account
	entrance *entrance // nil where there is none
}

// account is one vendor.
type account struct {
	workload *harness.Workload

	mu      sync.Mutex
	vendor  vendor
	checker *harness.OrderChecker
	// chains are the failing people's calls. While isRefusing, they are answered 503.
	chains     *chains
	isRefusing bool
	exchanges  int
	answered   answers
	first      *exchange
	stamps     []stamp
}

// exchange is a request that a sink got, for the bare client to send the same.
type exchange struct {
	Method, URI string
	Header      map[string]string
	Body        []byte
}

// answers count those of a vendor's shape: 429, 503, and the time that the others took in all.
type answers struct {
	Throttled, Overloaded, Taken int
	Waited                       time.Duration
}

// stamp is when a call was somewhere, in nanoseconds of Unix time.
type stamp struct {
	harness.Step
	At int64
}

// sampled is the share of people who have stamps. Where there are failing people, all others have them.
const sampled = 8

// accountReport is what an account tells.
type accountReport struct {
	Delivered, Swapped, Repeated, Unknown, Lost, Exchanges int
	// Failing is what has come of the failing people's calls.
	Failing chainCounts
	Answers answers

	First  *exchange
	Stamps []stamp
}

// maxPeople bounds what a sink keeps.
const maxPeople = 50_000_000

var errFlag = errors.New("unknown")

// serveSink is the role of the vendors. The arguments are their names, each with a shape where it has one: slow=500ms.
func serveSink(args []string) error {
	flags := flag.NewFlagSet("sink", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "where")
	workloadName := flags.String("workload", "alias", "what each person does: alias, mixed, identities, tracks or small-tracks")
	chain := flags.Int("chain", 0, "how many calls each failing person has; they are answered 503 until /recover")
	scheme := flags.String("entrance", "", "http or https: one more address, at which connections are counted")
	trust := flags.String("trust", "", "a file to write the certificate of https to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	workloadOf, ok := workloads[*workloadName]
	if !ok {
		return fmt.Errorf("%w: workload %q", errFlag, *workloadName)
	}
	workload := workloadOf("")
	s := &sink{accounts: map[string]*account{}}
	for _, argument := range flags.Args() {
		name, shape, _ := strings.Cut(argument, "=")
		a := newAccount(workload)
		if *chain > 0 {
			a.chains, a.isRefusing = newChains(*chain), true
		}
		if shape != "" {
			var err error
			if a.vendor.shape, err = parseShape(shape); err != nil {
				return err
			}
		}
		s.accounts[name] = a
	}
	if *scheme != "" {
		var err error
		if s.entrance, err = openEntrance(*scheme, *trust, s.handle); err != nil {
			return err
		}
	}
	return serveChild(*listen, s.handle)
}

func newAccount(workload *harness.Workload) *account {
	return &account{workload: workload, checker: harness.NewOrderChecker(workload, maxPeople)}
}

func (s *sink) handle(ctx *fasthttp.RequestCtx) {
	name, _, _ := strings.Cut(strings.TrimPrefix(string(ctx.Path()), "/"), "/")
	a := s.accounts[name]
	switch {
	case name == "report":
		s.report(ctx)
	case name == "entrance" && s.entrance != nil:
		s.entrance.report(ctx)
	case name == "recover":
		s.recover()
	case a == nil:
		ctx.SetStatusCode(fasthttp.StatusNotFound)
	default:
		a.take(ctx)
	}
}

// bareAccount is the vendor of the bare client.
const bareAccount = "bare"

// recover has every vendor but that one take everything at once from now on, also the calls of failing people.
func (s *sink) recover() {
	for name, a := range s.accounts {
		if name == bareAccount {
			continue
		}
		a.mu.Lock()
		a.isRefusing = false
		a.vendor.shape = shape{}
		a.mu.Unlock()
	}
}

// take counts an exchange when it comes, and answers it as the vendor's shape has it.
func (a *account) take(ctx *fasthttp.RequestCtx) {
	now, body := time.Now(), ctx.PostBody()
	if len(ctx.Request.Header.ContentEncoding()) > 0 {
		var err error
		if body, err = ctx.Request.BodyGunzip(); err != nil {
			ctx.SetStatusCode(fasthttp.StatusBadRequest)
			return
		}
	}
	a.mu.Lock()
	if a.exchanges++; a.first == nil {
		a.first = keep(ctx)
	}
	if a.refuses(body) {
		a.mu.Unlock()
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		return
	}
	answer := a.vendor.take(now)
	a.answered.add(answer)
	if answer.status != statusOK {
		retryAfter := a.vendor.retryAfter
		a.mu.Unlock()
		a.wait(answer)
		ctx.SetStatusCode(answer.status)
		if answer.status == statusThrottled && retryAfter {
			ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
		}
		return
	}
	add := func(step harness.Step) { a.add(step, now.UnixNano()) }
	if !a.workload.Find(body, add) && !a.workload.Find(ctx.RequestURI(), add) {
		a.checker.Unknown++
	}
	a.mu.Unlock()
	a.wait(answer)
	ctx.SetContentType("application/json")
	ctx.SetBodyString(`{"status":1}`)
}

// wait waits until the answer is due.
func (a *account) wait(answer answer) {
	time.Sleep(answer.after)
	a.mu.Lock()
	a.vendor.left()
	a.mu.Unlock()
}

func (a *answers) add(answer answer) {
	switch answer.status {
	case statusThrottled:
		a.Throttled++
	case statusOverloaded:
		a.Overloaded++
	default:
		a.Taken++
		a.Waited += answer.after
	}
}

// refuses reports whether an exchange has a call of a failing person who is refused.
func (a *account) refuses(body []byte) (refused bool) {
	if a.isRefusing {
		a.workload.Find(body, func(step harness.Step) { refused = refused || step.Person >= failing })
	}
	return refused
}

func keep(ctx *fasthttp.RequestCtx) *exchange {
	x := &exchange{Method: string(ctx.Method()), URI: string(ctx.RequestURI()), Header: map[string]string{}, Body: bytes.Clone(ctx.PostBody())}
	for name, value := range ctx.Request.Header.All() {
		x.Header[string(name)] = string(value)
	}
	return x
}

func (a *account) add(step harness.Step, now int64) {
	switch {
	case a.chains != nil && step.Person >= failing:
		a.chains.add(step.Person - failing)
		return
	case step.Person >= elsewhere:
		return
	}
	before := a.checker.Delivered
	a.checker.Add(step, time.Time{})
	if (a.chains != nil || step.Person%sampled == 0) && a.checker.Delivered > before {
		a.stamps = append(a.stamps, stamp{step, now})
	}
}

// report tells about ?account: everything, given how many ?people there are.
func (s *sink) report(ctx *fasthttp.RequestCtx) {
	a := s.accounts[string(ctx.QueryArgs().Peek("account"))]
	if a == nil {
		ctx.SetStatusCode(fasthttp.StatusNotFound)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.checker
	report := accountReport{Delivered: c.Delivered, Swapped: c.Swapped, Repeated: c.Repeated, Unknown: c.Unknown, Exchanges: a.exchanges, Answers: a.answered}
	if a.chains != nil {
		report.Failing = a.chains.chainCounts
	}
	if people := ctx.QueryArgs().GetUintOrZero("people"); people > 0 {
		report.Lost, report.First, report.Stamps = c.Lost(people), a.first, a.stamps
	}
	if err := json.NewEncoder(ctx).Encode(report); err != nil {
		panic(fmt.Errorf("report: %w", err)) // it is numbers and texts
	}
}
