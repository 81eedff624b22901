package httpclient

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// impatient is the timeout of exchanges that are to run into it.
const impatient = time.Second

func TestAFaultOfTheVendorHasAKindAndTellsWhetherItMayHaveActed(t *testing.T) {
	huge := bytes.Repeat([]byte("x"), 32<<20) // more than the sockets hold
	for _, c := range []struct {
		name   string
		vendor func(c *peer)
		body   []byte
		hangs  bool
		want   string // a kind, or a status
	}{
		{"it hangs", func(c *peer) { c.request(); c.untilClosed() }, nil, true, KindTimeout},
		{"it hangs before it has read all", func(c *peer) { c.standStill() }, huge, true, KindTimeout},
		{"its head drips", func(c *peer) { c.request(); c.drip("HTTP/1.1 200 OK\r\nX-Drip: ") }, nil, true, KindTimeout},
		{"its body drips", func(c *peer) { c.request(); c.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"); c.drip("x") }, nil, true, "200"},
		{"its chunks drip", func(c *peer) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n")
			c.drip("x")
		}, nil, true, "200"},
		{"its body stalls", func(c *peer) { c.request(); c.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"); c.untilClosed() }, nil, true, "200"},
		{"its body does not begin", func(c *peer) { c.request(); c.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"); c.untilClosed() }, nil, true, "200"},
		{"a chunk stalls", func(c *peer) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{")
			c.untilClosed()
		}, nil, true, "200"},
		{"its trailers stall", func(c *peer) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
			c.untilClosed()
		}, nil, true, "200"},
		{"its connection stays open behind a body without a length", func(c *peer) { c.request(); c.say("HTTP/1.0 200 OK\r\n\r\n{}"); c.untilClosed() }, nil, true, "200"},
		{"the body of its 400 stalls", func(c *peer) {
			c.request()
			c.say("HTTP/1.1 400 Bad\r\nContent-Length: 9\r\n\r\n{")
			c.untilClosed()
		}, nil, true, "400"},
		{"the body of its 503 drips", func(c *peer) { c.request(); c.say("HTTP/1.1 503 No\r\nContent-Length: 100000\r\n\r\n"); c.drip("x") }, nil, true, "503"},
		{"it resets before it answers", func(c *peer) { c.request(); c.reset() }, nil, false, KindReset},
		{"it resets before it has read all", func(c *peer) { c.some(); c.reset() }, huge, false, KindReset},
		{"it resets in its head", func(c *peer) { c.request(); c.say("HTTP/1.1 200 OK\r\nContent-"); c.reset() }, nil, false, KindReset},
		{"it resets in its body", func(c *peer) { c.request(); c.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"); c.reset() }, nil, false, KindReset},
		{"it closes instead of an answer", func(c *peer) { c.request(); c.close() }, nil, false, KindReset},
		{"it closes in its body", answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), nil, false, KindReset},
		{"it closes in a chunk", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"), nil, false, KindReset},
		{"it answers before it has read all", func(c *peer) { c.some(); c.say("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"); c.close() }, huge, false, "413"},
		{"it answers and reads no more", func(c *peer) { c.some(); c.say("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"); c.standStill() }, huge, true, "413"},

		{"it says yes before it has read all", func(c *peer) { c.some(); c.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); c.standStill() }, huge, true, KindTimeout},
		{"it begins to say yes before it has read all", func(c *peer) { c.some(); c.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"); c.standStill() }, huge, true, KindTimeout},

		{"it announces its answer", answering("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"), nil, false, "204"},
		{"it announces and announces", func(c *peer) { c.request(); c.repeat("HTTP/1.1 100 Continue\r\n\r\n") }, nil, false, KindBadAnswer},
		{"it switches protocols", answering("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), nil, false, KindBadAnswer},
		{"it has not modified", answering("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), nil, false, "304"},
		{"it sends us elsewhere", answering("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"), nil, false, "307"},
		{"its names are in lower case", answering("HTTP/1.1 429 slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"), nil, false, "429 after 7"},

		{"its status is no number", answering("HTTP/1.1 OK 200\r\n\r\n"), nil, false, KindBadAnswer},
		{"its status is too short", answering("HTTP/1.1 20 OK\r\n\r\n"), nil, false, KindBadAnswer},
		{"its status is nothing", answering("HTTP/1.1 000 OK\r\n\r\n"), nil, false, KindBadAnswer},
		{"its status is none that there is", answering("HTTP/1.1 999 OK\r\n\r\n"), nil, false, KindBadAnswer},
		{"it speaks another protocol", answering("SSH-2.0-OpenSSH_9.9\r\n"), nil, false, KindBadAnswer},
		{"it speaks HTTP/2", answering("\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64\n"), nil, false, KindBadAnswer},
		{"it says it speaks HTTP/2", answering("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"), nil, false, KindBadAnswer},
		{"it speaks TLS", answering("\x15\x03\x01\x00\x02\x02\x46\n"), nil, false, KindBadAnswer},
		{"it answers zeros", answering(strings.Repeat("\x00", 5000) + "\n"), nil, false, KindBadAnswer},
		{"its header is no header", answering("HTTP/1.1 200 OK\r\nnothing\r\n\r\n"), nil, false, KindBadAnswer},
		{"its length is less than nothing", answering("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), nil, false, KindBadAnswer},
		{"its lengths differ", answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"), nil, false, KindBadAnswer},
		{"its chunks are garbage", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"), nil, false, KindBadAnswer},
		{"the chunks of its 500 are garbage", answering("HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), nil, false, "500"},
		{"its encoding is unknown", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\n"), nil, false, KindBadAnswer},
		{"it has length and chunks", answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), nil, false, "200"},
		{"its body ends with the connection", answering("HTTP/1.0 400 Bad\r\n\r\n{}"), nil, false, "400"},
		{"it says it is compressed", answering("HTTP/1.1 400 Bad\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"), nil, false, "400"},

		{"its head never ends", func(c *peer) { c.request(); c.say("HTTP/1.1 200 OK\r\n"); c.repeat("X: x\r\n") }, nil, false, KindBadAnswer},
		{"a line of its head never ends", func(c *peer) { c.request(); c.say("HTTP/1.1 200 OK\r\nX: "); c.repeat("xxxxxxxx") }, nil, false, KindBadAnswer},
		{"its body never ends", func(c *peer) { c.request(); c.say("HTTP/1.1 200 OK\r\n\r\n"); c.repeat("xxxxxxxx") }, nil, false, "200"},
		{"its chunks never end", func(c *peer) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			c.repeat("1\r\nx\r\n")
		}, nil, false, "200"},
		{"the body of its 500 never ends", func(c *peer) { c.request(); c.say("HTTP/1.1 500 No\r\n\r\n"); c.repeat("xxxxxxxx") }, nil, false, "500"},
		{"a chunk's extension never ends", func(c *peer) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=")
			c.repeat("xxxxxxxx")
		}, nil, false, KindBadAnswer},
		{"its trailers never end", func(c *peer) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
			c.repeat("X: x\r\n")
		}, nil, false, KindBadAnswer},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, timeout := sender(), 30*time.Second
			if c.hangs {
				timeout = impatient
			}
			s.timeout = timeout
			vendor := listen(t, c.vendor)
			begin := time.Now()
			answer := s.Send(Exchange{Method: "POST", URL: vendor.url, Body: c.body})
			took := time.Since(begin)
			if got := describe(answer); got != c.want {
				t.Errorf("got %s, want %s: %T %v", got, c.want, answer.Err, answer.Err)
			}
			if answer.Err != nil && !answer.PossiblyDelivered {
				t.Error("it may have acted, and that is not told")
			}
			if len(answer.Body) > maxAnswer {
				t.Errorf("%d bytes were kept", len(answer.Body))
			}
			if took > timeout+10*time.Second { // far from the hour for which these vendors go on
				t.Errorf("it took %s", took)
			}
			s.closeIdle()
			vendor.allEnd() // no connection is left open behind a fault
		})
	}
}

func describe(answer Response) string {
	switch {
	case answer.Err != nil:
		return ErrorKind(answer.Err)
	case answer.RetryAfter != "":
		return fmt.Sprint(answer.Status, " after ", answer.RetryAfter)
	}
	return fmt.Sprint(answer.Status)
}

func TestWhatIsReadOfAnAnswerIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		head, more string
		reused     int
	}{
		"length": {"HTTP/1.1 400 Bad\r\nContent-Length: 1000000000000\r\n\r\n", "xxxxxxxx", maxAnswer},
		"close":  {"HTTP/1.1 400 Bad\r\n\r\n", "xxxxxxxx", maxAnswer},
		"chunks": {"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", maxBody / 6},
		"head":   {"HTTP/1.1 400 Bad\r\nX: ", "xxxxxxxx", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := sender()
			vendor := listen(t, func(p *peer) { p.request(); p.say(c.head); p.repeat(c.more) })
			request, err := s.newRequest(Exchange{Method: "POST", URL: vendor.url})
			if err != nil {
				t.Fatal(err)
			}
			connection, _, err := s.connect(request.origin, time.Now(), time.Now().Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			read := &counter{Conn: connection.wire.Conn}
			connection.wire.Conn = read
			answer, keep, err := connection.exchange(request, time.Now().Add(time.Minute), time.Minute)
			if keep || len(answer.Body) < c.reused || len(answer.Body) > maxAnswer || read.n > maxHead+maxBody {
				t.Errorf("read %d bytes, kept %d, keeps the connection: %t, %v", read.n, len(answer.Body), keep, err)
			}
			_ = connection.Close()
		})
	}
}

func TestAnAnswerThatDoesNotEndIsWhatHasCome(t *testing.T) {
	const start = `{"status":200,`
	for name, c := range map[string]struct {
		head    string
		body    []byte
		more    func(c *peer)
		tooLong bool
	}{
		"a length that is longer": {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n", []byte(start), (*peer).untilClosed, false},
		"a chunk that is longer":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", []byte("ff\r\n" + start), (*peer).untilClosed, false},
		"no last chunk":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", []byte("e\r\n" + start + "\r\n"), (*peer).untilClosed, false},
		"packed":                  {"HTTP/1.1 200 OK\r\nContent-Encoding: X-GZIP\r\nContent-Length: 100\r\n", flushed(start), (*peer).untilClosed, false},
		"more and more":           {"HTTP/1.1 200 OK\r\n", []byte(start), func(c *peer) { c.repeat("xxxxxxxx") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int32
			vendor := listen(t, func(p *peer) {
				connections.Add(1)
				p.request()
				p.say(c.head + "Content-Type: application/json\r\n\r\n" + string(c.body))
				c.more(p)
			})
			s := sender()
			s.timeout = impatient
			for n := int32(1); n <= 2; n++ {
				answer := s.Send(Exchange{Method: "POST", URL: vendor.url})
				if answer.Err != nil || answer.Status != 200 || answer.ContentType != "application/json" || answer.TooLong != c.tooLong {
					t.Errorf("got %+v", answer)
				}
				if body := string(answer.Body); !strings.HasPrefix(body, start) || !c.tooLong && body != start {
					t.Errorf("its body is %.100q", body)
				}
				if connections.Load() != n {
					t.Errorf("%d exchanges took %d connections", n, connections.Load())
				}
			}
			vendor.allEnd()
		})
	}
}

// flushed is a compressed text that goes on.
func flushed(text string) []byte {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, text)
	_ = z.Flush()
	return packed.Bytes()
}

type counter struct {
	net.Conn
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n += n
	return n, err
}

func TestAConnectionThatWasClosedUnderOurFeetCostsNothing(t *testing.T) {
	for name, end := range map[string]func(c *peer){
		"closed":  func(c *peer) { c.close() },
		"reset":   func(c *peer) { c.reset() },
		"goodbye": func(c *peer) { c.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			var requests, connections atomic.Int32
			ended := make(chan struct{}, 10)
			vendor := listen(t, func(c *peer) {
				connections.Add(1)
				c.request()
				requests.Add(1)
				c.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				end(c)
				ended <- struct{}{}
				c.untilClosed()
			})
			s := sender()
			for i := range 5 {
				if answer := s.Send(Exchange{Method: "POST", URL: vendor.url, Body: []byte("x")}); answer.Status != 200 {
					t.Fatalf("exchange %d: got %+v", i, answer)
				}
				<-ended
				watch(t, "what the vendor did arrives", func() bool { return !s.idleIsAlive() })
			}
			if requests.Load() != 5 || connections.Load() != 5 {
				t.Errorf("%d requests on %d connections, want 5 on 5", requests.Load(), connections.Load())
			}
			s.closeIdle()
			vendor.allEnd()
		})
	}
}

// What was said too early would be taken for the answer to the next request.
func TestNothingOfAnAnswerIsTakenForTheNext(t *testing.T) {
	vendor := listen(t, func(c *peer) {
		c.request()
		c.say("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		c.untilClosed()
	})
	s := sender()
	for range 3 {
		if answer := s.Send(Exchange{Method: "POST", URL: vendor.url}); answer.Status != 500 || string(answer.Body) != "{}" {
			t.Fatalf("got %+v", answer)
		}
	}
	s.closeIdle()
	vendor.allEnd()
}

func TestAFailureIsSureOnlyWhileNotAByteHasGoneOut(t *testing.T) {
	connected := make(chan struct{})
	vendor := listen(t, func(c *peer) { <-connected; c.reset() })
	s := sender()
	request, err := s.newRequest(Exchange{Method: "POST", URL: vendor.url})
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := s.connect(request.origin, time.Now(), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	close(connected)
	watch(t, "the reset arrives", func() bool { return !c.liveness.isAlive() })
	_, keep, err := c.exchange(request, time.Now().Add(time.Minute), time.Minute)
	if keep || ErrorKind(err) != KindReset || wasSent(err) || c.wire.written != 0 {
		t.Errorf("got %v, sent %t, %d bytes, keeps the connection: %t", err, wasSent(err), c.wire.written, keep)
	}
	_ = c.Close()
}

func TestAKeptConnectionIsClosedWhenItIsNotUsed(t *testing.T) {
	vendor := listen(t, func(c *peer) { c.request(); c.say("HTTP/1.1 204 No Content\r\n\r\n"); c.untilClosed() })
	s := sender()
	if answer := s.Send(Exchange{Method: "POST", URL: vendor.url}); answer.Status != 204 {
		t.Fatalf("got %+v", answer)
	}
	s.pool.mu.Lock()
	for _, o := range s.pool.origins {
		o.idle[0].idleSince = time.Now().Add(-maxIdleConn)
		o.idle[0].expiry.Reset(0)
	}
	s.pool.mu.Unlock()
	vendor.allEnd()
}

func TestSendersLeaveNoGoroutineBehind(t *testing.T) {
	vendor := listen(t, func(c *peer) { c.request(); c.untilClosed() })
	s := sender()
	s.timeout = impatient
	var sending sync.WaitGroup
	for range 20 {
		sending.Go(func() { s.Send(Exchange{Method: "POST", URL: vendor.url}) })
	}
	sending.Wait()
	gone(t, "httpclient.(*Sender)", "httpclient.(*conn)", "net.(*Dialer)")
	vendor.allEnd()
}

// gone waits until no goroutine is in a function of these names.
func gone(t *testing.T, names ...string) {
	t.Helper()
	stacks := make([]byte, 4<<20)
	watch(t, "the goroutines end", func() bool {
		all := string(stacks[:runtime.Stack(stacks, true)])
		for _, name := range names {
			if strings.Contains(all, name) {
				return false
			}
		}
		return true
	})
}

func watch(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long until %s", what)
		}
	}
}

func (s *Sender) closeIdle() {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	for _, o := range s.pool.origins {
		for _, c := range o.idle {
			_ = c.Close()
		}
		o.idle = nil
	}
}

func (s *Sender) idleIsAlive() bool {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	some := false
	for _, o := range s.pool.origins {
		for _, c := range o.idle {
			if !c.liveness.isAlive() {
				return false
			}
			some = true
		}
	}
	return some
}

// scripted is a vendor that does on each connection what a script says.
type scripted struct {
	t        *testing.T
	url      string
	active   atomic.Int32
	released chan struct{} // closed when a peer that stands still may go on
}

func listen(t *testing.T, script func(c *peer)) *scripted {
	t.Helper()
	return listenAt(t, "127.0.0.1:0", script)
}

func listenAt(t *testing.T, addr string, script func(c *peer)) *scripted {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	v := &scripted{t: t, url: "http://" + listener.Addr().String(), released: make(chan struct{})}
	go func() {
		for {
			accepted, err := listener.Accept()
			if err != nil {
				return
			}
			v.active.Add(1)
			go func() {
				defer v.active.Add(-1)
				defer accepted.Close()
				script(&peer{Conn: accepted, reader: bufio.NewReader(accepted), released: v.released})
			}()
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	return v
}

// allEnd waits until every connection has ended: those that wait for us to close them, too.
func (v *scripted) allEnd() {
	v.t.Helper()
	close(v.released)
	watch(v.t, "every connection is closed", func() bool { return v.active.Load() == 0 })
}

// peer is the vendor's end of a connection.
type peer struct {
	net.Conn
	reader   *bufio.Reader
	released <-chan struct{}
}

func answering(text string) func(c *peer) {
	return func(c *peer) { c.request(); c.say(text); c.close() }
}

// request reads one request.
func (c *peer) request() {
	if r, err := http.ReadRequest(c.reader); err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// some reads a part of a request.
func (c *peer) some() { _, _ = io.CopyN(io.Discard, c.reader, 64) }

func (c *peer) say(text string) { _, _ = io.WriteString(c, text) }

func (c *peer) close() { _ = c.Close() }

func (c *peer) reset() {
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// untilClosed waits for the other end to close.
func (c *peer) untilClosed() { _, _ = io.Copy(io.Discard, c.reader) }

// standStill neither reads nor writes until the exchange is over.
func (c *peer) standStill() { <-c.released; c.untilClosed() }

// repeat goes on with a text until the other end has closed.
func (c *peer) repeat(text string) {
	block := []byte(strings.Repeat(text, 1000))
	for _, err := c.Write(block); err == nil; _, err = c.Write(block) {
	}
}

// drip writes a byte at a time.
func (c *peer) drip(text string) {
	for _, err := io.WriteString(c, text); err == nil; _, err = io.WriteString(c, "x") {
		time.Sleep(10 * time.Millisecond)
	}
}
