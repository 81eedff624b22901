package e2e

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"aka/e2e/harness"
)

// talkative has each call's end in the log.
var talkative = harness.Setup{More: "log: { level: debug }"}

// sendManyCalls sends so many calls that what the log says of them fills a pipe.
func (w *world) sendManyCalls() (calls int) {
	w.t.Helper()
	calls = 500
	var batch []string
	for i := range calls {
		batch = append(batch, fmt.Sprintf(`{"type":"track","event":"bought","userId":"u%d","messageId":"m%[1]d"}`, i))
	}
	w.send("/v1/batch", `{"batch":[`+strings.Join(batch, ",")+`]}`)
	return calls
}

func TestALogReaderThatStandsStillHoldsNothing(t *testing.T) {
	w := newWorld(t, talkative)
	w.StartUnread()
	w.sendManyCalls()
	w.UntilAllEnded()
	w.Stop()
}

func TestTheLogIsWholeWhereItsReaderIsSlow(t *testing.T) {
	w := newWorld(t, talkative)
	log := w.StartUnread()
	calls := w.sendManyCalls()
	w.UntilAllEnded()
	if err := w.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(log)
	if err != nil {
		t.Fatal(err)
	}
	if code, err := w.Process.Wait(harness.StopTimeout); code != 0 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	if n, want := strings.Count(string(text), `"msg":"call ended"`), calls*len(destinations); n != want {
		t.Errorf("the log has the ends of %d calls, not %d", n, want)
	}
	if end := string(text[max(0, len(text)-200):]); !strings.Contains(end, `"msg":"stopped"`) {
		t.Errorf("the log ends: %s", end)
	}
}

func TestALogReaderThatGoesAwayEndsNothing(t *testing.T) {
	w := newWorld(t, talkative)
	log := w.StartUnread()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Process.Signal(syscall.SIGHUP); err != nil { // a reload is logged
		t.Fatal(err)
	}
	w.Until("a line is dropped", func() bool { return w.Metric("aka_log_lines_dropped_total") > 0 })
	w.sendManyCalls()
	w.UntilAllEnded()
	w.Stop()
}
