package cli

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"aka/destinations/simulator"
)

var update = flag.Bool("update", false, "write testdata/demo.txt anew")

func TestDemoShowsWhatItShowed(t *testing.T) {
	got := runAka(t, "demo")
	if got.code != exitDone || got.errOut != "" {
		t.Fatalf("exit code %d, errors %q", got.code, got.errOut)
	}
	golden := filepath.Join("testdata", "demo.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.out != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.out, want)
	}
}

func TestDemoFitsTheScreen(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "demo.txt"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) > 50 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if width := utf8.RuneCountInString(line); width > 120 {
			t.Errorf("%d columns: %s", width, line)
		}
	}
}

func TestDemoLeavesNothingBehind(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	if got := runAka(t, "demo"); got.code != exitDone {
		t.Fatalf("exit code %d, errors %q", got.code, got.errOut)
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestDemoFailsWhenACallEndsOtherwiseThanExplained(t *testing.T) {
	s := openTestRun(t)
	fault := simulator.Fault{Status: 400, Path: "/users/reidentify", Times: 1}
	if err := s.vendors.Account("vero").AddFaults(fault); err != nil {
		t.Fatal(err)
	}
	result, err := s.run(t.Context(), story)
	if err != nil {
		t.Fatal(err)
	}
	verdict := result.verdict()
	if verdict == nil || !strings.Contains(verdict.Error(), "alias jane@example.com = user-42 at vero: it ended as dead refused, and not as delivered") {
		t.Errorf("the verdict is %v", verdict)
	}
	if text := result.text(); !strings.Contains(text, "dead: refused") || !strings.Contains(text, "not all as they should") {
		t.Errorf("the text does not say so:\n%s", text)
	}
}

func TestDemoFailsWhenAVendorThrowsACallAway(t *testing.T) {
	s := openTestRun(t)
	fault := simulator.Fault{FailRecords: []int{0}, Path: "/a", Times: 1}
	if err := s.vendors.Account("kissmetrics").AddFaults(fault); err != nil {
		t.Fatal(err)
	}
	result, err := s.run(t.Context(), story)
	if err != nil {
		t.Fatal(err)
	}
	verdict := result.verdict()
	for _, want := range []string{"at kissmetrics: it was delivered, and the vendor took 0 records", "kissmetrics threw away what it got (alias): fault"} {
		if verdict == nil || !strings.Contains(verdict.Error(), want) {
			t.Errorf("the verdict is %v, without %q", verdict, want)
		}
	}
}

func TestDemoFailsWhenACallDoesNotEnd(t *testing.T) {
	s := openTestRun(t)
	vero := s.vendors.Account("vero")
	if err := vero.AddFaults(simulator.Fault{Hang: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(vero.ClearFaults) // before the stage closes
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_ = vero.Wait(ctx, func() bool { return len(vero.Exchanges()) > 0 })
		cancel()
	}()
	_, err := s.run(ctx, story)
	if err == nil || !strings.Contains(err.Error(), "identify jane@example.com: ") {
		t.Errorf("the error is %v", err)
	}
}

func TestDemoKeepsRunningWhenAsked(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := demo(ctx, true, writer)
		_ = writer.Close()
		ended <- err
	}()
	text := readUntil(t, reader, "format=text'\n")
	found := regexp.MustCompile(`http://\S+/v1/alias`).FindString(text)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, found, strings.NewReader(`{"previousId":"user-7","userId":"bobby"}`))
	if err != nil {
		t.Fatalf("%v, in\n%s", err, text)
	}
	request.SetBasicAuth(demoWriteKey, "")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("the call of the invitation was answered %d", answer.StatusCode)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestWrapBreaksAfterSpacesAndUnderscores(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"short":                        "short",
		"one two three":                "one two|  three",
		"- alias_unsupported_by":       "- alias_|  unsuppor|  ted_by",
		"one two     three":            "one two|  three",
		"abcdefghijklmnop":             "abcdefghij|  klmnop",
		"one\ntwo":                     "one|two",
		"c0ffee… and user-42 and more": "c0ffee…|  and|  user-42|  and more",
	} {
		if got := strings.Join(wrap(text, 10), "|"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzWrap(f *testing.F) {
	f.Add("- alias_unsupported_by_simplified_id_merge", 20)
	f.Add("c0ffee… ünïcode_", 3)
	f.Fuzz(func(t *testing.T, text string, width int) {
		if width < 5 || width > 200 || !utf8.ValidString(text) {
			return
		}
		strip := func(s string) string { return strings.Join(strings.Fields(s), "") }
		lines := wrap(text, width)
		if strip(strings.Join(lines, "")) != strip(text) {
			t.Errorf("%q became %q", text, lines)
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > width {
				t.Errorf("%q is wider than %d", line, width)
			}
		}
	})
}

func openTestRun(t *testing.T) *demoRun {
	t.Helper()
	s, err := startDemo(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// readUntil reads up to a text, and goes on reading what follows in the background, so that its writer does not wait.
func readUntil(t *testing.T, from io.Reader, text string) string {
	t.Helper()
	var read bytes.Buffer
	buffer := make([]byte, 4096)
	for !strings.Contains(read.String(), text) {
		n, err := from.Read(buffer)
		read.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%v, after\n%s", err, &read)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, from) }()
	return read.String()
}
