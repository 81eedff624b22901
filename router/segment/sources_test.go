package segment

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// admitKnown knows the write keys a and b. b's source drops addresses.
func admitKnown(key string) (IPPolicy, bool) {
	return map[string]IPPolicy{"a": KeepIP, "b": DropIP}[key], key == "a" || key == "b"
}

// keyed is a batch of pages, each with a write key or "", behind what the envelope has.
func keyed(envelope string, keys ...string) string {
	var calls []string
	for i, key := range keys {
		own := ""
		if key != "" {
			own = `"writeKey":"` + key + `",`
		}
		calls = append(calls, fmt.Sprintf(`{%s"type":"page","userId":"%d","context":{"ip":"198.51.100.9"}}`, own, i))
	}
	return `{` + envelope + `"batch":[` + strings.Join(calls, ",") + `]}`
}

func TestACallOfABatchMayHaveAWriteKeyOfItsOwn(t *testing.T) {
	for _, c := range []struct {
		name, header, body, want string
	}{
		{"none", "", keyed(`"writeKey":"a",`, "", ""), "a: 0 1"},
		{"the same", "", keyed(`"writeKey":"a",`, "a", ""), "a: 0 1"},
		{"another's", "", keyed(`"writeKey":"a",`, "b", "", "b", "a"), "a: 0=b 1 2=b 3"},
		{"behind the batch", "", strings.TrimSuffix(keyed("", "b", ""), "}") + `,"writeKey":"a"}`, "a: 0=b 1"},
		{"an unknown one", "", keyed(`"writeKey":"a",`, "x", "", "b"), "a: 1 2=b; unknown 0"},
		{"in the header", "a", keyed("", "b", "", "x", "a"), "a: 0=b 1 3; unknown 2"},
		{"in the header and the envelope", "a", keyed(`"writeKey":"b",`, "", "b"), "b: 0 1=b"},
		{"nothing but items'", "", keyed("", "a", "b", "", "a"), "a: 0 1=b 2 3"},
		{"the first is unknown", "", keyed("", "x", "b", "a", ""), "b: 1 2=a 3; unknown 0"},
		{"the first has none", "", keyed("", "", "a", ""), "a: 1 2; missing 0"},
		{"an unknown envelope", "", keyed(`"writeKey":"x",`, "", "a", "", "b"), "a: 1 3=b; unknown 0; unknown 2"},
		{"masked", "a", keyed("", "a:***", "id:***"), "a: 0 1"},
		{"all are unknown", "", keyed("", "x", "y"), "x: not admitted"},
		{"an unknown envelope alone", "", keyed(`"writeKey":"x",`, "", "y"), "x: not admitted"},
		{"none at all", "", keyed("", "", ""), ": not admitted"},
	} {
		options := Options{Batch: true, ReceivedAt: receivedAt, Admit: admitKnown}
		if c.header != "" {
			options.WriteKey = []byte(c.header)
		}
		result, err := Parse([]byte(c.body), options)
		if result.WriteKey == "" {
			result.WriteKey = c.header // the body has none
		}
		if got := describe(result, err); got != c.want {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
		for _, m := range result.Messages {
			source := c.header
			if source == "" {
				source = result.WriteKey
			}
			for _, o := range result.Others {
				if result.Messages[o.Message].UserID == m.UserID {
					source = o.WriteKey
				}
			}
			if hasIP := strings.Contains(string(m.JSON), "198.51.100.9"); hasIP != (source == "a") || strings.Contains(string(m.JSON), "writeKey") {
				t.Errorf("%s: %s's %s", c.name, source, m.JSON)
			}
		}
	}
}

func describe(result *Result, err error) string {
	text := result.WriteKey + ":"
	if err != nil {
		if err != ErrNotAdmitted {
			return err.Error()
		}
		return text + " not admitted"
	}
	for i, m := range result.Messages {
		text += " " + m.UserID
		for _, o := range result.Others {
			if o.Message == i {
				text += "=" + o.WriteKey
			}
		}
	}
	for _, r := range result.Rejected {
		text += fmt.Sprint("; ", strings.TrimSuffix(r.Code, "_write_key"), " ", r.Index)
	}
	return text
}

func TestAMessageCanBeRejectedAfterwards(t *testing.T) {
	body := keyed(`"writeKey":"a",`, "b", "x", "", "b", "", "b")
	for message := range 5 {
		result, err := Parse([]byte(body), Options{Batch: true, ReceivedAt: receivedAt, Admit: admitKnown})
		if err != nil {
			t.Fatal(err)
		}
		index := result.IndexOf(message)
		if fmt.Sprint(index) != result.Messages[message].UserID {
			t.Errorf("%d stands at %d", message, index)
		}
		result.Reject(message, codeTooDeep, "m")
		if !slices.IsSortedFunc(result.Rejected, func(a, b Rejection) int { return a.Index - b.Index }) || len(result.Rejected) != 2 || len(result.Messages) != 4 {
			t.Errorf("%d: %+v", message, result)
		}
		for _, o := range result.Others {
			if id := result.Messages[o.Message].UserID; id != "0" && id != "3" && id != "5" || id == fmt.Sprint(index) {
				t.Errorf("%d: the other is %s", message, id)
			}
		}
	}
}

// FuzzKeys puts any JSON into the places of write keys, and checks that every call is filed under a source that is known, and
// that no key is kept.
func FuzzKeys(f *testing.F) {
	f.Add(`"a"`, `"b"`, `"x"`, false)
	f.Add(`null`, `"\u0061"`, `"b:***"`, true)
	f.Add(`"x"`, `7`, `"a","writeKey":"b"`, false)
	f.Fuzz(func(t *testing.T, envelope, first, second string, header bool) {
		body := fmt.Sprintf(`{"batch":[{"type":"page","userId":"1","writeKey":%s},{"type":"page","userId":"2","writeKey":%s}],"writeKey":%s}`, first, second, envelope)
		options := Options{Batch: true, ReceivedAt: receivedAt, Admit: admitKnown}
		if header {
			options.WriteKey = []byte("a")
		}
		result, err := Parse([]byte(body), options)
		if err != nil {
			return
		}
		if _, known := admitKnown(result.WriteKey); !known && !header && len(result.Messages) > 0 {
			t.Errorf("%s is accepted for %q", body, result.WriteKey)
		}
		for _, o := range result.Others {
			if _, known := admitKnown(o.WriteKey); !known || o.Message >= len(result.Messages) {
				t.Errorf("%s: %+v", body, o)
			}
		}
		for _, m := range result.Messages {
			if lastMember(m.JSON, "writeKey") != nil {
				t.Errorf("%s: %s", body, m.JSON)
			}
		}
	})
}
