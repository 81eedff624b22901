package simulator

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	deviceA = "4f1c2a30-0d5e-4b7a-9c11-2f6f3a1b0c01"
	deviceB = "7b9e8d21-55aa-4c3d-8e2f-9a0b1c2d3e4f"
)

func openMixpanel(t *testing.T, mode string) *client {
	t.Helper()
	return openAccount(t, "mixpanel", Options{IDMerge: mode})
}

// did sends an event of that person.
func (c *client) did(distinctID, name string) {
	c.t.Helper()
	c.clock.Advance(time.Second)
	at := c.clock.Now().UnixMilli()
	got := c.imports("t", event(name, distinctID, fmt.Sprint("i-", at), object{"time": at}))
	wantStatus(c.t, got, http.StatusOK)
}

// verbs sends events that change identities; every answer must be a success.
func (c *client) verbs(events ...object) {
	c.t.Helper()
	for _, e := range events {
		wantStatus(c.t, c.imports("t", e), http.StatusOK)
	}
}

func alias(old, new string) object {
	return verbEvent("$create_alias", object{"distinct_id": old, "alias": new, "token": "t"})
}

func identify(anon, user string) object {
	return verbEvent("$identify", object{"$anon_id": anon, "$identified_id": user, "token": "t"})
}

func merge(a, b string) object {
	return verbEvent("$merge", object{"$distinct_ids": []string{a, b}, "token": "t"})
}

func TestMixpanelLegacyAliasIsALookup(t *testing.T) {
	c := openMixpanel(t, "legacy")
	c.did("anon-1", "Viewed")
	c.verbs(alias("anon-1", "jane@example.com"))
	c.did("jane@example.com", "Signed Up")
	c.did("anon-1", "Clicked")
	c.wantGraph(Graph{{IDs: []string{"anon-1", "jane@example.com"}, Events: []string{"Clicked", "Signed Up", "Viewed"}}})
	c.wantPeople("anon-1 + jane@example.com -> one person, 3 events")
	c.wantRefusals()
}

func TestMixpanelLegacyAliasThatComesLateStrandsTheNewID(t *testing.T) {
	c := openMixpanel(t, "legacy")
	c.did("anon-1", "Viewed")
	c.did("jane", "Signed Up")
	c.verbs(alias("anon-1", "jane"))
	c.did("jane", "Bought")
	c.wantGraph(Graph{
		{IDs: []string{"anon-1", "jane"}, Events: []string{"Bought", "Viewed"}},
		{Stranded: "jane", Events: []string{"Signed Up"}},
	})
	c.wantPeople("anon-1 + jane -> one person, 2 events", "jane before its alias -> always apart, 1 event")
}

func TestMixpanelLegacyChains(t *testing.T) {
	c := openMixpanel(t, "legacy")
	c.verbs(alias("a", "b"), alias("b", "c"))
	c.did("c", "E")
	c.verbs(alias("y", "z"), alias("x", "y")) // the far link first
	c.did("z", "E")
	c.wantPeople("a + b + c -> one person, 1 event", "x + y + z -> one person, 1 event")
	c.verbs(alias("y", "z"), alias("a", "b"))
	c.wantRefusals()
	c.wantDuplicates(2)
}

func TestMixpanelLegacyRefusesSilently(t *testing.T) {
	c := openMixpanel(t, "legacy")
	c.verbs(
		alias("anon-1", "jane"),
		alias("anon-2", "jane"), // a second device is orphaned
		alias("jane", "anon-1"), // a circle
		alias("a", "a"),
		identify(deviceA, "jane"),
		merge("anon-2", "jane"),
	)
	c.wantRefusals("errAliasAlreadyExists", "errSameIDs", "errSameIDs", "no_effect_in_legacy", "no_effect_in_legacy")
	c.wantPeople("anon-1 + jane -> one person, 0 events")
}

