package httpclient

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestAnExchangeGoesOutAsItIs(t *testing.T) {
	var got *http.Request
	var body []byte
	vendor := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, "slow down")
	})
	answer := sender().Send(Exchange{Method: "PUT", URL: vendor + "/a//b%2Fc/../d?x=1%202&y=%0d%0a",
		Header: map[string]string{"Content-Type": "application/json", "Authorization": "Basic eDo="}, Body: []byte(`{"a":1}`)})
	if answer.Err != nil || answer.Status != 429 || answer.RetryAfter != "7" || string(answer.Body) != "slow down" {
		t.Fatalf("got %+v", answer)
	}
	if got.Method != "PUT" || got.RequestURI != "/a//b%2Fc/../d?x=1%202&y=%0d%0a" || string(body) != `{"a":1}` ||
		got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Authorization") != "Basic eDo=" {
		t.Errorf("the vendor got %s %s %v %s", got.Method, got.RequestURI, got.Header, body)
	}
}

func TestWhatWouldEndAURLIsEncoded(t *testing.T) {
	var got string
	vendor := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI })
	answer := sender().Send(Exchange{Method: "GET", URL: vendor + "/a?x=1 HTTP/1.1\r\nX: 1\r\n\r\n\x00\x7f\u00e9&y=%20"})
	if want := "/a?x=1%20HTTP/1.1%0D%0AX:%201%0D%0A%0D%0A%00%7F%C3%A9&y=%20"; answer.Status != 200 || got != want {
		t.Errorf("got %+v, the vendor %q, want %q", answer, got, want)
	}
}

func TestWhatIsNoRequestIsNotSentAndNotShown(t *testing.T) {
	vendor := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	for _, x := range []Exchange{
		{Method: "PO ST", URL: vendor + "/s3cr3t"},
		{Method: "GET", URL: vendor + "/%zz/s3cr3t"},
		{Method: "GET", URL: "/relative/s3cr3t"},
		{Method: "GET", URL: "ftp://vendor.example/s3cr3t"},
		{Method: "GET", URL: "http://:80/s3cr3t"},
		{Method: "GET", URL: vendor, Header: map[string]string{"Authorization": "s3cr3t\r\nX: 1"}},
		{Method: "GET", URL: vendor, Header: map[string]string{"X\n": "s3cr3t"}},
	} {
		answer := sender().Send(x)
		if answer.Err == nil || answer.PossiblyDelivered || ErrorKind(answer.Err) != KindOther || strings.Contains(answer.Err.Error(), "s3cr3t") {
			t.Errorf("%q: got %+v", x, answer)
		}
	}
}

func TestAGetHasNoBody(t *testing.T) {
	vendor := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); r.Method != "GET" || len(body) > 0 || r.Header.Get("Content-Type") != "" {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	if answer := sender().Send(Exchange{Method: "GET", URL: vendor + "/a?_k=k"}); answer.Status != 200 {
		t.Fatalf("got %+v", answer)
	}
}

func TestABodyIsCompressedWhenItsHeaderSaysSo(t *testing.T) {
	vendor := serve(t, func(w http.ResponseWriter, r *http.Request) {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(w, z)
	})
	body := strings.Repeat("again ", 1000)
	for range 3 { // with a used compressor too
		answer := sender().Send(Exchange{Method: "POST", URL: vendor, Header: map[string]string{"Content-Encoding": "gzip"}, Body: []byte(body)})
		if string(answer.Body) != body {
			t.Fatalf("got %+v", answer)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("followed, with the token") })
	vendor := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
	})
	if answer := sender().Send(Exchange{Method: "POST", URL: vendor, Body: []byte("x")}); answer.Status != 307 {
		t.Fatalf("got %+v", answer)
	}
}

func TestAHugeAnswerIsReadOnlyToItsStart(t *testing.T) {
	vendor := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		line := []byte(strings.Repeat("x", 1<<16))
		for range 1600 {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	})
	answer := sender().Send(Exchange{Method: "POST", URL: vendor})
	if answer.Err != nil || answer.Status != 400 || len(answer.Body) > maxAnswer {
		t.Fatalf("status %d, error %v, %d bytes", answer.Status, answer.Err, len(answer.Body))
	}
}

