package ingress

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/molecule-man/go-brrr"
	"github.com/valyala/fasthttp"
)

// packers compress by the name of their encoding.
var packers = map[string]func(string) string{
	"gzip":   zipped,
	"x-gzip": zipped,
	"deflate": func(body string) string {
		var out bytes.Buffer
		return written(&out, zlib.NewWriter(&out), body)
	},
	"br": func(body string) string {
		packed, err := brrr.Compress([]byte(body), 4)
		return must(string(packed), err)
	},
	"zstd": func(body string) string { return string(zstdWriter().EncodeAll([]byte(body), nil)) },
}

func rawDeflated(body string) string {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	return written(&out, must(w, err), body)
}

func zstdWriter(options ...zstd.EOption) *zstd.Encoder {
	return must(zstd.NewWriter(nil, append(options, zstd.WithEncoderConcurrency(1))...))
}

// zstdStream is a frame that does not say how large its content is.
func zstdStream(window int, body string) string {
	var out bytes.Buffer
	w := zstdWriter(zstd.WithWindowSize(window))
	w.Reset(&out)
	_ = must(io.WriteString(w, body))
	if err := w.Flush(); err != nil {
		panic(err)
	}
	return written(&out, w, "")
}

// brotliStream is a body in several parts whose window is 1<<bits bytes.
func brotliStream(bits int, parts ...string) string {
	var out bytes.Buffer
	w := must(brrr.NewWriterOptions(&out, 5, brrr.WriterOptions{LGWin: bits}))
	for _, part := range parts {
		_ = must(io.WriteString(w, part))
		if err := w.Flush(); err != nil {
			panic(err)
		}
	}
	return written(&out, w, "")
}

func written(out *bytes.Buffer, w io.WriteCloser, body string) string {
	_ = must(io.WriteString(w, body))
	return must(out, w.Close()).String()
}

func must[T any](result T, err error) T {
	if err != nil {
		panic(err)
	}
	return result
}

func unbase64(text string) string { return string(must(base64.StdEncoding.DecodeString(text))) }

func encoded(encoding string) string { return "Content-Encoding: " + encoding }

// wide is a call of some size that does not compress to nothing.
func wide(size int) string {
	var text strings.Builder
	for i := 0; text.Len() < size; i++ {
		fmt.Fprintf(&text, "%x ", i*i*7919)
	}
	return strings.Replace(call, "{", `{"x":"`+text.String()+`",`, 1)
}

func TestEveryEncodingRoundTrips(t *testing.T) {
	s := start(t, testConfig())
	for encoding, pack := range packers {
		for _, body := range []string{call, wide(100 << 10), wide(400 << 10), call + strings.Repeat(" ", keptBytes), call + strings.Repeat(" ", 3<<20)} {
			packed := pack(body)
			for _, chunked := range []bool{false, true} {
				s.mustKeep(t, fmt.Sprintf("%s, %d bytes, chunked %v", encoding, len(body), chunked), packed, strings.TrimRight(body, " "), chunked, encoding)
			}
		}
	}
	if taken := s.server.budget.taken.Load(); taken != 0 {
		t.Errorf("%d bytes are not given back", taken)
	}
}

func (s *stand) mustKeep(t *testing.T, name, body, want string, chunked bool, encoding string) {
	t.Helper()
	s.entries, s.seen = nil, nil
	got := s.postAs(t, body, chunked, encoded(encoding))
	if got.StatusCode != 200 || len(s.entries) != 1 || string(s.entries[0].JSON) != want {
		t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
	}
}

