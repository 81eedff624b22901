// Package cli is the command line: one file per command. Arguments come in; results go to the standard output, the log and
// what went wrong to the standard error.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"aka/router/config"
	"aka/router/logging"
)

// The exit codes.
const (
	exitDone     = 0
	exitFailed   = 1
	exitWrongUse = 2
	// exitUnseen is a vendor that took what aka verify sent, and that cannot be asked what became of it.
	exitUnseen = 3
	// exitUnusable and exitFindings are those of a preflight.
	exitUnusable = 2
	exitFindings = 3
	// exitNoReader is what a shell shows of a program that SIGPIPE ended, as most are whose output has lost its reader.
	exitNoReader = 128 + int(syscall.SIGPIPE)
)

// Main runs the command that the arguments name and returns the process's exit code: 0 when it is done, 1 when it failed, 2
// when it was used wrongly, and 3 when aka verify leaves it to a person. What went wrong is printed once, on errOut. Where out has lost its reader, as behind aka ... | head,
// nothing is printed.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	// Go ends a program whose standard output or error has lost its reader, at its next line: journald that starts anew would
	// end aka. So it is an error like any other.
	signal.Ignore(syscall.SIGPIPE)
	return run(context.Background(), args, in, out, errOut)
}

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot()
	root.SetArgs(append([]string{}, args...)) // for nil it would take the process's own
	root.SetIn(in)
	root.SetOut(stdout{out})
	root.SetErr(errOut)
	command, err := root.ExecuteContextC(ctx)
	log, ok := command.ErrOrStderr().(*logging.Writer)
	if !ok {
		return report(errOut, command, err)
	}
	_ = log.Sync() // there must be room for what went wrong
	code := report(log, command, err)
	_ = log.Close()
	return code
}

var errNoReader = errors.New("the standard output has no reader")

// stdout is the standard output. It fails with errNoReader, and nothing else does.
type stdout struct{ io.Writer }

func (o stdout) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		err = errNoReader
	}
	return n, err
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "aka [command]",
		Short: "Route Segment calls to many vendors, identities in order",
		Long: `Aka accepts calls from Segment's SDKs, and stores each on disk before it answers. It translates each call for every configured
vendor, and delivers it. Calls that change an identity arrive in order, and aka never merges two people by accident.

New here? Run "aka demo": it needs no config, no account and no network.`,
		Example: `  aka demo                         what aka does, in one screen
  aka serve --simulate             run the config with simulated vendors
  aka init vero > config.yaml      begin a config of your own
  aka check && aka serve           run it for real`,
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddCommand(
		newServe(), newCheck(), newExplain(), newPreflight(), newVerify(),
		newDead(), newDropped(), newMerges(), newDestination(), newReload(), newDrain(), newLog(), newHealth(),
		newJournal(),
		newSimulate(), newDemo(),
		newInit(), newSchema(), newMan(), newVersion(),
	)
	complete(root)
	markFailures(root)
	return root
}

// failure is an error of a command that was used rightly.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// exitCode is the error of a command that ends with a code of its own. Its text is shown where there is one.
type exitCode struct {
	code int
	text string
}

func (e exitCode) Error() string { return e.text }

// usageError is how a command says that it was used wrongly, beyond what its flags and arguments tell by themselves.
type usageError struct{ error }

// wrongUse returns a usageError.
func wrongUse(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// noArguments is for commands that take flags only.
func noArguments(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return wrongUse("%s takes no argument, such as %q", command.CommandPath(), args[0])
	}
	return nil
}

// markFailures makes every command tell its own errors from those of the parsing before it, which are wrong use.
func markFailures(command *cobra.Command) {
	if run := command.RunE; run != nil {
		command.RunE = func(command *cobra.Command, args []string) error {
			err := run(command, args)
			if err == nil || errors.As(err, &usageError{}) {
				return err
			}
			return failure{err}
		}
	}
	for _, below := range command.Commands() {
		markFailures(below)
	}
}

// report tells what went wrong and returns the exit code.
func report(errOut io.Writer, command *cobra.Command, err error) int {
	own := exitCode{}
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &own):
		if own.text != "" {
			_, _ = fmt.Fprintln(errOut, "aka: "+own.text)
		}
		return own.code
	case errors.Is(err, errNoReader):
		return exitNoReader
	case isUnseen(err):
		_, _ = fmt.Fprintln(errOut, failureText(err))
		return exitUnseen
	case errors.As(err, &failure{}):
		_, _ = fmt.Fprintln(errOut, failureText(err))
		return exitFailed
	}
	_, _ = fmt.Fprintf(errOut, "aka: %s\nusage: %s\nRun \"%s --help\" for more.\n",
		strings.TrimSpace(err.Error()), command.UseLine(), command.CommandPath())
	return exitWrongUse
}

// failureText names aka before the error, and before each mistake of a config.
func failureText(err error) string {
	text := "aka: " + err.Error()
	if mistakes := (*config.Mistakes)(nil); errors.As(err, &mistakes) {
		text = strings.ReplaceAll(text, "\n", "\naka: ")
	}
	return text
}

var errStoppedAtOnce = errors.New("stopped at once by a second signal")

// sameStop is how soon after a signal another one of its kind is the same stop: what runs a program often signals it and its
// process group, so that it gets two.
const sameStop = 500 * time.Millisecond

// untilSignalled runs what goes on until a signal stops it. The first SIGINT or SIGTERM, or another of the signals, ends its
// context, so that it can stop in order. The second one is an error, and does not wait for it.
func untilSignalled(ctx context.Context, run func(context.Context) error, others ...os.Signal) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, append(others, os.Interrupt, syscall.SIGTERM)...)
	defer signal.Stop(signals)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	var result firstSignal
	for {
		select {
		case err := <-done:
			return err
		case got := <-signals:
			if result.is(got, time.Now()) {
				stop()
				continue
			}
			return errStoppedAtOnce
		}
	}
}

// firstSignal is the signal that told a program to stop.
type firstSignal struct {
	signal os.Signal
	at     time.Time
}

// is reports whether a signal is the first one, or is the same stop.
func (f *firstSignal) is(got os.Signal, now time.Time) bool {
	if f.signal == nil {
		f.signal, f.at = got, now
	}
	return got == f.signal && now.Sub(f.at) <= sameStop
}
