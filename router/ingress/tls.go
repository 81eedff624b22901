package ingress

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// handshakeGrace is what is left to handshakes when the listener closes: they are no requests yet, and those that hang would
// keep the server from stopping.
const handshakeGrace = 5 * time.Second

// tlsListener makes its connections speak TLS.
type tlsListener struct {
	net.Listener
	config  *tls.Config
	timeout time.Duration // of a handshake

	mu       sync.Mutex
	isClosed bool
	shaking  map[*tlsConn]struct{} // those in their handshake
}

func newTLSListener(listener net.Listener, c *certificate, timeout time.Duration) *tlsListener {
	// Which versions and suites are safe the library knows best.
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.get}
	return &tlsListener{Listener: listener, config: config, timeout: timeout, shaking: map[*tlsConn]struct{}{}}
}

// Accept waits for the next connection. The server makes the handshake.
func (l *tlsListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	raw := &peekConn{Conn: conn}
	return &tlsConn{Conn: tls.Server(raw, l.config), raw: raw, listener: l}, nil
}

// Close closes the listener, and soon after the connections that are still in their handshake.
func (l *tlsListener) Close() error {
	l.mu.Lock()
	if !l.isClosed {
		l.isClosed = true
		for c := range l.shaking {
			_ = c.raw.SetDeadline(time.Now().Add(min(handshakeGrace, l.timeout)))
		}
	}
	l.mu.Unlock()
	return l.Listener.Close()
}

func (l *tlsListener) begin(c *tlsConn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shaking[c] = struct{}{}
	timeout := l.timeout
	if l.isClosed {
		timeout = min(handshakeGrace, timeout)
	}
	return c.raw.SetDeadline(time.Now().Add(timeout))
}

// end leaves it to the server to set the next deadline.
func (l *tlsListener) end(c *tlsConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.shaking, c)
	_ = c.raw.SetDeadline(time.Time{})
}

// tlsConn is a connection that speaks TLS, once Handshake says so. The server calls that first, and goes on to read whatever
// it returns.
type tlsConn struct {
	*tls.Conn
	raw      *peekConn
	listener *tlsListener
	speaks   speech
	head     []byte // the buffer that the library reads requests into
}

// speech is what a connection turned out to speak.
type speech int

const (
	speaksNothing speech = iota // not yet, or no TLS
	speaksTLS
	speaksPlainHTTP
)

// Handshake finds out what the client speaks. It takes no longer than the listener's timeout.
func (c *tlsConn) Handshake() error {
	err := c.listener.begin(c)
	defer c.listener.end(c)
	if err == nil {
		c.speaks, err = c.meet()
	}
	return err
}

// recordTypeHandshake is what TLS begins with (https://www.rfc-editor.org/rfc/rfc8446#section-5.1).
const recordTypeHandshake = 22

var errNotTLS = errors.New("neither TLS nor HTTP")

// meet looks at the first byte. HTTP begins with a letter.
func (c *tlsConn) meet() (speech, error) {
	first, err := c.raw.peek()
	switch {
	case err != nil:
		return speaksNothing, err
	case first >= 'A' && first <= 'Z':
		return speaksPlainHTTP, nil
	case first != recordTypeHandshake:
		return speaksNothing, errNotTLS
	}
	if err := c.Conn.Handshake(); err != nil {
		return speaksNothing, err
	}
	return speaksTLS, nil
}

// Read reads what the client says; where there was no handshake that is nothing.
func (c *tlsConn) Read(p []byte) (int, error) {
	c.head = firstOf(c.head, p)
	switch c.speaks {
	case speaksTLS:
		return c.Conn.Read(p)
	case speaksPlainHTTP:
		return c.raw.Read(p)
	}
	return 0, io.EOF
}

// Write answers the client. Without a handshake it cannot: the library's own would wait for one.
func (c *tlsConn) Write(p []byte) (int, error) {
	switch c.speaks {
	case speaksTLS:
		return c.Conn.Write(p)
	case speaksPlainHTTP:
		return c.raw.Write(p)
	}
	return 0, net.ErrClosed
}

// speaksPlainly reports whether plain HTTP came where TLS was expected.
func speaksPlainly(conn net.Conn) bool {
	c, ok := conn.(*tlsConn)
	return ok && c.speaks == speaksPlainHTTP
}

// peekConn gives its first byte away before it is read.
type peekConn struct {
	net.Conn
	first  [1]byte
	peeked bool // and not yet read
}

func (c *peekConn) peek() (byte, error) {
	_, err := io.ReadFull(c.Conn, c.first[:])
	c.peeked = err == nil
	return c.first[0], err
}

// Read reads on, from the byte that was peeked at.
func (c *peekConn) Read(p []byte) (int, error) {
	if !c.peeked || len(p) == 0 {
		return c.Conn.Read(p)
	}
	c.peeked = false
	p[0] = c.first[0]
	return 1, nil
}
