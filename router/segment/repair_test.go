package segment

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestHolesBetweenTheCallsOfABatchCostTheHole(t *testing.T) {
	a, b := `{"type":"page","userId":"a"}`, `{"type":"page","userId":"b"}`
	nuls := strings.Repeat("\x00", 64)
	for _, c := range []struct {
		batch    string
		rejected []int
	}{
		{a + ",\n" + nuls + "," + b, []int{1}},
		{a + ",," + b, []int{1}},
		{a + ", ,\r\n\t, ," + b, []int{1}},
		{"," + a + "," + b, []int{0}},
		{",," + a + ",," + b + ",", []int{0, 2}},
		{a + "," + b + ",,", []int{2}},
		{a + "," + b + ",", nil},
		{a + "," + nuls + b, nil},
		{a + nuls + "," + b, nil},
		{a + nuls + b, nil},
		{a + b, nil},
		{nuls + a + "," + b + nuls, nil},
		{a + ",null," + nuls + b, []int{1}},
		{strings.Replace(a, `{"`, `{"context":{"a":[1,,2]},"`, 1) + "," + b, nil},
	} {
		result, err := Parse([]byte(`{"batch":[`+c.batch+`]}`), Options{Batch: true, ReceivedAt: receivedAt})
		if err != nil {
			t.Errorf("%q: %v", c.batch, err)
			continue
		}
		var rejected []int
		for _, r := range result.Rejected {
			rejected = append(rejected, r.Index)
		}
		if len(result.Messages) != 2 || result.Messages[0].UserID != "a" || result.Messages[1].UserID != "b" || !slices.Equal(rejected, c.rejected) {
			t.Errorf("%q: %d messages, rejected %v", c.batch, len(result.Messages), rejected)
		}
		if w := result.Warnings[0]; w.Index != -1 || w.Code != "damaged_body" {
			t.Errorf("%q: %v", c.batch, result.Warnings)
		}
	}
}

func TestDamageWithinACallIsStillNoJSON(t *testing.T) {
	for _, body := range []string{
		"{\"batch\":[{\"type\":\"page\",\"userId\":\"a\x00b\"}]}", "{\"batch\":[{\"type\":\"page\",\"userId\":\"a\x00\x00", `{"batch":[{"a":,"b":1}]}`,
		`{"batch":[{"a" "b"}]}`, `{"batch":[{"a":1,}]}`, `{"batch":[{,"a":1}]}`, `{"batch":[{"a":1,,"b":2}]}`, `{"batch":[],}`, "{\"batch\":[]}\x00", "\x00{\"batch\":[]}", "{\"batch\":[{\"a\":\x001}]}", `{"batch":[{"a":1}`, `{}{}`, "\x00", ",", "]", `{"batch":[1 2]}`, `{"batch":[}]`, "{\"a\x00\":1,}",
	} {
		if got := refusal(t, body, Options{Batch: true}); got != "invalid_json" {
			t.Errorf("%q: %q", body, got)
		}
	}
}

// FuzzRepair checks that JSON stays as it is, that strings stay, and that what is repaired needs no other repair.
func FuzzRepair(f *testing.F) {
	for _, seed := range []string{
		`{"batch":[{"a":1},,{"b":NaN}]}`, "[\x00,\x00{\"a\\\"\":\"\x00,,\"}{}]", `{,"a":[,],}`, `[-Infinity,-1,Infinity"]`, `"\`, `]]]},,`, `[1,,,,,2,]`, benchAlias,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		before := string(source)
		repaired, codes := repair(source)
		if string(source) != before {
			t.Fatal("the source was changed")
		}
		if (len(codes) == 0) != (string(repaired) == before) {
			t.Fatalf("%q became %q: %v", source, repaired, codes)
		}
		if json.Valid(source) && len(codes) > 0 {
			t.Fatalf("%q was JSON", source)
		}
		if again, _ := repair(repaired); json.Valid(repaired) && string(again) != string(repaired) {
			t.Fatalf("%q became %q, and then %q", source, repaired, again)
		}
		if len(repaired) > 5*len(source)+4 {
			t.Fatalf("%d bytes became %d", len(source), len(repaired))
		}
	})
}
