package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"aka/destinations/adapter"
	"aka/destinations/simulator"
	"aka/router/explain"
)

// probed is a simulator with an account of each kind, and a config that sends to it with these credentials.
func probed(t *testing.T, token string) (*simulator.Simulator, string) {
	t.Helper()
	sim, err := simulator.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	var config strings.Builder
	config.WriteString("sources: { website: { write_key: write-key-1 } }\ndelivery: { allow_private: true, timeout: 5s }\ndestinations:\n")
	for _, a := range []struct {
		name, vendor, settings string
		options                simulator.Options
	}{
		{"account", "mixpanel", "token: any-token, id_merge: simplified, service_account: { username: aka, secret: %s, project_id: '7' }",
			simulator.Options{IDMerge: "simplified", Token: "other", ServiceUser: "aka", ServiceSecret: "right-token", ProjectID: "7"}},
		{"customerio", "customerio", "site_id: site, api_key: %s",
			simulator.Options{Token: "right-token", CustomerIO: simulator.CustomerIO{SiteID: "site"}}},
		{"kissmetrics", "kissmetrics", "api_key: %s", simulator.Options{Token: "right-token"}},
		{"mixpanel", "mixpanel", "token: %s, id_merge: legacy", simulator.Options{IDMerge: "legacy", Token: "right-token"}},
		{"secret", "mixpanel", "token: any-token, id_merge: original, api_secret: %s",
			simulator.Options{IDMerge: "original", Token: "other", APISecret: "right-token"}},
		{"rudderstack", "segment", "write_key: %s, flavor: rudderstack", simulator.Options{Token: "right-token", Segment: simulator.Segment{Flavor: "rudderstack"}}},
		{"segment", "segment", "write_key: %s", simulator.Options{Token: "right-token"}},
		{"vero", "vero", "auth_token: %s", simulator.Options{Token: "right-token"}},
	} {
		endpoint, err := sim.Add(a.name, a.vendor, a.options)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&config, "  %s: { type: %s, settings: { endpoint: %q, %s } }\n", a.name, a.vendor, endpoint, fmt.Sprintf(a.settings, token))
	}
	return sim, writeConfig(t, config.String())
}

var probedNames = []string{"account", "customerio", "kissmetrics", "mixpanel", "rudderstack", "secret", "segment", "vero"}

// probe runs aka check --probe and returns the finding of each destination.
func probe(t *testing.T, path string) (result, map[string]explain.Probed) {
	t.Helper()
	got := runAka(t, "check", "--probe", "-o", "json", "-c", path)
	var all []explain.Probed
	if err := json.Unmarshal([]byte(got.out), &all); err != nil {
		t.Fatalf("%v in %s%s", err, got.out, got.errOut)
	}
	found := map[string]explain.Probed{}
	for _, p := range all {
		found[p.Destination] = p
	}
	for _, name := range probedNames {
		if _, ok := found[name]; !ok {
			t.Errorf("%s was not probed", name)
		}
	}
	return got, found
}

func TestAProbeTellsCredentialsThatAreTaken(t *testing.T) {
	sim, path := probed(t, "right-token")
	got, found := probe(t, path)
	if got.code != exitDone {
		t.Errorf("exit code %d: %s", got.code, got.errOut)
	}
	for _, name := range probedNames {
		want := adapter.Accepted
		if name == "kissmetrics" || name == "segment" { // they take any key
			want = adapter.Reachable
		}
		if found[name].Finding != want {
			t.Errorf("%+v", found[name])
		}
	}
	nothingWasChanged(t, sim)
	noSecretIsShown(t, got, "right-token")
}

func TestAProbeTellsCredentialsThatAreRefused(t *testing.T) {
	sim, path := probed(t, "wrong-token")
	got, found := probe(t, path)
	if got.code != exitFailed || !strings.Contains(got.errOut, "6 of 8 destinations") {
		t.Errorf("exit code %d: %s", got.code, got.errOut)
	}
	for name, key := range map[string]string{
		"account": "service_account.secret", "customerio": "see site_id, api_key", "mixpanel": "see token in destinations.mixpanel.settings", "rudderstack": "see write_key", "secret": "see api_secret", "vero": "see auth_token",
	} {
		if p := found[name]; p.Finding != adapter.NotAccepted || p.Status != 401 || p.Said == "" || !strings.Contains(p.Meaning, key) {
			t.Errorf("%+v", p)
		}
	}
	if p := found["kissmetrics"]; p.Finding != adapter.Reachable || !strings.Contains(p.Meaning, "a wrong one too") {
		t.Errorf("%+v", p)
	}
	if p := found["segment"]; p.Finding != adapter.Reachable || !strings.Contains(p.Meaning, "200 to every write key") {
		t.Errorf("%+v", p)
	}
	nothingWasChanged(t, sim)
	noSecretIsShown(t, got, "wrong-token")
}

