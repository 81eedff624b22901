package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"aka/router"
	"aka/router/config"
	"aka/router/logging"
)

func newServe() *cobra.Command {
	var path string
	var simulate bool
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run the router",
		Long: `Serve accepts calls from SDKs and delivers them, until SIGTERM or SIGINT. Then it refuses new calls, and finishes exchanges in
flight within the config's shutdown_timeout. It continues with the rest after its next start. A second signal stops it at once.
Accepted calls are safe on disk either way.

SIGHUP loads the changed config: see aka reload --help.

With --simulate it starts simulated vendors in its own process, and sends to them instead of the real ones. Then secrets may be
missing. The journal is a temporary folder, so calls in the real journal still wait for the real vendors.`,
		Example: `  aka serve
  aka serve --config /etc/aka/config.yaml
  aka serve --simulate             no accounts needed; config.example.yaml runs as it is`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			start := serve
			if simulate {
				start = serveSimulated
			}
			log := logging.NewWriter(command.ErrOrStderr())
			command.SetErr(log) // what it fails with is the last line
			return untilSignalled(command.Context(), func(ctx context.Context) error {
				return start(ctx, path, log)
			})
		},
	}
	addConfigFlag(command, &path)
	command.Flags().BoolVar(&simulate, "simulate", false, "send to simulated vendors instead of the real ones")
	return command
}

// serve runs the config until ctx ends. The log goes to logs.
func serve(ctx context.Context, path string, logs io.Writer) error {
	config, err := loadConfig(path, config.LoadOptions{})
	if err != nil {
		return err
	}
	log := logging.New(config.Log, logs)
	warnOfShortKeys(config, log)
	return runRouter(ctx, config, log)
}

// shortKey is the length below which a write key can be guessed, as the example's can.
const shortKey = 8

func warnOfShortKeys(config *config.Config, log *zap.Logger) {
	for _, name := range slices.Sorted(maps.Keys(config.Sources)) {
		if len(config.Sources[name].WriteKey.Reveal()) < shortKey {
			log.Warn("write key is short enough to be guessed", zap.String("hint", "use one of 16 characters or more"), zap.String("source", name))
		}
	}
}

// serveSimulated does the same with no vendor and no journal of the config's own.
func serveSimulated(ctx context.Context, path string, logs io.Writer) error {
	vendors, err := startSimulation("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer vendors.Close()
	folder, err := scratchFolder("aka-simulate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	config, err := loadConfig(path, config.LoadOptions{MissingSecret: simulatedSecret, Simulate: vendors.endpoint, JournalDir: folder})
	if err != nil {
		return err
	}
	log := logging.New(config.Log, logs)
	log.Warn("SIMULATION, no vendor is contacted", zap.String("hint", "every destination is simulated in this process; the journal is a temporary folder"),
		zap.String("simulator", vendors.URL()), zap.String("accounts", vendors.accountsURL()), zap.String("control", vendors.ControlURL()), zap.String("journal", folder))
	return runRouter(ctx, config, log)
}

// runRouter starts a router, and stops it in order when ctx ends.
func runRouter(ctx context.Context, c *config.Config, log *zap.Logger) error {
	hangups := make(chan os.Signal, 1) // from the start on: an unexpected one would end the process
	signal.Notify(hangups, syscall.SIGHUP)
	defer close(hangups)
	defer signal.Stop(hangups)
	r := router.New(c, log)
	limitMemory(c.MemoryLimit, log)
	r.OnReload(func(before, next *config.Config) {
		if before.MemoryLimit != next.MemoryLimit {
			limitMemory(next.MemoryLimit, log)
		}
	})
	if err := r.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	debug.FreeOSMemory() // to start takes more than to run
	log.Info("ready", zap.String("listen", r.Addr()), zap.String("scheme", r.Scheme()), zap.String("admin", r.AdminAddr()),
		zap.Strings("destinations", slices.Sorted(maps.Keys(c.Destinations))), zap.String("version", buildVersion()))
	go reloadAt(hangups, r)
	failed := watch(ctx, r)
	timeout := r.Config().ShutdownTimeout
	if failed != nil {
		timeout = min(timeout, failedTimeout)
	}
	log.Info("stopping", zap.Duration("timeout", timeout))
	stop(r, timeout, failed != nil)
	log.Info("stopped")
	_ = log.Sync()
	return failed
}

// failedTimeout is how long a router that has failed may take to stop, and once more until it is left as it is: a
// supervisor waits to start it again.
const failedTimeout = 2 * time.Second

// stop stops a router in order. One that has failed may wait for its disk without end, and is not waited for.
func stop(r *router.Router, timeout time.Duration, failed bool) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	stopped := make(chan struct{})
	go func() {
		r.Stop(ctx)
		close(stopped)
	}()
	var giveUp <-chan time.Time
	if failed {
		giveUp = time.After(timeout + failedTimeout)
	}
	select {
	case <-stopped:
	case <-giveUp:
	}
}

// reloadAt reloads the config at each hangup. The log says what came of it.
func reloadAt(hangups <-chan os.Signal, r *router.Router) {
	for range hangups {
		_, _ = r.Reload()
	}
}

// watch returns when the router is to be stopped. It fails when the router did.
func watch(ctx context.Context, r *router.Router) error {
	select {
	case <-r.Drained():
		return nil
	case <-ctx.Done():
		return nil
	case err := <-r.Failed():
		return fmt.Errorf("serve: %w", err)
	}
}
