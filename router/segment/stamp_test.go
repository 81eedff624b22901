package segment

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// parseFromDevice parses one call that a browser sent.
func parseFromDevice(t testing.TB, body string) (Message, []Warning) {
	t.Helper()
	result, err := Parse([]byte(body), Options{ReceivedAt: receivedAt, Device: true})
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return result.Messages[0], result.Warnings
}

// What the page said wins over what its SDK made of it.
func TestStamp_NamesTheIDsOfAnAlias(t *testing.T) {
	for _, c := range []struct{ ids, aka, user, previous string }{
		{`"userId":"jen","previousId":"jen"`, `{"to":"507f","from":"jen"}`, "507f", "jen"},
		{`"userId":"jen","previousId":"507f"`, `{"to":"507f","from":"jen"}`, "507f", "jen"},
		{`"userId":"jen","previousId":"jen"`, `{"to":"507f"}`, "507f", "jen"},
		{`"userId":"u-1","previousId":"u-1"`, `{"from":"anon"}`, "u-1", "anon"},
		{`"userId":"jen","previousId":"507f"`, `{"to":507,"from":" jen "}`, "507", "jen"},
		{`"userId":"jen","previousId":"507f"`, `{"to":"507f","to":"508f","from":"jen"}`, "508f", "jen"},
		{`"userId":"u","previousId":"p"`, `{}`, "u", "p"},
	} {
		m, odd := parseFromDevice(t, fmt.Sprintf(`{"type":"alias",%s,"anonymousId":"anon","context":{"aka":%s}}`, c.ids, c.aka))
		if m.UserID != c.user || m.PreviousID != c.previous || m.AnonymousID != "anon" || len(odd) > 0 {
			t.Errorf("%s %s: userId %q, previousId %q, %v", c.ids, c.aka, m.UserID, m.PreviousID, odd)
		}
		if named := strings.Contains(c.aka, `"to"`); m.UserIDStamped != named {
			t.Errorf("%s: UserIDStamped is %v", c.aka, m.UserIDStamped)
		}
	}
}

// An alias of the visitor's anonymous id is one whose previousId was defaulted, though the anonymousId may be another one since.
func TestStamp_SaysThatThePreviousIDIsTheDevices(t *testing.T) {
	m, _ := parseFromDevice(t, `{"type":"alias","userId":"u","previousId":"u","anonymousId":"new","context":{"aka":{"to":"u","from":"old","anon":true}}}`)
	if m.PreviousID != "old" || !m.PreviousIDDefaulted || m.AnonymousID != "new" {
		t.Errorf("%+v", m.Header)
	}
	m, _ = parseFromDevice(t, `{"type":"alias","userId":"u","anonymousId":"new","context":{"aka":{"to":"u","from":"jen"}}}`)
	if m.PreviousID != "jen" || m.PreviousIDDefaulted {
		t.Errorf("%+v", m.Header)
	}
}

func TestStamp_CountsInAnAliasFromADeviceOnly(t *testing.T) {
	const aka = `"userId":"u","previousId":"p","timestamp":"2026-01-01T00:00:00Z","context":{"aka":{"to":"to","from":"from","seq":1767225600000001}}`
	if m := parseOne(t, `{"type":"alias",`+aka+`}`); m.UserID != "u" || m.PreviousID != "p" || m.UserIDStamped || m.DeviceMicros != 1767225600000000 {
		t.Errorf("a server's: %+v", m.Header)
	}
	m, _ := parseFromDevice(t, `{"type":"identify",`+aka+`}`)
	if m.UserID != "u" || m.PreviousID != "" || m.UserIDStamped || m.DeviceMicros != 1767225600000001 {
		t.Errorf("an identify: %+v", m.Header)
	}
}

// The page's own clock counts microseconds, and without it the call's time is what there is.
func TestStamp_GivesTheTimeOnTheDevice(t *testing.T) {
	for seq, want := range map[string]int64{
		`1767225600000001`: 1767225600000001,
		`946684800000000`:  946684800000000,
		`4102444799999999`: 4102444799999999,
		`null`:             1767312000123456,
	} {
		m, odd := parseFromDevice(t, `{"type":"page","userId":"u","timestamp":"2026-01-02T00:00:00.1234567Z","context":{"aka":{"seq":`+seq+`}}}`)
		if m.DeviceMicros != want || len(odd) > 0 {
			t.Errorf("%s: %d, %v", seq, m.DeviceMicros, odd)
		}
		if want := time.Date(2026, 1, 2, 0, 0, 0, 123456700, time.UTC); !m.Timestamp.Equal(want) {
			t.Errorf("%s: the timestamp is %v", seq, m.Timestamp)
		}
	}
}

// What is wrong in a stamp costs the stamp, not the call.
func TestStamp_IsPassedOverWhereItIsWrong(t *testing.T) {
	long := strings.Repeat("x", maxStampedID+1)
	for _, aka := range []string{
		`7`, `[]`, `"x"`, `true`,
		`{"to":{}}`, `{"to":["x"]}`, `{"from":true}`, `{"to":"` + long + `"}`, `{"from":"` + long + `"}`, `{"to":"J\ud800rg"}`, `{"to":1e999}`,
		`{"seq":"1767225600000001"}`, `{"seq":1767225600000001.5}`, `{"seq":1.767225600000001e15}`, `{"seq":-1}`, `{"seq":0}`, `{"seq":946684799999999}`,
		`{"seq":4102444800000000}`, `{"seq":99999999999999999999999}`, `{"seq":` + strings.Repeat("9", 400) + `}`, `{"seq":{}}`,
	} {
		m, odd := parseFromDevice(t, `{"type":"alias","userId":"u","previousId":"p","timestamp":"2026-01-02T00:00:00Z","context":{"aka":`+aka+`}}`)
		if m.UserID != "u" || m.PreviousID != "p" || m.DeviceMicros != 1767312000000000 || m.UserIDStamped {
			t.Errorf("%.60s: %+v", aka, m.Header)
		}
		if len(odd) != 1 || odd[0].Index != 0 || odd[0].Code != "invalid_context_aka" {
			t.Errorf("%.60s: %v", aka, odd)
		}
	}
	if m, odd := parseFromDevice(t, `{"type":"alias","userId":"u","previousId":"p","context":{"aka":null,"page":{"title":"a \"quoted\" title, aka"}}}`); m.UserID != "u" || len(odd) > 0 {
		t.Errorf("%+v, %v", m.Header, odd)
	}
}

// An envelope's context is of all of its calls, and a stamp is of one.
func TestStamp_IsTheCallsOwn(t *testing.T) {
	result, err := Parse([]byte(`{"context":{"aka":{"to":"x"}},"batch":[{"type":"alias","userId":"u","previousId":"p"}]}`), Options{Batch: true, Device: true, ReceivedAt: receivedAt})
	if err != nil || result.Messages[0].UserID != "u" {
		t.Errorf("%v, %v", result.Messages, err)
	}
}
