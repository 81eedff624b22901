package simulator

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// vero sends a call with a token and returns the status.
func (c *client) vero(method, path string, body object) int {
	c.t.Helper()
	body["auth_token"] = "tok"
	got := c.send(method, path, body)
	if answer := got.object(c.t); answer["status"] != float64(got.status) || answer["message"] == "" {
		c.t.Errorf("answer %d %s, want its status and a message", got.status, got.body)
	}
	return got.status
}

func (c *client) wantVero(want int, method, path string, body object) {
	c.t.Helper()
	if got := c.vero(method, path, body); got != want {
		c.t.Errorf("%s %s %v: status %d, want %d", method, path, body, got, want)
	}
}

func veroEvent(id, name string, data any) object {
	return object{"identity": object{"id": id}, "event_name": name, "data": data}
}

func TestVeroReidentifyRenames(t *testing.T) {
	c := openAccount(t, "vero", Options{})
	if !strings.HasSuffix(c.Endpoint(), "/api/v2") {
		t.Errorf("endpoint %s, want it to end in /api/v2", c.Endpoint())
	}
	c.wantVero(200, "POST", "/users/track", object{"id": "old", "email": "jane@example.com", "data": object{"plan": "free"}})
	c.wantVero(200, "POST", "/events/track", veroEvent("old", "viewed", object{}))
	c.wantVero(200, "PUT", "/users/reidentify", object{"id": "old", "new_id": "jane"})
	c.wantGraph(Graph{{IDs: []string{"jane"}, Events: []string{"viewed"}, Properties: object{"plan": "free", "email": "jane@example.com"}}})
	record := c.Records()[2]
	if record.Kind != "reidentify" || !reflect.DeepEqual(record.IDs, []string{"old", "jane"}) {
		t.Errorf("record %+v, want the reidentify of old, jane", record)
	}

	c.wantVero(404, "PUT", "/users/reidentify", object{"id": "old", "new_id": "jane"}) // a repeat finds no profile
	c.wantVero(200, "POST", "/users/track", object{"id": "old"})                       // and the old id starts over
	c.wantPeople("jane -> one person, 1 event", "old -> one person, 0 events")
	c.wantVero(400, "PUT", "/users/reidentify", object{"id": "old", "new_id": "jane"}) // which is taken now
}

func TestVeroRefuses(t *testing.T) {
	long := strings.Repeat("x", 255)
	for name, c := range map[string]struct {
		want         int
		method, path string
		body         object
	}{
		"a user without id":                 {400, "POST", "/users/track", object{}},
		"a user with an id of 255":          {400, "POST", "/users/track", object{"id": long}},
		"a user with a wrong email":         {400, "POST", "/users/track", object{"id": "a", "email": "jane"}},
		"a user with data of text":          {400, "POST", "/users/track", object{"id": "a", "data": "x"}},
		"a rename without new id":           {400, "PUT", "/users/reidentify", object{"id": "known"}},
		"a rename without id":               {400, "PUT", "/users/reidentify", object{"new_id": "b"}},
		"a rename to an id of 255":          {400, "PUT", "/users/reidentify", object{"id": "known", "new_id": long}},
		"a rename of nobody":                {404, "PUT", "/users/reidentify", object{"id": "nobody", "new_id": "b"}},
		"a rename to itself":                {400, "PUT", "/users/reidentify", object{"id": "known", "new_id": "known"}},
		"a rename by POST":                  {404, "POST", "/users/reidentify", object{"id": "known", "new_id": "b"}},
		"an edit of nobody":                 {404, "PUT", "/users/edit", object{"id": "nobody", "changes": object{}}},
		"an edit without id":                {400, "PUT", "/users/edit", object{"changes": object{}}},
		"an edit with changes of text":      {400, "PUT", "/users/edit", object{"id": "known", "changes": "x"}},
		"tags of nobody":                    {404, "PUT", "/users/tags/edit", object{"id": "nobody"}},
		"an unsubscribe of nobody":          {404, "POST", "/users/unsubscribe", object{"id": "nobody"}},
		"a delete of nobody":                {404, "POST", "/users/delete", object{"id": "nobody"}},
		"an event without identity":         {400, "POST", "/events/track", object{"event_name": "E"}},
		"an event without id":               {400, "POST", "/events/track", object{"event_name": "E", "identity": object{}}},
		"an event without name":             {400, "POST", "/events/track", object{"identity": object{"id": "known"}}},
		"an event with a name of 255":       {400, "POST", "/events/track", veroEvent("known", long, object{})},
		"an event with data of text":        {400, "POST", "/events/track", veroEvent("known", "E", "x")},
		"an event with extras of an array":  {400, "POST", "/events/track", object{"identity": object{"id": "known"}, "event_name": "E", "extras": []int{}}},
		"another path":                      {404, "POST", "/users", object{"id": "known"}},
		"the version of the path left out ": {404, "POST", "/../v1/users/track", object{"id": "known"}},
	} {
		t.Run(name, func(t *testing.T) {
			account := openAccount(t, "vero", Options{})
			account.wantVero(200, "POST", "/users/track", object{"id": "known"})
			account.wantVero(c.want, c.method, c.path, c.body)
			account.wantGraph(Graph{{IDs: []string{"known"}}})
		})
	}
}

