package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// Tokens are the files of the tokens that let in. They are read for each request, so that a new token counts at once and
// the old one no longer does.
type Tokens struct {
	// TokenFile is the file of the token that allows everything: at least 16 characters on one line. aka reads it for each
	// request, so a new token works at once. /healthz and /readyz need none. Without a token, everyone who reaches the address
	// may do everything, so it must be a loopback address. Default: none.
	TokenFile string `yaml:"token_file"`
	// ReadTokenFile is the file of another token, which allows only to read. It is for scrapers, and for people who only look.
	// Without a token_file beside it, no token allows changes. Default: none.
	ReadTokenFile string `yaml:"read_token_file"`
}

// AreSet reports whether a token is needed.
func (t Tokens) AreSet() bool { return t.TokenFile != "" || t.ReadTokenFile != "" }

const (
	minToken = 16
	maxToken = 4 << 10
)

// Check reports what is wrong with the files, by their keys, and shows nothing that they hold.
func (t Tokens) Check(report func(key, format string, args ...any)) {
	full, read := t.check("token_file", t.TokenFile, report), t.check("read_token_file", t.ReadTokenFile, report)
	if full != "" && full == read {
		report("read_token_file", "the same token as that of token_file")
	}
}

func (t Tokens) check(key, path string, report func(key, format string, args ...any)) string {
	if path == "" {
		return ""
	}
	token, err := ReadToken(path)
	if err != nil {
		report(key, "%s: %v", path, err)
	}
	return token
}

// digest is what tokens are compared by: the time that takes says nothing, not even of their length.
type digest = [sha256.Size]byte

// accessOf returns what the token of a digest allows. The error is about files that cannot be read: where nothing is allowed,
// the token may be one of theirs.
func (t Tokens) accessOf(given digest) (granted access, err error) {
	var problems []error
	for _, known := range [...]struct {
		key, path string
		access    access
	}{{"admin.token_file", t.TokenFile, everything}, {"admin.read_token_file", t.ReadTokenFile, reading}} {
		if known.path == "" {
			continue
		}
		token, err := ReadToken(known.path)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %s: %w", known.key, known.path, err))
			continue
		}
		if want := sha256.Sum256([]byte(token)); subtle.ConstantTimeCompare(given[:], want[:]) == 1 {
			granted = max(granted, known.access)
		}
	}
	return granted, errors.Join(problems...)
}

var (
	errNotRegular = errors.New("expected a regular file")
	errShortToken = fmt.Errorf("expected a token of at least %d characters: a shorter one can be guessed", minToken)
	errLongToken  = fmt.Errorf("expected a token of at most %d characters", maxToken)
	errOddToken   = errors.New("expected a token of letters, digits and signs in ASCII, without a space or a line break but one at the end")
)

// ReadToken reads a token from its file, where a newline may follow it. Its errors show neither the path nor anything of the
// token.
func ReadToken(path string) (string, error) {
	// To open a pipe would wait for a writer.
	if about, err := os.Stat(path); err == nil && !about.Mode().IsRegular() {
		return "", errNotRegular
	}
	file, err := os.Open(path)
	if err != nil {
		return "", cause(err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxToken+1))
	token := cutNewline(string(content))
	switch {
	case err != nil:
		return "", cause(err)
	case len(content) > maxToken:
		return "", errLongToken
	case len(token) < minToken:
		return "", errShortToken
	case !IsPlain(token):
		return "", errOddToken
	}
	return token, nil
}

func cutNewline(text string) string {
	if cut, found := strings.CutSuffix(text, "\r\n"); found {
		return cut
	}
	return strings.TrimSuffix(text, "\n")
}

