package segment

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
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
		for _, start := range []string{`"type":"identify"`, `"type":"alias","previousId":"p"`} {
			m := parseOne(t, `{`+start+`,"userId":"u","properties":`+value+`,"traits":`+value+`,"context":`+value+`}`)
			call, err := m.Decode()
			if err != nil || call.Properties == nil || call.Traits == nil || call.Context() == nil {
				t.Errorf("%s %s: %v %#v", start, value, err, call)
			}
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
		for _, kind := range Types {
			m := Message{Header: Header{Type: kind}, JSON: []byte(damaged)}
			if call, err := m.Decode(); err == nil {
				t.Errorf("%s as %s: %v", damaged, kind, call)
			}
		}
	}
}

func TestDecodeRefusesWhatNestsWithoutEnd(t *testing.T) {
	for _, brackets := range []string{`{"a":`, `[`} {
		for _, kind := range []Type{Alias, Track} {
			m := Message{Header: Header{Type: kind}, JSON: []byte(`{"a":` + strings.Repeat(brackets, 1<<20))}
			if call, err := m.Decode(); err == nil {
				t.Errorf("%s as %s: %v", brackets, kind, call)
			}
		}
	}
}

// What is read of a call when it comes, and when it is decoded, must be the same: jsontext reads the one, decoder the other.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		benchAlias, benchTrack, ``, ` {} `, `{}{}`, `{"a":[1,-0,0.10,1e+5,1E-5,01,1.,.5,-,1e]}`, `{"a":[],"b":[ ],"c":{ },"a":{"a":null}}`,
		`{"a":"\ud83d\ude00\ud800\u00Ff\"\\\/\b\f\n\r\t"}`, `{"\u0061":1,"a":2}`, `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"` + "\xff\x01" + `"}`,
		`{"a":tru}`, `{"a":true,}`, `{,"a":1}`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":[1 2]}`, `{"a":[1,]}`, `{"context":{"a":"\u00e9"},"traits":{},"context":7,"properties":{"b":[]}}`, `{1:2}`, `["a"]`, `{"a":"b`, `{"a":nullx}`,
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
		checkAlias(t, source)
	})
}

// checkAlias compares an alias, whose objects are decoded by themselves, with what a group's are.
func checkAlias(t *testing.T, source []byte) {
	t.Helper()
	group := Message{Header: Header{Type: Group}, JSON: source}
	want, wantErr := group.Decode()
	alias := Message{Header: Header{Type: Alias}, JSON: source}
	got, err := alias.Decode()
	if err != nil || wantErr != nil {
		if err != wantErr {
			t.Errorf("%q: %v, want %v", source, err, wantErr)
		}
		return
	}
	for _, pair := range [][2]map[string]any{{got.Properties, want.Properties}, {got.Traits, want.Traits}, {got.Context(), want.Context()}} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%q: %v, want %v", source, pair[0], pair[1])
		}
	}
}

func TestThoseThatShareAnAliasShareItsContext(t *testing.T) {
	m := parseOne(t, `{"type":"alias","userId":"u","previousId":"p","context":{"ip":"1.2.3.4"}}`)
	call, err := m.Decode()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			own := *call
			if own.Context()["ip"] != "1.2.3.4" {
				t.Errorf("%v", own.Context())
			}
		})
	}
	all.Wait()
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
