package golden

import (
	"fmt"
	"strings"
)

// Recorder gathers what fails, for those that are no test.
type Recorder struct{ Failures []string }

// stopped ends a case.
type stopped struct{}

// Record runs a check, and returns what fails in it.
func Record(check func(t T)) []string {
	r := &Recorder{}
	func() {
		defer func() {
			switch problem := recover().(type) {
			case nil, stopped:
			default:
				r.Errorf("panic: %v", problem)
			}
		}()
		check(r)
	}()
	return r.Failures
}

// Helper implements T.
func (r *Recorder) Helper() {}

// Failed implements T.
func (r *Recorder) Failed() bool { return len(r.Failures) > 0 }

// Error implements T.
func (r *Recorder) Error(args ...any) {
	r.Failures = append(r.Failures, strings.TrimSuffix(fmt.Sprintln(args...), "\n"))
}

// Errorf implements T.
func (r *Recorder) Errorf(format string, args ...any) {
	r.Failures = append(r.Failures, fmt.Sprintf(format, args...))
}

// Fatal implements T.
func (r *Recorder) Fatal(args ...any) {
	r.Error(args...)
	panic(stopped{})
}

// Fatalf implements T.
func (r *Recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(stopped{})
}
