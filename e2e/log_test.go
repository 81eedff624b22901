package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"aka/e2e/harness"
)

// startUnread starts aka with a log that nobody but the test reads, from where it says that aka is ready.
func (w *world) startUnread() *os.File {
	w.t.Helper()
	log, end, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = log.Close() })
	running, err := harness.LaunchUnread(binary, end, "--config", w.config)
	_ = end.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	w.process = &served{Process: running, t: w.t}
	w.t.Cleanup(w.process.cleanUp)
	if err := running.ReadUntilReady(bufio.NewScanner(log)); err != nil {
		w.t.Fatal(err)
	}
	w.process.api, w.process.admin = running.API, running.Admin
	return log
}

// talkative has each call's end in the log.
const talkative = "log: { level: debug }"

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
	w.startUnread()
	w.sendManyCalls()
	w.untilAllEnded()
	w.process.stop()
}

func TestTheLogIsWholeWhereItsReaderIsSlow(t *testing.T) {
	w := newWorld(t, talkative)
	log := w.startUnread()
	calls := w.sendManyCalls()
	w.untilAllEnded()
	if err := w.process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(log)
	if err != nil {
		t.Fatal(err)
	}
	if code, err := w.process.Wait(stopTimeout); code != 0 || err != nil {
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
	log := w.startUnread()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.process.Signal(syscall.SIGHUP); err != nil { // a reload is logged
		t.Fatal(err)
	}
	w.until("a line is dropped", func() bool { return w.metric("aka_log_lines_dropped_total") > 0 })
	w.sendManyCalls()
	w.untilAllEnded()
	w.process.stop()
}