func TestMixpanelOriginalMergesWhatWasBefore(t *testing.T) {
	for name, verbs := range map[string][]object{
		"identify":     {identify(deviceA, "jane")},
		"create_alias": {alias(deviceA, "jane")},
		"merge":        {merge(deviceA, "jane")},
	} {
		t.Run(name, func(t *testing.T) {
			c := openMixpanel(t, "original")
			c.did(deviceA, "Viewed")
			c.did("jane", "Signed Up")
			c.verbs(verbs...)
			c.verbs(verbs...)
			c.wantGraph(Graph{{IDs: []string{deviceA, "jane"}, Events: []string{"Signed Up", "Viewed"}}})
			c.wantRefusals()
			c.wantDuplicates(1)
			last := c.Records()[2]
			if last.Kind != name || !reflect.DeepEqual(last.IDs, []string{deviceA, "jane"}) {
				t.Errorf("record %+v, want a %s of the two", last, name)
			}
		})
	}
}

func TestMixpanelOriginalRefusesSilently(t *testing.T) {
	for _, c := range []struct {
		reason string
		verbs  []object
	}{
		{"errSameIDs", []object{identify(deviceA, deviceA)}},
		{"errAnonDistinctIdNonGUIDForm", []object{identify("anon-1", "jane")}},
		{"errAnonDistinctIdNonGUIDForm", []object{identify("4f1c2a30-0d5e-1b7a-9c11-2f6f3a1b0c01", "jane")}},
		{"errAnonDistinctIdAssignedAlready", []object{identify(deviceA, "jane"), identify(deviceA, "bob")}},
		{"errAliasAlreadyExists", []object{alias("a", "jane"), alias("b", "jane")}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			account := openMixpanel(t, "original")
			account.verbs(c.verbs...)
			account.wantRefusals(c.reason)
		})
	}
}

func TestMixpanelOriginalClusterStaysBelow500(t *testing.T) {
	c := openMixpanel(t, "original")
	for i := 1; i < 499; i++ { // 499 ids in all
		c.mustApply(merge("jane", fmt.Sprint("id-", i)))
	}
	c.wantRefusals()
	c.verbs(merge("jane", "one-more"), alias("jane", "one-more"), identify(deviceA, "jane"))
	c.wantRefusals("errManyIDs", "errManyIDs", "errManyIDs")
	if got := len(c.Graph()[0].IDs); got != 499 {
		t.Errorf("cluster of %d ids, want 499", got)
	}
}

// mustApply hands an event to the vendor without HTTP.
func (c *client) mustApply(e object) {
	c.t.Helper()
	body, _ := json.Marshal([]any{e})
	in := &request{now: noon, method: "POST", path: "/import", header: http.Header{}, body: body}
	in.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("t:")))
	c.decode(in)
	if got := c.process(in); got.status != http.StatusOK {
		c.t.Fatalf("status %d %s", got.status, got.body)
	}
}

func TestMixpanelMergeNeedsImportAndASecret(t *testing.T) {
	c := openAccount(t, "mixpanel", Options{IDMerge: "original", Token: "tok", APISecret: "shh", ServiceUser: "svc", ServiceSecret: "pw", ProjectID: "7"})
	one, _ := json.Marshal(verbEvent("$merge", object{"$distinct_ids": []string{"a", "b"}, "token": "tok"}))
	if got := c.form("/track?verbose=1", string(one)); got.object(t)["status"] != 1.0 {
		t.Errorf("answer %s, want status 1", got.body)
	}
	wantStatus(t, c.imports("tok", merge("a", "b")), http.StatusOK)
	c.wantRefusals("merge_needs_import", "merge_needs_secret")
	c.wantGraph(Graph{})

	wantStatus(t, c.imports("shh", merge("a", "b")), http.StatusOK)
	r := c.newRequest("POST", "/import?strict=1&project_id=7", []any{merge("b", "c")})
	r.SetBasicAuth("svc", "pw")
	wantStatus(t, c.do(r), http.StatusOK)
	c.wantPeople("a + b + c -> one person, 0 events")
}

func TestMixpanelSimplifiedIgnoresTheVerbs(t *testing.T) {
	c := openMixpanel(t, "simplified")
	c.verbs(alias("a", "b"), identify(deviceA, "b"), merge("a", "b"))
	c.wantRefusals("ignored_by_simplified_id_merge", "ignored_by_simplified_id_merge", "ignored_by_simplified_id_merge")
	c.wantGraph(Graph{})
}

