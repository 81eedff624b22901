package httpclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 10 * time.Second
	// maxIdleConn is shorter than most servers keep a connection open, so that we close it first: a request on a connection
	// that the vendor is just closing cannot be distinguished from one that it received.
	maxIdleConn = 10 * time.Second
	// maxConnAge is how soon a vendor's new address is used, however busy the connections to the old one are. A connection that
	// follows one resumes its TLS session, and so costs little.
	maxConnAge = 30 * time.Second
	// maxHandshake is how much of a TLS handshake is read.
	maxHandshake = 512 << 10
)

// conn is a connection to a vendor. One exchange at a time uses it: of requests that went out behind each other, a broken
// connection would leave all possibly delivered instead of one, and each would wait for the slowest before it.
type conn struct {
	net.Conn // encrypted, where the URL says so
	wire     *wire
	liveness liveness
	reader   *bufio.Reader
	origin   *origin
	born     time.Time
	deadline time.Time // of the exchanges on it, as it was set last
	began    time.Time // the exchange that it carries

	// These belong to the pool.
	idleSince time.Time
	expiry    *time.Timer // nil until it was put there
	expires   bool        // the timer runs
}

// wire is a connection below its encryption. It knows how much of a request has gone out, and bounds what is read.
type wire struct {
	net.Conn
	written int64
	unread  int64 // how much may still be read
	shut    bool  // nothing is read: only what was read before is looked at
	failed  error // what ended it; those above do not all pass that on
}

var errTooMuch = errors.New("the answer is too long")

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if w.shut {
		return 0, nothingMore{}
	}
	if w.unread <= 0 {
		w.fail(errTooMuch)
		return 0, errTooMuch
	}
	n, err := w.Conn.Read(p[:min(int64(len(p)), w.unread)])
	w.unread -= int64(n)
	w.fail(err)
	return n, err
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.written += int64(n)
	w.fail(err)
	return n, err
}

func (w *wire) fail(err error) {
	if err != nil && w.failed == nil {
		w.failed = err
	}
}

// nothingMore is the error of a wire that is shut. It calls itself temporary, or TLS would take the connection for broken.
type nothingMore struct{}

// Error, Timeout and Temporary implement net.Error.
func (nothingMore) Error() string   { return "nothing more was read" }
func (nothingMore) Timeout() bool   { return false }
func (nothingMore) Temporary() bool { return true }

// isDrained reports whether nothing is left of what was read, in the encryption's buffers neither: it would be taken for the
// answer to the next request.
func (c *conn) isDrained() bool {
	c.wire.shut = true
	_, err := c.reader.Peek(1)
	c.wire.shut = false
	return errors.Is(err, nothingMore{})
}

// endBy has the exchange end by the deadline, or up to a hundredth of the timeout before: to set one for each exchange costs.
func (c *conn) endBy(deadline time.Time, timeout time.Duration) {
	if early := deadline.Sub(c.deadline); early >= 0 && early <= timeout/100 {
		return
	}
	c.deadline = deadline
	_ = c.SetReadDeadline(deadline)
	_ = c.SetWriteDeadline(deadline.Add(-timeout / 10)) // what it may have answered before it had all is read yet
}

// Close breaks the connection. It never waits, as TLS's own does to say farewell.
func (c *conn) Close() error {
	if c.expiry != nil {
		c.expiry.Stop()
	}
	return c.wire.Conn.Close()
}

// fit reports whether a kept connection may carry another exchange: it is young, and the vendor has neither closed it nor said
// anything unasked.
func (c *conn) fit(now time.Time, maxAge time.Duration) bool {
	return now.Sub(c.born) < maxAge && c.liveness.isAlive()
}

// connect returns a connection to the origin: one that was kept, or a new one.
func (s *Sender) connect(o *origin, now, deadline time.Time) (c *conn, reused bool, err error) {
	for c := s.pool.take(o); c != nil; c = s.pool.take(o) {
		if c.fit(now, s.maxConnAge) {
			return c, true, nil
		}
		_ = c.Close()
	}
	c, err = s.dial(o, deadline)
	return c, false, err
}

