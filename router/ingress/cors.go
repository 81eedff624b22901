package ingress

import "github.com/valyala/fasthttp"

const (
	headerRequestPrivateNetwork = "Access-Control-Request-Private-Network"
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
