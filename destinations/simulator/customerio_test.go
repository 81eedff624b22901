package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	aULID       = "01KDYAK348S86Z5JATM52C3M7Z"
	anotherULID = "01KDYAK348570V52F7A8GSBCV2"
)

// openCustomerIO opens a workspace in which a merge finds people at once, unless the settings say otherwise.
func openCustomerIO(t *testing.T, set CustomerIO) *client {
	t.Helper()
	if set.FindableAfter == 0 {
		set.FindableAfter = -1
	}
	return openAccount(t, "customerio", Options{CustomerIO: set})
}

// cio sends a body with credentials.
func (c *client) cio(method, path string, body any) reply {
	c.t.Helper()
	r := c.newRequest(method, path, body)
	r.SetBasicAuth("site", "key")
	return c.do(r)
}

// takes sends items one by one, which must all be answered with 200.
func (c *client) takes(items ...object) {
	c.t.Helper()
	for _, item := range items {
		if got := c.cio("POST", cioEntityPath, item); got.status != http.StatusOK || got.body != "{}" {
			c.t.Errorf("%v: answer %d %s, want 200 {}", item, got.status, got.body)
		}
	}
}

// person is an item of the person with these identifiers; more are further members.
func person(action string, identifiers, more object) object {
	item := object{"type": "person", "action": action, "identifiers": identifiers}
	for name, value := range more {
		item[name] = value
	}
	return item
}

func byID(id string) object { return object{"id": id} }

func byEmail(email string) object { return object{"email": email} }

func identified(who, attributes object) object {
	return person("identify", who, object{"attributes": attributes})
}

func happened(who object, name string) object { return person("event", who, object{"name": name}) }

func happenedAt(who object, name string, at time.Time) object {
	return person("event", who, object{"name": name, "timestamp": at.Unix()})
}

func merged(primary, secondary object) object {
	return object{"type": "person", "action": "merge", "primary": primary, "secondary": secondary}
}

func related(action string, more object) object {
	item := object{"type": "object", "action": action, "identifiers": object{"object_type_id": "1", "object_id": "acme"}}
	for name, value := range more {
		item[name] = value
	}
	return item
}

func manyAttributes(n int) object {
	all := object{}
	for i := range n {
		all[fmt.Sprint("a", i)] = i
	}
	return all
}

