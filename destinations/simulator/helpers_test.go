package simulator

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// noon is when the tests' accounts live.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// client talks to one account.
type client struct {
	*Account
	t     *testing.T
	clock *clock
	http  *http.Client
}

func startSimulator(t *testing.T) *Simulator {
	t.Helper()
	sim, err := Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return sim
}

func openAccount(t *testing.T, vendor string, options Options) *client {
	t.Helper()
	return addAccount(t, startSimulator(t), "it", vendor, options)
}

func addAccount(t *testing.T, sim *Simulator, name, vendor string, options Options) *client {
	t.Helper()
	c := &client{t: t, clock: &clock{now: noon}}
	options.Now = c.clock.Now
	if _, err := sim.Add(name, vendor, options); err != nil {
		t.Fatal(err)
	}
	c.Account = sim.Account(name)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return c
}

// newRequest is a request to the account; contents is sent as it is when it is a string or bytes, else as JSON.
func (c *client) newRequest(method, path string, contents any) *http.Request {
	c.t.Helper()
	var body []byte
	switch v := contents.(type) {
	case nil:
	case string:
		body = []byte(v)
	case []byte:
		body = v
	default:
		var err error
		if body, err = json.Marshal(v); err != nil {
			c.t.Fatal(err)
		}
	}
	r, err := http.NewRequest(method, c.Endpoint()+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return r
}

type reply struct {
	status int
	header http.Header
	body   string
}

// object is the reply's JSON.
func (r reply) object(t *testing.T) map[string]any {
	t.Helper()
	object := map[string]any{}
	if err := json.Unmarshal([]byte(r.body), &object); err != nil {
		t.Fatalf("the answer %q is not a JSON object: %v", r.body, err)
	}
	return object
}

func (c *client) do(r *http.Request) reply {
	c.t.Helper()
	got, err := c.try(r)
	if err != nil {
		c.t.Fatal(err)
	}
	return got
}

func (c *client) try(r *http.Request) (reply, error) {
	response, err := c.http.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(body)}, err
}

func (c *client) send(method, path string, contents any) reply {
	c.t.Helper()
	return c.do(c.newRequest(method, path, contents))
}

// form posts data= as Mixpanel's /track takes it.
func (c *client) form(path, data string) reply {
	c.t.Helper()
	r := c.newRequest("POST", path, url.Values{"data": {data}}.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(r)
}

// imports posts events to /import with the token as the user.
func (c *client) imports(token string, events ...any) reply {
	c.t.Helper()
	r := c.newRequest("POST", "/import?strict=1", append([]any{}, events...))
	r.SetBasicAuth(token, "")
	return c.do(r)
}

// object is shorthand for a JSON object.
type object = map[string]any

// event is an event that /import takes; overrides of nil remove a property.
func event(name, distinctID, insertID string, overrides object) object {
	properties := object{"distinct_id": distinctID, "$insert_id": insertID, "time": noon.UnixMilli()}
	for key, value := range overrides {
		if value == nil {
			delete(properties, key)
			continue
		}
		properties[key] = value
	}
	return object{"event": name, "properties": properties}
}

func verbEvent(name string, properties object) object {
	return object{"event": name, "properties": properties}
}

func (c *client) wantGraph(want Graph) {
	c.t.Helper()
	if got := c.Graph(); !reflect.DeepEqual(got, want) {
		c.t.Errorf("graph:\n%s%#v\nwant:\n%s%#v", got, got, want, want)
	}
}

// wantPeople compares the graph's lines, spaces before the arrow left out.
func (c *client) wantPeople(want ...string) {
	c.t.Helper()
	var got []string
	for line := range strings.Lines(c.Graph().String()) {
		name, verdict, _ := strings.Cut(strings.TrimSpace(line), "  ->  ")
		got = append(got, strings.TrimSpace(name)+" -> "+verdict)
	}
	if !reflect.DeepEqual(got, want) {
		c.t.Errorf("people:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (c *client) wantRefusals(want ...string) {
	c.t.Helper()
	var got []string
	for _, refusal := range c.Refusals() {
		got = append(got, refusal.Reason)
	}
	if !reflect.DeepEqual(got, want) {
		c.t.Errorf("refusals %q, want %q", got, want)
	}
}

func (c *client) wantDuplicates(want int) {
	c.t.Helper()
	if got := c.Stats().Duplicates; got != want {
		c.t.Errorf("%d duplicates, want %d", got, want)
	}
}

func wantStatus(t *testing.T, got reply, want int) {
	t.Helper()
	if got.status != want {
		t.Errorf("status %d %s, want %d", got.status, got.body, want)
	}
}

func gzipped(t *testing.T, text []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}
