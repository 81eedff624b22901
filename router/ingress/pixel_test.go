package ingress

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image/gif"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"aka/router/segment"
)

// isPixel reports whether the answer is what every pixel gets.
func (a answer) isPixel() bool {
	h := a.Header
	return a.StatusCode == 200 && bytes.Equal(a.body, transparent) && a.ContentLength == 43 && h.Get("Content-Type") == "image/gif" && h.Get("Cache-Control") == "no-store"
}

func TestPagesThatIsolateThemselvesMayLoadImagesAndScripts(t *testing.T) {
	config := testConfig()
	config.StaticDir = t.TempDir()
	if err := os.WriteFile(filepath.Join(config.StaticDir, "a.js"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, config)
	for _, path := range []string{"/v1/pixel/track?writeKey=wrong", "/pixel/v1/page", "/a.js"} {
		if got := s.send(t, "GET", path, ""); got.StatusCode != 200 || got.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
			t.Errorf("%s: %d %v", path, got.StatusCode, got.Header)
		}
	}
}

func TestThePixelIsATransparentImage(t *testing.T) {
	image, err := gif.Decode(bytes.NewReader(transparent))
	if err != nil || image.Bounds().Dx() != 1 || image.Bounds().Dy() != 1 || len(transparent) != 43 {
		t.Fatalf("%v, %d bytes (%v)", image, len(transparent), err)
	}
	if _, _, _, alpha := image.At(0, 0).RGBA(); alpha != 0 {
		t.Errorf("alpha %d", alpha)
	}
}

