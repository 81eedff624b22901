package httpclient

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestNothingIsSentToAVendorThatIsNotVerified(t *testing.T) {
	authority := newAuthority(t)
	hour := time.Hour
	for _, c := range []struct {
		name   string
		config *tls.Config // nil: it is no TLS
		vendor func(c *peer)
		hangs  bool
		want   string
	}{
		{"is who it says", &tls.Config{Certificates: authority.sign("127.0.0.1", -hour, hour)}, nil, false, "204"},
		{"speaks TLS 1.2", &tls.Config{Certificates: authority.sign("127.0.0.1", -hour, hour), MaxVersion: tls.VersionTLS12}, nil, false, "204"},
		{"has expired", &tls.Config{Certificates: authority.sign("127.0.0.1", -2*hour, -hour)}, nil, false, KindTLS},
		{"is not yet valid", &tls.Config{Certificates: authority.sign("127.0.0.1", hour, 2*hour)}, nil, false, KindTLS},
		{"is another host", &tls.Config{Certificates: authority.sign("127.0.0.2", -hour, hour)}, nil, false, KindTLS},
		{"is signed by nobody known", &tls.Config{Certificates: newAuthority(t).sign("127.0.0.1", -hour, hour)}, nil, false, KindTLS},
		{"speaks TLS 1.1", &tls.Config{Certificates: authority.sign("127.0.0.1", -hour, hour), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, nil, false, KindTLS},
		{"speaks TLS 1.0", &tls.Config{Certificates: authority.sign("127.0.0.1", -hour, hour), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, nil, false, KindTLS},
		{"answers in clear", nil, func(c *peer) { c.some(); c.say("HTTP/1.1 400 Bad Request\r\n\r\n") }, false, KindTLS},
		{"hangs in the handshake", nil, func(c *peer) { c.untilClosed() }, true, KindTLS},
		{"resets in the handshake", nil, func(c *peer) { c.some(); c.reset() }, false, KindTLS},
		{"closes in the handshake", nil, func(c *peer) { c.some(); c.close() }, false, KindTLS},
		{"never ends its handshake", nil, func(c *peer) { c.some(); c.repeat("\x16\x03\x03\x00\x04\x00\x00\x00\x00") }, false, KindTLS},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got atomic.Int64
			vendor := listen(t, func(p *peer) {
				if c.config == nil {
					c.vendor(p)
					p.untilClosed()
					return
				}
				n := serveTLS(p, c.config)
				got.Add(n)
			})
			s := sender()
			s.tls.RootCAs = authority.pool
			if c.hangs {
				s.timeout = impatient
			}
			answer := s.Send(Exchange{Method: "POST", URL: strings.Replace(vendor.url, "http:", "https:", 1), Body: []byte("token")})
			if describe(answer) != c.want || answer.PossiblyDelivered {
				t.Errorf("got %s, possibly delivered %t, want %s: %T %v", describe(answer), answer.PossiblyDelivered, c.want, answer.Err, answer.Err)
			}
			s.closeIdle()
			vendor.allEnd()
			if passed := got.Load() > 0; passed != (answer.Err == nil) {
				t.Errorf("the vendor got %d bytes", got.Load())
			}
		})
	}
}

// serveTLS answers 204 to requests, and returns how many bytes it got of them.
func serveTLS(p *peer, config *tls.Config) (read int64) {
	encrypted := tls.Server(p.Conn, config)
	defer encrypted.Close()
	decrypted := &peer{Conn: encrypted, reader: bufio.NewReader(encrypted)}
	if n, err := io.CopyN(io.Discard, decrypted, 1); err != nil {
		return n
	}
	decrypted.drainHead()
	decrypted.say("HTTP/1.1 204 No Content\r\n\r\n")
	decrypted.untilClosed()
	return 1
}

// drainHead reads up to the end of a head.
func (c *peer) drainHead() {
	for line, err := c.reader.ReadString('\n'); err == nil && line != "\r\n"; line, err = c.reader.ReadString('\n') {
	}
}

// With TLS 1.3 a vendor refuses us after we have sent the request, and we know no better than that it has gone out.
func TestATLSRefusalAfterTheRequestHasGoneOutIsPossiblyDelivered(t *testing.T) {
	authority := newAuthority(t)
	vendor := listen(t, func(p *peer) {
		config := &tls.Config{Certificates: authority.sign("127.0.0.1", -time.Hour, time.Hour), ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}
		_ = tls.Server(p.Conn, config).Handshake()
		p.untilClosed()
	})
	s := sender()
	s.tls.RootCAs = authority.pool
	answer := s.Send(Exchange{Method: "POST", URL: strings.Replace(vendor.url, "http:", "https:", 1), Body: []byte("x")})
	if ErrorKind(answer.Err) != KindReset || !answer.PossiblyDelivered {
		t.Errorf("got %s, possibly delivered %t: %v", describe(answer), answer.PossiblyDelivered, answer.Err)
	}
	vendor.allEnd()
}

