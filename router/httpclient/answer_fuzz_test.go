package httpclient

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What is read here is read as net/http does, which reads all else.
func FuzzPlainAnswer(f *testing.F) {
	for _, text := range slices.Concat(plainAnswers, otherAnswers) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, come []byte) {
		got, ok := readPlain(come)
		if !ok {
			return
		}
		reader := bufio.NewReader(bytes.NewReader(come))
		want, err := http.ReadResponse(reader, &http.Request{Method: "POST"})
		if err != nil {
			t.Fatalf("%q: net/http refuses it: %v", come, err)
		}
		body, err := io.ReadAll(want.Body)
		if _, more := reader.ReadByte(); err != nil || more != io.EOF {
			t.Fatalf("%q: net/http has not read all: %v", come, err)
		}
		if got.status != want.StatusCode || got.close != want.Close || !bytes.Equal(got.body, body) ||
			string(got.retryAfter) != want.Header.Get("Retry-After") || string(got.contentType) != want.Header.Get("Content-Type") || want.Header.Get("Content-Encoding") != "" || want.Uncompressed ||
			got.rateLimit.numbers() != rateLimitOf(want.Header) {
			t.Fatalf("%q: got %+v, want %+v, body %q", come, got, want, body)
		}
	})
}

func TestOrdinaryAnswersNeedNoNetHTTP(t *testing.T) {
	for _, text := range plainAnswers {
		if _, ok := readPlain([]byte(text)); !ok {
			t.Errorf("%q is not read", text)
		}
		for end := range len(text) {
			if _, ok := readPlain([]byte(text[:end])); ok {
				t.Errorf("%q is read before it has come", text[:end])
			}
		}
	}
	for _, text := range otherAnswers {
		if got, ok := readPlain([]byte(text)); ok {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

var plainAnswers = []string{
	"HTTP/1.1 429 Too Many Requests\r\nX-RateLimit-Limit: 50\r\nx-ratelimit-remaining: 0\r\nX-RateLimit-Reset: 1796054400\r\nX-RateLimit-Limit: 7\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 304 \r\ncontent-length: 9\r\n\r\n",
	"HTTP/1.1 429 Slow\r\nretry-after:\t7 \r\nX: \xc3\xa9\r\nCONTENT-LENGTH: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\ncontent-type:  Text/HTML; charset=utf-8\t\r\nContent-Length: 6\r\n\r\n<html>",
	"HTTP/1.1 503\r\nConnection: Close\r\nConnection: keep-alive\r\nContent-Length: 003\r\n\r\n\r\n\x00",
	"HTTP/1.1 200 OK\r\nTrailer: Content-Length\r\nContent-Length: 0\r\n\r\n",
}

var otherAnswers = []string{
	"",
	"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
	"HTTP/1.1 200 O\nK\r\nContent-Length: 0\r\n\r\n",
	"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 200 OK\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
	"HTTP/1.1 204 No Content\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\n Content-Length: 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nX\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\n: y\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nX: y\rz\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nConnection: close, keep-alive\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nRetry-After: \r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nContent-Type:\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nContent-Type: image/gif\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 200 OK\r\nRetry-After: 7\r\nRetry-After: 8\r\nContent-Length: 2\r\n\r\n{}",
}

// What goes out is what net/http would send, whether the origin is known already or not.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "https://vendor.example/a//b/../d?x=1%202&y=%0d%0a", "Content-Type", "application/json", []byte("{}"))
	f.Add("GET", "http://[fe80::1%25eth0]:8080?x=/y", "User-Agent", "", []byte(nil))
	f.Add("PUT", "HTTP://user:word@Vendor.example:/<a%2Fb>;c?#d", "host", "other.example", []byte(nil))
	f.Add("DELETE", "http://a%25b/?", "transfer-encoding", "chunked", bytes.Repeat([]byte("x"), maxFirst))
	f.Add("GET", "http://+1%25eth0]:8080", "Connection", "close", []byte(nil))
	f.Add("PUT", "http://vendor>", "", "x", []byte("x"))
	f.Add("", "http://v/*'()[]?\"<>\\^`{|}?#", "X", " \u00e9\xff ", []byte("x"))
	f.Fuzz(func(t *testing.T, method, address, name, value string, body []byte) {
		if method == http.MethodConnect || strings.EqualFold(name, "Content-Encoding") {
			return // one has no path, and the other changes the body
		}
		x := Exchange{Method: method, URL: address, Header: map[string]string{name: value}, Body: body}
		s := sender()
		first, err := written(s, x)
		again, errAgain := written(s, x)
		if !bytes.Equal(first, again) || (err == nil) != (errAgain == nil) {
			t.Fatalf("first %q, %v, and then %q, %v", first, err, again, errAgain)
		}
		if err != nil {
			return
		}
		var reference bytes.Buffer
		request, err := http.NewRequest(method, encoded(address), bytes.NewReader(body))
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", first, err)
		}
		request.Header.Set("User-Agent", "aka")
		request.Header.Set(name, value)
		if err := request.Write(&reference); err != nil {
			t.Fatalf("net/http refuses %q: %v", first, err)
		}
		got, want := received(t, first), received(t, reference.Bytes())
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("sent %q\nwant %q", first, reference.Bytes())
		}
	})
}

func written(s *Sender, x Exchange) ([]byte, error) {
	r, err := s.newRequest(x)
	if err != nil {
		return nil, err
	}
	defer r.free()
	return slices.Concat(r.first, r.rest), nil
}

// received is what a vendor knows of a request.
func received(t *testing.T, sent []byte) any {
	reader := bufio.NewReader(bytes.NewReader(sent))
	r, err := http.ReadRequest(reader)
	if err != nil {
		return err.Error()
	}
	body, err := io.ReadAll(r.Body)
	if _, more := reader.ReadByte(); err != nil || more != io.EOF {
		t.Fatalf("%q is not one request: %v", sent, err)
	}
	return []any{r.Method, r.RequestURI, r.Host, r.Header, r.ContentLength, r.TransferEncoding, string(body)}
}
