package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestACertificateChainInTheWrongOrderIsCalledThat(t *testing.T) {
	files := newChainFiles(t)
	config := servingConfig(t, newSimulation(t, "kissmetrics"), files.section())
	files.write(t, files.issuer+files.own)
	const wrongOrder = ": tls.cert_file: in the wrong order: certificate 2 of the file is the key's and must be the first, before those of its issuers\n"
	for _, command := range []string{"check", "serve"} {
		if got := runAka(t, command, "--config", config); got.code != exitFailed || got.errOut != "aka: "+config+":6"+wrongOrder {
			t.Errorf("%s: exit code %d, errors %q", command, got.code, got.errOut)
		}
	}
	files.write(t, files.own+files.issuer)
	if got := runAka(t, "check", "--config", config); got.code != exitDone {
		t.Fatalf("the right order: %s", got.errOut)
	}
	ready := startProcess(t, "serve", "--config", config).line(t, "ready")
	files.write(t, files.issuer+files.own)
	if got := runAka(t, "reload", "--admin", ready.Admin); got.code != exitFailed || !strings.HasSuffix(got.errOut, wrongOrder) {
		t.Errorf("reload: exit code %d, errors %q", got.code, got.errOut)
	}
	conn, err := tls.Dial("tcp", ready.Listen, &tls.Config{RootCAs: files.pool, ServerName: "router"})
	if err != nil {
		t.Fatalf("the certificate from before is not shown any more: %v", err)
	}
	_ = conn.Close()
}

// chainFiles are a certificate's files, and what can be in them.
type chainFiles struct {
	folder, own, issuer string
	pool                *x509.CertPool
}

func newChainFiles(t *testing.T) *chainFiles {
	t.Helper()
	f := &chainFiles{folder: t.TempDir(), pool: x509.NewCertPool()}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotAfter: time.Now().Add(90 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	own := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "router"}, DNSNames: []string{"router"}, NotAfter: root.NotAfter}
	rootKey, ownKey := newKey(t), newKey(t)
	f.issuer = certificate(t, root, root, rootKey, rootKey)
	f.own = certificate(t, own, root, ownKey, rootKey)
	f.pool.AppendCertsFromPEM([]byte(f.issuer))
	key, err := x509.MarshalPKCS8PrivateKey(ownKey)
	if err == nil {
		err = os.WriteFile(filepath.Join(f.folder, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func certificate(t *testing.T, of, issuer *x509.Certificate, key, issuerKey *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, of, issuer, key.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// section is that of the config.
func (f *chainFiles) section() string {
	return "tls: { cert_file: '" + filepath.Join(f.folder, "tls.crt") + "', key_file: '" + filepath.Join(f.folder, "tls.key") + "' }\n"
}

func (f *chainFiles) write(t *testing.T, chain string) {
	t.Helper()
	path := filepath.Join(f.folder, "tls.crt")
	if err := os.WriteFile(path+".next", []byte(chain), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		t.Fatal(err)
	}
}
