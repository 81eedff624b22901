package httpclient

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

const (
	// maxAnswer is how much of an answer's body is kept.
	maxAnswer = 64 << 10
	// maxHead is how much is read of an answer before its body, and maxBody of its body, as they come.
	maxHead = 64 << 10
	maxBody = 4 * maxAnswer
	// maxInterim is how many answers that only announce another are read.
	maxInterim = 10
)

// answer reads the answer of a request that has gone out. keep reports whether the connection may be used again.
func (c *conn) answer(method string) (answer Response, keep bool, err error) {
	if _, err := c.reader.Peek(1); err != nil {
		return Response{}, false, c.broken(err, true)
	}
	latency := time.Since(c.began)
	come, _ := c.reader.Peek(c.reader.Buffered())
	plain, ok := readPlain(come)
	if !ok || method == http.MethodHead {
		answer, keep, err = c.anyAnswer(method)
		answer.Latency = latency
		return answer, keep, err
	}
	answer = Response{
		Status: plain.status, RetryAfter: string(plain.retryAfter), ContentType: string(plain.contentType), Body: bytes.Clone(plain.body),
		RateLimit: plain.rateLimit.numbers(), Latency: latency,
	}
	_, _ = c.reader.Discard(len(come))
	return answer, !plain.close && c.isDrained(), nil
}

// anyAnswer reads an answer as net/http understands it.
func (c *conn) anyAnswer(method string) (answer Response, keep bool, err error) {
	head, err := c.head(method)
	if err != nil {
		return Response{}, false, err
	}
	c.wire.unread += maxBody
	body, err := io.ReadAll(io.LimitReader(head.Body, maxAnswer+1))
	tooLong := len(body) > maxAnswer || errors.Is(err, errTooMuch)
	if err != nil && !tooLong && !c.stands(head.StatusCode, err) {
		return Response{}, false, c.broken(err, true)
	}
	keep = err == nil && !tooLong && !head.Close && c.isDrained()
	plain, more := plainBody(head, body[:min(len(body), maxAnswer)])
	return Response{
		Status:      head.StatusCode,
		RetryAfter:  head.Header.Get("Retry-After"),
		ContentType: head.Header.Get("Content-Type"),
		RateLimit:   rateLimitOf(head.Header),
		Body:        plain,
		TooLong:     tooLong || more,
	}, keep, nil
}

// stands reports whether an answer whose body failed is one all the same: when its status alone decides, or when the body was not
// wrong but did not end in time. A vendor that never ends its answers has taken what its status says, and would be sent the same again and again.
func (c *conn) stands(status int, bodyErr error) bool {
	return decides(status) || ErrorKind(c.broken(bodyErr, true)) == KindTimeout
}

var errNotHTTP = errors.New("the answer is not HTTP/1")

// head reads up to the body of the final answer.
func (c *conn) head(method string) (*http.Response, error) {
	request := &http.Request{Method: method}
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

// decides reports whether a status says all that matters, so that a body that breaks off takes nothing from it.
func decides(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// plainBody returns the start of the answer's body, decompressed; as it came when that fails. We ask for no compression. more
// tells that what was compressed goes on behind it.
func plainBody(head *http.Response, body []byte) (plain []byte, more bool) {
	switch strings.ToLower(head.Header.Get("Content-Encoding")) {
	case "gzip", "x-gzip":
	default:
		return body, false
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return body, false
	}
	plain, err = io.ReadAll(io.LimitReader(z, maxAnswer+1))
	if err != nil && len(plain) == 0 {
		return body, false
	}
	return plain[:min(len(plain), maxAnswer)], len(plain) > maxAnswer
}

// plainAnswer is an answer of the kind that nearly all are of. What it names is part of what was read.
type plainAnswer struct {
	status      int
	retryAfter  []byte
	contentType []byte
	rateLimit   rateLimitHeaders
	close       bool
	body        []byte
}

// readPlain reads an answer that has come as a whole and with nothing behind it, and leaves no two ways to read it. It
// understands it as net/http does. Where it is not ok, net/http is to be asked: nothing is wrong with the answer yet.
func readPlain(come []byte) (answer plainAnswer, ok bool) {
	end := bytes.Index(come, []byte("\r\n\r\n"))
	if end < 0 {
		return plainAnswer{}, false
	}
	line, rest, _ := bytes.Cut(come[:end+2], []byte("\r\n"))
	answer.status, ok = readStatus(line)
	length := -1
	for ok && len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		ok = answer.readHeader(line, &length)
	}
	answer.body = come[end+4:]
	switch {
	case answer.status == http.StatusNoContent, answer.status == http.StatusNotModified:
		length = 0
	case length < 0:
		ok = false
	}
	return answer, ok && length == len(answer.body)
}

// readStatus reads the first line of a final answer.
func readStatus(line []byte) (status int, ok bool) {
	const version = "HTTP/1.1 "
	if len(line) < len(version)+3 || string(line[:len(version)]) != version || !all(line, valueBytes) {
		return 0, false
	}
	digits, reason := line[len(version):len(version)+3], line[len(version)+3:]
	status, ok = readNumber(digits)
	return status, ok && status >= 200 && status <= 599 && (len(reason) == 0 || reason[0] == ' ')
}

// readHeader takes what matters from one line. It is not ok where the line may mean what is not known here.
func (a *plainAnswer) readHeader(line []byte, length *int) (ok bool) {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 || !isToken(line[:colon]) || !all(line[colon:], valueBytes) {
		return false
	}
	name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
	switch {
	case isNamed(name, "Content-Length"):
		if *length >= 0 {
			return false
		}
		*length, ok = readNumber(value)
		return ok
	case isNamed(name, "Connection"):
		closes := isNamed(value, "close")
		a.close = a.close || closes
		return closes || isNamed(value, "keep-alive")
	case isNamed(name, "Retry-After"):
		if len(a.retryAfter) > 0 {
			return false
		}
		a.retryAfter = value
		return len(value) > 0
	case isNamed(name, "Content-Type"):
		if len(a.contentType) > 0 {
			return false
		}
		a.contentType = value
		return len(value) > 0
	case len(name) > len(rateLimitPrefix) && isNamed(name[:len(rateLimitPrefix)], rateLimitPrefix):
		a.rateLimit.read(name[len(rateLimitPrefix):], value)
	case isNamed(name, "Transfer-Encoding"), isNamed(name, "Content-Encoding"):
		return false
	}
	return true
}

func isNamed(name []byte, want string) bool {
	return len(name) == len(want) && strings.EqualFold(string(name), want)
}

// readNumber reads a number of up to six digits.
func readNumber(digits []byte) (n int, ok bool) {
	if len(digits) == 0 || len(digits) > 6 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}
