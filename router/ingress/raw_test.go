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
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/zap"
)

// patience is how long a test waits for what must come, on any machine.
const patience = 5 * time.Minute

// raw sends bytes, in pieces, and returns all that is answered until the connection is closed.
func (s *stand) raw(pieces ...string) string {
	conn, err := s.dial()
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	go func() {
		for _, piece := range pieces {
			if _, err := io.WriteString(conn, piece); err != nil {
				return
			}
		}
	}()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err.Error()
	}
	got, _ := io.ReadAll(conn)
	return string(got)
}

func TestRequestsThatCannotBeReadHaveTheErrorFormToo(t *testing.T) {
	s := startTCP(t, testConfig())
	for name, c := range map[string]struct{ request, status, code string }{
		"not HTTP":      {"hello\r\n\r\n", "400", "invalid_request"},
		"a long header": {"POST /v1/t HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("c", headerBytes) + "\r\n\r\n", "400", "header_too_large"},
		"two lengths":   {"POST /v1/t HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400", "invalid_request"},
		"bad chunks":    {"POST /v1/a HTTP/1.1\r\nHost: x\r\nX-Write-Key: " + testKey + "\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400", "invalid_request"},
	} {
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
	request := "GET /health HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\nConnection: close\r\n\r\n"
	first := s.connect(t)
	first.say("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	first.hear("200")
	got := s.raw(request)
	if answers(t, got) != "503 too_many_connections close" || !strings.Contains(got, "Retry-After: 5\r\n") || !strings.Contains(got, "Access-Control-Allow-Origin: https://a.example\r\n") {
		t.Errorf("%q", got)
	}
	for open := 0.0; open != 1; open, _ = s.count(t, "connections") { // the server has yet to see that the other one is gone
	}
	var more []*chatter
	for range withReserve(1) {
		more = append(more, s.connect(t))
	}
	last := more[len(more)-1] // unused reads what this one says
	if got := last.rest(); answers(t, got) != "503 too_many_connections close" || !strings.Contains(got, "Retry-After: 5\r\n") {
		t.Errorf("%q", got)
	}
	s.wantCount(t, 2, "requests_total", "status=503")
	for _, c := range append(more, first) {
		_ = c.Close()
	}
	for answers(t, s.raw(request)) != "200 close" { // the server has yet to see that they are gone
	}
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
	// Once the listener is closed, the call is let through.
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

// answers are what came back over one connection: of each its status and its error's code, such as "400 invalid_json" or
// "200", and "close" behind the last one when it says so.
func answers(t testing.TB, got string) string {
	t.Helper()
	reader := bufio.NewReader(strings.NewReader(got))
	var all []string
	for {
		if _, err := reader.Peek(1); err != nil {
			return strings.Join(all, ", ")
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("%v: %q", err, got)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatalf("%v: %q", err, got)
		}
		all = append(all, summary(t, answer{response, body}))
	}
}

func summary(t testing.TB, a answer) string {
	t.Helper()
	text := fmt.Sprint(a.StatusCode)
	if a.StatusCode >= 200 {
		text = strings.TrimSpace(text + " " + a.code(t))
	}
	if a.Close {
		text += " close"
	}
	return text
}

// post is a request up to the headers that say how long the body is.
const (
	post = "POST /v1/alias HTTP/1.1\r\nHost: x\r\nX-Write-Key: " + testKey + "\r\n"
	last = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

	kept    = "200, 200 close"
	refused = "400 invalid_request close"
)

var (
	sized   = fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(call), call)
	chunks  = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(call), call)
	chunked = "Transfer-Encoding: chunked\r\n\r\n"
)

func TestHeadersAsNoSDKSendsThem(t *testing.T) {
	s := startTCP(t, testConfig())
	for name, c := range map[string]struct{ request, want string }{
		"as they should be":           {post + sized, kept},
		"empty lines before":          {"\r\n\r\n" + post + sized, kept},
		"an empty line behind":        {post + sized + "\r\n", kept},
		"eight bits in a value":       {post + "X-A: b\xe9\r\n" + sized, kept},
		"any case":                    {strings.ReplaceAll(post, "Host", "hOST") + sized, kept},
		"zeros before the length":     {post + "Content-Length: 000" + strings.TrimPrefix(sized, "Content-Length: "), kept},
		"no line has a return":        {strings.ReplaceAll(post, "\r\n", "\n") + strings.ReplaceAll(sized, "\r\n", "\n"), refused},
		"one line has no return":      {post + "X-A: b\n" + sized, refused},
		"the last line has no return": {post + "\n" + sized, refused},
		"a line goes on":              {post + "X-A: b\r\n c\r\n" + sized, refused},
		"a line goes on with a tab":   {post + "X-A: b\r\n\tContent-Length: 5\r\n" + sized, refused},
		"the first line goes on":      {"POST /v1/alias HTTP/1.1\r\n Host: x\r\n" + sized, refused},
		"a line without a colon":      {post + "hello\r\n" + sized, refused},
		"a space before the colon":    {post + "X-A : b\r\n" + sized, refused},
		"a tab before the colon":      {post + "Transfer-Encoding\t: chunked\r\n" + sized, refused},
		"no name":                     {post + ": b\r\n" + sized, refused},
		"NUL in a value":              {post + "X-A: b\x00\r\n" + sized, refused},
		"a control byte in a value":   {post + "X-A: b\x01\r\n" + sized, refused},
		"a return in a value":         {post + "X-A: b\rX-B: c\r\n" + sized, refused},
		"NUL in a name":               {post + "X\x00A: b\r\n" + sized, refused},
		"eight bits in a name":        {post + "X\xe9A: b\r\n" + sized, refused},
		"two hosts":                   {post + "Host: y\r\n" + sized, refused},
		"no host":                     {strings.Replace(post, "Host: x\r\n", "", 1) + sized, refused},
		"an empty host":               {strings.Replace(post, "Host: x", "Host:", 1) + sized, refused},
		"a host that is none":         {strings.Replace(post, "Host: x", "Host: [x", 1) + sized, refused},
	} {
		s.wantAnswers(t, name, c.request+last, c.want)
	}
}

// wantAnswers sends bytes and checks what is answered, and that a call was kept just when the first answer is 200.
func (s *stand) wantAnswers(t *testing.T, name, request, want string) {
	t.Helper()
	s.entries, s.seen = nil, nil
	if got := answers(t, s.raw(request)); got != want {
		t.Errorf("%s: %s; not %s", name, got, want)
	}
	took := strings.HasPrefix(strings.TrimPrefix(want, "100, "), "200")
	if len(s.entries) > 0 != took {
		t.Errorf("%s: %d calls were kept", name, len(s.entries))
	}
}

func TestRequestLinesAsNoSDKSendsThem(t *testing.T) {
	s := startTCP(t, testConfig())
	rest := strings.TrimPrefix(post, "POST /v1/alias HTTP/1.1\r\n") + sized
	for line, want := range map[string]string{
		"POST http://other/v1/alias HTTP/1.1":  kept,
		"POST /v1/alias?a=b#c HTTP/1.1":        kept,
		"POST /x/../v1/%61lias HTTP/1.1":       kept,
		"POST http://[other/v1/alias HTTP/1.1": refused,
		"POST v1/alias HTTP/1.1":               refused,
		"POST  /v1/alias HTTP/1.1":             refused,
		"POST /v1/alias  HTTP/1.1":             refused,
		"POST\t/v1/alias\tHTTP/1.1":            refused,
		"POST /v1/alias":                       refused,
		"POST /v1/alias HTTP/1":                refused,
		"POST /v1/alias http/1.1":              refused,
		"POST /v1/alias HTTP/1.1 x":            refused,
		"POST /v1/\x00alias HTTP/1.1":          refused,
		" POST /v1/alias HTTP/1.1":             refused,
		"PO\xffST /v1/alias HTTP/1.1":          refused,
		"POST /v1/alias HTTP/1.0":              "200 close",
		"POST /v1/alias HTTP/1.2":              "200 close",
		"POST /v1/alias HTTP/2.0":              "200 close",
		"post /v1/alias HTTP/1.1":              "405 method_not_allowed, 200 close",
		"TRACE /v1/alias HTTP/1.1":             "405 method_not_allowed, 200 close",
		"POST * HTTP/1.1":                      "404 not_found, 200 close",
		"OPTIONS * HTTP/1.1":                   "204, 200 close",
		"CONNECT other:443 HTTP/1.1":           "404 not_found, 200 close",
	} {
		s.wantAnswers(t, line, line+"\r\n"+rest+last, want)
	}
	s.wantAnswers(t, "HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "404 not_found close")
}

func TestHeadersUpToTheirLimit(t *testing.T) {
	s := startTCP(t, testConfig())
	sizes := strings.TrimSuffix(sized, call)
	fill := func(size int, filling string) string {
		room := size - len(post) - len(sizes) - len("X: \r\n")
		return post + strings.Repeat(filling, room/len(filling)) + "X: " + strings.Repeat("x", room%len(filling)) + "\r\n" + sized
	}
	const tooLarge = "400 header_too_large close"
	s.wantAnswers(t, "one long", fill(headerBytes, strings.Repeat("x", 100)+": y\r\n")+last, kept)
	s.wantAnswers(t, "thousands", fill(headerBytes, "a:\r\n")+last, kept)
	s.wantAnswers(t, "one byte more", fill(headerBytes+1, "a: b\r\n")+last, tooLarge)
	s.wantAnswers(t, "far more", fill(32*headerBytes, "a: b\r\n")+last, tooLarge)
	s.wantAnswers(t, "a long query", "POST /v1/alias?x="+strings.Repeat("x", headerBytes)+strings.TrimPrefix(post, "POST /v1/alias")+sized+last, tooLarge)
	s.wantAnswers(t, "no end", strings.Repeat("x", 2*headerBytes), tooLarge)
}

func TestAPageMayReadThatItsHeadersAreTooLarge(t *testing.T) {
	encrypted := startTLS(t, testConfig())
	secure := *encrypted.stand
	secure.dial = func() (net.Conn, error) { return encrypted.dialTLS(encrypted.trust) }
	for name, s := range map[string]*stand{"plain": startTCP(t, testConfig()), "TLS": &secure} {
		for _, before := range []string{"", post + sized} {
			request := before + post + "Origin: https://app.example\r\nCookie: " + strings.Repeat("c", 3*headerBytes) + "\r\n" + sized
			got := s.raw(request)
			if !strings.Contains(got, "header_too_large") || !strings.Contains(got, "Access-Control-Allow-Origin: https://app.example\r\n") ||
				!strings.Contains(got, "Access-Control-Allow-Credentials: true") {
				t.Errorf("%s: %q", name, got)
			}
		}
		if got := s.raw(post + "Cookie: " + strings.Repeat("c", 2*headerBytes) + "\r\nOrigin: https://late.example\r\n" + sized); strings.Contains(got, "Allow-Origin") {
			t.Errorf("%s: %q", name, got)
		}
		if got := s.raw(post + "Cookie: " + strings.Repeat("c", 9<<10) + "\r\n" + sized + last); !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func FuzzOriginIn(f *testing.F) {
	for _, head := range []string{"POST / HTTP/1.1\r\nOrigin: https://a.example\r\n", "origin:x", "Origin: a b\r\n", "X: Origin: a\r\nORIGIN:\tnull \r\n"} {
		f.Add([]byte(head))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		if origin := originIn(head); bytes.ContainsAny(origin, " \t\r\n\x00") || len(origin) > len(head) {
			t.Errorf("%q in %q", origin, head)
		}
	})
}

func TestRequestsMayComeInAnyPieces(t *testing.T) {
	s := start(t, testConfig()) // what is written at once is read at once
	requests := "\r\n" + post + chunked + chunks + post + sized + last
	want := func(pieces ...string) {
		t.Helper()
		s.entries, s.seen = nil, nil
		if got := answers(t, s.raw(pieces...)); got != "200, "+kept || len(s.entries) != 1 {
			t.Fatalf("%q: %s, %d calls", pieces, got, len(s.entries))
		}
	}
	for at := range requests {
		want(requests[:at], requests[at:])
	}
	want(strings.Split(requests, "")...)
}

func TestLengthsAndEncodingsThatCouldBeReadInTwoWays(t *testing.T) {
	s := startTCP(t, testConfig())
	long := strings.Repeat("9", 300)
	for name, c := range map[string]struct{ request, want string }{
		"the same length twice": {fmt.Sprintf("Content-Length: %d\r\n", len(call)) + sized, refused},
		"a negative one":        {"Content-Length: -1\r\n\r\n" + call, refused},
		"a signed one":          {"Content-Length: +5\r\n\r\n" + call, refused},
		"a list":                {"Content-Length: 5, 5\r\n\r\n" + call, refused},
		"two numbers":           {"Content-Length: 5 5\r\n\r\n" + call, refused},
		"hexadecimal":           {"Content-Length: 0x5\r\n\r\n" + call, refused},
		"none":                  {"Content-Length:\r\n\r\n" + call, refused},
		"2^64":                  {"Content-Length: 18446744073709551616\r\n\r\n" + call, refused},
		"hundreds of digits":    {"Content-Length: " + long + "\r\n\r\n" + call, refused},
		"chunked twice":         {"Transfer-Encoding: chunked\r\n" + chunked + chunks, refused},
		"chunked and gzip":      {"Transfer-Encoding: chunked, gzip\r\n\r\n" + chunks, refused},
		"gzip and chunked":      {"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunks, refused},
		"identity":              {"Transfer-Encoding: identity\r\n\r\n", refused},
		"an empty encoding":     {"Transfer-Encoding:\r\n\r\n" + chunks, refused},
		"a folded encoding":     {"Transfer-Encoding:\r\n chunked\r\n\r\n" + chunks, refused},
		"any case":              {"transfer-ENCODING:  Chunked \r\n\r\n" + chunks, kept},
		"no length at all":      {"\r\n", "400 invalid_json, 200 close"},
	} {
		s.wantAnswers(t, name, post+c.request+last, c.want)
	}
	s.wantAnswers(t, "chunked in HTTP/1.0", strings.Replace(post, "1.1", "1.0", 1)+chunked+chunks+last, refused)
}

func TestChunks(t *testing.T) {
	s := startTCP(t, testConfig())
	size := fmt.Sprintf("%x", len(call))
	for name, c := range map[string]struct{ body, want string }{
		"one byte each":            {regexp.MustCompile(`(?s).`).ReplaceAllString(call, "1\r\n$0\r\n") + "0\r\n\r\n", kept},
		"upper case and zeros":     {"00" + strings.ToUpper(chunks[:2]) + chunks[2:], kept},
		"extensions":               {size + `;a=b;c="d"` + "\r\n" + call + "\r\n0;e\r\n\r\n", kept},
		"a trailer":                {size + "\r\n" + call + "\r\n0\r\nX-A: b\r\n\r\n", kept},
		"no more than 60 bits":     {"fffffffffffffffff\r\n" + call, refused},
		"a negative size":          {"-1\r\n" + call, refused},
		"a prefix":                 {"0x" + chunks, refused},
		"no size":                  {"\r\n" + call, refused},
		"no returns":               {strings.ReplaceAll(chunks, "\r\n", "\n"), refused},
		"a longer chunk than said": {size + "\r\n" + call + "XX0\r\n\r\n", refused},
		"a length in the trailer":  {size + "\r\n" + call + "\r\n0\r\nContent-Length: 5\r\n\r\n", refused},
		"a trailer without end":    {size + "\r\n" + call + "\r\n0\r\n" + strings.Repeat("X-A: b\r\n", headerBytes), refused},
	} {
		s.wantAnswers(t, name, post+chunked+c.body+last, c.want)
	}
}

func TestATrailerIsNoHeader(t *testing.T) {
	s := startTCP(t, testConfig())
	withTrailer := func(headers, trailer string) string {
		return s.raw("POST /v1/alias HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + chunked + strings.TrimSuffix(chunks, "\r\n") + trailer + "\r\n")
	}
	if got := withTrailer("", "X-Write-Key: "+testKey+"\r\n"); answers(t, got) != "401 missing_write_key close" {
		t.Errorf("a write key: %q", got)
	}
	if got := withTrailer("X-Write-Key: pages-key\r\nOrigin: https://evil.example\r\n", "Origin: https://app.example\r\n"); answers(t, got) != "401 origin_not_allowed close" ||
		!strings.Contains(got, "Access-Control-Allow-Origin: https://evil.example\r\n") {
		t.Errorf("another origin: %q", got)
	}
	if got := withTrailer("X-Write-Key: pages-key\r\n", "Origin: https://evil.example\r\n"); answers(t, got) != "200 close" || strings.Contains(got, "evil") {
		t.Errorf("an origin: %q", got)
	}
}

func TestWhoEndsTheConnection(t *testing.T) {
	s := startTCP(t, testConfig())
	old := strings.Replace(post, "1.1", "1.0", 1)
	for name, c := range map[string]struct{ request, want string }{
		"HTTP/1.1":                   {post + sized, kept},
		"HTTP/1.0":                   {old + sized, "200 close"},
		"HTTP/1.0 that goes on":      {old + "Connection: keep-alive\r\n" + sized, kept},
		"HTTP/1.0 that goes on, too": {old + "Connection: Keep-Alive\r\n" + sized, kept},
		"the last one":               {post + "Connection: close\r\n" + sized, "200 close"},
		"the last one in any case":   {post + "Connection: Close\r\n" + sized, "200 close"},
		"the last one in a list":     {post + "Connection: TE, CLOSE\r\n" + sized, "200 close"},
		"an upgrade":                 {post + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" + sized, kept},
	} {
		s.wantAnswers(t, name, c.request+last, c.want)
	}
}

func TestExpectations(t *testing.T) {
	s := startTCP(t, testConfig())
	for name, c := range map[string]struct{ request, want string }{
		"to go on":               {post + "Expect: 100-continue\r\n" + sized, "100, " + kept},
		"in any case":            {post + "Expect: 100-Continue\r\n" + sized, "100, " + kept},
		"chunked":                {post + "Expect: 100-continue\r\n" + chunked + chunks, "100, " + kept},
		"in HTTP/1.0":            {strings.Replace(post, "1.1", "1.0", 1) + "Expect: 100-continue\r\n" + sized, "200 close"},
		"something else":         {post + "Expect: rain\r\n" + sized, kept},
		"with a wrong key":       {strings.Replace(post, testKey, "wrong", 1) + "Expect: 100-continue\r\n" + sized, "100, 401 unknown_write_key, 200 close"},
		"where nothing is":       {strings.Replace(post, "alias", "nothing", 1) + "Expect: 100-continue\r\n" + sized, "100, 404 not_found, 200 close"},
		"with a doubtful length": {post + "Expect: 100-continue\r\nContent-Length: 5\r\n" + chunked + chunks, "100, 400 invalid_request close"},
	} {
		s.wantAnswers(t, name, c.request+last, c.want)
	}
}

// chatter is a client that waits for what it hears.
type chatter struct {
	net.Conn
	t       testing.TB
	answers *bufio.Reader
}

func (s *stand) connect(t testing.TB) *chatter {
	t.Helper()
	conn, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	return chat(t, conn)
}

func chat(t testing.TB, conn net.Conn) *chatter {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &chatter{conn, t, bufio.NewReader(conn)}
}

func (c *chatter) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// hear waits for one answer.
func (c *chatter) hear(want string) {
	c.t.Helper()
	response, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if got := summary(c.t, answer{response, body}); got != want {
		c.t.Errorf("%s, not %s", got, want)
	}
}

// rest waits for the end of the connection, and returns what comes until then.
func (c *chatter) rest() string {
	c.t.Helper()
	got, err := io.ReadAll(c.answers)
	if isTimeout(err) {
		c.t.Error("the connection was left open")
	}
	return string(got)
}

// drip says something, then something else again and again until there is an answer.
func (c *chatter) drip(first, drop string) string {
	_, _ = io.WriteString(c, first)
	for {
		if _, err := io.WriteString(c, drop); err != nil {
			return c.rest()
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		if _, err := c.answers.Peek(1); !isTimeout(err) {
			_ = c.SetReadDeadline(time.Now().Add(patience))
			return c.rest()
		}
	}
}

func TestWhatIsTooSlowIsCutOff(t *testing.T) {
	config := testConfig()
	config.Limits.ReadTimeout = 50 * time.Millisecond
	s := startTCP(t, config)
	const slow = "503 read_timeout close"
	for name, c := range map[string]struct{ first, drop, want string }{
		"half a request line": {"POST /v1/al", "", slow},
		"slow headers":        {post, "X-A: b\r\n", slow},
		"a slow header":       {post + "X-A: ", "b", slow},
		"a slow body":         {post + "Content-Length: 5000\r\n\r\n", " ", slow},
		"slow and large":      {post + "Content-Length: 50000\r\n\r\n" + strings.Repeat(" ", 10_000), " ", slow},
		"slow chunks":         {post + chunked, "1\r\n \r\n", slow},
		"a slow extension":    {post + chunked + "1;", "x", slow},
		"a slow end of chunk": {post + chunked + "1\r\n ", "", slow},
		"a slow trailer":      {post + chunked + "0\r\n", "X-A: b\r\n", slow},
		"slow for nobody":     {"DELETE /nothing HTTP/1.1\r\nHost: x\r\n" + chunked, "1\r\n \r\n", "404 not_found close"},
	} {
		if got := s.slowly(t, c.first, c.drop); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// slowly drips, and returns the answer. The server may find even the first word late, and then there is none.
func (s *stand) slowly(t *testing.T, first, drop string) (got string) {
	t.Helper()
	for got == "" {
		got = answers(t, s.connect(t).drip(first, drop))
	}
	return got
}

func TestHeadersHaveLessTimeThanTheBody(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gated := &gatedListener{listener, make(chan struct{})}
	s := startOn(t, testConfig(), gated, func() (net.Conn, error) { return net.Dial("tcp", listener.Addr().String()) }, func(s *Server) {
		if s.http.ReadTimeout != headerTimeout {
			t.Errorf("%v", s.http.ReadTimeout)
		}
		s.http.ReadTimeout, s.limits.ReadTimeout = 50*time.Millisecond, time.Hour
	})
	body := s.connect(t)
	body.say(post + strings.TrimSuffix(sized, call) + call[:5])
	close(gated.open)
	for range 2 { // time enough for headers has gone by, twice
		if got := s.slowly(t, post, ""); got != "503 read_timeout close" {
			t.Error(got)
		}
	}
	body.say(call[5:])
	body.hear("200")
}

// gatedListener accepts nothing until it is open: what was sent before has come by then.
type gatedListener struct {
	net.Listener
	open chan struct{}
}

func (l *gatedListener) Accept() (net.Conn, error) {
	<-l.open
	return l.Listener.Accept()
}

func TestAConnectionThatSaysNothingIsNoRequest(t *testing.T) {
	config := testConfig()
	config.Limits.ReadTimeout = 50 * time.Millisecond
	s := startTCP(t, config)
	if got := s.connect(t).rest(); got != "" {
		t.Errorf("%q", got)
	}
	looked := s.connect(t)
	_ = looked.Conn.(*net.TCPConn).SetLinger(0) // it is reset
	_ = looked.Close()
	if err := s.server.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	for _, status := range statuses {
		s.wantCount(t, 0, "requests_total", fmt.Sprintf("status=%d", status))
	}
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	s := startTCP(t, testConfig(), func(s *Server) { s.http.WriteTimeout = 50 * time.Millisecond })
	conn := s.connect(t)
	request := "OPTIONS / HTTP/1.1\r\nHost: x\r\nAccess-Control-Request-Headers: " + strings.Repeat("x", headerBytes/2) + "\r\n\r\n"
	for {
		if _, err := io.WriteString(conn, request); err != nil {
			if isTimeout(err) {
				t.Error("the connection was left open")
			}
			return
		}
	}
}

func TestShutdownWaitsOnlyForRequests(t *testing.T) {
	config := testConfig()
	config.Limits.IdleTimeout = time.Hour
	s := startTCP(t, config, func(s *Server) { s.http.ReadTimeout = time.Hour })
	idle, silent, half := s.connect(t), s.connect(t), s.connect(t)
	idle.say(post + sized)
	idle.hear("200")
	half.say(post + "Expect: 100-continue\r\n" + strings.TrimSuffix(sized, call))
	half.hear("100")
	stopped := make(chan error, 1)
	go func() { stopped <- s.server.Shutdown(context.Background()) }()
	if got := silent.rest() + idle.rest(); got != "" {
		t.Errorf("%q", got)
	}
	half.say(strings.Replace(call, "m1", "m2", 1))
	half.hear("200 close")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := s.dial(); err == nil {
		t.Error("somebody still listens")
	}
	if len(s.entries) != 2 {
		t.Errorf("%d calls", len(s.entries))
	}
}

func TestTheAnswerToABodyThatIsTooLargeIsRead(t *testing.T) {
	config := testConfig()
	config.Limits.CallBytes, config.Limits.WireBytes = 16<<10, 16<<10
	s := startTCP(t, config, readsOn)
	limit := int(config.Limits.WireBytes)
	for _, c := range []struct {
		size int
		want string
	}{
		{limit, kept},
		{limit + 1, "400 body_too_large, 200 close"},
		{(drainFactor - 1) * limit, "400 body_too_large, 200 close"},
		{(drainFactor + 2) * limit, "400 body_too_large close"}, // it is not read to its end
		{16 << 20, "400 body_too_large close"},
	} {
		body := call + strings.Repeat(" ", c.size-len(call))
		for name, headers := range map[string]string{
			"plain":   fmt.Sprintf("Content-Length: %d\r\n\r\n%s", c.size, body),
			"chunked": fmt.Sprintf("%s%x\r\n%s\r\n0\r\n\r\n", chunked, c.size, body),
		} {
			s.entries, s.seen = nil, nil
			conn := s.connect(t)
			conn.say(post + headers + last) // all of it, as SDKs do
			if got := answers(t, conn.rest()); got != c.want {
				t.Errorf("%d bytes, %s: %s", c.size, name, got)
			}
			if len(s.entries) > 0 != (c.want == kept) {
				t.Errorf("%d bytes, %s: %d calls", c.size, name, len(s.entries))
			}
		}
	}
}

func TestABatchOfTooManyCalls(t *testing.T) {
	s := startTCP(t, testConfig())
	batch := func(calls int) string {
		return `{"batch":[{"type":"alias","userId":"new","previousId":"old"}` + strings.Repeat(`,{"type":"alias","userId":"new","previousId":"old"}`, calls-1) + `]}`
	}
	if got := s.post(t, "/v1/batch", batch(5000)); got.StatusCode != 200 || len(s.entries) != 5000 {
		t.Errorf("%d %s, %d calls", got.StatusCode, got.body, len(s.entries))
	}
	s.entries = nil
	body := batch(10_000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if got := s.post(t, "/v1/batch", body); got.StatusCode != 400 || got.code(t) != "too_many_calls" || len(s.entries) > 0 {
		t.Errorf("%d %s, %d calls", got.StatusCode, got.body, len(s.entries))
	}
	runtime.ReadMemStats(&after)
	if took := int(after.TotalAlloc - before.TotalAlloc); took > 20*len(body) {
		t.Errorf("%d bytes for a body of %d", took, len(body))
	}
}

func TestHostileJSONIsRefusedOrKeptAsDefined(t *testing.T) {
	s := startTCP(t, testConfig())
	const ids = `"userId":"u","previousId":"p"`
	nested := func(levels int) string {
		return `{` + ids + `,"x":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`
	}
	type outcome struct{ code, user, json string }
	same := func(body string) outcome { return outcome{"", "u", body} }
	for name, c := range map[string]struct {
		body string
		want outcome
	}{
		"as deep as may be":          {nested(64), same(nested(64))},
		"one level deeper":           {nested(65), outcome{code: "too_deep"}},
		"nothing but brackets":       {strings.Repeat("[", 1<<20), outcome{code: "invalid_json"}},
		"nothing but objects":        {strings.Repeat(`{"a":`, 1<<18), outcome{code: "invalid_json"}},
		"an id twice":                {`{"userId":"a","previousId":"p","userId":"b"}`, outcome{"", "b", `{"userId":"a","previousId":"p","userId":"b"}`}},
		"an id twice, escaped":       {`{"userId":"a","previousId":"p","\u0075serId":"b"}`, outcome{"", "b", `{"userId":"a","previousId":"p","\u0075serId":"b"}`}},
		"another case is another":    {`{` + ids + `,"UserId":"b"}`, same(`{` + ids + `,"UserId":"b"}`)},
		"half a surrogate":           {`{` + ids + `,"x":"\udc00"}`, same(`{` + ids + `,"x":"\udc00"}`)},
		"half a surrogate, in an id": {`{"userId":"u\ud800","previousId":"p"}`, outcome{code: "invalid_user_id"}},
		"no UTF-8":                   {"{" + ids + ",\"x\xff\":\"y\xff\"}", same("{" + ids + ",\"x\xff\":\"y\xff\"}")}, // decoded it is replaced
		"no UTF-8, in an id":         {"{\"userId\":\"u\xff\",\"previousId\":\"p\"}", outcome{code: "invalid_user_id"}},
		"a byte order mark":          {"\ufeff{" + ids + "}", same("{" + ids + "}")},
		"two of them":                {"\ufeff\ufeff{" + ids + "}", outcome{code: "invalid_json"}},
		"UTF-16":                     {"\xff\xfe{\x00}\x00", outcome{code: "invalid_json"}},
		"not a number":               {`{` + ids + `,"x":[NaN,-Infinity,"NaN"]}`, same(`{` + ids + `,"x":[null,null,"NaN"]}`)},
		"numbers keep digits":        {`{` + ids + `,"x":[1e999,-0.0,9007199254740993]}`, same(`{` + ids + `,"x":[1e999,-0.0,9007199254740993]}`)},
		"a large number as id":       {`{"userId":9007199254740993,"previousId":"p"}`, outcome{"", "9007199254740993", `{"userId":9007199254740993,"previousId":"p"}`}},
		"NUL in an id":               {`{"userId":"u\u0000","previousId":"p"}`, outcome{"", "u\x00", `{"userId":"u\u0000","previousId":"p"}`}},
		"NUL as it is":               {"{\"userId\":\"u\x00\",\"previousId\":\"p\"}", outcome{code: "invalid_json"}},
		"__proto__":                  {`{` + ids + `,"__proto__":{"userId":"b"}}`, same(`{` + ids + `,"__proto__":{"userId":"b"}}`)},
		"text behind":                {`{` + ids + `} x`, outcome{code: "invalid_json"}},
		"an object behind":           {`{` + ids + `}{}`, outcome{code: "invalid_json"}},
		"NUL behind":                 {"{" + ids + "}\x00", outcome{code: "invalid_json"}},
		"a comma behind":             {`{` + ids + `,}`, outcome{code: "invalid_json"}},
		"an array":                   {`[{` + ids + `}]`, outcome{code: "invalid_call"}},
		"null":                       {`null`, outcome{code: "invalid_call"}},
	} {
		s.entries, s.seen = nil, nil
		got := outcome{code: s.post(t, "/v1/alias", c.body).code(t)}
		for _, e := range s.entries {
			decoded, err := e.Decode()
			if err != nil || decoded.UserID != e.UserID {
				t.Errorf("%s: the ids are %+v, and %v, %v once decoded", name, e.Header, decoded, err)
			}
			if text := fmt.Sprint(decoded.Fields()); !utf8.ValidString(text) {
				t.Errorf("%s: %q", name, text)
			}
			got.user, got.json = e.UserID, string(e.JSON)
		}
		if got != c.want {
			t.Errorf("%s: %.300q, not %.300q", name, got, c.want)
		}
	}
}

func TestNothingOfARequestSplitsTheHeadersOfItsAnswer(t *testing.T) {
	s := startTCP(t, testConfig())
	for b := range 256 {
		value := "a" + string([]byte{byte(b)}) + "X-Evil: 1"
		for _, between := range []string{value, value + "\r", string([]byte{byte(b)}) + "\r\n\r\nX-Evil: 1"} {
			got := s.raw("OPTIONS /v1/t HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: " + between + "\r\nAccess-Control-Request-Headers: " + between + "\r\n\r\n")
			response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
			if err != nil || response.StatusCode != 204 && response.StatusCode != 400 || response.Header.Get("X-Evil") != "" {
				t.Errorf("byte %d: %v, %q", b, err, got)
			}
		}
	}
}
