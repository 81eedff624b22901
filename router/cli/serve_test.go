package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"aka/destinations/simulator"
	"aka/router/logging"
)

const aliasOfJen = `{"type":"alias","messageId":"m1","previousId":"jen@email.com","userId":"507f191e81"}`

func TestServeIsReadyTakesCallsAndStopsInOrder(t *testing.T) {
	vendors := newSimulation(t, "kissmetrics")
	server := startServing(t, "serve", "--config", servingConfig(t, vendors, ""))
	ready := server.line(t, "ready")
	if ready.Level != "info" || len(ready.Destinations) != 1 || ready.Destinations[0] != "kissmetrics" || ready.Version == "" {
		t.Errorf("the line is %+v", ready)
	}
	getJSON(t, "http://"+ready.Admin+"/dead-letters", &struct{}{})
	post(t, ready.Listen, "dev", aliasOfJen)
	account := vendors.Account("kissmetrics")
	if err := account.Wait(t.Context(), func() bool { return len(account.Records()) == 1 }); err != nil {
		t.Fatal(err)
	}
	server.stop()
	server.line(t, "stopping")
	server.line(t, "stopped")
	if code := server.exit(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

func TestServeThatCannotStartFails(t *testing.T) {
	vendors := newSimulation(t, "kissmetrics")
	config := servingConfig(t, vendors, "")
	first := startServing(t, "serve", "--config", config)
	first.line(t, "ready")
	second := runAka(t, "serve", "--config", config) // the journal's folder is the first one's
	if second.code != exitFailed || !strings.Contains("\n"+second.errOut, "\naka: open journal ") || strings.Contains(second.errOut, "usage") {
		t.Errorf("exit code %d, errors %q", second.code, second.errOut)
	}
}

func TestServeStoppedWhileItStartsHasNotFailed(t *testing.T) {
	vendors := newSimulation(t, "kissmetrics")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := serve(ctx, servingConfig(t, vendors, ""), io.Discard); err != nil {
		t.Error(err)
	}
}

func TestServeSimulateRunsTheExampleAsItIs(t *testing.T) {
	for _, name := range []string{"MIXPANEL_TOKEN", "CUSTOMERIO_API_KEY", "KISSMETRICS_API_KEY", "SEGMENT_WRITE_KEY", "VERO_AUTH_TOKEN", "WEBHOOK_SECRET", "AKA_WRITE_KEY"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	server := startServing(t, "serve", "--simulate", "--config", exampleConfig(t))
	loud := server.line(t, "SIMULATION, ")
	if loud.Level != "warn" || !strings.HasPrefix(loud.Journal, folder) || loud.Control+"/accounts" != loud.Accounts {
		t.Errorf("the loud line is %+v", loud)
	}
	ready := server.line(t, "ready")
	post(t, ready.Listen, "dev", aliasOfJen)
	var accounts []struct{ Name string }
	getJSON(t, loud.Accounts, &accounts)
	if len(accounts) != len(ready.Destinations) {
		t.Errorf("accounts %v for the destinations %v", accounts, ready.Destinations)
	}
	reloaded := make(chan result)
	go func() { reloaded <- runAka(t, "reload", "--admin", ready.Admin) }()
	server.line(t, "config reloaded")
	if got := <-reloaded; got.out != "reloaded\n" {
		t.Errorf("reloaded: %+v", got)
	}
	server.stop()
	if code := server.exit(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if left, _ := os.ReadDir(folder); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	if _, err := os.Stat("data"); err == nil {
		t.Error("it has used the config's journal")
	}
}

func TestServeSimulateStillChecksTheConfig(t *testing.T) {
	got := runAka(t, "serve", "--simulate", "--config", writeConfig(t, "destinations: { mixpanel: { settings: { id_merge: wrong } } }\n"))
	if got.code != exitFailed || !strings.Contains(got.errOut, "destinations.mixpanel.settings.id_merge: ") || !strings.Contains(got.errOut, "sources: ") {
		t.Errorf("exit code %d, errors %q", got.code, got.errOut)
	}
}

func TestSIGTERMStopsInOrder(t *testing.T) {
	vendors := newSimulation(t, "kissmetrics")
	process := startProcess(t, "serve", "--config", servingConfig(t, vendors, ""))
	process.line(t, "ready")
	process.signal(t, syscall.SIGTERM)
	process.line(t, "stopped")
	if code := process.exit(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	vendors := newSimulation(t, "kissmetrics")
	account := vendors.Account("kissmetrics")
	if err := account.AddFaults(simulator.Fault{Hang: true}); err != nil {
		t.Fatal(err)
	}
	process := startProcess(t, "serve", "--config", servingConfig(t, vendors, "shutdown_timeout: 10m\ndelivery: { timeout: 10m }\n"))
	post(t, process.line(t, "ready").Listen, "dev", aliasOfJen)
	if err := account.Wait(t.Context(), func() bool { return len(account.Exchanges()) == 1 }); err != nil {
		t.Fatal(err)
	}
	process.signal(t, os.Interrupt)
	process.line(t, "stopping")
	process.signal(t, syscall.SIGTERM)
	if code := process.exit(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(process.last, "aka: stopped at once") {
		t.Errorf("the last line is %q", process.last)
	}
}

func TestASignalThatComesTwiceIsOneStop(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		second os.Signal
		after  time.Duration
		same   bool
	}{
		{syscall.SIGTERM, 0, true},
		{syscall.SIGTERM, sameStop, true},
		{syscall.SIGTERM, sameStop + 1, false},
		{os.Interrupt, 0, false},
	} {
		var result firstSignal
		if !result.is(syscall.SIGTERM, start) || result.is(c.second, start.Add(c.after)) != c.same {
			t.Errorf("%v after %v: the same stop: %v", c.second, c.after, !c.same)
		}
	}
}

func TestLogIsAsTheConfigSays(t *testing.T) {
	for _, c := range []struct {
		config logging.Options
		debug  bool
		json   bool
	}{
		{logging.Options{Level: "info", Format: "json"}, false, true},
		{logging.Options{Level: "debug", Format: "json"}, true, true},
		{logging.Options{Level: "debug", Format: "console"}, true, false},
	} {
		var out bytes.Buffer
		log := logging.New(c.config, &out)
		log.Debug("quiet")
		log.Warn("loud", zap.String("destination", "vero"))
		if got := strings.Contains(out.String(), "quiet"); got != c.debug {
			t.Errorf("%+v: debug lines %v", c.config, got)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if got := json.Valid([]byte(lines[len(lines)-1])); got != c.json || !strings.Contains(out.String(), "vero") {
			t.Errorf("%+v: wrote %s", c.config, &out)
		}
	}
}

// logged is a line of the log, as JSON.
type logged struct {
	Level, Msg, Listen, Admin, Version, Journal, Accounts, Control, Limit, From string
	Destinations                                                                []string
}

// serving is a run that goes on, by its log.
type serving struct {
	lines *bufio.Scanner
	last  string
	stop  func()
	exit  func() int // reads the log to its end

	process *os.Process
}

// startServing runs aka in this process. It ends with the test.
func startServing(t *testing.T, args ...string) *serving {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		code := run(ctx, args, strings.NewReader(""), io.Discard, writer)
		_ = writer.Close()
		ended <- code
	}()
	s := &serving{lines: bufio.NewScanner(reader), stop: stop}
	s.exit = func() int {
		s.drain()
		code := <-ended
		ended <- code
		return code
	}
	t.Cleanup(func() { stop(); s.exit() })
	return s
}

// startProcess runs aka in a process of its own. It ends with the test.
func startProcess(t *testing.T, args ...string) *serving {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Env = append(os.Environ(), runAsAka+"=1")
	errOut, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	s := &serving{lines: bufio.NewScanner(errOut), process: command.Process}
	s.exit = func() int {
		s.drain()
		_ = command.Wait()
		return command.ProcessState.ExitCode()
	}
	t.Cleanup(func() { _ = command.Process.Kill(); s.exit() })
	return s
}

// line returns the next line of the log whose message begins so.
func (s *serving) line(t *testing.T, message string) logged {
	t.Helper()
	for s.lines.Scan() {
		var line logged
		if err := json.Unmarshal(s.lines.Bytes(), &line); err != nil {
			t.Fatalf("waiting for %q: %s", message, s.lines.Bytes())
		}
		if strings.HasPrefix(line.Msg, message) {
			return line
		}
	}
	t.Fatalf("the log ended without %q", message)
	return logged{}
}

func (s *serving) drain() {
	for s.lines.Scan() {
		s.last = s.lines.Text()
	}
}

func (s *serving) signal(t *testing.T, which os.Signal) {
	t.Helper()
	if err := s.process.Signal(which); err != nil {
		t.Fatal(err)
	}
}

// newSimulation starts simulated vendors with an account of each name's vendor.
func newSimulation(t *testing.T, names ...string) simulation {
	t.Helper()
	vendors, err := startSimulation("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = vendors.Close() })
	for _, name := range names {
		if _, err := vendors.Add(name, name, simulator.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	return vendors
}

// servingConfig sends to the simulated Kissmetrics.
func servingConfig(t *testing.T, vendors simulation, more string) string {
	t.Helper()
	return writeConfig(t, `listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
sources: { website: { write_key: dev } }
destinations: { kissmetrics: { delivery: { allow_private: true }, settings: { api_key: k, endpoint: "`+vendors.Account("kissmetrics").Endpoint()+`" } } }
journal: { dir: "`+filepath.Join(t.TempDir(), "data")+`" }
`+more)
}

// exampleConfig is the repository's, on free ports.
func exampleConfig(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "config.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, address := range []string{`":8080"`, "127.0.0.1:9090"} {
		if !strings.Contains(config, "listen: "+address) {
			t.Fatalf("the example does not listen on %s", address)
		}
		config = strings.Replace(config, "listen: "+address, "listen: 127.0.0.1:0", 1)
	}
	return writeConfig(t, config)
}

func post(t *testing.T, address, writeKey, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/v1/alias", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(writeKey, "")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("answered %d: %s", answer.StatusCode, text)
	}
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}
