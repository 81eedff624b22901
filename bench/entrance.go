package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// entrance is an address of the sink's for vendors alone. It counts the connections that are opened there.
type entrance struct {
	net.Listener
	url                        string
	connections, full, resumed atomic.Int64
}

// entranceReport is what an entrance tells: its URL, the connections, and their handshakes.
type entranceReport struct {
	URL                        string
	Connections, Full, Resumed int
}

// openEntrance serves at a free port. With https, it writes the certificate to a file, for those who are to trust it.
func openEntrance(scheme, trust string, handler fasthttp.RequestHandler) (*entrance, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &entrance{Listener: listener, url: fmt.Sprintf("%s://%s", scheme, listener.Addr())}
	var accepts net.Listener = e
	switch scheme {
	case "http":
	case "https":
		certificate, err := makeCertificate(trust)
		if err != nil {
			return nil, err
		}
		accepts = tls.NewListener(e, &tls.Config{Certificates: []tls.Certificate{certificate}, VerifyConnection: e.shookHands})
	default:
		return nil, fmt.Errorf("%w: entrance %q", errFlag, scheme)
	}
	server := &fasthttp.Server{Handler: handler, NoDefaultServerHeader: true, MaxRequestBodySize: 64 << 20}
	go func() { _ = server.Serve(accepts) }()
	return e, nil
}

// Accept implements net.Listener.
func (e *entrance) Accept() (net.Conn, error) {
	c, err := e.Listener.Accept()
	if err == nil {
		e.connections.Add(1)
	}
	return c, err
}

// shookHands counts a handshake, of a new session or of one that was resumed.
func (e *entrance) shookHands(state tls.ConnectionState) error {
	if state.DidResume {
		e.resumed.Add(1)
	} else {
		e.full.Add(1)
	}
	return nil
}

func (e *entrance) counts() entranceReport {
	return entranceReport{URL: e.url, Connections: int(e.connections.Load()), Full: int(e.full.Load()), Resumed: int(e.resumed.Load())}
}

func (e *entrance) report(ctx *fasthttp.RequestCtx) {
	if err := json.NewEncoder(ctx).Encode(e.counts()); err != nil {
		panic(fmt.Errorf("report: %w", err)) // it is numbers and a text
	}
}

// makeCertificate makes one for this machine's own address, and writes it to a file. It is its own authority.
func makeCertificate(path string) (certificate tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificate, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return certificate, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, os.WriteFile(path, text, 0o600)
}
