package ingress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// pemPair is a self-signed certificate and its key.
type pemPair struct{ cert, key string }

func newPEMPair(t testing.TB, serial int64, expires time.Time) pemPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "router"}, DNSNames: []string{"router"},
		NotBefore: expires.Add(-2 * 365 * 24 * time.Hour), NotAfter: expires,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemPair{
		cert: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})),
		key:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})),
	}
}

func inAYear() time.Time { return time.Now().Add(365 * 24 * time.Hour) }

func pathsIn(folder string) TLS {
	return TLS{CertFile: filepath.Join(folder, "tls.crt"), KeyFile: filepath.Join(folder, "tls.key")}
}

func (p pemPair) write(t testing.TB, files TLS) {
	t.Helper()
	for path, text := range map[string]string{files.CertFile: p.cert, files.KeyFile: p.key} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFilesThatAreNoPairAreMistakes(t *testing.T) {
	folder := t.TempDir()
	one, other := newPEMPair(t, 1, inAYear()), newPEMPair(t, 2, inAYear())
	const noCert, noKey = "cert_file: expected a certificate as PEM", "key_file: expected the private key of the certificate in cert_file, as PEM without a passphrase"
	locked := string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("c4n4ry")}))
	broken := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("c4n4ry")}))
	chain := newChain(t)
	const bom, utf16 = "\ufeff", "\xff\xfe-\x00-\x00"
	const isText = ": expected PEM as plain text, without a byte order mark and NUL bytes"
	for name, c := range map[string]struct {
		pair pemPair
		want string
	}{
		"a pair":                     {one, ""},
		"a chain":                    {pemPair{one.cert + other.cert, one.key}, ""},
		"both in both":               {pemPair{one.key + one.cert, one.cert + one.key}, ""},
		"a comment":                  {pemPair{"the certificate\n" + one.cert, one.key + "\nits key"}, ""},
		"expired":                    {newPEMPair(t, 3, time.Now().Add(-time.Hour)), ""},
		"the key of another":         {pemPair{one.cert, other.key}, noKey},
		"the chain's wrong way":      {pemPair{other.cert + one.cert, one.key}, "cert_file: in the wrong order: certificate 2 of the file is the key's and must be the first, before those of its issuers"},
		"a chain of three":           {pemPair{chain.leaf + chain.middle + chain.root, chain.key}, ""},
		"without the root":           {pemPair{chain.leaf + chain.middle, chain.key}, ""},
		"an issuer in two versions":  {pemPair{chain.leaf + chain.middle + chain.middle + chain.root, chain.key}, ""},
		"one that is not part of it": {pemPair{chain.leaf + one.cert + chain.middle + other.cert, chain.key}, ""},
		"the root first":             {pemPair{chain.root + chain.middle + chain.leaf, chain.key}, "cert_file: in the wrong order: certificate 3 of the file is the key's and must be the first, before those of its issuers"},
		"the issuers swapped":        {pemPair{chain.leaf + chain.root + chain.middle, chain.key}, "cert_file: in the wrong order: certificate 2 of the file has issued certificate 3 and must stand behind it"},
		"the issuers without a leaf": {pemPair{chain.middle + chain.root, chain.key}, noKey},
		"one of them is broken":      {pemPair{chain.leaf + broken + chain.root, chain.key}, ""}, // a client may do without it
		"a byte order mark":          {pemPair{bom + one.cert, one.key}, "cert_file: FOLDER/tls.crt" + isText},
		"one before the key":         {pemPair{one.cert, bom + one.key}, "key_file: FOLDER/tls.key" + isText},
		"UTF-16":                     {pemPair{utf16, utf16}, "cert_file: FOLDER/tls.crt" + isText + "\nkey_file: FOLDER/tls.key" + isText},
		"swapped":                    {pemPair{one.key, one.cert}, noCert},
		"no key":                     {pemPair{one.cert, one.cert}, noKey},
		"a locked key":               {pemPair{one.cert, locked}, noKey},
		"empty":                      {pemPair{"", ""}, noCert},
		"not PEM":                    {pemPair{"c4n4ry", "c4n4ry"}, noCert},
		"a key that is not PEM":      {pemPair{one.cert, "c4n4ry"}, noKey},
		"half a certificate":         {pemPair{one.cert[:len(one.cert)/2], one.key}, noCert},
		"half a key":                 {pemPair{one.cert, one.key[:len(one.key)/2]}, noKey},
		"a certificate that is none": {pemPair{broken, one.key}, noCert},
		"huge":                       {pemPair{one.cert, one.key + strings.Repeat("\n", maxPEMBytes)}, "key_file: FOLDER/tls.key: larger than any certificate or key"},
	} {
		files := pathsIn(folder)
		c.pair.write(t, files)
		got := strings.ReplaceAll(checked(files), folder, "FOLDER")
		if got != c.want {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
		if _, err := newCertificate(files, zap.NewNop(), prometheus.NewRegistry()); (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), "tls."+c.want[:8]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// pemChain is a certificate, its issuer and the issuer's, and the key of the first.
type pemChain struct{ leaf, middle, root, key string }

func newChain(t testing.TB) (c pemChain) {
	t.Helper()
	var issuer *x509.Certificate
	var issuerKey *ecdsa.PrivateKey
	for i, encoded := range []*string{&c.root, &c.middle, &c.leaf} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(10 + i)), Subject: pkix.Name{CommonName: fmt.Sprint("level ", i)}, DNSNames: []string{"router"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: inAYear(), IsCA: i < 2, BasicConstraintsValid: true,
		}
		if issuer == nil {
			issuer, issuerKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
		if err != nil {
			t.Fatal(err)
		}
		*encoded = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		c.key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
		issuer, issuerKey = template, key
	}
	return c
}

func checked(files TLS) string {
	var got []string
	files.Check(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
	return strings.Join(got, "\n")
}

func TestFilesThatCannotBeReadAreMistakes(t *testing.T) {
	files := pathsIn(t.TempDir())
	want := fmt.Sprintf("cert_file: %s: no such file or directory\nkey_file: %s: no such file or directory", files.CertFile, files.KeyFile)
	if got := checked(files); got != want {
		t.Errorf("%s", got)
	}
	if err := os.Mkdir(files.CertFile, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := checked(files); !strings.HasPrefix(got, "cert_file: "+files.CertFile+": expected a regular file\n") {
		t.Errorf("%s", got)
	}
}

// renewal is a certificate whose files change.
type renewal struct {
	*certificate
	t        *testing.T
	logs     *observer.ObservedLogs
	registry *prometheus.Registry
}

func newRenewal(t *testing.T, files TLS) *renewal {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	registry := prometheus.NewRegistry()
	c, err := newCertificate(files, zap.New(core), registry)
	if err != nil {
		t.Fatal(err)
	}
	return &renewal{c, t, logs, registry}
}

// expect compares what is shown, and what was logged since the last time.
func (r *renewal) expect(serial int64, logged ...string) {
	r.t.Helper()
	if got := r.current.Load().Leaf.SerialNumber.Int64(); got != serial {
		r.t.Errorf("certificate %d is shown, not %d", got, serial)
	}
	var got []string
	for _, line := range r.logs.TakeAll() {
		got = append(got, line.Level.String()+": "+line.Message)
		if strings.Contains(fmt.Sprint(line.ContextMap()), "-----") {
			r.t.Errorf("logged: %v", line.ContextMap())
		}
	}
	if !slices.Equal(got, logged) {
		r.t.Errorf("logged %q, not %q", got, logged)
	}
}

const (
	logNew     = "info: new certificate loaded"
	logUnfit   = "warn: new certificate is unusable, the old one stays"
	logSoon    = "warn: certificate expires soon"
	logExpired = "error: certificate has expired, SDKs refuse to send"
)

func TestTheCertificateFollowsItsFiles(t *testing.T) {
	files := pathsIn(t.TempDir())
	first, second := newPEMPair(t, 1, inAYear()), newPEMPair(t, 2, inAYear())
	first.write(t, files)
	r := newRenewal(t, files)
	r.expect(1)
	look := func() { r.look(time.Now()) }
	look()
	r.expect(1)
	// As it comes in the middle of a renewal: half of it, then the certificate before its key.
	for _, p := range []pemPair{{second.cert[:100], first.key}, {second.cert, first.key}} {
		p.write(t, files)
		look()
		look()
		r.expect(1, logUnfit)
	}
	second.write(t, files)
	look()
	look()
	r.expect(2, logNew)
	chain := newChain(t)
	for _, wrong := range []string{chain.middle + chain.leaf, chain.leaf + chain.root + chain.middle} {
		pemPair{wrong, chain.key}.write(t, files)
		look()
		r.expect(2, logUnfit)
	}
	if err := os.Remove(files.KeyFile); err != nil {
		t.Fatal(err)
	}
	look()
	look()
	r.expect(2, logUnfit)
	first.write(t, files)
	look()
	r.expect(1, logNew)
}

// Kubernetes swaps a link to a folder, below links to the files in it.
func TestTheCertificateFollowsLinks(t *testing.T) {
	folder := t.TempDir()
	link := func(target, name string) {
		t.Helper()
		next := filepath.Join(folder, "next")
		if err := errors.Join(os.Symlink(target, next), os.Rename(next, filepath.Join(folder, name))); err != nil {
			t.Fatal(err)
		}
	}
	for serial, version := range []string{"..v0", "..v1"} {
		if err := os.Mkdir(filepath.Join(folder, version), 0o700); err != nil {
			t.Fatal(err)
		}
		newPEMPair(t, int64(serial), inAYear()).write(t, pathsIn(filepath.Join(folder, version)))
	}
	link("..v0", "..data")
	link("..data/tls.crt", "tls.crt")
	link("..data/tls.key", "tls.key")
	r := newRenewal(t, pathsIn(folder))
	r.expect(0)
	link("..v1", "..data")
	r.look(time.Now())
	r.expect(1, logNew)
}

func TestACertificatesEndIsToldOnceADay(t *testing.T) {
	files := pathsIn(t.TempDir())
	expires := inAYear().Truncate(time.Second)
	newPEMPair(t, 1, expires).write(t, files)
	r := newRenewal(t, files)
	for _, c := range []struct {
		before time.Duration
		logged []string
	}{
		{14*24*time.Hour + time.Second, nil},
		{14 * 24 * time.Hour, []string{logSoon}},
		{13*24*time.Hour + time.Second, nil},
		{13 * 24 * time.Hour, []string{logSoon}},
		{0, []string{logSoon}},
		{-time.Second, nil},
		{-24 * time.Hour, []string{logExpired}},
		{-47 * time.Hour, nil},
		{-48 * time.Hour, []string{logExpired}},
	} {
		r.look(expires.Add(-c.before))
		r.expect(1, c.logged...)
	}
	newPEMPair(t, 2, expires.Add(time.Hour)).write(t, files)
	r.look(expires)
	r.expect(2, logNew, logSoon)
	r.expectExpiry(expires.Add(time.Hour))
}

func TestAnExpiredCertificateIsToldAtTheStart(t *testing.T) {
	files := pathsIn(t.TempDir())
	expires := time.Now().Add(-time.Hour)
	newPEMPair(t, 1, expires).write(t, files)
	r := newRenewal(t, files)
	r.expect(1, logExpired)
	r.expectExpiry(expires)
}

func (r *renewal) expectExpiry(want time.Time) {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "aka_ingress_certificate_expiry_timestamp_seconds" {
		r.t.Fatalf("%v %v", families, err)
	}
	if got := families[0].Metric[0].GetGauge().GetValue(); got != float64(want.Unix()) {
		r.t.Errorf("it expires at %v, not %d", got, want.Unix())
	}
}

// The clock of the bubble stands at the year 2000.
func TestTheFilesAreWatchedUntilTheEnd(t *testing.T) {
	files := pathsIn(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		newPEMPair(t, 1, inAYear()).write(t, files)
		r := newRenewal(t, files)
		stop := r.watch()
		newPEMPair(t, 2, inAYear()).write(t, files)
		time.Sleep(certificateInterval - time.Nanosecond)
		synctest.Wait()
		r.expect(1)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		r.expect(2, logNew)
		// The bubble ends only when its goroutines do.
		stop()
		newPEMPair(t, 3, inAYear()).write(t, files)
		time.Sleep(10 * certificateInterval)
		r.expect(2)
	})
}
