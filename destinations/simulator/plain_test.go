package simulator

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestPlainVendorTakesEverything(t *testing.T) {
	c := openAccount(t, "somebody", Options{})
	for _, body := range []any{nil, "", "{", "[1", object{"id": "jane"}} {
		if got := c.send("POST", "/any/path?a=b", body); got.status != 200 || got.body != "{}" {
			t.Errorf("%v: answered %d %s", body, got.status, got.body)
		}
	}
	if got := c.send("DELETE", "", nil); got.status != 200 {
		t.Errorf("answered %d", got.status)
	}
	c.wantGraph(Graph{})
	if got := c.Stats(); got.Exchanges != 6 || got.Records != 0 || got.Refusals != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestPlainVendorShowsWhatItWasSent(t *testing.T) {
	c := openAccount(t, "somebody", Options{})
	c.send("POST", "/one", object{"id": "jane", "n": 1})
	c.send("POST", "/batch", []any{object{"id": "a"}, "b"})
	form := c.newRequest("POST", "/form", "id=jane&plan=a+b")
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c.do(form)
	packed := c.newRequest("POST", "/gzip", gzipped(t, []byte(`{"id":"jane"}`)))
	packed.Header.Set("Content-Encoding", "gzip")
	c.do(packed)
	want := [][]any{
		{object{"id": "jane", "n": json.Number("1")}},
		{object{"id": "a"}, "b"},
		{object{"id": "jane", "plan": "a b"}},
		{object{"id": "jane"}},
	}
	for i, exchange := range c.Exchanges() {
		if !reflect.DeepEqual(exchange.Records, want[i]) {
			t.Errorf("%s: got %v, want %v", exchange.Path, exchange.Records, want[i])
		}
	}
}

// The simulator does not know where such a vendor's credentials are.
func TestPlainVendorShowsNoCredential(t *testing.T) {
	c := openAccount(t, "somebody", Options{})
	r := c.newRequest("POST", "/x?access_token=s3cret1", object{
		"api_key": "s3cret2", "list": []any{object{"Password": "s3cret3"}}, "clientSecret": object{"a": "s3cret4"}, "id": "jane",
	})
	r.Header.Set("X-Api-Key", "s3cret5")
	r.SetBasicAuth("s3cret6", "")
	c.do(r)
	form := c.newRequest("POST", "/form", "apiKey=s3cret7&id=jane")
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c.do(form)
	shown, err := json.Marshal(c.Exchanges())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(shown), "s3cret") || strings.Count(string(shown), `"id":"jane"`) != 2 {
		t.Errorf("got %s", shown)
	}
}