func TestMixpanelSimplifiedLinksByAnOrdinaryEvent(t *testing.T) {
	c := openMixpanel(t, "simplified")
	got := c.imports("t",
		event("Viewed", "", "i1", object{"distinct_id": nil, "$device_id": "d1"}),
		event("Viewed", "jane", "i2", nil),
		event("Linked", "jane", "i3", object{"$device_id": "d1", "$user_id": "jane"}),
		event("Later", "$device:d1", "i4", nil),
		event("Linked", "jane", "i5", object{"$device_id": "d2", "$user_id": "jane"}),
	)
	wantStatus(t, got, http.StatusOK)
	c.wantGraph(Graph{{
		IDs:    []string{"$device:d1", "$device:d2", "jane"},
		Events: []string{"Later", "Linked", "Linked", "Viewed", "Viewed"},
	}})
}

func TestMixpanelSimplifiedDeviceStaysWithItsFirstUser(t *testing.T) {
	c := openMixpanel(t, "simplified")
	c.imports("t",
		event("Before", "", "i1", object{"$device_id": "d1"}),
		event("Login", "", "i2", object{"$device_id": "d1", "$user_id": "jane"}),
		event("Login", "", "i3", object{"$device_id": "d1", "$user_id": "bob"}),
	)
	c.wantGraph(Graph{
		{IDs: []string{"$device:d1", "jane"}, Events: []string{"Before", "Login"}},
		{IDs: []string{"bob"}, Events: []string{"Login"}},
	})
	c.wantRefusals("device_linked_to_another_user")
}

func TestMixpanelSimplifiedBareIDIsAlwaysAUser(t *testing.T) {
	c := openMixpanel(t, "simplified")
	c.imports("t",
		event("Viewed", "d1", "i1", nil), // an anonymous id without $device:
		event("Login", "jane", "i2", object{"$device_id": "d1", "$user_id": "jane"}),
	)
	c.wantPeople("$device:d1 + jane -> one person, 1 event", "d1 -> one person, 1 event")
}

func TestMixpanelSimplifiedPropertiesOfADeviceStayBehind(t *testing.T) {
	c := openMixpanel(t, "simplified")
	c.send("POST", "/engage", []any{object{"$token": "t", "$distinct_id": "$device:d1", "$set": object{"plan": "free"}}})
	c.imports("t", event("Login", "", "i1", object{"$device_id": "d1", "$user_id": "jane"}))
	c.wantGraph(Graph{{IDs: []string{"$device:d1", "jane"}, Events: []string{"Login"}}})
	c.send("POST", "/engage", []any{object{"$token": "t", "$distinct_id": "$device:d1", "$set": object{"plan": "paid"}}})
	c.wantGraph(Graph{{IDs: []string{"$device:d1", "jane"}, Events: []string{"Login"}, Properties: object{"plan": "paid"}}})
}

func TestMixpanelEngageNeverLinks(t *testing.T) {
	c := openMixpanel(t, "simplified")
	c.send("POST", "/engage", []any{object{"$token": "t", "$distinct_id": "jane", "$set": object{"$device_id": "d1", "$user_id": "jane"}}})
	c.imports("t", event("Viewed", "", "i1", object{"$device_id": "d1"}))
	if got := len(c.Graph()); got != 2 {
		t.Errorf("%d people, want 2", got)
	}
}

