package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aka/router/terminal"
)

// healthTimeout is how long a running aka may take to say that it lives: less than the three seconds after which the image's
// health check is ended, and could not say what was wrong.
const healthTimeout = 2 * time.Second

func newHealth() *cobra.Command {
	flags := &adminFlags{}
	ready := false
	command := &cobra.Command{
		Use:   "health",
		Short: "Check whether aka is running",
		Long: `Health asks a running aka at its admin address. The exit code is 0 if aka answers, and 1 if it does not.
With --ready it is 0 only if aka accepts calls. Health reads only the address from the config, so mistakes elsewhere do not matter.`,
		Example: `  aka health
  HEALTHCHECK CMD ["/aka", "health"]      # in a Dockerfile`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			path := "/healthz"
			if ready {
				path = "/readyz"
			}
			return client.alive(command.Context(), path)
		},
	}
	flags.addTo(command)
	command.Flags().BoolVar(&ready, "ready", false, "check whether aka accepts calls")
	return command
}

// alive returns nil when the path is answered 200.
func (c *adminClient) alive(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return c.unreachable(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		return fmt.Errorf("%s%s answers %s: %s", c.base, path, terminal.Plain(answer.Status), terminal.Plain(strings.TrimSpace(string(why))))
	}
	return nil
}