func TestWhatTheFormatsAllow(t *testing.T) {
	s := start(t, testConfig())
	zstds := packers["zstd"]
	for name, c := range map[string]struct{ encoding, body string }{
		"deflate without its frame":         {"deflate", rawDeflated(call)},
		"deflate, stored, without it":       {"deflate", "\x01\x43\x00\xbc\xff" + call},
		"deflate by zlib":                   {"deflate", unbase64("eJyrViqpLEhVslJKzMlMLFbSUcpNLS5OTE/1TFGyUso1VNJRKi1OLQLz8lLLlXSUCopSyzLzS4vBQvk5KUq1AN4KFaA=")},
		"deflate without its frame by zlib": {"deflate", unbase64("q1YqqSxIVbJSSszJTCxW0lHKTS0uTkxP9UxRslLKNVTSUSotTi0C8/JSy5V0lAqKUssy80uLwUL5OSlKtQA=")},
		"gzip by zlib":                      {"gzip", unbase64("H4sIAAAAAAAAA6tWKqksSFWyUkrMyUwsVtJRyk0tLk5MT/VMUbJSyjVU0lEqLU4tAvPyUsuVdJQKilLLMvNLi8FC+TkpSrUA6Ti86kMAAAA=")},
		"members of gzip":                   {"gzip", zipped(call[:9]) + zipped("") + zipped(call[9:])},
		"gzip of nothing, then of a call":   {"gzip", zipped("") + zipped(call)},
		"gzip, filled up":                   {"gzip", zipped(call) + strings.Repeat("\x00", 700)},
		"gzip with a name":                  {"gzip", "\x1f\x8b\x08\x08" + zipped(call)[4:10] + "calls\x00" + zipped(call)[10:]},
		"frames of zstd":                    {"zstd", zstds(call[:9]) + zstds(call[9:])},
		"zstd with a frame to skip":         {"zstd", "\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zstds(call)},
		"zstd of unknown size":              {"zstd", zstdStream(1<<10, call)},
		"zstd with the largest window":      {"zstd", zstdStream(8<<20, call)},
		"zstd by the reference":             {"zstd", unbase64("KLUv/SRD5QEAkkMMEaDtfG7D8cqxZcAxQ0aAqiwE0+Sodcq8s2U1fGJfZzVADibiZeweWb3DnOHgr9gsAwIANkU5rvkEfGC/Mg==")},
		"zstd without a sum":                {"zstd", unbase64("KLUv/QBYGQIAeyJ0eXBlIjoiYWxpYXMiLCJtZXNzYWdlSWQiOiJtMSIsInVzZXJJZCI6Im5ldyIsInByZXZpb3VzSWQiOiJvbGQifQ==")},
		"br in parts":                       {"br", brotliStream(22, call[:9], call[9:])},
		"br with the smallest window":       {"br", brotliStream(10, call)},
		"br with the largest window":        {"br", brotliStream(24, call)},
		"br by the reference":               {"br", unbase64("H0IAwBwJdkzHKpIDjxCB7cgfbIIT3N2CoIIgKFl0+oINHHLgcLALNg8A2uqH5hPid/2kZl34kS0rUIHa4+EGkdMG")},
		"br, stored":                        {"br", unbase64("AyGAeyJ0eXBlIjoiYWxpYXMiLCJtZXNzYWdlSWQiOiJtMSIsInVzZXJJZCI6Im5ldyIsInByZXZpb3VzSWQiOiJvbGQifQM=")},
	} {
		s.mustKeep(t, name, c.body, call, false, c.encoding)
	}
}

func TestSpellingsOfContentEncoding(t *testing.T) {
	s := start(t, testConfig())
	packed := zipped(call)
	for name, c := range map[string]struct{ headers, body, code string }{
		"capitals":         {encoded("GZip"), packed, ""},
		"old":              {encoded("X-GZIP"), packed, ""},
		"spaces":           {encoded(" \tgzip \t "), packed, ""},
		"any name":         {"CONTENT-encoding: gzip", packed, ""},
		"identity":         {encoded("IDENTITY"), call, ""},
		"empty":            {encoded(""), call, ""},
		"with identity":    {encoded("gzip, identity"), packed, ""},
		"after identity":   {encoded("identity ,gzip"), packed, ""},
		"commas":           {encoded(",gzip,,"), packed, ""},
		"in two headers":   {encoded("identity\r\n" + encoded("gzip")), packed, ""},
		"two":              {encoded("gzip, gzip"), zipped(packed), "unsupported_encoding"},
		"two, different":   {encoded("br,gzip"), packed, "unsupported_encoding"},
		"two headers":      {encoded("gzip\r\n" + encoded("br")), packed, "unsupported_encoding"},
		"unknown":          {encoded("compress"), packed, "unsupported_encoding"},
		"unknown, and one": {encoded("gzip, aes128gcm"), packed, "unsupported_encoding"},
		"with parameters":  {encoded("gzip;q=1.0"), packed, "unsupported_encoding"},
	} {
		got := s.raw(aliasWith(c.headers, c.body, true))
		if c.code == "" && !strings.HasPrefix(got, "HTTP/1.1 200") || c.code != "" && (!strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, `"`+c.code+`"`)) {
			t.Errorf("%s: %q", name, got)
		}
		if c.code != "" && !strings.Contains(got, "expected gzip, deflate, br or zstd") {
			t.Errorf("%s does not say what is taken: %q", name, got)
		}
	}
}

