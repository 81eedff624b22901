package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

const (
	fullToken = "full-token-c4n4ry"
	readToken = "read-token-c4n4ry"
	wrong     = "wrong-token-c4n4ry"
)

// guarded is a server that wants tokens.
type guarded struct {
	*Server
	dir  string
	logs *observer.ObservedLogs
}

func newGuarded(t testing.TB) *guarded {
	t.Helper()
	g := &guarded{dir: t.TempDir()}
	g.write(t, "full", fullToken+"\n")
	g.write(t, "read", readToken+"\r\n")
	core, logs := observer.New(zapcore.DebugLevel)
	g.logs = logs
	g.Server = newFixture(t).another(func(c *Config) {
		c.Tokens = Tokens{TokenFile: g.path("full"), ReadTokenFile: g.path("read")}
		c.Logger = zap.New(core)
	})
	return g
}

func (g *guarded) path(name string) string { return filepath.Join(g.dir, name) }

func (g *guarded) write(t testing.TB, name, token string) {
	t.Helper()
	if err := os.WriteFile(g.path(name), []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ask answers a request with headers such as "Origin: null".
func (g *guarded) ask(request string, headers ...string) *httptest.ResponseRecorder {
	method, target, _ := strings.Cut(request, " ")
	target, body, _ := strings.Cut(target, " ")
	r := httptest.NewRequest(method, "http://localhost:9090"+target, strings.NewReader(body))
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
		switch name {
		case "Host":
			r.Host = value
		case "From-Address":
			r.RemoteAddr = value
		}
	}
	answer := httptest.NewRecorder()
	g.Handler().ServeHTTP(answer, r)
	return answer
}

func (g *guarded) want(t testing.TB, request string, status int, code string, headers ...string) {
	t.Helper()
	answer := g.ask(request, headers...)
	if body := answer.Body.String(); answer.Code != status || code != "" && !strings.Contains(body, `"code":"`+code+`"`) {
		t.Errorf("%s with %q: got %d %s\nwant %d %s", request, headers, answer.Code, body, status, code)
	}
}

func bearer(token string) string { return "Authorization: Bearer " + token }

// lookers, changers and streams are every path but those of probes and of signing in. Streams do not end by themselves.
var (
	streams = []string{"GET /live/events"}
	readers = []string{
		"GET /", "GET /metrics", "GET /dead-letters", "GET /dead-letters/summary", "GET /dead-letters/1", "GET /dropped", "GET /dropped/summary", "GET /dropped/1", "GET /access", "GET /nothing", "HEAD /", "POST /explain {}",
		"GET /destinations", "GET /destinations/vero", "GET /drain", "GET /reload",
		"GET /identity?id=jane", "GET /live", "GET /live/calls", "GET /live/calls/1", "GET /log/level", "GET /ui/aka.js",
		"GET /merges", "GET /merges/1", "GET /merges/export", "GET /merges/held", "GET /merges/held/summary", "GET /merges/held/1", "GET /merges/decisions",
	}
	changers = []string{
		"POST /dropped/1/replay", "DELETE /dropped/1", "POST /dropped/replay", "POST /dropped/discard",
		"POST /dead-letters/1/replay", "DELETE /dead-letters/1", "POST /dead-letters/replay", "POST /dead-letters/discard", "PUT /log/level?level=debug", "PUT /", "PATCH /nothing",
		"POST /reload", "POST /drain", "DELETE /drain", "POST /destinations/vero/pause", "POST /destinations/vero/resume", "DELETE /destinations/vero",
		"POST /merges/import", "POST /merges/held/1/approve", "POST /merges/held/1/refuse", "POST /merges/approve", "POST /merges/refuse", "POST /merges/decisions",
		"DELETE /merges/decisions/vero/1",
	}
)

// turnedAway are the statuses of the guard; whatever else comes from behind it.
var turnedAway = []int{401, 403, 429}

func TestWithoutATokenNothingButProbesIsAnswered(t *testing.T) {
	g := newGuarded(t)
	for _, request := range slices.Concat(readers, changers, streams) {
		for _, headers := range [][]string{
			{}, {"Origin: http://localhost:9090"}, {"Authorization: "}, {"Authorization: Basic dXNlcjpmdWxsLXRva2VuLWM0bjRyeQ=="},
			{"Authorization: " + fullToken}, {"Cookie: aka_admin=" + fullToken}, {"X-Aka-Token: " + fullToken},
			{bearer(fullToken), bearer(fullToken)},
		} {
			answer := g.ask(request, append(headers, ProofHeader+": 1")...)
			if answer.Code != 401 || answer.Header().Get("WWW-Authenticate") != `Bearer realm="aka"` || !strings.Contains(answer.Body.String(), "token_required") {
				t.Errorf("%s with %q: got %d %s", request, headers, answer.Code, answer.Body)
			}
		}
	}
	g.want(t, "GET /dead-letters?token="+fullToken, 401, "token_required")
	for _, path := range openPaths {
		g.want(t, "GET "+path, 200, "", "Host: any.example")
		g.want(t, "POST "+path, 405, "method_not_allowed", "Host: any.example")
	}
	for _, path := range []string{"/healthz/", "/healthz/../dead-letters", "//healthz", "/HEALTHZ"} {
		g.want(t, "GET "+path, 401, "token_required")
	}
}

// Whatever is added to the table is behind the guard.
func TestEveryRouteWantsATokenAndEveryChangeTheFullOne(t *testing.T) {
	g := newGuarded(t)
	table, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	routes := regexp.MustCompile(`mux\.Handle\("([^"]+)", methods\{(.+)\}\)`).FindAllStringSubmatch(string(table), -1)
	if len(routes) < 25 {
		t.Fatalf("found only %q", routes)
	}
	for _, route := range routes {
		path := strings.NewReplacer("{$}", "", "{id}", "1", "{name}", "vero").Replace(route[1])
		for _, method := range regexp.MustCompile(`"([A-Z]+)":`).FindAllStringSubmatch(route[2], -1) {
			request := method[1] + " " + path
			if slices.Contains(openPaths, path) || slices.Contains(signingPaths, path) {
				continue
			}
			g.want(t, request, 401, "token_required", ProofHeader+": 1")
			if method[1] != "GET" && !slices.Contains(harmlessPosts, path) {
				g.want(t, request, 403, "read_only", bearer(readToken))
			}
		}
	}
}

func TestWhoMayNotLookAnyMoreIsToldNoMore(t *testing.T) {
	g := newGuarded(t)
	web := httptest.NewServer(g.Handler())
	defer web.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", web.URL+"/live/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+readToken)
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode != 200 {
		t.Fatal(answer, err)
	}
	defer answer.Body.Close()
	if _, err := answer.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	g.write(t, "read", "another-read-token")
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Errorf("the events go on: %v", err)
	}
}

