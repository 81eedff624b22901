package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"aka/router/delivery"
	"aka/router/deststate"
	"aka/router/journal"
	"aka/router/live"
	"aka/router/segment"
)

func TestDestinationsSayHowTheyDo(t *testing.T) {
	f := newFixture(t)
	f.status = []delivery.Status{{Name: "vero", DestinationState: delivery.StateOf(deststate.AuthFailed), Backlog: 7}}
	var list DestinationList
	if status := f.ask(t, "GET", "/destinations", "", &list); status != 200 || len(list.Destinations) != 1 || list.Destinations[0].Backlog != 7 {
		t.Fatalf("got %d %+v", status, list)
	}
	var one delivery.Status
	if status := f.ask(t, "GET", "/destinations/vero", "", &one); status != 200 || one.State != deststate.AuthFailed {
		t.Fatalf("got %d %+v", status, one)
	}
	for path, want := range map[string]int{"/destinations/nobody": 404, "/destinations/mixpanel": 503, "/destinations?x=1": 400} {
		var body errorBody
		if status := f.ask(t, "GET", path, "", &body); status != want {
			t.Errorf("%s: got %d %+v, want %d", path, status, body, want)
		}
	}
}

func TestTheNewestCallsAreListedOnceSomebodyHasLooked(t *testing.T) {
	f := newFixture(t)
	f.accept(t, "before")
	var list Calls
	f.ask(t, "GET", "/live/calls", "", &list)
	if len(list.Calls) != 0 || list.Since.IsZero() {
		t.Fatalf("got %+v", list)
	}
	f.accept(t, "jane")
	pos := f.accept(t, "joe")
	f.until(t, func() bool { return f.live.Overview().Remembered == 2 })
	f.live.Observe(pos, entry("joe"), live.Step{Destination: "vero", State: live.Dropped, Reason: "same_ids"})
	for query, want := range map[string]string{
		"": "joe jane", "limit=1": "joe", "id=jane": "jane", "reason=same_ids": "joe", "destination=vero&state=dropped": "joe",
		"destination=mixpanel": "", "type=alias": "", "source=website&type=track": "joe jane",
	} {
		f.ask(t, "GET", "/live/calls?"+query, "", &list)
		var users []string
		for _, c := range list.Calls {
			users = append(users, c.UserID)
		}
		if got := strings.Join(users, " "); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	for query, code := range map[string]string{
		"limit=0": "invalid_limit", "limit=501": "invalid_limit", "destination=nobody": "unknown_destination", "state=lost": "unknown_state",
		"reason=none": "unknown_reason", "type=call": "unknown_type", "id=": "invalid_id", "user=jane": "unknown_parameter",
	} {
		var body errorBody
		if status := f.ask(t, "GET", "/live/calls?"+query, "", &body); status != 400 || body.Code != code {
			t.Errorf("%s: got %d %+v, want %s", query, status, body, code)
		}
	}
}

func TestOneCallIsShownWithWhatWouldBeSent(t *testing.T) {
	f := newFixture(t)
	f.live.Activate()
	pos := f.accept(t, "jane")
	f.until(t, func() bool { return f.live.Overview().Remembered == 1 })
	f.live.Observe(pos, entry("jane"), live.Step{Destination: "vero", State: live.Queued})
	f.live.Observe(pos, entry("jane"), live.Step{Destination: "vero", State: live.Delivered, Status: 200})
	var detail struct {
		UserID    string `json:"user_id"`
		Steps     []live.Step
		Call      struct{ Event string }
		Explained []string
	}
	status := f.ask(t, "GET", "/live/calls/"+pos.String(), "", &detail)
	if status != 200 || detail.UserID != "jane" || len(detail.Steps) != 2 || detail.Call.Event != "Bought" || detail.Explained[0] != "explained m-jane" {
		t.Fatalf("got %d %+v", status, detail)
	}
	var body errorBody
	if status := f.ask(t, "GET", "/live/calls/99.0", "", &body); status != 404 || body.Code != "not_found" {
		t.Fatalf("got %d %+v", status, body)
	}
}

func TestWhatIsRecordedAndTheWordsForItAreShown(t *testing.T) {
	f := newFixture(t)
	var l Live
	if status := f.ask(t, "GET", "/live", "", &l); status != 200 || !l.Since.IsZero() || f.live.Enabled() {
		t.Fatalf("got %d %+v: to ask what is recorded is not to look", status, l)
	}
	if len(l.Destinations) != 2 || len(l.Sources) != 2 || len(l.Types) != 6 || l.Reasons["same_ids"] == "" || l.Reasons["refused"] == "" {
		t.Fatalf("got %+v", l)
	}
}

func TestEventsTellOfCallsAsTheyChange(t *testing.T) {
	f := newFixture(t)
	f.status = []delivery.Status{{Name: "vero"}}
	stream := f.listen(t, "")
	stream.until(t, "live", `"destinations":["mixpanel","vero"]`)
	stream.until(t, "destinations", `"name":"vero"`)
	pos := f.accept(t, `"><img src=x onerror=alert(1)>`)
	stream.until(t, "calls", `img src=x`)
	f.live.Observe(pos, entry("jane"), live.Step{Destination: "vero", State: live.Delivered, Status: 200})
	stream.until(t, "calls", `"state":"delivered"`)
	stream.until(t, "overview", `"taken":1`)
}

func TestEventsTellOfTheNamesThatAReloadHasChanged(t *testing.T) {
	f := newFixture(t)
	stream := f.listen(t, "")
	stream.until(t, "live", `"destinations":["mixpanel","vero"]`)
	stream.until(t, "draining", `"draining":false`)
	f.destinations.Store(&[]string{"spare", "vero"})
	stream.until(t, "live", `"destinations":["spare","vero"]`)
}

func TestOnlyAFewMayListen(t *testing.T) {
	f := newFixture(t)
	var streams []*listener
	for range 8 {
		s := f.listen(t, "")
		s.until(t, "live", "")
		streams = append(streams, s)
	}
	var body errorBody
	if status := f.ask(t, "GET", "/live/events", "", &body); status != 503 || body.Code != "too_many_viewers" {
		t.Fatalf("got %d %+v", status, body)
	}
	if status, _, _ := f.do(t, "HEAD", "/live/events", ""); status != 200 {
		t.Fatalf("who asks for no more than the headers is answered %d", status)
	}
	if status := f.ask(t, "GET", "/live/events?state=lost", "", &body); status != 400 || body.Code != "unknown_state" {
		t.Fatalf("got %d %+v", status, body)
	}
	streams[0].close()
	f.until(t, func() bool {
		status, _, stop := f.open(t, "")
		stop()
		return status == 200
	})
}

func TestWhoAsksForTheHeadersAloneDoesNotListen(t *testing.T) {
	f := newFixture(t)
	status, _, header := f.do(t, "HEAD", "/live/events", "")
	if status != 200 || header.Get("Content-Type") != "text/event-stream" || f.live.Enabled() {
		t.Errorf("got %d %v, recording is %v", status, header, f.live.Enabled())
	}
}

func TestListenersDoNotHoldUpAShutdown(t *testing.T) {
	f := newFixture(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = f.server.Serve(listener) }()
	f.url = "http://" + listener.Addr().String()
	s := f.listen(t, "")
	s.until(t, "live", "")
	stopping, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := f.server.Shutdown(stopping); err != nil {
		t.Fatal(err)
	}
	for range s.lines { // up to the end
	}
}

func TestABrowserIsShownThePageAndAScriptTheListOfPaths(t *testing.T) {
	f := newFixture(t)
	_, page, header := f.do(t, "GET", "/", "", "Accept: text/html,*/*")
	if !strings.Contains(page, "<title>aka</title>") || strings.Contains(page, "<style") || strings.Contains(page, "onclick") {
		t.Errorf("got %s", page)
	}
	if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'; script-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %s", policy)
	}
	for _, file := range regexp.MustCompile(`/ui/[a-z.]+`).FindAllString(page, -1) {
		status, _, header := f.do(t, "GET", file, "")
		if status != 200 || header.Get("Content-Type") == "" || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %d %v", file, status, header)
		}
	}
	for _, accept := range []string{"", "*/*", "application/json"} {
		if _, text, _ := f.do(t, "GET", "/", "", "Accept: "+accept); !strings.HasPrefix(text, "aka, the operator's server") {
			t.Errorf("%s: got %s", accept, text)
		}
	}
	for _, file := range []string{"/ui/nothing.js", "/ui/%2e%2e%2fpage.go", "/ui/"} {
		if status, _, _ := f.do(t, "GET", file, ""); status != 404 && status != 307 {
			t.Errorf("%s: got %d", file, status)
		}
	}
}

