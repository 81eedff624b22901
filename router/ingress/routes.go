package ingress

import (
	"bytes"
	"context"
	"errors"
	"regexp"

	"github.com/valyala/fasthttp"

	"aka/router/journal"
	"aka/router/segment"
)

// endpoint is what a path serves.
type endpoint struct {
	serve  func(*Server, *fasthttp.RequestCtx, endpoint)
	allow  string       // the methods, for the Allow header
	batch  bool         // an envelope of calls
	kind   segment.Type // the type of a single call; zero leaves it to the body
	device bool         // what sends here is a browser or a phone: its address is its user's
	query  bool         // the call is in the query, not in the body
	stored bool         // calls that were received before may come here, with a receivedAt of their own

	service string // whose settings these are
	key     []byte // the write key in the path
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

// stored is the same endpoint for calls that were received before.
func stored(e endpoint) endpoint {
	e.stored = true
	return e
}

// endpoints are the paths without their /v1 and their slashes at both ends.
var endpoints = withPixels(withJitsus(map[string]endpoint{
	"batch":           batchOf(),
	"import":          stored(batchOf()),
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

	"sourceConfig": {serve: (*Server).sourceConfig, allow: allowGet},
	"aka.js":       {serve: (*Server).akaScript, allow: allowGet},

	// Google's load balancer asks for / when it is not told of another path, and so do those of AWS.
	"":       {serve: (*Server).health, allow: allowGet},
	"health": {serve: (*Server).health, allow: allowGet},
}))

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

// withPixels adds the paths of images: Segment's, and RudderStack's.
func withPixels(endpoints map[string]endpoint) map[string]endpoint {
	for _, kind := range segment.Types {
		endpoints["pixel/"+kind.String()] = endpoint{serve: (*Server).pixel, allow: allowGet, kind: kind, device: true, query: true}
	}
	for _, kind := range []segment.Type{segment.Track, segment.Page} {
		endpoints["pixel/v1/"+kind.String()] = endpoints["pixel/"+kind.String()]
	}
	return endpoints
}

func (s *Server) route(ctx *fasthttp.RequestCtx) {
	if ctx.IsOptions() {
		preflight(ctx)
		return
	}
	e, known := endpointAt(ctx.Path())
	switch {
	case !known && s.staticDir != "" && (ctx.IsGet() || ctx.IsHead()):
		s.static(ctx)
	case !known:
		refuse(ctx, refusedNotFound)
	case !e.allows(ctx):
		ctx.Response.Header.Set(fasthttp.HeaderAllow, e.allow)
		refuse(ctx, refusedMethod)
	default:
		e.serve(s, ctx, e)
	}
}

// settingsPath is that of a source's settings, without its /v1. "projects" is often there twice, and the write key not at
// all.
var settingsPath = regexp.MustCompile(`^(?:projects/)?projects(?:(?:/(.+))?/settings)?$`)

// endpointAt finds what a path serves. The library has decoded it, and folded doubled slashes.
//
// Everything is also there below /cio: Customer.io's SDK for browsers is Segment's, but for the name that it looks for in its
// settings, and nothing else in its request tells the two apart.
func endpointAt(path []byte) (endpoint, bool) {
	path, isCustomerIO := bytes.CutPrefix(bytes.Trim(path, "/"), []byte("cio/"))
	path = bytes.TrimPrefix(path, []byte("v1/"))
	if e, known := endpoints[string(path)]; known {
		return e, true
	}
	match := settingsPath.FindSubmatch(path)
	if match == nil {
		return endpoint{}, false
	}
	e := endpoint{serve: (*Server).settings, allow: allowGet, service: serviceSegment, key: match[1]}
	if isCustomerIO {
		e.service = serviceCustomerIO
	}
	return e, true
}

func (e endpoint) allows(ctx *fasthttp.RequestCtx) bool {
	if e.allow == allowGet {
		return ctx.IsGet() || ctx.IsHead()
	}
	return ctx.IsPost()
}

// discard accepts what is not used, so that the SDK does not send it again.
func (s *Server) discard(ctx *fasthttp.RequestCtx, _ endpoint) { succeed(ctx) }

// health is for load balancers: 200 where a call would be taken.
func (s *Server) health(ctx *fasthttp.RequestCtx, _ endpoint) {
	err := s.journal.Writable(context.Background())
	switch {
	case s.draining.Load() || s.stopping.Load():
		refuse(ctx, refusedDraining)
	case errors.Is(err, journal.ErrFull):
		refuse(ctx, refusedOverloaded)
	case err != nil:
		refuse(ctx, refusedUnavailable)
	default:
		succeed(ctx)
		cacheFor(ctx, cacheNothing)
	}
}
