package segment

import (
	"fmt"
	"reflect"
	"testing"
)

// repaired parses a body and repairs its aliases.
func repaired(t *testing.T, body string, options Options) *Result {
	t.Helper()
	options.ReceivedAt = receivedAt
	result, err := Parse([]byte(body), options)
	if err != nil {
		t.Fatal(err)
	}
	result.RepairAliases(always)
	return result
}

// Segment's SDK for browsers reads the user that it has stored when it sends, and puts that into the place of both ids.
func TestRepair_LinksTheDeviceWhereTheSDKHasOverwrittenThePreviousID(t *testing.T) {
	const sent = `{"type":"alias","messageId":"m","userId":"u-1","previousId":"u-1","anonymousId":"X"}`
	result := repaired(t, sent, Options{Device: true})
	m := result.Messages[0]
	if m.UserID != "u-1" || m.PreviousID != "X" || m.AnonymousID != "X" || !m.PreviousIDDefaulted || !m.PreviousIDRepaired || !m.MayHideNewID() {
		t.Errorf("%+v", m.Header)
	}
	if string(m.JSON) != sent {
		t.Errorf("it is kept as %s", m.JSON)
	}
	if want := []Warning{{0, PreviousIDOverwritten, warningMessages[PreviousIDOverwritten]}}; !reflect.DeepEqual(result.Warnings, want) {
		t.Error(result.Warnings)
	}
}

func TestRepair_LeavesWhatIsMeantAsItIs(t *testing.T) {
	browser := Options{Device: true}
	for _, c := range []struct {
		call    string
		options Options
	}{
		{`{"type":"alias","userId":"u","previousId":"u","anonymousId":"X"}`, Options{}},
		{`{"type":"alias","userId":"u","previousId":"u"}`, browser},
		{`{"type":"alias","userId":"u","previousId":"u","anonymousId":"u"}`, browser},
		{`{"type":"alias","userId":"u","anonymousId":"u"}`, browser},
		{`{"type":"alias","userId":"u","previousId":"p","anonymousId":"X"}`, browser},
		{`{"type":"alias","anonymousId":"X"}`, browser},
		{`{"type":"identify","userId":"u","previousId":"u","anonymousId":"X"}`, browser},
	} {
		c.options.ReceivedAt = receivedAt
		before, err := Parse([]byte(c.call), c.options)
		if err != nil {
			t.Fatal(err)
		}
		asParsed := before.Messages[0].Header
		if before.RepairAliases(always); before.Messages[0].Header != asParsed || len(before.Warnings) > 0 {
			t.Errorf("%s: %+v, %v", c.call, before.Messages[0].Header, before.Warnings)
		}
	}
}

// What the page named is known: it is no other id that was lost.
func TestRepair_OfAnAliasWhosePageNamedTheUserIsCertain(t *testing.T) {
	m := repaired(t, `{"type":"alias","userId":"u","previousId":"u","anonymousId":"X","context":{"aka":{"to":"u"}}}`, Options{Device: true}).Messages[0]
	if m.PreviousID != "X" || !m.PreviousIDRepaired || m.MayHideNewID() {
		t.Errorf("%+v", m.Header)
	}
}

func TestRepair_NamesTheCallOfABatch(t *testing.T) {
	const same, other, bad = `{"type":"alias","userId":"u","previousId":"u","anonymousId":"X"}`, `{"type":"page","userId":"u"}`, `{"type":"no"}`
	result := repaired(t, fmt.Sprintf(`{"batch":[%s,%s,%s,%s,%s]}`, bad, other, same, bad, same), Options{Batch: true, Device: true})
	said := warningMessages[PreviousIDOverwritten]
	if want := []Warning{{2, PreviousIDOverwritten, said}, {4, PreviousIDOverwritten, said}}; !reflect.DeepEqual(result.Warnings, want) {
		t.Error(result.Warnings)
	}
}

func always(int) bool { return true }
