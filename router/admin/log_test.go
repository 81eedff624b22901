package admin

import (
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"aka/router/logging"
)

func TestTheLogsLevelIsChangedWhileItRuns(t *testing.T) {
	f := newFixture(t)
	f.want(t, "GET", "/log/level", "", 404, `{"success":false,"code":"not_found","message":"the level of this log cannot be changed while it runs","error":"the level of this log cannot be changed while it runs"}`)
	operated := logging.New(logging.Options{Level: "info"}, &strings.Builder{})
	web := httptest.NewServer(f.another(func(c *Config) { c.Log = logging.Of(operated) }).Handler())
	t.Cleanup(web.Close)
	f.url = web.URL
	f.want(t, "GET", "/log/level", "", 200, `{"level":"info","usual":"info"}`)
	f.want(t, "PUT", "/log/level?level=debug", "", 200, `{"level":"debug","usual":"info"}`)
	if !operated.Core().Enabled(zapcore.DebugLevel) {
		t.Error("the level is as it was")
	}
	for query, want := range map[string]string{
		"": "unknown_level", "level=": "unknown_level", "level=fatal": "unknown_level", "level=info&for=": "invalid_for",
		"level=info&for=-1s": "invalid_for", "level=info&for=9999d": "invalid_for", "to=info": "unknown_parameter",
	} {
		var body errorBody
		if status := f.ask(t, "PUT", "/log/level?"+query, "", &body); status != 400 || body.Code != want {
			t.Errorf("%s: got %d %+v, want %s", query, status, body, want)
		}
	}
	f.want(t, "GET", "/log/level", "", 200, `{"level":"debug","usual":"info"}`)
}

func TestAPanicIsAnsweredAndLoggedWithoutWhatItQuotes(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	s := &Server{log: zap.New(core)}
	handler := s.recovered(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("jane@example.com") }))
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
	if answer.Code != 500 || logs.Len() != 1 {
		t.Fatalf("got %d, %d lines", answer.Code, logs.Len())
	}
	line := logs.All()[0]
	if line.Level != zapcore.ErrorLevel || line.ContextMap()["error"] != "string" || strings.Contains(line.ContextMap()["stack"].(string), "jane") {
		t.Errorf("got %v", line.ContextMap())
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("what ends a connection does not")
		}
	}()
	s.recovered(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })).ServeHTTP(answer, nil)
}

func TestServerLog_HasNoNames(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	lines := log.New(serverLog{zap.New(core)}, "", 0)
	lines.Print("http: TLS handshake error from 192.0.2.1:4711: EOF")
	lines.Print("http: panic serving [2001:db8::7]:80: oh")
	for i, want := range []string{"http: TLS handshake error from <address>: EOF", "http: panic serving <address>: oh"} {
		if got := logs.All()[i].ContextMap()["error"]; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
