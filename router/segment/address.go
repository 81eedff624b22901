package segment

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// IPPolicy is what becomes of a call's context.ip. The zero value keeps it; one that is not known drops it.
type IPPolicy string

// The policies.
const (
	KeepIP      IPPolicy = "keep"
	AnonymizeIP IPPolicy = "anonymize" // its network is kept: 24 bits of IPv4, 48 of IPv6
	DropIP      IPPolicy = "drop"
)

// hides reports whether addresses are kept from what comes after the ingress, the journal too.
func (policy IPPolicy) hides() bool { return policy != KeepIP && policy != "" }

// keeps returns what the policy leaves of an address; the zero Addr for nothing.
func (policy IPPolicy) keeps(ip netip.Addr) netip.Addr {
	switch policy {
	case KeepIP, "":
		return ip
	case AnonymizeIP:
		return network(ip)
	}
	return netip.Addr{}
}

// sixToFour are the IPv6 addresses whose bits 16 to 48 are an IPv4 address.
var sixToFour = netip.MustParsePrefix("2002::/16")

// network returns an address with its host's bits zero.
func network(ip netip.Addr) netip.Addr {
	bits := 48
	switch {
	case ip.Is4():
		bits = 24
	case sixToFour.Contains(ip):
		bits = 16 + 24
	}
	// The error is about more bits than the address has.
	prefix, _ := ip.Prefix(bits)
	return prefix.Addr()
}

// plain returns an address as one host has it, however it came: an IPv4 address in an IPv6 one is itself, and the zone, which
// means something to its own host only, is gone.
func plain(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

// PlainAddress returns an address in the one form that is compared and kept: an IPv4 address in an IPv6 one as IPv4, without a
// zone. It is the zero Addr for one of no host: 0.0.0.0 and ::.
func PlainAddress(ip netip.Addr) netip.Addr {
	if ip = plain(ip); ip.IsUnspecified() {
		return netip.Addr{}
	}
	return ip
}

// maxAddress bounds the text of an address: IPv6 with brackets, a zone, a port and quotes.
const maxAddress = 80

// ParseAddress reads an address as proxies and SDKs write it: with a port or without, IPv6 in brackets or without, a zone, quotes
// around it. It returns it as PlainAddress does; the zero Addr for anything else.
func ParseAddress(text []byte) netip.Addr {
	text = bytes.TrimSpace(text)
	if len(text) > 2 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1]
	}
	if len(text) == 0 || len(text) > maxAddress {
		return netip.Addr{}
	}
	if ip, err := netip.ParseAddr(string(text)); err == nil {
		return PlainAddress(ip)
	}
	if withPort, err := netip.ParseAddrPort(string(text)); err == nil {
		return PlainAddress(withPort.Addr())
	}
	if inner, bracketed := bytes.CutPrefix(text, []byte{'['}); bracketed {
		if inner, bracketed = bytes.CutSuffix(inner, []byte{']'}); bracketed {
			ip, _ := netip.ParseAddr(string(inner))
			return PlainAddress(ip)
		}
	}
	return netip.Addr{}
}

// plainIP writes a context's ip without its port, its zone and the like, where it has them. What is no address stays.
func plainIP(context map[string]any) {
	said, _ := context["ip"].(string)
	if said == "" {
		return
	}
	if ip, err := netip.ParseAddr(strings.TrimSpace(said)); err == nil && ip == plain(ip) {
		return // as nearly all are
	}
	if ip := ParseAddress([]byte(said)); ip.IsValid() {
		context["ip"] = ip.String()
	}
}

// addressToAdd returns what a call's effective context is to have as its ip beside what it has; the zero Addr for nothing. An
// ip that the call has already is never replaced by the client's; where the policy hides, what is left of it is to be added
// again.
func (p *parser) addressToAdd(context jsontext.Value) netip.Addr {
	fills := p.Client.IsValid() && (p.Device || lastMember(context, "direct").Kind() == jsontext.KindTrue)
	if !fills && !p.IPPolicy.hides() {
		return netip.Addr{}
	}
	said := lastMember(context, "ip")
	switch {
	case isBlank(said) && fills:
		return p.IPPolicy.keeps(p.Client)
	case p.IPPolicy.hides():
		return p.IPPolicy.keeps(addressIn(said))
	}
	return netip.Addr{}
}

// addressIn reads an address as the destinations do; the zero Addr for anything else.
func addressIn(raw jsontext.Value) netip.Addr {
	said := unquote(raw)
	if ip, err := netip.ParseAddr(strings.TrimSpace(string(said))); err == nil {
		return plain(ip)
	}
	return ParseAddress(said)
}

// hideContexts takes the contexts out of a call that has several: those that do not count may hold an address too.
func (c *rawCall) hideContexts() {
	if c.contextAgain {
		c.json, c.contextAt = without(c.json, "context"), 0
	}
}

// put returns the call's JSON with another context, to which the address is added unless it is zero.
func (c *rawCall) put(context jsontext.Value, ip netip.Addr) []byte {
	if len(context) == 0 {
		context = jsontext.Value("{}")
	}
	var buffer [64]byte
	end := buffer[:0]
	if ip.IsValid() {
		if !isEmpty(context) {
			end = append(end, ',')
		}
		end = append(ip.AppendTo(append(end, `"ip":"`...)), '"')
	}
	end = append(end, '}')
	context = context[:len(context)-1]
	if c.contextAt == 0 {
		return slices.Concat(c.json[:len(c.json)-1], []byte(`,"context":`), context, end, []byte{'}'})
	}
	return slices.Concat(c.json[:c.contextAt], context, end, c.json[c.contextAt+len(c.context):])
}
