package simulator

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Options say what an account knows and how much it keeps.
type Options struct {
	// IDMerge is a Mixpanel project's identity mode: "legacy", "original" or "simplified". Required there, unused elsewhere.
	IDMerge string
	// Token is the project token, API key or auth token that the account knows; "" takes any.
	Token string
	// APISecret is a Mixpanel project's secret, and ServiceUser, ServiceSecret and ProjectID are its service account:
	// other credentials for /import. Where neither these nor Token are set, any will do.
	APISecret, ServiceUser, ServiceSecret, ProjectID string
	// CustomerIO is how a Customer.io workspace is set. Unused elsewhere.
	CustomerIO CustomerIO
	// Segment is which upstream with Segment's API it is. Unused elsewhere.
	Segment Segment
	// Webhook is how a receiver of webhooks is set. Unused elsewhere.
	Webhook Webhook
	// Now is the clock of time rules and dedupe windows. Default: time.Now.
	Now func() time.Time
	// Seed starts the dice of faults with a probability.
	Seed uint64
	// MaxBody bounds a request's body, before and after decompression; a larger one gets 413. Default: 64 MiB.
	MaxBody int
	// MaxExchanges and MaxExchangeBytes bound the exchanges that are kept: their number and the sum of their bodies. The
	// oldest go first and are counted. Default: 10,000 and 16 MiB.
	MaxExchanges, MaxExchangeBytes int
	// MaxRecords bounds the records and refusals that are kept, the dedupe keys remembered and the ids known.
	// Default: 1,000,000.
	MaxRecords int
	// PeopleOnly keeps who is one person, and no more than that needs: no records, few keys of duplicates, and but for Customer.io no
	// events and no properties. It is for large logs.
	PeopleOnly bool
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxBody == 0 {
		o.MaxBody = 64 << 20
	}
	if o.MaxExchanges == 0 {
		o.MaxExchanges = 10_000
	}
	if o.MaxExchangeBytes == 0 {
		o.MaxExchangeBytes = 16 << 20
	}
	if o.MaxRecords == 0 {
		o.MaxRecords = 1_000_000
	}
	return o
}

// vendor is how one vendor reads an exchange and what it makes of it.
type vendor interface {
	// decode reads the records out of an exchange, credentials replaced by <secret>. It touches nothing else, so that it
	// runs beside other exchanges.
	decode(*request) ([]item, error)
	// handle takes or refuses the decoded records and answers. The account is locked.
	handle(*request) answer
}

// ownPeople is a vendor that keeps its people itself, not in the account state's graph. What does not fit it counts in the graph's cut.
type ownPeople interface {
	// graph returns the people. The account is locked.
	graph(now time.Time) Graph
}

// kind is how one vendor is simulated.
type kind struct {
	open func(*accountState, Options) vendor
	// base is the path of the vendor's endpoint below the account's address.
	base string
	// check refuses impossible options; nil takes all.
	check func(Options) error
}

// kinds is the table: a vendor's type in the config, and its simulation. Any other vendor is plain.
var kinds = map[string]kind{
	"customerio":  {open: newCustomerIO, check: checkCustomerIO},
	"kissmetrics": {open: newKissmetrics},
	"mixpanel":    {open: newMixpanel, check: checkIDMerge},
	"segment":     {open: newSegment, base: segmentBase, check: checkSegment},
	"vero":        {open: newVero, base: veroBase},
	"webhook":     {open: newWebhook, check: checkWebhook},
}

// Account is one simulated account at a vendor. It is safe for concurrent use. What its methods return are copies whose
// maps are shared: they must not be modified.
type Account struct {
	name, vendorName, endpoint string
	kind                       kind
	options                    Options
	faults                     *faults

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced whenever something happens
	exchanges tail[*Exchange]
	bytes     int // of the exchanges kept
	state     *accountState
	vendor    vendor
	targets   map[string]target // of Take
}

