package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"aka/e2e/harness"
)

// front stands between aka and the vendors, for what goes wrong below HTTP.
type front struct {
	url    string
	vendor http.Handler
	tls    *tls.Config
	mode   atomic.Pointer[frontMode]
	// met counts the exchanges that met a mode other than pass, and requests all that came.
	met, requests atomic.Int64

	mu       sync.Mutex
	listener net.Listener
	server   *http.Server
}

// frontMode hands an answer to the connection that asked.
type frontMode func(conn net.Conn, answer []byte)

// startFront listens in front of the vendors; with a TLS config, with https.
func startFront(w *world, config *tls.Config) *front {
	f := &front{vendor: w.Sim, tls: config}
	harness.Check(w, f.open("127.0.0.1:0"))
	w.Cleanup(f.close)
	scheme := "http"
	if config != nil {
		scheme = "https"
	}
	f.url = scheme + "://" + f.listener.Addr().String()
	return f
}

// startFrontOf has a vendor be reached through a front.
func (w *world) startFrontOf(vendor string, config *tls.Config) *front {
	f := startFront(w, config)
	d := w.Destination(vendor)
	d.Endpoint = f.through(w, d.Endpoint)
	w.Configure()
	return f
}

// through is a vendor's endpoint by way of the front.
func (f *front) through(w *world, endpoint string) string {
	return f.url + strings.TrimPrefix(endpoint, w.Sim.URL())
}

func (f *front) open(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: f, ErrorLog: silent}
	f.mu.Lock()
	f.listener, f.server = listener, server
	f.mu.Unlock()
	if f.tls != nil {
		listener = tls.NewListener(listener, f.tls)
	}
	go func() { _ = server.Serve(listener) }()
	return nil
}

// close refuses connections from now on, and breaks those there are.
func (f *front) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.server.Close()
}

// reopen takes connections again, at the same address.
func (f *front) reopen() error { return f.open(f.listener.Addr().String()) }

// ServeHTTP has the vendor answer, and the mode do to the answer what it does.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.requests.Add(1)
	mode := f.mode.Load()
	if mode == nil {
		f.vendor.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	f.vendor.ServeHTTP(answer, r)
	f.met.Add(1)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	(*mode)(conn, wire(answer))
}

// wire is an answer as it goes over the wire, on a connection that is to be kept.
func wire(answer *httptest.ResponseRecorder) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", answer.Code, http.StatusText(answer.Code))
	answer.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
	_ = answer.Header().Write(&out)
	_, _ = io.WriteString(&out, "\r\n")
	_, _ = answer.Body.WriteTo(&out)
	return out.Bytes()
}

// breakMidway sends most of an answer and resets the connection.
func breakMidway(conn net.Conn, answer []byte) {
	_, _ = conn.Write(answer[:len(answer)-1])
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// closeAfterwards answers as if the connection were to be kept, and closes it.
func closeAfterwards(conn net.Conn, answer []byte) { _, _ = conn.Write(answer) }
