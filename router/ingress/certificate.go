package ingress

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

const (
	// certificateInterval is how often the files are looked at.
	certificateInterval = 3 * time.Second
	// expiryNotice is how long before its end a certificate is warned of, and expiryReminder how often.
	expiryNotice   = 14 * 24 * time.Hour
	expiryReminder = 24 * time.Hour
	// maxPEMBytes is the largest file that is taken for PEM.
	maxPEMBytes = 1 << 20
)

// IsSet reports whether the ingress is to speak https.
func (t TLS) IsSet() bool { return t.CertFile != "" || t.KeyFile != "" }

// Check reports what is wrong with the files, by their keys below the section, and shows nothing that they hold. An expired
// certificate is not wrong: not to start would stop the deliveries too, and it may be renewed later.
func (t TLS) Check(report func(key, format string, args ...any)) {
	if cert, key, ok := t.read(report); ok {
		parsePair(cert, key, report)
	}
}

// read returns what the files hold; nothing of one that it reports, and then ok is false.
func (t TLS) read(report func(key, format string, args ...any)) (cert, key []byte, ok bool) {
	cert, certErr := readPEM(t.CertFile)
	if certErr != nil {
		report("cert_file", "%s: %v", t.CertFile, certErr)
	}
	key, keyErr := readPEM(t.KeyFile)
	if keyErr != nil {
		report("key_file", "%s: %v", t.KeyFile, keyErr)
	}
	return cert, key, certErr == nil && keyErr == nil
}

var (
	errNotRegular = errors.New("expected a regular file")
	errLargePEM   = errors.New("larger than any certificate or key")
	errNotText    = errors.New("expected PEM as plain text, without a byte order mark and NUL bytes")
)

// readPEM follows symbolic links, by which Kubernetes and certbot put new files in the place of old ones. Its errors leave
// out the path.
func readPEM(path string) ([]byte, error) {
	// To open a pipe would wait for a writer.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxPEMBytes+1))
	switch {
	case err != nil:
		return nil, reason(err)
	case len(content) > maxPEMBytes:
		return nil, errLargePEM
	case !isPlainText(content):
		return nil, errNotText
	}
	return content, nil
}

// isPlainText tells UTF-16 and what begins with a byte order mark from what can be PEM, which is not found in them.
func isPlainText(content []byte) bool {
	return !bytes.HasPrefix(content, []byte("\ufeff")) && bytes.IndexByte(content, 0) < 0
}

func reason(err error) error {
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

// parsePair returns the certificate with its key; nil when it reports what is wrong.
func parsePair(certPEM, keyPEM []byte, report func(key, format string, args ...any)) *tls.Certificate {
	chain := parseChain(certPEM)
	if len(chain) == 0 || chain[0] == nil {
		report("cert_file", "expected a certificate as PEM")
		return nil
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		reportMismatch(certificateOf(chain, keyPEM), report)
		return nil
	}
	if issuer, issued, ok := misplaced(chain); ok {
		report("cert_file", "in the wrong order: certificate %d of the file has issued certificate %d and must stand behind it", issuer+1, issued+1)
		return nil
	}
	pair.Leaf = chain[0]
	return &pair
}

// reportMismatch says which certificate of the file is the key's, by its place from 0, if any is. The library's errors have no
// types to tell the reasons apart.
func reportMismatch(own int, report func(key, format string, args ...any)) {
	if own > 0 {
		report("cert_file", "in the wrong order: certificate %d of the file is the key's and must be the first, before those of its issuers", own+1)
		return
	}
	report("key_file", "expected the private key of the certificate in cert_file, as PEM without a passphrase")
}

// certificate is what the ingress shows of itself. It becomes another when its files do.
type certificate struct {
	files   TLS
	log     *zap.Logger
	expiry  prometheus.Gauge
	current atomic.Pointer[tls.Certificate]

	mu       sync.Mutex
	seen     [2][sha256.Size]byte // the digests of the files as they were looked at last
	reminded time.Time
}

// newCertificate loads the files. It fails when they are not a pair.
func newCertificate(files TLS, log *zap.Logger, registerer prometheus.Registerer) (*certificate, error) {
	c := &certificate{files: files, log: log, expiry: prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "aka", Subsystem: "ingress", Name: "certificate_expiry_timestamp_seconds", Help: "When the certificate expires, as Unix time.",
	})}
	if err := registerer.Register(c.expiry); err != nil {
		return nil, fmt.Errorf("ingress metrics: %w", err)
	}
	_, err := c.load()
	if err != nil {
		return nil, err
	}
	c.remind(time.Now())
	return c, nil
}

// get is for tls.Config.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// watch looks at the files until stop, which returns when nothing of it runs any more.
func (c *certificate) watch() (stop func()) {
	stopping := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(certificateInterval)
		defer tick.Stop()
		for {
			select {
			case <-stopping:
				return
			case now := <-tick.C:
				c.look(now)
			}
		}
	})
	return func() {
		close(stopping)
		watching.Wait()
	}
}

// look takes the files if they have changed and are a pair. Else the certificate stays: they may be half written, and are
// looked at again.
func (c *certificate) look(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed, err := c.load()
	switch {
	case err != nil:
		c.log.Warn("new certificate is unusable, the old one stays", zap.String("hint", "correct tls.cert_file and tls.key_file"), zap.Error(err))
	case changed:
		c.reminded = time.Time{}
		c.log.Info("new certificate loaded", zap.Time("expires", c.current.Load().Leaf.NotAfter))
	}
	c.remind(now)
}

// load does nothing with files that are as they were, unfit ones too.
func (c *certificate) load() (changed bool, err error) {
	var problems []error
	report := func(key, format string, args ...any) {
		problems = append(problems, fmt.Errorf("tls."+key+": "+format, args...))
	}
	cert, key, ok := c.files.read(report)
	digests := [2][sha256.Size]byte{sha256.Sum256(cert), sha256.Sum256(key)}
	if digests == c.seen {
		return false, nil
	}
	c.seen = digests
	if ok {
		if pair := parsePair(cert, key, report); pair != nil {
			c.current.Store(pair)
			c.expiry.Set(float64(pair.Leaf.NotAfter.Unix()))
			return true, nil
		}
	}
	return false, errors.Join(problems...)
}

// remind logs that the certificate ends soon or has ended, once a day.
func (c *certificate) remind(now time.Time) {
	expires := c.current.Load().Leaf.NotAfter
	if expires.Sub(now) > expiryNotice || now.Sub(c.reminded) < expiryReminder {
		return
	}
	c.reminded = now
	if now.After(expires) {
		c.log.Error("certificate has expired, SDKs refuse to send", zap.String("hint", "replace tls.cert_file and tls.key_file"), zap.Time("expires", expires))
		return
	}
	c.log.Warn("certificate expires soon", zap.String("hint", "renew it"), zap.Time("expires", expires))
}
