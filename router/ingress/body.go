package ingress

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp"
)

const (
	// strictBodyBytes is Segment's own limit on a body.
	strictBodyBytes = 500_000
	// drainFactor is how many times the limit is read of a body that is too large. SDKs send all of it before they read
	// the answer, and take a connection that is reset meanwhile for a fault that passes: they would send it again.
	drainFactor = 4
	// keptBytes is the largest buffer that waits for the next request.
	keptBytes = 1 << 20
)

// wire is the largest body as sent.
func (l *Limits) wire() int {
	if l.Strict {
		return min(int(l.WireBytes), strictBodyBytes)
	}
	return int(l.WireBytes)
}

// decompressed is the largest body after decompression.
func (l *Limits) decompressed() int {
	if l.Strict {
		return min(int(l.DecompressedBytes), strictBodyBytes)
	}
	return int(l.DecompressedBytes)
}

// body reads one request's body.
type body struct {
	content bytes.Buffer
	limit   int64
	wire    io.LimitedReader // what may still come, and one byte more
	plain   io.LimitedReader // what may still come out of decompression, and one byte more
	gzip    gzip.Reader
	meter   meter
}

var bodies = sync.Pool{New: func() any { return new(body) }}

func (b *body) release() {
	b.wire.R, b.plain.R, b.meter = nil, nil, meter{}
	if b.content.Cap() > keptBytes {
		b.content = bytes.Buffer{}
	}
	bodies.Put(b)
}

// read returns the body, decompressed, for which the share then is enough. The body is good until release.
func (b *body) read(ctx *fasthttp.RequestCtx, limits *Limits, held *share) ([]byte, *refusal) {
	b.content.Reset()
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return nil, nil
	}
	if ctx.Request.Header.ContentLength() > limits.wire() {
		return nil, refusedTooLarge
	}
	b.limit = int64(limits.wire())
	b.wire = io.LimitedReader{R: stream, N: b.limit + 1}
	b.plain = io.LimitedReader{R: &b.wire, N: int64(limits.decompressed()) + 1}
	switch contentEncoding(ctx) {
	case "", "identity":
	case "gzip", "x-gzip":
		b.plain.R = &b.gzip
		if err := b.gzip.Reset(&b.wire); err != nil {
			return nil, b.problem(ctx, err)
		}
	default:
		return nil, refusedEncoding
	}
	b.meter = meter{reader: &b.plain, share: held}
	_, err := b.content.ReadFrom(&b.meter)
	return b.content.Bytes(), b.problem(ctx, err)
}

func contentEncoding(ctx *fasthttp.RequestCtx) string {
	encoding := ctx.Request.Header.ContentEncoding()
	if len(encoding) == 0 {
		return ""
	}
	return strings.ToLower(string(bytes.TrimSpace(encoding)))
}

// problem says why a body was not read well; nil when it was.
func (b *body) problem(ctx *fasthttp.RequestCtx, err error) *refusal {
	compressed := b.plain.R != io.Reader(&b.wire)
	switch {
	case b.wire.N <= 0 || b.plain.N <= 0:
		return refusedTooLarge
	case errors.Is(err, errNoRoom):
		return refusedOverloaded
	case isLate(ctx, err):
		return refusedTimeout
	case err != nil && compressed:
		return refusedCompression
	case err != nil || b.isCutShort(ctx):
		return refusedRequest
	}
	return nil
}

// isCutShort tells whether less has come than Content-Length says: when the client goes away the stream just ends.
func (b *body) isCutShort(ctx *fasthttp.RequestCtx) bool {
	return b.limit+1-b.wire.N < int64(ctx.Request.Header.ContentLength())
}

// isAmbiguous tells whether a proxy in between may see the headers or the body end elsewhere: the length is said in two ways,
// the encoding is not only chunked, a line goes on in the next one, or ends without a return. A part of the body would be the
// next request to one of the two (https://www.rfc-editor.org/rfc/rfc9112#section-6.3).
func isAmbiguous(ctx *fasthttp.RequestCtx) bool {
	length, chunked := false, false
	for line := range bytes.Lines(ctx.Request.Header.RawHeaders()) {
		if !bytes.HasSuffix(line, []byte("\r\n")) || line[0] == ' ' || line[0] == '\t' {
			return true
		}
		name, value, _ := bytes.Cut(line, []byte{':'})
		switch {
		case isHeader(name, fasthttp.HeaderContentLength):
			length = true
		case isHeader(name, fasthttp.HeaderTransferEncoding):
			if !bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked")) {
				return true
			}
			chunked = true
		}
	}
	return length && chunked
}

func isHeader(name []byte, known string) bool {
	return len(name) == len(known) && bytes.EqualFold(name, []byte(known))
}

// drain reads what is left of the body, some times the limit at most, and returns whether that was all.
func drain(ctx *fasthttp.RequestCtx, limit int) bool {
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return true
	}
	_, err := io.CopyN(io.Discard, stream, int64(limit)*drainFactor)
	return errors.Is(err, io.EOF)
}
