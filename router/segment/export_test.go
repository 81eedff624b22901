package segment

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestACallOfAnExportHasItsOwnTimeOfArrival(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	call := func(receivedAt string) []byte {
		return []byte(`{"type":"track","event":"E","userId":"u","receivedAt":"` + receivedAt + `"}`)
	}
	for receivedAt, want := range map[string]time.Time{
		"2026-01-02T03:04:05Z": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2027-01-02T03:04:05Z": now, // it lies ahead
		"":                     now,
	} {
		for _, export := range []bool{true, false} {
			result, err := Parse(call(receivedAt), Options{ReceivedAt: now, Import: true, Export: export})
			if err != nil {
				t.Fatal(err)
			}
			expected := now
			if export {
				expected = want
			}
			if got := result.Messages[0].ReceivedAt; !got.Equal(expected) {
				t.Errorf("%s, export %t: %s", receivedAt, export, got)
			}
		}
	}
}

func TestDecodeValueIsAsEncodingJSON(t *testing.T) {
	for _, text := range []string{
		`null`, ` true `, `1.50e3`, `"ä\u00e9\n"`, `[]`, `[1,[2,{"a":null}]]`, `{"a":{"b":[1,"x"]},"c":-0}`, "\n{ }\n",
		``, `{`, `[1,]`, `{"a"}`, `01`, `nul`, `1 2`, `"`, `[1] x`,
	} {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		var want any
		isValid := json.Valid([]byte(text))
		if isValid {
			if err := decoder.Decode(&want); err != nil {
				t.Fatal(err)
			}
		}
		got, ok := DecodeValue([]byte(text))
		if ok != isValid || ok && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v, %t; expected %#v, %t", text, got, ok, want, isValid)
		}
	}
}