func TestMixpanelImportNamesWhatItRefuses(t *testing.T) {
	long := strings.Repeat("x", 37)
	deep := object{"a": object{"b": object{"c": object{"d": object{}}}}}
	wide := object{}
	for i := range 256 {
		wide[fmt.Sprint(i)] = i
	}
	for name, c := range map[string]struct {
		event any
		field string
	}{
		"not an object":          {7, ""},
		"no event name":          {object{"properties": object{}}, "event"},
		"event name of a number": {object{"event": 5, "properties": object{}}, "event"},
		"no properties":          {object{"event": "E"}, "properties"},
		"no time":                {event("E", "jane", "i", object{"time": nil}), "properties.time"},
		"time of a string":       {event("E", "jane", "i", object{"time": "2026-01-02"}), "properties.time"},
		"time before 1971":       {event("E", "jane", "i", object{"time": 31535999}), "properties.time"},
		"time ahead":             {event("E", "jane", "i", object{"time": noon.Add(61 * time.Minute).Unix()}), "properties.time"},
		"time beyond numbers":    {event("E", "jane", "i", object{"time": json.Number("1e999")}), "properties.time"},
		"no insert id":           {event("E", "jane", "i", object{"$insert_id": nil}), "properties.$insert_id"},
		"insert id too long":     {event("E", "jane", long, nil), "properties.$insert_id"},
		"insert id with a colon": {event("E", "jane", "a:b", nil), "properties.$insert_id"},
		"insert id forbidden":    {event("E", "jane", "undefined", nil), "properties.$insert_id"},
		"distinct id forbidden":  {event("E", "Anonymous", "i", nil), "properties.distinct_id"},
		"distinct id of a bool":  {event("E", "", "i", object{"distinct_id": true}), "properties.distinct_id"},
		"user id forbidden":      {event("E", "jane", "i", object{"$user_id": "null"}), "properties.$user_id"},
		"too deep":               {event("E", "jane", "i", deep), "properties.a.b.c.d"},
		"too many properties":    {event("E", "jane", "i", wide), "properties"},
		"too long an array":      {event("E", "jane", "i", object{"all": make([]int, 256)}), "properties.all"},
		"too large":              {event("E", "jane", "i", object{"x": strings.Repeat("x", 1<<20)}), ""},
		"verb without an id":     {verbEvent("$create_alias", object{"distinct_id": "a"}), "properties"},
		"verb with a junk id":    {alias("null", "jane"), "properties"},
		"merge of three":         {verbEvent("$merge", object{"$distinct_ids": []string{"a", "b", "c"}}), "properties.$distinct_ids"},
	} {
		t.Run(name, func(t *testing.T) {
			account := openMixpanel(t, "original")
			got := account.imports("t", event("Good", "jane", "i0", nil), c.event, event("Good", "jane", "i2", nil))
			wantStatus(t, got, http.StatusBadRequest)
			answer := got.object(t)
			failed := list(answer["failed_records"])
			if len(failed) != 1 || answer["num_records_imported"] != 2.0 || answer["code"] != 400.0 {
				t.Fatalf("answer %s, want one failed record and two imported", got.body)
			}
			record := failed[0].(map[string]any)
			if record["index"] != 1.0 || !strings.HasPrefix(record["field"].(string), c.field) || record["message"] == "" {
				t.Errorf("failed record %v, want index 1 and field %s", record, c.field)
			}
			account.wantPeople("jane -> one person, 2 events")
			account.wantRefusals()
		})
	}
}

func TestMixpanelImportTakes(t *testing.T) {
	for name, e := range map[string]object{
		"seconds":          event("E", "jane", "i", object{"time": noon.Unix()}),
		"milliseconds":     event("E", "jane", "i", object{"time": noon.UnixMilli()}),
		"a fraction":       event("E", "jane", "i", object{"time": json.Number("1767355200.5")}),
		"the year 1971":    event("E", "jane", "i", object{"time": 31536000}),
		"an hour ahead":    event("E", "jane", "i", object{"time": noon.Add(time.Hour).Unix()}),
		"an id of numbers": event("E", "", "i", object{"distinct_id": json.Number("12345678901234567890")}),
		"36 bytes":         event("E", "jane", deviceA, nil),
	} {
		t.Run(name, func(t *testing.T) {
			c := openMixpanel(t, "simplified")
			got := c.imports("t", e)
			wantStatus(t, got, http.StatusOK)
			if answer := got.object(t); answer["num_records_imported"] != 1.0 || answer["status"] != "OK" {
				t.Errorf("answer %s", got.body)
			}
			if records := c.Records(); len(records) != 1 || records[0].Time.After(noon) {
				t.Errorf("records %+v, want one, clamped to now", records)
			}
		})
	}
}

