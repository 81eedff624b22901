package ingress

import (
	"bytes"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"
)

const (
	// maxProxies is how many of the addresses in a request's X-Forwarded-For are looked at.
	maxProxies = 32
	// maxAddress bounds the text of one: an IPv6 address with brackets, a zone and a port.
	maxAddress = 80
)

// trusted are the networks whose word counts on who called them.
type trusted []Network

func (t trusted) has(ip netip.Addr) bool {
	for _, network := range t {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

// client returns the address of who sent the request; the zero Addr when that is unknown. It is the peer, unless that is a
// trusted proxy: then it is the last in X-Forwarded-For, to which each proxy appends who called it, that is not one as well.
// What stands before that, or before what is no address, anybody may have written.
func (t trusted) client(ctx *fasthttp.RequestCtx) netip.Addr {
	client := peerOf(ctx)
	if !t.has(client) {
		return client
	}
	lines := ctx.Request.Header.PeekAll(fasthttp.HeaderXForwardedFor)
	for looked := 0; len(lines) > 0 && looked < maxProxies && t.has(client); looked++ {
		line := lines[len(lines)-1]
		comma := bytes.LastIndexByte(line, ',')
		said := parseAddress(line[comma+1:])
		if !said.IsValid() {
			return client
		}
		client = said
		if lines[len(lines)-1] = line[:max(comma, 0)]; comma < 0 {
			lines = lines[:len(lines)-1]
		}
	}
	return client
}

func peerOf(ctx *fasthttp.RequestCtx) netip.Addr {
	if c := connOf(ctx); c != nil {
		return c.peer
	}
	return peer(ctx.RemoteAddr())
}

// peer returns the address at the other end of the connection; the zero Addr where that is no IP address.
func peer(address net.Addr) netip.Addr {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip, _ := netip.AddrFromSlice(tcp.IP)
	return usable(ip)
}

// parseAddress reads one item of X-Forwarded-For, with a port or without; the zero Addr for anything else.
func parseAddress(item []byte) netip.Addr {
	item = bytes.Trim(item, " \t")
	if len(item) > maxAddress {
		return netip.Addr{}
	}
	if ip, err := netip.ParseAddr(string(item)); err == nil {
		return usable(ip)
	}
	if withPort, err := netip.ParseAddrPort(string(item)); err == nil {
		return usable(withPort.Addr())
	}
	if inner, bracketed := bytes.CutPrefix(item, []byte{'['}); bracketed {
		if inner, bracketed = bytes.CutSuffix(inner, []byte{']'}); bracketed {
			ip, _ := netip.ParseAddr(string(inner))
			return usable(ip)
		}
	}
	return netip.Addr{}
}

// usable returns the address in the one form that is compared and kept: an IPv4 address in an IPv6 one is itself, and the
// zone, which means something to the proxy only, is gone. What stands for no host is none.
func usable(ip netip.Addr) netip.Addr {
	if ip = ip.Unmap().WithZone(""); ip.IsUnspecified() {
		return netip.Addr{}
	}
	return ip
}
