package ingress

import (
	"fmt"
	"net/netip"
	"sort"
	"time"

	"aka/destinations/adapter"
	"aka/router/mergerules"
	"aka/router/segment"
	"aka/router/strictyaml"
)

// Config is what the ingress takes from the config; its keys stand at the top level there. Start from DefaultConfig.
type Config struct {
	// Listen is the address where SDKs send, as host:port. Default :8080.
	Listen string `yaml:"listen"`
	// TLS makes the ingress speak only https: several SDKs refuse plain http. Both files are PEM. aka reads them again when
	// they change, without a restart. If they do not match, aka keeps the old certificate. aka also serves an expired
	// certificate, and logs that it has expired. Set both keys or neither. Default: plain http.
	TLS TLS `yaml:"tls"`
	// TrustedProxies are the proxies in front, as networks (10.0.0.0/8) or addresses. aka reads the caller's address from their
	// X-Forwarded-For, and ignores that header from others. Default: none.
	TrustedProxies []Network `yaml:"trusted_proxies"`
	// StaticDir is a folder of files to serve beside the API, such as the SDKs that browsers load. The API's own paths have
	// priority. A snippet's URL may contain a write key, as in /analytics.js/v1/KEY/analytics.min.js. The file's path has none.
	// Everybody can read this folder. So keep the config, the journal, the certificate's key and files of secrets out of it.
	// Default: none.
	StaticDir string `yaml:"static_dir"`
	// Sources are the senders, by name: 1 to 63 of a-z, 0-9, _ and -. At least one.
	Sources map[string]Source `yaml:"sources" example:"website"`
	// Limits are the limits of one request of an SDK.
	Limits Limits `yaml:"limits"`
}

// Source is a write key and what it may do.
type Source struct {
	// WriteKey is the key with which the SDK identifies itself. Required; no two sources share one.
	WriteKey adapter.Secret `yaml:"write_key" example:"${AKA_WRITE_KEY:-dev}"`
	// Destinations are the names of the destinations that receive this source's calls. Default: all of them.
	Destinations []string `yaml:"destinations"`
	// AllowedOrigins are the origins whose pages may send from a browser, such as https://app.example. Case does not matter.
	// There are no wildcards. Default: any.
	AllowedOrigins []string `yaml:"allowed_origins"`
	// IP is what aka does with a call's context.ip: keep, anonymize (keep its network: 24 bits of IPv4, 48 of IPv6) or drop. If
	// a call from a browser or phone has none, aka first adds the client's address. Default keep.
	IP segment.IPPolicy `yaml:"ip"`
	// RepairAlias links the visitor's anonymousId where a browser's or a phone's alias names one id twice. Segment's SDK sends it
	// so where an identify of the same user follows at once. If false, aka drops such an alias everywhere, as same_ids.
	// Default true.
	RepairAlias *bool `yaml:"repair_alias"`
	// ReorderWindow is how long aka holds each call of a browser or phone. Calls that the same device made before it, and that
	// arrive within this time, are delivered before it. 0s to 5s, in whole milliseconds; 0s is off. Default 300ms.
	//
	// The answer to the SDK does not wait. A server's calls are not moved. One that shares an id with a held call waits behind it.
	ReorderWindow *time.Duration `yaml:"reorder_window"`
	// Rate is how many calls aka accepts per second, on average. A second's calls may come at once. aka accepts a larger batch
	// too, and then refuses calls for longer. It answers calls above the rate with 429, which most SDKs send again later. The
	// rate protects against a faulty source, and does not shape traffic. 0 is unlimited. Default 0.
	Rate float64 `yaml:"rate"`
	// IDs are the patterns of this source's ids. A list that is not empty replaces the one of `ids` at the top.
	IDs mergerules.IDs `yaml:"ids"`
}

// The default of ReorderWindow, and the longest.
const (
	DefaultReorderWindow = 300 * time.Millisecond
	MaxReorderWindow     = 5 * time.Second
)

// reorderWindow is ReorderWindow, or its default.
func (s *Source) reorderWindow() time.Duration {
	if s.ReorderWindow == nil {
		return DefaultReorderWindow
	}
	return *s.ReorderWindow
}

// TLS is where the certificate of the ingress lies. Both files are PEM, and are read again when they change. Both are named, or
// neither.
type TLS struct {
	// CertFile is the file of the certificate and its intermediate certificates, each after the one that it has issued.
	CertFile string `yaml:"cert_file"`
	// KeyFile is the file of the certificate's private key.
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
	// An IPv4 address in IPv6 has its bits behind these; with fewer it would be a network without addresses.
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
	// CallBytes is the largest single call as JSON. 1KiB to 768KiB, which is the limit of the journal. Default 512KiB.
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
	// ReadTimeout bounds the reading of one request's body. It bounds the headers too, with 10 seconds at most. Above 0.
	// Default 30s.
	ReadTimeout time.Duration `yaml:"read_timeout"`
	// IdleTimeout is how long a kept-alive connection may wait for its next request. A load balancer or proxy in front must
	// close its idle connections sooner. Otherwise it answers 502 when aka closes one under it, and SDKs lose a batch then.
	// Google's load balancer keeps them for 10 minutes, some SDKs for 5, AWS's and nginx for 1. Above 0. Default 11m.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// Connections is how many connections may be open at once. For one more, aka closes the connection that has been idle
	// longest, if that is 5 seconds or longer. If there is none, aka answers the new one 503. If the process may open too few
	// files (ulimit -n), aka lowers the limit at its start and logs a warning. Then some files are left for vendors, the
	// journal and the admin server. 1 to 1000000. Default 10000.
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
