package cli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
)

// runAsAka makes the test binary behave as aka itself, for tests that need a process.
const runAsAka = "AKA_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runAsAka) != "" {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// result is what a run left behind.
type result struct {
	code        int
	out, errOut string
}

func runAka(t *testing.T, args ...string) result {
	t.Helper()
	return runAkaWith(t, "", args...)
}

// runAkaWith runs aka with a text at its standard input.
func runAkaWith(t *testing.T, in string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(in), &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

func TestWrongUseIsTwoAndSaysHowToGoOn(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"serv"}, "aka: unknown command \"serv\" for \"aka\"\n\nDid you mean this?\n\tserve\n" +
			"usage: aka [command]\nRun \"aka --help\" for more.\n"},
		{[]string{"serve", "--nope"}, "aka: unknown flag: --nope\nusage: aka serve [flags]\nRun \"aka serve --help\" for more.\n"},
		{[]string{"serve", "config.yaml"}, "aka: aka serve takes no argument, such as \"config.yaml\"\n" +
			"usage: aka serve [flags]\nRun \"aka serve --help\" for more.\n"},
		{[]string{"simulate", "--listen"}, "aka: flag needs an argument: --listen\n" +
			"usage: aka simulate [flags]\nRun \"aka simulate --help\" for more.\n"},
	} {
		got := runAka(t, c.args...)
		if got.code != exitWrongUse || got.errOut != c.want || got.out != "" {
			t.Errorf("%v: exit code %d, out %q, errors\n%s\nwant\n%s", c.args, got.code, got.out, got.errOut, c.want)
		}
	}
}

func TestFailureIsOneAndToldOnceWithoutUsage(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.yaml")
	got := runAka(t, "serve", "--config", missing)
	want := "aka: " + missing + ": no such file or directory\n"
	if got.code != exitFailed || got.errOut != want || got.out != "" {
		t.Errorf("exit code %d, out %q, errors %q, want %q", got.code, got.out, got.errOut, want)
	}
}

func TestEveryMistakeOfAConfigIsNamed(t *testing.T) {
	path := writeConfig(t, "shutdown_timeout: 0s\nlog: { level: loud }\n")
	got := runAka(t, "serve", "--config", path)
	lines := strings.Split(strings.TrimSuffix(got.errOut, "\n"), "\n")
	if got.code != exitFailed || len(lines) != 4 {
		t.Errorf("exit code %d, errors\n%s", got.code, got.errOut)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "aka: "+path) {
			t.Errorf("the line %q names neither aka nor the file", line)
		}
	}
}

func TestHelpIsThereForEveryCommand(t *testing.T) {
	var each func(command *cobra.Command)
	each = func(command *cobra.Command) {
		args := append(strings.Fields(command.CommandPath())[1:], "--help")
		got := runAka(t, args...)
		if got.code != exitDone || got.errOut != "" || !strings.Contains(got.out, "Usage:") {
			t.Errorf("%v: exit code %d, out %q, errors %q", args, got.code, got.out, got.errOut)
		}
		if command.Short == "" || len(command.Short) > 80 {
			t.Errorf("%v: the short help is %q", args, command.Short)
		}
		for line := range strings.Lines(got.out) {
			if len(line) > 140 {
				t.Errorf("%v: a line of %d characters: %s", args, len(line), line)
			}
		}
		for _, below := range command.Commands() {
			each(below)
		}
	}
	each(newRoot())
}

func TestNoCommandShowsTheHelp(t *testing.T) {
	got := runAka(t)
	if got.code != exitDone || got.errOut != "" || !strings.Contains(got.out, "aka demo") {
		t.Errorf("exit code %d, out %q, errors %q", got.code, got.out, got.errOut)
	}
}

func TestVersion(t *testing.T) {
	version = "v1.2.3"
	t.Cleanup(func() { version = "" })
	command, flag := runAka(t, "version"), runAka(t, "--version")
	fields := strings.Fields(command.out)
	if command.code != exitDone || len(fields) != 4 || fields[0] != "aka" || fields[1] != "v1.2.3" ||
		!strings.HasPrefix(fields[2], "go1.") || !strings.Contains(fields[3], "/") {
		t.Errorf("exit code %d, out %q", command.code, command.out)
	}
	if flag != command {
		t.Errorf("--version says %q, version %q", flag.out, command.out)
	}
}

func TestVersionIsKnownWithoutARelease(t *testing.T) {
	if buildVersion() == "" {
		t.Error("no version")
	}
}

func TestMainIsTheSame(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := Main([]string{"version"}, nil, &out, &errOut); code != exitDone || out.Len() == 0 || errOut.Len() != 0 {
		t.Errorf("exit code %d, out %q, errors %q", code, &out, &errOut)
	}
}

func TestUntilSignalledEndsWithItsWork(t *testing.T) {
	want := context.DeadlineExceeded
	if got := untilSignalled(t.Context(), func(context.Context) error { return want }); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// noReader is a standard output that has lost its reader.
type noReader struct{}

func (noReader) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}
}

func TestAReaderThatHasEnoughIsNoFailureToTellOf(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"schema"}, {"init", "vero"}, {"simulate", "--listen", "127.0.0.1:0"}, {"demo"}, {"demo", "--keep"}} {
		folder := t.TempDir()
		t.Setenv("TMPDIR", folder)
		var errOut bytes.Buffer
		if code := run(t.Context(), args, strings.NewReader(""), noReader{}, &errOut); code != exitNoReader || errOut.Len() > 0 {
			t.Errorf("%v: exit code %d, errors %q", args, code, &errOut)
		}
		if left, _ := os.ReadDir(folder); len(left) > 0 {
			t.Errorf("%v leaves %v", args, left)
		}
	}
}

// Without more, Go ends a process that writes to a pipe without a reader: it could clean nothing up.
func TestAClosedOutputIsAnErrorAndNoSignal(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	_ = reader.Close()
	command := exec.CommandContext(t.Context(), os.Args[0], "schema")
	command.Env = append(os.Environ(), runAsAka+"=1")
	command.Stdout = writer
	var errOut bytes.Buffer
	command.Stderr = &errOut
	_ = command.Run()
	if code := command.ProcessState.ExitCode(); code != exitNoReader || errOut.Len() > 0 {
		t.Errorf("exit code %d, errors %q", code, &errOut)
	}
}
