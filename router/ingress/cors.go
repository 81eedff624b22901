package ingress

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

const (
	headerRequestPrivateNetwork = "Access-Control-Request-Private-Network"
	headerResourcePolicy        = "Cross-Origin-Resource-Policy"
	headerAllowPrivateNetwork   = "Access-Control-Allow-Private-Network"
)

// allowOrigin lets a page read the answer, an error too: a browser's SDK takes an answer that it may not read for a broken
// network, and sends again what can never be accepted.
func allowOrigin(ctx *fasthttp.RequestCtx, origin []byte) {
	if len(origin) == 0 {
		return
	}
	h := &ctx.Response.Header
	h.SetBytesV(fasthttp.HeaderAccessControlAllowOrigin, origin)
	h.Set(fasthttp.HeaderVary, fasthttp.HeaderOrigin)
	h.Set(fasthttp.HeaderAccessControlAllowCredentials, "true")
	h.Set(fasthttp.HeaderAccessControlExposeHeaders, "Retry-After, "+headerRateLimitReset)
}

// originIn returns the Origin in the beginning of a request, nil for none. The library reads no header of a request whose headers are
// too large, and a page that may not read the answer sends such a request again.
func originIn(head []byte) []byte {
	for line := range bytes.Lines(head) {
		name, value, _ := bytes.Cut(line, []byte{':'})
		if !isHeader(name, fasthttp.HeaderOrigin) || !bytes.HasSuffix(value, []byte("\r\n")) {
			continue
		}
		value = bytes.TrimSpace(value)
		if bytes.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			return nil
		}
		return value
	}
	return nil
}

// embeddable lets a page that isolates itself load an image or a script
// (https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Cross-Origin-Resource-Policy).
func embeddable(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set(headerResourcePolicy, "cross-origin")
}

// preflight allows whatever headers are asked for: the SDKs' differ, and * would leave out Authorization.
func preflight(ctx *fasthttp.RequestCtx) {
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderAccessControlAllowMethods, "GET, HEAD, POST, OPTIONS")
	if wanted := ctx.Request.Header.Peek(fasthttp.HeaderAccessControlRequestHeaders); len(wanted) > 0 {
		h.SetBytesV(fasthttp.HeaderAccessControlAllowHeaders, wanted)
	}
	h.Set(fasthttp.HeaderAccessControlMaxAge, "86400")
	if string(ctx.Request.Header.Peek(headerRequestPrivateNetwork)) == "true" {
		h.Set(headerAllowPrivateNetwork, "true")
	}
}
