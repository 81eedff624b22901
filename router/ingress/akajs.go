package ingress

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"

	"github.com/valyala/fasthttp"
)

// akaJS is the script that pages load beside Segment's SDK, made of akajs/aka.js.
//
//go:embed akajs/aka.min.js
var akaJS []byte

const (
	cacheAkaJS = "public, max-age=3600"
	anyOrigin  = "*"
)

// akaJSTag is the script's ETag: another version has another.
var akaJSTag = func() []byte {
	sum := sha256.Sum256(akaJS)
	return []byte(`"` + hex.EncodeToString(sum[:16]) + `"`)
}()

// akaScript answers with the script. Every page may load it, with crossorigin or without, and caches may share it.
func (s *Server) akaScript(ctx *fasthttp.RequestCtx, _ endpoint) {
	h := &ctx.Response.Header
	cacheFor(ctx, cacheAkaJS)
	h.SetBytesV(fasthttp.HeaderETag, akaJSTag)
	h.Set(headerResourcePolicy, "cross-origin")
	h.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
	// A request with an Origin gets that one: see allowOrigin.
	h.Set(fasthttp.HeaderAccessControlAllowOrigin, anyOrigin)
	ctx.SetContentType(contentTypes[".js"])
	if known := ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch); bytes.Contains(known, akaJSTag) || string(known) == "*" {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	ctx.SetBody(akaJS)
}
