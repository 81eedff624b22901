package httpclient

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestPrivateAddressesNeedToBeAllowed(t *testing.T) {
	for _, text := range strings.Fields(`
		127.0.0.1 127.255.0.9 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.1.1 100.64.0.1 100.127.255.255 0.0.0.0 0.1.2.3
		192.0.0.8 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.2.3 240.0.0.1 255.255.255.255
		::1 :: ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:192.168.0.1 ::7f00:1 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::a00:1
		64:ff9b:1::1 2002:7f00:1:: 2002:808:808:: 2001:0:1::1 100::1 2001:db8::1 3fff::1 5f00::1
		fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1`) {
		addr := netip.MustParseAddr(text)
		var refused *AddressError
		if err := checkAddress(addr, false); !errors.As(err, &refused) || refused.Metadata {
			t.Errorf("%s: got %v", text, err)
		}
		if err := checkAddress(addr, true); err != nil {
			t.Errorf("%s, allowed: got %v", text, err)
		}
	}
}

func TestWhereCloudsGiveCredentialsNothingGoes(t *testing.T) {
	for _, text := range strings.Fields(`
		169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200 192.0.0.192 168.63.129.16 fd00:ec2::254 fd00:ec2::23 fd20:ce::254
		::ffff:169.254.169.254 ::a9fe:a9fe 64:ff9b::169.254.169.254 2002:a9fe:a9fe:: fd00:ec2::254%eth0`) {
		for _, allowPrivate := range []bool{false, true} {
			var refused *AddressError
			if err := CheckHost(text, allowPrivate); !errors.As(err, &refused) || !refused.Metadata {
				t.Errorf("%s: got %v", text, err)
			}
		}
	}
}

func TestTheInternetIsNotPrivate(t *testing.T) {
	for _, text := range strings.Fields(`
		8.8.8.8 1.1.1.1 100.63.255.255 100.128.0.1 172.15.255.255 172.32.0.1 192.167.1.1 169.253.1.1 126.255.255.255 223.255.255.255
		::ffff:8.8.8.8 64:ff9b::8.8.8.8 2600::1 2a00:1450:4001::1 2001:4860:4860::8888 2003::1`) {
		if err := checkAddress(netip.MustParseAddr(text), false); err != nil {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestOnlyTheNamesOfThisMachineArePrivateUnseen(t *testing.T) {
	for host, private := range map[string]bool{
		"localhost": true, "LocalHost.": true, "a.localhost": true, "127.0.0.1": true, "::1": true, "fe80::1%eth0": true,
		"localhost.example": false, "notlocalhost": false, "vendor.example": false, "8.8.8.8": false, "": false,
	} {
		if err := CheckHost(host, false); private != (err != nil) {
			t.Errorf("%q: got %v", host, err)
		}
		if err := CheckHost(host, true); err != nil {
			t.Errorf("%q, allowed: got %v", host, err)
		}
	}
}

func FuzzCheckAddress(f *testing.F) {
	for _, text := range []string{"127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "8.8.8.8", "2600::1"} {
		f.Add(netip.MustParseAddr(text).AsSlice())
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		addr, ok := netip.AddrFromSlice(bytes)
		if !ok {
			return
		}
		plain := addr.Unmap()
		special := plain.IsPrivate() || plain.IsLoopback() || plain.IsLinkLocalUnicast() || plain.IsMulticast() || plain.IsUnspecified()
		if err := checkAddress(addr, false); special && err == nil {
			t.Fatalf("%s passes", addr)
		}
		if asMapped := netip.AddrFrom16(addr.As16()); (checkAddress(asMapped, false) == nil) != (checkAddress(addr, false) == nil) {
			t.Fatalf("%s and %s differ", addr, asMapped)
		}
	})
}
