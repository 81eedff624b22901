package router

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aka/router/admin"
	"aka/router/config"
	"aka/router/logging"
)

// lockedBuffer is a log's output that can be read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Whatever senders, vendors and operators' clients say stays out of the log, at every level.
func TestTheLogHasNoNames(t *testing.T) {
	const canary = "c4n4ry"
	var asked atomic.Int64
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		switch asked.Add(1) % 6 { // everything that a vendor may do, with what it was sent in its answer
		case 0:
			connection, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = fmt.Fprintf(connection, "HTTP/1.1 999 %s\r\n%s: %s\r\nContent-Length: x\r\n\r\n", canary, canary, r.URL)
				_ = connection.Close()
			}
			return
		case 1:
			w.Header().Set("Location", "http://c4n4ry.example/"+canary)
			w.WriteHeader(http.StatusFound)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = fmt.Fprintf(w, "%s %s %s", r.URL, sent, canary)
	}))
	defer vendor.Close()
	tokens := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokens, []byte("the-token-of-admin"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := load(t, fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: { listen: "127.0.0.1:0", token_file: %q }
journal: { dir: %q }
sources: { test: { write_key: a-write-key-c4n4ry, allowed_origins: ["https://app.example"] } }
delivery: { allow_private: true, retry: { initial: 1ms, max: 2ms, max_attempts: 3 }, breaker: { failures: 1000 } }
destinations:
  mixpanel: { settings: { token: t0ken-c4n4ry, id_merge: legacy, endpoint: %[3]q } }
  kissmetrics: { settings: { api_key: k3y-c4n4ry, endpoint: %[3]q } }
  vero: { settings: { auth_token: v3ro-c4n4ry, endpoint: %[3]q } }
`, tokens, filepath.Join(t.TempDir(), "data"), vendor.URL), config.LoadOptions{})
	var out lockedBuffer
	log := logging.New(logging.Options{Level: "debug"}, &out)
	router := New(config, log)
	if err := router.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask := func(method, url, body string, headers ...string) {
		request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range append(headers, "X-Forwarded-For: 203.0.113.77", "User-Agent: "+canary, "X-Real-Ip: 203.0.113.77") {
			name, value, _ := strings.Cut(line, ": ")
			request.Header.Set(name, value)
		}
		if answer, err := http.DefaultTransport.RoundTrip(request); err == nil {
			_ = answer.Body.Close()
		}
	}
	api, operator := "http://"+router.Addr(), "http://"+router.AdminAddr()
	key := "X-Write-Key: a-write-key-c4n4ry"
	const person = `"userId":"c4n4ry%d@example.com","anonymousId":"c4n4ry-anon%[1]d","messageId":"c4n4ry-%[1]d@example.com","context":{"ip":"203.0.113.77","c4n4ry":1},"integrations":{"c4n4ry":{"c4n4ry":1},"Vero":{"c4n4ry":true}}`
	for i := range 12 {
		about := func(call int) string { return fmt.Sprintf(person, 4*i+call) }
		ask("POST", api+"/v1/identify", `{`+about(0)+`,"traits":{"email":"c4n4ry@example.com","c4n4ry":"+49 c4n4ry"}}`, key)
		ask("POST", api+"/v1/alias", `{`+about(1)+`,"previousId":"c4n4ry-before"}`, key)
		ask("POST", api+"/v1/track?c4n4ry=1", `{`+about(2)+`,"event":"c4n4ry bought","properties":{"c4n4ry":[{"c4n4ry":1}]}}`, key)
		ask("POST", api+"/v1/group", `{`+about(3)+`,"groupId":"c4n4ry Ltd."}`, key)
	}
	for _, body := range []string{"", "c4n4ry", `{"c4n4ry"`, `{"userId":{"c4n4ry":1}}`, `{"type":"c4n4ry"}`, `[` + strings.Repeat(`[`, 200) + `"c4n4ry"`, `{"batch":["c4n4ry",{"type":"track"}]}`, "\xff\x00c4n4ry"} {
		ask("POST", api+"/v1/track", body, key)
		ask("POST", api+"/v1/batch", body, key, "Content-Encoding: gzip")
		ask("POST", api+"/v1/c4n4ry/"+canary, body, "X-Write-Key: "+canary)
		ask("POST", api+"/v1/track", body, "Authorization: Basic YzRuNHJ5OmM0bjRyeQ==", "Origin: https://c4n4ry.example")
	}
	for _, raw := range []string{"c4n4ry", "GET /c4n4ry HTTP/1.1\r\nc4n4ry\r\n\r\n", "POST /v1/track HTTP/1.1\r\nHost: c4n4ry\r\nContent-Length: c4n4ry\r\n\r\n", "\x16\x03\x01c4n4ry"} {
		for _, address := range []string{router.Addr(), router.AdminAddr()} {
			if connection, err := net.Dial("tcp", address); err == nil {
				_, _ = io.WriteString(connection, raw)
				_ = connection.Close()
			}
		}
	}
	with := []string{"Authorization: Bearer the-token-of-admin", admin.ProofHeader + ": 1"}
	for i, path := range []string{"/dead-letters?id=c4n4ry0@example.com", "/dead-letters?message_id=c4n4ry", "/dead-letters?source=c4n4ry", "/dead-letters?c4n4ry=1", "/c4n4ry", "/dead-letters/c4n4ry", "/?;c4n4ry"} {
		ask("GET", operator+path, "", with...)
		if i > 2 {
			continue // more wrong tokens, and the right one is refused too
		}
		ask("GET", operator+path, "", "Authorization: Bearer "+canary)
		ask("POST", operator+"/login?"+canary, "token="+canary, "Origin: "+operator, "Content-Type: application/x-www-form-urlencoded")
	}
	ask("POST", operator+"/explain?source=test", `{"type":"track","userId":"c4n4ry","event":"c4n4ry"}`, with...)
	ask("POST", operator+"/explain?source=c4n4ry", `{"c4n4ry`, with...)
	soon, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	(&model{t: t, ctx: soon}).until("every call has ended", func() bool {
		return strings.Count(out.String(), `"msg":"call ended"`) >= 3*12*4
	})
	ask("POST", operator+"/dead-letters/replay?destination=vero", "", with...)
	ask("POST", operator+"/dead-letters/discard?destination=mixpanel&id=c4n4ry1@example.com", "", with...)
	ask("DELETE", operator+"/dead-letters/1", "", with...)
	router.Stop(t.Context())
	_ = log.Sync()

	text := out.String()
	own := strings.NewReplacer(router.Addr(), "", router.AdminAddr(), "")
	for line := range strings.Lines(text) {
		lower := strings.ToLower(own.Replace(line) + decodeAll(line))
		for _, private := range []string{canary, "203.0.113", "example.com", "127.0.0.1", "the-token-of-admin"} {
			if strings.Contains(lower, private) {
				t.Errorf("%q is in %s", private, line)
			}
		}
	}
	messages := map[string]bool{}
	for _, match := range regexp.MustCompile(`"msg":"([^"]+)"`).FindAllStringSubmatch(text, -1) {
		messages[match[1]] = true
	}
	for _, want := range []string{"call ended", "exchange failed, will retry", "call became a dead letter", "dead letters replayed", "dead letters discarded", "wrong admin token refused"} {
		if !messages[want] {
			t.Errorf("the log does not say %q: was there no such traffic? It says %v", want, messages)
		}
	}
}