func (s *Sender) dial(o *origin, deadline time.Time) (*conn, error) {
	ctx, cancel := context.WithDeadline(context.Background(), sooner(deadline, dialTimeout))
	defer cancel()
	raw, err := s.dialer.DialContext(ctx, "tcp", net.JoinHostPort(o.host, o.port))
	if err != nil {
		return nil, &exchangeError{kind: dialKind(err), cause: err}
	}
	w := &wire{Conn: raw}
	c := &conn{Conn: w, wire: w, origin: o, born: time.Now()}
	if o.scheme == "https" {
		if err := c.encrypt(s.tls, o.host, deadline); err != nil {
			_ = c.Close()
			return nil, &exchangeError{kind: KindTLS, cause: err}
		}
	}
	c.reader = bufio.NewReader(c)
	c.liveness.watch(raw)
	return c, nil
}

// encrypt does the TLS handshake, and verifies the certificate's name.
func (c *conn) encrypt(config *tls.Config, host string, deadline time.Time) error {
	config = config.Clone()
	config.ServerName = host
	encrypted := tls.Client(c.wire, config)
	c.Conn, c.wire.unread = encrypted, maxHandshake
	if err := c.SetDeadline(sooner(deadline, handshakeTimeout)); err != nil {
		return err
	}
	return encrypted.Handshake()
}

// sooner returns the deadline, or the end of a step's own time where that comes first.
func sooner(deadline time.Time, step time.Duration) time.Time {
	if end := time.Now().Add(step); end.Before(deadline) {
		return end
	}
	return deadline
}

func dialKind(err error) string {
	var (
		address *AddressError
		dns     *net.DNSError
	)
	switch {
	case errors.As(err, &address):
		return KindPrivate
	case errors.As(err, &dns):
		return KindDNS
	}
	return KindDial
}

// checkDialed looks at the address itself, after the name was resolved, and just before it is dialed: no answer of a name
// server gets past it.
func checkDialed(allowPrivate bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return checkAddress(to.Addr(), allowPrivate)
	}
}

// origin is a host that requests go to, as URLs name it.
type origin struct {
	scheme, host, port string
	header             string  // what Host says
	idle               []*conn // belongs to the pool
}

// maxOrigins is how many are known at a time. There are as many as there are endpoints in a destination's settings.
const maxOrigins = 100

// pool keeps the connections that wait for their next exchange, for a while.
type pool struct {
	mu      sync.Mutex
	origins map[string]*origin // by the URL before its path
	closed  bool               // nothing is kept any more
}

// close closes what is kept, and keeps nothing more.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, o := range p.origins {
		for _, c := range o.idle {
			_ = c.Close()
		}
		o.idle = nil
	}
}

// existing returns the origin of URLs that begin so, or nil.
func (p *pool) existing(base string) *origin {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.origins[base]
}

// origin returns the URL's, and knows it from then on.
func (p *pool) origin(u *url.URL) *origin {
	p.mu.Lock()
	defer p.mu.Unlock()
	base := u.Scheme + "://" + u.Host
	if o := p.origins[base]; o != nil {
		return o
	}
	if len(p.origins) == maxOrigins {
		clear(p.origins) // the connections to them expire
	}
	o := &origin{scheme: u.Scheme, host: u.Hostname(), port: u.Port(), header: withoutZone(u.Host)}
	if o.port == "" {
		o.port = u.Scheme // the name of its port, too
	}
	p.origins[base] = o
	return o
}

// withoutZone leaves out of an IPv6 address what has a meaning on this machine only.
func withoutZone(host string) string {
	end := strings.LastIndexByte(host, ']')
	zone := strings.LastIndexByte(host[:max(end, 0)], '%')
	if zone < 0 || host[0] != '[' {
		return host
	}
	return host[:zone] + host[end:]
}

// take returns the connection that was used last, which is the least likely to have been closed, or nil.
func (p *pool) take(o *origin) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(o.idle) - 1
	if last < 0 {
		return nil
	}
	c := o.idle[last]
	o.idle = slices.Delete(o.idle, last, last+1)
	return c
}

// put keeps a connection. It may not be used any more.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return
	}
	c.origin.idle = append(c.origin.idle, c)
	c.idleSince = time.Now()
	switch {
	case c.expires:
		return // and looks then how long it has waited
	case c.expiry == nil:
		c.expiry = time.AfterFunc(maxIdleConn, func() { p.expire(c) })
	default:
		c.expiry.Reset(maxIdleConn)
	}
	c.expires = true
}

// expire closes a connection that has waited too long, and looks again when another may have.
func (p *pool) expire(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(c.origin.idle, c)
	if i < 0 {
		c.expires = false
		return
	}
	if left := maxIdleConn - time.Since(c.idleSince); left > 0 {
		c.expiry.Reset(left)
		return
	}
	c.origin.idle = slices.Delete(c.origin.idle, i, i+1)
	_ = c.Close()
}
