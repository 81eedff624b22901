package segment

import (
	"slices"
	"testing"
)

func TestMembersStandAsTheyCame(t *testing.T) {
	for object, want := range map[string][]string{
		`{"a":1.50,"b\u0041": {"c" : [ ]} ,"a":null}`: {"a", "1.50", "bA", `{"c" : [ ]}`, "a", "null"},
		` {} `:          nil,
		`[1]`:           nil,
		`"{}"`:          nil,
		``:              nil,
		`{"a":1,"b":}`:  {"a", "1"},
		`{"a":1,"b":tr`: {"a", "1"},
	} {
		var got []string
		for name, value := range Members(object) {
			got = append(got, name, value)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", object, got, want)
		}
	}
	for name := range Members([]byte(`{"a":1,"b":2}`)) {
		if name == "b" {
			t.Error("it goes on after a break")
		}
		break
	}
}

func TestItemsStandAsTheyCame(t *testing.T) {
	for array, want := range map[string][]string{
		` ["a", 1e3 ,{"b":[]}]`: {`"a"`, "1e3", `{"b":[]}`},
		`[]`:                    nil,
		`{"a":1}`:               nil,
		`null`:                  nil,
		`["a",}`:                {`"a"`},
	} {
		if got := slices.Collect(Items(array)); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", array, got, want)
		}
	}
	for item := range Items(`[1,2]`) {
		if item == "2" {
			t.Error("it goes on after a break")
		}
		break
	}
}

func TestTextOfAString(t *testing.T) {
	for value, want := range map[string]string{`"a\u0062"`: "ab", ` "" `: ""} {
		if got, ok := Text(value); got != want || !ok {
			t.Errorf("%s: got %q, %t", value, got, ok)
		}
	}
	for _, value := range []string{`1`, `null`, `{}`, `"a`, `"a" "b"`, ``} {
		if got, ok := Text(value); ok {
			t.Errorf("%s: got %q", value, got)
		}
	}
}

func TestNamesOfADestination(t *testing.T) {
	strict, lenient := Names{List: []string{"mine", "Segment"}}, Names{List: []string{"mine", "Segment"}, Lenient: true}
	for name, want := range map[string][2]bool{"Segment": {true, true}, "se gment": {false, true}, "Segments": {false, false}, "All": {false, false}} {
		if got := [2]bool{strict.Has(name), lenient.Has(name)}; got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

// An adapter that passes a call on needs what the router has resolved, and the call as it came.
func TestACallHasItsRoutingAndItsJSON(t *testing.T) {
	const body = `{"batch":[{"type":"alias","userId":"u","previousId":"p","integrations":{"B":false}}],"integrations":{"A":true},"context":{"ip":"203.0.113.7"}}`
	result, err := Parse([]byte(body), Options{Batch: true, ReceivedAt: receivedAt})
	if err != nil {
		t.Fatal(err)
	}
	call, err := result.Messages[0].Decode()
	if err != nil {
		t.Fatal(err)
	}
	routing := map[string]string{}
	for name, value := range Members(call.Routing) {
		routing[name] = value
	}
	if len(routing) != 2 || routing["A"] != "true" || routing["B"] != "false" {
		t.Errorf("routing: got %s", call.Routing)
	}
	var names []string
	for name := range Members(call.JSON()) {
		names = append(names, name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"context", "integrations", "previousId", "type", "userId"}) {
		t.Errorf("JSON: got %s", call.JSON())
	}
	track, err := (&Message{Header: Header{Type: Track}, Routing: []byte(`{"All":false}`), JSON: []byte(`{"event":"E"}`)}).Decode()
	if err != nil || string(track.Routing) != `{"All":false}` || string(track.JSON()) != `{"event":"E"}` {
		t.Errorf("got %s, %s, %v", track.Routing, track.JSON(), err)
	}
}
