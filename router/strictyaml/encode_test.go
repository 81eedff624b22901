package strictyaml

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

func TestEncodedValuesAreReadBack(t *testing.T) {
	settle := 90 * time.Second
	want := outer{
		Listen: "${HOST} $${HOST} true", Count: -3, Timeout: 30 * 24 * time.Hour, Max: 10 * GiB, Names: []string{"12", "~", "", "\n", "a: b\n# c"},
		Items:    []inner{{Common: common{"!!tag"}, Ratio: 0.25, Enabled: true, Settle: &settle}, {}},
		Parts:    map[string]inner{"b": {}, "a": {Ratio: 1e21}, "true": {}},
		Optional: &inner{Common: common{"- x"}},
	}
	encoded, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, d := outer{}, newDecoder()
	d.decode(t, string(encoded), &got)
	noProblems(t, d)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v\n%s", got, want, encoded)
	}
	if again, _ := Encode(want); string(again) != string(encoded) {
		t.Errorf("not the same twice:\n%s\n%s", encoded, again)
	}
}

func TestEncodeShowsNoSecret(t *testing.T) {
	encoded, err := Encode(map[string]inner{"a": {Token: secret{"canary"}}, "b": {}})
	if err != nil || strings.Contains(string(encoded), "canary") {
		t.Errorf("%v\n%s", err, encoded)
	}
	if strings.Count(string(encoded), "token: <secret>") != 1 {
		t.Errorf("only the secret that is set is shown:\n%s", encoded)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("listen", "key", int64(90e9), int64(1<<40), 0.5)
	f.Add("${A} $${B} #", "- a", int64(0), int64(0), 1e300)
	f.Add("a\u0085b\u2028\ufeff", "true", int64(math.MaxInt64), int64(math.MaxInt64), math.Copysign(0, -1))
	f.Fuzz(func(t *testing.T, text, key string, duration, size int64, ratio float64) {
		isText := utf8.ValidString(text) && utf8.ValidString(key) && len(key) <= maxKey && key != "<<" // yaml.v3 does not quote <<
		if !isText || duration < 0 || size < 0 || ratio-ratio != 0 {
			t.Skip("no config holds it")
		}
		want := outer{
			Listen: text, Timeout: time.Duration(duration), Max: Size(size), Names: []string{text, key}, Items: []inner{},
			Parts: map[string]inner{key: {Ratio: ratio}},
		}
		encoded, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		var node yaml.Node
		if err := yaml.Unmarshal(encoded, &node); err != nil {
			t.Fatalf("%v\n%s", err, encoded)
		}
		got, d := outer{}, newDecoder()
		d.Decode(&node, "", &got)
		noProblems(t, d)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("\n got %+v\nwant %+v\n%s", got, want, encoded)
		}
	})
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute, "1.5h": 90 * time.Minute,
		"1d": day, "30d": 30 * day, "1d12h": 36 * time.Hour, "0d5s": 5 * time.Second,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "-1s", "1d-1h", "-1d", "1.5d", "d", "1d24h", "1dd", "1h1d", "999999999999d", "106752d", "1e9h", "1 d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestFormatDurationIsReadBack(t *testing.T) {
	for value, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", time.Minute: "1m", time.Hour: "1h", 90 * time.Second: "1m30s", day: "24h", 30 * day: "30d",
		36 * time.Hour: "36h", 10 * time.Minute: "10m", 20 * time.Hour: "20h", time.Hour + time.Second: "1h0m1s", time.Nanosecond: "1ns",
	} {
		if got := FormatDuration(value); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if back, err := ParseDuration(want); err != nil || back != value {
			t.Errorf("%s was read back as %v, %v", want, back, err)
		}
	}
}

func TestASizeMayBeAuto(t *testing.T) {
	for text, want := range map[string]AutoSize{"auto": Auto, "0": 0, "64MiB": AutoSize(64 * MiB)} {
		var got AutoSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want || got.String() != text {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "Auto", "auto ", "none"} {
		var got AutoSize
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "512": 512, "512B": 512, "1KB": 1000, "1KiB": 1024, "64 MiB": 64 << 20, "10GiB": 10 << 30, "2TB": 2e12, " 1KiB ": 1024,
		"9223372036854775807": math.MaxInt64,
	} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %d, %v", text, got, err)
		}
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Errorf("%s was read back as %d, %v", want, got, err)
		}
	}
	for _, text := range []string{"", "-1", "1.5GiB", "GiB", "1kib", "10gb", "8388608TiB", "9223372036854775808", "1 2KiB", "0x10"} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}
