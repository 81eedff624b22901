package delivery

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 10 * time.Second
	// maxIdleConn is shorter than most servers keep a connection open, so that we close it first: a request on a connection
	// that the vendor is just closing cannot be told from one that it received.
	maxIdleConn = 10 * time.Second
	// maxConnAge is how soon a vendor's new address is used, however busy the connections to the old one are.
	maxConnAge = 30 * time.Second
	// maxHandshake is how much of a TLS handshake is read.
	maxHandshake = 512 << 10
)

// conn is a connection to a vendor. One exchange at a time uses it.
type conn struct {
	net.Conn // encrypted, where the URL says so
	wire     *wire
	reader   *bufio.Reader
	writer   *bufio.Writer
	key      string
	born     time.Time
	expiry   *time.Timer // belongs to the pool; nil until it was put there
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

// isDrained tells whether nothing is left of what was read, in the encryption's buffers neither: it would be taken for the
// answer to the next request.
func (c *conn) isDrained() bool {
	c.wire.shut = true
	_, err := c.reader.Peek(1)
	c.wire.shut = false
	return errors.Is(err, nothingMore{})
}

// Close breaks the connection. It never waits, as TLS's own does to say farewell.
func (c *conn) Close() error { return c.wire.Conn.Close() }

// fit tells whether a kept connection may carry another exchange: it is young, and the vendor has neither closed it nor said
// anything that nobody asked for.
func (c *conn) fit(maxAge time.Duration) bool {
	return time.Since(c.born) < maxAge && isQuiet(c.wire.Conn)
}

// connect returns a connection to the URL's host: one that was kept, or a new one.
func (s *HTTPSender) connect(u *url.URL, deadline time.Time) (c *conn, kept bool, err error) {
	key := u.Scheme + "://" + u.Host
	for c := s.idle.take(key); c != nil; c = s.idle.take(key) {
		if c.fit(s.maxConnAge) {
			return c, true, nil
		}
		_ = c.Close()
	}
	c, err = s.dial(u, deadline)
	if err != nil {
		return nil, false, err
	}
	c.key = key
	return c, false, nil
}

func (s *HTTPSender) dial(u *url.URL, deadline time.Time) (*conn, error) {
	port := u.Port()
	if port == "" {
		port = u.Scheme // the name of its port, too
	}
	ctx, cancel := context.WithDeadline(context.Background(), earlier(deadline, time.Now().Add(dialTimeout)))
	defer cancel()
	raw, err := s.dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, &exchangeError{kind: dialKind(err), cause: err}
	}
	w := &wire{Conn: raw}
	c := &conn{Conn: w, wire: w, born: time.Now()}
	if u.Scheme == "https" {
		if err := c.encrypt(s.tls, u.Hostname(), deadline); err != nil {
			_ = c.Close()
			return nil, &exchangeError{kind: errTLS, cause: err}
		}
	}
	c.reader, c.writer = bufio.NewReader(c), bufio.NewWriter(c)
	return c, nil
}

// encrypt does the TLS handshake, and verifies whom the certificate is for.
func (c *conn) encrypt(config *tls.Config, host string, deadline time.Time) error {
	config = config.Clone()
	config.ServerName = host
	encrypted := tls.Client(c.wire, config)
	c.Conn, c.wire.unread = encrypted, maxHandshake
	if err := c.SetDeadline(earlier(deadline, time.Now().Add(handshakeTimeout))); err != nil {
		return err
	}
	return encrypted.Handshake()
}

func dialKind(err error) string {
	var (
		address *AddressError
		dns     *net.DNSError
	)
	switch {
	case errors.As(err, &address):
		return errPrivate
	case errors.As(err, &dns):
		return errDNS
	}
	return errDial
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

// pool keeps the connections that wait for their next exchange, for a while.
type pool struct {
	mu   sync.Mutex
	idle map[string][]*conn
}

// take returns the connection that was used last, which is the least likely to have been closed, or nil.
func (p *pool) take(key string) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle[key]) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[key][last]
	p.remove(key, last)
	return c
}

// put keeps a connection. It may not be used any more.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.expiry == nil {
		c.expiry = time.AfterFunc(maxIdleConn, func() { p.expire(c) })
	} else {
		c.expiry.Reset(maxIdleConn)
	}
	p.idle[c.key] = append(p.idle[c.key], c)
}

func (p *pool) expire(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.idle[c.key], c); i >= 0 {
		p.remove(c.key, i)
		_ = c.Close()
	}
}

func (p *pool) remove(key string, i int) {
	p.idle[key][i].expiry.Stop()
	p.idle[key] = slices.Delete(p.idle[key], i, i+1)
	if len(p.idle[key]) == 0 {
		delete(p.idle, key)
	}
}
