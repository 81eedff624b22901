package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"aka/e2e/harness"
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
	var flags []string
	if isRaceBuild() {
		flags = append(flags, "-race")
	}
	if err := harness.Build("..", binary, flags...); err != nil {
		fmt.Fprintln(os.Stderr, err)
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

// served is an aka that runs for a test.
type served struct {
	*harness.Process
	t *testing.T
	// api and admin are the addresses that it said it listens at, as URLs.
	api, admin string
}

// startServe runs aka serve and waits until it is ready. The test's end kills it if nothing did before.
func startServe(t *testing.T, args ...string) *served {
	t.Helper()
	return startServeAs(t, binary, args...)
}

// startServeAs is startServe for a program that goes on as aka.
func startServeAs(t *testing.T, program string, args ...string) *served {
	t.Helper()
	running, err := harness.Launch(program, nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	p := &served{Process: running, t: t}
	t.Cleanup(p.cleanUp)
	if err := p.Ready(startTimeout); err != nil {
		t.Fatal(err)
	}
	p.api, p.admin = p.API, p.Admin
	return p
}

func (p *served) cleanUp() {
	p.kill()
	if strings.Contains(p.Log.String(), "DATA RACE") {
		p.t.Error("aka found a data race in itself")
	}
	if p.t.Failed() {
		p.t.Logf("the log of process %d:\n%s", p.PID(), p.Log.String())
	}
}

// kill ends the process as a crash does.
func (p *served) kill() { p.Kill() }

// terminate asks the process to stop, and returns its exit code and how long it took.
func (p *served) terminate() (code int, took time.Duration) {
	p.t.Helper()
	code, took, err := p.Terminate(stopTimeout)
	if err != nil {
		p.t.Fatal(err)
	}
	return code, took
}

// stop is terminate for those who expect nothing unusual of it.
func (p *served) stop() {
	p.t.Helper()
	if code, _ := p.terminate(); code != 0 {
		p.t.Errorf("aka ended with exit code %d", code)
	}
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
