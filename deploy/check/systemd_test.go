package check

import (
	"bufio"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// maxExposure is in tenths, as systemd-analyze counts: below 2 is what it calls OK.
const maxExposure = "15"

// installed is the unit with the aka of these tests in the place of the installed one, which need not be there.
func installed(t *testing.T) (path string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("systemd-analyze is missing: apt-get install systemd")
	}
	path = filepath.Join(t.TempDir(), "aka.service")
	write(t, path, strings.ReplaceAll(read(t, "deploy/systemd/aka.service"), "/usr/local/bin/aka", akaBinary))
	return path
}

func TestSystemdTakesTheUnit(t *testing.T) {
	if said := run(t, "systemd-analyze", "verify", "--man=no", installed(t)); said != "" {
		t.Error(said)
	}
}

func TestTheUnitGivesAkaNoMoreThanItNeeds(t *testing.T) {
	run(t, "systemd-analyze", "security", "--offline=yes", "--threshold="+maxExposure, installed(t))
}

// settings are the unit's, by key; the last one counts.
func settings(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(read(t, "deploy/systemd/aka.service")))
	for lines.Scan() {
		if key, value, found := strings.Cut(lines.Text(), "="); found && !strings.HasPrefix(key, "#") {
			all[key] = value
		}
	}
	return all
}

// Go ends a program that panics with the code 2, which is a wrong command line's, too.
func TestTheUnitStartsAkaAgainAfterEveryFailure(t *testing.T) {
	unit := settings(t)
	if unit["Restart"] != "on-failure" || unit["RestartPreventExitStatus"] != "" || unit["SuccessExitStatus"] != "" {
		t.Errorf("restarts %q, but not after %q, and %q is a success", unit["Restart"], unit["RestartPreventExitStatus"], unit["SuccessExitStatus"])
	}
}

func TestTheUnitGivesSecretsAndTimeToStop(t *testing.T) {
	unit := settings(t)
	id, _, _ := strings.Cut(unit["LoadCredential"], ":")
	config := `
sources: { website: { write_key_file: "${CREDENTIALS_DIRECTORY}/` + id + `_write-key" } }
destinations: { mixpanel: { settings: { token_file: "${CREDENTIALS_DIRECTORY}/` + id + `_mixpanel", id_merge: simplified } } }
`
	t.Setenv("CREDENTIALS_DIRECTORY", secretFiles(t, id+"_write-key", id+"_mixpanel"))
	effective := expectTaken(t, config)
	stop, err := time.ParseDuration(unit["TimeoutStopSec"])
	if err != nil || stop <= shutdownTimeout(t, effective) {
		t.Errorf("killed after %v (%v), stops in %v", stop, err, shutdownTimeout(t, effective))
	}
	if !strings.Contains(unit["ExecStart"], " serve --config ") || !strings.Contains(unit["ExecReload"], " reload --config ") {
		t.Errorf("starts %q, reloads %q", unit["ExecStart"], unit["ExecReload"])
	}
}

// What a filter forbids fails with EPERM, wherever a library happens to need it: so a real run is watched.
func TestTheUnitForbidsNoSystemCallThatAkaMakes(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is missing: apt-get install strace")
	}
	trace := filepath.Join(t.TempDir(), "calls")
	t.Run("serve", func(t *testing.T) {
		aka := startAka(t, "strace", "-f", "-qq", "-e", "signal=none", "-o", trace)
		if status := aka.send(t, "dev", "/v1/identify", `{"userId":"jen@email.com"}`); status != 200 {
			t.Fatalf("answered %d", status)
		}
		aka.untilEnded(t, 3)
	}) // it has stopped now
	content, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, line := range madeCall.FindAllStringSubmatch(string(content), -1) {
		made[line[1]] = true
	}
	if !made["fsync"] || !made["accept4"] {
		t.Fatalf("traced only %v", made)
	}
	permitted := callsOf(t, "@default", "@system-service")
	for _, forbidden := range []string{"@privileged", "@resources"} {
		for call := range callsOf(t, forbidden) {
			delete(permitted, call)
		}
	}
	for call := range callsOf(t, "@default") {
		permitted[call] = true
	}
	for call := range made {
		if !permitted[call] {
			t.Errorf("aka makes %s, which the unit forbids", call)
		}
	}
}

var madeCall = regexp.MustCompile(`(?m)^\d+ +(\w+)\(`)

// callsOf are the system calls of systemd's sets, which name other sets.
func callsOf(t *testing.T, sets ...string) map[string]bool {
	t.Helper()
	calls := map[string]bool{}
	for _, set := range sets {
		for _, line := range strings.Split(run(t, "systemd-analyze", "syscall-filter", set), "\n") {
			switch name := strings.TrimSpace(line); {
			case name == "" || name == set || strings.HasPrefix(name, "#"):
			case strings.HasPrefix(name, "@"):
				maps.Copy(calls, callsOf(t, name))
			default:
				calls[name] = true
			}
		}
	}
	return calls
}