func TestAWrongTokenIsRefused(t *testing.T) {
	for _, request := range slices.Concat(readers, changers, streams) {
		for i, token := range []string{wrong, fullToken[:len(fullToken)-1], fullToken + "x", strings.ToUpper(fullToken), "", "\x00"} {
			g := newGuardedOnce(t)
			g.want(t, request, 401, "wrong_token", bearer(token), ProofHeader+": 1", fmt.Sprintf("From-Address: 192.0.2.%d:1", i))
		}
	}
}

var once *guarded

// newGuardedOnce has its guesses forgotten each time, for they are not what the test is about.
func newGuardedOnce(t *testing.T) *guarded {
	if once == nil {
		once = newGuarded(t)
		t.Cleanup(func() { once = nil })
	}
	once.guard.loginLimiter.by = nil
	return once
}

func TestTheFullTokenAllowsEverythingUnderAnyName(t *testing.T) {
	g := newGuarded(t)
	for _, request := range slices.Concat(readers, changers) {
		for _, host := range []string{"localhost", "aka.somewhere.example"} {
			if answer := g.ask(request, bearer(fullToken), "Host: "+host); slices.Contains(turnedAway, answer.Code) {
				t.Errorf("%s: got %d %s", request, answer.Code, answer.Body)
			}
		}
	}
}

