package adapter

import (
	"strings"
	"testing"
	"unicode/utf16"
)

// wide is a text in UTF-16, as its byte order mark says, or in UTF-32.
func wide(text, order string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		high, low := string([]byte{byte(unit >> 8)}), string([]byte{byte(unit)})
		switch order {
		case "big":
			b.WriteString(high + low)
		case "little":
			b.WriteString(low + high)
		default:
			b.WriteString(low + high + "\x00\x00")
		}
	}
	return b.String()
}

var pages = map[string]Answer{
	"page":                     {Status: 200, ContentType: "text/html; charset=utf-8", Body: []byte("<!DOCTYPE html><title>Sign in</title>")},
	"text that says it is one": {Status: 200, ContentType: " TEXT/HTML", Body: []byte("Sign in")},
	"nothing that says so":     {Status: 200, ContentType: "text/html;charset=ISO-8859-1"},
	"page that says nothing":   {Status: 200, Body: []byte("<html>")},
	"page that lies":           {Status: 200, ContentType: "application/json", Body: []byte("\r\n\t <html>")},
	"page behind a mark":       {Status: 200, Body: []byte("\xef\xbb\xbf \n<html>")},
	"page in UTF-16":           {Status: 200, Body: []byte(wide("\r\n<html>", "little"))},
	"page in UTF-16, turned":   {Status: 200, Body: []byte(wide("\r\n<html>", "big"))},
	"page in UTF-32":           {Status: 200, Body: []byte(wide(" <html>", "UTF-32"))},
	"page that was created":    {Status: 201, ContentType: "text/html"},
	"page in place of a reset": {Status: 205, ContentType: "text/html", Body: []byte("Sign in")},
	"page without an end":      {Status: 200, Body: []byte("<html>" + strings.Repeat("x", 60_000)), TooLong: true},
}

var answers = map[string]Answer{
	"nothing":                 {Status: 200},
	"JSON":                    {Status: 200, ContentType: "application/json", Body: []byte(`{"status":200}`)},
	"JSON with a page in it":  {Status: 200, ContentType: "application/json", Body: []byte(`{"say":"<html>"}`)},
	"an image":                {Status: 200, ContentType: "image/gif", Body: []byte("GIF89a\x01\x00<")},
	"an icon":                 {Status: 200, ContentType: "image/x-icon", Body: []byte("\x00\x00\x01\x00<")},
	"text":                    {Status: 200, ContentType: "text/plain", Body: []byte("1 < 2")},
	"what only sounds alike":  {Status: 200, ContentType: "text/html-sandboxed", Body: []byte("1")},
	"no content, called HTML": {Status: 204, ContentType: "text/html"},
	"a reset, called HTML":    {Status: 205, ContentType: "text/html; charset=utf-8"},
}

func TestAWebPageIsNoSuccess(t *testing.T) {
	for name, answer := range pages {
		got := answer.Verdict()
		if !answer.IsPage() || got.Class != Later || got.Note != "not_the_vendor" || !strings.HasPrefix(got.Detail, "not the vendor's answer (20") {
			t.Errorf("%s: got %+v", name, got)
		}
		if by := Judge(&spyAdapter{}, make([]Request, 2), answer); len(by) != 2 || by[1] != got {
			t.Errorf("%s: an adapter without a Judge takes it for %+v", name, by)
		}
	}
	for name, answer := range answers {
		if got := answer.Verdict(); answer.IsPage() || got != (Verdict{Class: Delivered}) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// A firewall's 403 holds the destination as the vendor's does, and its 503 is tried again.
func TestAWebPageOfAnotherStatusIsWhatTheStatusSays(t *testing.T) {
	for status := 300; status < 600; status++ {
		answer := Answer{Status: status, ContentType: "text/html", Body: []byte("<html>")}
		if got := answer.Verdict(); got != StatusVerdict(status) {
			t.Errorf("%d: got %+v", status, got)
		}
	}
}

func TestAnObjectIsKnownByItsBeginning(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`: true, "\ufeff \n{\"status\":200}\n": true, `{"a":[{"b":"}"}]}`: true,
		`{`: true, `{"status":2`: true, `{"a":{"b":[1,`: true, `{"a":"<htm`: true,
		``: false, ` `: false, `1`: false, `"x"`: false, `[]`: false, `null`: false, `OK`: false, `<html>`: false,
		`{<html>`: false, `{{name}}`: false, `{"a":1}<html>`: false, `{"a":1}{`: false, wide(`{}`, "little"): false, "\x1f\x8b\x08": false,
	} {
		if got := (Answer{Body: []byte(text)}).IsObject(); got != want {
			t.Errorf("%q: got %t", text, got)
		}
	}
	endless := Answer{Body: []byte(`{"status":200}` + strings.Repeat("x", 1000)), TooLong: true}
	if !endless.IsObject() {
		t.Error("what comes behind an object without an end takes it for none")
	}
}

func TestAnAnswerOfWhiteSpaceIsEmpty(t *testing.T) {
	for text, want := range map[string]bool{"": true, " \r\n\t": true, "\xef\xbb\xbf": true, wide(" ", "big"): true, "x": false, " {}": false} {
		if got := (Answer{Body: []byte(text)}).IsEmpty(); got != want {
			t.Errorf("%q: got %t", text, got)
		}
	}
}

// A vendor, or what answers in its place, may say anything.
func FuzzAnswer(f *testing.F) {
	for _, all := range []map[string]Answer{pages, answers} {
		for _, a := range all {
			f.Add(a.Status, a.ContentType, a.Body, a.TooLong)
		}
	}
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte, tooLong bool) {
		a := Answer{Status: status, ContentType: contentType, Body: body, TooLong: tooLong}
		verdict := a.Verdict()
		if verdict.Class == Delivered && (firstOf(body) == '<' || StatusVerdict(status).Class != Delivered) {
			t.Errorf("%+v is delivered", a)
		}
		if a.IsObject() && (a.IsEmpty() || firstOf(body) != '{') {
			t.Errorf("%q is an object", body)
		}
	})
}
