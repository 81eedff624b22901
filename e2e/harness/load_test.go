package harness

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

func TestAZippedRequestIsTheSameInLess(t *testing.T) {
	base := &url.URL{Scheme: "http", Host: "127.0.0.1:1", Path: "/proxied"}
	r := Basic.Batches(base, 10).Requests[0]
	head, body, _ := bytes.Cut(r.Zip(70), []byte("\r\n\r\n"))
	if !bytes.Contains(head, []byte("\r\nContent-Encoding: gzip\r\n")) || !bytes.HasPrefix(head, []byte("POST /proxied/v1/batch HTTP/1.1\r\n")) {
		t.Errorf("the head is\n%s", head)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(unzipped)
	if err != nil || !bytes.Equal(plain, r.Body(70)) {
		t.Errorf("%v; the body is\n%s", err, plain)
	}
}

// rough is a server that refuses, breaks connections and closes them before it takes anything.
func rough(t *testing.T, failures ...http.HandlerFunc) (*url.URL, *atomic.Int64) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := int(requests.Add(1)); n <= len(failures) {
			failures[n-1](w, r)
		}
	}))
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return base, &requests
}

func refuse(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
}

func odd(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }

func breakOff(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func closing(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }

func TestAPersistentLoadSendsAgainUntilItIsTaken(t *testing.T) {
	base, requests := rough(t, refuse, breakOff, odd, closing)
	for _, every := range []time.Duration{0, time.Millisecond} {
		requests.Store(0)
		l := &Load{Traffic: []Traffic{Basic.Singles(base)}, Connections: 1, Every: every, MaxPeople: 2, Persistent: true, Sample: 1, Next: &atomic.Int64{}}
		m, err := l.Run(t.Context(), base.Host)
		if err != nil {
			t.Fatal(err)
		}
		calls := 2 * Basic.Steps()
		if m.Calls != calls || len(m.Acks) != calls || len(m.Latencies) != calls || int(requests.Load()) != calls+3 {
			t.Errorf("of %d calls %d are counted, %d kept, %d measured, in %d requests", calls, m.Calls, len(m.Acks), len(m.Latencies), requests.Load())
		}
		if m.Refused != 2 || l.Unexpected.Load() != 1 {
			t.Errorf("%d refused, %d of them unexpected", m.Refused, l.Unexpected.Load())
		}
		if first := m.Acks[0]; !first.Began.Before(first.Sent) || first.Step != (Step{0, 0}) {
			t.Errorf("the first is %+v", first)
		}
	}
}

func TestALoadThatIsNotPersistentSaysWhatFailed(t *testing.T) {
	for want, failure := range map[string]http.HandlerFunc{"418": odd, "EOF": breakOff} {
		base, _ := rough(t, refuse, failure)
		l := &Load{Traffic: []Traffic{Basic.Singles(base)}, Connections: 4, Duration: time.Minute, Next: &atomic.Int64{}}
		if _, err := l.Run(t.Context(), base.Host); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, and not %s", err, want)
		}
	}
}

func TestALoadFollowsAndFinishes(t *testing.T) {
	first, before := rough(t)
	second, after := rough(t)
	l := &Load{Traffic: []Traffic{Basic.Batches(first, 3)}, Connections: 2, Persistent: true, Next: &atomic.Int64{}}
	if err := l.Start(t.Context(), first.Host); err != nil {
		t.Fatal(err)
	}
	for before.Load() == 0 {
		runtime.Gosched()
	}
	l.Follow(second.Host)
	l.Finish()
	if _, err := l.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := l.Acked.Load(); n != 3*int64(Basic.Steps())*(before.Load()+after.Load()) {
		t.Errorf("%d calls in %d and %d requests", n, before.Load(), after.Load())
	}
}
