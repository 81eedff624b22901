package ingress

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/molecule-man/go-brrr"
	"github.com/valyala/fasthttp"
)

const (
	// windowsAtOnce is how many bodies at most decompress with a window at once.
	windowsAtOnce = 4
	// leastWindow is a window that every zstd body may ask for (https://www.rfc-editor.org/rfc/rfc9659#section-3).
	leastWindow = 8 << 20
)

var (
	errTooLarge = errors.New("the body is too large")
	errTrailing = errors.New("the compressed body ends before the body does")
)

// codings are the names that Content-Encoding may have, and their meaning.
var codings = map[string]coding{
	"":         asItIs,
	"identity": asItIs,
	"gzip":     gzipped,
	"x-gzip":   gzipped,
	"deflate":  deflated,
	"br":       brotli,
	"zstd":     zstandard,
}

// coding is how a body is compressed.
type coding int

const (
	asItIs coding = iota
	gzipped
	deflated
	brotli
	zstandard
)

// codingOf returns how the body is compressed, and whether that is one way, and a known one. A proxy may add a header, or
// a name to the one that is there.
func codingOf(ctx *fasthttp.RequestCtx) (found coding, ok bool) {
	for _, line := range ctx.Request.Header.PeekAll(fasthttp.HeaderContentEncoding) {
		for name := range bytes.SplitSeq(line, []byte{','}) {
			one, known := codings[string(bytes.ToLower(bytes.TrimSpace(name)))]
			if !known || one != asItIs && found != asItIs {
				return asItIs, false
			}
			found = max(found, one)
		}
	}
	return found, true
}

// codingByMagic returns how a body is compressed that has no Content-Encoding: some SDKs and proxies leave it out. JSON begins with
// none of these bytes.
func codingByMagic(sent []byte) coding {
	switch {
	case bytes.HasPrefix(sent, []byte("\x1f\x8b\x08")):
		return gzipped
	case bytes.HasPrefix(sent, []byte("\x28\xb5\x2f\xfd")):
		return zstandard
	}
	return asItIs
}

// looksLikeJSON reports whether a body begins and ends as an object or array does.
func looksLikeJSON(sent []byte) bool {
	sent = bytes.TrimSpace(bytes.TrimPrefix(sent, []byte("\xef\xbb\xbf")))
	if len(sent) < 2 {
		return false
	}
	first, last := sent[0], sent[len(sent)-1]
	return first == '{' && last == '}' || first == '[' && last == ']'
}

// decoder decompresses a body that has come. What it keeps for the next one is small, whatever the body says.
type decoder struct {
	sent      []byte
	left      bytes.Reader // what of sent is not yet decompressed
	gzip      gzip.Reader
	zlib, raw io.ReadCloser // nil before there was one
}

// decode decompresses to the yield all that was sent.
func (d *decoder) decode(sent []byte, c coding, w *windows, to *yield) error {
	d.sent = sent
	d.left.Reset(sent)
	if err := d.one(c, w, to); err != nil {
		return err
	}
	if d.left.Len() > 0 {
		return errTrailing
	}
	return nil
}

func (d *decoder) release() {
	d.sent = nil
	d.left.Reset(nil)
}

func (d *decoder) one(c coding, w *windows, to *yield) error {
	switch c {
	case gzipped:
		return d.gunzip(to)
	case deflated:
		return d.inflate(to)
	case brotli:
		return w.brotli(&d.left, to)
	default:
		return w.zstandard(&d.left, to)
	}
}

// gunzip takes one member after the other, as gzip does; zeros may fill up what comes after the last.
func (d *decoder) gunzip(to *yield) error {
	for d.left.Len() > 0 {
		if err := d.gzip.Reset(&d.left); err != nil {
			return err
		}
		d.gzip.Multistream(false)
		if err := to.take(&d.gzip); err != nil {
			return err
		}
		if rest := d.sent[len(d.sent)-d.left.Len():]; len(bytes.TrimLeft(rest, "\x00")) == 0 {
			d.left.Reset(nil)
		}
	}
	return nil
}

// inflate takes deflate as it is defined, with zlib's frame, and as some clients write it, without.
func (d *decoder) inflate(to *yield) error {
	if startsZlib(d.sent) {
		return d.unzlib(to)
	}
	if d.raw == nil {
		d.raw = flate.NewReader(&d.left)
	} else if err := d.raw.(flate.Resetter).Reset(&d.left, nil); err != nil {
		return err
	}
	return to.take(d.raw)
}