// cioRules are what the vendor answers to one item. The reason is "" where it takes the item.
var cioRules = map[string]struct {
	item          any
	reason, field string
}{
	"an identify is taken":                        {identified(byID("jane"), object{"plan": "free"}), "", ""},
	"an identify needs no attributes":             {person("identify", byID("jane"), nil), "", ""},
	"an event is taken":                           {happened(byID("jane"), "E"), "", ""},
	"an anonymous event is taken":                 {happened(object{"anonymous_id": "a-1"}, "E"), "", ""},
	"a page is taken":                             {person("page", byID("jane"), object{"name": "/cart", "id": aULID}), "", ""},
	"a screen is taken":                           {person("screen", byID("jane"), object{"name": "Cart"}), "", ""},
	"an id that is no ULID is taken":              {person("event", byID("jane"), object{"name": "E", "id": "m1"}), "", ""},
	"a device is taken":                           {person("add_device", byID("jane"), object{"device": object{"token": "t", "platform": "ios", "last_used": 1767323045}}), "", ""},
	"a device is deleted by its token":            {person("delete_device", byID("jane"), object{"device": object{"token": "t"}}), "", ""},
	"a merge is taken":                            {merged(byID("known"), byEmail("jane@example.com")), "", ""},
	"a delete is taken":                           {person("delete", byID("known"), nil), "", ""},
	"a suppress is taken":                         {person("suppress", byEmail("jane@example.com"), nil), "", ""},
	"an unsuppress is taken":                      {person("unsuppress", byID("known"), nil), "", ""},
	"an object is taken":                          {related("identify", object{"attributes": object{"name": "Acme"}, "cio_relationships": []any{object{"identifiers": byID("known"), "relationship_attributes": object{"role": "admin"}}}}), "", ""},
	"an anonymous object is taken":                {related("identify_anonymous", object{"cio_relationships": []any{object{"identifiers": object{"anonymous_id": "a-1"}}}}), "", ""},
	"an object is deleted":                        {related("delete", nil), "", ""},
	"a person is related to objects":              {person("add_relationships", byID("known"), object{"cio_relationships": []any{object{"identifiers": object{"object_type_id": "1", "object_id": "acme"}}}}), "", ""},
	"an id has 150 bytes":                         {identified(byID(strings.Repeat("x", 150)), nil), "", ""},
	"a name of an attribute has 150 bytes":        {identified(byID("jane"), object{strings.Repeat("x", 150): 1}), "", ""},
	"an attribute has 1000 bytes":                 {identified(byID("jane"), object{"x": strings.Repeat("x", 1000)}), "", ""},
	"a person has 300 attributes":                 {identified(byID("jane"), manyAttributes(300)), "", ""},
	"an event's name has 100 bytes":               {happened(byID("jane"), strings.Repeat("x", 100)), "", ""},
	"a value of an event has over 1000 bytes":     {person("event", byID("jane"), object{"name": "E", "attributes": object{"x": strings.Repeat("x", 5000)}}), "", ""},
	"an empty e-mail claims nothing":              {identified(byID("jane"), object{"email": ""}), "", ""},
	"an item is an object":                        {[]any{}, "invalid", ""},
	"a type is required":                          {object{"action": "identify", "identifiers": byID("a")}, "required", "type"},
	"an action is required":                       {object{"type": "person", "identifiers": byID("a")}, "required", "action"},
	"another type is refused":                     {object{"type": "delivery", "action": "event", "identifiers": byID("a")}, "invalid", "action"},
	"another action is refused":                   {person("rename", byID("a"), nil), "invalid", "action"},
	"identifiers are required":                    {object{"type": "person", "action": "identify"}, "required", "identifiers"},
	"two identifiers are refused":                 {identified(object{"id": "a", "email": "a@example.com"}, nil), "invalid", "identifiers"},
	"no identifier is refused":                    {identified(object{}, nil), "invalid", "identifiers"},
	"identifiers of text are refused":             {object{"type": "person", "action": "identify", "identifiers": "a"}, "invalid", "identifiers"},
	"another identifier is refused":               {identified(object{"user_id": "a"}, nil), "invalid", "identifiers.user_id"},
	"an empty id is refused":                      {identified(byID(""), nil), "invalid", "identifiers.id"},
	"an id that is a number is refused":           {identified(object{"id": 5}, nil), "invalid", "identifiers.id"},
	"an id of 151 bytes is refused":               {identified(byID(strings.Repeat("x", 151)), nil), "invalid", "identifiers.id"},
	"an id counts bytes":                          {identified(byID(strings.Repeat("é", 76)), nil), "invalid", "identifiers.id"},
	"a wrong e-mail is refused":                   {identified(byEmail("jane"), nil), "invalid", "identifiers.email"},
	"a wrong e-mail as attribute is refused":      {identified(byID("a"), object{"email": "jane"}), "invalid", "attributes.email"},
	"a phone is refused where it identifies none": {identified(object{"phone": "+14155552671"}, nil), "invalid", "identifiers.phone"},
	"an anonymous identify is refused":            {identified(object{"anonymous_id": "a-1"}, nil), "invalid", "identifiers.anonymous_id"},
	"attributes of text are refused":              {person("identify", byID("a"), object{"attributes": "x"}), "invalid", "attributes"},
	"attributes of events of text are refused":    {person("event", byID("a"), object{"name": "E", "attributes": "x"}), "invalid", "attributes"},
	"an attribute's name of 151 bytes is refused": {identified(byID("a"), object{strings.Repeat("x", 151): 1}), "invalid", "attributes"},
	"an attribute of 1001 bytes is refused":       {identified(byID("a"), object{"x": strings.Repeat("x", 1001)}), "invalid", "attributes.x"},
	"a list counts as JSON":                       {identified(byID("a"), object{"x": []string{strings.Repeat("x", 1000)}}), "invalid", "attributes.x"},
	"301 attributes are refused":                  {identified(byID("a"), manyAttributes(301)), "invalid", "attributes"},
	"a time as text is refused":                   {person("identify", byID("a"), object{"timestamp": "2026-01-02T00:00:00Z"}), "invalid", "timestamp"},
	"a time with a fraction is refused":           {person("identify", byID("a"), object{"timestamp": json.Number("1767323045.5")}), "invalid", "timestamp"},
	"a time before 1970 is refused":               {person("identify", byID("a"), object{"timestamp": -1}), "invalid", "timestamp"},
	"an event without a name is refused":          {person("event", byID("a"), nil), "required", "name"},
	"an event with an empty name is refused":      {happened(byID("a"), ""), "required", "name"},
	"a name that is a number is refused":          {person("event", byID("a"), object{"name": 5}), "invalid", "name"},
	"an event's name of 101 bytes is refused":     {happened(byID("a"), strings.Repeat("x", 101)), "invalid", "name"},
	"a page's name of 101 bytes is refused":       {person("page", byID("a"), object{"name": strings.Repeat("x", 101)}), "invalid", "name"},
	"an event's id that is a number is refused":   {person("event", byID("a"), object{"name": "E", "id": 5}), "invalid", "id"},
	"a device is required":                        {person("add_device", byID("a"), nil), "required", "device"},
	"a device of text is refused":                 {person("add_device", byID("a"), object{"device": "t"}), "invalid", "device"},
	"a token is required":                         {person("delete_device", byID("a"), object{"device": object{}}), "required", "device.token"},
	"another platform is refused":                 {person("add_device", byID("a"), object{"device": object{"token": "t", "platform": "web"}}), "invalid", "device.platform"},
	"a wrong last_used is refused":                {person("add_device", byID("a"), object{"device": object{"token": "t", "platform": "ios", "last_used": "now"}}), "invalid", "device.last_used"},
	"a merge without primary is refused":          {object{"type": "person", "action": "merge", "secondary": byID("a")}, "required", "primary"},
	"a merge without secondary is refused":        {object{"type": "person", "action": "merge", "primary": byID("a")}, "required", "secondary"},
	"a merge of two identifiers is refused":       {merged(object{"id": "a", "cio_id": "b"}, byID("c")), "invalid", "primary"},
	"an anonymous merge is refused":               {merged(byID("known"), object{"anonymous_id": "a-1"}), "invalid", "secondary.anonymous_id"},
	"a merge by phone is refused":                 {merged(byID("known"), object{"phone": "+14155552671"}), "invalid", "secondary.phone"},
	"an object's id is required":                  {object{"type": "object", "action": "identify", "identifiers": object{"object_type_id": "1"}}, "required", "identifiers.object_id"},
	"an object's type is a number":                {object{"type": "object", "action": "identify", "identifiers": object{"object_type_id": "acme", "object_id": "a"}}, "invalid", "identifiers.object_type_id"},
	"an object's identifiers are required":        {object{"type": "object", "action": "delete"}, "required", "identifiers"},
	"an object's identifiers are an object":       {object{"type": "object", "action": "delete", "identifiers": "a"}, "invalid", "identifiers"},
	"relationships are required":                  {related("add_relationships", nil), "required", "cio_relationships"},
	"relationships are an array":                  {related("identify", object{"cio_relationships": object{}}), "invalid", "cio_relationships"},
	"relationships are an array of objects":       {related("identify", object{"cio_relationships": []any{"a"}}), "invalid", "cio_relationships"},
	"a relationship is to somebody identified":    {related("identify", object{"cio_relationships": []any{object{"identifiers": object{"anonymous_id": "a-1"}}}}), "invalid", "identifiers.anonymous_id"},
	"a person's relationship is to an object":     {person("identify", byID("a"), object{"cio_relationships": []any{object{"identifiers": byID("b")}}}), "required", "identifiers.object_id"},
	"an object's attributes are limited":          {related("identify", object{"attributes": manyAttributes(301)}), "invalid", "attributes"},
	"an item over 32 KB is refused":               {person("event", byID("a"), object{"name": "E", "attributes": object{"x": strings.Repeat("x", 32_000)}}), "invalid", ""},
}

