package ingress

import (
	"io"
	"io/fs"
	"mime"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/valyala/fasthttp"
)

const cacheStatic = "public, max-age=300"

// contentTypes are those of what SDKs for browsers are made of. Others are as the system has them.
var contentTypes = map[string]string{
	".js":   "text/javascript; charset=utf-8",
	".mjs":  "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".json": "application/json",
	".map":  "application/json",
	".gif":  "image/gif",
	".svg":  "image/svg+xml",
}

// keyedPath is that of the script which a page loads by its write key: Segment's snippet, and Customer.io's.
var keyedPath = regexp.MustCompile(`^((?:.+/)?analytics(?:\.js/v1|-js/snippet)/)[^/]+/(.+)$`)

// static answers with a file of the folder, or else as if there were no folder. It does without the library's file server,
// which says what is wrong in plain text, redirects, and keeps files open.
func (s *Server) static(ctx *fasthttp.RequestCtx) {
	name := strings.TrimPrefix(string(ctx.Path()), "/")
	file, about := openStatic(s.staticDir, name)
	if part := keyedPath.FindStringSubmatch(name); file == nil && part != nil {
		// One file serves all sources.
		file, about = openStatic(s.staticDir, part[1]+part[2])
	}
	if file == nil {
		refuse(ctx, refusedNotFound)
		return
	}
	cacheFor(ctx, cacheStatic)
	embeddable(ctx)
	ctx.Response.Header.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
	ctx.Response.Header.SetLastModified(about.ModTime())
	if !ctx.IfModifiedSince(about.ModTime()) {
		file.Close()
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	ctx.SetContentType(contentTypeOf(name))
	// It is closed after the answer.
	ctx.SetBodyStream(fileBody{io.LimitReader(file, about.Size()), file}, int(about.Size()))
}

// fileBody is a file as it was long when it was opened: what is written to it later would be read as the next answer.
type fileBody struct {
	io.Reader
	io.Closer
}

// openStatic opens a regular file of the folder; nil when there is none of that name. The folder may be another one every
// time. Nothing outside of it is opened, whatever links it holds, and nothing whose name begins with a dot.
func openStatic(dir, name string) (*os.File, fs.FileInfo) {
	if !isStaticName(name) {
		return nil, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil
	}
	defer root.Close()
	// Opening a pipe would wait for its other end.
	if about, err := root.Stat(name); err != nil || !about.Mode().IsRegular() {
		return nil, nil
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, nil
	}
	about, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, nil
	}
	return file, about
}

func isStaticName(name string) bool {
	return fs.ValidPath(name) && !strings.HasPrefix(name, ".") && !strings.Contains(name, "/.") && !strings.ContainsAny(name, "\\\x00")
}

func contentTypeOf(name string) string {
	extension := strings.ToLower(path.Ext(name))
	if known := contentTypes[extension]; known != "" {
		return known
	}
	if known := mime.TypeByExtension(extension); known != "" {
		return known
	}
	return "application/octet-stream"
}
