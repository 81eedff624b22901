package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"aka/e2e/crowd"
)

// sink is vendors that take everything at once, or after a while, and keep count of it.
type sink struct{ accounts map[string]*account }

// account is one vendor.
type account struct {
	name      string
	delay     time.Duration
	aliasStep int

	mu        sync.Mutex
	tally     *crowd.Tally
	exchanges int
	first     *exchange
	stamps    []stamp
}

// exchange is a request that a sink got, for the bare client to send the same.
type exchange struct {
	Method, URI string
	Header      map[string]string
	Body        []byte
}

// stamp is when a call was somewhere, in nanoseconds of Unix time. Only one person in sampled has them.
type stamp struct {
	crowd.Place
	At int64
}

const sampled = 8

// accountReport is what an account tells.
type accountReport struct {
	Delivered, Swapped, Repeated, Unknown, Lost, Exchanges int

	First  *exchange
	Stamps []stamp
}

// maxPeople bounds what a sink keeps.
const maxPeople = 50_000_000

// serveSink is the role of the vendors. The arguments are their names, each with a delay where it has one: slow=500ms.
func serveSink(args []string) error {
	flags := flag.NewFlagSet("sink", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "where")
	isMixed := flags.Bool("mixed", false, "people tell the story of mixed traffic")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ranks, step := aliasRanks, 0
	if *isMixed {
		ranks, step = mixedRanks, aliasStep
	}
	s := &sink{accounts: map[string]*account{}}
	for _, argument := range flags.Args() {
		name, delay, _ := strings.Cut(argument, "=")
		a := &account{name: name, aliasStep: step, tally: crowd.NewTally(ranks, maxPeople)}
		if delay != "" {
			var err error
			if a.delay, err = time.ParseDuration(delay); err != nil {
				return err
			}
		}
		s.accounts[name] = a
	}
	return serveChild(*listen, s.handle)
}

func (s *sink) handle(ctx *fasthttp.RequestCtx) {
	name, _, _ := strings.Cut(strings.TrimPrefix(string(ctx.Path()), "/"), "/")
	a := s.accounts[name]
	switch {
	case name == "report":
		s.report(ctx)
	case a == nil:
		ctx.SetStatusCode(fasthttp.StatusNotFound)
	default:
		a.take(ctx)
	}
}

// take counts an exchange when it comes, and answers it after the delay.
func (a *account) take(ctx *fasthttp.RequestCtx) {
	now, body := time.Now().UnixNano(), ctx.PostBody()
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
	if !a.count(body, now) && !a.count(ctx.RequestURI(), now) && !a.countAlias(body, now) && !a.countAlias(ctx.RequestURI(), now) {
		a.tally.Unknown++
	}
	a.mu.Unlock()
	time.Sleep(a.delay)
	ctx.SetContentType("application/json")
	ctx.SetBodyString(`{"status":1}`)
}

func keep(ctx *fasthttp.RequestCtx) *exchange {
	x := &exchange{Method: string(ctx.Method()), URI: string(ctx.RequestURI()), Header: map[string]string{}, Body: bytes.Clone(ctx.PostBody())}
	for name, value := range ctx.Request.Header.All() {
		x.Header[string(name)] = string(value)
	}
	return x
}

// count finds every call that carries its place: ~000000012-3~, in any vendor's words.
func (a *account) count(text []byte, now int64) (found bool) {
	const length = digits + 4
	for {
		start := bytes.IndexByte(text, '~')
		if start < 0 || len(text) < start+length {
			return found
		}
		text = text[start:]
		person, ok := number(text[1:])
		if !ok || text[length-1] != '~' {
			text = text[1:]
			continue
		}
		a.add(crowd.Place{Person: person, Step: int(text[digits+2] - '0')}, now)
		text, found = text[length:], true
	}
}

// countAlias finds an alias, which carries nothing but ids.
func (a *account) countAlias(text []byte, now int64) bool {
	at := bytes.Index(text, []byte("-old"))
	if at < digits {
		return false
	}
	person, ok := number(text[at-digits:])
	if ok {
		a.add(crowd.Place{Person: person, Step: a.aliasStep}, now)
	}
	return ok
}

// number reads a person's number at the start of a text.
func number(text []byte) (n int, ok bool) {
	if len(text) < digits {
		return 0, false
	}
	for _, c := range text[:digits] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func (a *account) add(p crowd.Place, now int64) {
	if p.Person >= elsewhere {
		return
	}
	before := a.tally.Delivered
	a.tally.Add(p)
	if p.Person%sampled == 0 && a.tally.Delivered > before {
		a.stamps = append(a.stamps, stamp{p, now})
	}
}

// report tells about ?account: everything, when it is told how many ?people there are.
func (s *sink) report(ctx *fasthttp.RequestCtx) {
	a := s.accounts[string(ctx.QueryArgs().Peek("account"))]
	if a == nil {
		ctx.SetStatusCode(fasthttp.StatusNotFound)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tally
	report := accountReport{Delivered: t.Delivered, Swapped: t.Swapped, Repeated: t.Repeated, Unknown: t.Unknown, Exchanges: a.exchanges}
	if people := ctx.QueryArgs().GetUintOrZero("people"); people > 0 {
		report.Lost, report.First, report.Stamps = t.Lost(people), a.first, a.stamps
	}
	if err := json.NewEncoder(ctx).Encode(report); err != nil {
		panic(fmt.Errorf("report: %w", err)) // it is numbers and texts
	}
}
