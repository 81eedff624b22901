package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aka/router/segment"
)

// started is a folder with what `aka init http` writes.
func started(t *testing.T) (config string) {
	t.Helper()
	config = filepath.Join(t.TempDir(), "config.yaml")
	if got := runAka(t, "init", "http", "-o", config); got.code != exitDone {
		t.Fatalf("exit code %d: %s", got.code, got.errOut)
	}
	return config
}

func change(t *testing.T, file, old, by string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("%s does not hold %q (%v)", file, old, err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, by, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestInitHTTPWritesThreeCasesThatPass(t *testing.T) {
	config := started(t)
	if got := runAka(t, "check", "--cases", "-c", config); got.code != exitDone || got.out != "http: 3 of 3 cases passed\n" {
		t.Errorf("exit code %d, out %q: %s", got.code, got.out, got.errOut)
	}
	kept := filepath.Join(filepath.Dir(config), "cases", "alias.yaml")
	change(t, kept, "jen@email.com", "joe@email.com")
	if got := runAka(t, "init", "http", "--force", "-o", config); got.code != exitDone {
		t.Errorf("exit code %d: %s", got.code, got.errOut)
	}
	if text, err := os.ReadFile(kept); err != nil || !strings.Contains(string(text), "joe@email.com") {
		t.Error("init has written over a case:", err)
	}
}

func TestCheckSaysWhichCaseFailsAndHow(t *testing.T) {
	config := started(t)
	change(t, config, "from: =previousId", "from: =userId")
	got := runAka(t, "check", "--cases", "-c", config)
	for _, want := range []string{"http: FAIL ", "alias.yaml\n", `"from": "507f191e81"`, `"from": "jen@email.com"`, "http: 2 of 3 cases passed\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("it does not say %q:\n%s", want, got.out)
		}
	}
	if got.code != exitFailed || !strings.Contains(got.errOut, "1 of 3 cases failed") {
		t.Errorf("exit code %d: %s", got.code, got.errOut)
	}
}

func TestCasesNeverShowASecret(t *testing.T) {
	config := started(t)
	t.Setenv("ACME_TOKEN", "sup3r-s3cret-t0ken")
	change(t, config, "from: =previousId", "from: =secrets.token")
	if got := runAka(t, "check", "--cases", "-c", config); got.code != exitFailed || strings.Contains(got.out+got.errOut, "sup3r-s3cret") || !strings.Contains(got.out, "<secret>") {
		t.Errorf("exit code %d: %s%s", got.code, got.out, got.errOut)
	}
	body := `{"type":"alias","userId":"u1","previousId":"p1"}`
	if got := runAkaWith(t, body, "explain", "--leaves", "-c", config); strings.Contains(got.out+got.errOut, "sup3r-s3cret") || !strings.Contains(got.out, "<secret>") {
		t.Errorf("explain: %s%s", got.out, got.errOut)
	}
}

func TestCasesThatAreNotThereAreAMistake(t *testing.T) {
	config := started(t)
	change(t, config, "cases/*.yaml", "golden/*.yaml")
	if got := runAka(t, "check", "--cases", "-c", config); got.code != exitFailed || !strings.Contains(got.errOut, `destinations.http.cases: no file fits "golden/*.yaml"`) {
		t.Errorf("exit code %d: %s", got.code, got.errOut)
	}
	change(t, config, "cases: [golden/*.yaml]", "mode: live")
	if got := runAka(t, "check", "--cases", "-c", config); got.code != exitFailed || !strings.Contains(got.errOut, "no destination has cases") {
		t.Errorf("exit code %d: %s", got.code, got.errOut)
	}
}

func TestCheckWarnsOfAnAliasThatNoCaseChecks(t *testing.T) {
	config := started(t)
	t.Setenv("ACME_TOKEN", "t0ken")
	if got := runAka(t, "check", "-c", config); got.code != exitDone || strings.Contains(got.errOut, "warning") {
		t.Errorf("exit code %d: %s", got.code, got.errOut)
	}
	change(t, config, "cases: [cases/*.yaml]", "mode: live")
	change(t, config, "merges: { rule: absorbs, from: previousId, to: userId }", "drop: []")
	got := runAka(t, "check", "-c", config)
	for _, want := range []string{"its merges do not say what they do there", "no golden case checks them"} {
		if got.code != exitDone || !strings.Contains(got.errOut, want) {
			t.Errorf("exit code %d, without %q: %s", got.code, want, got.errOut)
		}
	}
}

func TestAMistakeInAnExpressionHasItsFileLineAndColumn(t *testing.T) {
	config := started(t)
	t.Setenv("ACME_TOKEN", "t0ken")
	change(t, config, "name: =trim(event)", "name: =trim(evnt)")
	change(t, config, "=iso(timestamp)", "=timestamp")
	got := runAka(t, "check", "-c", config)
	for _, want := range []string{
		`config.yaml:41:29: destinations.http.settings.calls.track.send[0].json.name: unknown name "evnt"; did you mean event?`,
		`config.yaml:42:24: destinations.http.settings.calls.track.send[0].json.time: timestamp: is a time; write it with iso, unix or unix_ms`,
	} {
		if got.code != exitFailed || !strings.Contains(got.errOut, want) {
			t.Errorf("exit code %d, without %q:\n%s", got.code, want, got.errOut)
		}
	}
}

func TestExplainShowsTheExpressionsBehindARequest(t *testing.T) {
	config := started(t)
	got := runAkaWith(t, `{"type":"identify","userId":"u1","traits":{"plan":"pro"}}`, "explain", "--leaves", "-c", config)
	for _, want := range []string{
		`leaf: calls.identify.send[0].request: userId  = "u1"`,
		`leaf: calls.identify.send[0].json.email: email(traits.email)  has no value`,
		`leaf: calls.identify.send[0].json.traits: filled(omit(traits, "email"))  = {"plan":"pro"}`,
	} {
		if got.code != exitDone || !strings.Contains(got.out, want) {
			t.Errorf("exit code %d, without %q:\n%s", got.code, want, got.out)
		}
	}
	if without := runAkaWith(t, `{"type":"identify","userId":"u1"}`, "explain", "-c", config); strings.Contains(without.out, "leaf:") {
		t.Error("the expressions are shown though they were not asked for")
	}
}

func TestCheckSaysWhatSamplesLeaveOut(t *testing.T) {
	config := started(t)
	t.Setenv("ACME_TOKEN", "sup3r-s3cret-t0ken")
	change(t, config, "name: =trim(event)", "name: =trim(event)\n                plan?: =properties.plan")
	change(t, config, "from: =previousId", "from: =context.device.id")
	got := runAka(t, "check", "-c", config)
	for _, want := range []string{
		"http: a sample track is sent without calls.track.send[0].json.plan\n",
		"http: a sample alias is rejected: calls.alias.send[0].json.from: context.device.id: cannot be read",
	} {
		if got.code != exitDone || !strings.Contains(got.errOut, want) {
			t.Errorf("exit code %d, without %q:\n%s", got.code, want, got.errOut)
		}
	}
	if len(sampleCalls()) != len(segment.Types) || strings.Contains(got.errOut, "a sample identify") || strings.Contains(got.errOut, "sup3r") {
		t.Error(got.errOut)
	}
}
