package adapter

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"testing"
	"time"
)

func TestEncodeWritesAnObjectInItsOrderAndAMapInThatOfItsNames(t *testing.T) {
	got, err := Encode(Object{
		{"z", map[string]any{"b": Object{}, "a": []any{nil, true, 1, int64(-2), 0.5, json.Number("1E5"), []string{"x"}}}},
		{"a", "<\n\u2028\xff"},
	})
	want := `{"z":{"a":[null,true,1,-2,0.5,1E5,["x"]],"b":{}},"a":"\u003c\n\u2028\ufffd"}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func TestEncodeRefusesWhatIsNotJSON(t *testing.T) {
	for _, value := range []any{json.Number("1x"), json.Number("true"), math.NaN(), func() {}} {
		for _, within := range []any{value, []any{value}, map[string]any{"a": value}, Object{{"a", value}}} {
			if got, err := Encode(within); err == nil {
				t.Errorf("%v became %s", within, got)
			}
		}
	}
}

func TestWhatEncodeReturnsIsNotWrittenToAgain(t *testing.T) {
	first, _ := Encode("first")
	if _, err := Encode("other"); err != nil || string(first) != `"first"` {
		t.Errorf("%s, %v", first, err)
	}
}

func FuzzEncode(f *testing.F) {
	for _, seed := range []string{
		`{"b":[1,-0,1e+5,"<&>\u2028\\\"\u0000\u007f\ud800é"],"a":{"":null,"é":true}}`, `[]`, `{}`, `1.50`, `"x"`, `null`, `{"a":[[{"b":{}}]]}`,
	} {
		f.Add([]byte(seed), seed)
	}
	f.Fuzz(func(t *testing.T, source []byte, number string) {
		decoder := json.NewDecoder(bytes.NewReader(source))
		decoder.UseNumber()
		var value any
		if decoder.Decode(&value) != nil {
			value = json.Number(number)
		}
		got, err := Encode(value)
		want, wantErr := json.Marshal(value)
		if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
			t.Errorf("%s: got %s, %v\nwant %s, %v", source, got, err, want, wantErr)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	value := map[string]any{
		"identity": map[string]any{"id": "507f191e810c19729de860ea"}, "event_name": "Order Completed",
		"extras": map[string]any{"created_at": time.Unix(0, 0).UTC().Format(time.RFC3339)},
		"data":   map[string]any{"order_id": "50314b8e9bcf000000000000", "total": json.Number("27.50"), "currency": "USD"},
	}
	for name, encode := range map[string]func(any) ([]byte, error){"Encode": Encode, "json": json.Marshal} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := encode(value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestAppendEscapedWritesAsAQueryDoes(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, text := range []string{"", "a b", string(every), "日本"} {
		want := "data=" + url.QueryEscape(text)
		if got := AppendEscaped([]byte("data="), text); string(got) != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
		if got := AppendEscaped([]byte("data="), []byte(text)); string(got) != want {
			t.Errorf("%q as bytes: %s, want %s", text, got, want)
		}
	}
}
