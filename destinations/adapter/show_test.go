package adapter

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestShow(t *testing.T) {
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
	jsonType := map[string]string{"Content-Type": "application/json"}
	for name, c := range map[string]struct {
		request Request
		want    Shown
	}{
		"query": {
			Request{Method: http.MethodGet, URL: "https://x.test/a?_p=a%26b&_n=c+d&e=&_p=2"},
			Shown{Method: "GET", URL: "https://x.test/a", Query: map[string]string{"_p": "a&b\n2", "_n": "c d", "e": ""}},
		},
		"no query": {
			Request{Method: http.MethodGet, URL: "https://x.test/a?"},
			Shown{Method: "GET", URL: "https://x.test/a"},
		},
		"form": {
			Request{Method: http.MethodPost, URL: "https://x.test/e", Header: form, Body: []byte(`data=%7B%22n%22%3A1.50%7D&list=%5B1%5D&t=a+b&bad=%7Bx`)},
			Shown{Method: "POST", URL: "https://x.test/e", Header: form, Form: map[string]any{
				"data": map[string]any{"n": json.Number("1.50")}, "list": []any{json.Number("1")}, "t": "a b", "bad": "{x",
			}},
		},
		"json": {
			Request{Method: http.MethodPut, URL: "https://x.test/u", Header: jsonType, Body: []byte(`{"id":12345678901234567890}`)},
			Shown{Method: "PUT", URL: "https://x.test/u", Header: jsonType, JSON: map[string]any{"id": json.Number("12345678901234567890")}},
		},
		"two JSON values are text": {
			Request{Method: http.MethodPost, URL: "https://x.test/u", Body: []byte(`{"a":1} {"b":2}`)},
			Shown{Method: "POST", URL: "https://x.test/u", Text: `{"a":1} {"b":2}`},
		},
		"text": {
			Request{Method: http.MethodPost, URL: "https://x.test/u", Body: []byte("hello")},
			Shown{Method: "POST", URL: "https://x.test/u", Text: "hello"},
		},
		"what the router does with it": {
			Request{Method: http.MethodGet, URL: "https://x.test/u", Asks: true, Rate: &Rate{Key: "merges", PerSecond: 2.5}, Sign: &Sign{Scheme: StandardWebhooks, ID: "m1"}},
			Shown{Method: "GET", URL: "https://x.test/u", Asks: true, Rate: "2.5/s merges", Sign: "standard_webhooks m1"},
		},
	} {
		if got := Show(c.request); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, c.want)
		}
	}
}

func TestShownMasksSecretsEverywhere(t *testing.T) {
	m := NewMasker([]Secret{NewSecret("t0ken")})
	requests := []Request{
		{URL: "https://x.test/t0ken?token=t0ken", Header: map[string]string{"X-Token": "Bearer t0ken", "authorization": "Basic other"}, Body: []byte("say t0ken")},
		{URL: "https://x.test/", Body: []byte(`{"token":"t0ken","deep":[{"t0ken":"a t0ken b"},1,null]}`)},
		{
			URL:    "https://x.test/",
			Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
			Body:   []byte("data=%7B%22token%22%3A%22t0ken%22%7D&token=t0ken&t0ken=name"),
		},
		{URL: "https://x.test/?t0ken=name%zz"},
		{URL: "https://x.test/?t0ken=name"},
	}
	for _, r := range requests {
		shown, err := json.Marshal(Show(r).Mask(m))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(shown), "t0ken") || strings.Contains(string(shown), "Basic other") {
			t.Errorf("shows a secret: %s", shown)
		}
	}
}

func TestMaskingDoesNotChangeWhatWasShown(t *testing.T) {
	shown := Show(Request{URL: "https://x.test/?a=t0ken", Body: []byte(`{"token":["t0ken"]}`)})
	before, _ := json.Marshal(shown)
	shown.Mask(NewMasker([]Secret{NewSecret("t0ken")}))
	if after, _ := json.Marshal(shown); string(after) != string(before) {
		t.Errorf("got %s, was %s", after, before)
	}
}

func FuzzShow(f *testing.F) {
	f.Add("https://x.test/?a=b", "application/json", []byte(`{"a":1}`))
	f.Add("https://x.test/?%zz", "application/x-www-form-urlencoded", []byte("a=%7B&b"))
	m := NewMasker([]Secret{NewSecret("t0ken")})
	f.Fuzz(func(t *testing.T, address, contentType string, body []byte) {
		shown := Show(Request{Method: "POST", URL: address, Header: map[string]string{"Content-Type": contentType}, Body: body})
		if _, err := json.Marshal(shown.Mask(m)); err != nil {
			t.Errorf("cannot be shown: %v", err)
		}
	})
}
