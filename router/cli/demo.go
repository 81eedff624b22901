package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"aka/destinations/simulator"
	"aka/router"
	"aka/router/config"
	"aka/router/explain"
	"aka/router/segment"
)

// demoTimeout bounds the story, from its first call to the end of the last.
const demoTimeout = 30 * time.Second

// demoFindableAfter is less than the merge_wait of demoConfig, as with the defaults of both.
const demoFindableAfter = 50 * time.Millisecond

func newDemo() *cobra.Command {
	var keep bool
	command := &cobra.Command{
		Use:   "demo",
		Short: "Show in one screen what aka does",
		Long: `Demo runs a router and simulated vendors on loopback, and sends the calls of two people who sign up. Then it shows what each
vendor received for each call, and which ids each vendor now treats as one person. It needs no config, no account and no
network, and leaves no files behind.`,
		Example: `  aka demo
  aka demo --keep                  leave it running, to send calls of your own`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			return untilSignalled(command.Context(), func(ctx context.Context) error {
				return demo(ctx, keep, command.OutOrStdout())
			}, syscall.SIGHUP) // a terminal that is closed leaves nothing behind either
		},
	}
	command.Flags().BoolVar(&keep, "keep", false, "leave it running until Ctrl-C, to send calls of your own")
	return command
}

func demo(ctx context.Context, keep bool, out io.Writer) (err error) {
	folder, err := scratchFolder("aka-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	s, err := startDemo(ctx, folder)
	if err != nil {
		return err
	}
	defer s.close()
	result, err := s.run(ctx, story)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, result.text()); err != nil {
		return err
	}
	if keep {
		if _, err := io.WriteString(out, s.invitation()); err != nil {
			return err
		}
		<-ctx.Done()
	}
	return result.verdict()
}

// demoRun is a router and its simulated vendors, running.
type demoRun struct {
	config      *config.Config
	vendors     simulation
	router      *router.Router
	logObserver logObserver
	names       []string // of the destinations, sorted
}

func startDemo(ctx context.Context, folder string) (*demoRun, error) {
	vendors, err := startSimulation("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	vendors.findableAfter = demoFindableAfter
	s := &demoRun{vendors: vendors, logObserver: newLogObserver()}
	if err := s.open(ctx, folder); err != nil {
		return nil, errors.Join(err, vendors.Close())
	}
	return s, nil
}

func (s *demoRun) open(ctx context.Context, folder string) (err error) {
	path := filepath.Join(folder, "config.yaml")
	if err := os.WriteFile(path, []byte(demoConfig), 0o600); err != nil {
		return err
	}
	s.config, err = config.Load(path, config.LoadOptions{
		Lookup:   func(name string) (string, bool) { return filepath.Join(folder, "data"), name == "DEMO_DIR" },
		Simulate: s.vendors.endpoint,
	})
	if err != nil {
		return err
	}
	s.names = slices.Sorted(maps.Keys(s.config.Destinations))
	s.router = router.New(s.config, zap.New(s.logObserver))
	return s.router.Start(ctx)
}

func (s *demoRun) close() {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.ShutdownTimeout)
	defer cancel()
	s.router.Stop(ctx)
	_ = s.vendors.Close()
}

// demoResult is the story as it went.
type demoResult struct {
	names         []string // of the destinations
	acts          []actResult
	before, after map[string]simulator.Graph // by destination
	ended         map[string]int             // how many calls, by outcome
	problems      []string
}

type actResult struct {
	title string
	calls []callResult
}

// callResult is what became of a call: a cell for each destination.
type callResult struct {
	label string
	cells []string
}

// run sends the story call by call, and waits for the end of each before the next, so that what the vendors take meanwhile
// is the call's.
func (s *demoRun) run(ctx context.Context, story []act) (*demoResult, error) {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	result := &demoResult{names: s.names, ended: map[string]int{}}
	for i, a := range story {
		if i == actsBefore {
			result.before = s.graphs()
		}
		result.acts = append(result.acts, actResult{title: a.title})
		for _, call := range a.calls {
			if err := s.play(ctx, call, result); err != nil {
				return nil, fmt.Errorf("%s: %w", call.label(), err)
			}
		}
	}
	result.after = s.graphs()
	s.inspect(result)
	return result, nil
}

func (s *demoRun) graphs() map[string]simulator.Graph {
	graphs := map[string]simulator.Graph{}
	for _, name := range s.names {
		graphs[name] = s.vendors.Account(name).Graph()
	}
	return graphs
}