func TestMixpanelImportWithoutStrictSaysNothing(t *testing.T) {
	c := openMixpanel(t, "simplified")
	r := c.newRequest("POST", "/import", []any{event("E", "null", "i", nil), event("E", "jane", "i", nil)})
	r.SetBasicAuth("t", "")
	got := c.do(r)
	wantStatus(t, got, http.StatusOK)
	c.wantRefusals("properties.distinct_id a forbidden value")
	c.wantPeople("jane -> one person, 1 event")
}

func TestMixpanelImportThatCannotBeRead(t *testing.T) {
	for name, body := range map[string]string{
		"empty": "", "text": "hello", "object": `{"event":"E"}`, "half": `[{"event":`, "two": `[] []`,
	} {
		t.Run(name, func(t *testing.T) {
			c := openMixpanel(t, "simplified")
			r := c.newRequest("POST", "/import?strict=1", body)
			r.SetBasicAuth("t", "")
			got := c.do(r)
			wantStatus(t, got, http.StatusBadRequest)
			if answer := got.object(t); answer["failed_records"] != nil || answer["num_records_imported"] != 0.0 {
				t.Errorf("answer %s, want no failed_records", got.body)
			}
		})
	}
}

func TestMixpanelImportReadsGzipAndLines(t *testing.T) {
	c := openMixpanel(t, "simplified")
	array, _ := json.Marshal([]any{event("A", "jane", "i1", nil)})
	r := c.newRequest("POST", "/import?strict=1", gzipped(t, array))
	r.Header.Set("Content-Encoding", "gzip")
	r.SetBasicAuth("t", "")
	wantStatus(t, c.do(r), http.StatusOK)

	one, _ := json.Marshal(event("B", "jane", "i2", nil))
	two, _ := json.Marshal(event("C", "jane", "i3", nil))
	r = c.newRequest("POST", "/import?strict=1", string(one)+"\n\n"+string(two)+"\n")
	r.Header.Set("Content-Type", "application/x-ndjson")
	r.SetBasicAuth("t", "")
	wantStatus(t, c.do(r), http.StatusOK)
	c.wantPeople("jane -> one person, 3 events")

	r = c.newRequest("POST", "/import?strict=1", "not gzip")
	r.Header.Set("Content-Encoding", "gzip")
	r.SetBasicAuth("t", "")
	wantStatus(t, c.do(r), http.StatusBadRequest)
}

func TestMixpanelImportCredentials(t *testing.T) {
	options := Options{IDMerge: "original", Token: "tok", APISecret: "shh", ServiceUser: "svc", ServiceSecret: "pw", ProjectID: "7"}
	c := openAccount(t, "mixpanel", options)
	for _, try := range []struct {
		user, password, project string
		want                    int
	}{
		{"tok", "", "", 200},
		{"shh", "", "", 200},
		{"svc", "pw", "7", 200},
		{"svc", "pw", "", 400},
		{"svc", "pw", "8", 401},
		{"svc", "no", "7", 401},
		{"svc", "", "7", 401},
		{"other", "", "", 401},
		{"tok", "pw", "7", 401},
		{"", "", "", 401},
	} {
		r := c.newRequest("POST", "/import?strict=1&project_id="+try.project, []any{})
		r.SetBasicAuth(try.user, try.password)
		if got := c.do(r); got.status != try.want {
			t.Errorf("%+v: status %d %s", try, got.status, got.body)
		}
	}
	wantStatus(t, c.send("POST", "/import?strict=1", []any{}), http.StatusUnauthorized)
	open := openMixpanel(t, "original")
	wantStatus(t, open.imports("whatever"), http.StatusOK)
	wantStatus(t, open.send("POST", "/import?strict=1", []any{}), http.StatusUnauthorized)
}

