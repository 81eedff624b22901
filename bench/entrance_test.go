package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/valyala/fasthttp"
)

func answerEmpty(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(fasthttp.StatusOK) }

func TestAnEntranceCountsConnectionsAndHandshakes(t *testing.T) {
	trust := filepath.Join(t.TempDir(), "vendors.pem")
	for scheme, want := range map[string]entranceReport{
		"http":  {Connections: 3},
		"https": {Connections: 3, Full: 1, Resumed: 2},
	} {
		e, err := openEntrance(scheme, trust, answerEmpty)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		config := &tls.Config{RootCAs: x509.NewCertPool(), ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		if text, err := os.ReadFile(trust); scheme == "https" && (err != nil || !config.RootCAs.AppendCertsFromPEM(text)) {
			t.Fatalf("no certificate is in the file: %v", err)
		}
		for range 3 {
			transport := &http.Transport{TLSClientConfig: config}
			for range 2 { // on one connection
				get(t, transport, e.url)
			}
			transport.CloseIdleConnections()
		}
		want.URL = e.url
		if got := e.counts(); got != want {
			t.Errorf("%s: %+v, not %+v", scheme, got, want)
		}
	}
	if _, err := openEntrance("ftp", trust, answerEmpty); !errors.Is(err, errFlag) {
		t.Errorf("an entrance of ftp: %v", err)
	}
}

func get(t *testing.T, transport *http.Transport, url string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
}
