package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is aka as built for these tests.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "aka-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=0") // or each aka takes a second to end
	}
	binary = filepath.Join(dir, "aka")
	args := []string{"build", "-o", binary}
	if isRaceBuild() {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "..")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build aka:", err)
		return 1
	}
	return m.Run()
}

// isRaceBuild tells whether the tests themselves run with -race.
func isRaceBuild() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, setting := range info.Settings {
		if setting.Key == "-race" {
			return setting.Value == "true"
		}
	}
	return false
}

// startTimeout and stopTimeout bound what takes a moment, on a machine that is busy and with the race detector.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 30 * time.Second
)

// process is an aka that runs.
type process struct {
	t       *testing.T
	command *exec.Cmd
	// api and admin are the addresses that it said it listens at, as URLs.
	api, admin string

	exited chan struct{} // closed when it has ended
	log    logLines
}

// startServe runs aka serve and waits until it is ready. The test's end kills it if nothing did before.
func startServe(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, exited: make(chan struct{}), log: logLines{}}
	p.command = exec.Command(binary, append([]string{"serve"}, args...)...)
	stderr, err := p.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan map[string]string, 1)
	go p.follow(stderr, ready)
	t.Cleanup(p.cleanUp)
	select {
	case line := <-ready:
		p.api, p.admin = line["scheme"]+"://"+line["listen"], "http://"+line["admin"]
	case <-p.exited:
		t.Fatal("aka ended before it was ready")
	case <-time.After(startTimeout):
		t.Fatal("aka is not ready")
	}
	return p
}

// follow keeps the log and looks for the line that says it is ready.
func (p *process) follow(stderr io.Reader, ready chan<- map[string]string) {
	defer close(p.exited)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		p.log.add(lines.Text())
		var line struct{ Msg, Listen, Scheme, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			ready <- map[string]string{"listen": line.Listen, "scheme": line.Scheme, "admin": line.Admin}
		}
	}
	_ = p.command.Wait()
}

func (p *process) cleanUp() {
	p.kill()
	if strings.Contains(p.log.String(), "DATA RACE") {
		p.t.Error("aka found a data race in itself")
	}
	if p.t.Failed() {
		p.t.Logf("the log of process %d:\n%s", p.command.Process.Pid, p.log.String())
	}
}

// kill ends the process as a crash does.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.exited
}

// terminate asks the process to stop, and returns its exit code and how long it took.
func (p *process) terminate() (code int, took time.Duration) {
	p.t.Helper()
	start := time.Now()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		p.t.Fatal("aka did not stop")
	}
	return p.command.ProcessState.ExitCode(), time.Since(start)
}

// stop is terminate for those who expect nothing unusual of it.
func (p *process) stop() {
	p.t.Helper()
	if code, _ := p.terminate(); code != 0 {
		p.t.Errorf("aka ended with exit code %d", code)
	}
}

// logLines are the last lines of a log.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

const maxLogLines = 300

func (l *logLines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines = append(l.lines, line); len(l.lines) > maxLogLines {
		l.lines = l.lines[1:]
	}
}

// String returns the lines.
func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// aka runs a command that ends by itself, and returns what it printed. It must succeed.
func aka(t *testing.T, input string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, binary, args...)
	command.Stdin = strings.NewReader(input)
	out, err := command.Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		t.Fatalf("aka %s: %v\n%s%s", strings.Join(args, " "), err, out, failed.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// post sends a body as an SDK does, and returns the status and the answer.
func post(ctx context.Context, client *http.Client, url, body string) (status int, answer string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, "", err
	}
	request.SetBasicAuth(writeKey, "")
	request.Header.Set("Content-Type", "application/json")
	return do(client, request)
}

func do(client *http.Client, request *http.Request) (status int, answer string, err error) {
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}
