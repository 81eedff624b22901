package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	analytics "gopkg.in/segmentio/analytics-go.v3"

	"aka/e2e/harness"
)

// authority makes certificates for aka, which the clients of its pool trust.
type authority struct {
	t      *testing.T
	folder string
	pool   *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	return &authority{t, t.TempDir(), x509.NewCertPool()}
}

func (a *authority) cert() string { return filepath.Join(a.folder, "tls.crt") }

func (a *authority) key() string { return filepath.Join(a.folder, "tls.key") }

// issue puts a new pair in the place of the old one, one file after the other.
func (a *authority) issue(serial int64) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		a.t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	a.pool.AppendCertsFromPEM(certPEM)
	a.replace(a.cert(), certPEM)
	a.replace(a.key(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}

func (a *authority) replace(path string, content []byte) {
	a.t.Helper()
	next := path + ".next"
	if err := errors.Join(os.WriteFile(next, content, 0o600), os.Rename(next, path)); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) transport() *http.Transport {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool.Clone()}}
	a.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// Segment's own Go SDK sends over https, before and after the certificate was renewed on disk. Who was connected before stays so.
func TestTheCertificateIsRenewedWhileAkaRuns(t *testing.T) {
	a := newAuthority(t)
	a.issue(1)
	w := newWorld(t, harness.Setup{More: fmt.Sprintf("tls: { cert_file: %q, key_file: %q }", a.cert(), a.key())})
	w.Start()
	if !strings.HasPrefix(w.Process.API, "https://") {
		t.Fatalf("it is ready at %s", w.Process.API)
	}
	aka(t, "", "health", "--admin", w.Process.Admin)
	old := &http.Client{Transport: a.transport()}
	if serial, _ := health(w, old); serial != 1 {
		t.Fatalf("certificate %d", serial)
	}
	sendOne(w, a, "before")

	a.issue(2)
	w.Until("a new connection is shown the new certificate", func() bool {
		serial, _ := health(w, &http.Client{Transport: a.transport()})
		return serial == 2
	})
	if serial, reused := health(w, old); serial != 1 || !reused {
		t.Errorf("the old connection: certificate %d, reused %v", serial, reused)
	}
	sendOne(w, a, "after")
	if status, answer, err := post(w.Ctx, http.DefaultClient, strings.Replace(w.Process.API, "https", "http", 1)+"/v1/track", `{}`); status != 400 || !strings.Contains(answer, "https_required") {
		t.Errorf("plain http: %d %s %v", status, answer, err)
	}
	w.UntilAllEnded()
	expectSteps(t, w.Account("kissmetrics"), [][]string{{"event jane before"}, {"event jane after"}})
	w.Stop()
}

// health returns the serial number of the certificate that is shown, and whether the connection is one from before.
func health(w *world, client *http.Client) (serial int64, reused bool) {
	w.t.Helper()
	ctx := httptrace.WithClientTrace(w.Ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Process.API+"/health", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	var shown *x509.Certificate
	response, err := client.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	shown = response.TLS.PeerCertificates[0]
	buffer := make([]byte, 1<<10)
	for err == nil {
		_, err = response.Body.Read(buffer)
	}
	_ = response.Body.Close()
	return shown.SerialNumber.Int64(), reused
}

func sendOne(w *world, a *authority, event string) {
	w.t.Helper()
	sdk, err := analytics.NewWithConfig(writeKey, analytics.Config{Endpoint: w.Process.API, Transport: a.transport(), Logger: discardLogger{}})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := sdk.Enqueue(analytics.Track{UserId: "jane", Event: event}); err != nil {
		w.t.Fatal(err)
	}
	if err := sdk.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// The SDK gets 429, and sends again until everything is taken.
func TestWhatComesAboveTheRateArrivesLater(t *testing.T) {
	const batch = 100
	w := newWorld(t, harness.Setup{Source: "rate: 50"})
	w.Start()
	sdk, err := analytics.NewWithConfig(writeKey, analytics.Config{Endpoint: w.Process.API, Logger: discardLogger{}, BatchSize: batch})
	if err != nil {
		t.Fatal(err)
	}
	received := func() float64 {
		return w.Metric("aka_ingress_calls_received_total", `source="test"`, `type="track"`)
	}
	refused := func() float64 {
		return w.Metric("aka_ingress_calls_rejected_total", `source="test"`, `code="rate_limited"`)
	}
	sent := 0
	// Each batch takes two seconds of the rate, and is sent at once, or by a client that does not wait.
	for refused() == 0 {
		for range batch {
			if err := sdk.Enqueue(analytics.Track{UserId: "jane", Event: "Bought"}); err != nil {
				t.Fatal(err)
			}
		}
		sent += batch
		before := sent
		w.Until("the batch was taken or refused", func() bool { return refused() > 0 || received() == float64(before) })
	}
	w.Until("all are taken", func() bool { return received() == float64(sent) })
	if err := sdk.Close(); err != nil {
		t.Fatal(err)
	}
	if got := w.Metric("aka_ingress_requests_total", `status="429"`); got == 0 {
		t.Error("no answer was 429")
	}
	w.UntilAllEnded()
	expectOutcome(w, float64(sent), "kissmetrics", "track", "delivered", "")
	w.Stop()
}