// aliasWith is a request with an alias.
func aliasWith(headers, body string, last bool) string {
	if last {
		headers += "\r\nConnection: close"
	}
	return fmt.Sprintf("POST /v1/alias HTTP/1.1\r\nHost: x\r\nX-Write-Key: %s\r\n%s\r\nContent-Length: %d\r\n\r\n%s", testKey, headers, len(body), body)
}

// broken are bodies that are not what they say, or not all or not only that.
func broken() map[string]struct{ encoding, body string } {
	cases := map[string]struct{ encoding, body string }{
		"zlib with a dictionary":   {"deflate", "\x78\xbb\x00\x00\x00\x01" + rawDeflated(call)},
		"zlib with a bad sum":      {"deflate", packers["deflate"](call)[:len(packers["deflate"](call))-1] + "\xff"},
		"raw deflate and more":     {"deflate", rawDeflated(call) + "x"},
		"gzip with a bad size":     {"gzip", zipped(call)[:len(zipped(call))-1] + "\xff"},
		"gzip, zeros and more":     {"gzip", zipped(call) + "\x00\x00x"},
		"gzip, then half a name":   {"gzip", zipped(call) + "\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xffcal"},
		"zstd with a large window": {"zstd", "\x28\xb5\x2f\xfd\x00\x88\x02\x00\x10x"},
		"zstd with a dictionary":   {"zstd", "\x28\xb5\x2f\xfd\x01\x58\x07\x19\x02\x00" + call},
		"br with a larger window":  {"br", unbase64("EVwIAQBzJNgxHatIDjxCBLYjf7AJTnB3C4IKgqBk0ekLNnDIgcPBLtg8AGirHzQ+QvhdP6lZF35kywpUoPZ4uEHktAE=")},
	}
	for encoding, pack := range packers {
		packed := pack(call)
		cases[encoding+" that is text"] = struct{ encoding, body string }{encoding, "x" + call}
		cases[encoding+" that is half of a call"] = struct{ encoding, body string }{encoding, call[:len(call)-2]}
		cases[encoding+" and more"] = struct{ encoding, body string }{encoding, packed + "x"}
		cases[encoding+" and much more"] = struct{ encoding, body string }{encoding, packed + strings.Repeat("x", 100<<10)}
		cases[encoding+" and a line"] = struct{ encoding, body string }{encoding, packed + "\r\n"}
		for other, pack := range packers {
			if strings.TrimPrefix(other, "x-") != strings.TrimPrefix(encoding, "x-") {
				cases[encoding+" that is "+other] = struct{ encoding, body string }{encoding, pack(call)}
			}
		}
	}
	return cases
}

