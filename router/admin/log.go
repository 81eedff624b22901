package admin

import (
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"go.uber.org/zap"

	"aka/router/logging"
	"aka/router/strictyaml"
)

// maxLevelTime is how long a level may be set for.
const maxLevelTime = 30 * 24 * time.Hour

var errFixedLevel = &problem{http.StatusNotFound, "not_found", "the level of this log cannot be changed while it runs"}

// levels shows and changes the least important line that is logged.
type levels struct{ log *logging.Control } // nil when that cannot be

func (h *levels) show(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	if h.log == nil {
		return nil, errFixedLevel
	}
	return h.log.State(), nil
}

// set answers as show does.
func (h *levels) set(r *http.Request) (any, error) {
	query, err := readQuery(r, "level", "for")
	if err != nil {
		return nil, err
	}
	if h.log == nil {
		return nil, errFixedLevel
	}
	if p := oneOf("level", query["level"], logging.Levels); p != nil {
		return nil, p
	}
	var lasting time.Duration
	if text, given := query["for"]; given {
		if lasting, err = strictyaml.ParseDuration(text); err != nil || lasting <= 0 || lasting > maxLevelTime {
			return nil, invalid("for", fmt.Sprintf("a duration such as 10m, at most %s", strictyaml.FormatDuration(maxLevelTime)), text)
		}
	}
	if err := h.log.SetLevel(query["level"], lasting); err != nil {
		return nil, err
	}
	return h.log.State(), nil
}

// recovered answers what panics, and logs it without what it was panicked with, which may quote a call, or whose request it
// was.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if cause == http.ErrAbortHandler {
				panic(cause)
			}
			text := fmt.Sprintf("%T", cause)
			if err, ok := cause.(runtime.Error); ok {
				text = err.Error()
			}
			s.log.Error("admin request failed with a panic", zap.String("hint", "report this mistake in aka with the stack"), zap.String("error", text), zap.ByteString("stack", debug.Stack()))
			refuse(w, &problem{http.StatusInternalServerError, "internal", "a mistake in aka; the log has more"})
		}()
		next.ServeHTTP(w, r)
	})
}

// remoteAddress is how the library names the other end of a connection.
var remoteAddress = regexp.MustCompile(`(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-fA-F:.%a-z]+\]):\d+`)

// serverLog takes what the library has to say.
type serverLog struct{ log *zap.Logger }

// Write logs a line, without addresses.
func (l serverLog) Write(line []byte) (int, error) {
	text := remoteAddress.ReplaceAllString(strings.TrimSpace(string(line)), "<address>")
	l.log.Warn("admin HTTP server reported an error", zap.String("error", text))
	return len(line), nil
}
