package delivery

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/klauspost/compress/gzip"
)

// Exchange is one HTTP request as it goes out.
type Exchange struct {
	Method, URL string
	Header      map[string]string
	Body        []byte
}

// Response is what came of an exchange.
type Response struct {
	Status     int
	RetryAfter string
	// Body is the start of the answer.
	Body []byte
	// Err is why there is no answer; the other fields are empty then.
	Err error
	// Ambiguous tells, beside Err, that the vendor may have received the request and acted on it.
	Ambiguous bool
}

// Sender does HTTP exchanges. It is safe for concurrent use.
type Sender interface {
	Send(x Exchange) Response
}

const (
	// maxAnswer is how much of an answer's body is kept.
	maxAnswer = 64 << 10
	// maxHead is how much is read of an answer before its body, and maxBody of its body, as they come.
	maxHead = 64 << 10
	maxBody = 4 * maxAnswer
	// maxInterim is how many answers that only announce another are read.
	maxInterim = 10
)

// HTTPSender sends over the network, to any number of hosts. It follows no redirects, knows no proxies, sends nothing again
// that may have gone out, verifies certificates, and connects to no private address unless that is allowed.
//
// net/http writes and reads the messages, but the connections are its own: what net/http's client repeats by itself, and
// whether a request that failed had gone out, it does not tell.
type HTTPSender struct {
	timeout    time.Duration
	dialer     net.Dialer
	tls        *tls.Config
	maxConnAge time.Duration
	idle       pool
}

// NewHTTPSender makes a sender whose exchanges end within the timeout.
func NewHTTPSender(o Options) *HTTPSender {
	return &HTTPSender{
		timeout:    o.Timeout,
		dialer:     net.Dialer{Control: checkDialed(o.AllowPrivate)},
		tls:        &tls.Config{MinVersion: tls.VersionTLS12},
		maxConnAge: maxConnAge,
		idle:       pool{idle: map[string][]*conn{}},
	}
}

// Send does one exchange. A header `Content-Encoding: gzip` compresses the body.
func (s *HTTPSender) Send(x Exchange) Response {
	deadline := time.Now().Add(s.timeout)
	request, err := newRequest(x)
	if err != nil {
		return noAnswer(err)
	}
	for {
		c, kept, err := s.connect(request.URL, deadline)
		if err != nil {
			return noAnswer(err)
		}
		answer, keep, err := c.exchange(request, deadline, s.timeout)
		if keep {
			s.idle.put(c)
		} else {
			_ = c.Close()
		}
		if err == nil {
			return answer
		}
		if kept && !wasSent(err) {
			continue // it had been closed, and not a byte has gone out
		}
		return noAnswer(err)
	}
}

func noAnswer(err error) Response { return Response{Err: err, Ambiguous: wasSent(err)} }

// newRequest refuses what would not be one request. Its errors hold no URL, which may have a token in it.
func newRequest(x Exchange) (*http.Request, error) {
	body := x.Body
	if strings.EqualFold(x.Header["Content-Encoding"], "gzip") {
		body = compress(x.Body)
	}
	request, err := http.NewRequest(x.Method, encoded(x.URL), bytes.NewReader(body))
	if err != nil {
		return nil, &exchangeError{kind: errOther, cause: errors.New("not a request")}
	}
	if s := request.URL.Scheme; s != "http" && s != "https" || request.URL.Hostname() == "" {
		return nil, &exchangeError{kind: errOther, cause: errors.New("not an absolute URL")}
	}
	request.Header.Set("User-Agent", "aka")
	for name, value := range x.Header {
		if strings.ContainsFunc(name+value, unicode.IsControl) {
			return nil, &exchangeError{kind: errOther, cause: errors.New("a header holds control characters")}
		}
		request.Header.Set(name, value)
	}
	return request, nil
}