func TestBodiesThatAreNotWhatTheEncodingSays(t *testing.T) {
	s := start(t, testConfig())
	for name, c := range broken() {
		got := s.post(t, "/v1/alias", c.body, encoded(c.encoding))
		if got.StatusCode != 400 || got.code(t) != "invalid_encoding" {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
	if len(s.entries) > 0 {
		t.Errorf("kept %+v", s.entries)
	}
}

func TestABodyIsTakenForWhatItIs(t *testing.T) {
	s := start(t, testConfig())
	large := wide(200 << 10)
	for name, c := range map[string]struct{ headers, body string }{
		"gzip without its header":      {"", zipped(call)},
		"gzip said to be text":         {"Content-Type: text/plain", zipped(call)},
		"gzip said to be as it is":     {encoded("identity"), zipped(call)},
		"zstd without its header":      {"", packers["zstd"](call)},
		"JSON said to be gzip":         {encoded("gzip"), call},
		"JSON said to be x-gzip":       {encoded("x-gzip"), " \r\n" + call + "\n"},
		"JSON said to be deflate":      {encoded("deflate"), call},
		"JSON said to be br":           {encoded("br"), call},
		"JSON said to be zstd":         {encoded("zstd"), "\xef\xbb\xbf" + call},
		"much gzip without its header": {"", zipped(large)},
		"much JSON said to be gzip":    {encoded("gzip"), large},
	} {
		s.entries, s.seen = nil, nil
		headers := c.headers
		if headers == "" {
			headers = "X-Nothing: here"
		}
		if got := s.raw(aliasWith(headers, c.body, true)); !strings.HasPrefix(got, "HTTP/1.1 200") || len(s.entries) != 1 || s.entries[0].MessageID != "m1" {
			t.Errorf("%s: %q", name, got)
		}
	}
	// It is held to the limits as what has its header.
	if got := s.post(t, "/v1/alias", zipped(strings.Repeat(" ", 17<<20))); got.code(t) != "body_too_large" {
		t.Errorf("%s", got.body)
	}
	if got := s.post(t, "/v1/alias", zipped(call)[:50]); got.code(t) != "invalid_encoding" {
		t.Errorf("%s", got.body)
	}
	if taken := s.server.budget.taken.Load(); taken != 0 {
		t.Errorf("%d bytes are not given back", taken)
	}
}

func TestABodyCutShortAnywhereIsRefused(t *testing.T) {
	s := start(t, testConfig())
	whole := map[string]string{"without its frame": rawDeflated(call), "in parts": brotliStream(22, call[:9], call[9:]), "streamed": zstdStream(1<<10, call)}
	encodings := map[string]string{"without its frame": "deflate", "in parts": "br", "streamed": "zstd"}
	for encoding, pack := range packers {
		whole[encoding], encodings[encoding] = pack(call), encoding
	}
	for name, body := range whole {
		for size := 1; size < len(body); size++ {
			for _, chunked := range []bool{false, true} {
				got := s.postAs(t, body[:size], chunked, encoded(encodings[name]))
				if got.StatusCode != 400 || got.code(t) != "invalid_encoding" {
					t.Errorf("%s, %d of %d bytes: %d %s", name, size, len(body), got.StatusCode, got.body)
				}
			}
		}
	}
	if len(s.entries) > 0 {
		t.Errorf("kept %+v", s.entries)
	}
}

func TestABodyOfNothingIsAsEmptyAsAPlainOne(t *testing.T) {
	s := start(t, testConfig())
	want := s.post(t, "/v1/alias", "")
	for encoding, pack := range packers {
		for _, body := range []string{"", pack("")} {
			for _, chunked := range []bool{false, true} {
				got := s.postAs(t, body, chunked, encoded(encoding))
				if got.StatusCode != 400 || got.code(t) != want.code(t) {
					t.Errorf("%s of %d bytes, chunked %v: %d %s", encoding, len(body), chunked, got.StatusCode, got.body)
				}
			}
		}
	}
}

func TestTheConnectionIsGoodAfterABadBody(t *testing.T) {
	s := start(t, testConfig())
	for name, c := range broken() {
		got := s.raw(aliasWith(encoded(c.encoding), c.body, false) + aliasWith(encoded("br"), packers["br"](call), true))
		if strings.Count(got, "HTTP/1.1 ") != 2 || !strings.Contains(got, "HTTP/1.1 400") || !strings.HasSuffix(got, `{"success":true}`) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// reading reads bodies as requests have them.
type reading struct {
	limits  Limits
	windows *windows
	budget  memoryBudget
	body    body
}

func newReading() *reading {
	r := &reading{limits: DefaultConfig.Limits}
	r.windows = newWindows(&r.limits)
	r.budget.reset(&r.limits)
	return r
}

// read returns what came out, good until the next read, and how much of the budget it took.
func (r *reading) read(encoding string, sent []byte) (content []byte, refused *refusal, taken int64) {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.Set(fasthttp.HeaderContentEncoding, encoding)
	ctx.Request.SetBodyStream(bytes.NewReader(sent), len(sent))
	held := reservation{budget: &r.budget}
	defer held.giveBack()
	content, refused = r.body.read(&ctx, &r.limits, r.windows, &held)
	r.body.decoder.release()
	return content, refused, held.taken
}

func TestABombTakesLittle(t *testing.T) {
	spaces := strings.Repeat(" ", 18<<20)
	for encoding, pack := range packers {
		bomb := []byte(pack(spaces))
		r := newReading()
		before := allocated()
		_, refused, taken := r.read(encoding, bomb)
		if refused != refusedTooLarge {
			t.Errorf("%s: %+v", encoding, refused)
		}
		if taken > int64(len(bomb))+keptBytes {
			t.Errorf("%s: %d bytes of the budget for %d bytes", encoding, taken, len(bomb))
		}
		if more := allocated() - before; more > 32<<20 {
			t.Errorf("%s: %d bytes for %d bytes", encoding, more, len(bomb))
		}
	}
}

// allocated is how many bytes ever were.
func allocated() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}

func TestWhatIsAnnouncedIsNoBombEither(t *testing.T) {
	for name, c := range map[string]struct {
		encoding, body string
		want           *refusal
	}{
		"a frame of a gigabyte":        {"zstd", "\x28\xb5\x2f\xfd\xa0\x00\x00\x00\x40\x21\x00\x00xxxx", refusedTooLarge},
		"a window of a gigabyte":       {"zstd", "\x28\xb5\x2f\xfd\x00\xa0\x20\x00\x00xxxx", refusedCompression},
		"a skipped frame of gigabytes": {"zstd", "\x50\x2a\x4d\x18\xff\xff\xff\xffx", refusedCompression},
	} {
		r := newReading()
		before := allocated()
		if _, refused, _ := r.read(c.encoding, []byte(c.body)); refused != c.want {
			t.Errorf("%s: %+v", name, refused)
		}
		if more := allocated() - before; more > 4<<20 {
			t.Errorf("%s: %d bytes", name, more)
		}
	}
}

// Some twenty bytes each, which make a decoder take 16 MiB.
var wideWindows = map[string]string{
	"br":   "\xcf\xff\xff\xff" + "0123456789abcdef",
	"zstd": "\x28\xb5\x2f\xfd\x00\x70\x80\x00\x00" + "0123456789abcdef",
}

func TestManyWideWindowsTakeFewAtOnce(t *testing.T) {
	const requests = 400
	for encoding, body := range wideWindows {
		s := start(t, testConfig())
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var sent sync.WaitGroup
		for range requests {
			sent.Go(func() {
				if got := s.raw(aliasWith(encoded(encoding), body, true)); !strings.Contains(got, `"invalid_encoding"`) {
					t.Errorf("%s: %q", encoding, got)
				}
			})
		}
		sent.Wait()
		runtime.ReadMemStats(&after)
		if after.TotalAlloc-before.TotalAlloc < 16<<20 {
			t.Errorf("%s: no window was taken", encoding)
		}
		if more := int64(after.HeapSys) - int64(before.HeapSys); more > requests*16<<20/8 {
			t.Errorf("%s: %d bytes more for %d requests", encoding, more, requests)
		}
	}
}

func TestADecoderForgetsABadBody(t *testing.T) {
	r := newReading()
	for name, c := range broken() {
		if _, refused, _ := r.read(c.encoding, []byte(c.body)); refused != refusedCompression {
			t.Errorf("%s: %+v", name, refused)
		}
		for encoding, pack := range packers {
			if content, refused, _ := r.read(encoding, []byte(pack(call))); refused != nil || string(content) != call {
				t.Errorf("%s after %s: %q, %+v", encoding, name, content, refused)
			}
		}
	}
}

func TestALargeBodyHoldsItsRoom(t *testing.T) {
	body := []byte(call + strings.Repeat(" ", 8<<20))
	for encoding, pack := range packers {
		sent := []byte(pack(string(body)))
		r := newReading()
		content, refused, taken := r.read(encoding, sent)
		if want := int64(len(sent)+len(body)) - r.budget.free; refused != nil || !bytes.Equal(content, body) || taken != want {
			t.Errorf("%s: %d bytes, %+v, %d of the budget and not %d", encoding, len(content), refused, taken, want)
		}
		r.budget.size = taken - 1
		if _, refused, _ := r.read(encoding, sent); refused != refusedOverloaded {
			t.Errorf("%s without room: %+v", encoding, refused)
		}
		r.budget.size = keptBytes / 2
		if _, refused, _ := r.read(encoding, sent); refused != refusedOverloaded {
			t.Errorf("%s with little room: %+v", encoding, refused)
		}
	}
}

// FuzzBody reads any bytes in any encoding: what comes out is bounded, what is refused is refused as documented, and the
// next body is none the worse.
func FuzzBody(f *testing.F) {
	next := map[string][]byte{}
	for encoding, pack := range packers {
		next[encoding] = []byte(pack(call))
		f.Add(encoding, next[encoding])
	}
	for _, c := range broken() {
		f.Add(c.encoding, []byte(c.body))
	}
	for encoding, body := range wideWindows {
		f.Add(encoding, []byte(body))
	}
	for _, window := range []int{10, 16, 24} {
		f.Add("br", []byte(brotliStream(window, wide(100), wide(9), wide(1000))))
	}
	r := newReading()
	r.limits.WireBytes, r.limits.DecompressedBytes = 64<<10, 256<<10
	refusals := []*refusal{nil, refusedTooLarge, refusedEncoding, refusedCompression}
	f.Fuzz(func(t *testing.T, encoding string, sent []byte) {
		content, refused, taken := r.read(encoding, sent)
		if !slices.Contains(refusals, refused) {
			t.Fatalf("%+v", refused)
		}
		if len(content) > r.limits.decompressed() || taken > int64(r.limits.wire()+r.limits.decompressed()) {
			t.Fatalf("%d bytes, %d of the budget", len(content), taken)
		}
		if want, err := plainly(encoding, sent); err == nil && refused == nil && !bytes.Equal(content, want) {
			t.Fatalf("%q, not %q", content, want)
		}
		if content, refused, _ := r.read(encoding, next[encoding]); next[encoding] != nil && (refused != nil || string(content) != call) {
			t.Fatalf("then %q, %+v", content, refused)
		}
	})
}

// plainly decompresses with the standard library, what it can.
func plainly(encoding string, sent []byte) ([]byte, error) {
	var from io.Reader
	var err error
	switch {
	case len(sent) == 0:
		return nil, nil
	case encoding == "gzip":
		from, err = gzip.NewReader(bytes.NewReader(sent))
	case encoding == "deflate" && startsZlib(sent):
		from, err = zlib.NewReader(bytes.NewReader(sent))
	case encoding == "deflate":
		from = flate.NewReader(bytes.NewReader(sent))
	default:
		return nil, errors.ErrUnsupported
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(from, 1<<20))
}

func BenchmarkEncodings(b *testing.B) {
	batch := []byte(`{"batch":[` + strings.Repeat(wide(300)+",", 99) + wide(300) + `]}`)
	for _, encoding := range []string{"identity", "gzip", "deflate", "br", "zstd"} {
		b.Run(encoding, func(b *testing.B) {
			sent := batch
			if pack := packers[encoding]; pack != nil {
				sent = []byte(pack(string(batch)))
			}
			r := newReading()
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, refused, _ := r.read(encoding, sent); refused != nil {
					b.Fatal(refused.code)
				}
			}
		})
	}
}
