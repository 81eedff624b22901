// Package harness is what the end-to-end tests, the fault suite and bench share: the aka that is shipped, as a process of its own,
// a config and simulated vendors for it, a load of calls, and a checker of what the vendors got.
package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Build builds the aka of this module, from whichever of its folders the program was started in, with more of go build's flags.
func Build(path string, flags ...string) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return errors.New("run it within aka's source, or name an -aka")
		}
		dir = filepath.Dir(dir)
	}
	build := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), ".")...)
	build.Dir = dir
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build aka: %w", err)
	}
	return nil
}

// Command runs a command of aka that ends by itself, and returns what it printed. The error holds what it printed, too.
func Command(ctx context.Context, binary, stdin string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, binary, args...)
	command.Stdin = strings.NewReader(stdin)
	out, err := command.Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return out, fmt.Errorf("aka %s: %w\n%s%s", strings.Join(args, " "), err, out, failed.Stderr)
	}
	return out, err
}

// Process is an aka that serves, or has.
type Process struct {
	// API and Admin are the addresses that it said it listens at, as URLs. They are there once Ready has returned nil.
	API, Admin string
	// Exited is closed when it has ended.
	Exited chan struct{}
	Log    Log

	command *exec.Cmd
	ready   chan readyLine
}

// readyLine is what aka logs when it is ready.
type readyLine struct{ Msg, Listen, Scheme, Admin string }

// Launch runs aka serve with more arguments and environment, and does not wait for it.
func Launch(binary string, env []string, args ...string) (*Process, error) {
	p := &Process{Exited: make(chan struct{}), ready: make(chan readyLine, 1)}
	p.command = exec.Command(binary, append([]string{"serve"}, args...)...)
	p.command.Env = append(os.Environ(), env...)
	stderr, err := p.command.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go p.follow(stderr)
	return p, nil
}

// LaunchUnread is Launch for those who read the log themselves, at the other end of a pipe: see ReadUntilReady. Exited is closed
// when the process has ended, whatever was read.
func LaunchUnread(binary string, log *os.File, env []string, args ...string) (*Process, error) {
	p := &Process{Exited: make(chan struct{})}
	p.command = exec.Command(binary, append([]string{"serve"}, args...)...)
	p.command.Env = append(os.Environ(), env...)
	p.command.Stderr = log
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.Exited)
		_ = p.command.Wait()
	}()
	return p, nil
}

// ReadUntilReady reads the log up to the line that says that aka takes calls.
func (p *Process) ReadUntilReady(lines *bufio.Scanner) error {
	for lines.Scan() {
		p.Log.Add(lines.Text())
		if line, ok := isReady(lines.Bytes()); ok {
			p.setAddresses(line)
			return nil
		}
	}
	return ErrEnded
}

// follow keeps the log and looks for the line that says it is ready.
func (p *Process) follow(stderr io.Reader) {
	defer close(p.Exited)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		p.Log.Add(lines.Text())
		if line, ok := isReady(lines.Bytes()); ok {
			p.ready <- line
		}
	}
	_ = p.command.Wait()
}

func isReady(text []byte) (line readyLine, ok bool) {
	ok = json.Unmarshal(text, &line) == nil && line.Msg == "ready"
	return line, ok
}

func (p *Process) setAddresses(line readyLine) {
	p.API, p.Admin = line.Scheme+"://"+line.Listen, "http://"+line.Admin
}

// Why it is of no use.
var (
	ErrEnded    = errors.New("aka ended before it was ready")
	ErrNotReady = errors.New("aka is not ready")
	ErrGoesOn   = errors.New("aka did not stop")
)

// Ready waits until it takes calls.
func (p *Process) Ready(timeout time.Duration) error {
	select {
	case line := <-p.ready:
		p.setAddresses(line)
		return nil
	case <-p.Exited:
		return ErrEnded
	case <-time.After(timeout):
		return ErrNotReady
	}
}

// PID returns the process's id.
func (p *Process) PID() int { return p.command.Process.Pid }

// Kill ends the process as a crash does, and returns when it has ended.
func (p *Process) Kill() {
	_ = p.command.Process.Kill()
	<-p.Exited
}

// Terminate asks the process to stop, and returns its exit code and how long it took.
func (p *Process) Terminate(timeout time.Duration) (code int, took time.Duration, err error) {
	start := time.Now()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return 0, 0, err
	}
	code, err = p.Wait(timeout)
	return code, time.Since(start), err
}

// Signal sends the process a signal.
func (p *Process) Signal(s os.Signal) error { return p.command.Process.Signal(s) }

// Wait waits until the process has ended, and returns its exit code.
func (p *Process) Wait(timeout time.Duration) (code int, err error) {
	select {
	case <-p.Exited:
		return p.command.ProcessState.ExitCode(), nil
	case <-time.After(timeout):
		return 0, ErrGoesOn
	}
}

// Explained adds the end of the log to an error. Nil is no process, and has none.
func (p *Process) Explained(err error) error {
	if err == nil || p == nil {
		return err
	}
	lines := strings.Split(p.Log.String(), "\n")
	return fmt.Errorf("%w; its log ends:\n%s", err, strings.Join(lines[max(0, len(lines)-5):], "\n"))
}

// Metric returns the sum of a metric's values, over the series that have all these labels, such as `outcome="dead"`. A
// metric that is not there is an error.
func (p *Process) Metric(ctx context.Context, name string, labels ...string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(text)) {
		if value, ok := seriesValue(strings.TrimSpace(line), name, labels); ok {
			sum += value
			found = true
		}
	}
	if !found {
		return 0, fmt.Errorf("there is no metric %s %v", name, labels)
	}
	return sum, nil
}

// seriesValue reads one line of metrics in Prometheus's text format.
func seriesValue(line, name string, labels []string) (value float64, ok bool) {
	rest, found := strings.CutPrefix(line, name)
	if !found || !strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, " ") {
		return 0, false
	}
	for _, label := range labels {
		if !strings.Contains(rest, label) {
			return 0, false
		}
	}
	value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
	return value, err == nil
}

// Log is the last lines of a log. It is safe for concurrent use.
type Log struct {
	mu    sync.Mutex
	lines []string
}

const maxLogLines = 300

// Add puts a line at the end.
func (l *Log) Add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines = append(l.lines, line); len(l.lines) > maxLogLines {
		l.lines = l.lines[1:]
	}
}

// String returns the lines.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
