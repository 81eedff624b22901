package ingress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const getHealth = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

// crowded is a server that has so many connections at most, and closes one that rests to make room for another.
func crowded(t *testing.T, connections int) *stand {
	config := testConfig()
	config.Limits.Connections = connections
	return startTCP(t, config, func(s *Server) { s.conns.minRest, s.http.ReadTimeout = 0, patience })
}

// rested is a connection whose request has been answered, and which waits for another one.
func (s *stand) rested(t *testing.T) *chatter {
	t.Helper()
	resting := s.resting()
	c := s.connect(t)
	c.say(getHealth)
	c.hear("200")
	for s.resting() == resting { // the server is not done when its answer is read
	}
	return c
}

func (s *stand) resting() (n int) {
	s.server.conns.mu.Lock()
	defer s.server.conns.mu.Unlock()
	for c := range s.server.conns.open {
		if c.rests.Load() > working && c.spoke.Load() {
			n++
		}
	}
	return n
}

func TestTheConnectionThatHasRestedLongestMakesRoom(t *testing.T) {
	s := crowded(t, 2)
	first, second := s.rested(t), s.rested(t)
	third := s.connect(t)
	third.say(getHealth)
	third.hear("200")
	if got := first.rest(); got != "" {
		t.Errorf("it is closed with %q", got)
	}
	second.say(getHealth)
	second.hear("200")
	third.say(getHealth)
	third.hear("200")
	s.wantCount(t, 1, "connections_evicted_total")
	s.wantCount(t, 2, "connections")
	s.wantCount(t, 2, "connections_max")
	s.wantCount(t, 0, "requests_total", "status=503")
}

func TestASilentConnectionMakesRoom(t *testing.T) {
	s := crowded(t, 1)
	silent := s.connect(t)
	for s.server.conns.len() == 0 {
	}
	c := s.connect(t)
	c.say(getHealth)
	c.hear("200")
	if got := silent.rest(); got != "" {
		t.Errorf("it is closed with %q", got)
	}
}

func TestNoConnectionIsClosedWhileItsRequestIsReadOrAnswered(t *testing.T) {
	s := crowded(t, 2)
	half := s.rested(t)
	half.say("GET /health HTTP/1.1\r\n")
	s.called, s.hold = make(chan struct{}), make(chan struct{})
	waiting := s.connect(t)
	waiting.say(post + sized)
	<-s.called
	for s.resting() > 0 { // the server has yet to read the half
	}
	for range 3 {
		if got := s.raw(last); answers(t, got) != "503 too_many_connections close" {
			t.Errorf("%q", got)
		}
	}
	close(s.hold)
	waiting.hear("200")
	half.say("Host: x\r\nConnection: close\r\n\r\n")
	half.hear("200 close")
	s.wantCount(t, 0, "connections_evicted_total")
}

func TestAConnectionThatRestsForAMomentIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newConns(prometheus.NewCounter(prometheus.CounterOpts{}))
		add := func() *conn {
			_, end := net.Pipe()
			c := &conn{Conn: end, all: all}
			all.add(c)
			return c
		}
		expect := func(open int, closed float64) {
			t.Helper()
			all.makeRoom(3)
			if evicted := testutil.ToFloat64(all.evicted); all.len() != open || evicted != closed {
				t.Errorf("%d are open, %v were closed", all.len(), evicted)
			}
		}
		add()
		time.Sleep(time.Second)
		busy := add()
		busy.work()
		add()
		expect(3, 0)
		time.Sleep(minRest - time.Second - 1)
		expect(3, 0)
		time.Sleep(time.Nanosecond)
		expect(2, 1)
		add()
		time.Sleep(time.Second - 1)
		expect(3, 1)
		time.Sleep(time.Nanosecond)
		expect(2, 2)
		add()
		time.Sleep(minRest)
		expect(2, 3)
		busy.rest()
		time.Sleep(time.Nanosecond)
		add()
		time.Sleep(minRest)
		expect(2, 4)
		add()
		expect(2, 5)
		if busy.work() {
			t.Error("one that was closed goes on")
		}
	})
}

func TestACallOnAConnectionThatIsClosedToMakeRoomIsNotTaken(t *testing.T) {
	const clients, attempts = 16, 40
	s := crowded(t, 4)
	var taken atomic.Int64
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			sender := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return s.dial() }}}
			defer sender.CloseIdleConnections()
			for i := range attempts {
				// A body that cannot be had again is not sent twice.
				body := io.MultiReader(strings.NewReader(fmt.Sprintf(`{"userId":"u","event":"e","messageId":"m%d-%d"}`, client, i)))
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://aka/v1/track", body)
				if err != nil {
					t.Error(err)
					return
				}
				request.SetBasicAuth(testKey, "")
				response, err := sender.Do(request)
				if err != nil {
					continue
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if response.StatusCode == http.StatusOK {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	if kept := len(s.entries); int64(kept) != taken.Load() || kept == 0 {
		t.Errorf("%d calls are in the journal, and %d were answered 200", kept, taken.Load())
	}
	if evicted, _ := s.count(t, "connections_evicted_total"); evicted == 0 {
		t.Error("no connection was closed")
	}
}
