package ingress

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// acceptPause is how long a listener that is out of descriptors or memory waits for some to be given back.
	acceptPause = 50 * time.Millisecond
	// idleLimit and idleBytes bound what is taken from a client behind its answer.
	idleLimit = time.Second
	idleBytes = 64 << 20
)

// retryingListener outlasts the shortages that pass: one of them must not end the process. It may have been closed before.
type retryingListener struct {
	net.Listener
	conns  *conns
	limit  int // of connections
	slack  time.Duration
	reject func(net.Conn)
	once   sync.Once
	closed error
}

// Close closes the listener.
func (l *retryingListener) Close() error {
	l.once.Do(func() {
		if err := l.Listener.Close(); !errors.Is(err, net.ErrClosed) {
			l.closed = err
		}
	})
	return l.closed
}

// Accept waits for the next connection.
func (l *retryingListener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		switch {
		case err == nil:
			if c := l.admit(accepted); c != nil {
				return c, nil
			}
		case passes(err):
			time.Sleep(acceptPause)
		default:
			return nil, err
		}
	}
}

// admit counts a connection, and returns nil when it is not to be served.
func (l *retryingListener) admit(accepted net.Conn) net.Conn {
	l.conns.makeRoom(l.limit)
	open := l.conns.len()
	if open >= withReserve(l.limit) {
		l.reject(accepted) // not even its request can be read
		return nil
	}
	c := &conn{Conn: accepted, all: l.conns, extra: open >= l.limit, slack: l.slack, peer: peer(accepted.RemoteAddr())}
	if l.conns.add(c) {
		return c
	}
	_ = c.Close()
	return nil
}

func passes(err error) bool {
	for _, shortage := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, shortage) {
			return true
		}
	}
	return false
}

// conn is a connection of an SDK.
type conn struct {
	net.Conn
	all    *conns
	extra  bool         // there were as many as may be when it came
	spoke  atomic.Bool  // something has come
	rests  atomic.Int64 // since when it waits for a request, as conns.now says it; or working, or evicted
	late   bool         // what was waited for did not come in time
	head   []byte       // the buffer that the library reads requests into
	unread atomic.Bool  // the client may still be sending, and it is not read

	peer        netip.Addr                // as the function peer returns it
	readBy, set time.Time                 // when reading is to give up, and when it does
	writeBy     atomic.Pointer[time.Time] // when writing gives up
	slack       time.Duration
}

// deadlineSlack is how much earlier than it should a connection may give up, at most. A busy one moves its deadline that often
// only.
const deadlineSlack = 250 * time.Millisecond

// slackOf keeps the slack small beside every timeout.
func slackOf(l *Limits) time.Duration {
	return min(deadlineSlack, l.ReadTimeout/16, l.IdleTimeout/16)
}

// SetReadDeadline is for who reads. The library moves the deadline several times a request, mostly where all that it goes on to
// read has come: only what waits for the network needs it.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.readBy = t
	return nil
}

func (c *conn) moveDeadline() error {
	if c.isNear(c.set, c.readBy) {
		return nil
	}
	c.set = c.readBy
	return c.Conn.SetReadDeadline(c.readBy)
}

// SetWriteDeadline is for who writes, and for who closes meanwhile.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if set := c.writeBy.Load(); set != nil && c.isNear(*set, t) {
		return nil
	}
	moved := t
	c.writeBy.Store(&moved)
	return c.Conn.SetWriteDeadline(t)
}

// isNear reports whether the deadline that is set does for the one that is wanted.
func (c *conn) isNear(set, wanted time.Time) bool {
	return wanted.IsZero() == set.IsZero() && !wanted.Before(set) && wanted.Sub(set) <= c.slack
}

// Read reads. A connection that ends before anything has come just ends, however it does: no client waits for an answer, and
// a load balancer that only looks whether the port is open counts as no request.
func (c *conn) Read(p []byte) (int, error) {
	n, err := 0, c.moveDeadline()
	c.head = firstOf(c.head, p)
	if err == nil {
		n, err = c.Conn.Read(p)
	}
	c.late = c.late || isTimeout(err)
	switch {
	case n > 0 && !c.work():
		return 0, net.ErrClosed // what came is not begun with: it could not be answered
	case n > 0:
		c.spoke.Store(true)
	case err != nil && !c.spoke.Load():
		err = io.EOF
	}
	return n, err
}

// firstOf returns the buffer of a connection's first read. The library has one for all of its requests, and does not show it.
func firstOf(first, buffer []byte) []byte {
	if first == nil {
		return buffer
	}
	return first
}

// headOf returns the buffer that has the beginning of a request which was too large for it.
func headOf(c net.Conn) []byte {
	switch c := c.(type) {
	case *tlsConn:
		return c.head
	case *conn:
		return c.head
	}
	return nil
}

// work says that a request has begun, and returns false when the connection was closed before.
func (c *conn) work() bool {
	since := c.rests.Load()
	return since == working || since > working && c.rests.CompareAndSwap(since, working)
}

// rest says that the next request is waited for.
func (c *conn) rest() { c.rests.CompareAndSwap(working, int64(c.all.now())) }

// Close closes the connection. A client that is still sending has a moment to read its answer: if what it
// sends were not read, its system could throw the answer away.
func (c *conn) Close() error {
	defer c.all.remove(c)
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.unread.Swap(false) {
		_ = half.CloseWrite()
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.all.idleLimit))
		_, _ = io.CopyN(io.Discard, c.Conn, idleBytes)
	}
	return c.Conn.Close()
}

// readOn makes the connection take what the client is still sending when it is closed after the answer.
func readOn(ctx *fasthttp.RequestCtx) {
	if c := connOf(ctx); c != nil {
		c.unread.Store(true)
	}
}

// isLate reports whether the request did not come in time. Of an error within chunks the library does not show the cause.
func isLate(ctx *fasthttp.RequestCtx, err error) bool {
	c := connOf(ctx)
	return isTimeout(err) || err != nil && c != nil && c.late
}

func isTimeout(err error) bool {
	if err == nil {
		return false
	}
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// connOf returns the connection that the listener accepted; nil when there was no listener.
func connOf(ctx *fasthttp.RequestCtx) *conn { return accepted(ctx.Conn()) }

func accepted(below net.Conn) *conn {
	if encrypted, ok := below.(*tlsConn); ok {
		below = encrypted.raw.Conn
	}
	c, _ := below.(*conn)
	return c
}
