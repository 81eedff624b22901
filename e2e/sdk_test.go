//go:build sdks

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"aka/e2e/harness"
)

// sdksDir holds the SDKs and the programs that drive them; setUp installs what is missing there.
const (
	sdksDir = "sdks"
	setUp   = "e2e/sdks/setup.sh"
)

// script is a program that runs in Node, reads lines of JSON and writes lines of JSON.
type script struct {
	w       *world
	name    string
	command *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
	log     harness.Log
	logged  sync.WaitGroup
}

// startScript starts one of the programs in sdksDir. It and what it has started end with the test, or with its context.
func (w *world) startScript(name string, args ...string) *script {
	w.t.Helper()
	if _, err := os.Stat(filepath.Join(sdksDir, "node_modules", ".package-lock.json")); err != nil {
		w.t.Fatalf("the SDKs are not installed, run %s: %v", setUp, err)
	}
	s := &script{w: w, name: name, command: exec.CommandContext(w.Ctx, "node", append([]string{name}, args...)...)}
	s.command.Dir = sdksDir
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.command.Cancel = s.kill
	input, noInput := s.command.StdinPipe()
	output, noOutput := s.command.StdoutPipe()
	stderr, noLog := s.command.StderrPipe()
	if err := errors.Join(noInput, noOutput, noLog, s.command.Start()); err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	s.input, s.output = input, bufio.NewReader(output)
	s.logged.Go(func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.log.Add(lines.Text())
		}
	})
	w.t.Cleanup(s.cleanUp)
	return s
}

// kill ends the program and what it has started.
func (s *script) kill() error { return syscall.Kill(-s.command.Process.Pid, syscall.SIGKILL) }

func (s *script) cleanUp() {
	_ = s.kill()
	s.logged.Wait()
	if s.command.ProcessState == nil {
		_ = s.command.Wait()
	}
	if s.w.t.Failed() {
		s.w.t.Logf("the log of %s:\n%s", s.name, s.log.String())
	}
}

// write has the program read a line.
func (s *script) write(value any) {
	s.w.t.Helper()
	line, err := json.Marshal(value)
	if err != nil {
		s.w.t.Fatal(err)
	}
	if _, err := s.input.Write(append(line, '\n')); err != nil {
		s.w.t.Fatalf("%s reads no more: %v", s.name, err)
	}
}

// read waits for the program's next line.
func (s *script) read(value any) {
	s.w.t.Helper()
	line, err := s.output.ReadBytes('\n')
	if err != nil {
		s.w.t.Fatalf("%s writes no more: %v", s.name, err)
	}
	if err := json.Unmarshal(line, value); err != nil {
		s.w.t.Fatalf("%s wrote %s: %v", s.name, line, err)
	}
}

// close says that there is no more to read, and waits for the program's end.
func (s *script) close() {
	s.w.t.Helper()
	_ = s.input.Close()
	s.logged.Wait()
	if err := s.command.Wait(); err != nil {
		s.w.t.Errorf("%s: %v", s.name, err)
	}
}