func TestVeroCountsCharacters(t *testing.T) {
	c := openAccount(t, "vero", Options{})
	fits := strings.Repeat("é", 254)
	c.wantVero(200, "POST", "/users/track", object{"id": fits})
	c.wantVero(400, "POST", "/users/track", object{"id": fits + "é"})
	c.wantVero(200, "POST", "/events/track", veroEvent(fits, fits, object{}))
	c.wantVero(400, "PUT", "/users/reidentify", object{"id": fits, "new_id": fits + "é"})
	c.wantVero(200, "PUT", "/users/reidentify", object{"id": fits, "new_id": fits[:252] + "x"})
}

func TestVeroCredentials(t *testing.T) {
	c := openAccount(t, "vero", Options{Token: "tok"})
	wantStatus(t, c.send("POST", "/users/track", object{"id": "a"}), http.StatusUnauthorized)
	wantStatus(t, c.send("POST", "/users/track", object{"id": "a", "auth_token": "bad"}), http.StatusUnauthorized)
	wantStatus(t, c.send("POST", "/users/track", object{"id": "a", "auth_token": "tok"}), http.StatusOK)
	wantStatus(t, c.send("POST", "/users/track", object{"id": "a", "tracking_api_key": "tok"}), http.StatusOK)
	wantStatus(t, c.send("POST", "/users/track?auth_token=tok", object{"id": "a"}), http.StatusOK)
	wantStatus(t, c.send("POST", "/users/track.json?tracking_api_key=tok", object{"id": 1000}), http.StatusOK)
	wantStatus(t, c.send("POST", "/users/track?auth_token=tok", `{"id":`), http.StatusBadRequest)
	wantStatus(t, c.send("POST", "/users/track?auth_token=tok", `["id"]`), http.StatusBadRequest)
	wantStatus(t, c.send("POST", "/users/track?auth_token=tok", `{"id":"a"} {}`), http.StatusBadRequest)
	c.wantPeople("1000 -> one person, 0 events", "a -> one person, 0 events")
}

func TestVeroEventCreatesAProfileByItsEmail(t *testing.T) {
	c := openAccount(t, "vero", Options{})
	c.wantVero(200, "POST", "/users/track", object{"id": "jane", "email": "jane@example.com"})
	c.wantVero(200, "POST", "/events/track", object{"identity": object{"email": "jane@example.com"}, "event_name": "E"})
	c.wantGraph(Graph{
		{IDs: []string{"jane"}, Properties: object{"email": "jane@example.com"}},
		{IDs: []string{"jane@example.com"}, Events: []string{"E"}, Properties: object{"email": "jane@example.com"}},
	})
}

