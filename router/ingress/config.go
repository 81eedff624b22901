package ingress

import (
	"fmt"
	"net/netip"
	"sort"
	"time"

	"aka/destinations/adapter"
	"aka/router/segment"
	"aka/router/strictyaml"
)

// Config is what the ingress takes from the config; its keys stand at the top level there. Start from DefaultConfig.
type Config struct {
	// Listen is the address where SDKs send, as host:port. Default :8080.
	Listen string `yaml:"listen"`
	// TLS makes the ingress speak https, and nothing else: several SDKs refuse plain http. Both files are PEM (the certificate
	// followed by those between it and the root) and are read again when they change, without a restart; while they are no
	// pair, the old certificate stays. One that has expired is shown all the same, and the log says so. Both or neither.
	// Default: plain http.
	TLS TLS `yaml:"tls"`
	// TrustedProxies are the proxies in front, as networks (10.0.0.0/8) or addresses: their X-Forwarded-For says who called
	// them. From anybody else that header counts for nothing. Default: none.
	TrustedProxies []Network `yaml:"trusted_proxies"`
	// StaticDir is a folder of files to serve beside the API, such as the SDKs that browsers load; the API's own paths come
	// first. Where a snippet's URL has a write key, as in /analytics.js/v1/KEY/analytics.min.js, the file's path needs none.
	// Everybody may read what lies in it: neither the config nor the journal, the certificate's key or a secret's file may.
	// Default: none.
	StaticDir string `yaml:"static_dir"`
	// Sources are who may send, by name: 1 to 63 of a-z, 0-9, _ and -. At least one.
	Sources map[string]Source `yaml:"sources" example:"website"`
	// Limits are what one request of an SDK may hold and take.
	Limits Limits `yaml:"limits"`
}

// Source is a write key and what it may do.
type Source struct {
	// WriteKey is what the SDK identifies itself with. Required; no two sources share one.
	WriteKey adapter.Secret `yaml:"write_key" example:"${AKA_WRITE_KEY:-dev}"`
	// Destinations are the names of those that get this source's calls. Default: all of them.
	Destinations []string `yaml:"destinations"`
	// AllowedOrigins are the origins whose pages may send from a browser, such as https://app.example, in any case. There are no
	// wildcards. Default: any.
	AllowedOrigins []string `yaml:"allowed_origins"`
	// IP is what becomes of a call's context.ip: keep, anonymize (its network is kept: 24 bits of IPv4, 48 of IPv6) or drop. A
	// browser's or a phone's call that has none gets its client's before that. Default keep.
	IP segment.IPPolicy `yaml:"ip"`
	// Rate is how many calls are taken per second, over time. A second's worth may come at once, and a larger batch is taken too
	// and makes the next ones wait. What comes above it is answered 429, which most SDKs send again later: this is against a
	// source that runs wild, not for shaping. 0 is unlimited. Default 0.
	Rate float64 `yaml:"rate"`
}

// TLS is where the certificate of the ingress lies. Both files are PEM, and are read again when they change. Both are named, or
// neither.
type TLS struct {
	// CertFile is the file of the certificate, followed by those between it and the root: each stands behind what it has issued.
	CertFile string `yaml:"cert_file"`
	// KeyFile is the file of its private key.
	KeyFile string `yaml:"key_file"`
}

// Network is a range of addresses, written as a CIDR such as 10.0.0.0/8, or as an address alone.
type Network struct{ netip.Prefix }

// UnmarshalText reads a CIDR or an address. IPv4 in IPv6 is IPv4.
func (n *Network) UnmarshalText(text []byte) error {
	if address, err := netip.ParseAddr(string(text)); err == nil && address.Zone() == "" {
		address = address.Unmap()
		n.Prefix = netip.PrefixFrom(address, address.BitLen())
		return nil
	}
	prefix, err := netip.ParsePrefix(string(text))
	// An IPv4 address in IPv6 has its bits behind these; with fewer it would be a network that has nobody.
	const inIPv6 = 128 - 32
	switch {
	case err != nil || prefix.Addr().Is4In6() && prefix.Bits() < inIPv6:
		return fmt.Errorf("expected a network such as 10.0.0.0/8, or an address, not %q", text)
	case prefix.Addr().Is4In6():
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-inIPv6)
	}
	n.Prefix = prefix.Masked()
	return nil
}

