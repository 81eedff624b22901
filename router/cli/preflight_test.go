package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aka/router/preflight"
)

const (
	cleanCall   = `{"type":"track","event":"Bought","messageId":"m1","userId":"usr_1","receivedAt":"2026-01-01T10:00:00Z"}`
	swappedCall = `{"type":"track","event":"Seen","messageId":"m2","anonymousId":"d-1","receivedAt":"2026-01-01T10:00:00Z"}
{"type":"alias","messageId":"m3","previousId":"usr_1","userId":"d-1","receivedAt":"2026-01-01T11:00:00Z"}`
)

// preflightInput runs aka preflight with calls at its standard input.
func preflightInput(t *testing.T, calls string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	args = append([]string{"preflight", "--config", writeConfig(t, checkedConfig)}, args...)
	code := run(t.Context(), args, strings.NewReader(calls), &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

func TestPreflightsExitCodeSaysWhatItHasFound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "calls.ndjson")
	if err := os.WriteFile(file, []byte(cleanCall), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		result
		code      int
		out, errs string
	}{
		"clean":      {preflightInput(t, cleanCall), exitDone, "clean: no two people would be wrongly one", ""},
		"a file":     {preflightInput(t, "", file), exitDone, "1 call in 1 file", ""},
		"findings":   {preflightInput(t, swappedCall), exitFindings, "swapped_alias: 1", ""},
		"unusable":   {preflightInput(t, "what\n"+cleanCall), exitUnusable, "! -:1: invalid_json: ", "aka: preflight: more than 1 % cannot be read: -:1: invalid_json: "},
		"no calls":   {preflightInput(t, ""), exitUnusable, "", "aka: preflight: there are no calls\n"},
		"no file":    {preflightInput(t, "", file+"x"), exitFailed, "", "aka: open "},
		"no source":  {preflightInput(t, cleanCall, "--source", "x"), exitFailed, "", `aka: no source is named "x"`},
		"wrong flag": {preflightInput(t, cleanCall, "--what"), exitWrongUse, "", "unknown flag"},
		"two inputs": {preflightInput(t, "", "--journal", file), exitWrongUse, "", "--journal takes no file"},
	} {
		if c.result.code != c.code || !strings.Contains(c.result.out, c.out) || !strings.Contains(c.result.errOut, c.errs) || c.errs == "" && c.result.errOut != "" {
			t.Errorf("%s: exit code %d, out\n%s\nerrors %s", name, c.result.code, c.result.out, c.result.errOut)
		}
	}
}

func TestPreflightSpeaksJSON(t *testing.T) {
	got := preflightInput(t, swappedCall, "--output", "json")
	var report preflight.Report
	if err := json.Unmarshal([]byte(got.out), &report); err != nil {
		t.Fatalf("%v in %s%s", err, got.out, got.errOut)
	}
	if report.Version != 1 || report.Clean || len(report.Findings) != 1 || report.Findings[0].Cases[0].IDs[0] != "usr_1" {
		t.Errorf("%+v", report)
	}
}

func TestPreflightReadsTheJournalWhileItIsInUse(t *testing.T) {
	dir := journalWithCalls(t, 3)
	text := strings.Replace(checkedConfig, "\ndestinations:", "\njournal: { dir: "+dir+" }\ndestinations:", 1)
	j := openJournal(t, dir)
	defer j.Close()
	before := filesOf(t, dir)
	var out, errOut bytes.Buffer
	code := run(t.Context(), []string{"preflight", "--journal", "--config", writeConfig(t, text)}, nil, &out, &errOut)
	if code != exitDone && code != exitFindings || !strings.Contains(out.String(), "3 calls in 1 file") {
		t.Errorf("exit code %d, out\n%s\nerrors %s", code, &out, &errOut)
	}
	if after := filesOf(t, dir); after != before {
		t.Errorf("before %s\nafter %s", before, after)
	}
}

// filesOf lists the files of a folder with their sizes and times.
func filesOf(t *testing.T, dir string) (list string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			list += path + " " + info.ModTime().String() + " " + info.Mode().String() + "\n"
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