func TestCustomerIORules(t *testing.T) {
	for name, rule := range cioRules {
		t.Run(name, func(t *testing.T) {
			c := openCustomerIO(t, CustomerIO{})
			c.takes(identified(byID("known"), nil), identified(byEmail("jane@example.com"), nil))
			before := c.Graph()
			got := c.cio("POST", cioBatchPath, object{"batch": []any{happened(byID("known"), "Before"), rule.item, happened(byID("known"), "After")}})
			if rule.reason == "" {
				wantStatus(t, got, http.StatusOK)
				return
			}
			c.wantRefused(got, http.StatusMultiStatus, rule.reason, rule.field)
			if answer := got.object(t)["errors"].([]any); len(answer) != 1 || answer[0].(object)["batch_index"] != 1.0 {
				t.Errorf("answer %s, want only index 1 refused", got.body)
			}
			before[slices.IndexFunc(before, func(p Person) bool { return p.IDs[0] == "known" })].Events = []string{"After", "Before"}
			c.wantGraph(before)

			want := http.StatusBadRequest
			if strings.Contains(name, "32 KB") {
				want = http.StatusRequestEntityTooLarge
			}
			c.wantRefused(c.cio("POST", cioEntityPath, rule.item), want, rule.reason, rule.field)
			c.wantGraph(before)
			c.wantRefusals() // what an answer says is in no log
		})
	}
}

