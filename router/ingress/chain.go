package ingress

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"slices"
)

// maxChain is how many certificates of a file are looked at: a chain is shorter.
const maxChain = 16

// parseChain returns the certificates of a file, nil for one that cannot be parsed.
func parseChain(text []byte) (chain []*x509.Certificate) {
	for block, rest := pem.Decode(text); block != nil && len(chain) < maxChain; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			cert, _ := x509.ParseCertificate(block.Bytes)
			chain = append(chain, cert)
		}
	}
	return chain
}

// certificateOf returns the place, from 0, of the certificate that a key belongs to; -1 when it belongs to none.
func certificateOf(chain []*x509.Certificate, keyPEM []byte) int {
	for i, cert := range chain {
		if cert == nil {
			continue
		}
		alone := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
		if _, err := tls.X509KeyPair(alone, keyPEM); err == nil {
			return i
		}
	}
	return -1
}

// misplaced finds a certificate that stands before one that it has issued, and returns both places; ok is false when there is
// none. Each is to stand behind what it has issued (https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2). One that has issued
// nothing in the file harms no client, and neither does another version of an issuer.
func misplaced(chain []*x509.Certificate) (issuer, issued int, ok bool) {
	for issuer, cert := range chain {
		if issuer == 0 || hasIssued(cert, chain[:issuer]) >= 0 {
			continue
		}
		if later := hasIssued(cert, chain[issuer+1:]); later >= 0 {
			return issuer, issuer + 1 + later, true
		}
	}
	return 0, 0, false
}

// hasIssued returns the place of the first of the certificates that one has issued, by the names in them; -1 when there is none.
// A root has issued itself, which does not count.
func hasIssued(issuer *x509.Certificate, certs []*x509.Certificate) int {
	return slices.IndexFunc(certs, func(cert *x509.Certificate) bool {
		return issuer != nil && cert != nil && bytes.Equal(cert.RawIssuer, issuer.RawSubject) && !bytes.Equal(cert.RawIssuer, cert.RawSubject)
	})
}