func TestVeroDropsTheLikeOfAnEventForFiveMinutes(t *testing.T) {
	c := openAccount(t, "vero", Options{})
	send := func(body object) {
		t.Helper()
		c.wantVero(200, "POST", "/events/track", body)
	}
	send(veroEvent("jane", "Added To Cart", object{"item": 1, "size": 2}))
	send(veroEvent("jane", "added_to_cart", object{"size": 2, "item": 1}))
	c.wantDuplicates(1)
	send(veroEvent("jane", "Added To Cart", object{"item": 2, "size": 2}))
	send(veroEvent("bob", "Added To Cart", object{"item": 1, "size": 2}))
	c.wantDuplicates(1)
	c.clock.Advance(5*time.Minute - 1)
	send(veroEvent("jane", "Added To Cart", object{"item": 1, "size": 2}))
	c.wantDuplicates(2)
	c.clock.Advance(1)
	send(veroEvent("jane", "Added To Cart", object{"item": 1, "size": 2}))
	c.wantDuplicates(2)
	c.wantPeople("bob -> one person, 1 event", "jane -> one person, 3 events")
}

func TestVeroCheckIDCountsOnlyWithoutData(t *testing.T) {
	c := openAccount(t, "vero", Options{})
	send := func(check string, data bool) {
		t.Helper()
		body := object{"identity": object{"id": "jane"}, "event_name": "E", "extras": object{"check_id": check}}
		if data {
			body["data"] = object{}
		}
		c.wantVero(200, "POST", "/events/track", body)
	}
	send("1", false)
	send("1", false)
	send("2", false)
	c.wantDuplicates(1)
	send("1", true)
	send("2", true)
	c.wantDuplicates(2)
}

func TestVeroEventTimes(t *testing.T) {
	c := openAccount(t, "vero", Options{})
	for i, created := range []any{"2026-01-01T00:00:00+01:00", json.Number("1700000000"), "yesterday", nil} {
		c.wantVero(200, "POST", "/events/track", object{"identity": object{"id": "jane"}, "event_name": "E",
			"data": object{"i": i}, "extras": object{"created_at": created}})
	}
	want := []time.Time{time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC), time.Unix(1700000000, 0).UTC(), noon, noon}
	for i, record := range c.Records() {
		if !record.Time.Equal(want[i]) {
			t.Errorf("record %d: time %v, want %v", i, record.Time, want[i])
		}
	}
}

func TestVeroEditTagsAndSubscriptions(t *testing.T) {
	c := openAccount(t, "vero", Options{})
	c.wantVero(200, "POST", "/users/track", object{"id": "jane", "data": object{"plan": "free"}})
	c.wantVero(200, "PUT", "/users/edit", object{"id": "jane", "changes": object{"plan": "paid"}})
	c.wantVero(200, "PUT", "/users/tags/edit", object{"id": "jane", "add": []string{"b", "a", "c"}})
	c.wantVero(200, "PUT", "/users/tags/edit", object{"id": "jane", "add": []string{"a"}, "remove": []string{"c"}})
	c.wantVero(200, "POST", "/users/unsubscribe", object{"id": "jane"})
	c.wantGraph(Graph{{IDs: []string{"jane"}, Properties: object{"plan": "paid", "tags": []any{"a", "b"}, "unsubscribed": true}}})
	c.wantVero(200, "POST", "/users/resubscribe", object{"id": "jane"})
	if person, _ := c.Graph().Person("jane"); person.Properties["unsubscribed"] != false {
		t.Errorf("properties %v, want subscribed", person.Properties)
	}
	c.wantVero(200, "POST", "/users/delete", object{"id": "jane"})
	c.wantGraph(Graph{})
	var kinds []string
	for _, record := range c.Records() {
		kinds = append(kinds, record.Kind)
	}
	if want := []string{"profile", "edit", "tags", "tags", "unsubscribe", "resubscribe", "delete"}; !reflect.DeepEqual(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
}
