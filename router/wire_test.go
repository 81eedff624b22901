package router

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"aka/destinations"
	"aka/router/config"
	"aka/router/config/configtest"
	"aka/router/httpclient"
	"aka/router/segment"
)

// hostile is what would end a header, a request line, a query, a form or a JSON string.
const hostile = "x\r\nX-Injected: 1\r\n\r\nGET /injected HTTP/1.1\r\nHost: h\r\n\r\n\x00\x7f\u0085\u2028&_k=other#?/../\"}]'%0d%0a"

// hostileID is as much of it as an id may hold: a control character blocks the call.
const hostileID = "x HTTP/1.1 \u2028&_k=other#?/../\"}]'%0d%0aX-Injected: 1%00"

// requestLine is all that a vendor may be asked for.
var requestLine = regexp.MustCompile(`^(GET|POST|PUT|DELETE) /vendor(/[a-z0-9/_.]*)?(\?[A-Za-z0-9%&=_.~+*-]*)? HTTP/1\.1\r\n$`)

// headersAllowed are all that go to a vendor.
var headersAllowed = map[string]bool{
	"Host": true, "User-Agent": true, "Content-Length": true, "Content-Type": true, "Content-Encoding": true, "Authorization": true,
}

func TestNothingInACallBecomesAHeaderOrARequest(t *testing.T) {
	for _, vendorType := range destinations.Types() {
		t.Run(vendorType, func(t *testing.T) {
			vendor := newWiretap(t)
			d, ok := wired(t, vendor.url)[vendorType]
			if !ok {
				t.Fatalf("configtest.Minimal has no destination of %s", vendorType)
			}
			sender := httpclient.New(d.Delivery.HTTP())
			sent := 0
			for _, call := range hostileCalls(t) {
				for _, request := range d.Translate(call).Requests {
					answer := sender.Send(httpclient.Exchange{Method: request.Method, URL: request.URL, Header: request.Header, Body: request.Body})
					if answer.Err != nil || answer.Status != 204 {
						t.Errorf("%s: got %+v", call.Type, answer)
					}
					sent++
				}
			}
			if sent < 8 {
				t.Errorf("only %d requests were sent", sent)
			}
			if got := vendor.requests(); got != sent {
				t.Errorf("the vendor got %d requests, and %d were sent", got, sent)
			}
		})
	}
}

func TestAnIDWithAControlCharacterGoesNowhere(t *testing.T) {
	for vendorType, d := range wired(t, "http://127.0.0.1:1") {
		for _, control := range []string{"\r", "\n", "\x00", "\x1b", "\x7f", "\u0085"} {
			for _, field := range []string{"userId", "previousId"} {
				for _, call := range hostileCalls(t) {
					switch field {
					case "userId":
						call.UserID += control
					case "previousId":
						call.PreviousID += control
					}
					if outcome := d.Translate(call); len(outcome.Requests) > 0 && (field == "userId" || call.Type == segment.Alias) {
						t.Errorf("%s: %s with %q in its %s is sent", vendorType, call.Type, control, field)
					}
				}
			}
		}
	}
}

// wired returns a destination of each vendor, at that endpoint.
func wired(t *testing.T, endpoint string) map[string]*config.Destination {
	t.Helper()
	return load(t, configtest.Minimal, config.LoadOptions{Simulate: func(string, string, *yaml.Node) (string, error) { return endpoint, nil }}).Destinations
}

// hostileCalls are one of each type, with the text wherever a call may have one.
func hostileCalls(t *testing.T) []*segment.Call {
	t.Helper()
	inside := map[string]any{"email": hostile, "ip": hostile, hostile: hostile, "revenue": hostile, "company": hostile}
	var calls []*segment.Call
	for _, kind := range segment.Types {
		for _, ids := range []map[string]any{{"userId": hostileID}, {"anonymousId": hostileID}, {"userId": hostileID, "anonymousId": hostileID + "2"}} {
			body := map[string]any{
				"type": kind.String(), "messageId": hostile, "previousId": hostileID + "1", "groupId": hostile, "event": hostile, "name": hostile, "category": hostile,
				"traits": inside, "properties": inside,
				"context": map[string]any{
					"ip": hostile, "userAgent": hostile, "locale": hostile, "traits": inside, "groupId": hostile,
					"page": map[string]any{"url": hostile, "referrer": hostile}, "device": map[string]any{"token": hostile, "type": hostile},
				},
			}
			for name, id := range ids {
				body[name] = id
			}
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			result, err := segment.Parse(text, segment.Options{ReceivedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
			if err != nil || len(result.Messages) != 1 {
				t.Fatalf("%s: %v %+v", text, err, result.Rejected)
			}
			for i := range result.Messages {
				call, err := result.Messages[i].Decode()
				if err != nil {
					t.Fatal(err)
				}
				calls = append(calls, call)
			}
		}
	}
	return calls
}

// wiretap is a vendor that reads what comes byte by byte, and answers 204.
type wiretap struct {
	t   *testing.T
	url string
	got chan struct{}
}

func newWiretap(t *testing.T) *wiretap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{t: t, url: "http://" + listener.Addr().String() + "/vendor", got: make(chan struct{}, 10_000)}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go w.serve(c)
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	return w
}

// requests returns how many came. Every exchange has ended, so none is on its way.
func (w *wiretap) requests() int { return len(w.got) }

func (w *wiretap) serve(c net.Conn) {
	defer c.Close()
	for reader := bufio.NewReader(c); w.request(reader); {
		w.got <- struct{}{}
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
	}
}

// request reads one request strictly, up to the length that it tells.
func (w *wiretap) request(reader *bufio.Reader) bool {
	line, err := reader.ReadString('\n')
	if err != nil {
		return false
	}
	if !requestLine.MatchString(line) {
		w.t.Errorf("it is asked for %q", line)
	}
	length, seen := int64(0), map[string]bool{}
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			w.t.Errorf("the head ends in %v", err)
			return false
		}
		if line == "\r\n" {
			break
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), ": ")
		if !headersAllowed[name] || seen[name] || http.CanonicalHeaderKey(name) != name || strings.ContainsAny(value, "\r\n\x00") || strings.Contains(value, "Injected") {
			w.t.Errorf("a header is %q", line)
		}
		seen[name] = true
		if name == "Content-Length" {
			if _, err := fmt.Sscan(value, &length); err != nil {
				w.t.Error(err)
			}
		}
	}
	_, err = io.CopyN(io.Discard, reader, length)
	return err == nil
}