// IsPlain reports whether a token has only what can be in one.
func IsPlain(token string) bool {
	return !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

func cause(err error) error {
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

// byHeader returns what the token in the request's header allows. given is false when there is none, or none is asked for. What
// is no Bearer may be for a proxy in front.
func (g *guard) byHeader(r *http.Request) (granted access, given bool, p *problem) {
	lines := r.Header.Values("Authorization")
	if len(lines) != 1 || !g.AreSet() {
		return nothing, false, nil
	}
	scheme, token, _ := strings.Cut(lines[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nothing, false, nil
	}
	granted, p = g.byToken(strings.TrimSpace(token), r.RemoteAddr)
	return granted, true, p
}

// byToken returns what a token allows that came from an address. A wrong one counts against the address.
func (g *guard) byToken(token, remote string) (access, *problem) {
	loginLimiter := g.loginLimiter.of(remote, time.Now())
	if loginLimiter == nil {
		return nothing, refusedTooMany
	}
	granted, p := g.byDigest(sha256.Sum256([]byte(token)))
	if p != nil || granted != nothing {
		loginLimiter.takeBack()
		return granted, p
	}
	g.log.Warn("wrong admin token refused", zap.String("hint", "if it was not a typing mistake, restrict access to admin.listen"))
	return nothing, refusedToken
}

// byDigest logs why a token cannot be checked, once for each reason.
func (g *guard) byDigest(given digest) (access, *problem) {
	granted, err := g.accessOf(given)
	g.tokenError.say(err, func() {
		g.log.Error("cannot read admin token, access denied", zap.String("hint", "correct its file"), zap.Error(err))
	})
	if granted == nothing && err != nil {
		return nothing, refusedUnreadable
	}
	return granted, nil
}

// lastError is what went wrong last.
type lastError struct {
	mu   sync.Mutex
	last string
}

// say has it said when it is not what was said last.
func (t *lastError) say(err error, say func()) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if text != "" && text != t.last {
		say()
	}
	t.last = text
}

const (
	// attemptBurst wrong tokens may come from an address, then one in each attemptInterval.
	attemptBurst    = 10
	attemptInterval = 6 * time.Second
	// maxClients is how many addresses are counted each. All others share one limit.
	maxClients = 1000
)

// loginLimiter bounds how fast tokens can be guessed. It is safe for concurrent use; the zero value is ready.
type loginLimiter struct {
	mu     sync.Mutex
	by     map[netip.Prefix]*rate.Limiter
	others *rate.Limiter
}

// attempt is one that was counted.
type attempt struct {
	reservation *rate.Reservation
	at          time.Time
}

func (g *attempt) takeBack() { g.reservation.CancelAt(g.at) }

// of counts one guess of an address; nil is one too many.
func (g *loginLimiter) of(remote string, now time.Time) *attempt {
	g.mu.Lock()
	defer g.mu.Unlock()
	reservation := g.limiter(network(remote), now).ReserveN(now, 1)
	if reservation.DelayFrom(now) > 0 {
		reservation.CancelAt(now)
		return nil
	}
	return &attempt{reservation, now}
}

func (g *loginLimiter) limiter(from netip.Prefix, now time.Time) *rate.Limiter {
	if known := g.by[from]; known != nil {
		return known
	}
	if g.by == nil {
		g.by, g.others = map[netip.Prefix]*rate.Limiter{}, newAttemptLimiter()
	}
	if len(g.by) >= maxClients {
		for address, limiter := range g.by {
			if limiter.TokensAt(now) >= attemptBurst {
				delete(g.by, address)
			}
		}
	}
	if len(g.by) >= maxClients {
		return g.others
	}
	limiter := newAttemptLimiter()
	g.by[from] = limiter
	return limiter
}

func newAttemptLimiter() *rate.Limiter {
	return rate.NewLimiter(rate.Every(attemptInterval), attemptBurst)
}

// network is an address, or of IPv6 what one subscriber has.
func network(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		host, _, _ := net.SplitHostPort(remote)
		ip, _ := netip.ParseAddr(host)
		at = netip.AddrPortFrom(ip, 0)
	}
	ip := at.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(ip, bits).Masked()
}
