package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aka/router/config"
	"aka/router/spelling"
	"aka/router/terminal"
	"aka/router/verify"
)

// verifyFlags are the flags of aka verify.
type verifyFlags struct {
	config string
	output choice
	yes    bool
	run    string
	wait   time.Duration
}

func newVerify() *cobra.Command {
	flags := verifyFlags{output: choice{value: "text", words: []string{"text", "json"}}}
	command := &cobra.Command{
		Use:   "verify NAME",
		Short: "Send a story to a test account, and read back what became of it",
		Long: `Verify sends five calls with fresh ids to one destination: identify and track, an alias, identify and track. It shows the
vendor's answers. Then it reads back what became of them, where the vendor has an API for that and the config its key. It also
shows what to look for on the vendor's own pages.

Use it with a test account: the person stays there, and no vendor undoes a merge. The ids begin with aka-verify-, and the
e-mail address is of example.com. Without --yes, verify sends nothing, and shows what it would send.

The config is read as serve reads it. The calls do not go through the journal, and aka serve need not run. The exit code is 0
if all was found, 1 if something failed or is missing, and 3 if the vendor took everything and a person has to look.`,
		Example: `  aka verify customerio
  aka verify customerio --yes
  aka verify mixpanel --run a1b2c3d4       # only read back what an earlier run sent`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if flags.run != "" && !verify.IsRun(flags.run) {
				return wrongUse("--run: expected the name of an earlier run, such as a1b2c3d4, not %q", flags.run)
			}
			config, err := loadConfig(flags.config, config.LoadOptions{})
			if err != nil {
				return err
			}
			destination, err := verifiable(config, args[0])
			if err != nil {
				return err
			}
			config.NameInstance("aka-verify")
			if flags.run == "" && !flags.yes {
				return refuseVerify(command.OutOrStdout(), config, destination)
			}
			return untilSignalled(command.Context(), func(ctx context.Context) error {
				return verifyNow(ctx, command.OutOrStdout(), config, destination, &flags)
			})
		},
	}
	addConfigFlag(command, &flags.config)
	command.Flags().BoolVar(&flags.yes, "yes", false, "send the calls")
	command.Flags().StringVar(&flags.run, "run", "", "only read back what an earlier run sent, by its name")
	command.Flags().DurationVar(&flags.wait, "wait", time.Minute, "how long what was sent may take to be found")
	command.Flags().VarP(&flags.output, "output", "o", "how to show it: text or json")
	return command
}

// verifiable returns the destination of a name, unless nothing is sent to it.
func verifiable(c *config.Config, name string) (*config.Destination, error) {
	d, ok := c.Destinations[name]
	switch names := slices.Sorted(maps.Keys(c.Destinations)); {
	case !ok:
		return nil, wrongUse("the config has no destination %q%s; it has %s", name, spelling.Hint(name, names), strings.Join(names, ", "))
	case d.Mode == config.ModeDry:
		return nil, wrongUse("the destination %s is dry: nothing is sent to it. Set mode: live in a config for the test account", name)
	}
	return d, nil
}

// refuseVerify says what would be sent.
func refuseVerify(out io.Writer, c *config.Config, d *config.Destination) error {
	plan, err := verify.PlanOf(c, d)
	if err != nil {
		return err
	}
	requests := counted(plan.Requests, "request")
	if plan.Asks {
		requests = "at least " + requests
	}
	text := fmt.Sprintf(`aka verify would send 5 calls to %s (%s): %s to %s.
They make a person %s, and an alias gives that person the id %s.
`, d.Name, d.Type, requests, strings.Join(plan.Hosts, ", "), plan.Story.Old, plan.Story.New)
	if plan.Requests == 0 {
		text = fmt.Sprintf("aka verify would send nothing to %s (%s): its settings or its filter leave out every call of the story.\n", d.Name, d.Type)
	}
	if plan.Checks > 0 {
		text += fmt.Sprintf("Then it would ask the vendor %s.\n", counted(plan.Checks, "question"))
	}
	if _, err := io.WriteString(out, terminal.Escape(text)); err != nil {
		return err
	}
	return wrongUse("nothing was sent: add --yes to send this to a test account. Each run has ids of its own")
}

