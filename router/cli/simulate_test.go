package cli

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"aka/destinations"
	"aka/router/config"
)

func TestSimulatePrintsDestinationsThatAConfigTakes(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- simulate(ctx, "127.0.0.1:0", writer) }()
	printed := readUntil(t, reader, "vero/api/v2\" }\n")

	path := writeConfig(t, "sources: { website: { write_key: dev } }\n"+printed)
	config, err := config.Load(path, config.LoadOptions{Lookup: os.LookupEnv})
	if err != nil {
		t.Fatalf("%v, in\n%s", err, printed)
	}
	if len(config.Destinations) != len(simulatedAccounts) {
		t.Errorf("%d destinations of %d", len(config.Destinations), len(simulatedAccounts))
	}
	for name, destination := range config.Destinations {
		if !strings.Contains(string(config.Effective()), "/"+name) || destination.Type == "" {
			t.Errorf("%s has no endpoint of its own", name)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestSimulatePrintsWhereToLook(t *testing.T) {
	vendors := newSimulation(t)
	var printed strings.Builder
	if err := vendors.open(&printed); err != nil {
		t.Fatal(err)
	}
	var accounts []struct{ Endpoint string }
	getJSON(t, vendors.accountsURL(), &accounts)
	if len(accounts) != len(simulatedAccounts) || !strings.Contains(printed.String(), vendors.accountsURL()) {
		t.Errorf("accounts %v, printed\n%s", accounts, &printed)
	}
	if !strings.Contains(printed.String(), "#   curl "+vendors.ControlURL()+"\n") {
		t.Errorf("the control API is not printed:\n%s", &printed)
	}
	for _, account := range accounts {
		if !strings.Contains(printed.String(), account.Endpoint) {
			t.Errorf("%s is not printed", account.Endpoint)
		}
	}
}

// A new vendor is one folder and one line in the table: it can be tried without a simulation of its own.
func TestAnyVendorIsSimulated(t *testing.T) {
	destinations.Vendors["somebody"] = destinations.Vendors["kissmetrics"]
	defer delete(destinations.Vendors, "somebody")
	vendors := newSimulation(t)
	path := writeConfig(t, "sources: { website: { write_key: dev } }\ndestinations: { mine: { type: somebody, settings: { api_key: k } } }\n")
	if _, err := config.Load(path, config.LoadOptions{MissingSecret: simulatedSecret, Simulate: vendors.endpoint}); err != nil {
		t.Error(err)
	}
	var printed strings.Builder
	if err := vendors.open(&printed); err != nil {
		t.Fatal(err)
	}
	want := "  # somebody:\n  #   delivery: { allow_private: true }\n  #   settings: { endpoint: \"" + vendors.Account("somebody").Endpoint() + "\" }    # and those of its own\n"
	if !strings.HasSuffix(printed.String(), want) {
		t.Errorf("printed\n%s\nwant at the end\n%s", &printed, want)
	}
}

func TestSimulateFailsWhereItCannotListen(t *testing.T) {
	vendors := newSimulation(t)
	taken := strings.TrimPrefix(vendors.URL(), "http://")
	got := runAka(t, "simulate", "--listen", taken)
	if got.code != exitFailed || !strings.Contains(got.errOut, "address already in use") || got.out != "" {
		t.Errorf("exit code %d, out %q, errors %q", got.code, got.out, got.errOut)
	}
}