func TestMixpanelLimitsOfARequest(t *testing.T) {
	c := openMixpanel(t, "simplified")
	many := make([]any, 2001)
	for i := range many {
		many[i] = object{}
	}
	wantStatus(t, c.imports("t", many...), http.StatusRequestEntityTooLarge)
	wantStatus(t, c.send("POST", "/engage", many), http.StatusRequestEntityTooLarge)
	r := c.newRequest("POST", "/import?strict=1", "["+strings.Repeat(" ", 10<<20)+"]")
	r.SetBasicAuth("t", "")
	got := c.do(r)
	wantStatus(t, got, http.StatusRequestEntityTooLarge)
	if got.object(t)["code"] != 413.0 {
		t.Errorf("answer %s, want code 413", got.body)
	}
}

func TestMixpanelDropsDuplicates(t *testing.T) {
	c := openMixpanel(t, "simplified")
	one := event("E", "jane", "i1", nil)
	c.imports("t", one)
	c.imports("t", one, event("E", "jane", "i1", object{"other": 1}))
	c.wantDuplicates(2)
	c.imports("t",
		event("F", "jane", "i1", nil),
		event("E", "bob", "i1", nil),
		event("E", "jane", "i2", nil),
		event("E", "jane", "i1", object{"time": noon.UnixMilli() - 1}),
	)
	c.wantDuplicates(2)
	c.wantPeople("bob -> one person, 1 event", "jane -> one person, 4 events")
}

func TestMixpanelTrackLies(t *testing.T) {
	good := `{"event":"E","properties":{"distinct_id":"jane","token":"tok"}}`
	for name, c := range map[string]struct {
		data   string
		status string
		reason string
	}{
		"good":                    {good, "1", ""},
		"base64":                  {base64.StdEncoding.EncodeToString([]byte(good)), "1", ""},
		"an array with one good":  {"[" + good + `,{"event":""}]`, "1", "event missing or not a string"},
		"not JSON":                {"{", "0", ""},
		"nothing":                 {"", "0", ""},
		"no name":                 {`{"properties":{"token":"tok"}}`, "0", ""},
		"no token":                {`{"event":"E","properties":{"distinct_id":"jane"}}`, "0", ""},
		"a forbidden id":          {`{"event":"E","properties":{"distinct_id":"null","token":"tok"}}`, "0", ""},
		"a token nobody knows":    {`{"event":"E","properties":{"distinct_id":"jane","token":"bad"}}`, "1", "unknown_token"},
		"older than five days":    {`{"event":"E","properties":{"distinct_id":"jane","token":"tok","time":1766836800}}`, "1", "older_than_5_days"},
		"to be ignored":           {`{"event":"E","properties":{"distinct_id":"jane","token":"tok","$ignore":true}}`, "1", "ignore_property"},
		"the past minute is fine": {`{"event":"E","properties":{"distinct_id":"jane","token":"tok","time":1767355140}}`, "1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			account := openAccount(t, "mixpanel", Options{IDMerge: "legacy", Token: "tok"})
			got := account.form("/track", c.data)
			if got.status != 200 || got.body != c.status || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
				t.Errorf("answer %d %s %v, want 200 %s", got.status, got.body, got.header, c.status)
			}
			if c.reason != "" {
				account.wantRefusals(c.reason)
			}
			verbose := account.form("/track?verbose=1&strict=1", c.data).object(t)
			if fmt.Sprint(verbose["status"]) != c.status || (c.status == "0") != (verbose["error"] != nil) {
				t.Errorf("verbose answer %v, want status %s", verbose, c.status)
			}
		})
	}
}

func TestMixpanelTrackTakesDataInTheQueryAndJSON(t *testing.T) {
	c := openMixpanel(t, "legacy")
	r := c.newRequest("POST", "/track?data=%7B%22event%22%3A%22A%22%2C%22properties%22%3A%7B%22token%22%3A%22t%22%2C%22distinct_id%22%3A%22jane%22%7D%7D", nil)
	r.Header.Del("Content-Type")
	if got := c.do(r); got.body != "1" {
		t.Errorf("answer %s, want 1", got.body)
	}
	one := object{"event": "B", "properties": object{"token": "t", "distinct_id": "jane"}}
	if got := c.send("POST", "/track", []any{one}); got.body != "1" {
		t.Errorf("answer %s, want 1", got.body)
	}
	c.wantPeople("jane -> one person, 2 events")
	if got := c.Exchanges()[0].Query.Get("data"); got != secret {
		t.Errorf("the data in the query reads %q, want %s", got, secret)
	}
}

