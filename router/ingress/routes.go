package ingress

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"aka/router/segment"
)

// endpoint is what a path stands for.
type endpoint struct {
	serve func(*Server, *fasthttp.RequestCtx, endpoint)
	allow string       // the methods, for the Allow header
	batch bool         // an envelope of calls
	kind  segment.Type // the type of a single call
}

const (
	allowPost = "POST, OPTIONS"
	allowGet  = "GET, HEAD, OPTIONS"
)

func batchOf() endpoint { return endpoint{serve: (*Server).calls, allow: allowPost, batch: true} }

func single(kind segment.Type) endpoint {
	return endpoint{serve: (*Server).calls, allow: allowPost, kind: kind}
}

// endpoints are the paths without their /v1 and their slashes at both ends. The short ones are the browser SDKs'.
var endpoints = map[string]endpoint{
	"batch":   batchOf(),
	"import":  batchOf(),
	"b":       batchOf(),
	"batch/b": batchOf(),

	"alias":    single(segment.Alias),
	"identify": single(segment.Identify),
	"track":    single(segment.Track),
	"page":     single(segment.Page),
	"screen":   single(segment.Screen),
	"group":    single(segment.Group),

	"a": single(segment.Alias),
	"i": single(segment.Identify),
	"t": single(segment.Track),
	"p": single(segment.Page),
	"s": single(segment.Screen),
	"g": single(segment.Group),

	// The SDKs' metrics about themselves.
	"m": {serve: (*Server).discard, allow: allowPost},

	"health": {serve: (*Server).health, allow: allowGet},
}

func (s *Server) route(ctx *fasthttp.RequestCtx) {
	if ctx.IsOptions() {
		preflight(ctx)
		return
	}
	// The library has folded doubled slashes.
	path := bytes.Trim(ctx.Path(), "/")
	path = bytes.TrimPrefix(path, []byte("v1/"))
	e, known := endpoints[string(path)]
	switch {
	case !known:
		refuse(ctx, refusedNotFound)
	case !e.allows(ctx):
		ctx.Response.Header.Set(fasthttp.HeaderAllow, e.allow)
		refuse(ctx, refusedMethod)
	default:
		e.serve(s, ctx, e)
	}
}

func (e endpoint) allows(ctx *fasthttp.RequestCtx) bool {
	if e.allow == allowGet {
		return ctx.IsGet() || ctx.IsHead()
	}
	return ctx.IsPost()
}

// discard takes what nobody needs, so that the SDK is content.
func (s *Server) discard(ctx *fasthttp.RequestCtx, _ endpoint) { succeed(ctx) }

func (s *Server) health(ctx *fasthttp.RequestCtx, _ endpoint) { succeed(ctx) }