func TestACompressedAnswerIsReadWithinBounds(t *testing.T) {
	for size, want := range map[int]int{1000: 1000, 8 << 20: maxAnswer} {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = io.CopyN(z, zeros{}, int64(size))
		_ = z.Close()
		vendor := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes())
		})
		answer := sender().Send(Exchange{Method: "POST", URL: vendor})
		if answer.Status != 200 || len(answer.Body) != want || answer.TooLong != (size > want) {
			t.Errorf("%d zeros: status %d, error %v, %d bytes, too long: %t", size, answer.Status, answer.Err, len(answer.Body), answer.TooLong)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAConnectionIsUsedAgain(t *testing.T) {
	peers := map[string]bool{}
	vendor := serve(t, func(_ http.ResponseWriter, r *http.Request) { peers[r.RemoteAddr] = true })
	s := sender()
	for i := range 10 {
		if answer := s.Send(Exchange{Method: "POST", URL: vendor, Body: fmt.Append(nil, i)}); answer.Status != 200 {
			t.Fatalf("got %+v", answer)
		}
	}
	if len(peers) != 1 {
		t.Errorf("10 exchanges took %d connections", len(peers))
	}
}

func TestASenderThatIsClosedKeepsNoConnection(t *testing.T) {
	states := make(chan http.ConnState, 100)
	began, goOn := make(chan bool), make(chan bool)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			began <- true
			<-goOn
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) { states <- state }
	server.Start()
	t.Cleanup(server.Close)
	s := sender()
	untilClosed := func() {
		t.Helper()
		for {
			select {
			case state := <-states:
				if state == http.StateClosed {
					return
				}
			case <-time.After(maxIdleConn / 2):
				t.Fatal("the connection is kept")
			}
		}
	}
	s.Send(Exchange{Method: "POST", URL: server.URL})
	_ = s.Close()
	untilClosed()
	answers := make(chan Response)
	go func() { answers <- s.Send(Exchange{Method: "POST", URL: server.URL + "/slow"}) }()
	<-began
	_ = s.Close()
	goOn <- true
	if answer := <-answers; answer.Status != 200 {
		t.Errorf("what was in flight got %+v", answer)
	}
	untilClosed()
}

func sender() *Sender {
	return New(Options{Timeout: time.Minute, AllowPrivate: true})
}

func serve(t *testing.T, handle http.HandlerFunc) string {
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return server.URL
}

func TestAnAnswerSaysHowLongItTookAndHowMuchIsLeft(t *testing.T) {
	const pause = 20 * time.Millisecond
	for name, transferEncoding := range map[string]string{"plain": "", "in chunks": "chunked"} {
		vendor := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			<-time.After(pause)
			w.Header().Set("X-RateLimit-Limit", "50")
			w.Header().Set("X-RateLimit-Remaining", "3")
			w.Header().Set("X-RateLimit-Reset", "1796054400")
			w.WriteHeader(http.StatusOK)
			if transferEncoding != "" {
				w.(http.Flusher).Flush()
			}
			_, _ = io.WriteString(w, "{}")
		})
		s, began := sender(), time.Now()
		answer := s.Send(Exchange{Method: "POST", URL: vendor, Body: []byte("x")})
		if took := time.Since(began); answer.Latency < pause || answer.Latency > took {
			t.Errorf("%s: a latency of %s, in %s", name, answer.Latency, took)
		}
		if want := (RateLimit{Known: true, Limit: 50, Remaining: 3, Reset: 1796054400}); answer.RateLimit != want {
			t.Errorf("%s: got %+v, want %+v", name, answer.RateLimit, want)
		}
	}
	for _, text := range []string{"many", "-1", "99999999999999999999", ""} {
		vendor := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-RateLimit-Limit", text)
			w.Header().Set("X-RateLimit-Remaining", "0")
		})
		if answer := sender().Send(Exchange{Method: "POST", URL: vendor}); answer.RateLimit != (RateLimit{}) {
			t.Errorf("%q: got %+v", text, answer.RateLimit)
		}
	}
}
