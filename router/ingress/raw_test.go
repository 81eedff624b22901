package ingress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/zap"
)

// raw sends bytes and returns all that is answered until the connection is closed.
func (s *stand) raw(request string) string {
	conn, err := s.dial()
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, request) }()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err.Error()
	}
	got, _ := io.ReadAll(conn)
	return string(got)
}

func TestRequestsThatCannotBeReadHaveTheErrorFormToo(t *testing.T) {
	config := testConfig()
	usual := startTCP(t, config)
	config.Limits.ReadTimeout = 50 * time.Millisecond
	hasty := startTCP(t, config)
	for name, c := range map[string]struct{ request, status, code string }{
		"not HTTP":       {"hello\r\n\r\n", "400", "invalid_request"},
		"a long header":  {"POST /v1/t HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("c", headerBytes) + "\r\n\r\n", "400", "header_too_large"},
		"two lengths":    {"POST /v1/t HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400", "invalid_request"},
		"bad chunks":     {"POST /v1/a HTTP/1.1\r\nHost: x\r\nX-Write-Key: " + testKey + "\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400", "invalid_request"},
		"a slow body":    {"POST /v1/a HTTP/1.1\r\nHost: x\r\nX-Write-Key: " + testKey + "\r\nContent-Length: 99\r\n\r\n{", "503", "read_timeout"},
		"slow chunks":    {"POST /v1/a HTTP/1.1\r\nHost: x\r\nX-Write-Key: " + testKey + "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "503", "read_timeout"},
		"slow and large": {"POST /v1/a HTTP/1.1\r\nHost: x\r\nX-Write-Key: " + testKey + "\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat(" ", 10_000), "503", "read_timeout"},
	} {
		s := usual // a slow machine must not run out of time where something else is wrong
		if c.code == "read_timeout" {
			s = hasty
		}
		got := s.raw(c.request)
		if !strings.HasPrefix(got, "HTTP/1.1 "+c.status) || !strings.Contains(got, `"code":"`+c.code+`"`) || !strings.Contains(got, "Connection: close") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAnUnreadBodyIsNeverTheNextRequest(t *testing.T) {
	config := testConfig()
	config.Limits.CallBytes, config.Limits.WireBytes = 1<<10, 1<<10
	s := startTCP(t, config)
	smuggled := "POST /v1/alias HTTP/1.1\r\nHost: x\r\nX-Write-Key: " + testKey + "\r\nConnection: close\r\nContent-Length: " + fmt.Sprint(len(call)) + "\r\n\r\n" + call
	for _, first := range []string{"POST /v1/alias", "POST /nothing", "GET /health", "OPTIONS /v1/t", "DELETE /v1/t"} {
		for _, size := range []int{len(smuggled), 3 << 10, 64 << 10} {
			body := smuggled + strings.Repeat(" ", size-len(smuggled))
			got := s.raw(first + " HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: " + fmt.Sprint(size) + "\r\n\r\n" + body +
				"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if len(s.entries) > 0 {
				t.Fatalf("%s, %d bytes: the body was taken for a request: %q", first, size, got)
			}
			if answers := strings.Count(got, "HTTP/1.1 "); size < 4<<10 && answers != 2 || size > 5<<10 && answers != 1 {
				t.Errorf("%s, %d bytes: %d answers", first, size, answers)
			}
		}
	}
}

func TestARequestThatSaysItsLengthTwiceIsRefused(t *testing.T) {
	s := startTCP(t, testConfig())
	length := "Content-Length: " + fmt.Sprint(len(call))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(call), call)
	for name, c := range map[string]struct{ headers, body string }{
		"chunked":           {length + "\r\nTransfer-Encoding: chunked", chunked},
		"chunked, first":    {"Transfer-Encoding: chunked\r\n" + length, chunked},
		"any case":          {"content-LENGTH: 5\r\ntransfer-ENCODING: Chunked", chunked},
		"identity":          {length + "\r\nTransfer-Encoding: identity", call},
		"nothing of either": {"Content-Length: 0\r\nTransfer-Encoding: chunked", "0\r\n\r\n"},
	} {
		for _, path := range []string{"POST /v1/alias", "OPTIONS /v1/alias", "GET /health"} {
			got := s.raw(path + " HTTP/1.1\r\nHost: x\r\nX-Write-Key: " + testKey + "\r\n" + c.headers + "\r\n\r\n" + c.body + "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if strings.Count(got, "HTTP/1.1 ") != 1 || !strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, `"invalid_request"`) || !strings.Contains(got, "Connection: close") {
				t.Errorf("%s, %s: %q", name, path, got)
			}
		}
	}
	if len(s.entries) > 0 {
		t.Errorf("kept %+v", s.entries)
	}
	got := s.raw("POST /v1/alias HTTP/1.1\r\nHost: x\r\nX-Write-Key: " + testKey + "\r\nX-Not-Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunked)
	if !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("%q", got)
	}
}

func TestOldHTTPAndExpect(t *testing.T) {
	s := startTCP(t, testConfig())
	head := "\r\nX-Write-Key: " + testKey + "\r\nContent-Length: " + fmt.Sprint(len(call)) + "\r\n"
	if got := s.raw("POST /v1/alias HTTP/1.0" + head + "\r\n" + call); !strings.Contains(got, " 200 OK") || !strings.HasSuffix(got, `{"success":true}`) {
		t.Errorf("HTTP/1.0: %q", got)
	}
	got := s.raw("POST /v1/alias HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue" + head + "\r\n" + call)
	if !strings.HasPrefix(got, "HTTP/1.1 100 Continue") || !strings.HasSuffix(got, `{"success":true}`) {
		t.Errorf("Expect: %q", got)
	}
}

func TestAnOversizedBodyIsAnsweredOverTCP(t *testing.T) {
	s := startTCP(t, testConfig())
	if got := s.post(t, "/v1/batch", strings.Repeat(" ", 12<<20)); got.StatusCode != 400 || got.code(t) != "body_too_large" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestTooManyConnectionsAreToldSo(t *testing.T) {
	config := testConfig()
	config.Limits.Connections = 1
	s := startTCP(t, config)
	first, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	// The first one has been answered, and stays open.
	_, _ = io.WriteString(first, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := first.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	got := s.raw("GET /health HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 503") || !strings.Contains(got, "too_many_connections") || !strings.Contains(got, "Access-Control-Allow-Origin: https://a.example") {
		t.Errorf("%q", got)
	}
	_ = first.Close()
}

func TestShutdownFinishesWhatWasRead(t *testing.T) {
	s := startTCP(t, testConfig())
	s.called, s.hold = make(chan struct{}), make(chan struct{})
	answers := make(chan string)
	go func() {
		answers <- s.raw("POST /v1/alias HTTP/1.1\r\nHost: x\r\nX-Write-Key: " + testKey + "\r\nContent-Length: " + fmt.Sprint(len(call)) + "\r\n\r\n" + call)
	}()
	<-s.called
	stopped := make(chan error)
	go func() { stopped <- s.server.Shutdown(context.Background()) }()
	// Once nobody listens any more, the call is let through.
	for {
		conn, err := s.dial()
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	close(s.hold)
	if got := <-answers; !strings.HasPrefix(got, "HTTP/1.1 200") || !strings.Contains(got, "Connection: close") {
		t.Errorf("%q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	s := startTCP(t, testConfig())
	s.called, s.hold = make(chan struct{}), make(chan struct{})
	go s.raw("POST /v1/alias HTTP/1.1\r\nHost: x\r\nX-Write-Key: " + testKey + "\r\nContent-Length: " + fmt.Sprint(len(call)) + "\r\n\r\n" + call)
	<-s.called
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(s.hold)
}

func TestServeAfterShutdownReturns(t *testing.T) {
	server, err := New(testConfig(), &memory{}, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := server.Serve(fasthttputil.NewInmemoryListener()); err != nil {
		t.Error(err)
	}
}