// What is text to the page must stay text: nothing makes elements or scripts of a string.
func TestThePageMakesNothingOfText(t *testing.T) {
	files, err := pageFiles.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := pageFiles.ReadFile("page/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc", "http://", "https://"} {
			if strings.Contains(strings.ReplaceAll(string(content), "http://www.w3.org/2000/svg", ""), word) {
				t.Errorf("%s holds %s", file.Name(), word)
			}
		}
	}
}

func TestAnIDIsShownWithTheCallsThatTouchedIt(t *testing.T) {
	f := newFixture(t)
	f.live.Activate()
	f.accept(t, "jane")
	f.accept(t, "joe")
	f.until(t, func() bool { return f.live.Overview().Remembered == 2 })
	var known Identity
	if status := f.ask(t, "GET", "/identity?id=jane", "", &known); status != 200 || len(known.Calls) != 1 || known.Calls[0].UserID != "jane" || known.ID != "jane" {
		t.Fatalf("got %d %+v", status, known)
	}
	for _, path := range []string{"/identity", "/identity?id=", "/identity?user=jane"} {
		var body errorBody
		if status := f.ask(t, "GET", path, "", &body); status != 400 {
			t.Errorf("%s: got %d %+v", path, status, body)
		}
	}
}

func (f *fixture) until(t testing.TB, done func() bool) {
	t.Helper()
	for !done() {
		select {
		case <-t.Context().Done():
			t.Fatal("waited too long")
		case <-time.After(time.Millisecond):
		}
	}
}

