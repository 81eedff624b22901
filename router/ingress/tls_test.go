package ingress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// tlsStand is a server that speaks TLS, and a client that trusts its certificate, whose serial number is 1.
type tlsStand struct {
	*stand
	files TLS
	trust *tls.Config
}

func startTLS(t testing.TB, config Config) *tlsStand {
	t.Helper()
	s := &tlsStand{files: pathsIn(t.TempDir()), trust: &tls.Config{ServerName: "router", RootCAs: x509.NewCertPool()}}
	s.renew(t, 1)
	config.TLS = s.files
	s.stand = startTCP(t, config)
	s.client = clientOf(func() (net.Conn, error) { return s.dialTLS(s.trust) })
	return s
}

// renew writes another certificate, which the client trusts too.
func (s *tlsStand) renew(t testing.TB, serial int64) {
	t.Helper()
	pair := newPEMPair(t, serial, inAYear())
	pair.write(t, s.files)
	s.trust.RootCAs.AppendCertsFromPEM([]byte(pair.cert))
}

func (s *tlsStand) dialTLS(config *tls.Config) (*tls.Conn, error) {
	conn, err := s.dial()
	if err != nil {
		return nil, err
	}
	secure := tls.Client(conn, config)
	if err := secure.Handshake(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// untilOpen waits until so many connections are open.
func (s *tlsStand) untilOpen(t testing.TB, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		got := s.server.conns.len()
		if got == want {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d connections are open, not %d", got, want)
		}
	}
}

func TestCallsComeOverTLS(t *testing.T) {
	s := startTLS(t, testConfig())
	for range 3 {
		if got := s.post(t, "/v1/alias", call); got.StatusCode != 200 {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
	}
	if got := s.send(t, "POST", "/v1/alias", "x", "X-Write-Key: "+testKey, "Origin: https://a.example"); got.code(t) != "invalid_json" || got.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if len(s.entries) != 1 || s.server.conns.len() != 1 {
		t.Errorf("%d calls over %d connections", len(s.entries), s.server.conns.len())
	}
}

func TestWhatIsSpokenOverTLS(t *testing.T) {
	s := startTLS(t, testConfig())
	for name, c := range map[string]struct {
		least, most uint16
		protocols   []string
		want        string // the protocol that is agreed on; "refused" where none is
	}{
		"1.3":              {tls.VersionTLS13, tls.VersionTLS13, nil, ""},
		"1.2":              {tls.VersionTLS12, tls.VersionTLS12, nil, ""},
		"1.1":              {tls.VersionTLS10, tls.VersionTLS11, nil, "refused"},
		"HTTP/1.1":         {0, 0, []string{"http/1.1"}, "http/1.1"},
		"HTTP/2 if it can": {0, 0, []string{"h2", "http/1.1"}, "http/1.1"},
	} {
		config := s.trust.Clone()
		config.MinVersion, config.MaxVersion, config.NextProtos = c.least, c.most, c.protocols
		conn, err := s.dialTLS(config)
		if err != nil {
			if c.want != "refused" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != c.want {
			t.Errorf("%s: %q", name, got)
		}
		_ = conn.Close()
	}
}

func TestPlainHTTPWhereTLSIsSpokenIs400(t *testing.T) {
	s := startTLS(t, testConfig())
	head := "\r\nHost: x\r\nOrigin: https://a.example\r\nX-Write-Key: " + testKey + "\r\n"
	for name, c := range map[string]struct{ request, code string }{
		"a call":       {"POST /v1/alias HTTP/1.1" + head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(call), call), "https_required"},
		"a large body": {"POST /v1/batch HTTP/1.1" + head + "Content-Length: 3000000\r\n\r\n" + strings.Repeat(" ", 3_000_000), "https_required"},
		"a preflight":  {"OPTIONS /v1/t HTTP/1.1" + head + "\r\n", "https_required"},
		"health":       {"GET /health HTTP/1.0" + head + "\r\n", "https_required"},
		"not HTTP":     {"HELO mail\r\n\r\n", "invalid_request"},
	} {
		got := s.raw(c.request)
		if !strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, `"code":"`+c.code+`"`) || !strings.Contains(got, "Connection: close") {
			t.Errorf("%s: %q", name, got)
		}
		if c.code == "https_required" && !strings.Contains(got, "Access-Control-Allow-Origin: https://a.example") {
			t.Errorf("%s: no CORS: %q", name, got)
		}
	}
	s.wantCount(t, 5, "requests_total", "status=400")
	if len(s.entries) > 0 {
		t.Errorf("kept %+v", s.entries)
	}
}

// mustEnd fails unless the other side closes the connection.
func mustEnd(t *testing.T, name string, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: the connection stays open", name)
	}
	_ = conn.Close()
}

func TestGarbageWhereTLSIsSpokenEndsAtOnce(t *testing.T) {
	s := startTLS(t, testConfig())
	for name, garbage := range map[string]string{
		"zeros":            strings.Repeat("\x00", 100),
		"text":             "hello\r\n\r\n",
		"a line's end":     "\r\n\r\n",
		"a record of data": "\x17\x03\x03\x00\x05hello",
		"a huge record":    "\x16\x03\x01\xff\xff" + strings.Repeat("x", 100),
		"a bad handshake":  "\x16\x03\x01\x00\x05\x01\x00\x00\x01x",
		"an alert":         "\x15\x03\x01\x00\x02\x02\x28",
	} {
		conn, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, garbage); err != nil {
			t.Fatal(err)
		}
		mustEnd(t, name, conn)
	}
	s.untilOpen(t, 0)
	for _, status := range statuses {
		s.wantCount(t, 0, "requests_total", fmt.Sprintf("status=%d", status))
	}
	if got := s.post(t, "/v1/alias", call); got.StatusCode != 200 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

