package ingress

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"aka/router/segment"
)

// endpoint is what a path stands for.
type endpoint struct {
	serve  func(*Server, *fasthttp.RequestCtx, endpoint)
	allow  string       // the methods, for the Allow header
	batch  bool         // an envelope of calls
	kind   segment.Type // the type of a single call; zero leaves it to the body
	device bool         // what sends here is a browser or a phone: its address is its user's
}

const (
	allowPost = "POST, OPTIONS"
	allowGet  = "GET, HEAD, OPTIONS"
)

func batchOf() endpoint { return endpoint{serve: (*Server).calls, allow: allowPost, batch: true} }

func single(kind segment.Type) endpoint {
	return endpoint{serve: (*Server).calls, allow: allowPost, kind: kind}
}

// fromDevice is the same endpoint for browsers and phones. Segment documents the short paths as theirs. The long ones are
// the servers', and import is, though an old SDK for Android uses it: a server's address must not become a person's.
func fromDevice(e endpoint) endpoint {
	e.device = true
	return e
}

// endpoints are the paths without their /v1 and their slashes at both ends.
var endpoints = withJitsus(map[string]endpoint{
	"batch":           batchOf(),
	"import":          batchOf(),
	"b":               fromDevice(batchOf()),
	"batch/b":         fromDevice(batchOf()),
	"beacon/v1/batch": fromDevice(batchOf()),
	"beacon/batch":    fromDevice(batchOf()),

	"alias":    single(segment.Alias),
	"identify": single(segment.Identify),
	"track":    single(segment.Track),
	"page":     single(segment.Page),
	"screen":   single(segment.Screen),
	"group":    single(segment.Group),

	"a": fromDevice(single(segment.Alias)),
	"i": fromDevice(single(segment.Identify)),
	"t": fromDevice(single(segment.Track)),
	"p": fromDevice(single(segment.Page)),
	"s": fromDevice(single(segment.Screen)),
	"g": fromDevice(single(segment.Group)),

	// The SDKs' metrics about themselves.
	"m": {serve: (*Server).discard, allow: allowPost},

	"health": {serve: (*Server).health, allow: allowGet},
})

// withJitsus adds the paths of Jitsu's SDK: browsers send to the first, servers to those below s2s.
func withJitsus(endpoints map[string]endpoint) map[string]endpoint {
	add := func(name string, e endpoint) {
		endpoints["api/s/"+name], endpoints["api/s/s2s/"+name] = fromDevice(e), e
	}
	for _, kind := range segment.Types {
		add(kind.String(), single(kind))
	}
	add("event", single(0))
	add("batch", batchOf())
	return endpoints
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