func TestTheReadTokenAllowsToReadOnly(t *testing.T) {
	g := newGuarded(t)
	for _, request := range readers {
		if answer := g.ask(request, bearer(readToken)); slices.Contains(turnedAway, answer.Code) {
			t.Errorf("%s: got %d %s", request, answer.Code, answer.Body)
		}
	}
	for _, request := range changers {
		g.want(t, request, 403, "read_only", bearer(readToken))
	}
	for token, want := range map[string]string{fullToken: "full", readToken: "read"} {
		if got := g.ask("GET /access", bearer(token)).Body.String(); got != `{"access":"`+want+`","signed_in":false}`+"\n" {
			t.Errorf("got %s", got)
		}
	}
}

func TestATokenDoesNotExcuseAnotherSitesPage(t *testing.T) {
	g := newGuarded(t)
	for _, request := range changers {
		g.want(t, request, 403, "cross_origin", bearer(fullToken), "Origin: https://evil.example")
		g.want(t, request, 403, "cross_origin", bearer(fullToken), "Sec-Fetch-Site: cross-site")
	}
}

func TestWithoutATokenAnUnknownNameIsRefusedFirst(t *testing.T) {
	g := newGuarded(t)
	for _, request := range slices.Concat(readers, streams, []string{"GET /login", "POST /login token=" + fullToken}) {
		g.want(t, request, 403, "unknown_host", "Host: evil.example")
	}
}

func TestWhereNoTokenIsSetAChangeNeedsProofOfItsOrigin(t *testing.T) {
	f := newFixture(t)
	g := &guarded{Server: f.server}
	for _, request := range changers {
		g.want(t, request, 403, "unproven_origin")
		g.want(t, request, 403, "unproven_origin", "Referer: http://localhost:9090/")
		for _, proof := range []string{ProofHeader + ": 1", "Origin: http://localhost:9090", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none"} {
			if answer := g.ask(request, proof); slices.Contains(turnedAway, answer.Code) {
				t.Errorf("%s with %s: got %d %s", request, proof, answer.Code, answer.Body)
			}
		}
		g.want(t, request, 403, "cross_origin", ProofHeader+": 1", "Origin: https://evil.example")
	}
	for _, request := range readers {
		if answer := g.ask(request); slices.Contains(turnedAway, answer.Code) {
			t.Errorf("%s: got %d %s", request, answer.Code, answer.Body)
		}
	}
	// A command line may have one in its environment all the same.
	g.want(t, "GET /dead-letters", 200, "", bearer(wrong))
	if got := g.ask("GET /access").Body.String(); got != `{"access":"full","signed_in":false}`+"\n" {
		t.Errorf("got %s", got)
	}
}

func TestANewTokenCountsAtOnceAndTheOldOneNoMore(t *testing.T) {
	g := newGuarded(t)
	cookie := g.signIn(t, fullToken)
	g.want(t, "GET /dead-letters", 200, "", cookie)
	g.write(t, "full", "another-full-token")
	g.want(t, "GET /dead-letters", 401, "wrong_token", bearer(fullToken))
	g.want(t, "GET /dead-letters", 401, "token_required", cookie)
	g.want(t, "GET /dead-letters", 200, "", bearer("another-full-token"))
	g.want(t, "GET /dead-letters", 200, "", bearer(readToken))
}

