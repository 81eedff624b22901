package ingress

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
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
	sent    bytes.Buffer // the body as sent, when that is compressed
	content bytes.Buffer
	limit   int64
	wire    io.LimitedReader // what may still come, and one byte more
	counted countingReader
	decoder decoder
}

var bodies = sync.Pool{New: func() any { return new(body) }}

func (b *body) release() {
	b.wire.R, b.counted = nil, countingReader{}
	b.decoder.release()
	for _, buffer := range []*bytes.Buffer{&b.sent, &b.content} {
		if buffer.Cap() > keptBytes {
			*buffer = bytes.Buffer{}
		}
	}
	bodies.Put(b)
}

// read returns the body, decompressed, for which the reservation then is enough. The body is good until release.
func (b *body) read(ctx *fasthttp.RequestCtx, limits *Limits, w *windows, held *reservation) ([]byte, *refusal) {
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
	b.counted = countingReader{reader: &b.wire, reserved: held}
	coding, known := codingOf(ctx)
	if !known {
		return nil, refusedEncoding
	}
	if coding == asItIs {
		refused := b.fetch(ctx, &b.content)
		if coding = codingByMagic(b.content.Bytes()); refused != nil || coding == asItIs {
			return b.content.Bytes(), refused
		}
		b.sent, b.content = b.content, b.sent
		b.content.Reset()
	} else {
		b.sent.Reset()
		if refused := b.fetch(ctx, &b.sent); refused != nil || b.sent.Len() == 0 {
			return nil, refused
		}
	}
	refused := expansionProblem(b.expand(coding, w, int64(limits.decompressed()), held))
	if refused == refusedCompression && looksLikeJSON(b.sent.Bytes()) {
		return b.sent.Bytes(), nil // a proxy has decompressed it, and left the header
	}
	return b.content.Bytes(), refused
}

// fetch reads all that is sent.
func (b *body) fetch(ctx *fasthttp.RequestCtx, into *bytes.Buffer) *refusal {
	_, err := into.ReadFrom(&b.counted)
	switch {
	case b.wire.N <= 0:
		return refusedTooLarge
	case errors.Is(err, errNoMemory):
		return refusedOverloaded
	case isLate(ctx, err):
		return refusedTimeout
	case err != nil || b.isCutShort(ctx):
		return refusedRequest
	}
	return nil
}

// expand decompresses what was sent. What becomes large is measured before it is kept, and is decompressed a second time:
// a body that is too large takes as little memory as a small one.
func (b *body) expand(c coding, w *windows, limit int64, held *reservation) error {
	out := yield{content: &b.content, reserved: held, sent: int64(b.sent.Len()), kept: keptBytes, limit: limit}
	err := b.decoder.decode(b.sent.Bytes(), c, w, &out)
	if err != nil || out.isWhole() {
		return err
	}
	if !held.reserve(out.sent + out.size) {
		return errNoMemory
	}
	b.content = bytes.Buffer{}
	b.content.Grow(int(out.size) + bytes.MinRead)
	out.kept, out.size = out.size, 0
	return b.decoder.decode(b.sent.Bytes(), c, w, &out)
}

func expansionProblem(err error) *refusal {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooLarge), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return refusedTooLarge
	case errors.Is(err, errNoMemory):
		return refusedOverloaded
	}
	return refusedCompression
}

// isCutShort reports whether less has come than Content-Length says: when the client goes away the stream just ends.
func (b *body) isCutShort(ctx *fasthttp.RequestCtx) bool {
	return b.limit+1-b.wire.N < int64(ctx.Request.Header.ContentLength())
}

// hasTwoLengths reports whether a proxy in between may see the headers or the body end elsewhere: the length is said in two ways,
// the encoding is not only chunked, a line goes on in the next one, or ends without a return. A part of the body would be the
// next request to one of the two (https://www.rfc-editor.org/rfc/rfc9112#section-6.3).
func hasTwoLengths(ctx *fasthttp.RequestCtx) bool {
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
	most := drains.Get().(*io.LimitedReader)
	defer drains.Put(most)
	most.R, most.N = stream, int64(limit)*drainFactor
	_, err := io.Copy(io.Discard, most)
	most.R = nil
	return err == nil && most.N > 0
}

var drains = sync.Pool{New: func() any { return new(io.LimitedReader) }}
