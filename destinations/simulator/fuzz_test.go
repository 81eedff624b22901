package simulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// FuzzExchange gives every vendor arbitrary bytes: they answer, and what they then hold can be shown.
func FuzzExchange(f *testing.F) {
	paths := []string{"/import", "/track", "/engage", "/groups", "/e", "/s", "/a",
		"/api/v2/users/track", "/api/v2/users/reidentify", "/api/v2/users/edit", "/api/v2/users/tags/edit",
		"/api/v2/users/unsubscribe", "/api/v2/events/track", "/v1/batch", "/v1/alias"}
	form, lines := "application/x-www-form-urlencoded", "application/x-ndjson"
	for _, seed := range [][4]string{
		{"/import", "strict=1", "application/json", `[{"event":"E","properties":{"distinct_id":"a","$insert_id":"i","time":1767355200,"$device_id":"d","$user_id":"u"}}]`},
		{"/import", "", lines, "{\"event\":\"$merge\",\"properties\":{\"$distinct_ids\":[\"a\",\"b\"]}}\n{}"},
		{"/import", "strict=1", "", `[{"event":"$identify","properties":{"$anon_id":"` + deviceA + `","$identified_id":"u"}},null,[1]]`},
		{"/import", "strict=1", "", "\x1f\x8b\x08"},
		{"/track", "verbose=1", form, "data=eyJldmVudCI6IkUiLCJwcm9wZXJ0aWVzIjp7InRva2VuIjoidCJ9fQ=="},
		{"/track", "", form, `data={"event":"$create_alias","properties":{"distinct_id":"a","alias":"b","token":"t"}}`},
		{"/engage", "strict=1", "application/json", `[{"$token":"t","$distinct_id":"a","$add":{"n":1e999},"$union":{"l":[1]},"$append":{"l":2},"$remove":{"l":1},"$unset":["l",{}]}]`},
		{"/groups", "verbose=1", "application/json", `{"$token":"t","$group_key":"k","$group_id":1,"$set":{}}`},
		{"/e", "_k=k&_p=a&_n=E&_t=9223372036854775807&_d=1", "", ""},
		{"/s", "_k=k", form, "_p=a&plan=paid&;"},
		{"/a", "_k=k&_p=a&_n=b", "", ""},
		{"/api/v2/users/track", "auth_token=t", "application/json", `{"id":"a","email":"a@b","data":{"tags":"x"}}`},
		{"/api/v2/users/reidentify", "auth_token=t", "application/json", `{"id":"known","new_id":"a"}`},
		{"/api/v2/users/tags/edit", "auth_token=t", "application/json", `{"id":"known","add":["a",{}],"remove":7}`},
		{"/api/v2/events/track", "auth_token=t", "application/json", `{"identity":{"id":1},"event_name":"E","data":{"a":1e999},"extras":{"created_at":1e5}}`},
		{"/v1/batch", "", "application/json", `{"batch":[{"type":"alias","previousId":"known","userId":"a","messageId":"1"},{"type":"page","anonymousId":1}],"integrations":{"A":1},"sentAt":"2026-01-02T03:04:05Z"}`},
		{"/", "", "application/json", `[{"type":"alias","previousId":"known","userId":"a","messageId":"1"},{"data":{"type":1,"userId":[]}}]`},
		{"/v1/alias", "", "application/json", `{"previousId":"known","userId":"a","writeKey":"k","context":[]}`},
	} {
		f.Add(seed[0], seed[1], seed[2], []byte(seed[3]), uint8(0))
	}
	f.Fuzz(func(t *testing.T, path, query, contentType string, body []byte, how uint8) {
		if how&8 != 0 {
			path = paths[int(how>>4)%len(paths)]
		}
		for _, vendor := range []string{"mixpanel", "kissmetrics", "vero", "segment", "webhook", "somebody"} {
			mode := []string{"legacy", "original", "simplified", "original"}[how&3]
			hook := Webhook{Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}[:int(how>>7)]}
			flavor := Segment{Flavor: segmentFlavors[int(how>>4)%len(segmentFlavors)]}
			a, err := newAccount("it", vendor, "http://x/it", Options{IDMerge: mode, Segment: flavor, Webhook: hook, MaxRecords: 50})
			if err != nil {
				t.Fatal(err)
			}
			a.state.graph.credit("known", "E")
			for _, method := range []string{"POST", "PUT", "GET", "POST"} {
				in := fuzzRequest(method, path, query, contentType, body, how&4 != 0)
				a.decode(in)
				out := a.process(in)
				if out.status < 200 || out.status > 599 {
					t.Fatalf("%s: status %d", vendor, out.status)
				}
			}
			for _, value := range []any{a.Graph(), a.Records(), a.Refusals()} {
				if _, err := json.Marshal(value); err != nil {
					t.Fatal(err)
				}
			}
			_ = a.Graph().String()
		}
	})
}

func fuzzRequest(method, path, query, contentType string, body []byte, gzip bool) *request {
	values, _ := url.ParseQuery(query)
	in := &request{now: noon, remote: "127.0.0.1", method: method, path: path, query: values, header: http.Header{}, body: body, maxBody: 1 << 20}
	in.header.Set("Content-Type", contentType)
	in.header.Set("Authorization", "Basic dDo=")
	if gzip {
		in.header.Set("Content-Encoding", "gzip")
	}
	return in
}

// FuzzFaults gives the control API arbitrary bytes: what it takes as faults it also shows again.
func FuzzFaults(f *testing.F) {
	f.Add(`{"status": 429, "header": {"Retry-After": "7"}, "times": 2}`)
	f.Add(`[{"hang": true, "when": "after", "delay": "150ms"}, {"reset": true, "probability": 0.5, "id": "a", "path": "/e"}]`)
	f.Add(`{"body": "x", "body_bytes": 100, "drip": "1ms", "fail_records": [0, -1]}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, body string) {
		all, err := parseFaults([]byte(body))
		if err != nil {
			return
		}
		wires := []faultJSON{}
		for _, fault := range all {
			wires = append(wires, fault.wire())
		}
		text, err := json.Marshal(wires)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseFaults(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if len(all) > 0 && !reflect.DeepEqual(withoutEmpty(all), withoutEmpty(again)) {
			t.Fatalf("%s became %s", strings.TrimSpace(body), text)
		}
	})
}

// withoutEmpty drops the difference between an empty collection and none, which JSON's omitempty does not keep.
func withoutEmpty(all []Fault) []Fault {
	for i := range all {
		if len(all[i].Header) == 0 {
			all[i].Header = nil
		}
		if len(all[i].FailRecords) == 0 {
			all[i].FailRecords = nil
		}
	}
	return all
}
