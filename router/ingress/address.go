package ingress

import (
	"bytes"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"

	"aka/router/segment"
)

const (
	headerRealIP = "X-Real-IP"
	// maxProxies is how many of the addresses in a request's X-Forwarded-For are looked at.
	maxProxies = 32
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

// client returns the address of the device or server that sent the request; the zero Addr when that is unknown. It is the peer,
// unless that is a trusted proxy: then it is what the proxy says, and never the proxy's own.
func (t trusted) client(ctx *fasthttp.RequestCtx) netip.Addr {
	peer := peerOf(ctx)
	if !t.has(peer) {
		return peer
	}
	h := &ctx.Request.Header
	if lines := h.PeekAll(fasthttp.HeaderXForwardedFor); !areBlank(lines) {
		return t.lastOutside(lines, segment.ParseAddress)
	}
	if lines := h.PeekAll(headerRealIP); !areBlank(lines) {
		if said := segment.ParseAddress(lines[len(lines)-1]); !t.has(said) {
			return said
		}
		return netip.Addr{}
	}
	return t.lastOutside(h.PeekAll(fasthttp.HeaderForwarded), forwardedFor)
}

// lastOutside returns the last address of a list to which each proxy appends its caller, that is not a trusted proxy itself. What
// stands before that may have been written by the client. An item that is no address ends the search without one.
func (t trusted) lastOutside(lines [][]byte, read func(item []byte) netip.Addr) (client netip.Addr) {
	for range maxProxies {
		if len(lines) == 0 {
			return client // all are proxies, and the first one has sent the request
		}
		line := lines[len(lines)-1]
		comma := bytes.LastIndexByte(line, ',')
		client = read(line[comma+1:])
		if !client.IsValid() || !t.has(client) {
			return client
		}
		if lines[len(lines)-1] = line[:max(comma, 0)]; comma < 0 {
			lines = lines[:len(lines)-1]
		}
	}
	return netip.Addr{}
}

// forwardedFor reads the address of one element of Forwarded (https://www.rfc-editor.org/rfc/rfc7239#section-4).
func forwardedFor(element []byte) netip.Addr {
	for pair := range bytes.SplitSeq(element, []byte{';'}) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(pair), []byte{'='})
		if bytes.EqualFold(name, []byte("for")) {
			return segment.ParseAddress(value)
		}
	}
	return netip.Addr{}
}

func areBlank(lines [][]byte) bool {
	for _, line := range lines {
		if len(bytes.TrimSpace(line)) > 0 {
			return false
		}
	}
	return true
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
	return segment.PlainAddress(ip)
}
