//go:build sdks

package e2e

import (
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"
)

// front stands between SDKs and an aka, as a load balancer does, and fails on request.
type front struct {
	url   string
	proxy httputil.ReverseProxy

	mu      sync.Mutex
	failing failing
	arrived []time.Time // the requests since it was last told to fail
}

// failing is what a front does instead of its work.
type failing struct {
	name  string
	times int // requests that meet it

	// status is answered, if there is one, with a second to wait before the next try. Else the connection is broken.
	status int
	// late has aka take the request first.
	late bool
}

// newFront starts a front for the aka that runs.
func newFront(w *world) *front {
	w.t.Helper()
	target, err := url.Parse(w.Process.API)
	if err != nil {
		w.t.Fatal(err)
	}
	f := &front{proxy: httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorLog: log.New(io.Discard, "", 0), // clients may go away
	}}
	server := httptest.NewServer(f)
	w.t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// fail has the next requests fail.
func (f *front) fail(how failing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing, f.arrived = how, nil
}

// requests returns when each request with calls came since it was last told to fail.
func (f *front) requests() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.arrived
}

// ServeHTTP hands a request on, or fails.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	how, fails := failing{}, false
	if r.Method == http.MethodPost { // what a browser asks before it sends is let through
		how, fails = f.next()
	}
	if !fails {
		f.proxy.ServeHTTP(w, r)
		return
	}
	if how.late {
		f.proxy.ServeHTTP(httptest.NewRecorder(), r)
	}
	_, _ = io.Copy(io.Discard, r.Body)
	if how.status == 0 {
		reset(w)
		return
	}
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
	w.WriteHeader(how.status)
	_, _ = io.WriteString(w, `{"success":false,"code":"overloaded","message":"later"}`)
}

func (f *front) next() (how failing, fails bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.arrived = append(f.arrived, time.Now())
	return f.failing, len(f.arrived) <= f.failing.times
}

// reset breaks a connection as a machine that is gone does.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// freeAddress returns an address on loopback that stays free while nothing listens there: its port is below those that
// systems hand out.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20_000+rand.IntN(10_000)))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
