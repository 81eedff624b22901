// Package simulator is the vendors as their documentation describes them, in memory, over real HTTP: what each endpoint
// checks and answers, the answers that lie, the vendor's own dedupe, and which ids it takes for one person. It is for
// demonstrations and tests. What no vendor's page says is decided here, and the comment at the place says so.
//
//	sim, err := simulator.Start("127.0.0.1:0")
//	endpoint, err := sim.Add("shop", "mixpanel", simulator.Options{IDMerge: "legacy"})
//	...                                       // send to the endpoint
//	fmt.Print(sim.Account("shop").Graph())    // anon-1 + jane@example.com  ->  one person, 3 events
//
// Every account has its own path below the simulator's address, its own people and its own faults. Another process
// drives it with HTTP and JSON:
//
//	GET    /_control                             this table, as text; at / too
//	GET    /_control/accounts                    every account: name, vendor, endpoint, counts
//	GET    /_control/accounts/NAME/graph         the people; ?format=text for reading
//	GET    /_control/accounts/NAME/exchanges     the HTTP exchanges, in order of arrival
//	GET    /_control/accounts/NAME/records       what the vendor took, in order
//	GET    /_control/accounts/NAME/refusals      what the vendor threw away without a word
//	GET    /_control/accounts/NAME/stats         the counts
//	GET    /_control/accounts/NAME/faults        the faults that stand
//	POST   /_control/accounts/NAME/faults        add a fault, or an array of them: see Fault
//	DELETE /_control/accounts/NAME/faults        end all faults and release what hangs
//	POST   /_control/accounts/NAME/reset         forget all exchanges, records and people
//
//	curl -d '{"status": 429, "header": {"Retry-After": "7"}, "times": 2}' $SIM/_control/accounts/shop/faults
//	curl -d '{"page": true, "times": 3}' $SIM/_control/accounts/crm/faults
//	curl -d '{"hang": true, "when": "after", "path": "/users/reidentify"}' $SIM/_control/accounts/crm/faults
//
// Nothing guards the control API: listen on loopback.
package simulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// controlPath is the first part of the control API's path; no account can have it as its name.
const controlPath = "_control"

// healthPath is that of aka's own probes, so that `aka health` can ask a simulator too.
const healthPath = "/healthz"

var accountName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Simulator listens and serves accounts. It is safe for concurrent use.
type Simulator struct {
	url     string
	server  *http.Server
	control http.Handler
	cancel  context.CancelFunc
	served  chan struct{}
	open    atomic.Int64 // connections

	mu       sync.Mutex
	accounts map[string]*Account
}

// Start listens on addr, such as "127.0.0.1:0" for any free port, and serves until Close.
func Start(addr string) (*Simulator, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Simulator{
		url:      "http://" + listener.Addr().String(),
		cancel:   cancel,
		served:   make(chan struct{}),
		accounts: map[string]*Account{},
	}
	s.control = s.controlHandler()
	s.server = &http.Server{
		Handler:           s,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: time.Minute,
		ConnState:         s.count,
	}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(listener) // it ends when Close closes the listener
	}()
	return s, nil
}

// ControlURL returns the address of the control API, which says in plain text what can be asked there.
func (s *Simulator) ControlURL() string { return s.url + "/" + controlPath }

// URL returns the address that accounts and the control API stand under, without a slash at its end.
func (s *Simulator) URL() string { return s.url }

// Add opens a simulated account and returns the endpoint to configure. The name is letters, digits, dots, dashes and
// underscores; the vendor is "mixpanel", "kissmetrics", "vero", "customerio", "segment" or "webhook", or any other, which is taken for one that
// answers 200 and {} to everything.
func (s *Simulator) Add(name, vendor string, options Options) (endpoint string, err error) {
	if !accountName.MatchString(name) {
		return "", fmt.Errorf("simulator account %q: the name may hold letters, digits, dots, dashes and underscores", name)
	}
	account, err := newAccount(name, vendor, s.url+"/"+name, options)
	if err != nil {
		return "", fmt.Errorf("simulator account %q: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[name] != nil {
		return "", fmt.Errorf("simulator account %q: the name is taken", name)
	}
	s.accounts[name] = account
	return account.Endpoint(), nil
}

// Account returns the account of that name, or nil when there is none.
func (s *Simulator) Account(name string) *Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[name]
}

// Close stops listening and breaks every connection, hanging exchanges too. What the accounts hold stays readable.
func (s *Simulator) Close() error {
	s.cancel()
	err := s.server.Close()
	<-s.served
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// count counts the connections.
func (s *Simulator) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

// Connections returns how many connections are open. A client that has ended has none once all that it had sent was read. A
// connection that a fault has broken does not count.
func (s *Simulator) Connections() int { return int(s.open.Load()) }

// ServeHTTP hands an exchange to the account that its path names, or to the control API. At /healthz it tells that it lives.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if name == controlPath || r.URL.Path == "/" {
		s.control.ServeHTTP(w, r)
		return
	}
	account := s.Account(name)
	if account == nil && r.URL.Path == healthPath {
		return // 200
	}
	if account == nil {
		http.Error(w, "simulator: no such account", http.StatusNotFound)
		return
	}
	account.serve(w, r, "/"+rest)
}

// list returns the accounts by name.
func (s *Simulator) list() []*Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	accounts := make([]*Account, 0, len(s.accounts))
	for _, account := range s.accounts {
		accounts = append(accounts, account)
	}
	slices.SortFunc(accounts, func(a, b *Account) int { return strings.Compare(a.name, b.name) })
	return accounts
}
