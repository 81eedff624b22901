package ingress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/zap"

	"aka/router/journal"
)

// FuzzHandler sends one request of any shape and checks what is promised of every answer.
func FuzzHandler(f *testing.F) {
	for _, seed := range []struct{ method, path, encoding, body string }{
		{"POST", "/v1/alias", "", call},
		{"POST", "/v1/batch", "", `{"batch":[` + call + `,{}]}`},
		{"POST", "//b/?writeKey=x", "gzip", zipped(call)},
		{"OPTIONS", "/v1/t", "", ""},
		{"GET", "/health", "identity", "x"},
		{"PUT", "/%00/..", "br", "x"},
		{"POST", "/beacon/v1/batch?writeKey=" + testKey, "", `{"batch":[` + call + `]}`},
		{"POST", "/api/s/s2s/event/", "", call},
		{"GET", "/v1/projects/" + testKey + "/settings", "", ""},
		{"GET", "/cio/v1/projects/%22%2f/settings", "", ""},
		{"GET", "/projects", "", ""},
		{"GET", "/v1/pixel/track?userId=u&event=e&properties.a.b=%22&writeKey=" + testKey, "", ""},
		{"GET", "/pixel/v1/page?data=e30", "", ""},
		{"GET", "/analytics.js/v1/%2e%2e/%00/x.js", "", ""},
		{"GET", "/sourceConfig/?writeKey=" + testKey, "", ""},
	} {
		f.Add(seed.method, seed.path, "X-Write-Key: "+testKey, seed.encoding, []byte(seed.body), true)
		f.Add(seed.method, seed.path, basic(testKey), seed.encoding, []byte(seed.body), false)
	}
	config := testConfig()
	config.Limits.CallBytes, config.Limits.WireBytes, config.Limits.DecompressedBytes = 1<<10, 2<<10, 8<<10
	config.StaticDir = f.TempDir()
	s := start(f, config)
	f.Fuzz(func(t *testing.T, method, path, header, encoding string, body []byte, chunked bool) {
		var request bytes.Buffer
		fmt.Fprintf(&request, "%s %s HTTP/1.1\r\n%s\r\nContent-Encoding: %s\r\n", method, path, header, encoding)
		fmt.Fprint(&request, "Host: x\r\nOrigin: https://a.example\r\nConnection: close\r\n")
		if chunked {
			fmt.Fprintf(&request, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		} else {
			fmt.Fprintf(&request, "Content-Length: %d\r\n\r\n%s", len(body), body)
		}
		if method != "" && method != "HEAD" {
			s.mustAnswerWell(t, request.String())
		}
	})
}

func (s *stand) mustAnswerWell(t *testing.T, request string) {
	t.Helper()
	got := strings.TrimPrefix(s.answersTo([]byte(request)), "HTTP/1.1 100 Continue\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
	if err != nil {
		t.Fatalf("%v: %q for %q", err, got, request)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(statuses, response.StatusCode) || response.StatusCode == 500 {
		t.Fatalf("%q for %q", got, request)
	}
	if response.StatusCode == 200 && isRead(body) {
		return
	}
	code := answer{response, body}.code(t)
	// The library hands over nothing of a request whose headers it cannot read.
	unread := []string{refusedRequest.code, refusedHeaderTooLarge.code, refusedTimeout.code}
	if response.Header.Get("Access-Control-Allow-Origin") == "" && !slices.Contains(unread, code) {
		t.Fatalf("no CORS: %q for %q", got, request)
	}
}

// isRead reports whether it is the answer to what reads, which has a form of its own.
func isRead(body []byte) bool {
	return bytes.Equal(body, transparent) || bytes.HasPrefix(body, []byte(`{"integrations":{"`)) || bytes.HasPrefix(body, []byte(`{"source":{"`))
}

// FuzzRaw sends any bytes over one connection. Each request in them is answered, in order, until an answer closes the
// connection, and net/http sees as many.
func FuzzRaw(f *testing.F) {
	for _, seed := range []string{
		"", "\r\n", "hello\r\n\r\n", post, post + sized, post + sized + last, post + chunked + chunks + last,
		"\r\n" + post + "Expect: 100-continue\r\n" + sized + post + "Connection: Close\r\n" + sized,
		post + "Origin: https://a.example\r\n" + chunked + "1;a=b\r\n{\r\n0\r\nOrigin: https://b.example\r\n\r\n" + last,
		post + "Content-Length: 5\r\n" + chunked + chunks, post + "Transfer-Encoding: identity\r\n\r\n" + last,
		post + chunked + "0x" + chunks + last, post + chunked + "fffffffffffffff\r\n{", post + "Content-Length: 9223372036854775807\r\n\r\n{",
		strings.Replace(post, "1.1", "1.0", 1) + "Connection: keep-alive\r\n" + sized + last,
		post + "X-A: b\r\n c\r\n" + sized, post + "X-A: b\n" + sized, post + "\n" + sized + last,
		"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: x\r\nOrigin: null\r\n\r\nGET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /v1/pixel/track?data=e30 HTTP/1.1\r\nHost: x\r\n\r\n" + last,
		"GET /v1/projects/" + testKey + "/settings HTTP/1.1\r\nHost: x\r\n\r\nGET /sourceConfig HTTP/1.1\r\nHost: x\r\n" + basic(testKey) + "\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	config := testConfig()
	config.Limits.CallBytes, config.Limits.WireBytes, config.Limits.DecompressedBytes = 1<<10, 2<<10, 8<<10
	s := start(f, config)
	f.Fuzz(func(t *testing.T, sent []byte) {
		answers := s.answersTo(sent)
		got, closed := s.mustBeAnswers(t, answers)
		if requests, all := countRequests(sent); all && (got > requests || got < requests && !closed) {
			t.Fatalf("%d answers to %d requests: %q for %q", got, requests, answers, sent)
		}
	})
}

// mustBeAnswers checks that there is nothing but answers, none behind one that closes, and returns how many.
func (s *stand) mustBeAnswers(t *testing.T, got string) (count int, closed bool) {
	t.Helper()
	for rest := got; rest != ""; count++ {
		rest = strings.TrimPrefix(rest, "HTTP/1.1 100 Continue\r\n\r\n")
		head, behind, _ := strings.Cut(rest, "\r\n\r\n")
		request := &http.Request{}
		if behind == "" || strings.HasPrefix(behind, "HTTP/1.1 ") {
			request.Method = "HEAD" // or an answer without a body
		}
		response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(rest)), request)
		if err != nil {
			t.Fatalf("%v: %q", err, got)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || closed || !slices.Contains(statuses, response.StatusCode) || response.StatusCode == 500 {
			t.Fatalf("%v: %q", err, got)
		}
		if busy := response.StatusCode == 429 || response.StatusCode == 503; busy != (response.Header.Get("Retry-After") != "") {
			t.Fatalf("Retry-After: %q", got)
		}
		if len(body) > 0 && (response.StatusCode != 200 || !isRead(body)) {
			answer{response, body}.code(t)
		}
		if allowed := response.Header.Get("Access-Control-Allow-Origin"); (allowed != "") != (response.Header.Get("Access-Control-Allow-Credentials") != "") {
			t.Fatalf("half of CORS: %q", got)
		}
		closed = response.Close
		rest = rest[len(head)+len("\r\n\r\n")+len(body):]
	}
	return count, closed
}

// countRequests returns how many requests net/http reads, and whether there is nothing else.
func countRequests(sent []byte) (count int, all bool) {
	reader := bufio.NewReader(bytes.NewReader(sent))
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return count, errors.Is(err, io.EOF)
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return count, false
		}
		count++
	}
}

// answersTo returns what comes back when these bytes are all that is ever sent. Nothing waits, and nothing is too late.
func (s *stand) answersTo(sent []byte) string {
	c := &recorded{sent: bytes.NewReader(sent)}
	_ = s.server.http.ServeConn(&conn{Conn: c, all: s.server.conns})
	return c.answers.String()
}

// recorded is a connection whose other end has said all that it will.
type recorded struct {
	net.Conn
	sent    *bytes.Reader
	answers bytes.Buffer
}

func (r *recorded) Read(p []byte) (int, error)         { return r.sent.Read(p) }
func (r *recorded) Write(p []byte) (int, error)        { return r.answers.Write(p) }
func (r *recorded) Close() error                       { return nil }
func (r *recorded) SetReadDeadline(_ time.Time) error  { return nil }
func (r *recorded) SetWriteDeadline(_ time.Time) error { return nil }
func (r *recorded) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (r *recorded) RemoteAddr() net.Addr               { return &net.TCPAddr{} }

// nowhere is a journal that keeps nothing.
type nowhere struct{}

func (nowhere) Append(context.Context, []journal.Entry) (int, error) { return 0, nil }
func (nowhere) Writable(context.Context) error                       { return nil }

func BenchmarkHandler(b *testing.B) {
	alias := `{"type":"alias","messageId":"ajs-next-1767323045000-4b3c2a1d-5e6f-4a7b-8c9d-0e1f2a3b4c5d","timestamp":"2026-01-02T03:04:03.000Z","sentAt":"2026-01-02T03:04:04.000Z","userId":"507f191e810c19729de860ea","previousId":"jen@email.com","integrations":{"All":true,"Vero":false},"context":{"ip":"198.51.100.7","library":{"name":"analytics.js","version":"2.11.1"},"userAgent":"Mozilla/5.0","locale":"en-US"}}`
	batch := `{"batch":[` + strings.Repeat(alias+",", 99) + alias + `]}`
	for _, c := range []struct{ name, path, body string }{{"alias", "/v1/alias", alias}, {"batch100", "/v1/batch", batch}} {
		request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: router\r\n%s\r\nContent-Length: %d\r\n\r\n%s", c.path, basic(testKey+":"), len(c.body), c.body)
		server, err := New(testConfig(), nowhere{}, zap.NewNop(), prometheus.NewRegistry())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) { benchmarkServer(b, server.http, request) })
		b.Run(c.name+"/empty", func(b *testing.B) {
			benchmarkServer(b, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
				_ = ctx.PostBody()
				succeed(ctx)
			}}, request)
		})
	}
}

// benchmarkServer sends one request after the other over a connection in memory.
func benchmarkServer(b *testing.B, server *fasthttp.Server, request string) {
	listener := fasthttputil.NewInmemoryListener()
	go func() { _ = server.Serve(listener) }()
	defer listener.Close()
	conn, err := listener.Dial()
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	var response fasthttp.Response
	b.SetBytes(int64(len(request)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(conn, request); err != nil {
			b.Fatal(err)
		}
		if err := response.Read(answers); err != nil {
			b.Fatal(err)
		}
		if response.StatusCode() != 200 {
			b.Fatal(response.StatusCode())
		}
	}
}
