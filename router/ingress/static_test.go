package ingress

import (
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startStatic serves a folder with the files, by name; the folder beside it holds what no request may read.
func startStatic(t *testing.T, files ...string) (s *stand, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "static")
	for _, name := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	config := testConfig()
	config.StaticDir = dir
	return start(t, config), dir
}

func TestFilesAreServedWithTheirType(t *testing.T) {
	types := map[string]string{
		"p.js": "text/javascript; charset=utf-8", "a.mjs": "text/javascript; charset=utf-8", "a.css": "text/css; charset=utf-8",
		"analytics-next/bundles/870.bundle.abc.js": "text/javascript; charset=utf-8", "a.js.map": "application/json", "a.json": "application/json",
		"a.gif": "image/gif", "a.svg": "image/svg+xml", "A.HTML": "text/html; charset=utf-8", "a b+ü.js": "text/javascript; charset=utf-8",
		"a.nothing-known": "application/octet-stream", "LICENSE": "application/octet-stream",
	}
	var names []string
	for name := range types {
		names = append(names, name)
	}
	s, _ := startStatic(t, names...)
	for name, kind := range types {
		for _, path := range []string{"/" + name, "//" + name + "?v=1", "/x/../" + name} {
			path = strings.ReplaceAll(path, " ", "%20")
			got := s.send(t, "GET", path, "", "Origin: https://a.example")
			h := got.Header
			if got.StatusCode != 200 || string(got.body) != "content of "+name || h.Get("Content-Type") != kind || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %d %q %v", path, got.StatusCode, got.body, h)
			}
			if h.Get("Cache-Control") != "public, max-age=300" || h.Get("Vary") != "Origin" || h.Get("Access-Control-Allow-Origin") != "https://a.example" {
				t.Errorf("%s: %v", path, h)
			}
		}
	}
	got := s.send(t, "HEAD", "/p.js", "")
	if got.StatusCode != 200 || got.ContentLength != int64(len("content of p.js")) || len(got.body) > 0 || got.Header.Get("Vary") != "Origin" {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
	// The connection is good for another request after a file.
	if got := s.post(t, "/v1/alias", call); got.StatusCode != 200 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestAFileThatHasNotChangedIs304(t *testing.T) {
	s, dir := startStatic(t, "p.js")
	changed := time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
	if err := os.Chtimes(filepath.Join(dir, "p.js"), changed, changed); err != nil {
		t.Fatal(err)
	}
	const modified = "Fri, 02 Jan 2026 03:04:05 GMT"
	for since, status := range map[string]int{
		modified: 304, "Fri, 02 Jan 2026 03:04:06 GMT": 304, "Fri, 02 Jan 2026 03:04:04 GMT": 200, "yesterday": 200,
	} {
		got := s.send(t, "GET", "/p.js", "", "If-Modified-Since: "+since, "Origin: https://a.example")
		h := got.Header
		if got.StatusCode != status || (status == 304) != (len(got.body) == 0) || h.Get("Last-Modified") != modified {
			t.Errorf("%s: %d %q %v", since, got.StatusCode, got.body, h)
		}
		if h.Get("Cache-Control") != "public, max-age=300" || h.Get("Vary") != "Origin" || h.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("%s: %v", since, h)
		}
	}
	s.wantCount(t, 2, "requests_total", "status=304")
}