func (c *client) wantRefused(got reply, status int, reason, field string) {
	c.t.Helper()
	wantStatus(c.t, got, status)
	errors, _ := got.object(c.t)["errors"].([]any)
	if len(errors) == 0 {
		c.t.Fatalf("answer %s, want errors", got.body)
	}
	first, _ := errors[0].(object)
	if first["reason"] != reason || first["field"] != field || first["message"] == "" {
		c.t.Errorf("answer %s, want reason %q of field %q and a message", got.body, reason, field)
	}
}

func TestCustomerIOBodies(t *testing.T) {
	for name, rule := range map[string]struct {
		method, path  string
		body          any
		status        int
		reason, field string
	}{
		"nothing":                 {"POST", cioBatchPath, "", 400, "parse_error", ""},
		"half a batch":            {"POST", cioBatchPath, `{"batch":[{}`, 400, "parse_error", ""},
		"an array":                {"POST", cioBatchPath, `[]`, 400, "parse_error", ""},
		"no batch":                {"POST", cioBatchPath, `{"Batch":[{}]}`, 400, "required", "batch"},
		"an empty batch":          {"POST", cioBatchPath, `{"batch":[]}`, 400, "required", "batch"},
		"a batch of an object":    {"POST", cioBatchPath, `{"batch":{}}`, 400, "required", "batch"},
		"two values":              {"POST", cioEntityPath, `{} {}`, 400, "parse_error", ""},
		"an entity of an array":   {"POST", cioEntityPath, `[]`, 400, "invalid", ""},
		"a call of 1 of an array": {"PUT", "/api/v1/customers/a", `[]`, 400, "invalid", ""},
		"another path":            {"POST", "/api/v2/people", `{}`, 404, "invalid", "path"},
		"nobody's path":           {"PUT", "/api/v1/customers/", `{}`, 404, "invalid", "path"},
		"nobody's events":         {"POST", "/api/v1/customers//events", `{}`, 404, "invalid", "path"},
		"a batch by PUT":          {"PUT", cioBatchPath, `{}`, 405, "invalid", "method"},
		"a person by POST":        {"POST", "/api/v1/customers/a", `{}`, 405, "invalid", "method"},
		"the region by POST":      {"POST", cioRegionPath, `{}`, 405, "invalid", "method"},
	} {
		t.Run(name, func(t *testing.T) {
			c := openCustomerIO(t, CustomerIO{})
			c.wantRefused(c.cio(rule.method, rule.path, rule.body), rule.status, rule.reason, rule.field)
			c.wantGraph(Graph{})
		})
	}
}

// Nothing of a body is taken that cannot be read as a whole.
func TestCustomerIOMalformedBatchTakesNothing(t *testing.T) {
	c := openCustomerIO(t, CustomerIO{})
	wantStatus(t, c.cio("POST", cioBatchPath, `{"batch":[{"type":"person","action":"identify","identifiers":{"id":"a"}},]}`), 400)
	c.wantGraph(Graph{})
}

func TestCustomerIOFaultRefusesByIndex(t *testing.T) {
	c := openCustomerIO(t, CustomerIO{})
	c.fault(Fault{FailRecords: []int{1}})
	got := c.cio("POST", cioBatchPath, object{"batch": []any{identified(byID("a"), nil), identified(byID("b"), nil), identified(byID("c"), nil)}})
	c.wantRefused(got, http.StatusMultiStatus, "invalid", "")
	c.wantPeople("a -> one person, 0 events", "c -> one person, 0 events")
}

