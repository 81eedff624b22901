package cli

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthSaysWhetherAkaLivesAndIsReady(t *testing.T) {
	aka := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"ready":false,"checks":{"journal":"full"}}`))
		}
	}))
	defer aka.Close()
	guarded := newRunningWithTokens(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	_ = closed.Close()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--admin", aka.URL}, exitDone, ""},
		{[]string{"--admin", aka.URL, "--ready"}, exitFailed, `/readyz answers 503 Service Unavailable: {"ready":false,"checks":{"journal":"full"}}`},
		{[]string{"--admin", guarded.url}, exitDone, ""},
		{[]string{"--admin", guarded.url, "--token-file", "/nowhere/token"}, exitDone, ""},
		{[]string{"--admin", nobody}, exitFailed, "nothing listens at http://" + nobody},
		{[]string{"--admin", "9090"}, exitWrongUse, "--admin: expected host:port"},
		{[]string{"now"}, exitWrongUse, ""},
	} {
		got := runAka(t, append([]string{"health"}, c.args...)...)
		if got.code != c.code || !strings.Contains(got.errOut, c.says) {
			t.Errorf("%v: exit code %d, errors %q, want %d, %q", c.args, got.code, got.errOut, c.code, c.says)
		}
	}
}