func TestTokenFile_UnreadableDeniesAccessAndIsLoggedOnce(t *testing.T) {
	g := newGuarded(t)
	cookie := g.signIn(t, fullToken)
	for _, unfit := range []string{"", "short", strings.Repeat("x", maxToken+1), "two words in one token"} {
		g.write(t, "full", unfit)
		for range 20 { // they are no guesses
			g.want(t, "GET /dead-letters", 503, "token_unreadable", bearer(fullToken))
			g.want(t, "GET /dead-letters", 503, "token_unreadable", bearer(unfit))
			g.want(t, "GET /dead-letters", 503, "token_unreadable", cookie)
			g.want(t, "GET /dead-letters", 200, "", bearer(readToken))
		}
	}
	if got := g.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); got != 3 { // an empty one is a short one
		t.Errorf("%d lines", got)
	}
	if err := os.Remove(g.path("full")); err != nil {
		t.Fatal(err)
	}
	g.want(t, "GET /dead-letters", 503, "token_unreadable", bearer(fullToken))
	g.write(t, "full", fullToken)
	g.want(t, "GET /dead-letters", 200, "", bearer(fullToken))
}

func TestATokenFileHoldsTheTokenAndOneNewlineAtMost(t *testing.T) {
	g := newGuarded(t)
	for content, want := range map[string]error{
		fullToken:                    nil,
		fullToken + "\n":             nil,
		fullToken + "\r\n":           nil,
		fullToken + "\n\n":           errOddToken,
		fullToken + "\r":             errOddToken,
		fullToken + " \n":            errOddToken,
		" " + fullToken:              errOddToken,
		"\ufeff" + fullToken:         errOddToken,
		fullToken + "\x00":           errOddToken,
		fullToken + "\n" + readToken: errOddToken,
		strings.Join(strings.Split(fullToken, ""), "\x00"): errOddToken, // UTF-16
	} {
		g.write(t, "full", content)
		if token, err := ReadToken(g.path("full")); err != want || want == nil && token != fullToken {
			t.Errorf("%q: got %q, %v", content, token, err)
		}
	}
}

func TestAFileThatIsNoFileIsNotOpened(t *testing.T) {
	if _, err := ReadToken(t.TempDir()); err != errNotRegular {
		t.Errorf("got %v", err)
	}
	if _, err := ReadToken(os.DevNull); err != errNotRegular {
		t.Errorf("got %v", err)
	}
}

func TestLogin_FailedAttemptsAreBoundedByAddress(t *testing.T) {
	g := newGuarded(t)
	synctest.Test(t, func(t *testing.T) {
		for range 1000 {
			g.want(t, "GET /access", 200, "", bearer(fullToken)) // no guess
		}
		for range attemptBurst {
			g.want(t, "GET /access", 401, "wrong_token", bearer(wrong))
		}
		for _, token := range []string{wrong, fullToken} {
			g.want(t, "GET /access", 429, "too_many_attempts", bearer(token))
		}
		if answer := g.login(fullToken); answer.Code != 429 || answer.Header().Get("Set-Cookie") != "" {
			t.Errorf("got %d", answer.Code)
		}
		g.want(t, "GET /access", 200, "", bearer(fullToken), "From-Address: 198.51.100.7:1")
		time.Sleep(attemptInterval)
		g.want(t, "GET /access", 200, "", bearer(fullToken))
		g.want(t, "GET /access", 401, "wrong_token", bearer(wrong))
		g.want(t, "GET /access", 429, "too_many_attempts", bearer(wrong))
	})
}

func TestLogin_ManyAddressesTakeBoundedMemoryAndAttempts(t *testing.T) {
	g := newGuarded(t)
	synctest.Test(t, func(t *testing.T) {
		tried := 0
		for i := range 3 * maxClients {
			if g.ask("GET /access", bearer(wrong), fmt.Sprintf("From-Address: [2001:db8:%x::1]:9", i)).Code == 401 {
				tried++
			}
		}
		if len(g.guard.loginLimiter.by) > maxClients || tried != maxClients+attemptBurst {
			t.Errorf("%d addresses, %d guesses", len(g.guard.loginLimiter.by), tried)
		}
		time.Sleep(attemptBurst * attemptInterval)
		g.want(t, "GET /access", 200, "", bearer(fullToken), "From-Address: [2001:db8:ffff::1]:9")
		if len(g.guard.loginLimiter.by) != 1 {
			t.Errorf("%d addresses are kept", len(g.guard.loginLimiter.by))
		}
	})
}

