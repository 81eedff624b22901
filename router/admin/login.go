package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// sessionCookie is never the token: a cookie also goes to what listens at other ports of the same host.
	sessionCookie = "aka_admin"
	// sessionTime is how long a browser stays signed in.
	sessionTime = 12 * time.Hour
	// maxSessions is how many browsers do with one token; the one that signed in first gives way.
	maxSessions = 100
	// maxForm bounds what a form may bring.
	maxForm = 8 << 10
)

// sessions are the browsers that have signed in. They are safe for concurrent use; the zero value is ready.
type sessions struct {
	mu sync.Mutex
	by map[digest]session // by what the cookie holds
}

// session ends with its token, too.
type session struct {
	token   digest
	expires time.Time
}

func (s *sessions) add(token digest, now time.Time) (cookie string) {
	cookie = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[digest]session{}
	}
	s.expire(token, now)
	s.by[sha256.Sum256([]byte(cookie))] = session{token, now.Add(sessionTime)}
	return cookie
}

// expire makes room for one with a token.
func (s *sessions) expire(token digest, now time.Time) {
	var first digest
	count := 0
	for id, one := range s.by {
		switch {
		case !now.Before(one.expires):
			delete(s.by, id)
		case one.token == token:
			count++
			if oldest, ok := s.by[first]; !ok || one.expires.Before(oldest.expires) {
				first = id
			}
		}
	}
	if count >= maxSessions {
		delete(s.by, first)
	}
}

func (s *sessions) token(cookie string, now time.Time) (token digest, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.by[sha256.Sum256([]byte(cookie))]
	return one.token, ok && now.Before(one.expires)
}

func (s *sessions) remove(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, sha256.Sum256([]byte(cookie)))
}

// byCookie returns what a browser may do: all, where no token is needed.
func (g *guard) byCookie(r *http.Request) (access, *problem) {
	if !g.AreSet() {
		return everything, nil
	}
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return nothing, nil
	}
	token, ok := g.sessions.token(cookie.Value, time.Now())
	if !ok {
		return nothing, nil
	}
	return g.byDigest(token)
}

//go:embed login.html login.css
var loginFiles embed.FS

var (
	loginPage  = template.Must(template.ParseFS(loginFiles, "login.html"))
	loginStyle = mustRead("login.css")
	// loginPolicy allows the page its own style, and to be sent here.
	loginPolicy = "default-src 'none'; style-src 'sha256-" + hashOf(loginStyle) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

func mustRead(name string) string {
	content, err := loginFiles.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return string(content)
}

func hashOf(style string) string {
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// askToken shows the form in which a person gives the token.
func (g *guard) askToken(w http.ResponseWriter, _ *http.Request) {
	if !g.AreSet() {
		showLogin(w, http.StatusOK, "No token is configured here: there is nothing to sign in to.")
		return
	}
	showLogin(w, http.StatusOK, "")
}

func showLogin(w http.ResponseWriter, status int, notice string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", loginPolicy)
	w.WriteHeader(status)
	_ = loginPage.Execute(w, map[string]any{"Style": template.CSS(loginStyle), "Notice": notice})
}

// signIn trades the token for a cookie that no script can read and no other site can send. That the form is not another
// site's, the guard has seen to.
func (g *guard) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil || !g.AreSet() {
		showLogin(w, http.StatusBadRequest, "This could not be read.")
		return
	}
	token := strings.TrimSpace(r.PostForm.Get("token"))
	granted, p := g.byToken(token, r.RemoteAddr)
	if p != nil {
		g.refused.WithLabelValues(p.code).Inc()
		showLogin(w, p.status, p.message)
		return
	}
	g.log.Info("a browser signed in to the admin server", zap.Stringer("access", granted))
	http.SetCookie(w, cookieFor(r, g.sessions.add(sha256.Sum256([]byte(token)), time.Now()), sessionTime))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// signOut forgets the browser.
func (g *guard) signOut(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		g.sessions.remove(cookie.Value)
	}
	http.SetCookie(w, cookieFor(r, "", -time.Second))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// cookieFor is for https alone where the browser speaks that, to a proxy that is in front.
func cookieFor(r *http.Request, value string, age time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: int(age / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: strings.HasPrefix(r.Header.Get("Origin"), "https://"),
	}
}