func TestAnEncryptedConnectionIsUsedAgainAndSeenToBeClosed(t *testing.T) {
	authority := newAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		var connections atomic.Int32
		again := make(chan struct{})
		vendor := listen(t, func(p *peer) {
			connections.Add(1)
			encrypted := tls.Server(p.Conn, &tls.Config{Certificates: authority.sign("127.0.0.1", -time.Hour, time.Hour), MinVersion: version, MaxVersion: version})
			c := &peer{Conn: encrypted, reader: bufio.NewReader(encrypted)}
			for range 3 {
				c.request()
				c.say("HTTP/1.1 204 No Content\r\n\r\n")
			}
			<-again
			_ = encrypted.Close()
		})
		s := sender()
		s.tls.RootCAs = authority.pool
		address := strings.Replace(vendor.url, "http:", "https:", 1)
		send := func() {
			t.Helper()
			if answer := s.Send(Exchange{Method: "POST", URL: address, Body: []byte("x")}); answer.Status != 204 {
				t.Fatalf("got %+v", answer)
			}
		}
		for range 3 {
			send()
		}
		if connections.Load() != 1 {
			t.Errorf("3 exchanges took %d connections", connections.Load())
		}
		close(again)
		watch(t, "the end arrives", func() bool { return !s.idleIsAlive() })
		send()
		if connections.Load() != 2 {
			t.Errorf("the closed connection was not replaced: %d", connections.Load())
		}
		s.closeIdle()
		vendor.allEnd()
	}
}

// A connection lives for a short time only. The one that follows it needs no certificate, and no signature.
func TestTheNextConnectionResumesTheSession(t *testing.T) {
	authority := newAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{Certificates: authority.sign("127.0.0.1", -time.Hour, time.Hour), MinVersion: version, MaxVersion: version}
		var full, resumed atomic.Int32
		vendor := listen(t, func(p *peer) {
			encrypted := tls.Server(p.Conn, config)
			c := &peer{Conn: encrypted, reader: bufio.NewReader(encrypted)}
			c.request()
			if encrypted.ConnectionState().DidResume {
				resumed.Add(1)
			} else {
				full.Add(1)
			}
			c.say("HTTP/1.1 204 No Content\r\n\r\n")
			c.untilClosed()
		})
		s := sender()
		s.tls.RootCAs, s.maxConnAge = authority.pool, 0
		for range 5 {
			if answer := s.Send(Exchange{Method: "POST", URL: strings.Replace(vendor.url, "http:", "https:", 1), Body: []byte("x")}); answer.Status != 204 {
				t.Fatalf("got %+v", answer)
			}
		}
		if full.Load() != 1 || resumed.Load() != 4 {
			t.Errorf("TLS %x: %d full handshakes and %d resumed ones for 5 connections", version, full.Load(), resumed.Load())
		}
		s.closeIdle()
		vendor.allEnd()
	}
}

// What comes in records of its own may be read from the network together with the answer before it.
func TestNothingOfAnEncryptedAnswerIsTakenForTheNext(t *testing.T) {
	authority := newAuthority(t)
	answer := "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}"
	early := "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	full := "HTTP/1.1 500 No\r\nContent-Length: 4000\r\nX: "
	full += strings.Repeat("x", 4096-len(full)-4000-4) + "\r\n\r\n" + strings.Repeat("{", 4000)
	for name, records := range map[string][]string{
		"a record behind the answer's":   {answer, early},
		"half a record behind":           {answer, early[:9]},
		"in the answer's record":         {answer + early},
		"where the reader's buffer ends": {full + early},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			vendor := listen(t, func(p *peer) {
				together := &gathering{Conn: p.Conn}
				encrypted := tls.Server(together, &tls.Config{Certificates: authority.sign("127.0.0.1", -time.Hour, time.Hour), MinVersion: version, MaxVersion: version})
				c := &peer{Conn: encrypted, reader: bufio.NewReader(encrypted)}
				c.request()
				together.gather = true
				for _, record := range records {
					c.say(record)
				}
				together.flush()
				c.untilClosed()
			})
			s := sender()
			s.tls.RootCAs = authority.pool
			for range 3 {
				got := s.Send(Exchange{Method: "POST", URL: strings.Replace(vendor.url, "http:", "https:", 1)})
				if got.Status != 500 {
					t.Errorf("%s, TLS %x: got %s: %v", name, version, describe(got), got.Err)
					break
				}
			}
			s.closeIdle()
			vendor.allEnd()
		}
	}
}

// gathering holds back what is written, to write it at once.
type gathering struct {
	net.Conn
	gather bool
	held   []byte
}

// Write implements net.Conn.
func (g *gathering) Write(b []byte) (int, error) {
	if !g.gather {
		return g.Conn.Write(b)
	}
	g.held = append(g.held, b...)
	return len(b), nil
}

func (g *gathering) flush() {
	g.gather = false
	_, _ = g.Conn.Write(g.held)
}

// authority signs the certificates of vendors.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	root *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.root)
	return a
}

// sign makes the certificate of an address, valid from one time to another, as seen from now.
func (a *authority) sign(ip string, from, to time.Duration) []tls.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: ip}, IPAddresses: []net.IP{net.ParseIP(ip)},
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to),
	}
	key, keyErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if keyErr != nil {
		a.t.Error(keyErr)
		return nil
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, key.Public(), a.key)
	if err = errors.Join(keyErr, err); err != nil {
		a.t.Error(err)
	}
	return []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
}
