package cli

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// An image from scratch has no /tmp.
func withoutTmp(t *testing.T, dir string) {
	t.Helper()
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	t.Chdir(dir)
}

func TestTheDemoRunsWithoutATemporaryFolder(t *testing.T) {
	for name, folder := range map[string]string{"an image with a volume": "data", "any folder": "."} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
				t.Fatal(err)
			}
			withoutTmp(t, dir)
			got := runAka(t, "demo")
			if got.code != exitDone || got.errOut != "" {
				t.Errorf("exit code %d, errors %q", got.code, got.errOut)
			}
			if left, _ := os.ReadDir(folder); len(left) > 0 {
				t.Errorf("left are %v", left)
			}
		})
	}
}

func TestServeSimulateRunsWithoutATemporaryFolder(t *testing.T) {
	t.Setenv("AKA_WRITE_KEY", "dev")
	config, dir := exampleConfig(t), t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	withoutTmp(t, dir)
	server := startServing(t, "serve", "--simulate", "--config", config)
	if loud := server.line(t, "SIMULATION, "); !strings.HasPrefix(loud.Journal, data+"/.aka-simulate-") {
		t.Errorf("the loud line is %+v", loud)
	}
	server.line(t, "ready")
	server.stop()
	if code := server.exit(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if left, _ := os.ReadDir(data); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

// What a crash leaves in the data folder does not keep a journal from being made there.
func TestAScratchFolderIsNoStrangerToTheJournal(t *testing.T) {
	vendors := newSimulation(t, "kissmetrics")
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	withoutTmp(t, dir)
	if folder, err := scratchFolder("aka-demo"); err != nil || filepath.Dir(folder) != data {
		t.Fatalf("got %q, %v", folder, err)
	}
	text, err := os.ReadFile(servingConfig(t, vendors, ""))
	if err != nil {
		t.Fatal(err)
	}
	config, _, _ := strings.Cut(string(text), "journal:") // it is the default's then
	startServing(t, "serve", "--config", writeConfig(t, config)).line(t, "ready")
}

func TestWhereNothingCanBeWrittenThatIsSaid(t *testing.T) {
	dir := t.TempDir()
	withoutTmp(t, dir)
	if err := os.Remove(dir); err != nil { // nothing can be made in a folder that is gone
		t.Fatal(err)
	}
	for _, command := range [][]string{{"demo"}, {"serve", "--simulate"}} {
		got := runAka(t, command...)
		if got.code != exitFailed || !strings.HasPrefix(got.errOut, "aka: temporary folder: set TMPDIR to a folder that aka can write to: ") || strings.Count(got.errOut, "\n") != 1 {
			t.Errorf("%v: exit code %d, errors %q", command, got.code, got.errOut)
		}
	}
}

func TestAClosedTerminalEndsTheDemoInOrder(t *testing.T) {
	folder := t.TempDir()
	command := exec.CommandContext(t.Context(), os.Args[0], "demo", "--keep")
	command.Env = append(os.Environ(), runAsAka+"=1", "TMPDIR="+folder)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	for said.Scan() && !strings.Contains(said.Text(), "Ctrl-C") {
	}
	if err := command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for said.Scan() { // to its end
	}
	if err := command.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if left, _ := os.ReadDir(folder); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}