func TestCustomerIOSizes(t *testing.T) {
	for kilobyte, fits := range map[int]bool{0: false, 1000: false, 1024: true} {
		c := openCustomerIO(t, CustomerIO{Kilobyte: kilobyte})
		large := person("event", byID("a"), object{"name": "E", "attributes": object{"x": strings.Repeat("x", 32_200)}})
		if got := c.cio("POST", cioEntityPath, large); (got.status == http.StatusOK) != fits || !fits && got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("kilobyte %d: an entity got %d", kilobyte, got.status)
		}
		items := []any{}
		for range 16 {
			items = append(items, person("event", byID("b"), object{"name": "E", "attributes": object{"x": strings.Repeat("x", 31_300)}}))
		}
		if got := c.cio("POST", cioBatchPath, object{"batch": items}); (got.status == http.StatusOK) != fits || !fits && got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("kilobyte %d: a batch got %d", kilobyte, got.status)
		}
	}
}

func TestCustomerIOCredentials(t *testing.T) {
	c := openAccount(t, "customerio", Options{Token: "key", CustomerIO: CustomerIO{SiteID: "site"}})
	for _, try := range []struct {
		user, password string
		status         int
	}{
		{"", "", 401}, {"site", "", 401}, {"", "key", 401}, {"site", "other", 401}, {"other", "key", 401}, {"key", "site", 401}, {"site", "key", 200},
	} {
		for _, path := range []string{cioBatchPath, cioEntityPath, cioRegionPath} {
			r := c.newRequest("POST", path, object{"batch": []any{identified(byID("a"), nil)}})
			switch path {
			case cioEntityPath:
				r = c.newRequest("POST", path, identified(byID("a"), nil))
			case cioRegionPath:
				r = c.newRequest("GET", path, nil)
			}
			if try.user+try.password != "" {
				r.SetBasicAuth(try.user, try.password)
			}
			wantStatus(t, c.do(r), try.status)
		}
	}
	anybody := openCustomerIO(t, CustomerIO{})
	for _, try := range [][2]string{{"", "key"}, {"site", ""}} {
		r := anybody.newRequest("GET", cioRegionPath, nil)
		r.SetBasicAuth(try[0], try[1])
		wantStatus(t, anybody.do(r), http.StatusUnauthorized)
	}
}

func TestCustomerIORegions(t *testing.T) {
	for _, try := range []struct {
		region, host string
		status       int
		url          string
	}{
		{"", "", 200, "https://track.customer.io"},
		{"us", "us", 200, "https://track.customer.io"},
		{"eu", "", 200, "https://track-eu.customer.io"},
		{"eu", "us", 200, "https://track-eu.customer.io"}, // passed on, and logged on the way
		{"us", "eu", 401, "https://track.customer.io"},
	} {
		c := openCustomerIO(t, CustomerIO{Region: try.region, Host: try.host})
		wantStatus(t, c.cio("POST", cioEntityPath, identified(byID("a"), nil)), try.status)
		got := c.cio("GET", cioRegionPath, nil)
		wantStatus(t, got, 200)
		region := strings.TrimPrefix(try.region, "us")
		want := object{"url": try.url, "region": "us" + region, "environment_id": 1.0}
		if region != "" {
			want["region"] = region
		}
		if answer := got.object(t); !reflect.DeepEqual(answer, want) {
			t.Errorf("%+v: answer %v, want %v", try, answer, want)
		}
	}
}

func TestCustomerIORate(t *testing.T) {
	c := openCustomerIO(t, CustomerIO{Rate: 2})
	one := identified(byID("a"), nil)
	c.takes(one, one)
	wantStatus(t, c.cio("POST", cioEntityPath, one), http.StatusTooManyRequests)
	c.clock.Advance(time.Second)
	c.takes(one, one)
	unlimited := openCustomerIO(t, CustomerIO{})
	for range 1100 {
		unlimited.takes(one)
	}
}

func TestCustomerIODropsRepeatedEventsByULIDOnly(t *testing.T) {
	c := openCustomerIO(t, CustomerIO{})
	send := func(name, id string) { c.takes(person("event", byID("a"), object{"name": name, "id": id})) }
	send("E", aULID)
	send("E", aULID)
	send("F", strings.ToLower(aULID))
	c.wantDuplicates(2)
	send("E", anotherULID)
	send("E", "m1")
	send("E", "m1")
	send("E", "8"+aULID[1:]) // over 128 bits
	send("E", "8"+aULID[1:])
	c.wantDuplicates(2)
	c.wantPeople("a -> one person, 6 events")
	if key := c.Records()[0].Key; key != aULID {
		t.Errorf("key %q", key)
	}
}

