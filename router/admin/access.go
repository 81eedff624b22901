package admin

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// access is what a request may do.
type access int

const (
	nothing access = iota
	reading
	everything
)

// String returns how the API calls it.
func (a access) String() string { return [...]string{"none", "read", "full"}[a] }

// ProofHeader is the header, of any value, that a request without a token must have if it is to change something and no
// browser says where it comes from: a page of another site cannot set it.
const ProofHeader = "X-Aka-Admin"

var (
	// openPaths are for probes, which come under whatever name and have no token. Nothing of a call is there.
	openPaths = []string{"/healthz", "/readyz"}
	// signingPaths are where a browser gets what lets it in.
	signingPaths = []string{"/login", "/logout"}
	// harmlessPosts only look.
	harmlessPosts = []string{"/explain"}
)

// Why requests are turned away.
var (
	refusedTokenless  = &problem{http.StatusUnauthorized, "token_required", `token: required, as "Authorization: Bearer TOKEN" (what the file holds that admin.token_file or admin.read_token_file names), or signed in at /login`}
	refusedToken      = &problem{http.StatusUnauthorized, "wrong_token", "token: neither the one of admin.token_file nor that of admin.read_token_file"}
	refusedReader     = &problem{http.StatusForbidden, "read_only", "token: it allows to read only; to change something takes the one of admin.token_file"}
	refusedOrigin     = &problem{http.StatusForbidden, "cross_origin", "origin: a page of another site may neither change nor load anything here"}
	refusedUnproven   = &problem{http.StatusForbidden, "unproven_origin", "origin: nothing says that no page of another site sent this; add the header " + ProofHeader + ": 1"}
	refusedTooMany    = &problem{http.StatusTooManyRequests, "too_many_attempts", "token: too many wrong ones came from this address; try again in a minute"}
	refusedUnreadable = &problem{http.StatusServiceUnavailable, "token_unreadable", "token: cannot be checked, for its file cannot be read; the log says why"}
)

// codeUnknownHost is the code of a refusal whose message differs.
const codeUnknownHost = "unknown_host"

// newRefusals returns the counter of requests that were turned away, every code at zero.
func newRefusals(registry prometheus.Registerer) *prometheus.CounterVec {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "aka", Subsystem: "admin", Name: "refused_total",
		Help: "Requests that the admin server rejected, by reason: no token, a wrong one, or a forbidden origin."}, []string{"code"})
	for _, p := range []*problem{refusedTokenless, refusedToken, refusedReader, refusedOrigin, refusedUnproven, refusedTooMany, refusedUnreadable, {code: codeUnknownHost}} {
		counter.WithLabelValues(p.code)
	}
	registry.MustRegister(counter)
	return counter
}

// guard knows who may come. It is safe for concurrent use.
type guard struct {
	Tokens
	log     *zap.Logger
	hosts   []string // that requests may name
	origins *http.CrossOriginProtection
	refused *prometheus.CounterVec

	loginLimiter loginLimiter
	sessions     sessions
	tokenError   lastError
}

func newGuard(config Config) *guard {
	return &guard{
		Tokens: config.Tokens, log: config.Logger, hosts: ourHosts(config.Listen, config.Hosts),
		origins: http.NewCrossOriginProtection(), refused: newRefusals(config.Metrics),
	}
}

// handler lets through who may come. Web pages that others made must not get in by way of an operator's browser: neither under
// a name of their own that was made to lead here (DNS rebinding), nor from where they are (cross-site requests).
func (g *guard) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := g.check(r)
		if p == nil {
			next.ServeHTTP(w, r)
			return
		}
		g.refused.WithLabelValues(p.code).Inc()
		switch {
		case p == refusedTokenless && r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html"):
			http.Redirect(w, r, "/login", http.StatusSeeOther) // a person looks
			return
		case p.status == http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", `Bearer realm="aka"`)
		case p.status == http.StatusTooManyRequests:
			w.Header().Set("Retry-After", "60")
		}
		refuse(w, p)
	})
}

// check returns why a request may not come in, or nil. A token in its header says more than any name or origin: no page
// has it, and no browser adds it by itself.
func (g *guard) check(r *http.Request) *problem {
	if slices.Contains(openPaths, r.URL.Path) {
		return nil
	}
	granted, hasToken, p := g.byHeader(r)
	switch {
	case p != nil:
		return p
	case !hasToken && !g.isOurs(r.Host):
		return g.unknownHost(r.Host)
	case g.origins.Check(r) != nil, isPartOfAnotherSite(r):
		return refusedOrigin
	case !hasToken && changes(r) && !provesOrigin(r):
		return refusedUnproven
	case slices.Contains(signingPaths, r.URL.Path):
		return nil
	case !hasToken:
		granted, p = g.byCookie(r)
	}
	switch {
	case p != nil:
		return p
	case granted == nothing:
		return refusedTokenless
	case granted == reading && changes(r):
		return refusedReader
	}
	return nil
}

// changes reports whether a request may change something.
func changes(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return !slices.Contains(harmlessPosts, r.URL.Path)
}

// isPartOfAnotherSite reports whether a page of another site loads something as a part of itself. It could read nothing, but keep
// the streams of events from those who look. To follow a link is no such thing.
func isPartOfAnotherSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return r.Header.Get("Sec-Fetch-Dest") != "document"
	}
	return false
}

// provesOrigin reports whether something says where the request comes from. What a browser says is checked already.
func provesOrigin(r *http.Request) bool {
	return r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get(ProofHeader) != ""
}

func (g *guard) unknownHost(host string) *problem {
	message := fmt.Sprintf("host: expected an IP address, localhost, the host of admin.listen or one of admin.hosts, not %q", host)
	return &problem{http.StatusForbidden, codeUnknownHost, message}
}

// isOurs reports whether the name in a Host header cannot belong to another site.
func (g *guard) isOurs(hostport string) bool {
	host := hostport
	if name, _, err := net.SplitHostPort(hostport); err == nil {
		host = name
	}
	host = strings.ToLower(host)
	if slices.Contains(g.hosts, host) {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// ourHosts are the names that cannot belong to another site.
func ourHosts(listen string, more []string) []string {
	hosts := []string{"localhost"}
	if host, _, err := net.SplitHostPort(listen); err == nil && host != "" {
		hosts = append(hosts, strings.ToLower(host))
	}
	for _, host := range more {
		hosts = append(hosts, strings.ToLower(host))
	}
	return hosts
}

// Access is the answer of /access.
type Access struct {
	// Access is full, or read where nothing may be changed.
	Access string `json:"access"`
	// SignedIn tells that a cookie let in, so that signing out means something.
	SignedIn bool `json:"signed_in"`
}

// access says what the client may do, so that a page need not offer the rest.
func (g *guard) access(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	_, hasToken, _ := g.byHeader(r)
	return Access{Access: g.granted(r).String(), SignedIn: !hasToken && g.AreSet()}, nil
}

// granted returns what a request may do that was let in.
func (g *guard) granted(r *http.Request) access {
	granted, hasToken, _ := g.byHeader(r)
	if !hasToken {
		granted, _ = g.byCookie(r)
	}
	return granted
}
