package admin

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// pageFiles are the page for people: plain files, shown as they are. They ask for nothing but this server's own routes.
//
//go:embed page
var pageFiles embed.FS

// pagePolicy lets the page use its own files and routes, and nothing else: no script or style that stands in the page itself,
// and nothing of another site.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// showIndex shows the page to a browser, and the list of paths to any other client.
func showIndex(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Accept"), "text/html") && r.URL.Query().Get("format") != "text" {
		showPageFile(w, "index.html")
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(index))
}

// showFile shows one of the page's files.
func showFile(w http.ResponseWriter, r *http.Request) { showPageFile(w, r.PathValue("file")) }

func showPageFile(w http.ResponseWriter, name string) {
	content, err := fs.ReadFile(pageFiles, "page/"+name)
	if err != nil {
		notFound(w, nil)
		return
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Content-Type", contentType(name))
	_, _ = w.Write(content)
}

// contentType knows the page's own kinds, whatever the machine's tables say.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}
