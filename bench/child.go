package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"aka/e2e/harness"
)

// child is a process of this program in another role. It ends when its input does, so that it never outlives this one.
type child struct {
	t       harness.T
	said    string // its first line: a server's URL
	command *exec.Cmd
	input   io.Closer
}

// startChild starts a server, and returns when it listens. It ends with the scenario, or before.
func startChild(t harness.T, role string, args ...string) *child {
	self, err := os.Executable()
	harness.Check(t, err)
	c := &child{t: t, command: exec.Command(self, append([]string{role}, args...)...)}
	c.command.Stderr = os.Stderr
	c.input, err = c.command.StdinPipe()
	harness.Check(t, err)
	out, err := c.command.StdoutPipe()
	harness.Check(t, err)
	harness.Check(t, c.command.Start())
	t.Cleanup(c.stop)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("start %s: %v", role, err)
	}
	c.said = strings.TrimSpace(line)
	return c
}

func (c *child) stop() {
	_ = c.input.Close()
	_ = c.command.Wait()
}

func (c *child) cpu() time.Duration { return cpu(c.t, c.command.Process.Pid) }

// cpu is how much of the processors' time a process has used.
func cpu(t harness.T, pid int) time.Duration {
	used, err := harness.CPU(pid)
	harness.Check(t, err)
	return used
}

// serveChild is the other side: it serves, says where, and returns when the input ends.
func serveChild(address string, handler fasthttp.RequestHandler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &fasthttp.Server{Handler: handler, NoDefaultServerHeader: true, MaxRequestBodySize: 64 << 20}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	fmt.Printf("http://%s\n", listener.Addr())
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	select {
	case err := <-failed:
		return err
	case <-ended:
		return nil
	}
}

var errStatus = errors.New("answered")

// fetch gets a small answer.
func fetch(ctx context.Context, url string) ([]byte, error) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI(url)
	deadline, bounded := ctx.Deadline()
	if !bounded {
		deadline = time.Now().Add(time.Minute)
	}
	if err := fasthttp.DoDeadline(request, response, deadline); err != nil {
		return nil, fmt.Errorf("get %s: %w", url, err)
	}
	if response.StatusCode() != fasthttp.StatusOK {
		return nil, fmt.Errorf("get %s: %w %d", url, errStatus, response.StatusCode())
	}
	return append([]byte(nil), response.Body()...), nil
}