// play sends one call and adds what became of it.
func (s *demoRun) play(ctx context.Context, call demoCall, result *demoResult) error {
	call.MessageID = fmt.Sprintf("demo-%d", result.count()+1)
	expected, err := s.expect(call)
	if err != nil {
		return err
	}
	before := map[string]int{}
	for _, name := range s.names {
		before[name] = len(s.vendors.Account(name).Records())
	}
	if err := s.send(ctx, call); err != nil {
		return err
	}
	endings, err := s.logObserver.wait(ctx, call.MessageID, len(s.names))
	if err != nil {
		return err
	}
	fates := make([]fate, len(s.names))
	for i, name := range s.names {
		fates[i] = fate{name, endings[name], expected[name], s.vendors.Account(name).Records()[before[name]:]}
	}
	result.add(call.label(), fates)
	return nil
}

// explained is how a call ends that explain says this of.
var explained = map[string]string{
	explain.OutcomeSend: endedDelivered, explain.OutcomeDrop: endedDropped, explain.OutcomeReject: endedDead,
}

// expect returns how explain says that the call will end, by destination.
func (s *demoRun) expect(call demoCall) (map[string]ending, error) {
	callType, _ := segment.ParseType(call.Type)
	explanation, err := explain.Body(s.config, call.body(), explain.Options{Type: callType})
	if err != nil {
		return nil, err
	}
	expected := map[string]ending{}
	for _, d := range explanation.Calls[0].Destinations {
		expected[d.Name] = ending{explained[d.Outcome], string(d.Reason)}
	}
	return expected, nil
}

// send posts the call as an SDK does.
func (s *demoRun) send(ctx context.Context, call demoCall) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url(call.Type), bytes.NewReader(call.body()))
	if err != nil {
		return err
	}
	request.SetBasicAuth(demoWriteKey, "")
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("the router answered %d: %s", answer.StatusCode, body)
	}
	return err
}

func (s *demoRun) url(callType string) string { return "http://" + s.router.Addr() + "/v1/" + callType }

// inspect adds what no single call shows: what a vendor threw away without a word, and what the router warned of.
func (s *demoRun) inspect(result *demoResult) {
	for _, name := range s.names {
		for _, refusal := range s.vendors.Account(name).Refusals() {
			result.problems = append(result.problems, name+" threw away what it got ("+refusal.Kind+"): "+refusal.Reason)
		}
	}
	result.problems = append(result.problems, s.logObserver.warned()...)
}

// invitation says how to go on by hand.
func (s *demoRun) invitation() string {
	return fmt.Sprintf(`
It is still running, until Ctrl-C. Send a call of your own, and see which ids Vero takes for one person then:

  curl -u %s: -d '{"previousId":"user-7","userId":"bobby"}' %s
  curl '%s'
`, demoWriteKey, s.url("alias"), s.vendors.graphURL("vero"))
}

// fate is what became of a call at one destination.
type fate struct {
	destination      string
	ending, expected ending
	taken            []simulator.Record // by the vendor
}

// problem returns what is wrong, or "".
func (f fate) problem() string {
	switch {
	case f.ending != f.expected:
		return fmt.Sprintf("it ended as %s %s, and not as %s %s", f.ending.outcome, f.ending.reason, f.expected.outcome, f.expected.reason)
	case (len(f.taken) > 0) != (f.ending.outcome == endedDelivered):
		return fmt.Sprintf("it was %s, and the vendor took %d records", f.ending.outcome, len(f.taken))
	}
	return ""
}

// add takes in a call of the last act.
func (t *demoResult) add(label string, fates []fate) {
	row := callResult{label: label}
	for _, f := range fates {
		row.cells = append(row.cells, f.cell())
		t.ended[f.ending.outcome]++
		if problem := f.problem(); problem != "" {
			t.problems = append(t.problems, label+" at "+f.destination+": "+problem)
		}
	}
	last := &t.acts[len(t.acts)-1]
	last.calls = append(last.calls, row)
}

// count returns how many calls the result has.
func (t *demoResult) count() int {
	n := 0
	for _, a := range t.acts {
		n += len(a.calls)
	}
	return n
}

// verdict returns an error that lists what went wrong.
func (t *demoResult) verdict() error {
	if len(t.problems) == 0 {
		return nil
	}
	return fmt.Errorf("the demo went wrong:\n  %s", strings.Join(t.problems, "\n  "))
}