func (d *decoder) unzlib(to *yield) (err error) {
	if d.zlib == nil {
		d.zlib, err = zlib.NewReader(&d.left)
	} else {
		err = d.zlib.(zlib.Resetter).Reset(&d.left, nil)
	}
	if err != nil {
		return err
	}
	return to.take(d.zlib)
}

// startsZlib reports whether this is the header of zlib (https://www.rfc-editor.org/rfc/rfc1950#section-2.2). Without one, it
// would be a stored block whose padding is not zero, which no encoder writes.
func startsZlib(sent []byte) bool {
	return len(sent) >= 2 && sent[0]&0x0f == 8 && sent[0]>>4 <= 7 && (int(sent[0])<<8|int(sent[1]))%31 == 0
}

// windows has the decoders that take as much memory as the body asks for: some twenty bytes may ask for many megabytes.
// Only few work at once, and they do not wait for the network: all that they read has come. What they took stays with them until the
// garbage collector empties the pools.
type windows struct {
	turns         chan struct{}
	brrrs, zstds  sync.Pool
	largestWindow uint64
}

func newWindows(limits *Limits) *windows {
	return &windows{
		turns: make(chan struct{}, min(windowsAtOnce, runtime.GOMAXPROCS(0))),
		// A window need not be larger than the body, but it is when the encoder did not know the body's size.
		largestWindow: uint64(max(leastWindow, limits.decompressed())),
	}
}

func (w *windows) brotli(from *bytes.Reader, to *yield) error {
	w.turns <- struct{}{}
	defer func() { <-w.turns }()
	decoder, _ := w.brrrs.Get().(*brrr.Reader)
	if decoder == nil {
		decoder = brrr.NewReader(nil)
	}
	decoder.Reset(lastApart{from})
	err := to.take(decoder)
	decoder.Reset(nil)
	w.brrrs.Put(decoder)
	return err
}

func (w *windows) zstandard(from *bytes.Reader, to *yield) error {
	w.turns <- struct{}{}
	defer func() { <-w.turns }()
	decoder, _ := w.zstds.Get().(*zstd.Decoder)
	if decoder == nil {
		decoder = w.newZstd()
	}
	err := decoder.Reset(from)
	if err == nil {
		err = to.take(decoder)
	}
	_ = decoder.Reset(nil) // it fails only once closed
	w.zstds.Put(decoder)
	return err
}

// newZstd returns a decoder that starts no goroutine, so that it may be forgotten without being closed.
func (w *windows) newZstd() *zstd.Decoder {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(w.largestWindow), zstd.WithDecoderMaxMemory(w.largestWindow))
	if err != nil {
		panic(err) // the options are in range
	}
	return decoder
}

// lastApart reads the last byte on its own. Brotli's decoder does not say how much it used of what it read, and whether it
// wanted the last byte tells that nothing comes behind its end.
type lastApart struct{ *bytes.Reader }

func (l lastApart) Read(p []byte) (int, error) {
	if most := l.Len() - 1; most > 0 && len(p) > most {
		p = p[:most]
	}
	return l.Reader.Read(p)
}

// yield is what comes out of decompression. As long as it is not kept whole it is counted only.
type yield struct {
	content  *bytes.Buffer
	reserved *reservation
	sent     int64 // what is reserved beside the yield
	size     int64
	kept     int64 // the largest size that is kept
	limit    int64 // the largest size that there may be
}

// take reads to the end.
func (y *yield) take(r io.Reader) error {
	for {
		y.content.Grow(bytes.MinRead)
		free := y.content.AvailableBuffer()
		n, err := r.Read(free[:cap(free)])
		if problem := y.add(free[:n]); problem != nil {
			return problem
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// add takes what was read into the content's free part.
func (y *yield) add(more []byte) error {
	y.size += int64(len(more))
	switch {
	case y.size > y.limit:
		return errTooLarge
	case y.size > y.kept:
		y.content.Reset()
		return nil
	case !y.reserved.reserve(y.sent + y.size):
		return errNoMemory
	}
	y.content.Write(more)
	return nil
}

func (y *yield) isWhole() bool { return y.size <= y.kept }
