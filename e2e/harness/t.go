package harness

import (
	"context"
	"fmt"
	"os"
	"runtime"
)

// T is a test, or a Case, which is a test outside of go test.
type T interface {
	Helper()
	Context() context.Context
	// Cleanup registers a function that runs at the end, the last one first.
	Cleanup(func())
	// TempDir returns a new folder that is removed at the end.
	TempDir() string
	// Logf notes something that is not wrong, such as a figure.
	Logf(format string, args ...any)
	// Errorf notes something that is wrong.
	Errorf(format string, args ...any)
	// Fatalf does too, and ends the test. Only the test's own goroutine may call it.
	Fatalf(format string, args ...any)
	Failed() bool
}

// Check ends the test when there is an error.
func Check(t T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// Case is a scenario of a command. It is run as go test runs a test.
type Case struct {
	// Notes are the logs, Failures the first errors and the number of the others.
	Notes, Failures []string

	ctx      context.Context
	dir      string
	unsaid   int
	cleanUps []func()
}

// RunCase runs a scenario and its clean-ups. Its temporary folders are below dir.
func RunCase(ctx context.Context, dir string, run func(*Case)) *Case {
	ctx, cancel := context.WithCancel(ctx)
	c := &Case{ctx: ctx, dir: dir}
	ended := make(chan struct{})
	go func() { // which Fatalf ends
		defer close(ended)
		defer c.cleanUp()
		defer cancel()
		run(c)
	}()
	<-ended
	if c.unsaid > 0 {
		c.Failures = append(c.Failures, fmt.Sprintf("and %d more", c.unsaid))
	}
	return c
}

// cleanUp does so even when a clean-up calls Fatalf.
func (c *Case) cleanUp() {
	for _, f := range c.cleanUps {
		defer f()
	}
}

// Helper does nothing.
func (*Case) Helper() {}

// Context ends when the scenario must.
func (c *Case) Context() context.Context { return c.ctx }

// Cleanup registers a function that runs at the end, the last one first.
func (c *Case) Cleanup(f func()) { c.cleanUps = append(c.cleanUps, f) }

// TempDir returns a new folder that is removed at the end.
func (c *Case) TempDir() string {
	dir, err := os.MkdirTemp(c.dir, "world-")
	Check(c, err)
	c.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Logf notes something that is not wrong.
func (c *Case) Logf(format string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
}

const mostWrong = 10

// Errorf notes something that is wrong.
func (c *Case) Errorf(format string, args ...any) {
	if len(c.Failures) < mostWrong {
		c.Failures = append(c.Failures, fmt.Sprintf(format, args...))
	} else {
		c.unsaid++
	}
}

// Fatalf notes something that is wrong, and ends the scenario.
func (c *Case) Fatalf(format string, args ...any) {
	c.Errorf(format, args...)
	runtime.Goexit()
}

// Failed reports whether something is wrong.
func (c *Case) Failed() bool { return len(c.Failures) > 0 }
