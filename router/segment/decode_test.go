package segment

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
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
	if call.Event != " Order " || call.Fields()["extra"] != "\ufffdx" || call.Fields()["userId"] != json.Number("7") || call.UserID != "7" || call.Options != nil {
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

func TestDecodeRefusesWhatNestsWithoutEnd(t *testing.T) {
	for _, brackets := range []string{`{"a":`, `[`} {
		m := Message{JSON: []byte(`{"a":` + strings.Repeat(brackets, 1<<20))}
		if call, err := m.Decode(); err == nil {
			t.Errorf("%s: %v", brackets, call)
		}
	}
}

// What is read of a call when it comes, and when it is decoded, must be the same: jsontext reads the one, decoder the other.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		benchAlias, benchTrack, ``, ` {} `, `{}{}`, `{"a":[1,-0,0.10,1e+5,1E-5,01,1.,.5,-,1e]}`, `{"a":[],"b":[ ],"c":{ },"a":{"a":null}}`,
		`{"a":"\ud83d\ude00\ud800\u00Ff\"\\\/\b\f\n\r\t"}`, `{"\u0061":1,"a":2}`, `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"` + "\xff\x01" + `"}`,
		`{"a":tru}`, `{"a":true,}`, `{,"a":1}`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":[1 2]}`, `{"a":[1,]}`, `{1:2}`, `["a"]`, `{"a":"b`, `{"a":nullx}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		r := newReader(source)
		defer r.release()
		want := readObject(r)
		if r.end(); r.err != nil {
			want = nil
		}
		if got := object(source); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, want %v", source, got, want)
		}
		d := newDecoder(source)
		defer d.release()
		d.parts()
		if d.end(); d.failed != (want == nil) {
			t.Errorf("%q: refused: %t, want %t", source, d.failed, want == nil)
		}
	})
}

func readObject(r *reader) map[string]any {
	o := map[string]any{}
	r.token(jsontext.KindBeginObject)
	for r.more(jsontext.KindEndObject) {
		name := text(r.value())
		o[name] = readValue(r)
	}
	r.token(jsontext.KindEndObject)
	return o
}

func readValue(r *reader) any {
	switch r.peek() {
	case jsontext.KindBeginObject:
		return readObject(r)
	case jsontext.KindBeginArray:
		a := []any{}
		r.token(jsontext.KindBeginArray)
		for r.more(jsontext.KindEndArray) {
			a = append(a, readValue(r))
		}
		r.token(jsontext.KindEndArray)
		return a
	}
	switch value := r.value(); value.Kind() {
	case jsontext.KindString:
		return text(value)
	case jsontext.KindNumber:
		return json.Number(value)
	case jsontext.KindTrue:
		return true
	case jsontext.KindFalse:
		return false
	}
	return nil
}
