package ingress

import (
	"encoding/json"
	"strconv"

	"github.com/valyala/fasthttp"

	"aka/router/segment"
)

const (
	headerRateLimitReset = "X-RateLimit-Reset"

	// retrySeconds is when a client may try again what was refused for lack of room. SDKs read it only as a whole number.
	retrySeconds = 5

	cacheNothing = "no-store"
)

var (
	contentTypeJSON = []byte("application/json")
	success         = []byte(`{"success":true}`)
)

// succeed answers that all is well, with exactly 200: some SDKs send again, without end, what was answered 202 or 204.
func succeed(ctx *fasthttp.RequestCtx) {
	ctx.SetContentTypeBytes(contentTypeJSON)
	ctx.SetBody(success)
}

// maxListed is how many rejections, and how many warnings, an answer lists. A few dozen bytes can have thousands, and an
// answer takes memory for as long as the client takes to read it.
const maxListed = 100

// listedWarnings are an answer's warnings. They stand beside what SDKs look for, and are left out where there are none.
type listedWarnings struct {
	Warnings []segment.Warning `json:"warnings,omitempty"`
	// Unlisted is how many more there are.
	Unlisted int `json:"warnings_unlisted,omitempty"`
}

func listWarnings(warnings []segment.Warning) listedWarnings {
	listed := min(len(warnings), maxListed)
	return listedWarnings{warnings[:listed], len(warnings) - listed}
}

// succeedSingle answers 200 to a single call, and lists its warnings.
func succeedSingle(ctx *fasthttp.RequestCtx, result *segment.Result) {
	if len(result.Warnings) == 0 {
		succeed(ctx)
		return
	}
	respond(ctx, struct {
		Success bool `json:"success"`
		listedWarnings
	}{true, listWarnings(result.Warnings)})
}

type batchAnswer struct {
	Success  bool                `json:"success"`
	Accepted int                 `json:"accepted"`
	Rejected []segment.Rejection `json:"rejected"`
	// Unlisted is how many more were rejected.
	Unlisted int `json:"rejected_unlisted,omitempty"`
	listedWarnings
}

// succeedBatch answers 200 whatever was rejected: another status would make SDKs send, or lose, the good calls too.
func succeedBatch(ctx *fasthttp.RequestCtx, result *segment.Result) {
	listed := min(len(result.Rejected), maxListed)
	answer := batchAnswer{
		Success: true, Accepted: len(result.Messages), Rejected: result.Rejected[:listed], Unlisted: len(result.Rejected) - listed,
		listedWarnings: listWarnings(result.Warnings),
	}
	if answer.Rejected == nil {
		answer.Rejected = []segment.Rejection{}
	}
	respond(ctx, answer)
}

// respond answers with JSON. An answer is made of nothing but texts, numbers and switches.
func respond(ctx *fasthttp.RequestCtx, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	ctx.SetContentTypeBytes(contentTypeJSON)
	ctx.SetBody(body)
}

// cacheFor says how long the answer may be kept. One without an Origin is not good for a page of any, so it says Vary too.
func cacheFor(ctx *fasthttp.RequestCtx, control string) {
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, control)
	ctx.Response.Header.Set(fasthttp.HeaderVary, fasthttp.HeaderOrigin)
}

// refusal is an answer that takes nothing.
type refusal struct {
	status  int
	code    string
	message string
}

