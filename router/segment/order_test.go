package segment

import (
	"fmt"
	"testing"
	"time"
)

// orderOf parses a batch of a device, and returns the clocks that its calls are ordered by, in ms after the first's.
func orderOf(t *testing.T, batch string, window time.Duration) (clocks []int64, held []time.Duration) {
	t.Helper()
	result, err := Parse([]byte(batch), Options{Batch: true, Device: true, ReceivedAt: receivedAt})
	if err != nil {
		t.Fatal(err)
	}
	OrderRequest(result.Messages, func(int) time.Duration { return window })
	for _, m := range result.Messages {
		if m.Clock == 0 {
			clocks = append(clocks, -1)
		} else {
			clocks = append(clocks, m.Clock/1000-receivedAt.UnixMilli())
		}
		held = append(held, m.ReorderWindow)
	}
	return clocks, held
}

// The calls of a request keep their order, whatever their clocks say.
func TestOrderRequest_ClocksNeverGoBack(t *testing.T) {
	at := func(ms int) string {
		return fmt.Sprintf(`{"type":"page","userId":"u","timestamp":%q}`, receivedAt.Add(time.Duration(ms)*time.Millisecond).Format(time.RFC3339Nano))
	}
	const none = `{"type":"page","userId":"u"}`
	for name, c := range map[string]struct {
		calls string
		want  []int64
	}{
		"rising":                         {at(-30) + "," + at(-20), []int64{-30, -20}},
		"falling":                        {at(-20) + "," + at(-30) + "," + at(-10), []int64{-20, -20, -10}},
		"without a time":                 {none + "," + at(-30) + "," + none + "," + at(-10), []int64{-30, -30, -30, -10}},
		"none has a time":                {none + "," + none, []int64{-1, -1}},
		"of long ago, as the page set":   {at(-3_600_000) + "," + at(-30), []int64{-30, -30}},
		"all of long ago":                {at(-3_600_000), []int64{-1}},
		"ahead of the server's clock":    {at(5000), []int64{5000}},
		"a minute before it was sent":    {at(-60_000), []int64{-60_000}},
		"over a minute before it":        {at(-60_001), []int64{-1}},
		"what is set lies between times": {at(-30) + "," + at(-3_600_000) + "," + at(-10), []int64{-30, -30, -10}},
	} {
		sent := fmt.Sprintf(`{"sentAt":%q,"batch":[%s]}`, receivedAt.Format(time.RFC3339Nano), c.calls)
		clocks, held := orderOf(t, sent, 300*time.Millisecond)
		if fmt.Sprint(clocks) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v", name, clocks, c.want)
		}
		for i := range held {
			if (held[i] == 300*time.Millisecond) != (clocks[i] != -1) {
				t.Errorf("%s: call %d is held for %v", name, i, held[i])
			}
		}
	}
	if _, held := orderOf(t, `{"batch":[`+at(-30)+`]}`, 0); held[0] != 0 {
		t.Errorf("with no window it is held for %v", held[0])
	}
}

// A server's calls have no clock to be ordered by.
func TestOrderRequest_LeavesServersAlone(t *testing.T) {
	result, err := Parse([]byte(`{"type":"page","userId":"u","timestamp":"2026-01-02T03:04:05Z"}`), Options{ReceivedAt: receivedAt})
	if err != nil {
		t.Fatal(err)
	}
	OrderRequest(result.Messages, func(int) time.Duration { return time.Second })
	if m := result.Messages[0]; m.Clock != 0 || m.ReorderWindow != 0 {
		t.Errorf("clock %d, held for %v", m.Clock, m.ReorderWindow)
	}
}
