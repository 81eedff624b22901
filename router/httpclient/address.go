package httpclient

import (
	"fmt"
	"net/netip"
	"strings"
)

// AddressError tells that nothing is sent to an address.
type AddressError struct {
	Addr netip.Addr
	// Metadata tells that it is where a cloud gives its machines their credentials: no setting allows it.
	Metadata bool
}

// Error names the address.
func (e *AddressError) Error() string {
	if e.Metadata {
		return fmt.Sprintf("%s is where a cloud gives its machines their credentials; nothing is sent there", e.Addr)
	}
	return fmt.Sprintf("%s is a private address; allow_private: true, in the destination's delivery or in that of all, lets calls go there", e.Addr)
}

// CheckHost returns an *AddressError for an address, or a name of this machine, that nothing may be sent to. What another
// name resolves to is known when it is dialed, and is checked then.
func CheckHost(host string, allowPrivate bool) error {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return checkAddress(netip.IPv6Loopback(), allowPrivate)
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return nil
	}
	return checkAddress(addr, allowPrivate)
}

// checkAddress returns an *AddressError for an address that nothing may be sent to.
func checkAddress(addr netip.Addr, allowPrivate bool) error {
	plain := embedded(addr.WithZone("").Unmap())
	if within(metadataAddresses, plain) {
		return &AddressError{Addr: addr, Metadata: true}
	}
	if !allowPrivate && (within(privateAddresses, plain) || within(privateAddresses, translated(addr))) {
		return &AddressError{Addr: addr}
	}
	return nil
}

func within(networks []netip.Prefix, addr netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
	sixTo4 = netip.MustParsePrefix("2002::/16")
	// compatible are the oldest ways to write an IPv4 address as an IPv6 one.
	compatible = networks("::/96 ::ffff:0:0:0/96")
)

// embedded returns the IPv4 address that an IPv6 one leads to, or the address itself.
func embedded(addr netip.Addr) netip.Addr {
	bytes := addr.As16()
	switch {
	case nat64.Contains(addr), within(compatible, addr) && addr != netip.IPv6Loopback() && !addr.IsUnspecified():
		return netip.AddrFrom4([4]byte(bytes[12:]))
	case sixTo4.Contains(addr):
		return netip.AddrFrom4([4]byte(bytes[2:6]))
	}
	return addr
}

// translated returns the address as it was written, which is private by itself where its network is no part of the internet.
func translated(addr netip.Addr) netip.Addr {
	plain := addr.WithZone("").Unmap()
	if nat64.Contains(plain) {
		return netip.Addr{} // the way to the internet of a network without IPv4
	}
	return plain
}

// metadataAddresses are those at which clouds tell a machine who it is and what it may do.
var metadataAddresses = networks(`
	169.254.169.254 169.254.170.2 169.254.170.23 169.254.0.23 100.100.100.200 192.0.0.192 168.63.129.16
	fd00:ec2::/32 fd00:c1::a9fe:a9fe fd20:ce::254`)

// privateAddresses are this machine's, its network's, and those that are not assigned on the internet.
var privateAddresses = networks(`
	0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.168.0.0/16
	198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
	::/8 100::/64 2001::/32 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8`)

func networks(text string) []netip.Prefix {
	var all []netip.Prefix
	for _, word := range strings.Fields(text) {
		n, err := netip.ParsePrefix(word)
		if err != nil {
			addr := netip.MustParseAddr(word)
			n = netip.PrefixFrom(addr, addr.BitLen())
		}
		all = append(all, n)
	}
	return all
}