func newAccount(name, vendorName, endpoint string, options Options) (*Account, error) {
	kind, ok := kinds[vendorName]
	if !ok {
		kind.open = newPlain
	}
	a := &Account{
		name: name, vendorName: vendorName, endpoint: endpoint + kind.base,
		kind:    kind,
		options: options.withDefaults(),
		faults:  newFaults(options.Seed),
		changed: make(chan struct{}),
	}
	if a.kind.check != nil {
		if err := a.kind.check(options); err != nil {
			return nil, err
		}
	}
	a.forget()
	return a, nil
}

// Name returns the account's name.
func (a *Account) Name() string { return a.name }

// Vendor returns the vendor's type, as it was given.
func (a *Account) Vendor() string { return a.vendorName }

// Endpoint returns the URL to configure as the vendor's.
func (a *Account) Endpoint() string { return a.endpoint }

// Exchanges returns the exchanges that are kept, in order of arrival.
func (a *Account) Exchanges() []Exchange {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]Exchange, len(a.exchanges.values))
	for i, exchange := range a.exchanges.values {
		all[i] = *exchange
	}
	return all
}

// Records returns what the vendor took, in the order in which it took it.
func (a *Account) Records() []Record {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Record{}, a.state.records.values...)
}

// Refusals returns what the vendor threw away without saying so in its answer.
func (a *Account) Refusals() []Refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Refusal{}, a.state.refusals.values...)
}

// Graph returns the people that the account knows.
func (a *Account) Graph() Graph {
	a.mu.Lock()
	defer a.mu.Unlock()
	if own, ok := a.vendor.(ownPeople); ok {
		return own.graph(a.options.Now())
	}
	return a.state.graph.people()
}

// Stats counts what happened to an account.
type Stats struct {
	// Exchanges is how many arrived; ExchangesCut of them are no longer kept.
	Exchanges    int `json:"exchanges"`
	ExchangesCut int `json:"exchanges_cut"`
	// Records is how many were taken; RecordsCut of them are no longer kept.
	Records    int `json:"records"`
	RecordsCut int `json:"records_cut"`
	// Duplicates is how many were dropped because the vendor had them already.
	Duplicates int `json:"duplicates"`
	// Events is how many of the records are events.
	Events int `json:"events"`
	// Refusals is how many were thrown away without a word; RefusalsCut of them are no longer kept.
	Refusals    int `json:"refusals"`
	RefusalsCut int `json:"refusals_cut"`
	// Faults is how many exchanges met a fault.
	Faults int `json:"faults"`
	// GraphCut is how much the graph left out because it is full. A graph with a cut is not to be compared.
	GraphCut int `json:"graph_cut"`
}

// Stats returns the counts so far.
func (a *Account) Stats() Stats {
	acted := a.faults.count()
	a.mu.Lock()
	defer a.mu.Unlock()
	return Stats{
		Exchanges:    len(a.exchanges.values) + a.exchanges.cut,
		ExchangesCut: a.exchanges.cut,
		Records:      len(a.state.records.values) + a.state.records.cut,
		RecordsCut:   a.state.records.cut,
		Duplicates:   a.state.duplicates,
		Events:       a.state.events,
		Refusals:     len(a.state.refusals.values) + a.state.refusals.cut,
		RefusalsCut:  a.state.refusals.cut,
		Faults:       acted,
		GraphCut:     a.state.graph.cut,
	}
}

// AddFaults puts faults behind those that stand. An exchange meets the first one that applies to it, and no other. When
// one of the faults is impossible none is added.
func (a *Account) AddFaults(all ...Fault) error { return a.faults.add(all) }

// Faults returns the faults that stand; Times is what is left of it.
func (a *Account) Faults() []Fault { return a.faults.list() }

// ClearFaults ends every fault and lets exchanges that hang go on.
func (a *Account) ClearFaults() { a.faults.clear() }

// Reset forgets all exchanges, records and people. Faults stay.
func (a *Account) Reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget()
	a.signal()
}

// Wait returns once until is true. It asks at once and again whenever an exchange has arrived, was ingested or has ended;
// until may call the account's methods. When ctx ends first its error is returned.
func (a *Account) Wait(ctx context.Context, until func() bool) error {
	for {
		changed := a.nextChange()
		if until() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for account %s: %w", a.name, ctx.Err())
		}
	}
}