func TestEveryPixelPath(t *testing.T) {
	s := start(t, testConfig())
	paths := map[string]segment.Type{"/pixel/v1/track": segment.Track, "/pixel/v1/page/": segment.Page}
	for _, kind := range segment.Types {
		for _, base := range []string{"/v1/pixel/", "/pixel/", "/cio/v1/pixel/"} {
			paths[base+kind.String()] = kind
		}
	}
	for path, kind := range paths {
		s.entries = nil
		got := s.send(t, "GET", path+"?userId=u&previousId=p&event=e&writeKey="+testKey, "")
		if !got.isPixel() || len(s.entries) != 1 || s.entries[0].Type != kind || s.entries[0].UserID != "u" || s.entries[0].Source != "website" {
			t.Errorf("%s: %d %q %v %+v", path, got.StatusCode, got.body, got.Header, s.entries)
		}
		if e, _ := endpointAt([]byte(path)); !e.device {
			t.Errorf("%s is not a device's", path)
		}
	}
	for _, path := range []string{"/pixel/v1/identify", "/v1/pixel", "/v1/pixel/Track"} {
		if got := s.send(t, "GET", path, ""); got.StatusCode != 404 || got.code(t) != "not_found" {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
	if got := s.post(t, "/v1/pixel/track", call); got.StatusCode != 405 || got.code(t) != "method_not_allowed" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestAPixelsDataIsACallInBase64(t *testing.T) {
	// What its base64 needs both characters for that differ between the alphabets, and padding.
	const call = `{"writeKey":"` + testKey + `","userId":"u>?","event":"e","properties":{"subject":"???>>>üx"}}`
	encoded := base64.StdEncoding.EncodeToString([]byte(call))
	if !strings.Contains(encoded, "+") || !strings.Contains(encoded, "/") || !strings.HasSuffix(encoded, "=") {
		t.Fatal(encoded)
	}
	s := start(t, testConfig())
	for name, query := range map[string]string{
		"standard":          "data=" + url.QueryEscape(encoded),
		"not escaped":       "data=" + encoded,
		"no padding":        "data=" + strings.TrimRight(encoded, "="),
		"for URLs":          "data=" + base64.URLEncoding.EncodeToString([]byte(call)),
		"for URLs, unpaded": "data=" + base64.RawURLEncoding.EncodeToString([]byte(call)),
		"broken into lines": "data=" + url.QueryEscape(encoded[:40]+"\r\n"+encoded[40:]),
		"plain":             "data=" + url.QueryEscape(call),
		"more beside it":    "utm=x&userId=other&data=" + encoded,
	} {
		s.entries = nil
		got := s.send(t, "GET", "/v1/pixel/track?"+query, "")
		if !got.isPixel() || len(s.entries) != 1 {
			t.Errorf("%s: %d %d calls", name, got.StatusCode, len(s.entries))
			continue
		}
		decoded, err := s.entries[0].Decode()
		if err != nil || decoded.UserID != "u>?" || decoded.Properties["subject"] != "???>>>üx" {
			t.Errorf("%s: %+v (%v)", name, decoded, err)
		}
	}
}

func TestAPixelsFieldsAreNestedByTheirDots(t *testing.T) {
	s := start(t, testConfig())
	query := "writeKey=" + testKey + "&userId=u&event=Email+Opened&messageId=m1&properties.plan=pro&properties.price=9.90&properties.a.b=%22%5C%0A%C3%BC" +
		"&context.ip=192.0.2.1&context.page.title=x&context.page.title=y&properties.late=1&properties.late.r=2&properties.early.r=1&properties.early=2"
	if got := s.send(t, "GET", "/v1/pixel/track?"+query, ""); !got.isPixel() || len(s.entries) != 1 {
		t.Fatalf("%d, %d calls", got.StatusCode, len(s.entries))
	}
	decoded, err := s.entries[0].Decode()
	if err != nil {
		t.Fatal(err)
	}
	properties := map[string]any{
		"plan": "pro", "price": "9.90", "a": map[string]any{"b": "\"\\\nü"}, "late": map[string]any{"r": "2"}, "early": "2",
	}
	context := map[string]any{"ip": "192.0.2.1", "page": map[string]any{"title": "y"}}
	if decoded.Event != "Email Opened" || !reflect.DeepEqual(decoded.Properties, properties) || !reflect.DeepEqual(decoded.Context(), context) {
		t.Errorf("%+v", decoded)
	}
	if bytes.Contains(s.entries[0].JSON, []byte(testKey)) {
		t.Errorf("%s", s.entries[0].JSON)
	}
}

func TestAPixelIsAnsweredWithItsImageWhateverIsRefused(t *testing.T) {
	good := "userId=u&event=e&writeKey=" + testKey
	depth := strings.Repeat("a.", DefaultConfig.Limits.Depth)
	fields := strings.Repeat("&x=y", maxQueryFields)
	for name, c := range map[string]struct{ query, source, code string }{
		"no query":             {"", "", "missing_write_key"},
		"an unknown key":       {"userId=u&event=e&writeKey=wrong", "", "unknown_write_key"},
		"an unknown key in it": {"data=" + url.QueryEscape(`{"writeKey":"wrong"}`), "", "unknown_write_key"},
		"no base64":            {"data=%21&writeKey=" + testKey, "website", "invalid_pixel"},
		"padding in it":        {"data=e30=e30=&writeKey=" + testKey, "website", "invalid_pixel"},
		"not UTF-8":            {"data=%ff%ff&writeKey=" + testKey, "website", "invalid_pixel"},
		"no JSON":              {"data=AAAA&writeKey=" + testKey, "website", "invalid_json"},
		"no call":              {"data=W10&writeKey=" + testKey, "website", "invalid_call"},
		"no event":             {"userId=u&writeKey=" + testKey, "website", "missing_event"},
		"an id not UTF-8":      {"event=e&userId=%ff&writeKey=" + testKey, "website", "invalid_user_id"},
		"too deep":             {"properties." + depth + "x=y&" + good, "website", "invalid_pixel"},
		"dots only":            {strings.Repeat(".", 2000) + "=y&" + good, "website", "invalid_pixel"},
		"too many fields":      {good + fields, "website", "invalid_pixel"},
		"another origin":       {strings.Replace(good, testKey, "pages-key", 1), "pages", "origin_not_allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, testConfig())
			got := s.send(t, "GET", "/v1/pixel/track?"+c.query, "", "Origin: https://a.example")
			if !got.isPixel() || len(s.entries) > 0 || got.Header.Get("Access-Control-Allow-Origin") != "https://a.example" {
				t.Errorf("%d %q %v, %d calls", got.StatusCode, got.body, got.Header, len(s.entries))
			}
			s.wantCount(t, 1, "calls_rejected_total", "code="+c.code, "source="+c.source)
		})
	}
}

func TestAPixelThatTheJournalDoesNotTakeIsCounted(t *testing.T) {
	s := start(t, testConfig())
	s.err = errors.New("disk")
	if got := s.send(t, "GET", "/v1/pixel/track?userId=u&event=e&writeKey="+testKey, ""); !got.isPixel() {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
	s.wantCount(t, 1, "calls_rejected_total", "code=unavailable", "source=website")
	s.wantCount(t, 0, "calls_received_total", "source=website", "type=track")
}

func TestAskingForAPixelsHeadersRecordsNothing(t *testing.T) {
	s := start(t, testConfig())
	got := s.send(t, "HEAD", "/v1/pixel/track?userId=u&event=e&writeKey="+testKey, "")
	if got.StatusCode != 200 || got.ContentLength != 43 || len(got.body) > 0 || got.Header.Get("Content-Type") != "image/gif" || len(s.entries) > 0 {
		t.Errorf("%d %v, %d calls", got.StatusCode, got.Header, len(s.entries))
	}
}

func TestAPixelSaysNothingThatTheCallDoesNot(t *testing.T) {
	s := start(t, testConfig())
	s.send(t, "GET", "/pixel/v1/page?anonymousId=a&context.locale=en&writeKey="+testKey, "", "User-Agent: Mozilla/5.0", "Referer: https://mail.example/")
	if len(s.entries) != 1 {
		t.Fatalf("%d calls", len(s.entries))
	}
	if decoded, err := s.entries[0].Decode(); err != nil || !reflect.DeepEqual(decoded.Context(), map[string]any{"locale": "en"}) {
		t.Errorf("%+v (%v)", decoded, err)
	}
}

// FuzzCallInQuery checks that fields of any kind become a JSON object that holds each of them as text.
func FuzzCallInQuery(f *testing.F) {
	for _, seed := range []string{"", "a=b&a.b=c", "a.b=c&a=b", ".=&..=x&=y", "a%22%5c%00%ff=%22%5c%1f%ff", "writeKey=k&writeKey.x=y", "data=e30", "data=%7b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		var args fasthttp.Args
		args.Parse(query)
		content, refused := callInQuery(&args, 64)
		if refused != nil || args.Has("data") {
			return
		}
		var call map[string]any
		if err := json.Unmarshal(content, &call); err != nil {
			t.Fatalf("%q: %q: %v", query, content, err)
		}
		if _, isText := call[queryWriteKey].(string); isText {
			t.Errorf("%q: %q", query, content)
		}
		for name := range args.All() {
			first, _, _ := strings.Cut(string(name), ".")
			if _, there := call[first]; !there && utf8.Valid(name) && first != queryWriteKey {
				t.Errorf("%q: no %q in %q", query, first, content)
			}
		}
	})
}
