package delivery

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp"
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
	// maxAnswer is how much of an answer is read.
	maxAnswer = 64 << 10
	// maxIdleConn is shorter than most servers keep a connection open, so that we close it first: a request on a connection
	// that the vendor is just closing cannot be told from one that it received.
	maxIdleConn = 10 * time.Second
	dialTimeout = 5 * time.Second
)

// HTTPSender sends over the network, to any number of hosts. It follows no redirects, retries nothing and verifies
// certificates.
type HTTPSender struct {
	client  *fasthttp.Client
	timeout time.Duration
}

// NewHTTPSender makes a sender whose exchanges end within the timeout.
func NewHTTPSender(o Options) *HTTPSender {
	dialer := &fasthttp.TCPDialer{DNSCacheDuration: 30 * time.Second}
	return &HTTPSender{timeout: o.Timeout, client: &fasthttp.Client{
		Name:                          "aka",
		MaxConnsPerHost:               o.Concurrency,
		MaxIdleConnDuration:           maxIdleConn,
		MaxIdemponentCallAttempts:     1,
		RetryIfErr:                    func(*fasthttp.Request, int, error) (bool, bool) { return false, false },
		MaxResponseBodySize:           maxAnswer,
		DisablePathNormalizing:        true,
		DisableHeaderNamesNormalizing: true,
		TLSConfig:                     &tls.Config{MinVersion: tls.VersionTLS12},
		Dial: func(addr string) (net.Conn, error) {
			return dialer.DialDualStackTimeout(addr, min(dialTimeout, o.Timeout))
		},
	}}
}

// Send does one exchange. A header `Content-Encoding: gzip` compresses the body.
func (s *HTTPSender) Send(x Exchange) Response {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI(x.URL)
	request.Header.SetMethod(x.Method)
	for name, value := range x.Header {
		request.Header.Set(name, value)
	}
	if strings.EqualFold(x.Header["Content-Encoding"], "gzip") {
		request.SetBodyRaw(compress(x.Body))
	} else {
		request.SetBodyRaw(x.Body)
	}
	err := s.client.DoTimeout(request, response, s.timeout)
	if err != nil && !errors.Is(err, fasthttp.ErrBodyTooLarge) {
		return Response{Err: err, Ambiguous: wasSent(err)}
	}
	// The answer may be longer than what we read; its status stands.
	return Response{
		Status:     response.StatusCode(),
		RetryAfter: string(response.Header.Peek("Retry-After")),
		Body:       append([]byte(nil), plainBody(response)...),
	}
}

// plainBody returns the answer's body, decompressed within bounds; as it came when that fails.
func plainBody(response *fasthttp.Response) []byte {
	if len(response.Header.ContentEncoding()) > 0 {
		if body, err := response.BodyUncompressedWithLimit(maxAnswer); err == nil {
			return body
		}
	}
	return response.Body()
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

// wasSent tells whether the request may have reached the vendor before the exchange failed.
func wasSent(err error) bool {
	switch errorKind(err) {
	case errDNS, errDial, errTLS, errNoConn:
		return false
	}
	return true
}

// The kinds of a failed exchange, for metrics and logs.
const (
	errDNS     = "dns"
	errDial    = "dial"
	errTLS     = "tls"
	errNoConn  = "no_connection"
	errTimeout = "timeout"
	errReset   = "reset"
	errOther   = "other"
)

var errorKinds = []string{errDNS, errDial, errTLS, errNoConn, errTimeout, errReset, errOther}

// errorKind classes a failed exchange by the type of its error.
func errorKind(err error) string {
	var (
		dns         *net.DNSError
		op          *net.OpError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		authority   x509.UnknownAuthorityError
		host        x509.HostnameError
		invalid     x509.CertificateInvalidError
		timeout     net.Error
	)
	switch {
	case errors.As(err, &dns):
		return errDNS
	case errors.Is(err, fasthttp.ErrTLSHandshakeTimeout),
		errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"), // how crypto/tls marks alerts
		errors.As(err, &certificate), errors.As(err, &record),
		errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid):
		return errTLS
	case errors.Is(err, fasthttp.ErrDialTimeout), errors.As(err, &op) && op.Op == "dial":
		return errDial
	case errors.Is(err, fasthttp.ErrNoFreeConns):
		return errNoConn
	case errors.Is(err, fasthttp.ErrTimeout), errors.As(err, &timeout) && timeout.Timeout():
		return errTimeout
	case errors.Is(err, fasthttp.ErrConnectionClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errReset
	}
	return errOther
}
