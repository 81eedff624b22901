package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/router/journal"
	"aka/router/segment"
)

func TestJournalCheckSaysWhatIsThereAndItsExitCodeWhetherItIsSound(t *testing.T) {
	dir := journalWithCalls(t, 3)
	got := runAka(t, "journal", "check", dir)
	if got.code != exitDone || got.errOut != "" || !strings.Contains(got.out, "sound\n") || !strings.Contains(got.out, "vero") {
		t.Fatalf("exit code %d: %s%s", got.code, got.out, got.errOut)
	}
	damageCalls(t, dir)
	got = runAka(t, "journal", "check", dir)
	if got.code != exitFailed || !strings.Contains(got.out, ".seg: ") || !strings.Contains(got.errOut, "aka journal salvage") {
		t.Fatalf("exit code %d: %s%s", got.code, got.out, got.errOut)
	}
	got = runAka(t, "journal", "check", dir, "--output", "json")
	var report journal.Report
	if err := json.Unmarshal([]byte(got.out), &report); err != nil || got.code != exitFailed || report.Sound || report.Calls.Frames != 2 {
		t.Fatalf("exit code %d, %v: %s", got.code, err, got.out)
	}
}

func TestJournalSalvageMakesAJournalThatIsReadAgain(t *testing.T) {
	dir := journalWithCalls(t, 3)
	damageCalls(t, dir)
	target := filepath.Join(t.TempDir(), "new")
	got := runAka(t, "journal", "salvage", dir, target)
	if got.code != exitDone || !strings.Contains(got.out, "frames lost: 1") || !strings.Contains(got.out, "journal.dir to "+target) {
		t.Fatalf("exit code %d: %s%s", got.code, got.out, got.errOut)
	}
	j := openJournal(t, target)
	defer j.Close()
	if f, err := j.ReadFrom(1).Next(t.Context()); err != nil || f.Entries[0].MessageID != "m0" {
		t.Fatalf("got %+v, %v", f, err)
	}
	if got := runAka(t, "journal", "salvage", dir, target); got.code != exitFailed || !strings.Contains(got.errOut, "new folder") {
		t.Fatalf("exit code %d: %s", got.code, got.errOut)
	}
}

func TestJournalCommandsWantTheirFolders(t *testing.T) {
	for _, args := range [][]string{{"check"}, {"salvage"}, {"salvage", "a"}, {"check", "a", "b"}} {
		if got := runAka(t, append([]string{"journal"}, args...)...); got.code != exitWrongUse {
			t.Errorf("%v: exit code %d: %s", args, got.code, got.errOut)
		}
	}
	if got := runAka(t, "journal", "check", filepath.Join(t.TempDir(), "none")); got.code != exitFailed || !strings.Contains(got.errOut, "none") {
		t.Errorf("exit code %d: %s", got.code, got.errOut)
	}
}

// journalWithCalls makes a closed journal with so many frames of one call.
func journalWithCalls(t *testing.T, frames int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	j := openJournal(t, dir)
	defer j.Close()
	if _, err := j.LoadProgress(t.Context(), "vero"); err != nil {
		t.Fatal(err)
	}
	for i := range frames {
		e := journal.Entry{Source: "website", Message: segment.Message{JSON: []byte(`{"type":"track"}`)}}
		e.Type, e.MessageID = segment.Track, "m"+string(rune('0'+i))
		if _, err := j.Append(t.Context(), []journal.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func openJournal(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	options := journal.DefaultOptions
	options.Dir = dir
	j, err := journal.Open(t.Context(), options, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// damageCalls flips a bit in the second call.
func damageCalls(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "log", "00000000000000000001.seg")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte("m1"))
	if at < 0 {
		t.Fatal("no call in the segment")
	}
	data[at] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