func TestCustomerIOOlderUpdatesLose(t *testing.T) {
	c := openCustomerIO(t, CustomerIO{})
	update := func(at int64, attributes object) {
		c.takes(person("identify", byID("a"), object{"timestamp": at, "attributes": attributes}))
	}
	update(200, object{"plan": "paid"})
	update(100, object{"plan": "free", "city": "Bern"})
	update(200, object{"city": "Basel"})
	c.wantGraph(Graph{{IDs: []string{"a"}, Properties: object{"plan": "paid", "city": "Basel"}}})
	c.takes(identified(byID("a"), object{"plan": "gold"})) // at the time of arrival
	update(300, object{"plan": "old"})
	c.wantGraph(Graph{{IDs: []string{"a"}, Properties: object{"plan": "gold", "city": "Basel"}}})
}

func TestCustomerIOAttributesBeyond300AreLeftOut(t *testing.T) {
	c := openCustomerIO(t, CustomerIO{})
	c.takes(identified(byID("a"), manyAttributes(300)), identified(byID("a"), object{"more": 1, "a0": 2}))
	c.wantRefusals("over_300_attributes")
	if one, _ := c.Graph().Person("a"); len(one.Properties) != 300 || one.Properties["a0"] != json.Number("2") {
		t.Errorf("%d properties, a0 %v", len(one.Properties), one.Properties["a0"])
	}
}

func TestCustomerIORecords(t *testing.T) {
	c := openCustomerIO(t, CustomerIO{})
	c.takes(
		person("identify", byID("a"), object{"timestamp": 1767323045, "attributes": object{"anonymous_id": "a-1"}}),
		identified(byEmail("B@example.com"), nil),
		merged(byID("a"), byEmail("b@example.com")),
		person("page", object{"cio_id": "03000001"}, object{"name": "/"}),
		related("identify", nil),
		person("delete", byID("a"), nil),
	)
	want := []Record{
		{At: noon, Time: time.Unix(1767323045, 0).UTC(), Kind: "profile", IDs: []string{"a-1", "a"}},
		{At: noon, Time: noon, Kind: "profile", IDs: []string{"b@example.com"}},
		{At: noon, Time: noon, Kind: "merge", IDs: []string{"b@example.com", "a"}},
		{At: noon, Time: noon, Kind: "page", IDs: []string{"cio_03000001"}, Event: "/"},
		{At: noon, Time: noon, Kind: "group", IDs: []string{"1", "acme"}},
		{At: noon, Time: noon, Kind: "delete", IDs: []string{"a"}},
	}
	if got := c.Records(); !reflect.DeepEqual(got, want) {
		t.Errorf("records %+v, want %+v", got, want)
	}
	c.wantGraph(Graph{})
}

func TestCustomerIOVersion1(t *testing.T) {
	c := openCustomerIO(t, CustomerIO{})
	for _, call := range []struct {
		method, path string
		body         object
	}{
		{"PUT", "/api/v1/customers/jane@example.com", object{"plan": "free", "_timestamp": 1767323045}},
		{"PUT", "/api/v1/customers/507", object{"email": "Jane@example.com", "anonymous_id": "a-1"}},
		{"POST", "/api/v1/customers/507/events", object{"name": "Bought", "data": object{"item": 1}, "id": aULID}},
		{"POST", "/api/v1/customers/cio_03000001/events", object{"name": "/cart", "type": "page"}},
		{"POST", "/api/v1/events", object{"name": "Viewed", "anonymous_id": "a-1"}},
		{"PUT", "/api/v1/customers/old%2F7", object{"city": "Bern"}},
		{"POST", "/api/v1/merge_customers", object{"primary": byID("507"), "secondary": byID("old/7")}},
	} {
		if got := c.cio(call.method, call.path, call.body); got.status != 200 || got.body != "{}" {
			t.Errorf("%s %s: answer %d %s", call.method, call.path, got.status, got.body)
		}
	}
	c.wantGraph(Graph{{
		IDs:        []string{"507", "a-1", "jane@example.com"},
		Events:     []string{"/cart", "Bought", "Viewed"},
		Properties: object{"plan": "free", "city": "Bern"},
	}})
	c.wantRefused(c.cio("POST", "/api/v1/events", object{"name": "Viewed"}), 400, "invalid", "identifiers.anonymous_id")
	c.wantRefused(c.cio("POST", "/api/v1/merge_customers", object{"primary": byID("507")}), 400, "required", "secondary")
	c.wantRefused(c.cio("PUT", "/api/v1/customers/507", object{"x": strings.Repeat("x", 32_000)}), 413, "invalid", "")
}

