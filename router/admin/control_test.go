package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// operated remembers what it is asked, and refuses it when it is to.
type operated struct {
	mu    sync.Mutex
	asked []string
	err   error
}

func (s *operated) ask(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, what)
	return s.err
}

func (s *operated) ResumeAnyway(_ context.Context, name string) (bool, error) {
	if name == "gone" {
		return false, fmt.Errorf("%w: %s", ErrNoDestination, name)
	}
	return name == "refusing", nil
}

func (s *operated) Pause(name string, paused bool) error {
	if paused {
		return s.ask("pause " + name)
	}
	return s.ask("resume " + name)
}

func (s *operated) Forget(_ context.Context, name string) (uint64, error) {
	return 7, s.ask("forget " + name)
}
func (s *operated) Reload() (any, error) { return []string{}, s.ask("reload") }
func (s *operated) Drain() error         { return s.ask("drain") }
func (s *operated) CancelDrain() error   { return s.ask("cancel") }
func (s *operated) Draining() Draining {
	return Draining{Waiting: map[string]uint64{}, Paused: []string{}}
}
func (s *operated) Drained() <-chan struct{} { return nil }

// operates are the requests that control aka, and what they ask.
var operates = map[string]string{
	"POST /reload": "reload", "POST /drain": "drain", "DELETE /drain": "cancel",
	"POST /destinations/vero/pause": "pause vero", "POST /destinations/vero/resume": "resume vero", "DELETE /destinations/vero": "forget vero",
}

func TestControl_NeedsTheFullToken(t *testing.T) {
	s := &operated{}
	g := newGuarded(t)
	g.control.operations = s
	read, full := g.signIn(t, readToken), g.signIn(t, fullToken)
	proof := ProofHeader + ": 1"
	for request := range operates {
		for code, headers := range map[string][][]string{
			"token_required":  {{proof}, {proof, "Cookie: aka_admin=" + fullToken}, {proof, "Origin: http://localhost:9090"}},
			"wrong_token":     {{proof, bearer(wrong)}},
			"unknown_host":    {{proof, "Host: evil.example"}, {proof, full, "Host: evil.example"}},
			"read_only":       {{proof, bearer(readToken)}, {proof, read}, {read, "Origin: http://localhost:9090"}},
			"unproven_origin": {{full}, {full, "Referer: http://localhost:9090/"}},
			"cross_origin":    {{full, proof, "Origin: https://evil.example"}, {full, "Origin: null"}, {bearer(fullToken), "Sec-Fetch-Site: cross-site"}},
		} {
			for _, h := range headers {
				g.guard.loginLimiter.by = nil // they are not what this is about
				if answer := g.ask(request, h...); !strings.Contains(answer.Body.String(), code) || !slices.Contains(turnedAway, answer.Code) {
					t.Errorf("%s with %q: got %d %s, want %s", request, h, answer.Code, answer.Body, code)
				}
			}
		}
	}
	if len(s.asked) > 0 {
		t.Errorf("%q were done all the same", s.asked)
	}
	for request, want := range operates {
		if answer := g.ask(request, full, proof); answer.Code != http.StatusOK || s.asked[len(s.asked)-1] != want {
			t.Errorf("%s: got %d %s", request, answer.Code, answer.Body)
		}
	}
}

func TestControl_TakesNoParameters(t *testing.T) {
	f := newFixture(t)
	for request := range operates {
		method, path, _ := strings.Cut(request, " ")
		known := "none"
		if strings.HasSuffix(path, "/resume") {
			known = "anyway"
		}
		f.want(t, method, path+"?dry=true", "", 400, strings.ReplaceAll(`{"success":false,"code":"unknown_parameter","message":"query: \"dry\" is no parameter here; there are KNOWN","error":"query: \"dry\" is no parameter here; there are KNOWN"}`, "KNOWN", known))
	}
	f.want(t, "GET", "/drain?wait=perhaps", "", 400, `{"success":false,"code":"invalid_wait","message":"wait: expected true or false, not \"perhaps\"","error":"wait: expected true or false, not \"perhaps\""}`)
	if asked := f.server.control.operations.(*operated).asked; len(asked) > 0 {
		t.Errorf("%q were done all the same", asked)
	}
}