// Limits bound what one request may hold and take.
type Limits struct {
	// CallBytes is the largest single call as JSON. 1KiB to 768KiB: the journal takes no more. Default 512KiB.
	CallBytes strictyaml.Size `yaml:"call_bytes"`
	// WireBytes is the largest body as sent. At least call_bytes. Default 4MiB.
	WireBytes strictyaml.Size `yaml:"wire_bytes"`
	// DecompressedBytes is the largest body after decompression. From wire_bytes to 1GiB. Default 16MiB.
	DecompressedBytes strictyaml.Size `yaml:"decompressed_bytes"`
	// BatchCalls is how many calls a batch may hold. At least 1. Default 5000.
	BatchCalls int `yaml:"batch_calls"`
	// Depth is how deep JSON may nest. 8 to 1000. Default 64.
	Depth int `yaml:"depth"`
	// Strict lowers the limits to Segment's own: 32 KB a call, 500 KB a body, 2500 calls a batch, 100 bytes a messageId instead
	// of 256. Default false.
	Strict bool `yaml:"strict"`
	// ReadTimeout bounds the reading of one request's body. Its headers have as long, and 10 seconds at most. Above 0.
	// Default 30s.
	ReadTimeout time.Duration `yaml:"read_timeout"`
	// IdleTimeout is how long a kept-alive connection waits for its next request. A load balancer or proxy in front must give its
	// connections up sooner, or it answers 502 when one is closed under it, and SDKs lose a batch then. Google's keeps them for
	// 10 minutes, some SDKs for 5, AWS's and nginx for 1. Above 0. Default 11m.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// Connections is how many may be open at once. For one more, the one that has waited longest for its next request is closed, if
	// that is 5 seconds or longer. If there is none, the new one is answered 503. Where the process may open too few files
	// (ulimit -n), it is lowered at the start, with a warning in the log, so that some files stay for vendors, the journal and
	// the admin server. 1 to 1000000. Default 10000.
	Connections int `yaml:"connections"`
}

// DefaultConfig is that of a config that says nothing.
var DefaultConfig = Config{
	Listen: ":8080",
	Limits: Limits{
		CallBytes:         strictyaml.Size(segment.DefaultLimits.CallBytes),
		WireBytes:         4 * strictyaml.MiB,
		DecompressedBytes: 16 * strictyaml.MiB,
		BatchCalls:        segment.DefaultLimits.BatchCalls,
		Depth:             segment.DefaultLimits.Depth,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       11 * time.Minute,
		Connections:       10_000,
	},
}

// Check reports every value that is out of its range, by its key below the section.
func (l *Limits) Check(report func(key, format string, args ...any)) {
	expect := func(ok bool, key, format string, args ...any) {
		if !ok {
			report(key, "expected "+format, args...)
		}
	}
	expect(l.CallBytes >= strictyaml.KiB && l.CallBytes <= 768*strictyaml.KiB, "call_bytes", "1KiB to 768KiB, not %s", l.CallBytes)
	expect(l.WireBytes >= l.CallBytes, "wire_bytes", "at least call_bytes, %s, not %s", l.CallBytes, l.WireBytes)
	expect(l.DecompressedBytes >= l.WireBytes, "decompressed_bytes", "at least wire_bytes, %s, not %s", l.WireBytes, l.DecompressedBytes)
	expect(l.DecompressedBytes <= strictyaml.GiB, "decompressed_bytes", "at most 1GiB, not %s", l.DecompressedBytes)
	expect(l.BatchCalls >= 1, "batch_calls", "at least 1, not %d", l.BatchCalls)
	expect(l.Depth >= 8 && l.Depth <= 1000, "depth", "8 to 1000, not %d", l.Depth)
	expect(l.ReadTimeout > 0, "read_timeout", "more than 0s")
	expect(l.IdleTimeout > 0, "idle_timeout", "more than 0s")
	expect(l.Connections >= 1 && l.Connections <= 1_000_000, "connections", "1 to 1000000, not %d", l.Connections)
}

// ConnectionsWithin returns how many connections there may be where so many descriptors are all that there are for them: as many
// as configured, or fewer, but one at least.
func (l *Limits) ConnectionsWithin(descriptors uint64) int {
	return 1 + sort.Search(l.Connections-1, func(fewer int) bool { return uint64(withReserve(fewer+2)) > descriptors })
}

// Segment returns what the parser is to hold a body to.
func (l *Limits) Segment() segment.Limits {
	limits := segment.Limits{CallBytes: int(l.CallBytes), BatchCalls: l.BatchCalls, Depth: l.Depth}
	if l.Strict {
		strict := segment.StrictLimits
		limits.CallBytes = min(limits.CallBytes, strict.CallBytes)
		limits.BatchCalls = min(limits.BatchCalls, strict.BatchCalls)
		limits.Depth = min(limits.Depth, strict.Depth)
		limits.MessageIDLength = strict.MessageIDLength
	}
	return limits
}
