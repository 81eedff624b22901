package ingress

import (
	"net/http"
	"os"
	"testing"
)

// maxAkaJS is how large the script may be: each page loads it before its SDK.
const maxAkaJS = 2 << 10

func TestAkaJSIsForEveryPage(t *testing.T) {
	s := start(t, testConfig())
	want, err := os.ReadFile("akajs/aka.min.js")
	if err != nil {
		t.Fatal(err)
	}
	if len(want) > maxAkaJS {
		t.Errorf("it has %d bytes", len(want))
	}
	for _, c := range []struct{ origin, allowed string }{{"", "*"}, {"https://app.example", "https://app.example"}} {
		var headers []string
		if c.origin != "" {
			headers = []string{"Origin: " + c.origin}
		}
		got := s.send(t, "GET", "/aka.js", "", headers...)
		if got.StatusCode != http.StatusOK || string(got.body) != string(want) {
			t.Fatalf("%d, %d bytes", got.StatusCode, len(got.body))
		}
		for name, value := range map[string]string{
			"Content-Type":                 "text/javascript; charset=utf-8",
			"Cache-Control":                "public, max-age=3600",
			"Cross-Origin-Resource-Policy": "cross-origin",
			"Access-Control-Allow-Origin":  c.allowed,
			"Vary":                         "Origin",
			"X-Content-Type-Options":       "nosniff",
		} {
			if got := got.Header.Values(name); len(got) != 1 || got[0] != value {
				t.Errorf("%s: %q, not %q", name, got, value)
			}
		}
		if head := s.send(t, "HEAD", "/aka.js", "", headers...); head.StatusCode != http.StatusOK || head.ContentLength != int64(len(want)) || len(head.body) > 0 {
			t.Errorf("HEAD: %d, %d bytes", head.StatusCode, head.ContentLength)
		}
	}
}

func TestAkaJSIsNotSentAgainWhereItIsKnown(t *testing.T) {
	s := start(t, testConfig())
	tag := s.send(t, "GET", "/aka.js", "").Header.Get("ETag")
	for known, status := range map[string]int{
		tag:                    http.StatusNotModified,
		"W/" + tag:             http.StatusNotModified,
		`"other", ` + tag:      http.StatusNotModified,
		"*":                    http.StatusNotModified,
		`"other"`:              http.StatusOK,
		tag[:len(tag)-2] + `"`: http.StatusOK,
	} {
		got := s.send(t, "GET", "/aka.js", "", "If-None-Match: "+known, "Origin: https://app.example")
		if got.StatusCode != status || (status == http.StatusNotModified) != (len(got.body) == 0) || got.Header.Get("ETag") != tag || got.Header.Get("Access-Control-Allow-Origin") != "https://app.example" {
			t.Errorf("%s: %d, %d bytes, %v", known, got.StatusCode, len(got.body), got.Header)
		}
	}
}

func TestAkaJSIsOnlyRead(t *testing.T) {
	s := start(t, testConfig())
	if got := s.send(t, "POST", "/aka.js", "{}"); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
}