func TestMixpanelPlaceholdersAndAbsentIDs(t *testing.T) {
	c := openMixpanel(t, "simplified")
	c.imports("t", event("Nobody", "", "i1", nil), event("Absent", "", "i2", object{"distinct_id": nil}))
	c.wantPeople("ip:127.0.0.1 -> one person, 1 event")
	if got := len(c.Records()); got != 2 {
		t.Errorf("%d records, want 2", got)
	}
}

func TestMixpanelCutsLongIDs(t *testing.T) {
	c := openMixpanel(t, "simplified")
	long := strings.Repeat("x", 255)
	c.imports("t", event("E", long+"1", "i1", nil), event("E", long+"2", "i2", nil))
	c.wantPeople(long + " -> one person, 2 events")
}

func TestMixpanelProfileOperations(t *testing.T) {
	c := openMixpanel(t, "simplified")
	update := func(members object) {
		t.Helper()
		members["$token"], members["$distinct_id"] = "t", "jane"
		if got := c.send("POST", "/engage?verbose=1&strict=1", []any{members}).object(t); got["status"] != 1.0 {
			t.Errorf("update %v: answer %v", members, got)
		}
	}
	update(object{"$set": object{"plan": "free", "gone": 1}})
	update(object{"$set": object{"plan": "paid"}})
	update(object{"$set_once": object{"plan": "late", "first": "x"}})
	update(object{"$add": object{"count": 2}})
	update(object{"$add": object{"count": 0.5}})
	update(object{"$append": object{"list": "a"}})
	update(object{"$append": object{"list": "a"}})
	update(object{"$union": object{"set": []string{"a", "b"}}})
	update(object{"$union": object{"set": []string{"b", "c"}}})
	update(object{"$remove": object{"set": "a"}})
	update(object{"$unset": []string{"gone"}})
	c.wantGraph(Graph{{IDs: []string{"jane"}, Properties: object{
		"plan": "paid", "first": "x", "count": json.Number("2.5"),
		"list": []any{"a", "a"}, "set": []any{"b", "c"},
	}}})
	update(object{"$delete": ""})
	c.wantGraph(Graph{{IDs: []string{"jane"}}})
}

func TestMixpanelProfilesFollowTheIdentityMode(t *testing.T) {
	jane := func(members object) []any {
		return []any{object{"$token": "t", "$distinct_id": "jane", "$set": members}}
	}
	for mode, want := range map[string]Graph{
		"legacy": {
			{IDs: []string{deviceA, "jane"}, Properties: object{"plan": "paid"}},
			{Stranded: "jane", Properties: object{"lost": "x"}},
		},
		"original":   {{IDs: []string{deviceA, "jane"}, Properties: object{"lost": "x", "plan": "paid"}}},
		"simplified": {{IDs: []string{"jane"}, Properties: object{"lost": "x", "plan": "paid"}}},
	} {
		t.Run(mode, func(t *testing.T) {
			c := openMixpanel(t, mode)
			c.send("POST", "/engage", jane(object{"lost": "x"}))
			c.verbs(alias(deviceA, "jane"))
			c.send("POST", "/engage", jane(object{"plan": "paid"}))
			c.wantGraph(want)
		})
	}
}

