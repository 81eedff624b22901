package simulator

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"aka/router/segment"
)

// secret is shown in place of a credential.
const secret = "<secret>"

// Exchange is one HTTP exchange with an account. Credentials in it read <secret>.
type Exchange struct {
	// At is when it arrived, by the account's clock.
	At     time.Time `json:"at"`
	Method string    `json:"method"`
	// Path is below the account's own, such as /import or /api/v2/users/track.
	Path   string      `json:"path"`
	Query  url.Values  `json:"query,omitempty"`
	Header http.Header `json:"header,omitempty"`
	// Records are what the exchange carried, decoded: JSON with numbers as json.Number, or a map of strings for
	// parameters. Empty when nothing could be decoded.
	Records []any `json:"records,omitempty"`
	// Digest is a hash of method, path, query and body as they came: equal digests are equal bytes.
	Digest string `json:"digest,omitempty"`
	// Status is what was answered, or 0 when there was no answer (yet).
	Status int `json:"status"`
	// Fault is the fault that the exchange met, in a few words.
	Fault string `json:"fault,omitempty"`

	bytes int // that it counts for in the account's bound
}

func newExchange(r *http.Request, path string, at time.Time) *Exchange {
	return &Exchange{
		At: at, Method: r.Method, Path: path,
		Query: maskQuery(r.URL.Query()), Header: maskHeader(r.Header),
		bytes: 1024 + len(r.URL.RawQuery),
	}
}

// secretParameters carry credentials under another name, or, as Mixpanel's data, whole records with theirs, which are
// shown decoded.
var secretParameters = []string{"_k", "data"}

// secretNames are what vendors call credentials.
var secretNames = regexp.MustCompile(`(?i)(api|write)[-_]?key|token|secret|password|authorization|^cookie$|^(?:webhook|x)-signature$`)

func isSecretName(name string) bool { return secretNames.MatchString(name) }

func maskQuery(query url.Values) url.Values {
	for name := range query {
		if isSecretName(name) || slices.Contains(secretParameters, name) {
			query.Set(name, secret)
		}
	}
	return query
}

func maskHeader(header http.Header) http.Header {
	header = header.Clone()
	for name := range header {
		if isSecretName(name) {
			header.Set(name, secret)
		}
	}
	return header
}

// request is an exchange as the vendor sees it.
type request struct {
	now          time.Time
	remote       string // the sender's IP address
	method, path string
	query        url.Values
	header       http.Header
	body         []byte
	maxBody      int
	digest       string

	items     []item
	malformed error
	tooLarge  bool
	failed    []int // indexes of records that a fault refuses
}

// item is one record of a request.
type item struct {
	value any    // as decoded, the credential masked
	token string // the credential
	bytes int    // as sent
}

func newRequest(w http.ResponseWriter, r *http.Request, path string, now time.Time, maxBody int) (*request, error) {
	in := &request{now: now, method: r.Method, path: path, query: r.URL.Query(), header: r.Header, maxBody: maxBody}
	in.remote, _, _ = net.SplitHostPort(r.RemoteAddr)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(maxBody)))
	var tooLarge *http.MaxBytesError
	in.tooLarge = errors.As(err, &tooLarge)
	if err != nil && !in.tooLarge {
		return nil, err
	}
	in.body = body
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s?%s\n", r.Method, path, r.URL.RawQuery)
	sum.Write(body)
	in.digest = hex.EncodeToString(sum.Sum(nil)[:16])
	return in, nil
}

// fails reports whether a fault refuses the record at index i.
func (in *request) fails(i int) bool { return slices.Contains(in.failed, i) }

func (in *request) isGzip() bool { return strings.EqualFold(in.header.Get("Content-Encoding"), "gzip") }

// gunzip replaces the body by what it holds.
func (in *request) gunzip() error {
	reader, err := gzip.NewReader(bytes.NewReader(in.body))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(reader, int64(in.maxBody)+1))
	if err != nil {
		return err
	}
	if len(body) > in.maxBody {
		in.tooLarge = true
		return errors.New("body too large")
	}
	in.body = body
	return nil
}

// parameters returns the query and, where there is a form body, its fields.
func (in *request) parameters() (url.Values, error) {
	if !strings.HasPrefix(in.header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return in.query, nil
	}
	all := maps.Clone(in.query)
	if all == nil {
		all = url.Values{}
	}
	form, err := url.ParseQuery(string(in.body))
	for name, values := range form {
		all[name] = values
	}
	return all, err
}

// decodeJSON reads exactly one JSON value, numbers as they were written.
func decodeJSON(text []byte) (any, error) {
	if value, ok := segment.DecodeValue(text); ok {
		return value, nil
	}
	// What is wrong says the other decoder.
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	return value, nil
}

// takeSecret masks the member of an object and returns what it was.
func takeSecret(object map[string]any, name string) string {
	value, ok := object[name]
	if !ok {
		return ""
	}
	object[name] = secret
	return text(value)
}

// text returns a string as it is, a number by its digits, and "" for anything else.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// answer is what goes back.
type answer struct {
	status      int
	contentType string
	body        []byte
	header      map[string]string
	drip        time.Duration // between bytes
	size        int64         // the body is repeated to this size where it is above zero
	endless     bool          // the body is repeated until the client goes away
}

func textAnswer(status int, body string) answer {
	return answer{status: status, contentType: "text/plain; charset=utf-8", body: []byte(body)}
}

func jsonAnswer(status int, value any) answer {
	body, err := json.Marshal(value)
	if err != nil {
		return textAnswer(http.StatusInternalServerError, err.Error())
	}
	return answer{status: status, contentType: "application/json", body: body}
}

func (out answer) write(ctx context.Context, w http.ResponseWriter) {
	w.Header().Set("Content-Type", out.contentType)
	for name, value := range out.header {
		w.Header().Set(name, value)
	}
	switch {
	case out.drip > 0:
		w.WriteHeader(out.status)
		dripBody(ctx, w, out)
	case out.endless:
		w.WriteHeader(out.status)
		_, _ = io.Copy(w, repeat(out.body))
	case out.size > 0:
		w.Header().Set("Content-Length", strconv.FormatInt(out.size, 10))
		w.WriteHeader(out.status)
		_, _ = io.CopyN(w, repeat(out.body), out.size)
	default:
		w.WriteHeader(out.status)
		_, _ = w.Write(out.body)
	}
}

// dripBody sends one byte at a time.
func dripBody(ctx context.Context, w http.ResponseWriter, out answer) {
	control := http.NewResponseController(w)
	body := io.Reader(bytes.NewReader(out.body))
	switch {
	case out.endless:
		body = repeat(out.body)
	case out.size > 0:
		body = io.LimitReader(repeat(out.body), out.size)
	}
	one := make([]byte, 1)
	for {
		if _, err := io.ReadFull(body, one); err != nil {
			return
		}
		if _, err := w.Write(one); err != nil || control.Flush() != nil || !pause(ctx, out.drip) {
			return
		}
	}
}

// repeated reads the same text again and again, without end.
type repeated struct {
	text []byte
	at   int
}

func repeat(text []byte) io.Reader {
	if len(text) == 0 {
		text = []byte("x")
	}
	return &repeated{text: bytes.Repeat(text, 1+4096/len(text))}
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

// pause waits for d and reports whether it did: false when ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// resetConnection breaks the connection so that the client sees a reset, not an orderly end.
func resetConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2 cannot be hijacked; this aborts its stream
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
