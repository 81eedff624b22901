package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestDestinationsArePausedResumedForgottenAndTheConfigReloaded(t *testing.T) {
	vendors := newSimulation(t, "kissmetrics")
	path := servingConfig(t, vendors, "")
	server := startProcess(t, "serve", "--config", path)
	ready := server.line(t, "ready")
	edit := func(old, with string) {
		t.Helper()
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, []byte(strings.Replace(string(text), old, with, 1)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(code int, out, errOut string, args ...string) {
		t.Helper()
		got := runAka(t, append(args, "--admin", ready.Admin)...)
		if got.code != code || got.out != out || !strings.Contains(got.errOut, errOut) || (got.errOut == "") != (errOut == "") {
			t.Errorf("%v: exit code %d, output %q, errors %q", args, got.code, got.out, got.errOut)
		}
	}
	expect(exitDone, "kissmetrics is paused\n", "", "destination", "pause", "kissmetrics")
	post(t, ready.Listen, "dev", aliasOfJen)
	expect(exitFailed, "", "no such destination: vero", "destination", "pause", "vero")
	expect(exitFailed, "", "no such destination: ../reload", "destination", "pause", "../reload")
	expect(exitFailed, "", "the destination is configured", "destination", "forget", "kissmetrics")
	expect(exitWrongUse, "", "takes the name of one destination", "destination", "forget")

	expect(exitDone, "reloaded\n", "", "reload")
	edit("kissmetrics:", "kissmetriks:")
	expect(exitFailed, "", "stays:\n"+path+":4: destinations.kissmetriks.type: required", "reload")
	edit("kissmetriks: {", "another: { type: kissmetrics,")
	expect(exitDone, "reloaded\nadded: another\nremoved: kissmetrics\n", "", "reload")
	status := func(want string) {
		t.Helper()
		if got := runAka(t, "destination", "status", "--admin", ready.Admin); got.out != want || got.code != exitDone {
			t.Errorf("exit code %d, errors %q, output:\n%s", got.code, got.errOut, got.out)
		}
	}
	status("DESTINATION  VENDOR       STATE    BACKLOG  OLDEST  PARKED  IN FLIGHT  LAST FAILURE\n" +
		"another      kissmetrics  ok       0        -       0       0          -\n" +
		"kissmetrics  -            removed  1        -       0       0          -\n")
	expect(exitDone, "kissmetrics is forgotten, and the 1 calls that waited for it are dropped\n", "", "destination", "forget", "kissmetrics")
	edit("listen: 127.0.0.1:0\n", "listen: 127.0.0.1:1\n")
	expect(exitDone, "reloaded\nneeds a restart: listen\n", "", "reload")
}

// What this shell knows of the config is a file that is being edited, whose secrets are not here.
func TestEveryCommandForARunningAkaGoesByAddressAndTokenAlone(t *testing.T) {
	vendors := newSimulation(t, "kissmetrics")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("full-token-of-admin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	served := servingConfig(t, vendors, "")
	text, err := os.ReadFile(served)
	if err == nil {
		err = os.WriteFile(served, []byte(strings.Replace(string(text), "admin: {", "admin: { token_file: '"+token+"',", 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	ready := startProcess(t, "serve", "--config", served).line(t, "ready")
	edited := writeConfig(t, "sources: { website: { write_key: \"${A_KEY_THAT_IS_NOT_HERE}\" } }\njournall: {\n"+
		"admin: { listen: '"+ready.Admin+"', token_file: '"+token+"' }\n")
	for _, command := range []string{
		"health", "health --ready", "reload", "dead list", "dead list --summary", "dead replay --all", "dead discard --all", "log level", "log level info",
		"destination status", "destination status kissmetrics", "destination pause kissmetrics", "destination resume kissmetrics", "drain --cancel",
	} {
		if got := runAka(t, append(strings.Fields(command), "--config", edited)...); got.code != exitDone || got.errOut != "" {
			t.Errorf("%s: exit code %d, errors %q", command, got.code, got.errOut)
		}
	}
	for command, want := range map[string]string{
		"dead show 7": "aka: dead letter 7: there is no", "destination forget kissmetrics": "aka: the destination is configured",
	} {
		if got := runAka(t, append(strings.Fields(command), "--config", edited)...); got.code != exitFailed || !strings.HasPrefix(got.errOut, want) {
			t.Errorf("%s: exit code %d, errors %q", command, got.code, got.errOut)
		}
	}
}

func TestDrainDeliversEverythingAndEndsTheProcess(t *testing.T) {
	vendors := newSimulation(t, "kissmetrics")
	server := startProcess(t, "serve", "--config", servingConfig(t, vendors, ""))
	ready := server.line(t, "ready")
	ask := func(args ...string) result {
		t.Helper()
		return runAka(t, append(args, "--admin", ready.Admin)...)
	}
	ask("destination", "pause", "kissmetrics")
	post(t, ready.Listen, "dev", aliasOfJen)
	if got := ask("drain", "--no-wait"); got.code != exitDone {
		t.Errorf("%+v", got)
	}
	if got := ask("health", "--ready"); got.code != exitFailed || !strings.Contains(got.errOut, "draining") {
		t.Errorf("while it drains: %+v", got)
	}
	if got := ask("drain", "--cancel"); got.code != exitDone {
		t.Errorf("%+v", got)
	}
	if got := ask("health", "--ready"); got.code != exitDone {
		t.Errorf("when that is cancelled: %+v", got)
	}
	drained := make(chan result)
	go func() { drained <- ask("drain") }()
	server.line(t, "draining")
	ask("destination", "resume", "kissmetrics")
	got := <-drained
	if got.code != exitDone || !strings.HasSuffix(got.out, "nothing waits\n") || got.errOut != "" {
		t.Errorf("%+v", got)
	}
	server.line(t, "drained")
	if code := server.exit(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if n := len(vendors.Account("kissmetrics").Records()); n != 1 {
		t.Errorf("the vendor has %d records", n)
	}
}

func TestSIGHUPReloadsTheConfig(t *testing.T) {
	vendors := newSimulation(t, "kissmetrics")
	path := servingConfig(t, vendors, "")
	process := startProcess(t, "serve", "--config", path)
	process.line(t, "ready")
	process.signal(t, syscall.SIGHUP)
	process.line(t, "config reloaded")
	if err := os.WriteFile(path, []byte("nonsense: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	process.signal(t, syscall.SIGHUP)
	if line := process.line(t, "config was not reloaded, the old one stays"); line.Level != "error" {
		t.Errorf("that is said as %s", line.Level)
	}
	process.signal(t, syscall.SIGTERM)
	process.line(t, "stopped")
	if code := process.exit(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}
