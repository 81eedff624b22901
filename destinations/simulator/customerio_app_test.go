package simulator

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"
)

// asks reads a person with the key of the App API.
func (c *client) asks(path, key string) reply {
	c.t.Helper()
	r := c.newRequest("GET", path, nil)
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return c.do(r)
}

// events are the names of a person's activities, the last first.
func (c *client) events(path string) (names []string) {
	c.t.Helper()
	got := c.asks(path, "app-key")
	wantStatus(c.t, got, http.StatusOK)
	for _, activity := range got.object(c.t)["activities"].([]any) {
		names = append(names, fmt.Sprint(activity.(object)["name"]))
	}
	return names
}

// https://docs.customer.io/integrations/api/app/tag/customers/getPersonAttributes/
func TestTheAppAPIReadsAPerson(t *testing.T) {
	c := openCustomerIO(t, CustomerIO{AppAPIKey: "app-key"})
	c.takes(
		identified(byID("u-1"), object{"plan": "pro", "seats": 7}),
		identified(byEmail("jen@example.com"), object{"plan": "free", "city": "Bonn"}),
	)
	got := c.asks("/v1/customers/u-1/attributes", "app-key").object(t)
	want := object{"id": "u-1", "devices": []any{}, "attributes": object{"id": "u-1", "cio_id": "03000001", "plan": "pro", "seats": "7"}}
	if !reflect.DeepEqual(got["customer"], want) {
		t.Errorf("%v, want %v", got["customer"], want)
	}
	for path, status := range map[string]int{
		"/v1/customers/u-1/attributes?id_type=id":                  200,
		"/v1/customers/03000001/attributes?id_type=cio_id":         200,
		"/v1/customers/Jen@example.com/attributes?id_type=email":   200,
		"/v1/customers/jen@example.com/attributes":                 404, // no id
		"/v1/customers/u-2/attributes":                             404,
		"/v1/customers/u-1/attributes?id_type=phone":               400, // not an identifier of this workspace
		"/v1/customers/u-1/segments":                               404,
		"/v1/customers/u-2/activities":                             404,
		"/v1/customers/u-1/activities?type=event&name=Signed%20Up": 200,
	} {
		if got := c.asks(path, "app-key"); got.status != status {
			t.Errorf("%s: %d, want %d", path, got.status, status)
		}
	}
	if n := len(c.Records()); n != 2 {
		t.Errorf("reading made %d records", n-2)
	}
}

func TestTheAppAPIHasAKeyOfItsOwn(t *testing.T) {
	c := openCustomerIO(t, CustomerIO{AppAPIKey: "app-key"})
	c.takes(identified(byID("u-1"), object{}))
	for _, key := range []string{"", "key", "app-key-2"} {
		wantStatus(t, c.asks("/v1/customers/u-1/attributes", key), http.StatusUnauthorized)
	}
	wantStatus(t, c.cio("GET", "/v1/customers/u-1/attributes", nil), http.StatusUnauthorized)
	eu := openCustomerIO(t, CustomerIO{Region: "eu", Host: "us"})
	wantStatus(t, eu.asks("/v1/customers/u-1/attributes", "app-key"), http.StatusUnauthorized)
}

// What a merge deletes is not found, and its events are the other person's.
func TestTheAppAPISeesAMerge(t *testing.T) {
	for _, moves := range []string{"inherited", "free"} {
		c := openCustomerIO(t, CustomerIO{AppAPIKey: "app-key", MergedIdentifiers: moves})
		c.takes(
			identified(byEmail("jen@example.com"), object{"plan": "free"}),
			person("event", byEmail("jen@example.com"), object{"name": "Signed Up"}),
			identified(byID("u-1"), object{}),
			object{"type": "person", "action": "merge", "primary": byID("u-1"), "secondary": byEmail("jen@example.com")},
			person("event", byID("u-1"), object{"name": "Paid"}),
		)
		if got := c.events("/v1/customers/u-1/activities"); !slices.Equal(got, []string{"Paid", "Signed Up"}) {
			t.Errorf("%s: %q", moves, got)
		}
		if got := c.events("/v1/customers/u-1/activities?type=event&name=Paid"); !slices.Equal(got, []string{"Paid"}) {
			t.Errorf("%s: %q", moves, got)
		}
		if got := c.events("/v1/customers/u-1/activities?type=sent_email"); len(got) > 0 {
			t.Errorf("%s: %q", moves, got)
		}
		old := c.asks("/v1/customers/jen@example.com/attributes?id_type=email", "app-key")
		if moves == "free" {
			wantStatus(t, old, http.StatusNotFound)
			continue
		}
		if id := old.object(t)["customer"].(object)["id"]; id != "u-1" {
			t.Errorf("the e-mail is %v's", id)
		}
	}
}

// An event that a merge still moves is not seen yet.
func TestTheAppAPIDoesNotSeeWhatAMergeStillMoves(t *testing.T) {
	c := openCustomerIO(t, CustomerIO{AppAPIKey: "app-key"})
	c.takes(
		identified(byEmail("jen@example.com"), object{}),
		person("event", byEmail("jen@example.com"), object{"name": "Signed Up", "timestamp": noon.Add(-40 * 24 * time.Hour).Unix()}),
		identified(byID("u-1"), object{}),
		object{"type": "person", "action": "merge", "primary": byID("u-1"), "secondary": byEmail("jen@example.com")},
	)
	if got := c.events("/v1/customers/u-1/activities"); len(got) > 0 {
		t.Errorf("%q", got)
	}
	c.clock.Advance(2 * time.Hour)
	if got := c.events("/v1/customers/u-1/activities"); !slices.Equal(got, []string{"Signed Up"}) {
		t.Errorf("%q", got)
	}
}
