package cli

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"aka/destinations"
	"aka/router/config"
)

func TestSimulatePrintsDestinationsThatAConfigTakes(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	writes, ended := make(writtenOnce, 1), make(chan error, 1)
	go func() { ended <- simulate(ctx, "127.0.0.1:0", writes) }()
	var printed string
	select {
	case printed = <-writes:
	case err := <-ended:
		t.Fatal(err)
	}

	path := writeConfig(t, "sources: { website: { write_key: dev } }\n"+printed)
	config, err := config.Load(path, config.LoadOptions{Lookup: os.LookupEnv})
	if err != nil {
		t.Fatalf("%v, in\n%s", err, printed)
	}
	if want := len(simulatedAccounts()); len(config.Destinations) != want {
		t.Errorf("%d destinations of %d", len(config.Destinations), want)
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

// writtenOnce takes one write.
type writtenOnce chan string

func (w writtenOnce) Write(text []byte) (int, error) {
	w <- string(text)
	return len(text), nil
}

func TestSimulateServesEachVendorInEachModeThatItRequires(t *testing.T) {
	for name, want := range map[string]simulatedAccount{
		"vero":            {"vero", "vero", "", "auth_token: simulated, "},
		"mixpanel-legacy": {"mixpanel-legacy", "mixpanel", "legacy", "token: simulated, id_merge: legacy, "},
	} {
		if got := simulatedAccounts(); !slices.Contains(got, want) {
			t.Errorf("%s: got %+v", name, got)
		}
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
	if len(accounts) != len(simulatedAccounts()) || !strings.Contains(printed.String(), vendors.accountsURL()) {
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
	const vendor = "test-vendor" // no folder of Go code can have that name
	destinations.Vendors[vendor] = destinations.Vendors["kissmetrics"]
	defer delete(destinations.Vendors, vendor)
	vendors := newSimulation(t)
	path := writeConfig(t, "sources: { website: { write_key: dev } }\ndestinations: { mine: { type: test-vendor, settings: { api_key: k } } }\n")
	if _, err := config.Load(path, config.LoadOptions{MissingSecret: simulatedSecret, Simulate: vendors.endpoint}); err != nil {
		t.Error(err)
	}
	var printed strings.Builder
	if err := vendors.open(&printed); err != nil {
		t.Fatal(err)
	}
	want := "  test-vendor:\n    type: test-vendor\n    delivery: { allow_private: true }\n    settings: { api_key: simulated, endpoint: \"" + vendors.Account(vendor).Endpoint() + "\" }\n"
	if !strings.Contains(printed.String(), want) {
		t.Errorf("printed\n%s\nwant\n%s", &printed, want)
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
