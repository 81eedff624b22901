package simulator

import (
	"net/http"
	"net/url"
	"strings"
)

// OfflineURL is the address below which an account without a network has its endpoint. Nothing listens there.
const OfflineURL = "http://simulated.invalid/"

// EndpointOf returns the endpoint to configure for an account without a network.
func EndpointOf(name, vendorType string) string { return OfflineURL + name + kinds[vendorType].base }

// NewOffline opens an account without a network. Requests get to it by Take alone, in this process.
func NewOffline(name, vendorType string, options Options) (*Account, error) {
	return newAccount(name, vendorType, OfflineURL+name, options)
}

// Taken is what an account answers to Take.
type Taken struct {
	Status      int
	ContentType string
	Body        []byte
	// Refusal is why the vendor threw something of the request away without saying so; "" where it did not.
	Refusal string
}

// Take hands a request to the account, as the vendor gets it, and returns the answer. The URL is absolute; its path is below the
// account's endpoint. It meets no fault, and is not kept as an exchange.
func (a *Account) Take(method, to string, header map[string]string, body []byte) Taken {
	path, query := a.target(to)
	in := &request{
		now: a.options.Now(), remote: "127.0.0.1", method: method, path: path, query: query,
		header: make(http.Header, len(header)), body: body, maxBody: a.options.MaxBody,
	}
	for name, value := range header {
		in.header.Set(name, value)
	}
	in.tooLarge = len(body) > in.maxBody
	if !in.tooLarge {
		in.items, in.malformed = a.vendor.decode(in)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.state.refusals.seen()
	out := textAnswer(http.StatusRequestEntityTooLarge, "simulator: the body is too large")
	if !in.tooLarge {
		out = a.vendor.handle(in)
	}
	taken := Taken{Status: out.status, ContentType: out.contentType, Body: out.body}
	if a.state.refusals.seen() > before {
		taken.Refusal = a.state.refusals.values[len(a.state.refusals.values)-1].Reason
	}
	return taken
}

// target is the path below the account's own, and the query.
type target struct {
	path  string
	query url.Values
}

// maxTargets bounds the URLs that an account keeps parsed: most vendors have few.
const maxTargets = 64

// target reads a URL.
func (a *Account) target(to string) (path string, query url.Values) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.targets[to]; ok {
		return known.path, known.query
	}
	if a.targets == nil {
		a.targets = map[string]target{}
	}
	address, parameters, _ := strings.Cut(to, "?")
	parsed, err := url.Parse(address)
	if err != nil {
		return "", nil // no endpoint has that path
	}
	t := target{path: strings.TrimPrefix(parsed.Path, "/"+a.name)}
	t.query, _ = url.ParseQuery(parameters) // what cannot be read is left out, as a server does
	if len(a.targets) < maxTargets {
		a.targets[to] = t
	}
	return t.path, t.query
}

// seen is how many values there ever were.
func (t *tail[T]) seen() int { return len(t.values) + t.cut }
