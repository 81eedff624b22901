package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"aka/destinations/simulator"
	"aka/e2e/harness"
)

// verify runs aka verify beside the aka that serves, and returns what it printed and its exit code.
func verify(t *testing.T, w *world, args ...string) (text string, code int) {
	t.Helper()
	command := exec.CommandContext(w.Ctx, binary, append([]string{"verify", "--wait", "0s", "--config", w.Config}, args...)...)
	command.Env = append(os.Environ(), "CIO_KEY=s3cret-key", "CIO_APP_KEY=s3cret-app-key")
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "s3cret") {
		t.Errorf("a secret is shown:\n%s", out.String())
	}
	return out.String(), command.ProcessState.ExitCode()
}

// The real binary, with secrets from the environment as serve reads them, beside an aka that serves the same config: its journal gets
// nothing of it.
func TestVerifySaysByItsExitCodeWhatBecameOfTheStory(t *testing.T) {
	w := newWorld(t, harness.Setup{Env: []string{"CIO_KEY=s3cret-key", "CIO_APP_KEY=s3cret-app-key"}, Destinations: []harness.Destination{
		{Name: "cio", Vendor: "customerio", Settings: `site_id: s1te, api_key: "${CIO_KEY}", app_api_key: "${CIO_APP_KEY}", merge_wait: 1ms`,
			Options: simulator.Options{Token: "s3cret-key", CustomerIO: simulator.CustomerIO{SiteID: "s1te", AppAPIKey: "s3cret-app-key", FindableAfter: -1}}},
		{Name: "vero", Vendor: "vero", Settings: "auth_token: s3cret-token"},
	}})
	w.Start()
	if text, code := verify(t, w, "cio"); code != 2 || len(w.Account("cio").Exchanges()) > 0 {
		t.Errorf("exit code %d without --yes:\n%s", code, text)
	}
	if text, code := verify(t, w, "cio", "--yes"); code != 0 || !strings.Contains(text, "Verified on") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	if text, code := verify(t, w, "vero", "--yes"); code != 3 || !strings.Contains(text, "a person has to look") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	w.AddFaults("cio", simulator.Fault{Path: "/entity", Status: 200, Body: "{}"}) // a merge that does nothing
	if text, code := verify(t, w, "cio", "--yes"); code != 1 || !strings.Contains(text, "the person has no aka_verify_before") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	w.AddFaults("vero", simulator.Fault{Page: true})
	if text, code := verify(t, w, "vero", "--yes"); code != 1 || !strings.Contains(text, "is not the vendor's") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	w.Stop()
	if entries := w.journaled(); len(entries) > 0 {
		t.Errorf("the journal has %d calls", len(entries))
	}
}