func TestOneScriptServesAllWriteKeys(t *testing.T) {
	const (
		shared = "analytics.js/v1/analytics.min.js"
		own    = "analytics.js/v1/k1/analytics.min.js"
		cio    = "cio/v1/analytics-js/snippet/analytics.min.js"
	)
	s, _ := startStatic(t, shared, own, cio)
	for path, want := range map[string]string{
		"/analytics.js/v1/any/analytics.min.js":               shared,
		"/analytics.js/v1/k1/analytics.min.js":                own,
		"/analytics.js/v1/analytics.min.js":                   shared,
		"/cio/v1/analytics-js/snippet/any/analytics.min.js":   cio,
		"/analytics.js/v1/any/../../v1/any/analytics.min.js/": "",
		"/analytics.js/v1/a/b/analytics.min.js":               "",
		"/analytics.js/v2/any/analytics.min.js":               "",
		"/cio/analytics.js/v1/any/analytics.min.js":           "",
	} {
		got := s.send(t, "GET", path, "")
		if want == "" && (got.StatusCode != 404 || got.code(t) != "not_found") || want != "" && string(got.body) != "content of "+want {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
}

func TestNothingButTheFoldersFilesIsServed(t *testing.T) {
	s, dir := startStatic(t, "p.js", "sub/p.js", ".env", ".git/config", "sub/.env", "../secret.js", "../static-too/secret.js", `..\secret.js`)
	outside := filepath.Join(filepath.Dir(dir), "secret.js")
	for name, target := range map[string]string{
		"absolute.js": outside, "relative.js": "../secret.js", "up": "..", "inside.js": "sub/p.js", "loop.js": "loop.js", "nowhere.js": "x.js",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.js"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/sub", "/sub/", "/p.js/", "/P.js", "/x.js", "/sub/x.js", "/p.js/x", "/pipe.js",
		"/.env", "/sub/.env", "/.git/config", "/%2eenv", "/sub/%2eenv", "/...",
		"/../secret.js", "/%2e%2e/secret.js", "/%2E%2E%2Fsecret.js", "/..%2fsecret.js", "/sub/../../secret.js", "/sub/%2e%2e/%2e%2e/secret.js",
		"/..%5csecret.js", `/..\secret.js`, `/sub\p.js`, "/sub%5cp.js", "/..%252fsecret.js", "/%252e%252e/secret.js", "/....//secret.js", "/..;/secret.js",
		"/../static-too/secret.js", "/static-too/secret.js", outside, "/" + outside, "/%2f" + outside, "/C:/secret.js", "/file:" + outside,
		"/p.js%00", "/%00", "/p.js%00.html", "/..%00/secret.js", "/%ff%fe",
		"/absolute.js", "/relative.js", "/up/secret.js", "/up/static/p.js", "/loop.js", "/nowhere.js",
		"/" + strings.Repeat("a/", 1000), "/" + strings.Repeat("a", 3000),
		"/analytics.js/v1/../../../secret.js", "/analytics.js/v1/%2e%2e/%2e%2e/../secret.js",
	} {
		got := s.raw("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 404 ") || !strings.Contains(got, `"code":"not_found"`) || strings.Contains(got, "content of") {
			t.Errorf("%.80s: %s", path, got)
		}
	}
	for _, path := range []string{"/p.js", "/sub/p.js", "/inside.js"} {
		if got := s.send(t, "GET", path, ""); got.StatusCode != 200 {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
}

func TestTheAPIsPathsComeBeforeFiles(t *testing.T) {
	s, _ := startStatic(t, "health", "v1/track", "track", "projects/wrong/settings", "sourceConfig", "v1/pixel/track", "v1/other", "m")
	for path, status := range map[string]int{
		"/health": 200, "/v1/track": 405, "/track": 405, "/m": 405, "/projects/wrong/settings": 404, "/sourceConfig": 401, "/v1/pixel/track": 200, "/v1/other": 200,
	} {
		got := s.send(t, "GET", path, "")
		if got.StatusCode != status || strings.Contains(string(got.body), "content of") != (path == "/v1/other") {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		if got := s.send(t, method, "/v1/other", ""); got.StatusCode != 404 || got.code(t) != "not_found" {
			t.Errorf("%s: %d %s", method, got.StatusCode, got.body)
		}
	}
}

func TestAFolderMayBeReplacedWhileItIsServed(t *testing.T) {
	s, dir := startStatic(t, "p.js")
	if err := os.Rename(dir, dir+"-old"); err != nil {
		t.Fatal(err)
	}
	if got := s.send(t, "GET", "/p.js", ""); got.StatusCode != 404 || got.code(t) != "not_found" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if err := os.Rename(dir+"-old", dir); err != nil {
		t.Fatal(err)
	}
	if got := s.send(t, "GET", "/p.js", ""); got.StatusCode != 200 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestAFileThatGrowsWhileItIsSentIsNotTheNextAnswer(t *testing.T) {
	s, dir := startStatic(t, "large.js")
	const size = 8 << 20 // more than lies between client and server
	path := filepath.Join(dir, "large.js")
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	conn := s.connect(t)
	conn.say("GET /large.js HTTP/1.1\r\nHost: x\r\n\r\n")
	response, err := http.ReadResponse(conn.answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 2*size); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, response.Body); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	conn.say("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	conn.hear("200")
}

func TestFilesAreClosedAfterTheAnswer(t *testing.T) {
	open := func() int {
		entries, err := fs.ReadDir(os.DirFS("/proc/self"), "fd")
		if err != nil {
			t.Skip("no /proc")
		}
		return len(entries)
	}
	s, _ := startStatic(t, "p.js")
	s.send(t, "GET", "/p.js", "")
	before := open()
	for range 50 {
		s.send(t, "GET", "/p.js", "")
		s.send(t, "HEAD", "/p.js", "")
		s.send(t, "GET", "/p.js", "", "If-Modified-Since: "+time.Now().Add(time.Hour).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
		s.send(t, "GET", "/x.js", "")
	}
	if after := open(); after > before+10 {
		t.Errorf("%d files are open, %d were", after, before)
	}
}