// hello is the beginning of a record that never ends.
const hello = "\x16\x03\x01\x3f\xff"

func TestAHandshakeThatHangsEndsInTime(t *testing.T) {
	config := testConfig()
	config.Limits.ReadTimeout = 50 * time.Millisecond
	s := startTLS(t, config)
	for name, start := range map[string]string{"silent": "", "one byte": hello[:1], "a part": hello + "\x01", "trickling": hello} {
		conn, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, start); err != nil {
			t.Fatal(err)
		}
		if name == "trickling" {
			go trickle(t.Context(), conn)
		}
		mustEnd(t, name, conn)
	}
	s.untilOpen(t, 0)
	s.wantCount(t, 0, "requests_total", "status=503")
}

// trickle keeps writing, a byte at a time, until it cannot any more.
func trickle(ctx context.Context, conn net.Conn) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := conn.Write([]byte{0}); err != nil {
				return
			}
		}
	}
}

func TestEachHandshakeCountsAsOneConnection(t *testing.T) {
	config := testConfig()
	config.Limits.Connections = 1
	s := startTLS(t, config)
	most := withReserve(config.Limits.Connections)
	var hanging []net.Conn
	for range most {
		conn, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		hanging = append(hanging, conn)
	}
	s.untilOpen(t, most)
	// A client that is one too many is not waited for: the others could not be accepted meanwhile.
	for range 3 {
		conn, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		mustEnd(t, "one too many", conn)
	}
	for _, conn := range hanging {
		_ = conn.Close()
	}
	s.untilOpen(t, 0)
	if got := s.post(t, "/v1/alias", call); got.StatusCode != 200 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestANewCertificateIsShownToNewConnections(t *testing.T) {
	s := startTLS(t, testConfig())
	health := func(conn *tls.Conn) error {
		if _, err := io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		_, err := conn.Read(make([]byte, 4<<10))
		return err
	}
	serialOf := func(conn *tls.Conn) int64 { return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64() }
	before, err := s.dialTLS(s.trust)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if err := health(before); err != nil || serialOf(before) != 1 {
		t.Fatal(err, serialOf(before))
	}
	s.renew(t, 2)
	s.server.certificate.look(time.Now())
	after, err := s.dialTLS(s.trust)
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if err := health(after); err != nil || serialOf(after) != 2 {
		t.Error(err, serialOf(after))
	}
	if err := health(before); err != nil {
		t.Errorf("the old connection: %v", err)
	}
}

func TestShutdownFinishesWhatWasReadOverTLS(t *testing.T) {
	s := startTLS(t, testConfig())
	s.called, s.hold = make(chan struct{}), make(chan struct{})
	answers := make(chan answer, 1)
	go func() {
		defer close(answers)
		answers <- s.post(t, "/v1/alias", call)
	}()
	select {
	case <-s.called:
	case got := <-answers:
		t.Fatalf("answered before it was kept: %+v", got)
	}
	stopped := make(chan error)
	go func() { stopped <- s.server.Shutdown(context.Background()) }()
	// Once the listener is closed, the call is let through.
	for {
		conn, err := s.dial()
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	close(s.hold)
	if got := <-answers; got.StatusCode != 200 || !got.Close {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// pipeListener gives the connections that are put in. Unlike those of a socket their deadlines go by the bubble's clock.
type pipeListener struct {
	net.Listener
	conns chan net.Conn
}

func (l pipeListener) Accept() (net.Conn, error) { return <-l.conns, nil }

func (l pipeListener) Close() error { return nil }

func TestAHandshakeHasItsTimeAndLittleOnceTheListenerIsClosed(t *testing.T) {
	files := pathsIn(t.TempDir())
	const timeout = 30 * time.Second
	synctest.Test(t, func(t *testing.T) {
		newPEMPair(t, 1, inAYear()).write(t, files)
		inner := pipeListener{conns: make(chan net.Conn, 1)}
		l := newTLSListener(inner, newRenewal(t, files).certificate, timeout)
		handshake := func() (took chan time.Duration) {
			client, server := net.Pipe()
			t.Cleanup(func() { _ = client.Close() })
			inner.conns <- server
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			took = make(chan time.Duration, 1)
			go func() {
				defer conn.Close()
				start := time.Now()
				if err := conn.(*tlsConn).Handshake(); err == nil {
					t.Error("a handshake with nobody")
				}
				if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("read %d, %v", n, err)
				}
				took <- time.Since(start)
			}()
			synctest.Wait()
			return took
		}
		if took := <-handshake(); took != timeout {
			t.Errorf("it took %s", took)
		}
		hanging := handshake()
		time.Sleep(time.Second)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if took := <-hanging; took != time.Second+handshakeGrace {
			t.Errorf("it took %s", took)
		}
		if len(l.shaking) > 0 {
			t.Errorf("%d handshakes are not forgotten", len(l.shaking))
		}
	})
}

func TestOnlyTLSHasACertificatesMetric(t *testing.T) {
	const name = "aka_ingress_certificate_expiry_timestamp_seconds"
	for want, s := range map[bool]*stand{false: start(t, testConfig()), true: startTLS(t, testConfig()).stand} {
		families, err := s.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		there := false
		for _, family := range families {
			there = there || family.GetName() == name
		}
		if there != want {
			t.Errorf("%s is there: %v", name, there)
		}
	}
}
