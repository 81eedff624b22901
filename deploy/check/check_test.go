package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// repository is the folder of aka's own module.
var repository = func() string {
	path, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return path
}()

// akaBinary is the aka that is shipped, built from the source beside these tests.
var akaBinary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	folder, err := os.MkdirTemp("", "aka-deploy")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	akaBinary = filepath.Join(folder, "aka")
	build := exec.Command("go", "build", "-o", akaBinary, ".")
	build.Dir = repository
	if output, err := build.CombinedOutput(); err != nil {
		panic(string(output))
	}
	return m.Run()
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run ends the test when the command fails, and returns what it said.
func run(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), name, arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

// secretFiles makes one file for each name, as a container has its secrets.
func secretFiles(t *testing.T, names ...string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for _, name := range names {
		write(t, filepath.Join(folder, name), "of-"+name+"-and-long-enough\n")
	}
	return folder
}

// expectTaken has aka itself check a config that stands in deploy/.
func expectTaken(t *testing.T, config string) (effective string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	write(t, path, config)
	return run(t, akaBinary, "check", "--config", path)
}

// shutdownTimeout is how long an aka may take to stop where its config says nothing else.
func shutdownTimeout(t *testing.T, effective string) time.Duration {
	t.Helper()
	for _, line := range strings.Split(effective, "\n") {
		if value, found := strings.CutPrefix(line, "shutdown_timeout: "); found {
			duration, err := time.ParseDuration(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return duration
		}
	}
	t.Fatalf("no shutdown_timeout in\n%s", effective)
	return 0
}
