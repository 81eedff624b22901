package segment

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestDecodeKeepsEverything(t *testing.T) {
	m := parseOne(t, `{"type":"track","event":" Order ","userId":7,"properties":{"n":12345678901234567890.10,"e":1E5,"s":"\ud83d\ude00\u0000","t":true,"f":false,"z":null,"a":[1,[],{}]},"extra":"\ud800x"}`)
	call, err := m.Decode()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"n": json.Number("12345678901234567890.10"), "e": json.Number("1E5"), "s": "😀\x00", "t": true, "f": false, "z": nil,
		"a": []any{json.Number("1"), []any{}, map[string]any{}},
	}
	if !reflect.DeepEqual(call.Properties, want) {
		t.Errorf("%#v", call.Properties)
	}
	if call.Event != " Order " || call.Fields["extra"] != "\ufffdx" || call.Fields["userId"] != json.Number("7") || call.UserID != "7" || call.Options != nil {
		t.Errorf("%#v", call)
	}
}

func TestObjectsAreNeverNil(t *testing.T) {
	for _, value := range []string{`null`, `[]`, `"x"`, `7`} {
		m := parseOne(t, `{"type":"identify","userId":"u","properties":`+value+`,"traits":`+value+`,"context":`+value+`}`)
		call, err := m.Decode()
		if err != nil || call.Properties == nil || call.Traits == nil || call.Context == nil {
			t.Errorf("%s: %v %#v", value, err, call)
		}
	}
}

func TestNameAndCategoryComeFromTheTopElseFromProperties(t *testing.T) {
	for body, want := range map[string][2]string{
		`{"type":"page","userId":"u","name":"n","category":"c","properties":{"name":"x","category":"y"}}`:   {"n", "c"},
		`{"type":"screen","userId":"u","name":"","category":null,"properties":{"name":"x","category":"y"}}`: {"x", "y"},
		`{"type":"page","userId":"u","name":7,"properties":{"category":["y"]}}`:                             {},
		`{"type":"track","event":"e","userId":"u","name":"n","category":"c"}`:                               {},
	} {
		m := parseOne(t, body)
		call, err := m.Decode()
		if err != nil || call.Name != want[0] || call.Category != want[1] {
			t.Errorf("%s: %v %q %q", body, err, call.Name, call.Category)
		}
	}
}

func TestDecodeRefusesWhatIsNoCall(t *testing.T) {
	for _, damaged := range []string{``, `[]`, `7`, `{"a":1`, `{} {}`, `{"a":NaN}`} {
		m := Message{JSON: []byte(damaged)}
		if call, err := m.Decode(); err == nil {
			t.Errorf("%s: %v", damaged, call)
		}
	}
}