func TestAnAddressIsWhatOneSubscriberHas(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:80": "192.0.2.7/32", "[::ffff:192.0.2.7]:80": "192.0.2.7/32", "[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80": "fe80::/64",
	} {
		if got := network(remote).String(); got != want {
			t.Errorf("%s: got %s, want %s", remote, got, want)
		}
	}
	if network("@") != network("") {
		t.Error("addresses that are none differ")
	}
}

const form = "Content-Type: application/x-www-form-urlencoded"

func (g *guarded) login(token string) *httptest.ResponseRecorder {
	return g.ask("POST /login token="+token, "Origin: http://localhost:9090", form)
}

// signIn returns the cookie as a header.
func (g *guarded) signIn(t testing.TB, token string) string {
	t.Helper()
	answer := g.login(token)
	cookies := answer.Result().Cookies()
	if answer.Code != 303 || answer.Header().Get("Location") != "/" || len(cookies) != 1 {
		t.Fatalf("got %d %v", answer.Code, answer.Header())
	}
	return "Cookie: " + cookies[0].Name + "=" + cookies[0].Value
}

func TestSigningInLetsABrowserIn(t *testing.T) {
	g := newGuarded(t)
	full, read := g.signIn(t, fullToken), g.signIn(t, readToken)
	own := "Origin: http://localhost:9090"
	for _, request := range readers {
		for _, cookie := range []string{full, read} {
			const proxys = "Authorization: Basic dXNlcjpwYXNz"
			if answer := g.ask(request, cookie, proxys); slices.Contains(turnedAway, answer.Code) {
				t.Errorf("%s: got %d %s", request, answer.Code, answer.Body)
			}
		}
	}
	for _, request := range changers {
		if answer := g.ask(request, full, own); slices.Contains(turnedAway, answer.Code) {
			t.Errorf("%s: got %d %s", request, answer.Code, answer.Body)
		}
		g.want(t, request, 403, "read_only", read, own)
		g.want(t, request, 403, "unproven_origin", full)
		for _, foreign := range []string{"Origin: https://evil.example", "Origin: null", "Origin: http://localhost:3000", "Sec-Fetch-Site: same-site"} {
			g.want(t, request, 403, "cross_origin", full, foreign)
		}
	}
	if got := g.ask("GET /access", read).Body.String(); got != `{"access":"read","signed_in":true}`+"\n" {
		t.Errorf("got %s", got)
	}
	if answer := g.ask("POST /logout", full, own); answer.Code != 303 || answer.Header().Get("Location") != "/login" || answer.Result().Cookies()[0].MaxAge != -1 {
		t.Errorf("got %d %v", answer.Code, answer.Header())
	}
	g.want(t, "GET /dead-letters", 401, "token_required", full)
	g.want(t, "GET /dead-letters", 200, "", read)
}

func TestTheCookieIsNotTheTokenAndGoesNowhereElse(t *testing.T) {
	g := newGuarded(t)
	for origin, secure := range map[string]bool{"http://localhost:9090": false, "https://localhost:9090": true} {
		cookie := g.ask("POST /login token="+fullToken, "Origin: "+origin, form).Result().Cookies()[0]
		if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Domain != "" || cookie.Secure != secure ||
			cookie.MaxAge != int(sessionTime/time.Second) || len(cookie.Value) < 26 || strings.Contains(cookie.Value, "c4n4ry") {
			t.Errorf("%s: got %+v", origin, cookie)
		}
	}
}

func TestAnotherSiteCannotSignABrowserInNorOut(t *testing.T) {
	g := newGuarded(t)
	cookie := g.signIn(t, fullToken)
	for _, request := range []string{"POST /login token=" + fullToken, "POST /logout"} {
		g.want(t, request, 403, "cross_origin", cookie, "Origin: https://evil.example", form)
		g.want(t, request, 403, "unproven_origin", cookie, form)
	}
	g.want(t, "GET /dead-letters", 200, "", cookie)
}

