// Package httpclient does HTTP exchanges with vendors: requests go out as they are, answers come back, and where none does, whether
// the vendor may have received the request.
package httpclient

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// Exchange is one HTTP request as it goes out.
type Exchange struct {
	Method, URL string
	Header      map[string]string
	Body        []byte
}

// Response is what came of an exchange.
type Response struct {
	Status int
	// RetryAfter and ContentType are the headers of these names, as they came.
	RetryAfter, ContentType string
	// RateLimit is what the vendor says of its limit in the headers X-RateLimit-Limit, -Remaining and -Reset.
	RateLimit RateLimit
	// Latency is from when the request began to go out to the first byte of the answer.
	Latency time.Duration
	// Body is the start of the answer, as far as it came in time.
	Body []byte
	// TooLong tells that the answer is longer than what is kept of one.
	TooLong bool
	// Err is why there is no answer; the other fields are empty then.
	Err error
	// PossiblyDelivered tells, beside Err, that the vendor may have received the request and acted on it.
	PossiblyDelivered bool
}

// RateLimit is what a vendor says of its own limit.
type RateLimit struct {
	// Known tells that Limit and Remaining are there: how many requests are allowed, and how many are left of them.
	Known            bool
	Limit, Remaining int
	// Reset is when that many are allowed again, as it came: seconds from now, or since 1970. 0 is not known.
	Reset int
}

// Sender sends over the network, to any number of hosts. It follows no redirects, knows no proxies, sends nothing again
// that may have gone out, verifies certificates, and connects to no private address unless that is allowed. It is safe for concurrent
// use.
//
// The connections are its own: what net/http's client repeats by itself, and whether a request that failed had gone out, it
// does not tell. Plain messages it writes and reads by itself too, for speed. Whatever else there is, net/http understands.
type Sender struct {
	timeout    time.Duration
	dialer     net.Dialer
	tls        *tls.Config
	maxConnAge time.Duration
	pool       pool
}

// Options are what a sender is made with.
type Options struct {
	// Timeout bounds one exchange, from dialing to the end of the answer.
	Timeout time.Duration
	// AllowPrivate lets exchanges go to this machine and to private networks.
	AllowPrivate bool
}

// New makes a sender whose exchanges end within the timeout.
func New(o Options) *Sender {
	return &Sender{
		timeout:    o.Timeout,
		dialer:     net.Dialer{Control: checkDialed(o.AllowPrivate)},
		tls:        &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(maxOrigins)},
		maxConnAge: maxConnAge,
		pool:       pool{origins: map[string]*origin{}},
	}
}

// Send does one exchange. A header `Content-Encoding: gzip` compresses the body.
func (s *Sender) Send(x Exchange) Response {
	now := time.Now()
	deadline := now.Add(s.timeout)
	r, err := s.newRequest(x)
	if err != nil {
		return noAnswer(err)
	}
	defer r.free()
	for {
		c, reused, err := s.connect(r.origin, now, deadline)
		if err != nil {
			return noAnswer(err)
		}
		answer, keep, err := c.exchange(r, deadline, s.timeout)
		if keep {
			s.pool.put(c)
		} else {
			_ = c.Close()
		}
		if err == nil {
			return answer
		}
		if reused && !wasSent(err) {
			continue // it had been closed, and not a byte has gone out
		}
		return noAnswer(err)
	}
}

// Close closes the connections that wait for their next exchange. Those that are in one are not kept after it.
func (s *Sender) Close() error {
	s.pool.close()
	return nil
}

func noAnswer(err error) Response { return Response{Err: err, PossiblyDelivered: wasSent(err)} }

// exchange sends the request and reads the answer. keep reports whether the connection may be used again.
func (c *conn) exchange(r *request, deadline time.Time, timeout time.Duration) (answer Response, keep bool, err error) {
	c.wire.written, c.wire.unread = 0, maxHead
	c.endBy(deadline, timeout)
	c.began = time.Now()
	_, err = c.Write(r.first)
	if err == nil && len(r.rest) > 0 {
		_, err = c.Write(r.rest)
	}
	if err == nil {
		return c.answer(r.method)
	}
	if c.wire.written == 0 {
		return Response{}, false, c.broken(err, false)
	}
	// Such as 413. A success would be that of something which has not been read.
	if early, _, readErr := c.answer(r.method); readErr == nil && early.Status >= 300 {
		return early, false, nil
	}
	return Response{}, false, c.broken(err, true)
}

// exchangeError is why there is no answer.
type exchangeError struct {
	kind string
	// sent tells that some of the request has gone out.
	sent  bool
	cause error
}

// Error implements error.
func (e *exchangeError) Error() string { return e.kind + ": " + e.cause.Error() }

// Unwrap returns the cause.
func (e *exchangeError) Unwrap() error { return e.cause }

// wasSent reports whether the request may have reached the vendor before the exchange failed.
func wasSent(err error) bool {
	var failed *exchangeError
	return errors.As(err, &failed) && failed.sent
}

// The kinds of a failed exchange, for metrics and logs.
const (
	KindDNS       = "dns"
	KindDial      = "dial"
	KindPrivate   = "private_address"
	KindTLS       = "tls"
	KindTimeout   = "timeout"
	KindReset     = "reset"
	KindBadAnswer = "bad_answer"
	KindOther     = "other"
)

// ErrorKinds are all kinds of a failed exchange.
var ErrorKinds = []string{KindDNS, KindDial, KindPrivate, KindTLS, KindTimeout, KindReset, KindBadAnswer, KindOther}

// ErrorKind returns the kind of a failed exchange.
func ErrorKind(err error) string {
	var failed *exchangeError
	if errors.As(err, &failed) {
		return failed.kind
	}
	return KindOther
}

// broken classes by its type what went wrong on a connection that stood.
func (c *conn) broken(err error, sent bool) error {
	var (
		network net.Error
		op      *net.OpError
		kind    = KindBadAnswer
	)
	cause := cmp.Or(c.wire.failed, err)
	switch {
	case errors.As(cause, &network) && network.Timeout():
		kind = KindTimeout
	case errors.Is(cause, io.EOF), errors.As(cause, &op):
		kind = KindReset
	}
	return &exchangeError{kind: kind, sent: sent, cause: err}
}
