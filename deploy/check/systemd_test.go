package check

import (
	"bufio"
	"os/exec"
	"path/filepath"
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