func TestAProbeTellsAVendorThatIsDown(t *testing.T) {
	sim, path := probed(t, "right-token")
	for _, name := range probedNames {
		if err := sim.Account(name).AddFaults(simulator.Fault{Status: 503}); err != nil {
			t.Fatal(err)
		}
	}
	got, found := probe(t, path)
	for _, name := range probedNames {
		if p := found[name]; p.Finding != adapter.Unreachable || p.Status != 503 {
			t.Errorf("%+v", p)
		}
	}
	if got.code != exitFailed || !strings.Contains(got.errOut, "8 of 8 destinations") {
		t.Errorf("exit code %d: %s", got.code, got.errOut)
	}
	_ = sim.Close()
	_, found = probe(t, path)
	for _, name := range probedNames {
		if p := found[name]; p.Finding != adapter.Unreachable || p.Status != 0 || p.Said == "" {
			t.Errorf("%+v", p)
		}
	}
}

// Whatever the vendor: a login page in its place takes no credentials, and a vendor that cannot be distinguished from it would be said to
// be reachable.
func TestAProbeTellsThatSomebodyElseAnswers(t *testing.T) {
	for name, fault := range map[string]simulator.Fault{
		"a login page":                       {Status: 200, Body: "<html>Sign in</html>", Header: map[string]string{"Content-Type": "text/html"}},
		"a page that says nothing of itself": {Status: 200, Body: "<html>Sign in</html>"},
		"a page of a wrong address":          {Status: 404, Body: "<html>Not Found</html>", Header: map[string]string{"Content-Type": "text/html"}},
	} {
		t.Run(name, func(t *testing.T) {
			sim, path := probed(t, "right-token")
			for _, name := range probedNames {
				if err := sim.Account(name).AddFaults(fault); err != nil {
					t.Fatal(err)
				}
			}
			got, found := probe(t, path)
			for _, name := range probedNames {
				p := found[name]
				if p.Finding != "not_the_vendor" || p.Status != fault.Status || p.Said != fault.Body || !strings.Contains(p.Meaning, "endpoint in destinations."+name+".settings") {
					t.Errorf("%+v", p)
				}
			}
			if got.code != exitFailed || !strings.Contains(got.errOut, "8 of 8 destinations") {
				t.Errorf("exit code %d: %s", got.code, got.errOut)
			}
			nothingWasChanged(t, sim)
		})
	}
}

// A firewall's page may refuse the made-up credentials only.
func TestAProbeIsNotMisledByThePageOfARefusal(t *testing.T) {
	sim, path := probed(t, "wrong-token")
	page := simulator.Fault{Status: 403, Body: "<html>Forbidden</html>", Header: map[string]string{"Content-Type": "text/html"}}
	if err := sim.Account("vero").AddFaults(page); err != nil {
		t.Fatal(err)
	}
	if _, found := probe(t, path); found["vero"].Finding != adapter.NotAccepted || found["vero"].Said != page.Body {
		t.Errorf("%+v", found["vero"])
	}
}

func TestAProbeTellsARedirect(t *testing.T) {
	sim, path := probed(t, "right-token")
	if err := sim.Account("vero").AddFaults(simulator.Fault{Status: 302, Header: map[string]string{"Location": sim.URL()}}); err != nil {
		t.Fatal(err)
	}
	_, found := probe(t, path)
	if p := found["vero"]; p.Finding != adapter.Unreachable || !strings.Contains(p.Meaning, "redirect (302)") || !strings.Contains(p.Meaning, "endpoint in destinations.vero.settings") {
		t.Errorf("%+v", p)
	}
}

func nothingWasChanged(t *testing.T, sim *simulator.Simulator) {
	t.Helper()
	for _, name := range probedNames {
		account := sim.Account(name)
		if records, graph := account.Records(), account.Graph(); len(records) > 0 || len(graph) > 0 {
			t.Errorf("%s: %v\n%s", name, records, graph)
		}
	}
}

func noSecretIsShown(t *testing.T, got result, secret string) {
	t.Helper()
	if strings.Contains(got.out+got.errOut, secret) {
		t.Errorf("%s is shown in %s%s", secret, got.out, got.errOut)
	}
}

func TestAProbeReadsWell(t *testing.T) {
	sim, path := probed(t, "wrong-token")
	got := runAka(t, "check", "--probe", "-c", path)
	text := strings.ReplaceAll(got.out, sim.URL(), "http://vendor")
	want, err := os.ReadFile("testdata/probe.txt")
	if err != nil || text != string(want) {
		t.Errorf("testdata/probe.txt (%v):\n got %s\nwant %s", err, text, want)
	}
}

func TestTheOutputOfACheckIsChosenForAProbeOnly(t *testing.T) {
	if got := runAka(t, "check", "-o", "json"); got.code != exitWrongUse || !strings.Contains(got.errOut, "--output is for --probe") {
		t.Errorf("exit code %d: %s", got.code, got.errOut)
	}
}