func entry(user string) *journal.Entry {
	text, _ := json.Marshal(map[string]string{"type": "track", "userId": user, "event": "Bought"})
	return &journal.Entry{Source: "website", Message: segment.Message{
		Header: segment.Header{Type: segment.Track, MessageID: "m-" + user, UserID: user, ReceivedAt: day, Timestamp: day}, JSON: text,
	}}
}

// accept has the journal take a call.
func (f *fixture) accept(t testing.TB, user string) journal.Position {
	t.Helper()
	_, next := f.journal.Head()
	if _, err := f.journal.Append(t.Context(), []journal.Entry{*entry(user)}); err != nil {
		t.Fatal(err)
	}
	return next
}

// listener reads server-sent events.
type listener struct {
	lines chan string
	close func()
}

func (f *fixture) open(t testing.TB, query string) (status int, body io.Reader, stop func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/live/events?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = response.Body.Close() })
	return response.StatusCode, response.Body, stop
}

func (f *fixture) listen(t testing.TB, query string) *listener {
	t.Helper()
	status, body, stop := f.open(t, query)
	if status != 200 {
		t.Fatalf("got %d", status)
	}
	l := &listener{lines: make(chan string), close: stop}
	go func() {
		defer close(l.lines)
		for lines := bufio.NewScanner(body); lines.Scan(); {
			select {
			case l.lines <- lines.Text():
			case <-t.Context().Done():
				return
			}
		}
	}()
	return l
}

// until reads up to an event whose data holds a text.
func (l *listener) until(t testing.TB, event, text string) {
	t.Helper()
	current := ""
	for line := range l.lines {
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			current = name
		}
		if strings.HasPrefix(line, "data: ") && current == event && strings.Contains(line, text) {
			return
		}
	}
	t.Fatalf("the stream ended before %s with %s", event, text)
}