func (a *Account) nextChange() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// signal wakes who waits. The account is locked.
func (a *Account) signal() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// forget starts over with an empty state. The account is locked, or not known yet.
func (a *Account) forget() {
	a.bytes = 0
	a.exchanges = tail[*Exchange]{max: a.options.MaxExchanges}
	a.state = newAccountState(a.options.MaxRecords)
	if a.options.PeopleOnly {
		a.state.keepPeopleOnly()
	}
	a.vendor = a.kind.open(a.state, a.options)
}

// serve is one exchange: read it, meet the fault that applies, let the vendor work, answer.
func (a *Account) serve(w http.ResponseWriter, r *http.Request, path string) {
	exchange := newExchange(r, path, a.options.Now())
	blind := !a.faults.readFirst(path)
	var fault *Fault
	if blind {
		fault = a.faults.take(*exchange)
	}
	if fault != nil && fault.Reset && fault.When != After && fault.Delay == 0 {
		a.arrived(exchange, fault)
		resetConnection(w)
		return
	}
	in, err := a.read(w, r, path, exchange)
	if err != nil {
		return // the client went away
	}
	if !blind {
		fault = a.faults.take(*exchange)
	}
	a.arrived(exchange, fault)
	out, answered := a.act(r.Context(), in, fault)
	if !answered {
		resetConnection(w)
		return
	}
	a.ended(exchange, out.status)
	out.write(r.Context(), w)
}

// read takes in the body and decodes it, and fills in the exchange.
func (a *Account) read(w http.ResponseWriter, r *http.Request, path string, exchange *Exchange) (*request, error) {
	in, err := newRequest(w, r, path, exchange.At, a.options.MaxBody)
	if err != nil {
		return nil, err
	}
	a.decode(in)
	exchange.Digest = in.digest
	exchange.Records = make([]any, len(in.items))
	for i, item := range in.items {
		exchange.Records[i] = item.value
	}
	exchange.bytes += len(in.body)
	return in, nil
}

func (a *Account) decode(in *request) {
	if in.tooLarge {
		return
	}
	a.mu.Lock()
	vendor := a.vendor
	a.mu.Unlock()
	in.items, in.malformed = vendor.decode(in)
}

// arrived puts an exchange on the list, and the oldest off it where there are too many.
func (a *Account) arrived(exchange *Exchange, fault *Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if fault != nil {
		exchange.Fault = fault.String()
	}
	if len(a.exchanges.values) == a.exchanges.max {
		a.bytes -= a.exchanges.drop().bytes
	}
	a.exchanges.add(exchange)
	a.bytes += exchange.bytes
	for a.bytes > a.options.MaxExchangeBytes && len(a.exchanges.values) > 1 {
		a.bytes -= a.exchanges.drop().bytes
	}
	a.signal()
}

// act lets the vendor work and the fault get in its way. It reports false when there is to be no answer.
func (a *Account) act(ctx context.Context, in *request, fault *Fault) (answer, bool) {
	if fault == nil {
		return a.process(in), true
	}
	if !pause(ctx, fault.Delay) {
		return answer{}, false
	}
	in.failed = fault.FailRecords
	var out answer
	processed := fault.When == After
	if processed {
		out = a.process(in)
	}
	if fault.Hang && !fault.hang(ctx) {
		return answer{}, false
	}
	if fault.Reset {
		return answer{}, false
	}
	if !processed && !fault.replaces() {
		out = a.process(in)
	}
	return fault.shape(out), true
}

func (a *Account) process(in *request) answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.signal()
	if in.tooLarge {
		return textAnswer(http.StatusRequestEntityTooLarge, "simulator: the body is too large")
	}
	return a.vendor.handle(in)
}

// ended notes the status before the answer leaves, so that a client that has the answer finds it noted.
func (a *Account) ended(exchange *Exchange, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	exchange.Status = status
	a.signal()
}