// What goes in a path is read by its shape, and by what the workspace allows.
func TestCustomerIOVersion1ReadsIdentifiersByTheirShape(t *testing.T) {
	for identifiers, want := range map[string]cioRef{"both": {"email", "a@b"}, "email": {"email", "a@b"}, "id": {"id", "A@b"}} {
		if got := (CustomerIO{Identifiers: identifiers}).byShape("A@b"); got != want {
			t.Errorf("%s: %v, want %v", identifiers, got, want)
		}
	}
	for value, want := range map[string]cioRef{"cio_03": {"cio_id", "03"}, "a": {"id", "a"}, "+14155552671": {"id", "+14155552671"}} {
		if got := (CustomerIO{}).withDefaults().byShape(value); got != want {
			t.Errorf("%s: %v, want %v", value, got, want)
		}
	}
}

func TestCustomerIOShowsNoCredential(t *testing.T) {
	c := openCustomerIO(t, CustomerIO{})
	r := c.newRequest("POST", cioEntityPath, identified(byID("a"), nil))
	r.SetBasicAuth("s3cret", "s3cret")
	c.do(r)
	shown, _ := json.Marshal(c.Exchanges())
	if strings.Contains(string(shown), "czNjcmV0") || strings.Contains(string(shown), "s3cret") || !strings.Contains(string(shown), `"id":"a"`) {
		t.Errorf("exchanges %s", shown)
	}
}

func TestCustomerIOIsBounded(t *testing.T) {
	c := openAccount(t, "customerio", Options{MaxRecords: 2, CustomerIO: CustomerIO{FindableAfter: -1}})
	c.takes(identified(byID("a"), nil), identified(byID("b"), nil), identified(byID("c"), nil), happened(byID("d"), "E"))
	c.takes(happened(byID("a"), "E"), happened(byID("a"), "F"), happened(byID("a"), "G"))
	c.wantPeople("a -> one person, 2 events", "b -> one person, 0 events")
	c.wantRefusals("simulator_full", "simulator_full")
	c.takes(happened(ofAnonymous("x"), "E"), identified(byID("a"), object{"anonymous_id": "x"}))
	c.wantRefusals("simulator_full", "simulator_full") // the oldest are gone
	c.wantPeople("a -> one person, 2 events", "b -> one person, 0 events")
	if got := c.Stats(); got.GraphCut != 5 || got.Refusals != 3 {
		t.Errorf("stats %+v, want 3 refusals and 5 cut of the graph", got)
	}
	c.takes(person("delete", byID("b"), nil), happened(object{"anonymous_id": "x"}, "E"), person("delete", byID("a"), nil))
	c.takes(identified(byID("c"), nil), happened(byID("c"), "E"), person("suppress", byID("c"), nil), person("suppress", byID("d"), nil))
	c.wantPeople()
}

func TestCustomerIORefusesImpossibleSettings(t *testing.T) {
	sim := startSimulator(t)
	for want, set := range map[string]CustomerIO{
		`region "asia" is not one of us, eu`:                      {Region: "asia"},
		`host "asia" is not one of us, eu`:                        {Host: "asia"},
		`self_merge "no" is not one of nothing, refused, deleted`: {SelfMerge: "no"},
		`kilobyte 1 is not one of 1000, 1024`:                     {Kilobyte: 1},
		`taken_anonymous_id "lost" is not one of kept, moved`:     {TakenAnonymousID: "lost"},
		`merged_identifiers "lost" is not one of inherited, free`: {MergedIdentifiers: "lost"},
		`identifiers "phone" is not one of both, id, email`:       {Identifiers: "phone"},
		`anonymous_events "dropped" is not one of taken, refused`: {AnonymousEvents: "dropped"},
		`related_people "doubled" is not one of made, ignored`:    {RelatedPeople: "doubled"},
		`batch_order "shuffled" is not one of given, reversed`:    {BatchOrder: "shuffled"},
		`conflict "all" is not one of nothing, rest`:              {Conflict: "all"},
		`future "gone" is not one of kept, now`:                   {Future: "gone"},
		`rejoin "sometimes" is not one of again, never`:           {Rejoin: "sometimes"},
		`long_ids "hashed" is not one of refused, cut`:            {LongIDs: "hashed"},
	} {
		if _, err := sim.Add("a", "customerio", Options{CustomerIO: set}); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