func verifyNow(ctx context.Context, out io.Writer, c *config.Config, d *config.Destination, flags *verifyFlags) error {
	result, err := verify.Run(ctx, c, d, verify.Options{Run: flags.run, Wait: flags.wait})
	switch {
	case result == nil:
		return err
	case err != nil:
		return fmt.Errorf("stopped: %w. To see what became of the run: %s", err, again(result))
	}
	if err := flags.output.write(out, result, func(shown *bytes.Buffer) { writeVerified(shown, result) }); err != nil {
		return err
	}
	switch result.Finding {
	case verify.Verified:
		return nil
	case verify.Unverified:
		return unseen{fmt.Errorf("%s took everything, and a person has to look for what became of it", d.Name)}
	}
	return fmt.Errorf("%s is not verified", d.Name)
}

// unseen is the error of a destination that took everything, and that cannot be asked.
type unseen struct{ error }

func isUnseen(err error) bool { return errors.As(err, &unseen{}) }

func writeVerified(shown *bytes.Buffer, r *verify.Result) {
	fmt.Fprintf(shown, "%s (%s), run %s\n", r.Destination, r.Type, r.Story.Run)
	for _, call := range r.Calls {
		writeVerifiedCall(shown, call)
	}
	if len(r.Checks) > 0 {
		shown.WriteString("\nRead back:\n")
	}
	for _, check := range r.Checks {
		word := "found"
		if !check.OK {
			word = "missing"
		}
		fmt.Fprintf(shown, "  %-9s  %s\n", word, terminal.Plain(check.Expected))
		if check.Found != "" {
			fmt.Fprintf(shown, "             %s\n", terminal.Plain(check.Found))
		}
		fmt.Fprintf(shown, "             asked: %s\n", terminal.Plain(check.Request))
	}
	if r.Finding != verify.Failed || len(r.Checks) > 0 {
		shown.WriteString("\nLook in the account:\n")
		for _, line := range r.Look {
			fmt.Fprintf(shown, "  %s\n", terminal.Plain(line))
		}
	}
	fmt.Fprintf(shown, "\n%s\n", conclusion(r))
}

func writeVerifiedCall(shown *bytes.Buffer, call verify.Call) {
	fmt.Fprintf(shown, "  %-9s  %s\n", strings.ReplaceAll(call.Outcome, "_", " "), terminal.Plain(call.Call))
	if call.Why != "" {
		why := call.Why
		if call.Reason != "" && call.Outcome == verify.OutcomeDropped {
			why = string(call.Reason) + ": " + why
		}
		fmt.Fprintf(shown, "             %s\n", terminal.Plain(why))
	}
	for _, request := range call.Exchanges {
		status := "no answer"
		if request.Status != 0 {
			status = fmt.Sprint(request.Status)
		}
		fmt.Fprintf(shown, "             %s: %s, %s\n", terminal.Plain(request.Request), status, request.Verdict)
		if request.Said != "" {
			fmt.Fprintf(shown, "             said: %s\n", terminal.Plain(request.Said))
		}
	}
}

// conclusion says what came of it, and what goes on the vendor's page.
func conclusion(r *verify.Result) string {
	switch r.Finding {
	case verify.Verified:
		return "verified. For the vendor's page:\n  " + r.Record
	case verify.Unverified:
		text := "not verified yet: " + r.Why
		if r.Record != "" {
			text += ".\nIf all of the above is in the account, this is for the vendor's page:\n  " + r.Record
		}
		return text
	}
	text := "failed: " + r.Why
	if len(r.Checks) > 0 {
		text += ".\nIf the vendor is only slow, look again: " + again(r)
	}
	return text
}

// again is the command that reads back the same run.
func again(r *verify.Result) string {
	return fmt.Sprintf("aka verify %s --run %s", r.Destination, r.Story.Run)
}
