package simulator

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

// call sends parameters by GET and expects the pixel.
func (c *client) call(path string, pairs ...string) {
	c.t.Helper()
	query := url.Values{"_k": {"key"}}
	for i := 0; i < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	c.wantPixel(c.send("GET", path+"?"+query.Encode(), nil))
}

func (c *client) wantPixel(got reply) {
	c.t.Helper()
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "image/gif" || len(got.body) != 43 {
		c.t.Errorf("answer %d %v of %d bytes, want 200 and a GIF of 43", got.status, got.header, len(got.body))
	}
}

func TestKissmetricsAliasIsSymmetricAndPermanent(t *testing.T) {
	for _, pair := range [][2]string{{"anon", "jane"}, {"jane", "anon"}} {
		c := openAccount(t, "kissmetrics", Options{})
		c.call("/e", "_p", "anon", "_n", "Viewed")
		c.call("/e", "_p", "jane", "_n", "Bought")
		c.call("/a", "_p", pair[0], "_n", pair[1])
		c.call("/a", "_p", pair[1], "_n", pair[0])
		c.call("/s", "_p", "anon", "plan", "paid")
		c.wantGraph(Graph{{IDs: []string{"anon", "jane"}, Events: []string{"Bought", "Viewed"}, Properties: object{"plan": "paid"}}})
		c.wantDuplicates(1)
	}
}

func TestKissmetricsSquashesPeopleWhoAreAliased(t *testing.T) {
	c := openAccount(t, "kissmetrics", Options{})
	c.call("/a", "_p", "null", "_n", "jane")
	c.call("/a", "_p", "null", "_n", "bob")
	c.wantPeople("bob + jane + null -> one person, 0 events")
}

func TestKissmetricsAnswersThePixelToEverything(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, body, reason string
	}{
		"nothing":           {"GET", "/e", "", "unknown_key"},
		"another key":       {"GET", "/e?_k=other&_p=jane&_n=E", "", "unknown_key"},
		"no person":         {"GET", "/e?_k=key&_n=E", "", "missing_person"},
		"no event":          {"GET", "/e?_k=key&_p=jane", "", "missing_name"},
		"no second id":      {"GET", "/a?_k=key&_p=jane", "", "missing_name"},
		"another path":      {"GET", "/x?_k=key&_p=jane", "", "unknown_path"},
		"another method":    {"PUT", "/e?_k=key&_p=jane&_n=E", "", "unknown_method"},
		"an alias by POST":  {"POST", "/a?_k=key&_p=jane&_n=bob", "", "alias_by_post"},
		"data before 2009":  {"GET", "/e?_k=key&_p=jane&_n=E&_t=1230767999&_d=1", "", "before_2009"},
		"a broken form":     {"POST", "/e", "_p=%zz", "malformed"},
		"garbage":           {"POST", "/e?_k=key", "\x00\xff", "missing_person"},
		"an escaped person": {"GET", "/e?_k=key&_p=&_n=%F0%9F", "", "missing_person"},
	} {
		t.Run(name, func(t *testing.T) {
			account := openAccount(t, "kissmetrics", Options{Token: "key"})
			r := account.newRequest(c.method, c.path, c.body)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			account.wantPixel(account.do(r))
			account.wantRefusals(c.reason)
			account.wantGraph(Graph{})
		})
	}
}

func TestKissmetricsGoesByTheTimeOnlyWhenAsked(t *testing.T) {
	c := openAccount(t, "kissmetrics", Options{})
	c.call("/e", "_p", "jane", "_n", "A", "_t", "1700000000", "_d", "1")
	c.call("/e", "_p", "jane", "_n", "B", "_t", "1700000000")
	c.call("/e", "_p", "jane", "_n", "C", "_t", "soon", "_d", "1")
	var got []time.Time
	for _, record := range c.Records() {
		got = append(got, record.Time)
	}
	if want := []time.Time{time.Unix(1700000000, 0).UTC(), noon, noon}; !reflect.DeepEqual(got, want) {
		t.Errorf("times %v, want %v", got, want)
	}
}

func TestKissmetricsDropsDuplicates(t *testing.T) {
	c := openAccount(t, "kissmetrics", Options{})
	first := []string{"_p", "jane", "_n", "Bought", "_t", "1700000000", "_d", "1", "item", "hat"}
	c.call("/e", first...)
	c.clock.Advance(time.Hour)
	c.call("/e", first...)
	c.call("/e", "_p", "jane", "_n", "bought", "_t", "1700000000", "_d", "1", "item", "coat")
	c.wantDuplicates(2)
	c.call("/e", "_p", "jane", "_n", "Bought", "_t", "1700000001", "_d", "1")
	c.call("/e", "_p", "bob", "_n", "Bought", "_t", "1700000000", "_d", "1")
	c.wantDuplicates(2)

	c.call("/s", "_p", "jane", "plan", "free", "_t", "1700000000", "_d", "1")
	c.call("/s", "_p", "jane", "plan", "free", "_t", "1700000000", "_d", "1")
	c.call("/s", "_p", "jane", "plan", "paid", "_t", "1700000000", "_d", "1")
	c.wantDuplicates(3)
	c.wantPeople("bob -> one person, 1 event", "jane -> one person, 2 events")
}

func TestKissmetricsRetryWithoutTimeIsCountedTwice(t *testing.T) {
	c := openAccount(t, "kissmetrics", Options{})
	c.call("/e", "_p", "jane", "_n", "Bought", "_t", "1700000000")
	c.clock.Advance(time.Second)
	c.call("/e", "_p", "jane", "_n", "Bought", "_t", "1700000000")
	c.wantPeople("jane -> one person, 2 events")
}

func TestKissmetricsReadsForms(t *testing.T) {
	c := openAccount(t, "kissmetrics", Options{})
	r := c.newRequest("POST", "/s", "_k=key&_p=jane&plan=paid")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c.wantPixel(c.do(r))
	c.wantGraph(Graph{{IDs: []string{"jane"}, Properties: object{"plan": "paid"}}})
}

func TestKissmetricsNamesLosePunctuation(t *testing.T) {
	c := openAccount(t, "kissmetrics", Options{})
	c.call("/e", "_p", "jane", "_n", "a:b,c")
	c.call("/s", "_p", strings.Repeat("x", 256), "x:y", "1")
	c.wantGraph(Graph{
		{IDs: []string{"jane"}, Events: []string{"a b c"}},
		{IDs: []string{strings.Repeat("x", 255)}, Properties: object{"x y": "1"}},
	})
}