func TestMixpanelUpdatesThatAreBad(t *testing.T) {
	for name, update := range map[string]any{
		"not an object":      1,
		"no token":           object{"$distinct_id": "jane", "$set": object{}},
		"no id":              object{"$token": "t", "$set": object{}},
		"a forbidden id":     object{"$token": "t", "$distinct_id": "undefined", "$set": object{}},
		"no operation":       object{"$token": "t", "$distinct_id": "jane"},
		"set of a string":    object{"$token": "t", "$distinct_id": "jane", "$set": "x"},
		"add of a string":    object{"$token": "t", "$distinct_id": "jane", "$add": object{"x": "1"}},
		"add beyond numbers": object{"$token": "t", "$distinct_id": "jane", "$add": object{"x": json.Number("1e999")}},
		"union of a string":  object{"$token": "t", "$distinct_id": "jane", "$union": object{"x": "1"}},
		"unset of an object": object{"$token": "t", "$distinct_id": "jane", "$unset": object{}},
		"too large":          object{"$token": "t", "$distinct_id": "jane", "$set": object{"x": strings.Repeat("x", 1<<20)}},
	} {
		t.Run(name, func(t *testing.T) {
			c := openMixpanel(t, "simplified")
			good := object{"$token": "t", "$distinct_id": "good", "$set": object{"a": "b"}}
			got := c.send("POST", "/engage?verbose=1&strict=1", []any{good, update}).object(t)
			failed := list(got["failed_records"])
			if got["status"] != 0.0 || len(failed) != 1 || failed[0].(map[string]any)["index"] != 1.0 {
				t.Errorf("answer %v, want status 0 and a failed record at 1", got)
			}
			if got := c.send("POST", "/engage?verbose=1", []any{good, update}).object(t); got["status"] != 1.0 {
				t.Errorf("without strict the answer is %v, want status 1", got)
			}
			if got := len(c.Refusals()); got != 1 {
				t.Errorf("%d refusals, want the silent one", got)
			}
			if got := c.send("POST", "/engage", []any{update}); got.status != 200 || got.body != "0" {
				t.Errorf("answer %d %s, want 200 and 0", got.status, got.body)
			}
			c.wantGraph(Graph{{IDs: []string{"good"}, Properties: object{"a": "b"}}})
		})
	}
}

func TestMixpanelEngageAndGroupsKnowNoGzip(t *testing.T) {
	c := openMixpanel(t, "simplified")
	update, _ := json.Marshal([]any{object{"$token": "t", "$distinct_id": "jane", "$set": object{}}})
	for _, path := range []string{"/engage", "/groups"} {
		r := c.newRequest("POST", path+"?verbose=1&strict=1", gzipped(t, update))
		r.Header.Set("Content-Encoding", "gzip")
		got := c.do(r)
		if got.status != 200 || got.object(t)["status"] != 0.0 {
			t.Errorf("%s: answer %d %s, want 200 and status 0", path, got.status, got.body)
		}
	}
}

func TestMixpanelUnknownTokenOfUpdatesIsSilent(t *testing.T) {
	c := openAccount(t, "mixpanel", Options{IDMerge: "legacy", Token: "tok"})
	c.send("POST", "/engage?verbose=1", []any{object{"$token": "bad", "$distinct_id": "jane", "$set": object{}}})
	c.send("POST", "/groups?verbose=1", []any{object{"$token": "bad", "$group_key": "company", "$group_id": "acme", "$set": object{}}})
	c.wantRefusals("unknown_token", "unknown_token")
	c.wantGraph(Graph{})
}

func TestMixpanelGroups(t *testing.T) {
	c := openMixpanel(t, "simplified")
	good := object{"$token": "t", "$group_key": "company", "$group_id": "acme", "$set": object{"plan": "paid"}}
	if got := c.send("POST", "/groups?verbose=1", []any{good}).object(t); got["status"] != 1.0 {
		t.Errorf("answer %v, want status 1", got)
	}
	if got := c.send("POST", "/groups?verbose=1", []any{object{"$token": "t", "$group_key": "company", "$set": object{}}}).object(t); got["status"] != 0.0 {
		t.Errorf("answer %v, want status 0", got)
	}
	if got := c.Records(); len(got) != 1 || got[0].Kind != "group" || !reflect.DeepEqual(got[0].IDs, []string{"company", "acme"}) {
		t.Errorf("records %+v, want one group", got)
	}
	c.wantGraph(Graph{})
}

func TestMixpanelUnknownEndpoints(t *testing.T) {
	c := openMixpanel(t, "simplified")
	wantStatus(t, c.send("POST", "/nowhere", []any{}), http.StatusNotFound)
	wantStatus(t, c.send("GET", "/track", nil), http.StatusMethodNotAllowed)
}