// What is refused outside the parser. 400 is the one status that nearly all SDKs take as final; on 408, 429 and 5xx they
// try again.
var (
	refusedRequest     = &refusal{fasthttp.StatusBadRequest, "invalid_request", "request: expected valid HTTP with a complete body"}
	refusedTooLarge    = &refusal{fasthttp.StatusBadRequest, "body_too_large", "body: larger than the limit, as sent or decompressed"}
	refusedEncoding    = &refusal{fasthttp.StatusBadRequest, "unsupported_encoding", "Content-Encoding: expected gzip, deflate, br or zstd, or none"}
	refusedCompression = &refusal{fasthttp.StatusBadRequest, "invalid_encoding", "body: expected what Content-Encoding says"}

	refusedPlainHTTP      = &refusal{fasthttp.StatusBadRequest, "https_required", "request: expected https; plain http is not spoken here"}
	refusedHeaderTooLarge = &refusal{fasthttp.StatusBadRequest, "header_too_large", "request: expected " + strconv.Itoa(headerBytes) + " bytes of headers at most"}

	refusedMissingKey = &refusal{fasthttp.StatusUnauthorized, "missing_write_key", "writeKey: expected one, as Basic user, X-Write-Key, in the query or in the body"}
	refusedUnknownKey = &refusal{fasthttp.StatusUnauthorized, "unknown_write_key", "writeKey: not that of any source"}
	refusedOrigin     = &refusal{fasthttp.StatusUnauthorized, "origin_not_allowed", "Origin: not among the source's allowed_origins"}

	refusedNotFound = &refusal{fasthttp.StatusNotFound, "not_found", "path: nothing is served here"}
	refusedMethod   = &refusal{fasthttp.StatusMethodNotAllowed, "method_not_allowed", "method: not for this path; Allow has those that are"}

	refusedRateLimited = &refusal{fasthttp.StatusTooManyRequests, "rate_limited", "more calls than the source's rate allows; send it again later"}

	refusedInternal = &refusal{fasthttp.StatusInternalServerError, "internal_error", "the request failed here; it may be sent again"}

	refusedTimeout            = &refusal{fasthttp.StatusServiceUnavailable, "read_timeout", "request: expected it to be complete sooner"}
	refusedOverloaded         = &refusal{fasthttp.StatusServiceUnavailable, "overloaded", "there is no room at the moment; send it again later"}
	refusedUnavailable        = &refusal{fasthttp.StatusServiceUnavailable, "unavailable", "nothing can be accepted at the moment; send it again later"}
	refusedDraining           = &refusal{fasthttp.StatusServiceUnavailable, "draining", "this server is shutting down; send it again, to another one"}
	refusedTooManyConnections = &refusal{fasthttp.StatusServiceUnavailable, "too_many_connections", "too many connections are open; send it again later"}
)

// callRefusals are those that a request with calls can meet beside the parser's.
var callRefusals = []*refusal{
	refusedRequest, refusedTooLarge, refusedEncoding, refusedCompression, refusedPixel, refusedTimeout,
	refusedMissingKey, refusedUnknownKey, refusedOrigin, refusedRateLimited, refusedOverloaded, refusedUnavailable,
	refusedDraining,
}

// refusedContent is a body that can never be taken.
func refusedContent(problem *segment.Error) *refusal {
	return &refusal{fasthttp.StatusBadRequest, problem.Code, problem.Message}
}

// errorAnswer is the form of every error. Python's SDK tries again without code and message, Ruby's logs error.
type errorAnswer struct {
	Success bool   `json:"success"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Error   string `json:"error"`
}

func refuse(ctx *fasthttp.RequestCtx, r *refusal) {
	if r.status == fasthttp.StatusServiceUnavailable {
		retryAfter(ctx, retrySeconds)
	}
	if r.endsConnection() {
		ctx.SetConnectionClose()
	}
	// Caches may keep a 404 or a 405 unasked, and some keep any error: one client's strange headers would be everybody's.
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, cacheNothing)
	ctx.SetStatusCode(r.status)
	respond(ctx, errorAnswer{Code: r.code, Message: r.message, Error: r.message})
}

// isFinal reports whether the same request would be refused again.
func (r *refusal) isFinal() bool { return r.status == fasthttp.StatusBadRequest }

// endsConnection reports whether the next request cannot be found behind this one, or is not wanted.
func (r *refusal) endsConnection() bool {
	return r == refusedRequest || r == refusedTimeout || r == refusedInternal || r == refusedTooManyConnections || r == refusedDraining
}

func retryAfter(ctx *fasthttp.RequestCtx, seconds int) {
	text := strconv.Itoa(seconds)
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, text)
	ctx.Response.Header.Set(headerRateLimitReset, text)
}