// encoded returns the URL with every character encoded that would end it, or the line that it stands in.
func encoded(text string) string {
	if !strings.ContainsFunc(text, endsURL) {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; endsURL(rune(c)) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func endsURL(c rune) bool { return c <= ' ' || c >= 0x7f }

// exchange sends the request and reads the answer. keep tells whether the connection may be used again.
func (c *conn) exchange(request *http.Request, deadline time.Time, timeout time.Duration) (answer Response, keep bool, err error) {
	if request.Body, err = request.GetBody(); err != nil {
		return Response{}, false, &exchangeError{kind: errOther, cause: err}
	}
	c.wire.written, c.wire.unread = 0, maxHead
	_ = c.SetReadDeadline(deadline)
	_ = c.SetWriteDeadline(deadline.Add(-timeout / 10)) // what it may have answered before it had all is read yet
	err = request.Write(c.writer)
	if err == nil {
		err = c.writer.Flush()
	}
	if err == nil {
		return c.answer(request)
	}
	if c.wire.written == 0 {
		return Response{}, false, c.broken(err, false)
	}
	if early, _, readErr := c.answer(request); readErr == nil {
		return early, false, nil // such as 413
	}
	return Response{}, false, c.broken(err, true)
}

// answer reads the answer of a request that has gone out.
func (c *conn) answer(request *http.Request) (answer Response, keep bool, err error) {
	head, err := c.head(request)
	if err != nil {
		return Response{}, false, err
	}
	c.wire.unread += maxBody
	body, err := io.ReadAll(io.LimitReader(head.Body, maxAnswer+1))
	tooLong := len(body) > maxAnswer || errors.Is(err, errTooMuch)
	// The status stands where the answer is longer than what we read, and where it alone decides.
	if err != nil && !tooLong && !decides(head.StatusCode) {
		return Response{}, false, c.broken(err, true)
	}
	keep = err == nil && !tooLong && !head.Close && c.isDrained()
	return Response{
		Status:     head.StatusCode,
		RetryAfter: head.Header.Get("Retry-After"),
		Body:       plainBody(head, body[:min(len(body), maxAnswer)]),
	}, keep, nil
}

var errNotHTTP = errors.New("the answer is not HTTP/1")

// head reads up to the body of the final answer.
func (c *conn) head(request *http.Request) (*http.Response, error) {
	for range maxInterim {
		head, err := http.ReadResponse(c.reader, request)
		if err != nil {
			return nil, c.broken(err, true)
		}
		switch status := head.StatusCode; {
		case head.ProtoMajor != 1, status < 100, status > 599, status == http.StatusSwitchingProtocols:
			return nil, c.broken(errNotHTTP, true)
		case status >= 200:
			return head, nil
		}
	}
	return nil, c.broken(errNotHTTP, true)
}

// decides tells whether a status says all that matters, so that a body that breaks off takes nothing from it.
func decides(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// plainBody returns the start of the answer's body, decompressed; as it came when that fails. We ask for no compression.
func plainBody(head *http.Response, body []byte) []byte {
	if !strings.EqualFold(head.Header.Get("Content-Encoding"), "gzip") {
		return body
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return body
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxAnswer))
	if err != nil && len(plain) == 0 {
		return body
	}
	return plain
}

var gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func compress(body []byte) []byte {
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	var out writeBuffer
	w.Reset(&out)
	_, _ = w.Write(body)
	_ = w.Close()
	return out
}

type writeBuffer []byte

// Write appends.
func (b *writeBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
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

// wasSent tells whether the request may have reached the vendor before the exchange failed.
func wasSent(err error) bool {
	var failed *exchangeError
	return errors.As(err, &failed) && failed.sent
}

// The kinds of a failed exchange, for metrics and logs.
const (
	errDNS       = "dns"
	errDial      = "dial"
	errPrivate   = "private_address"
	errTLS       = "tls"
	errTimeout   = "timeout"
	errReset     = "reset"
	errBadAnswer = "bad_answer"
	errOther     = "other"
)

var errorKinds = []string{errDNS, errDial, errPrivate, errTLS, errTimeout, errReset, errBadAnswer, errOther}

// errorKind classes a failed exchange.
func errorKind(err error) string {
	var failed *exchangeError
	if errors.As(err, &failed) {
		return failed.kind
	}
	return errOther
}

// broken classes by its type what went wrong on a connection that stood.
func (c *conn) broken(err error, sent bool) error {
	var (
		network net.Error
		op      *net.OpError
		kind    = errBadAnswer
	)
	cause := cmp.Or(c.wire.failed, err)
	switch {
	case errors.As(cause, &network) && network.Timeout():
		kind = errTimeout
	case errors.Is(cause, io.EOF), errors.As(cause, &op):
		kind = errReset
	}
	return &exchangeError{kind: kind, sent: sent, cause: err}
}