func TestSignedInBrowsersAreBoundedInTimeAndNumber(t *testing.T) {
	g := newGuarded(t)
	synctest.Test(t, func(t *testing.T) {
		first := g.signIn(t, fullToken)
		time.Sleep(time.Minute)
		second := g.signIn(t, fullToken)
		for range maxSessions + 1 { // another token's take no place from these
			g.signIn(t, readToken)
		}
		g.want(t, "GET /access", 200, "", first)
		for range maxSessions - 1 {
			g.signIn(t, fullToken)
		}
		if len(g.guard.sessions.by) != 2*maxSessions {
			t.Errorf("%d sessions", len(g.guard.sessions.by))
		}
		g.want(t, "GET /access", 401, "token_required", first)
		g.want(t, "GET /access", 200, "", second)
		time.Sleep(sessionTime)
		g.want(t, "GET /access", 401, "token_required", second)
		g.signIn(t, fullToken)
		if len(g.guard.sessions.by) != 1 {
			t.Errorf("%d sessions", len(g.guard.sessions.by))
		}
	})
}

func TestAPersonIsShownTheForm(t *testing.T) {
	g := newGuarded(t)
	answer := g.ask("GET /", "Accept: text/html,*/*")
	if answer.Code != 303 || answer.Header().Get("Location") != "/login" {
		t.Errorf("got %d %v", answer.Code, answer.Header())
	}
	answer = g.ask("GET /login")
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(answer.Body.String())
	if answer.Code != 200 || style == nil || !strings.Contains(answer.Header().Get("Content-Security-Policy"), "'sha256-"+hashOf(style[1])+"'") {
		t.Errorf("the style is not the one that the policy allows: %v", answer.Header())
	}
	if strings.Contains(answer.Body.String(), `role="alert"`) {
		t.Error("there is a notice before anything was wrong")
	}
	answer = g.login(wrong)
	if answer.Code != 401 || !strings.Contains(answer.Body.String(), refusedToken.message) || strings.Contains(answer.Body.String(), wrong) || answer.Header().Get("Set-Cookie") != "" {
		t.Errorf("got %d %s", answer.Code, answer.Body)
	}
	if answer = g.login(strings.Repeat("x", maxForm)); answer.Code != 400 {
		t.Errorf("got %d", answer.Code)
	}
}

func TestRefusalsAreCountedAndNoTokenIsSeen(t *testing.T) {
	g := newGuarded(t)
	if n := testutil.CollectAndCount(g.guard.refused); n != 8 {
		t.Errorf("%d codes are there at zero", n)
	}
	g.ask("GET /dead-letters")
	g.ask("GET /dead-letters", bearer(wrong))
	g.login(wrong)
	g.signIn(t, fullToken)
	if n := testutil.ToFloat64(g.guard.refused.WithLabelValues("wrong_token")); n != 2 {
		t.Errorf("got %v", n)
	}
	for _, line := range g.logs.All() {
		if text := fmt.Sprint(line.Message, line.ContextMap()); strings.Contains(text, "c4n4ry") || strings.Contains(text, "192.0.2.1") {
			t.Errorf("the log has %s", text)
		}
	}
	if g.logs.Len() < 2 {
		t.Error("the log says nothing")
	}
}

func TestEveryAnswerKeepsOtherSitesOut(t *testing.T) {
	g := newGuarded(t)
	for _, answer := range []*httptest.ResponseRecorder{g.ask("GET /"), g.ask("GET /login"), g.ask("GET /", bearer(fullToken)), g.ask("GET /healthz")} {
		h := answer.Header()
		if h.Get("X-Frame-Options") != "DENY" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" || h.Get("Referrer-Policy") != "same-origin" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("got %v", h)
		}
	}
}