func TestControl_SaysWhyNot(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{ErrNoDestination, 404, "not_found"}, {ErrConfigured, 409, "configured"}, {ErrBadConfig, 422, "invalid_config"}, {ErrNotNow, 503, "try_again"},
		{errors.New("disk"), 500, "internal"},
	} {
		f.server.control.operations.(*operated).err = c.err
		for request := range operates {
			method, path, _ := strings.Cut(request, " ")
			var body errorBody
			if status := f.ask(t, method, path, "", &body); status != c.status || body.Code != c.code {
				t.Errorf("%s: got %d %s, want %d %s", request, status, body.Code, c.status, c.code)
			}
		}
	}
}

// The refusals of a route that is not among these are untested.
func TestEveryRouteIsTriedWithoutAToken(t *testing.T) {
	table, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	values := strings.NewReplacer("{$}", "", "{id}", "1", "{name}", "vero", "{file}", "aka.js", "{number}", "1", "{destination}", "vero")
	methods := regexp.MustCompile(`"([A-Z]+)":`)
	found := 0
	for _, route := range regexp.MustCompile(`mux\.Handle\("([^"]+)", methods\{(.*)\}\)`).FindAllStringSubmatch(string(table), -1) {
		path := values.Replace(route[1])
		if slices.Contains(openPaths, path) || slices.Contains(signingPaths, path) {
			continue
		}
		for _, method := range methods.FindAllStringSubmatch(route[2], -1) {
			found++
			request := method[1] + " " + path
			isTried := func(tried string) bool {
				return tried == request || strings.HasPrefix(tried, request+"?") || strings.HasPrefix(tried, request+" ")
			}
			if !slices.ContainsFunc(slices.Concat(readers, changers, streams), isTried) {
				t.Errorf("%s is not tried", request)
			}
		}
	}
	if found < 25 {
		t.Errorf("only %d requests were found", found)
	}
}

// stuck is a router whose reloads do not end.
type stuck struct {
	*operated
	began, end chan struct{}
}

func (s *stuck) Reload() (any, error) {
	s.began <- struct{}{}
	<-s.end
	return []string{}, nil
}

func TestReloadsThatAreAskedForAtOnceAreBounded(t *testing.T) {
	f := newFixture(t)
	s := &stuck{began: make(chan struct{}), end: make(chan struct{})}
	f.server.control.operations = s
	answered := make(chan int, maxReloads)
	for range maxReloads {
		go func() {
			status, _, _ := f.do(t, "POST", "/reload", "")
			answered <- status
		}()
		<-s.began
	}
	if status, body, _ := f.do(t, "POST", "/reload", ""); status != 503 || !strings.Contains(body, "try_again") {
		t.Errorf("one too many: %d %s", status, body)
	}
	close(s.end)
	for range maxReloads {
		if status := <-answered; status != 200 {
			t.Errorf("one of those that waited: %d", status)
		}
	}
}

func TestARefusingDestinationIsResumedAnyway(t *testing.T) {
	f := newFixture(t)
	f.server.control.operations = &operated{}
	f.want(t, "POST", "/destinations/refusing/resume?anyway=true", "", 200, `{"destination":"refusing","refusing":true}`)
	f.want(t, "POST", "/destinations/vero/resume?anyway=true", "", 200, `{"destination":"vero","refusing":false}`)
	f.want(t, "POST", "/destinations/gone/resume?anyway=true", "", 404, `{"success":false,"code":"not_found","message":"no such destination: gone","error":"no such destination: gone"}`)
	f.want(t, "POST", "/destinations/vero/resume?anyway=perhaps", "", 400, `{"success":false,"code":"invalid_anyway","message":"anyway: expected true or false, not \"perhaps\"","error":"anyway: expected true or false, not \"perhaps\""}`)
}
